"""Side by side with the official SDK: ``python -m benchmarks``."""
