"""What the official package offers, read off the package itself, so that nothing is forgotten."""

import ast
import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from enum import Enum
from importlib import import_module
from textwrap import dedent
from types import ModuleType, UnionType
from typing import Annotated, Any, Literal, Union, get_origin

from pydantic import BaseModel
from typing_extensions import TypeVar, is_typeddict

MODULES = ("types", "widgets", "actions", "icons", "errors", "store", "server", "agents")
VOCABULARY = ("types", "widgets", "actions", "icons", "errors")
"""Modules of wire types. What they import from one another is part of their face as well."""


def official(module: str) -> ModuleType:
    """Return a module of the official package, whose import warns of its own widgets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = import_module(f"chatkit.{module}")
        for value in vars(found).values():
            # Or else the first use looks the names up that it lacks where it happens, also ours.
            if isinstance(value, type) and issubclass(value, BaseModel) and value is not BaseModel:
                value.model_rebuild(_types_namespace=vars(found))
        return found


def ours(module: str) -> ModuleType:
    """Return our module of the same name."""
    return import_module(f"app.chatkit.{module}")


def public_names(module: str) -> list[str]:
    """Return the public names of an official module, in the order of its source."""
    names: dict[str, None] = {}
    for node in ast.parse(inspect.getsource(official(module))).body:
        names |= dict.fromkeys(_names_bound_by(node, re_exports=module in VOCABULARY))
    return [name for name in names if _is_public(name, getattr(official(module), name))]


def _is_public(name: str, value: Any) -> bool:
    return not name.startswith("_") and not isinstance(value, TypeVar)


def _names_bound_by(node: ast.stmt, *, re_exports: bool) -> Iterator[str]:
    match node:
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            yield node.name
        case ast.Assign():
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case ast.ImportFrom() if re_exports and _is_from_the_package(node):
            yield from (alias.asname or alias.name for alias in node.names)
        case _:
            pass


def _is_from_the_package(node: ast.ImportFrom) -> bool:
    return node.level > 0 or (node.module or "").startswith("chatkit.")


def wire_type_names(module: str) -> list[str]:
    """Return the names of an official module's wire types: classes, unions and value sets."""
    return [name for name in public_names(module) if is_wire_type(getattr(official(module), name))]


def is_wire_type(value: Any) -> bool:
    """Return whether a value has a JSON schema worth comparing."""
    if isinstance(value, type):
        return is_typeddict(value) or (
            issubclass(value, BaseModel | Enum) and not value.__name__.startswith("_")
        )
    return get_origin(value) in (Annotated, Literal, Union, UnionType)


def public_methods(cls: type) -> dict[str, Any]:
    """Return what a class and its bases within its package offer beyond their foreign bases."""
    package = cls.__module__.partition(".")[0]
    members: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] == package:
            members |= {name: member for name, member in vars(base).items() if _is_offered(name)}
    return {name: member for name, member in members.items() if is_method(member)}


def public_attributes(cls: type) -> set[str]:
    """Return the public names that a class or its package's bases give to an instance."""
    package = cls.__module__.partition(".")[0]
    bases = [base for base in cls.__mro__ if base.__module__.partition(".")[0] == package]
    return {name for base in bases for name in _attributes_set_by(base)}


def _attributes_set_by(cls: type) -> set[str]:
    """Return the public names that a class body binds, or that its methods set on ``self``."""
    body = ast.parse(dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    names = {name for node in body.body for name in _names_bound_by(node, re_exports=False)}
    for node in ast.walk(body):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                names.add(name)
            case _:
                pass
    return {name for name in names if not name.startswith("_")}


def _is_offered(name: str) -> bool:
    return name in ("__init__", "__aiter__") or not name.startswith("_")


def is_method(member: Any) -> bool:
    """Return whether a member of a class is called or computed."""
    return callable(unwrapped(member)) and not isinstance(member, type)


def unwrapped(member: Any) -> Any:
    """Return the function behind a class method, static method, property or decorator."""
    if isinstance(member, classmethod | staticmethod):
        member = member.__func__
    elif isinstance(member, property):
        member = member.fget
    return inspect.unwrap(member) if callable(member) else member


def parameters(function: Callable[..., Any]) -> list[str]:
    """Return each parameter of a function as text: name, kind and default."""
    return [
        f"{each.name} ({each.kind.description}){_default_of(each)}"
        for each in inspect.signature(function).parameters.values()
    ]


def _default_of(parameter: inspect.Parameter) -> str:
    default = parameter.default
    if default is inspect.Parameter.empty:
        return ""
    if callable(default):
        return f" = {default.__name__}"
    plain = default is None or isinstance(default, str | int | float | bool)
    return f" = {default!r}" if plain else f" = {type(default).__name__}(...)"


def calling_kind(function: Any) -> str:
    """Return how the result of a function is obtained: called, awaited or iterated."""
    returned = str(inspect.signature(function).return_annotation)
    if inspect.isasyncgenfunction(function) or re.search("AsyncIterator|AsyncGenerator", returned):
        return "async iterator"
    if inspect.iscoroutinefunction(function):
        return "coroutine"
    return "plain"
