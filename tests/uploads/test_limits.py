"""Which types are taken."""

from dataclasses import replace

import pytest

from app.uploads.limits import UploadLimits

LIMITS = UploadLimits(file_bytes=1, files=1, user_bytes=1, types=(), url_ttl=600, idle_timeout=30)


@pytest.mark.parametrize(
    "mime_type",
    [
        "text/csv",
        "application/yaml",
        "application/toml",
        "application/sql",
        "application/javascript",
        "application/x-ipynb+json",
        "application/x-httpd-php",
        "application/x-shellscript",
        "application/xml",
    ],
)
def test_every_text_is_taken_when_texts_are(mime_type: str) -> None:
    assert replace(LIMITS, types=("text/*",)).allows(mime_type)
    assert not replace(LIMITS, types=("image/*",)).allows(mime_type)


@pytest.mark.parametrize("mime_type", ["image/svg+xml", "image/png", "application/pdf"])
def test_texts_are_nothing_else(mime_type: str) -> None:
    assert not replace(LIMITS, types=("text/*",)).allows(mime_type)


def test_drawing_is_taken_when_it_is_named() -> None:
    assert not replace(LIMITS, types=("image/*", "text/*")).allows("image/svg+xml")
    assert replace(LIMITS, types=("image/svg+xml",)).allows("image/svg+xml")


def test_upload_of_a_dead_server_can_soon_be_sent_again() -> None:
    assert LIMITS.abandoned == 90
