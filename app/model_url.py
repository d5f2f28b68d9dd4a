"""The address of a model provider, as operators paste it: checked, and taken apart.

``OPENAI_BASE_URL`` is what stands in front of ``/chat/completions`` or ``/responses``. What cannot
be one is refused at start, with an example of what was meant.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, urlsplit

AZURE_HOSTS = (
    ".openai.azure.com",
    ".openai.azure.us",
    ".openai.azure.cn",
    ".cognitiveservices.azure.com",
    ".services.ai.azure.com",
)
GOOGLE_HOST = "generativelanguage.googleapis.com"
OLLAMA_PORT = 11434

_ENDPOINT = re.compile(
    r"/((chat/)?completions|responses|embeddings|(?<=/v1/)models|messages|api/(chat|generate|tags))$"
)
_DEPLOYMENT = re.compile(r"/openai/deployments/[^/]+$")
_PLACEHOLDER = re.compile(r"[<>{}\s]|YOUR[-_]\w*|(?<=//)NAME(?=\.)|(?<=/)DEPLOYMENT$")

_EXAMPLE = "such as http://localhost:11434/v1"
_AZURE_EXAMPLES = (
    "https://NAME.openai.azure.com/openai/v1 or, with MODEL_API=chat_completions, "
    "https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT?api-version=2024-10-21"
)


@dataclass(frozen=True)
class ModelUrl:
    """``base`` has no query; ``query`` goes along with every request."""

    base: str
    query: dict[str, str] = field(default_factory=dict[str, str])
    is_azure: bool = False

    @property
    def names_deployment(self) -> bool:
        """Whether it is that of one Azure deployment, which speaks Chat Completions alone."""
        return _DEPLOYMENT.search(self.base) is not None


def parse_model_url(url: str) -> ModelUrl:
    """Return a base URL in its parts; raises ``ValueError`` for what cannot be one."""
    given = url.strip()
    if not given.startswith(("http://", "https://")):
        raise ValueError(f"must start with http:// or https://, {_EXAMPLE}")
    if placeholder := _PLACEHOLDER.search(given.partition("?")[0]):
        raise ValueError(f"still has a placeholder in it ({placeholder[0]!r})")
    try:
        parts = urlsplit(given)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ValueError(f"is no URL ({error}); it should look {_EXAMPLE}") from None
    if not has_host:
        raise ValueError(f"names no host; it should look {_EXAMPLE}")
    if parts.fragment:
        raise ValueError(f"must not have a '#' in it; it should look {_EXAMPLE}")
    path = re.sub(r"/{2,}", "/", parts.path).rstrip("/")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    is_azure = "api-version" in query or (parts.hostname or "").endswith(AZURE_HOSTS)
    base = f"{parts.scheme}://{parts.netloc}{path}"
    _check_path(parts, path, query)
    return ModelUrl(base, query, is_azure)


def _check_path(parts: SplitResult, path: str, query: dict[str, str]) -> None:
    """Raise ``ValueError`` for a path at which no such API can be."""
    host, origin = parts.hostname or "", f"{parts.scheme}://{parts.netloc}"
    if parts.port == OLLAMA_PORT and path.startswith("/api"):
        raise ValueError(f"leads to Ollama's own API; the one that is meant is {origin}/v1")
    if endpoint := _ENDPOINT.search(path):
        shown = origin + path[: endpoint.start()] + (f"?{parts.query}" if parts.query else "")
        raise ValueError(f"must end before {endpoint[0]}: {shown}")
    if host == "openrouter.ai" and not path.endswith("/v1"):
        raise ValueError("must be https://openrouter.ai/api/v1")
    if host == GOOGLE_HOST and not path.endswith("/openai"):
        raise ValueError(f"must be https://{GOOGLE_HOST}/v1beta/openai")
    if host.endswith(AZURE_HOSTS):
        _check_azure(path, query)


def _check_azure(path: str, query: dict[str, str]) -> None:
    if _DEPLOYMENT.search(path) or path == "/openai":
        if "api-version" not in query:
            raise ValueError(f"has no ?api-version=...; write {_AZURE_EXAMPLES}")
    elif not path.endswith(("/v1", "/models")):
        raise ValueError(f"is no address of a model at Azure; write {_AZURE_EXAMPLES}")
