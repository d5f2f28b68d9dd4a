"""Where requests go and what goes along: Azure, headers of one's own, private CAs, proxies."""

import datetime
import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from app.model_url import parse_model_url
from app.providers.client import create_client
from app.settings import Settings, SettingsError, load_settings

AZURE_DEPLOYMENT = "https://acme.openai.azure.com/openai/deployments/mini?api-version=2024-10-21"


class Echo:
    """A server that notes what is asked of it and answers each request with the same completion."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: list[Request] = []

    async def answer(self, request: Request) -> JSONResponse:
        self.requests.append(request)
        message = {"role": "assistant", "content": "Hello."}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
        return JSONResponse(body | {"choices": [choice]})


@contextmanager
def run_echo(**tls: str) -> Iterator[Echo]:
    """Run an ``Echo`` on a free port of loopback; ``tls`` are uvicorn's names for key and chain."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    echo = Echo(listener.getsockname()[1])
    app = Starlette(routes=[Route("/{path:path}", echo.answer, methods=["POST"])])
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, lifespan="off", ws="none", **tls)  # type: ignore[arg-type]
    )
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield echo
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, openai_api_key="sk-test", **values)  # type: ignore[call-arg]


async def ask(configured: Settings) -> str | None:
    client = create_client(configured)
    assert client is not None
    async with client:
        messages: Any = [{"role": "user", "content": "hi"}]
        completion = await client.chat.completions.create(model="mini", messages=messages)
    return completion.choices[0].message.content


# --- Azure ---------------------------------------------------------------------------------------


async def test_api_version_goes_along_and_the_key_is_in_azures_header() -> None:
    with run_echo() as echo:
        origin = f"http://127.0.0.1:{echo.port}"
        await ask(
            settings(openai_base_url=f"{origin}/openai/deployments/mini?api-version=2024-10-21")
        )
    (request,) = echo.requests
    assert request.url.path == "/openai/deployments/mini/chat/completions"
    assert dict(request.query_params) == {"api-version": "2024-10-21"}
    assert request.headers["api-key"] == "sk-test"
    assert "authorization" not in request.headers


async def test_retry_without_sdk_retries_goes_to_the_same_place() -> None:
    with run_echo() as echo:
        configured = settings(
            openai_base_url=f"http://127.0.0.1:{echo.port}/v1?api-version=preview"
        )
        client = create_client(configured)
        assert client is not None
        async with client.with_options(max_retries=0) as other:
            messages: Any = [{"role": "user", "content": "hi"}]
            await other.chat.completions.create(model="mini", messages=messages)
    (request,) = echo.requests
    assert str(request.url).endswith("/v1/chat/completions?api-version=preview")
    assert request.headers["api-key"] == "sk-test"


async def test_token_of_ones_own_is_left_alone_at_azure() -> None:
    with run_echo() as echo:
        await ask(
            settings(
                openai_base_url=f"http://127.0.0.1:{echo.port}/openai/v1?api-version=preview",
                model_headers="Authorization: Bearer entra",
            )
        )
    (request,) = echo.requests
    assert request.headers["authorization"] == "Bearer entra"
    assert "api-key" not in request.headers


@pytest.mark.parametrize(
    ("url", "is_azure"),
    [
        (AZURE_DEPLOYMENT, True),
        ("https://acme.openai.azure.com/openai/v1/", True),
        ("https://acme.services.ai.azure.com/models?api-version=2024-05-01-preview", True),
        ("https://gateway.example/azure/openai/deployments/mini?api-version=2024-10-21", True),
        ("https://api.openai.com/v1", False),
        ("https://api.deepseek.com", False),
        ("http://localhost:3000/api", False),
        ("http://[::1]:8080/v1", False),
        ("https://gateway.example/v1/acct/gw/compat?tenant=a", False),
    ],
)
def test_address_is_taken_and_azure_told_apart(url: str, is_azure: bool) -> None:
    assert parse_model_url(url).is_azure is is_azure
    api = "chat_completions" if parse_model_url(url).names_deployment else "responses"
    assert load_settings(openai_base_url=url, model_api=api).openai_base_url == url


@pytest.mark.parametrize(
    ("url", "example"),
    [
        ("localhost:11434/v1", "http://localhost:11434/v1"),
        ("http:///v1", "http://localhost:11434/v1"),
        ("http://[::bad/v1", "http://localhost:11434/v1"),
        ("http://host:99999/v1", "http://localhost:11434/v1"),
        ("https://host/v1#key", "http://localhost:11434/v1"),
        ("https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/responses/", "https://api.openai.com/v1"),
        ("https://api.mistral.ai/v1/models", "https://api.mistral.ai/v1"),
        ("https://api.anthropic.com/v1/messages", "https://api.anthropic.com/v1"),
        ("http://localhost:11434/api", "http://localhost:11434/v1"),
        ("http://localhost:11434/api/chat", "http://localhost:11434/v1"),
        ("https://openrouter.ai/api", "https://openrouter.ai/api/v1"),
        ("https://generativelanguage.googleapis.com/v1beta", "/v1beta/openai"),
        ("https://acme.openai.azure.com", "https://NAME.openai.azure.com/openai/v1"),
        ("https://acme.openai.azure.com/openai/deployments/mini", "api-version=2024-10-21"),
        ("https://acme.openai.azure.com/openai/deployments?api-version=1", "DEPLOYMENT?"),
        (
            "https://acme.openai.azure.com/openai/deployments/mini/chat/completions?api-version=1",
            "https://acme.openai.azure.com/openai/deployments/mini?api-version=1",
        ),
        ("https://YOUR-RESOURCE.openai.azure.com/openai/v1", "YOUR-RESOURCE"),
        ("https://<host>/v1", "placeholder"),
        ("https://a b/v1", "placeholder"),
    ],
)
def test_impossible_address_is_refused_with_what_was_meant(url: str, example: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(openai_base_url=url)
    assert str(caught.value).startswith("OPENAI_BASE_URL: ")
    assert example in str(caught.value)
    assert "\n" not in str(caught.value)


def test_deployment_needs_the_api_that_it_speaks() -> None:
    with pytest.raises(SettingsError, match="MODEL_API=chat_completions"):
        load_settings(openai_base_url=AZURE_DEPLOYMENT)


# --- headers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "headers"),
    [
        ("X-Title: Chat", {"X-Title": "Chat"}),
        (
            "HTTP-Referer: https://chat.example, X-Title: Chat",
            {"HTTP-Referer": "https://chat.example", "X-Title": "Chat"},
        ),
        ("Accept-Language: de, en;q=0.5\nX-A: 1", {"Accept-Language": "de, en;q=0.5", "X-A": "1"}),
        ('{"X-Tags": "a: b, c: d"}', {"X-Tags": "a: b, c: d"}),
    ],
)
async def test_headers_of_ones_own_go_along(given: str, headers: dict[str, str]) -> None:
    with run_echo() as echo:
        await ask(settings(openai_base_url=f"http://127.0.0.1:{echo.port}/v1", model_headers=given))
    (request,) = echo.requests
    assert {name: request.headers[name] for name in headers} == headers
    assert request.headers["authorization"] == "Bearer sk-test"


@pytest.mark.parametrize(
    "given", ["hunter2", "X Title: hunter2", "X-A: ", '{"X-A": 1}', "{hunter2", '{"X-A": "a\\nb"}']
)
def test_malformed_headers_are_refused_without_being_quoted(given: str) -> None:
    with pytest.raises(SettingsError, match=r"^MODEL_HEADERS: ") as caught:
        load_settings(model_headers=given)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(load_settings(model_headers="X-A: hunter2"))


# --- the way there -------------------------------------------------------------------------------


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Return the files of a certificate for 127.0.0.1, which nobody trusts, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "private")])
    today = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return chain, private


async def test_private_authority_is_trusted_where_the_usual_variable_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, private = write_certificate(tmp_path)
    monkeypatch.setattr("app.providers.client.MAX_RETRIES", 0)
    with run_echo(ssl_certfile=str(chain), ssl_keyfile=str(private)) as echo:
        configured = settings(openai_base_url=f"https://127.0.0.1:{echo.port}/v1")
        with pytest.raises(Exception, match="Connection error") as caught:
            await ask(configured)
        assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value.__cause__)
        assert echo.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(chain))
        assert await ask(configured) == "Hello."


async def test_proxy_is_the_one_of_the_usual_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    with run_echo() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert await ask(settings(openai_base_url="http://127.0.0.3:9/v1")) == "Hello."
        (request,) = proxy.requests
        assert request.headers["host"] == "127.0.0.3:9"
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with run_echo() as echo:
            await ask(settings(openai_base_url=f"http://127.0.0.1:{echo.port}/v1"))
        assert len(echo.requests) == 1
        assert len(proxy.requests) == 1
