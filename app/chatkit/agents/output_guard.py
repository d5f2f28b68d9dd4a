"""Whether a model has answered at all.

A proxy's error page, plain JSON or nothing at all, with status 200, looks to the clients of a
provider like a stream without events: a run that succeeds and says nothing. So does a model that
thinks, or searches, and then has nothing to say.
"""

_NO_ANSWERS = frozenset(
    {
        "message",  # for which there is ``note_message``
        "reasoning",
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "mcp_call",
        "mcp_list_tools",
    }
)
"""Kinds of output items that only lead to an answer, or may not have been shown."""


class OutputGuard:
    """Follows the responses of a run; ``is_missing`` tells that it ended without an answer.

    A response that has begun may be empty where the turn has shown something: the model has nothing
    to add to its tools. One that never began is none.
    """

    def __init__(self) -> None:
        self._has_begun = False
        self._has_output = False
        self.is_missing = False

    def begin_response(self) -> None:
        """Note that the provider has begun a response."""
        self._has_begun = True
        self.is_missing = False

    def note(self, item_type: str) -> None:
        """Note that the response has output of that type."""
        self._has_output |= item_type not in _NO_ANSWERS

    def note_message(self) -> None:
        """Note that the response has shown a message, and not taken it back."""
        self._has_output = True

    def end_response(self, *, has_shown: bool) -> None:
        """Note the end of a response; ``has_shown`` is whether the turn has shown anything."""
        may_be_empty = self._has_begun and has_shown
        self.is_missing = not (self._has_output or may_be_empty)
        self._has_begun = self._has_output = False
