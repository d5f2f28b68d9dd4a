"""The assistant's widgets."""
