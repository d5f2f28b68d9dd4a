"""Warnings for whoever wrote the code, logged once per place in it."""

import inspect
import logging
from types import FrameType

_OURS = ("app.chatkit", "pydantic", "importlib", "contextlib")
_MAX_KNOWN = 1000

_logged: set[tuple[str, str, int]] = set()

logger = logging.getLogger("chatkit")


def warn_once(message: str) -> None:
    """Log a warning with the line of code that is to blame, unless that line has had it already.

    That line is the nearest one outside this package: a loop, or a request that comes every second,
    warns once.
    """
    file, line = _find_caller()
    key = (message, file, line)
    if key in _logged:
        return
    if len(_logged) >= _MAX_KNOWN:
        _logged.clear()
    _logged.add(key)
    logger.warning("%s (%s:%d)", message, file, line)


def _find_caller() -> tuple[str, int]:
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and _is_ours(str(frame.f_globals.get("__name__", ""))):
        frame = frame.f_back
    return (frame.f_code.co_filename, frame.f_lineno) if frame is not None else ("?", 0)


def _is_ours(module: str) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in _OURS)
