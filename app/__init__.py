"""A self-hosted ChatKit backend."""
