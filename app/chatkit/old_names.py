"""Names that older and informal guides use, each with one warning that says today's name."""

import inspect
import sys
import warnings
from collections.abc import Callable
from functools import cache, wraps
from pkgutil import resolve_name
from types import FrameType
from typing import Any, TypeVar

TFunction = TypeVar("TFunction", bound=Callable[..., Any])

OLD_NAMES = {
    "ClientToolCallOutputItem": ("types:ClientToolCallItem", "chatkit.types.ClientToolCallItem"),
    "Event": ("types:ThreadStreamEvent", "chatkit.types.ThreadStreamEvent"),
    "FilePart": ("types:FileAttachment", "chatkit.types.FileAttachment"),
    "FileStore": ("store:AttachmentStore", "chatkit.store.AttachmentStore"),
    "ImagePart": ("types:ImageAttachment", "chatkit.types.ImageAttachment"),
    "to_input_item": (
        "agents.older_input:to_input_item",
        "chatkit.agents.ThreadItemConverter().to_agent_input",
    ),
}
"""Old name -> where it leads, and today's name. Any module that might have it has it."""

_OTHERS_ON_THE_WAY = ("app.chatkit", "pydantic", "importlib", "abc", "functools")


class OldNameWarning(DeprecationWarning):
    """Something has another name today."""


def find_old_name(module: str, name: str) -> Any:
    """Return what ``module.name`` is called today; raises ``AttributeError`` for what never was.

    The module then has it, so that it is told once.
    """
    if name not in OLD_NAMES:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    place, today = OLD_NAMES[name]
    warn_of_old_name(name, today)
    found = resolve_name(f"app.chatkit.{place}")
    setattr(sys.modules[module], name, found)
    return found


def warn_of_old_name(old: str, today: str) -> None:
    """Warn whoever has written ``old``, with their line of code."""
    frame = _find_caller()
    if frame is None:
        warnings.warn(_say(old, today), OldNameWarning, stacklevel=2)
        return
    warnings.warn_explicit(
        _say(old, today),
        OldNameWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=str(frame.f_globals.get("__name__", "")),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )


def _say(old: str, today: str) -> str:
    return f"{old} is of an older guide: write {today}"


def _find_caller() -> FrameType | None:
    frame = inspect.currentframe()
    while frame is not None and _is_on_the_way(str(frame.f_globals.get("__name__", ""))):
        frame = frame.f_back
    return frame


def _is_on_the_way(module: str) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in _OTHERS_ON_THE_WAY)


@cache
def takes_tool_outputs(respond: Callable[..., Any]) -> bool:
    """Return whether a ``respond`` says that it is called with what a client tool has returned.

    That is how it was; today it is called with None, and the output is in the thread.
    """
    parameters = inspect.signature(respond).parameters.values()
    return any("ClientToolCall" in str(each.annotation) for each in parameters)


def accept_old_keywords(**today: str) -> Callable[[TFunction], TFunction]:
    """Let a function be called with older names of its parameters (old name = today's name)."""

    def accept(function: TFunction) -> TFunction:
        @wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            for old in options.keys() & today.keys():
                warn_of_old_name(f"{old}=", f"{today[old]}=")
                options[today[old]] = options.pop(old)
            return function(*args, **options)

        return call  # type: ignore[return-value]

    return accept
