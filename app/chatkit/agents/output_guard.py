"""Whether a model has answered at all.

A proxy's error page, plain JSON or nothing at all, with status 200, looks to the clients of a
provider like a stream without events: a run that succeeds and says nothing.
"""


class OutputGuard:
    """Follows the responses of a run; ``is_missing`` tells that it ended without an answer.

    A response that has begun may be empty behind one that was not: the model has nothing to add to
    its tools. One that never began is none.
    """

    def __init__(self) -> None:
        self._has_begun = False
        self._has_output = False
        self._had_output = False
        self.is_missing = False

    def begin_response(self) -> None:
        """Note that the provider has begun a response."""
        self._has_begun = True
        self.is_missing = False

    def note(self) -> None:
        """Note that the response has output, of whatever kind."""
        self._has_output = True

    def end_response(self, *, has_shown: bool) -> None:
        """Note the end of a response; ``has_shown`` is whether the turn has shown anything."""
        may_be_empty = self._has_begun and (self._had_output or has_shown)
        self.is_missing = not (self._has_output or may_be_empty)
        self._had_output |= self._has_output
        self._has_begun = self._has_output = False
