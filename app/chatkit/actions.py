"""Actions: what a widget offers (``ActionConfig``) and what comes back (``Action``)."""

from __future__ import annotations

import re
from typing import Any, Generic, Literal, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, Field, SerializationInfo, TypeAdapter, field_serializer

from app.chatkit.tolerant_model import TolerantModel

__all__ = [
    "DEFAULT_HANDLER",
    "DEFAULT_LOADING_BEHAVIOR",
    "Action",
    "ActionConfig",
    "Any",
    "BaseModel",
    "Field",
    "Generic",
    "Handler",
    "Literal",
    "LoadingBehavior",
    "TPayload",
    "TType",
    "TypeVar",
    "annotations",
    "get_args",
    "get_origin",
]

Handler = Literal["client", "server"]
LoadingBehavior = Literal["auto", "none", "self", "container"]

DEFAULT_HANDLER: Handler = "server"
DEFAULT_LOADING_BEHAVIOR: LoadingBehavior = "auto"

_FREE_FORM: TypeAdapter[Any] = TypeAdapter(Any)


_ACTION_PROP = re.compile(r"on[A-Z]\w*Action|action")


def is_action_prop(name: str, prop: Any) -> bool:
    """Return whether a prop of that name, in a widget's data, holds an action."""
    if not isinstance(prop, dict) or not _ACTION_PROP.fullmatch(name):
        return False
    return isinstance(cast("dict[str, Any]", prop).get("type"), str)


def _is_none(value: object) -> bool:
    return value is None


class ActionConfig(TolerantModel):
    """An action as a widget carries it: what to call, with what, and who handles it.

    ``streaming=False`` makes the client call ``threads.sync_custom_action``, which is also possible
    while the thread streams.
    """

    type: str
    payload: Any = Field(default=None, exclude_if=_is_none)
    handler: Handler = DEFAULT_HANDLER
    loadingBehavior: LoadingBehavior = DEFAULT_LOADING_BEHAVIOR
    streaming: bool = True

    @field_serializer("payload")
    def _serialize_payload(self, payload: Any, info: SerializationInfo) -> Any:
        """Write the payload apart, so that a caller's ``exclude_none`` leaves its nulls alone."""
        mode = "json" if info.mode_is_json() else "python"
        return _FREE_FORM.dump_python(payload, mode=mode, by_alias=info.by_alias)


TType = TypeVar("TType", bound=str)
TPayload = TypeVar("TPayload")


class Action(BaseModel, Generic[TType, TPayload]):
    """An action as the client sends it.

    Parametrise it to declare one: ``Refresh = Action[Literal["refresh"], RefreshPayload]``, then
    ``Refresh.create(payload)`` is the ``ActionConfig`` to put on a widget, and
    ``Refresh.model_validate(...)`` reads what comes back.
    """

    type: TType = Field(frozen=True)
    payload: TPayload = Field(default=cast(Any, None))

    @classmethod
    def create(
        cls,
        payload: TPayload,
        handler: Handler = DEFAULT_HANDLER,
        loading_behavior: LoadingBehavior = DEFAULT_LOADING_BEHAVIOR,
        streaming: bool = True,
    ) -> ActionConfig:
        """Return the configuration that makes a widget send this action."""
        return ActionConfig(
            type=cls._declared_type(),
            payload=payload,
            handler=handler,
            loadingBehavior=loading_behavior,
            streaming=streaming,
        )

    @classmethod
    def _declared_type(cls) -> str:
        annotation = cls.model_fields["type"].annotation
        names = get_args(annotation) if get_origin(annotation) is Literal else ()
        if len(names) != 1 or not isinstance(names[0], str):
            raise TypeError(
                f"{cls.__name__} does not say which action it is: "
                'parametrise it with one name, as in Action[Literal["refresh"], Payload]'
            )
        return names[0]
