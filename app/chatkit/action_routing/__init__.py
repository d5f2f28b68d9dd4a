"""Which handler an action reaches, and whether its widget offers it at all."""

from app.chatkit.action_routing.call import ActionCall
from app.chatkit.action_routing.guard import check_action
from app.chatkit.action_routing.router import (
    ActionRouter,
    NoPayload,
    StreamingAction,
    SyncAction,
)

__all__ = [
    "ActionCall",
    "ActionRouter",
    "NoPayload",
    "StreamingAction",
    "SyncAction",
    "check_action",
]
