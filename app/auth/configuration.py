"""What a session is minted with, in the words of OpenAI's server API, and what it comes to."""

import json
from dataclasses import dataclass
from typing import Any, cast

from app.chatkit.context import SessionFeatures
from app.chatkit.protocol.serialization import dump_value

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SessionConfiguration:
    """The configuration of a session, resolved: every default is filled in.

    ``chatkit`` and ``workflow`` are the objects that the server API answers with; both are empty
    for a session that the page asked for itself, to which the server's own settings apply.
    """

    chatkit: dict[str, Any]
    workflow: dict[str, Any]

    def dump(self) -> str:
        """Return what the table holds."""
        return dump_value({"chatkit": self.chatkit, "workflow": self.workflow}).decode()

    @property
    def features(self) -> SessionFeatures:
        """What the engine and the uploads go by."""
        if not self.chatkit:
            return SessionFeatures()
        upload = self.chatkit["file_upload"]
        history = self.chatkit["history"]
        megabytes = upload.get("max_file_size")
        return SessionFeatures(
            automatic_titles=self.chatkit["automatic_thread_titling"]["enabled"],
            uploads=upload["enabled"],
            max_uploads=upload.get("max_files"),
            max_upload_bytes=None if megabytes is None else megabytes * MEGABYTE,
            history=history["enabled"],
            recent_threads=history.get("recent_threads"),
        )

    @property
    def state_variables(self) -> dict[str, Any]:
        """What the integrator's server wants the assistant to know."""
        return dict(self.workflow.get("state_variables") or {})


OWN = SessionConfiguration({}, {})
"""Of a session that the page asked for itself."""


def load_configuration(stored: str) -> SessionConfiguration:
    """Return the configuration that a row holds."""
    values = cast("dict[str, Any]", json.loads(stored))
    if not values:
        return OWN
    return SessionConfiguration(values.get("chatkit", {}), values.get("workflow", {}))
