"""Keys of the server API: who among the integrator's own servers is calling."""

import hashlib
import hmac

from app.settings import Settings


class ServerKeys:
    """The keys of ``SERVER_API_KEYS``, kept as hashes; each has a name for the audit log."""

    def __init__(self, named_keys: list[tuple[str, str]]) -> None:
        self._hashes = [(name, _hash(key)) for name, key in named_keys if key]

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def find(self, key: str) -> str | None:
        """Return the name of a key, or None; takes as long whichever key it is."""
        given = _hash(key)
        found: str | None = None
        for name, known in self._hashes:
            if hmac.compare_digest(given, known):
                found = name
        return found


def create_server_keys(settings: Settings) -> ServerKeys:
    """Return the configured keys; without any, the server API is closed."""
    return ServerKeys(settings.named_server_keys())


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="replace")).digest()
