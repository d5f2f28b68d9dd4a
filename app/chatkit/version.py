"""The version under the official import path (``chatkit.version``)."""

import importlib

__all__ = ["__version__", "importlib"]

__version__ = "1.6.5"
"""The release of openai-chatkit whose names and wire this engine has."""
