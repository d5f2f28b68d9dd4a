"""A model without a provider, for first steps and for tests."""
