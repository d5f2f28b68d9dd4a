"""Everything that can be configured: one typed setting each, with a default that is safe.

Values come from the environment or from ``.env``; a test keeps ``.env.example`` in step with the
fields here. ``load_settings`` refuses what is unsafe outside development and names the setting.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.model_url import parse_model_url

MIN_KEY_LENGTH = 24
MIN_VARIETY = 8
"""Different characters that a random secret has at the very least."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ORIGIN = re.compile(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:]+\])(?::\d{1,5})?")


NO_MODEL = "is not set (the offline model is for development)"
BUILTIN_ASSISTANT = "app.assistant.server:AssistantServer"


class SettingsError(Exception):
    """A setting is missing, malformed or unsafe; the message names it in one line."""


UPLOAD_TYPES = (
    "image/*",
    "text/*",
    "application/pdf",
    "application/json",
    "application/rtf",
    "application/zip",
    "application/msword",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.oasis.opendocument.text",
    "application/vnd.oasis.opendocument.spreadsheet",
)
"""What may be uploaded unless ``UPLOAD_TYPES`` says otherwise."""


class Settings(BaseSettings):
    """The configuration of one replica. Durations are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    # Where it runs
    app_env: Literal["development", "production"] = "development"
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "console", "json"] = "auto"
    log_error_messages: bool | None = None
    data_dir: Path = Path(".data")
    cors_origins: Annotated[list[str], NoDecode] = Field(default_factory=list)
    max_request_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    keep_alive: int = Field(default=75, ge=1)
    header_timeout: float = Field(default=20.0, gt=0)
    request_body_timeout: float = Field(default=60.0, gt=0)
    message_max_chars: int = Field(default=200_000, ge=1)
    demo_page: bool = True
    api_docs: bool | None = None
    public_url: str | None = None

    # Database
    database_url: SecretStr | None = None
    database_pool_size: int = Field(default=10, ge=1)
    database_max_overflow: int = Field(default=10, ge=0)
    database_timeout: float = Field(default=10.0, gt=0)
    database_outage: float = Field(default=30.0, ge=0)
    auto_migrate: bool | None = None

    # Who is calling
    identity: str = "anonymous"
    identity_header: str = "X-Forwarded-User"
    trusted_proxies: Annotated[list[str], NoDecode] = Field(default_factory=list)
    jwt_jwks_url: str | None = None
    jwt_secret: SecretStr | None = None
    jwt_algorithms: Annotated[list[str], NoDecode] = Field(default_factory=list)
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_user_claim: str = "sub"
    jwt_leeway: float = Field(default=30.0, ge=0, le=300)
    signing_secret: SecretStr | None = None
    session_ttl: int = Field(default=600, ge=10, le=86_400)
    session_refresh_grace: int = Field(default=3600, ge=0, le=604_800)
    session_requests_per_minute: int = Field(default=300, ge=0)
    user_requests_per_minute: int = Field(default=600, ge=0)
    user_concurrent_runs: int = Field(default=20, ge=0)
    server_api_keys: SecretStr | None = None
    chatkit_workflow_id: str | None = None
    chatkit_api_base: str = "https://api.openai.com"

    # The assistant
    assistant_server: str = BUILTIN_ASSISTANT
    chatkit_alias: bool | None = None
    assistant_model: str | None = None
    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    model_api: Literal["responses", "chat_completions"] = "responses"
    model_headers: SecretStr | None = None
    model_timeout: float = Field(default=120.0, gt=0)
    model_reads: Annotated[list[Literal["image", "pdf", "text"]] | None, NoDecode] = None
    titles: bool = True
    title_model: str | None = None
    history_items: int = Field(default=100, ge=1, le=1000)
    tracing: bool = False

    # Files
    storage_url: str | None = None
    upload_max_bytes: int = Field(default=25 * 1024 * 1024, ge=1)
    upload_max_files: int = Field(default=10, ge=1, le=100)
    upload_user_bytes: int = Field(default=1024**3, ge=1)
    upload_types: Annotated[list[str], NoDecode] = Field(default_factory=lambda: [*UPLOAD_TYPES])
    upload_idle_timeout: float = Field(default=30.0, gt=0)
    upload_timeout: float = Field(default=1800.0, gt=0)
    upload_url_ttl: float = Field(default=600.0, ge=1)
    file_url_ttl: float = Field(default=3600.0, ge=1)
    upload_keep: float = Field(default=86_400.0, ge=1)
    upload_cleanup_interval: float = Field(default=300.0, gt=0)

    # Streams and runs
    stream_heartbeat: float = Field(default=15.0, gt=0)
    stream_send_timeout: float = Field(default=60.0, gt=0)
    user_streams: int = Field(default=50, ge=0)
    shutdown_drain: float = Field(default=10.0, ge=0)
    thread_busy: Literal["wait", "interrupt", "reject"] = "wait"
    thread_busy_wait: float = Field(default=30.0, gt=0)
    run_heartbeat: float = Field(default=1.0, gt=0)
    run_takeover: float = Field(default=5.0, gt=0)
    run_log_bytes: int = Field(default=8 * 1024 * 1024, ge=65_536)
    run_log_grace: float = Field(default=30.0, ge=0)

    @field_validator(
        "cors_origins", "trusted_proxies", "jwt_algorithms", "upload_types", mode="before"
    )
    @classmethod
    def _split_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [each.strip().rstrip("/") for each in value.split(",") if each.strip()]
        return value

    @field_validator("model_reads", mode="before")
    @classmethod
    def _split_kinds(cls, value: Any) -> Any:
        if isinstance(value, str):
            kinds = [each.strip() for each in value.split(",") if each.strip()]
            return [] if kinds == ["none"] else kinds
        return value

    @field_validator("public_url", mode="after")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/") if value else None

    @field_validator("openai_base_url", mode="after")
    @classmethod
    def _check_base_url(cls, value: str | None) -> str | None:
        if value:
            parse_model_url(value)
        return value

    @field_validator("model_headers", mode="after")
    @classmethod
    def _check_model_headers(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _parse_headers(value.get_secret_value())
        return value

    @field_validator("cors_origins", mode="after")
    @classmethod
    def _check_origins(cls, value: list[str]) -> list[str]:
        """Refuse what no browser's ``Origin`` can ever be equal to."""
        for each in value:
            if each != "*" and not _ORIGIN.fullmatch(each):
                raise ValueError(
                    f"{each!r} is no origin; write it as the browser does, https://chat.example or "
                    "http://localhost:3000: lower case, no path"
                )
        return value

    @property
    def public_origin(self) -> str | None:
        """The origin of ``PUBLIC_URL``, as a browser would send it."""
        scheme, _, rest = (self.public_url or "").partition("://")
        return f"{scheme}://{rest.partition('/')[0]}".lower() if rest else None

    @property
    def storage(self) -> str:
        """The URL of the storage: ``STORAGE_URL``, or a folder of ``data_dir``."""
        return self.storage_url or (self.data_dir.absolute() / "files").as_uri()

    @property
    def is_production(self) -> bool:
        """Whether unsafe defaults are refused."""
        return self.app_env == "production"

    @property
    def uses_embedded_database(self) -> bool:
        """Whether the Postgres that comes as a wheel is run under ``data_dir``."""
        return self.database_url is None

    @property
    def migrates_at_start(self) -> bool:
        """Whether ``serve`` applies migrations; unless set, in development only."""
        return not self.is_production if self.auto_migrate is None else self.auto_migrate

    @property
    def logs_error_messages(self) -> bool:
        """Whether the words of unexpected errors are logged; unless set, in development only."""
        return (
            not self.is_production if self.log_error_messages is None else self.log_error_messages
        )

    @property
    def serves_docs(self) -> bool:
        """Whether ``/docs`` and ``/openapi.json`` are there; unless set, in development only."""
        return not self.is_production if self.api_docs is None else self.api_docs

    @property
    def uses_builtin_assistant(self) -> bool:
        """Whether the assistant of this repository answers, and not one that brings its own."""
        return self.assistant_server == BUILTIN_ASSISTANT

    @property
    def uses_offline_model(self) -> bool:
        """Whether the assistant answers without any model provider."""
        return self.openai_api_key is None and self.openai_base_url is None

    def inconsistencies(self) -> list[str]:
        """Return one line for each setting without which another one makes no sense."""
        problems: list[str] = []
        if self.identity == "jwt":
            problems += self._jwt_problems()
        if self.identity == "header" and not self.trusted_proxies:
            problems.append("TRUSTED_PROXIES is not set (IDENTITY=header believes only those)")
        if self.identity == "none" and not any(key for _, key in self.named_server_keys()):
            problems.append("SERVER_API_KEYS is not set (with IDENTITY=none nobody gets a session)")
        if self.chatkit_workflow_id and self.openai_api_key is None:
            problems.append("OPENAI_API_KEY is not set (CHATKIT_WORKFLOW_ID needs it)")
        url = parse_model_url(self.openai_base_url) if self.openai_base_url else None
        if url and url.names_deployment and self.model_api == "responses":
            problems.append("MODEL_API=chat_completions is not set (OPENAI_BASE_URL needs it)")
        if self.run_takeover < 2 * self.run_heartbeat:
            problems.append("RUN_TAKEOVER is less than twice RUN_HEARTBEAT (live runs would end)")
        return problems

    def _jwt_problems(self) -> list[str]:
        """Return what is missing or dangerous in how tokens would be checked."""
        problems: list[str] = []
        if (self.jwt_jwks_url is None) == (self.jwt_secret is None):
            problems.append("JWT_JWKS_URL or JWT_SECRET must be set, and not both")
        shared = self.jwt_secret is not None
        for name in self.jwt_algorithms:
            if name.startswith("HS") != shared or name.lower() == "none":
                kind = "a shared secret" if shared else "public keys"
                problems.append(f"JWT_ALGORITHMS: {name!r} is not for {kind}")
        return problems

    def unsafe_in_production(self) -> list[str]:
        """Return one line for each setting that must not stay as it is in production."""
        problems: list[str] = []
        if self.database_url is None:
            problems.append("DATABASE_URL is not set (the embedded Postgres is for development)")
        if self.signing_secret is None:
            problems.append("SIGNING_SECRET is not set (use at least 32 random characters)")
        elif len(self.signing_secret.get_secret_value()) < 32:
            problems.append("SIGNING_SECRET is too short (use at least 32 random characters)")
        elif not _looks_random(self.signing_secret.get_secret_value()):
            problems.append("SIGNING_SECRET is not random (secrets.token_hex(32) makes one)")
        if self.identity == "anonymous":
            problems.append("IDENTITY is 'anonymous' (anyone would get an identity)")
        if self.identity == "jwt":
            problems += self._unsafe_jwt()
        if self.identity == "header" and any(each.endswith("/0") for each in self.trusted_proxies):
            problems.append("TRUSTED_PROXIES trusts every address (anyone could be anyone)")
        if any(len(key) < MIN_KEY_LENGTH for _, key in self.named_server_keys()):
            problems.append("SERVER_API_KEYS has a key that is too short (at least 24 characters)")
        if any(key and not _looks_random(key) for _, key in self.named_server_keys()):
            problems.append("SERVER_API_KEYS has a key that is not random")
        if not self.chatkit_api_base.startswith("https://"):
            problems.append("CHATKIT_API_BASE is not https (the key would be readable on the way)")
        if "*" in self.cors_origins:
            problems.append("CORS_ORIGINS contains '*' (name the origins of your pages)")
        if self.upload_keep < 60:
            problems.append("UPLOAD_KEEP is under a minute (files would go while they are sent)")
        if self.uses_offline_model and self.uses_builtin_assistant:
            problems.append(f"OPENAI_API_KEY {NO_MODEL}")
        return problems

    def _unsafe_jwt(self) -> list[str]:
        problems: list[str] = []
        if self.jwt_secret is not None and len(self.jwt_secret.get_secret_value()) < 32:
            problems.append("JWT_SECRET is too short (use at least 32 random characters)")
        if self.jwt_jwks_url is not None and not self.jwt_jwks_url.startswith("https://"):
            problems.append("JWT_JWKS_URL is not https (anyone on the way could replace the keys)")
        if self.jwt_audience is None:
            problems.append("JWT_AUDIENCE is not set (tokens meant for others would be taken)")
        return problems

    def named_model_headers(self) -> dict[str, str]:
        """Return the headers of ``MODEL_HEADERS`` by their names."""
        return _parse_headers(self.model_headers.get_secret_value()) if self.model_headers else {}

    def named_server_keys(self) -> list[tuple[str, str]]:
        """Return the names and keys of ``SERVER_API_KEYS``; a key alone is named by its place."""
        given = self.server_api_keys.get_secret_value() if self.server_api_keys else ""
        pairs: list[tuple[str, str]] = []
        for place, each in enumerate((part.strip() for part in given.split(",")), start=1):
            name, colon, key = each.partition(":")
            if each:
                pairs.append((name, key) if colon else (f"key{place}", each))
        return pairs


def _parse_headers(given: str) -> dict[str, str]:
    """Return headers written as ``Name: value, Name: value`` or as a JSON object.

    Raises ``ValueError`` without quoting a value, which may be a secret.
    """
    if given.lstrip().startswith("{"):
        try:
            pairs = list(json.loads(given).items())
        except ValueError:
            raise ValueError("is no JSON object") from None
    else:
        # A comma within a value is not followed by another name and a colon.
        lines = re.split(r",\s*(?=[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*:\s)|\n", given)
        parts = [line.partition(":") for line in lines if line.strip()]
        pairs = [(name.strip(), value.strip()) for name, _, value in parts]
    for place, (name, value) in enumerate(pairs, start=1):
        is_value = isinstance(value, str) and value.isascii() and value.isprintable() and value
        if not _HEADER_NAME.fullmatch(name) or not is_value:
            raise ValueError(f"header {place} is malformed; write Name: value, Other-Name: value")
    return dict(pairs)


def _looks_random(secret: str) -> bool:
    """Return whether there is some variety in a secret; phrases to be replaced have none."""
    return len(set(secret)) >= MIN_VARIETY and "change" not in secret.lower()


def load_settings(**overrides: Any) -> Settings:
    """Return the settings; raises ``SettingsError`` with one line that names what is wrong."""
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper() or "settings"
        raise SettingsError(f"{name}: {first['msg']}") from None
    if problems := settings.inconsistencies():
        raise SettingsError("; ".join(problems))
    if settings.is_production and (problems := settings.unsafe_in_production()):
        raise SettingsError("APP_ENV=production refuses: " + "; ".join(problems))
    return settings
