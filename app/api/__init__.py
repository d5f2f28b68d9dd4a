"""HTTP: one small module for each group of routes."""
