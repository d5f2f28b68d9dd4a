"""What may be uploaded."""

from dataclasses import dataclass

from app.uploads.previews import is_image

MARGIN = 60.0


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What may be uploaded; sizes in bytes, times in seconds. ``types`` are like ``image/*``.

    ``timeout`` is how long the sending of one file may take.
    """

    file_bytes: int
    files: int
    user_bytes: int
    types: tuple[str, ...]
    url_ttl: float
    timeout: float

    @property
    def abandoned(self) -> float:
        """After this an upload that was begun counts as given up, and can be begun again."""
        return self.timeout + MARGIN

    def allows(self, mime_type: str) -> bool:
        """Return whether files of this type are taken.

        ``image/*`` means pictures; drawings that can hold scripts (SVG) must be named.
        """
        family = mime_type.partition("/")[0]
        named = any(each in ("*/*", mime_type) for each in self.types)
        return named or (f"{family}/*" in self.types and (family != "image" or is_image(mime_type)))
