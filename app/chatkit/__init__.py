"""The ChatKit protocol and its engine; importable as ``chatkit``, see ``app.chatkit.alias``."""
