"""Runs: responses being carried out, whoever reads them."""
