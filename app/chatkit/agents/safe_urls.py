"""Which addresses that a provider names are passed on to a page."""

from urllib.parse import urlsplit

_SCHEMES = frozenset({"http", "https", "mailto"})


def is_safe_url(url: str) -> bool:
    """Return whether ``url`` is a well-formed address of the web, or of somebody's mail."""
    if not url.isprintable() or " " in url or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port  # which is only read, and may be no number, when asked for
    except ValueError:
        return False
    if parts.scheme not in _SCHEMES:
        return False
    return bool(parts.path) if parts.scheme == "mailto" else bool(parts.hostname)
