"""Settings: documented in ``.env.example``, and refused in production where they are unsafe."""

import itertools
import re
from pathlib import Path

import pytest

from app.settings import Settings, SettingsError, load_settings

EXAMPLE = Path(__file__).parents[1] / ".env.example"
SAFE = {
    "app_env": "production",
    "database_url": "postgresql://db.example/chat",
    "signing_secret": "s" * 32,
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
    assert "s" * 32 not in text


def test_origins_are_a_list_when_the_variable_has_commas(monkeypatch):
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example/ , https://b.example,")
    assert load_settings().cors_origins == ["https://a.example", "https://b.example"]


def test_empty_variables_count_as_not_set(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "")
    assert load_settings().uses_embedded_database
