"""Characters that a provider cut in two.

Outside the basic plane JSON escapes a character as two halves (``D83D DE00``). A server that
cuts its text by such halves sends one in each of two deltas; alone, neither can be stored or sent.
"""

REPLACEMENT = "\ufffd"

_FIRST_HALF = range(0xD800, 0xDC00)


def has_surrogates(text: str) -> bool:
    """Return whether there are halves of characters in ``text``."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def join_surrogates(text: str) -> str:
    """Return ``text`` with its halves put together; one that is alone becomes U+FFFD."""
    if not has_surrogates(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class SurrogateJoiner:
    """Puts the halves of a text together that comes in pieces: a first half waits for the next."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held: str = ""

    def feed(self, text: str) -> str:
        """Return what can be passed on of the text so far."""
        if self.held:
            text, self.held = self.held + text, ""
        if text and ord(text[-1]) in _FIRST_HALF:
            text, self.held = text[:-1], text[-1]
        return join_surrogates(text)

    def finish(self) -> str:
        """Return what is left at the end of the text."""
        left, self.held = self.held, ""
        return REPLACEMENT if left else ""
