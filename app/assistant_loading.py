"""From ``ASSISTANT_SERVER`` to the server that answers; every mistake is one line that names it.

What is named there may have been written for the official package, by somebody who knows nothing of
this backend. So its name for imports is made to work, the clients that it makes by itself get the
key and the address of the settings, and its constructor is called in the way that it can be.
"""

import inspect
import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from traceback import extract_tb
from typing import Any, cast

from agents import set_default_openai_api, set_default_openai_client

from app.chatkit.alias import OFFICIAL_NAME, install_alias, is_name_taken
from app.chatkit.context import RequestContext
from app.chatkit.old_names import OldNameWarning
from app.chatkit.server import ChatKitServer
from app.chatkit.store import AttachmentStore, Store
from app.constructor_form import ACCEPTED_FORMS, ConstructorForm, read_form
from app.providers.client import create_client
from app.settings import Settings, SettingsError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AssistantFactory:
    """What ``ASSISTANT_SERVER`` names, and how it is called."""

    name: str
    create: Callable[..., Any]
    form: ConstructorForm

    def make(
        self,
        store: Store[RequestContext],
        files: AttachmentStore[RequestContext],
        settings: Settings,
    ) -> ChatKitServer[RequestContext]:
        """Return the server; one without a place for files gets ``files``.

        Raises ``SettingsError``, also for what the constructor raises.
        """
        given = self.form.bind(store, files, settings)
        try:
            server: object = self.create(*given.args, **given.kwargs)
        except SettingsError:
            raise
        except Exception as error:
            logger.debug("The assistant could not be made", exc_info=True)
            raise SettingsError(
                f"ASSISTANT_SERVER: {self.name!r} could not be made: {describe_error(error)}"
            ) from error
        if not isinstance(server, ChatKitServer):
            raise SettingsError(f"ASSISTANT_SERVER: {self.name!r} {_describe_result(server)}")
        made = cast("ChatKitServer[RequestContext]", server)
        if not hasattr(made, "store"):
            raise SettingsError(
                f"ASSISTANT_SERVER: {self.name!r} must call super().__init__(store)"
            )
        if getattr(made, "attachment_store", None) is None:  # it may bring its own
            made.attachment_store = files
        return made


def load_assistant(settings: Settings) -> AssistantFactory:
    """Return what ``ASSISTANT_SERVER`` names: a class or function that makes a server.

    Raises ``SettingsError``.
    """
    if not settings.uses_builtin_assistant:
        prepare_process(settings)
    name = settings.assistant_server
    try:
        found = resolve_name(name)
    except Exception as error:  # whatever the module does while it is imported
        logger.debug("The assistant could not be loaded", exc_info=True)
        hint = ""
        if isinstance(error, ModuleNotFoundError) and error.name == OFFICIAL_NAME:
            hint = " (set CHATKIT_ALIAS=true, or import it as app.chatkit)"
        raise SettingsError(
            f"ASSISTANT_SERVER: cannot load {name!r}: {describe_error(error)}{hint}"
        ) from error
    if not callable(found):
        raise SettingsError(
            f"ASSISTANT_SERVER: {name!r} is not a class or function; {ACCEPTED_FORMS}"
        )
    try:
        form = read_form(found)
    except ValueError as error:
        raise SettingsError(f"ASSISTANT_SERVER: {name!r} {error}; {ACCEPTED_FORMS}") from None
    return AssistantFactory(name, found, form)


def prepare_process(settings: Settings) -> None:
    """Set for this process what code of others relies on, before any of it is imported.

    Those are the name ``chatkit``, the variables that the openai client and the Agents SDK read,
    and the latter's default client.
    """
    # Python hides warnings of what is old from everybody but the tests of a library.
    warnings.filterwarnings("default", category=OldNameWarning)
    logging.captureWarnings(True)
    wants_alias = settings.chatkit_alias
    if wants_alias or (wants_alias is None and not is_name_taken()):
        install_alias()
    if settings.assistant_model:
        os.environ["OPENAI_DEFAULT_MODEL"] = settings.assistant_model
    client = create_client(settings)
    if client is None:
        return
    os.environ["OPENAI_API_KEY"] = client.api_key
    if settings.openai_base_url:
        os.environ["OPENAI_BASE_URL"] = settings.openai_base_url
    set_default_openai_client(client, use_for_tracing=settings.tracing)
    set_default_openai_api(settings.model_api)


def describe_server(server: ChatKitServer[Any]) -> str:
    """Return the name of the class that answers."""
    kind = type(server)
    return f"{kind.__module__}:{kind.__qualname__}"


def describe_error(error: Exception) -> str:
    """Return an exception in one line, with the place in somebody's own code that raised it."""
    text = " ".join(str(error).split())
    kind = "" if isinstance(error, ImportError) else type(error).__name__
    frames = [each for each in extract_tb(error.__traceback__) if _is_own_code(each.filename)]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return ": ".join(part for part in (kind, text) if part) + place


def _is_own_code(filename: str) -> bool:
    path = Path(filename)
    is_ours = path.is_relative_to(Path(__file__).parent)
    return path.is_file() and not is_ours and not {"site-packages", "lib"} & set(path.parts)


def _describe_result(server: object) -> str:
    """Return what is wrong with something that is no server of ours."""
    if inspect.iscoroutine(server):
        server.close()
        return "is asynchronous; it must return the server at once"
    if any(each.__module__ == f"{OFFICIAL_NAME}.server" for each in type(server).__mro__):
        return (
            "is made of the official package's classes "
            "(set CHATKIT_ALIAS=true, or change its imports to app.chatkit)"
        )
    return f"made {type(server).__name__!r} instead of a ChatKitServer"
