"""Our types and names are those of the official package.

What is compared is read off the official modules, so a new release that adds a type fails here.
"""

import inspect
import re
from abc import ABC
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from functools import cache
from types import ModuleType
from typing import Any, Literal, get_args

import pytest
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic.json_schema import PydanticJsonSchemaWarning
from pydantic_core import PydanticUndefined
from typing_extensions import is_typeddict

from tests.conformance.differences import (
    CONSTANT_DIFFERENCES,
    FIELD_DIFFERENCES,
    SCHEMA_DIFFERENCES,
    SIGNATURE_DIFFERENCES,
)
from tests.conformance.official_surface import (
    MODULES,
    VOCABULARY,
    calling_kind,
    is_method,
    official,
    ours,
    parameters,
    public_attributes,
    public_methods,
    public_names,
    unwrapped,
    wire_type_names,
)
from tests.conformance.schema_diff import Difference, Schema, SchemaPair

Mode = Literal["validation", "serialization"]
WireType = tuple[str, str]  # module and name
MODES: tuple[Mode, ...] = get_args(Mode)

# The generic Action of the official package has a default that is no JSON value.
pytestmark = pytest.mark.filterwarnings(
    f"ignore::{PydanticJsonSchemaWarning.__module__}.{PydanticJsonSchemaWarning.__name__}"
)


@cache
def all_wire_types() -> list[WireType]:
    return [(module, name) for module in VOCABULARY for name in wire_type_names(module)]


class Schemas:
    """The schemas of all wire types of one package, built in one go."""

    def __init__(self, module: Callable[[str], ModuleType]) -> None:
        inputs: list[tuple[WireType, Mode, TypeAdapter[Any]]] = []
        for module_name, name in all_wire_types():
            adapter = TypeAdapter(getattr(module(module_name), name))
            inputs += [((module_name, name), mode, adapter) for mode in MODES]
        self.by_type, rest = TypeAdapter.json_schemas(inputs)
        self.definitions: Schema = rest["$defs"]


@cache
def all_schemas() -> tuple[Schemas, Schemas]:
    return Schemas(official), Schemas(ours)


@cache
def schema_differences(wire_type: WireType) -> dict[str, Difference]:
    """Return the differences by their path; they may be in either mode, or in both."""
    theirs, our = all_schemas()
    pair = SchemaPair(theirs.definitions, our.definitions)
    return {
        each.path: each
        for mode in MODES
        for each in pair.differences(
            wire_type[1], theirs.by_type[wire_type, mode], our.by_type[wire_type, mode]
        )
    }


def matches(pattern: str, path: str) -> bool:
    wildcards = re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^.]*")
    return re.fullmatch(wildcards, path) is not None


def undeclared(paths: Iterable[str], table: Mapping[str, str]) -> list[str]:
    return [path for path in paths if not any(matches(pattern, path) for pattern in table)]


def unused(paths: Iterable[str], table: Mapping[str, str]) -> list[str]:
    known = list(paths)
    return [pattern for pattern in table if not any(matches(pattern, path) for path in known)]


@pytest.mark.parametrize("wire_type", all_wire_types(), ids=".".join)
def test_schema_is_the_official_one_when_compared(wire_type: WireType) -> None:
    found = schema_differences(wire_type)
    wrong = undeclared(found, SCHEMA_DIFFERENCES)
    assert not wrong, "\n".join(str(found[path]) for path in wrong)


def test_schema_difference_occurs_when_declared() -> None:
    found = {path for each in all_wire_types() for path in schema_differences(each)}
    assert not unused(found, SCHEMA_DIFFERENCES)


def signature_differences(module: str) -> Iterator[Difference]:
    for name in public_names(module):
        theirs, our = getattr(official(module), name), getattr(ours(module), name, None)
        if inspect.isclass(theirs) and inspect.isclass(our):
            yield from method_differences(f"{module}.{name}", theirs, our)
        elif inspect.isfunction(theirs):
            yield from function_differences(f"{module}.{name}", theirs, our)


def method_differences(path: str, theirs: type, our: type) -> Iterator[Difference]:
    for name, member in public_methods(theirs).items():
        our_member = inspect.getattr_static(our, name, None)
        if type(member) is not type(our_member) and not is_method(our_member):
            yield Difference(f"{path}.{name}", type(member).__name__, type(our_member).__name__)
        else:
            yield from function_differences(f"{path}.{name}", member, our_member)


def function_differences(path: str, theirs: Any, our: Any) -> Iterator[Difference]:
    pair = unwrapped(theirs), unwrapped(our)
    shown = [f"{calling_kind(each)} {parameters(each)}" for each in pair]
    if shown[0] != shown[1]:
        yield Difference(path, shown[0], shown[1])


@pytest.mark.parametrize("module", MODULES)
def test_signatures_are_the_official_ones_when_called(module: str) -> None:
    found = {each.path: each for each in signature_differences(module)}
    wrong = undeclared(found, SIGNATURE_DIFFERENCES)
    assert not wrong, "\n".join(str(found[path]) for path in wrong)


def test_signature_difference_occurs_when_declared() -> None:
    found = {each.path for module in MODULES for each in signature_differences(module)}
    assert not unused(found, SIGNATURE_DIFFERENCES)


# --- what a schema does not tell -----------------------------------------------------------------


def pairs(kind: type) -> Iterator[tuple[str, Any, Any]]:
    """Yield the path, the official and our value of every public class of a kind."""
    for module in MODULES:
        for name in public_names(module):
            theirs, our = getattr(official(module), name), getattr(ours(module), name, None)
            if inspect.isclass(theirs) and issubclass(theirs, kind) and our is not None:
                yield f"{module}.{name}", theirs, our


def field_facts(model: type[BaseModel]) -> dict[str, tuple[Any, ...]]:
    """Return what a schema leaves out of each field: made defaults, names and mutability."""
    return {
        name: (default_of(field), field.alias, field.frozen)
        for name, field in model.model_fields.items()
    }


def default_of(field: FieldInfo) -> Any:
    default = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, BaseModel):
        return default.model_dump()
    return default if default is not PydanticUndefined else "required"


def test_fields_have_the_official_defaults_when_left_out() -> None:
    wrong = [
        f"{path}.{name}: official {fact} | ours {field_facts(our).get(name)}"
        for path, theirs, our in pairs(BaseModel)
        for name, fact in field_facts(theirs).items()
        if field_facts(our).get(name) != fact and f"{path}.{name}" not in FIELD_DIFFERENCES
    ]
    assert not wrong, "\n".join(wrong)


def test_field_difference_occurs_when_declared() -> None:
    found = {path: (theirs, our) for path, theirs, our in pairs(BaseModel)}
    for place in FIELD_DIFFERENCES:
        path, _, name = place.rpartition(".")
        theirs, our = found[path]
        assert field_facts(theirs)[name] != field_facts(our)[name]


def test_instances_have_the_official_attributes_when_created() -> None:
    wrong = [
        f"{path}: {sorted(missing)}"
        for path, theirs, our in pairs(object)
        if not issubclass(theirs, BaseModel | Enum) and not is_typeddict(theirs)
        if (missing := public_attributes(theirs) - public_attributes(our))
    ]
    assert not wrong, "\n".join(wrong)


def test_errors_are_of_the_official_kinds_when_caught() -> None:
    kinds = {theirs: our for _, theirs, our in pairs(Exception)}
    for theirs, our in kinds.items():
        for base in theirs.__mro__[1:]:
            assert issubclass(our, kinds.get(base, base)) or base is ABC


@pytest.mark.parametrize("arguments", [{}, {"allow_retry": True}, {"allow_retry": False}])
def test_errors_say_what_the_official_ones_say_when_created(arguments: dict[str, bool]) -> None:
    theirs, our = official("errors"), ours("errors")
    for kind, first in (("StreamError", "stream.error"), ("CustomStreamError", "Sorry")):
        pair = [getattr(each, kind)(first, **arguments) for each in (theirs, our)]
        assert vars(pair[0]) == vars(pair[1])


@pytest.mark.parametrize("module", MODULES)
def test_constants_are_the_official_ones_when_read(module: str) -> None:
    for name in public_names(module):
        value = getattr(official(module), name)
        if isinstance(value, str | int | dict):
            is_same = getattr(ours(module), name) == value
            assert is_same is (f"{module}.{name}" not in CONSTANT_DIFFERENCES)
