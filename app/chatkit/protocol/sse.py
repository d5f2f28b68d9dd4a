"""Events to Server-Sent Events frames: the hot path of a stream.

Every frame is ``data: <json>`` and a blank line. A text delta, which is nearly every event of an
answer, is put together directly; the result is what the generic way gives, byte for byte.
"""

from json.encoder import encode_basestring as quote

from pydantic import BaseModel

from app.chatkit.protocol.events import AssistantMessageContentPartTextDelta, ThreadItemUpdatedEvent
from app.chatkit.protocol.serialization import clean_json, clean_text, dump_wire

"""A comment frame, to keep proxies from closing a silent stream."""


def encode_event(event: BaseModel) -> bytes:
    """Return the frame of ``event``."""
    if type(event) is ThreadItemUpdatedEvent:
        update = event.update
        if type(update) is AssistantMessageContentPartTextDelta:
            return _encode_text_delta(event.item_id, update.content_index, update.delta)
    return b"data: " + dump_wire(event) + b"\n\n"


def _encode_text_delta(item_id: str, content_index: int, delta: str) -> bytes:
    frame = (
        f'data: {{"type":"thread.item.updated","item_id":{quote(item_id)},"update":'
        '{"type":"assistant_message.content_part.text_delta","content_index":'
        f'{content_index},"delta":{quote(delta)}}}}}\n\n'
    )
    try:
        return clean_json(frame.encode())
    except UnicodeEncodeError:  # a lone surrogate
        return clean_json(clean_text(frame).encode())


def with_frame_id(frame: bytes, frame_id: str) -> bytes:
    """Return ``frame`` with an ``id`` line, so that a reader can continue behind it."""
    return b"id: " + frame_id.encode() + b"\n" + frame
