"""Nulls in widgets: a prop that is null is absent, also inside other props and in lists.

Two kinds of free-form data keep theirs, since a null may mean something there: the payload of an
action, and the rows of a chart's data.
"""

from collections.abc import Mapping
from typing import Any, cast

from pydantic import BeforeValidator

from app.chatkit.actions import is_action_prop

Props = dict[str, Any]

_CONTAINERS = (dict, list, tuple)


def without_nulls(props: Mapping[str, Any], *, as_it_is: str = "") -> Props:
    """Return a component's props, or another object of a widget, without nulls.

    ``as_it_is`` names a prop that is not looked into.
    """
    if props.get("type") == "Chart" and as_it_is != "payload":
        as_it_is = "data"
    return {
        name: value
        if type(value) not in _CONTAINERS or name == as_it_is
        else _container(name, value)
        for name, value in props.items()
        if value is not None
    }


def _container(name: str, value: Any) -> Any:
    if not isinstance(value, dict):
        return [
            _container("", each) if type(each) in _CONTAINERS else each
            for each in cast("list[Any]", value)
            if each is not None
        ]
    inner = cast("Props", value)
    return without_nulls(inner, as_it_is="payload" if is_action_prop(name, inner) else "")


def _drop_null_keys(value: object) -> object:
    if not isinstance(value, dict):
        return value
    return {name: each for name, each in cast("Props", value).items() if each is not None}


Sparse = BeforeValidator(_drop_null_keys)
"""For values that are objects: a key that is null counts as absent there, too."""
