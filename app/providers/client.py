"""The client of the configured provider: its address, its key, and how long it waits."""

from typing import Any

from httpx2 import ReadTimeout, Request, Response
from openai import APITimeoutError, AsyncOpenAI, DefaultAsyncHttpxClient, Timeout

from app.chatkit.agents.provider_errors import FINAL_KINDS, classify_response
from app.model_url import parse_model_url
from app.settings import Settings

OPENAI_URL = "https://api.openai.com/v1"
CONNECT_TIMEOUT = 10.0
MAX_RETRIES = 2
"""How often the client repeats a request that failed, but for silence, before its first event."""


def create_client(settings: Settings) -> AsyncOpenAI | None:
    """Return a client for the configured provider, or None where there is none.

    Proxies and private certificate authorities are those of the usual variables (``HTTPS_PROXY``,
    ``NO_PROXY``, ``SSL_CERT_FILE``).
    """
    if settings.uses_offline_model:
        return None
    url = parse_model_url(settings.openai_base_url or OPENAI_URL)
    # A server of one's own often wants no key, but the client insists on one.
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else "unused"
    headers = settings.named_model_headers()
    is_own_authorization = any(name.lower() == "authorization" for name in headers)
    return AsyncOpenAI(
        api_key=key,
        base_url=url.base,
        default_query=url.query or None,
        default_headers=headers or None,
        timeout=Timeout(
            settings.model_timeout, connect=min(CONNECT_TIMEOUT, settings.model_timeout)
        ),
        max_retries=MAX_RETRIES,
        http_client=_HttpClient(azure_key=key if url.is_azure and not is_own_authorization else ""),
    )


class _HttpClient(DefaultAsyncHttpxClient):
    """Sends as the provider wants it, and ends a request at the first silence.

    The client above would wait for silence once per retry, and repeat what will be refused again:
    llama.cpp answers an image with 500, others answer an account without credit with 429. Azure
    takes a key in a header of its own, and takes one in the usual header for a token.
    """

    def __init__(self, *, azure_key: str = "") -> None:
        super().__init__()
        self._azure_key = azure_key

    async def send(self, request: Request, **options: Any) -> Response:
        """Send a request; raises ``APITimeoutError``, which is not retried, for a silent server."""
        if self._azure_key:
            request.headers.pop("authorization", None)
            request.headers.setdefault("api-key", self._azure_key)
        try:
            response = await super().send(request, **options)
            if response.is_error:
                await response.aread()
        except ReadTimeout as error:
            raise APITimeoutError(request) from error
        if response.is_error and _is_final(response):
            response.headers["x-should-retry"] = "false"
        return response


def _is_final(response: Response) -> bool:
    """Return whether the same request would be refused again, whatever the status is."""
    return classify_response(response.status_code, response.content) in FINAL_KINDS
