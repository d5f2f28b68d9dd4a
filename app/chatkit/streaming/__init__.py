"""What a stream changes about items that are not done yet."""
