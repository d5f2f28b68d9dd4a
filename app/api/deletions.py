"""What follows a deletion, whoever asks for it: a run ends, files go, the audit log says so."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from app.api.deps import Services
from app.audit import audit
from app.chatkit.context import RequestContext
from app.chatkit.protocol.requests import AttachmentsDeleteReq, NonStreamingReq, ThreadsDeleteReq


@asynccontextmanager
async def following_deletion(
    request: NonStreamingReq, context: RequestContext, services: Services, **by: str | None
) -> AsyncGenerator[None]:
    """Do what follows if the request, carried out in this block, deletes something.

    ``by`` says in the audit log who asked for it, besides the owner.
    """
    match request:
        case ThreadsDeleteReq():
            thread_id = request.params.thread_id
            async with services.runs.deleting(context.user_id, thread_id):
                yield
            services.cleanup.wake()  # its files go right behind it
            audit("thread.deleted", thread_id=thread_id, user_id=context.user_id, **by)
        case AttachmentsDeleteReq():
            yield
            attachment_id = request.params.attachment_id
            audit("attachment.deleted", attachment_id=attachment_id, user_id=context.user_id, **by)
        case _:
            yield
