"""Settings: documented in ``.env.example``, and refused in production where they are unsafe."""

import itertools
import re
from pathlib import Path

import pytest

from app.settings import Settings, SettingsError, load_settings

EXAMPLE = Path(__file__).parents[1] / ".env.example"
SECRET = "0123456789abcdef" * 2
SAFE = {
    "app_env": "production",
    "database_url": "postgresql://db.example/chat",
    "signing_secret": SECRET,
    "identity": "package.module:function",
    "openai_api_key": "sk-test",
}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let nothing but the test decide what the settings are."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_example_names_every_setting_in_the_same_order():
    names = re.findall(r"^#([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE)
    assert [name.lower() for name in names] == list(Settings.model_fields)


def test_example_shows_every_default():
    lines = re.findall(r"^#([A-Z_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)
    for name, value in lines:
        default = Settings.model_fields[name.lower()].get_default(call_default_factory=True)
        assert bool(value) == (default not in (None, [])), name
    Path(".env").write_text("".join(f"{name}={value}\n" for name, value in lines))
    assert Settings() == Settings(_env_file=None)  # type: ignore[call-arg]


def test_example_explains_every_setting_in_the_line_above():
    lines = EXAMPLE.read_text().splitlines()
    for above, line in itertools.pairwise(lines):
        if re.match(r"#[A-Z_]+=", line):
            assert re.match(r"# .{10,}\.$", above), line


def test_development_needs_nothing():
    settings = load_settings()
    assert settings.uses_embedded_database
    assert settings.uses_offline_model
    assert settings.migrates_at_start


def test_production_starts_when_everything_is_set():
    settings = load_settings(**SAFE)
    assert settings.is_production
    assert not settings.migrates_at_start


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"database_url": None}, "DATABASE_URL"),
        ({"signing_secret": None}, "SIGNING_SECRET"),
        ({"signing_secret": "short"}, "SIGNING_SECRET"),
        ({"identity": "anonymous"}, "IDENTITY"),
        ({"cors_origins": "https://a.example,*"}, "CORS_ORIGINS"),
        ({"openai_api_key": None}, "OPENAI_API_KEY"),
        ({"signing_secret": "a" * 40}, "SIGNING_SECRET"),
        ({"signing_secret": "change-me-change-me-change-me-change-me"}, "SIGNING_SECRET"),
        ({"identity": "header", "trusted_proxies": "10.0.0.0/8,::/0"}, "TRUSTED_PROXIES"),
        ({"server_api_keys": f"one:{SECRET},two:{'a' * 24}"}, "SERVER_API_KEYS"),
        ({"chatkit_api_base": "http://api.example"}, "CHATKIT_API_BASE"),
        ({"upload_keep": 30}, "UPLOAD_KEEP"),
    ],
)
def test_production_names_the_setting_when_a_default_is_unsafe(change, name):
    with pytest.raises(SettingsError) as caught:
        load_settings(**SAFE | change)
    assert re.findall(r"\b[A-Z]+_[A-Z_]+\b|\bIDENTITY\b", str(caught.value))[1:] == [name]
    assert "\n" not in str(caught.value)


def test_production_names_all_when_several_are_unsafe():
    with pytest.raises(SettingsError, match=r"DATABASE_URL.*SIGNING_SECRET.*IDENTITY"):
        load_settings(app_env="production")


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PORT", "many"), ("APP_ENV", "staging"), ("DATABASE_POOL_SIZE", "0"), ("TRACING", "perhaps")],
)
def test_the_variable_is_named_when_its_value_is_malformed(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{variable}: ") as caught:
        load_settings()
    assert "\n" not in str(caught.value)


def test_secrets_are_not_shown_when_settings_are_printed():
    text = repr(load_settings(**SAFE, openai_base_url="http://model.example"))
    assert "sk-test" not in text
    assert SECRET not in text


def test_origins_are_a_list_when_the_variable_has_commas(monkeypatch):
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example/ , https://b.example,")
    assert load_settings().cors_origins == ["https://a.example", "https://b.example"]


@pytest.mark.parametrize(
    "origin",
    ["null", "chat.example", "https://chat.example/app", "https://Chat.example", "localhost:3000"],
)
def test_origin_is_refused_when_no_browser_sends_it(monkeypatch, origin):
    monkeypatch.setenv("CORS_ORIGINS", f"https://a.example,{origin}")
    with pytest.raises(SettingsError, match=f"^CORS_ORIGINS: .*{re.escape(origin)}"):
        load_settings()


@pytest.mark.parametrize(
    "origin", ["*", "http://localhost:3000", "http://[::1]:8000", "https://a-b.example:444"]
)
def test_origin_is_taken_as_browsers_send_it(monkeypatch, origin):
    monkeypatch.setenv("CORS_ORIGINS", origin)
    assert load_settings().cors_origins == [origin]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"run_takeover": 1.5}, "RUN_TAKEOVER"),
        ({"openai_base_url": "localhost:11434/v1"}, "OPENAI_BASE_URL"),
        ({"identity": "none", "server_api_keys": ","}, "SERVER_API_KEYS"),
    ],
)
def test_start_is_refused_when_settings_contradict_each_other(change, name):
    with pytest.raises(SettingsError, match=f"^{name}"):
        load_settings(**change)


def test_empty_variables_count_as_not_set(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "")
    assert load_settings().uses_embedded_database
