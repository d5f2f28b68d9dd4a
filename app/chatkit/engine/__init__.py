"""Carries a turn out: opens it, follows its events, keeps store and client in step."""
