"""``ResponseStreamConverter``: how a Responses event's content becomes content of the thread.

Subclass it to place images elsewhere, to change how citations and hosted tools look, or to speak
another language. What a provider sends is told apart by its ``type`` and may be an object or a
dict; kinds that nobody knows are left out.
"""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from openai.types.responses.response_output_text import (
    AnnotationContainerFileCitation,
    AnnotationFileCitation,
    AnnotationURLCitation,
)

from app.chatkit.agents.hosted_tools import describe_hosted_tool
from app.chatkit.agents.provider_errors import ERROR_TEXTS, ProviderErrorKind
from app.chatkit.agents.safe_urls import is_safe_url
from app.chatkit.protocol.items import (
    Annotation,
    AssistantMessageContent,
    FileSource,
    Task,
    URLSource,
)
from app.chatkit.untyped import get_field, get_list, get_text

TCitation = TypeVar(
    "TCitation", AnnotationFileCitation, AnnotationContainerFileCitation, AnnotationURLCitation
)

NOTICE_TEXTS: Mapping[str, str] = {
    "max_output_tokens": "The answer was cut off because it became too long.",
    "content_filter": "The answer was cut off by the content filter.",
    "incomplete": "The answer is incomplete.",
    "image_failed": "The image could not be generated.",
    "approval": "Waiting for approval: {tools}",
    "tool_failed": "A tool failed: {tools}",
}
"""What the bridge itself tells the user; the last two name the tools."""


class ResponseStreamConverter:
    """Turns streamed content into content of the thread; the methods are made to be overridden.

    ``partial_images`` is how many previews of an image are asked for; without it the progress of
    an image stays 0. ``chatkit_notice_texts`` and ``chatkit_error_texts`` hold what the user is
    told. (What is not of the official class has a name that begins with ``chatkit_``.)
    """

    partial_images: int | None = None
    chatkit_notice_texts: Mapping[str, str] = NOTICE_TEXTS
    chatkit_error_texts: Mapping[ProviderErrorKind, str] = ERROR_TEXTS

    def __init__(self, *, partial_images: int | None = None) -> None:
        self.partial_images = partial_images

    def chatkit_get_notice(self, kind: str) -> str:
        """Return what the user is told; every unknown ``kind`` is an incomplete answer."""
        texts = self.chatkit_notice_texts
        if kind not in NOTICE_TEXTS:
            kind = "incomplete"
        return texts.get(kind) or NOTICE_TEXTS[kind]

    async def base64_image_to_url(
        self, image_id: str, base64_image: str, partial_image_index: int | None = None
    ) -> str:
        """Return the URL under which an image is shown; previews have an index, counted from 0."""
        return f"data:image/png;base64,{base64_image}"

    def partial_image_index_to_progress(self, partial_image_index: int) -> float:
        """Return the progress, from 0 to 1, that a preview stands for."""
        if not self.partial_images or self.partial_images < 0:
            return 0.0
        return min(1.0, partial_image_index / self.partial_images)

    async def file_citation_to_annotation(
        self, file_citation: AnnotationFileCitation
    ) -> Annotation | None:
        """Return the annotation for a cited file, or None to leave it out."""
        return _cite_file(file_citation, get_field(file_citation, "index"))

    async def container_file_citation_to_annotation(
        self, container_file_citation: AnnotationContainerFileCitation
    ) -> Annotation | None:
        """Return the annotation for a cited file of a container, or None to leave it out."""
        return _cite_file(container_file_citation, get_field(container_file_citation, "end_index"))

    async def url_citation_to_annotation(
        self, url_citation: AnnotationURLCitation
    ) -> Annotation | None:
        """Return the annotation for a cited page, or None to leave it out."""
        url = get_text(url_citation, "url")
        if not is_safe_url(url):
            return None
        title = get_text(url_citation, "title") or url
        return Annotation(
            source=URLSource(url=url, title=title),
            index=_as_index(get_field(url_citation, "end_index")),
        )

    async def chatkit_hosted_tool_to_task(self, item: Any, *, done: bool) -> Task | None:
        """Return the workflow task that shows a tool run by the provider, or None to hide it."""
        return describe_hosted_tool(item, done=done)


async def convert_annotation(raw: Any, converter: ResponseStreamConverter) -> Annotation | None:
    """Return the annotation for a citation; None for an unknown kind or one that names nothing."""
    match get_field(raw, "type"):
        case "file_citation":
            return await converter.file_citation_to_annotation(_as(AnnotationFileCitation, raw))
        case "container_file_citation":
            return await converter.container_file_citation_to_annotation(
                _as(AnnotationContainerFileCitation, raw)
            )
        case "url_citation" if not is_safe_url(get_text(raw, "url")):
            return None  # also where the converter is somebody's own
        case "url_citation":
            return await converter.url_citation_to_annotation(_as(AnnotationURLCitation, raw))
        case _:
            return None


async def convert_part(
    part: Any, converter: ResponseStreamConverter
) -> AssistantMessageContent | None:
    """Return the content for a text or refusal part, or None for any other kind."""
    match get_field(part, "type"):
        case "output_text":
            annotations = [
                annotation
                for raw in get_list(part, "annotations")
                if (annotation := await convert_annotation(raw, converter)) is not None
            ]
            return AssistantMessageContent(text=get_text(part, "text"), annotations=annotations)
        case "refusal":
            return AssistantMessageContent(text=get_text(part, "refusal"))
        case _:
            return None


def _as(kind: type[TCitation], raw: Any) -> TCitation:
    """Return a citation whose fields are attributes, which is what overriding methods expect."""
    if isinstance(raw, dict):
        return kind.construct(**cast("dict[str, Any]", raw))
    return raw


def _cite_file(citation: Any, index: Any) -> Annotation | None:
    filename = get_text(citation, "filename")
    if not filename:
        return None
    return Annotation(source=FileSource(filename=filename, title=filename), index=_as_index(index))


def _as_index(value: Any) -> int | None:
    return value if isinstance(value, int) else None
