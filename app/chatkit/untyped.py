"""Reading what a provider sent: objects or dicts, of any class, with any field missing."""

from typing import Any, cast


def get_field(source: Any, name: str, default: Any = None) -> Any:
    """Return the field ``name`` of an object or a dict, or ``default`` where it is absent."""
    if isinstance(source, dict):
        return cast("dict[str, Any]", source).get(name, default)
    return getattr(source, name, default)


def get_list(source: Any, name: str) -> list[Any]:
    """Return the list in the field ``name``, or an empty one for anything that is no list."""
    value = get_field(source, name)
    return cast("list[Any]", value) if isinstance(value, list) else []


def get_text(source: Any, name: str) -> str:
    """Return the text in the field ``name``, or an empty one for anything that is no text."""
    value = get_field(source, name)
    return value if isinstance(value, str) else ""
