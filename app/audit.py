"""The audit log: who got in, who did not, what was ended and deleted.

One structured line per event, on the logger ``audit``. It names people by their user id and
sessions by their id; never by a secret, and no message text is in it.
"""

import logging
from typing import Any, Literal

AuditEvent = Literal[
    "session.minted",
    "session.refreshed",
    "session.cancelled",
    "session.refused",
    "identity.refused",
    "origin.refused",
    "access.refused",
    "server_key.refused",
    "rate_limited",
    "thread.deleted",
    "attachment.deleted",
    "user.deleted",
]

logger = logging.getLogger("audit")


def audit(event: AuditEvent, **details: Any) -> None:
    """Write one line; the request's id is on it anyway."""
    logger.info(event, extra=details)
