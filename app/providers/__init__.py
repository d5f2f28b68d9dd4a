"""Which model answers, and what stands between its server and the Agents SDK."""
