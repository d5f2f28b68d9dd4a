"""What a team edits: agent, tools, actions, widgets, titles."""
