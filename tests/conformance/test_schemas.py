"""Our types and names are those of the official package.

What is compared is read off the official modules, so a new release that adds a type fails here.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any, Literal, get_args

import pytest
from pydantic import TypeAdapter
from pydantic.json_schema import PydanticJsonSchemaWarning

from tests.conformance.differences import (
    NAME_DIFFERENCES,
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


@pytest.mark.parametrize("module", MODULES)
def test_every_official_name_exists_when_imported_from_our_module(module: str) -> None:
    assert not undeclared(missing_names(module), NAME_DIFFERENCES)


def test_missing_name_is_missing_when_declared() -> None:
    missing = [name for module in MODULES for name in missing_names(module)]
    assert not unused(missing, NAME_DIFFERENCES)


def missing_names(module: str) -> list[str]:
    our = ours(module)
    return [f"{module}.{name}" for name in public_names(module) if not hasattr(our, name)]


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
