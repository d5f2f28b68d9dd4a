"""What can be imported from the official package can be imported from ours, and from where."""

import pkgutil
from importlib import import_module
from inspect import ismodule
from types import ModuleType

import chatkit
import pytest

from tests.conformance.differences import NAMES_OF_OURS
from tests.conformance.official_surface import official, ours

MODULES = sorted(each.name for each in pkgutil.iter_modules(chatkit.__path__))


def importable(module: ModuleType) -> set[str]:
    """Return the public names of a module, also those that it merely imports itself."""
    return {name for name in vars(module) if not name.startswith("_")}


@pytest.mark.parametrize("module", MODULES)
def test_every_official_name_can_be_imported_from_our_module(module: str) -> None:
    assert importable(official(module)) - importable(ours(module)) == set()


@pytest.mark.parametrize("module", MODULES)
def test_star_import_gives_every_official_name(module: str) -> None:
    given: dict[str, object] = {}
    exec(f"from app.chatkit.{module} import *", given)
    assert importable(official(module)) - given.keys() == set()


@pytest.mark.parametrize("module", MODULES)
def test_names_that_only_our_module_offers_are_declared(module: str) -> None:
    offered = set(getattr(ours(module), "__all__", ()))
    extra = {each for each in offered if not each.startswith("_")} - importable(official(module))
    assert extra == set(NAMES_OF_OURS.get(module, "").split())


@pytest.mark.parametrize("module", MODULES)
def test_what_the_official_module_imports_from_elsewhere_is_the_same_object(module: str) -> None:
    theirs, our = official(module), ours(module)
    for name in importable(theirs):
        value = getattr(theirs, name)
        if ismodule(value):
            assert getattr(our, name) is value, name


def test_version_is_that_of_the_official_package() -> None:
    assert ours("version").__version__ == official("version").__version__


def test_logger_is_the_official_one() -> None:
    assert ours("logger").logger is import_module("logging").getLogger("chatkit")
