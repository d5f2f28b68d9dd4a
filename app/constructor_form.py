"""How a class or function that makes an assistant is called: by what its parameters say.

It is given the store, the attachment store if it takes one, and the settings if it takes those by
name. Parameters may be called anything.
"""

import inspect
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from inspect import BoundArguments, Parameter, Signature
from typing import Any

ACCEPTED_FORMS = (
    "it must take (store) or (store, attachment_store), either of them with settings=... or without"
)
SETTINGS = "settings"

_FILES = re.compile("attach|file|upload|blob", re.IGNORECASE)
_PERHAPS_FILES = re.compile(rf"{_FILES.pattern}|stor(e|age)|\bany\b|\bobject\b", re.IGNORECASE)
_BY_PLACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_OPEN = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


@dataclass(frozen=True, slots=True)
class ConstructorForm:
    """A signature, and its parameters that are given something."""

    signature: Signature
    store: Parameter
    files: Parameter | None
    settings: Parameter | None

    def bind(self, store: Any, files: Any, settings: Any) -> BoundArguments:
        """Return the arguments of a call."""
        arguments: OrderedDict[str, Any] = OrderedDict()
        for parameter, value in ((self.store, store), (self.files, files)):
            if parameter is None:
                continue
            if parameter.kind is Parameter.VAR_POSITIONAL:
                arguments[parameter.name] = (*arguments.get(parameter.name, ()), value)
            else:
                arguments[parameter.name] = value
        if self.settings is not None:
            is_open = self.settings.kind is Parameter.VAR_KEYWORD
            arguments[self.settings.name] = {SETTINGS: settings} if is_open else settings
        return BoundArguments(self.signature, arguments)


def read_form(found: Callable[..., Any]) -> ConstructorForm:
    """Return how ``found`` is called; raises ``ValueError`` that says what it takes instead."""
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        raise ValueError("does not say what it takes") from None
    parameters = signature.parameters.values()
    places = [each for each in parameters if each.kind in _BY_PLACE and not _is_settings(each)]
    places += [each for each in parameters if each.kind is Parameter.VAR_POSITIONAL] * 2
    store, second = (*places, None, None)[:2]
    others = [each for each in parameters if each not in (store, second)]
    is_refused = any(_is_required(each) and not _is_settings(each) for each in others)
    if store is None or is_refused or (second is not None and _is_something_else(second)):
        shown = signature.replace(return_annotation=Signature.empty)
        raise ValueError(f"takes {' '.join(str(shown).split())}")
    files = second if second is not None and _takes_files(found, second) else None
    return ConstructorForm(signature, store, files, _find_settings(found, signature))


def _is_settings(parameter: Parameter) -> bool:
    return parameter.name == SETTINGS and parameter.kind in _BY_NAME


def _is_required(parameter: Parameter) -> bool:
    return parameter.default is Parameter.empty and parameter.kind not in _OPEN


def _is_something_else(second: Parameter) -> bool:
    """Return whether the second argument must be given, but can be no attachment store."""
    has_annotation = second.annotation is not Parameter.empty
    return _is_required(second) and has_annotation and not _mentions(_PERHAPS_FILES, second)


def _mentions(words: re.Pattern[str], parameter: Parameter) -> bool:
    annotation = "" if parameter.annotation is Parameter.empty else str(parameter.annotation)
    return any(words.search(text) is not None for text in (parameter.name, annotation))


def _takes_files(found: Callable[..., Any], second: Parameter) -> bool:
    """Return whether the second argument means an attachment store.

    One that can be left out means one only if it says so: it may be a model's name as well.
    """
    if second.kind is not Parameter.VAR_POSITIONAL:
        return _is_required(second) or _mentions(_FILES, second)
    for signature in _signatures(found):
        parameters = signature.parameters.values()
        if all(each.kind is not Parameter.VAR_POSITIONAL for each in parameters):
            return len([each for each in parameters if each.kind in _BY_PLACE]) > 1
    return True


def _find_settings(found: Callable[..., Any], signature: Signature) -> Parameter | None:
    """Return the parameter that takes ``settings`` by name, if one does."""
    parameters = signature.parameters
    if SETTINGS in parameters:
        return parameters[SETTINGS] if _is_settings(parameters[SETTINGS]) else None
    options = [each for each in parameters.values() if each.kind is Parameter.VAR_KEYWORD]
    if not options:
        return None
    for each in _signatures(found):
        if SETTINGS in each.parameters:
            return options[0]
        if all(other.kind is not Parameter.VAR_KEYWORD for other in each.parameters.values()):
            return None
    return options[0]


def _signatures(found: Callable[..., Any]) -> list[Signature]:
    """Return the signatures that arguments reach: what one leaves open, it hands on to the next."""
    if not isinstance(found, type):
        return [inspect.signature(found)]
    own = (vars(each).get("__init__") for each in found.__mro__ if each is not object)
    return [_without_self(inspect.signature(each)) for each in own if inspect.isfunction(each)]


def _without_self(signature: Signature) -> Signature:
    return signature.replace(parameters=list(signature.parameters.values())[1:])
