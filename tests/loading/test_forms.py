"""Which classes and functions ``ASSISTANT_SERVER`` may name, how they are called, and what else
they are told in one line."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.assistant_loading import AssistantFactory, load_assistant
from app.chatkit.server import ChatKitServer
from app.chatkit.store import AttachmentStore, Store
from app.constructor_form import read_form
from app.settings import Settings, SettingsError
from tests.support.memory_store import MemoryStore


class Files(AttachmentStore[Any]):
    async def delete_attachment(self, attachment_id: str, context: Any) -> None:
        raise AssertionError


STORE, FILES = MemoryStore(), Files()
SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]


class Server(ChatKitServer[Any]):
    """Remembers what it was called with."""

    given: tuple[Any, ...] = ()

    async def respond(self, thread: Any, input_user_message: Any, context: Any) -> Any:
        yield None


class NoConstructor(Server):
    given = (STORE,)


class StoreAlone(Server):
    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.given = (data,)


class Both(Server):
    def __init__(self, data_store: Any, file_store: Any) -> None:
        super().__init__(data_store, file_store)
        self.given = (data_store, file_store)


class BothByOtherNames(Server):
    def __init__(self, a, b) -> None:
        super().__init__(a, b)
        self.given = (a, b)


class Annotated(Server):
    def __init__(self, s: Store[Any], a: "AttachmentStore[Any] | None" = None) -> None:
        super().__init__(s, a)
        self.given = (s, a)


class WithSettings(Server):
    def __init__(self, store: Any, *, settings: Any) -> None:
        super().__init__(store)
        self.given = (store, settings)


class SettingsByPlace(Server):
    def __init__(self, store: Any, settings: Any) -> None:
        super().__init__(store)
        self.given = (store, settings)


class SettingsFirst(Server):
    def __init__(self, settings: Any, store: Any, files: Any) -> None:
        super().__init__(store, files)
        self.given = (settings, store, files)


class Everything(Server):
    def __init__(self, x: Any, attachments: Any = None, *, settings: Any = None) -> None:
        super().__init__(x, attachments)
        self.given = (x, attachments, settings)


class OptionalModel(Server):
    """Its second argument is none of our business."""

    def __init__(self, store: Any, model: str = "m", agent: Any = None, *, debug: Any = 0) -> None:
        super().__init__(store)
        self.given = (store, model, agent, debug)


class HandsOn(WithSettings):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)


class HandsOnNoSettings(Both):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)


class OnlyByPlace(Server):
    def __init__(self, store: Any, files: Any, /) -> None:
        super().__init__(store, files)
        self.given = (store, files)


def function(store: Any) -> Server:
    return StoreAlone(store)


def function_of_everything(store: Any, files: Any, settings: Any) -> Server:
    return Everything(store, files, settings=settings)


async def asynchronous(store: Any) -> Server:
    return StoreAlone(store)


CASES: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (NoConstructor, (STORE,)),
    (StoreAlone, (STORE,)),
    (Both, (STORE, FILES)),
    (BothByOtherNames, (STORE, FILES)),
    (Annotated, (STORE, FILES)),
    (WithSettings, (STORE, SETTINGS)),
    (SettingsByPlace, (STORE, SETTINGS)),
    (SettingsFirst, (SETTINGS, STORE, FILES)),
    (Everything, (STORE, FILES, SETTINGS)),
    (OptionalModel, (STORE, "m", None, 0)),
    (HandsOn, (STORE, SETTINGS)),
    (HandsOnNoSettings, (STORE, FILES)),
    (OnlyByPlace, (STORE, FILES)),
    (function, (STORE,)),
    (function_of_everything, (STORE, FILES, SETTINGS)),
    (functools.partial(OptionalModel, model="n"), (STORE, "n", None, 0)),
]


@pytest.mark.parametrize(("found", "given"), CASES, ids=lambda each: getattr(each, "__name__", ""))
def test_server_is_made_when_its_form_is_accepted(
    found: Callable[..., Any], given: tuple[Any, ...]
) -> None:
    server = AssistantFactory("app:It", found, read_form(found)).make(STORE, FILES, SETTINGS)
    assert isinstance(server, Server)
    assert server.given == given
    assert server.store is STORE
    assert server.attachment_store is FILES


def nothing() -> Server:
    raise AssertionError


def settings_alone(settings: Any) -> Server:
    raise AssertionError


def three(store: Any, files: Any, model: str) -> Server:
    raise AssertionError


def something_else(store: Any, agent: Server) -> Server:
    raise AssertionError


def needs_more(store: Any, *, api_key: str) -> Server:
    raise AssertionError


REFUSED = {
    nothing: "takes ()",
    settings_alone: "takes (settings: Any)",
    three: "takes (store: Any, files: Any, model: str)",
    something_else: "takes (store: Any, agent: tests.loading.test_forms.Server)",
    needs_more: "takes (store: Any, *, api_key: str)",
    int: "",
}


@pytest.mark.parametrize("found", REFUSED, ids=lambda each: each.__name__)
def test_form_is_refused_with_the_accepted_ones_when_it_is_none_of_them(
    found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.assistant_loading.resolve_name", lambda _: found)
    with pytest.raises(SettingsError) as refused:
        load_assistant(SETTINGS)
    message = str(refused.value)
    assert message.startswith("ASSISTANT_SERVER: ")
    assert REFUSED[found] in message
    assert "(store) or (store, attachment_store)" in message
    assert "settings=" in message
    assert "\n" not in message


class NoSuper(Server):
    def __init__(self, store: Any) -> None:
        pass


class Abstract(ChatKitServer[Any]):
    pass


class Failing(Server):
    def __init__(self, store: Any) -> None:
        raise KeyError("MY_VARIABLE\nis not set")


class Refusing(Server):
    def __init__(self, store: Any) -> None:
        raise SettingsError("MY_VARIABLE is not set")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (asynchronous, "is asynchronous"),
        (NoSuper, "must call super().__init__(store)"),
        (Abstract, "TypeError: Can't instantiate abstract class"),
        (Failing, "KeyError: 'MY_VARIABLE\\nis not set' (test_forms.py, line"),
        (Refusing, "MY_VARIABLE is not set"),
        (lambda store: object(), "made 'object' instead of a ChatKitServer"),
    ],
    ids=["coroutine", "no super", "abstract", "failing", "refusing", "no server"],
)
def test_failure_is_one_line_when_the_server_cannot_be_made(found: Any, message: str) -> None:
    factory = AssistantFactory("app:It", found, read_form(found))
    with pytest.raises(SettingsError) as refused:
        factory.make(STORE, FILES, SETTINGS)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_files_of_a_servers_own_are_left_to_it() -> None:
    own = Files()

    class Own(Server):
        def __init__(self, store: Any) -> None:
            super().__init__(store, own)

    assert (
        AssistantFactory("app:It", Own, read_form(Own))
        .make(STORE, FILES, SETTINGS)
        .attachment_store
        is own
    )


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("server = object()", "is not a class or function"),
        ("import chat_kitt", "No module named 'chat_kitt' (mine.py, line 1)"),
        ("raise RuntimeError('no luck')", "RuntimeError: no luck (mine.py, line 1)"),
        ("def server(:", "SyntaxError: "),
        ("", "has no attribute 'server'"),
    ],
)
def test_module_that_cannot_be_loaded_is_explained_in_one_line(
    code: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("app.assistant_loading.prepare_process", lambda _: None)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    with pytest.raises(SettingsError) as refused:
        load_assistant(SETTINGS.model_copy(update={"assistant_server": "mine:server"}))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
