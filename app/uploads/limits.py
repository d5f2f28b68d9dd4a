"""What may be uploaded."""

from dataclasses import dataclass

from app.chatkit.errors import UnprocessableError
from app.uploads.previews import is_image
from app.uploads.sniffing import is_text, possible_types

MARGIN = 60.0


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What may be uploaded; sizes in bytes, times in seconds. ``types`` are like ``image/*``.

    ``idle_timeout`` is how long nothing of a file may arrive while it is sent.
    """

    file_bytes: int
    files: int
    user_bytes: int
    types: tuple[str, ...]
    url_ttl: float
    idle_timeout: float

    @property
    def abandoned(self) -> float:
        """After this an upload that is no longer renewed counts as given up."""
        return self.idle_timeout + MARGIN

    def check_type(self, mime_type: str) -> None:
        """Raise ``UnprocessableError`` where files of this type are not taken."""
        if not self.allows(mime_type):
            raise UnprocessableError(f"Files of type {mime_type} are not taken")

    def check_announced(self, declared: str) -> None:
        """Raise it for what can only turn out to be a file that is not taken."""
        possible = possible_types(declared)
        if possible is not None and not any(self.allows(each) for each in possible):
            self.check_type(declared)

    def allows(self, mime_type: str) -> bool:
        """Return whether files of this type are taken.

        ``image/*`` means pictures; drawings that can hold scripts (SVG) must be named. ``text/*``
        means whatever is read as text, however its type is called.
        """
        family = mime_type.partition("/")[0]
        if any(each in ("*/*", mime_type) for each in self.types):
            return True
        if family == "image":
            return "image/*" in self.types and is_image(mime_type)
        return f"{family}/*" in self.types or ("text/*" in self.types and is_text(mime_type))
