"""``import chatkit`` as ``app.chatkit``: the same module objects under the official name.

Code that was written for the official package then runs without touching an import.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from pkgutil import walk_packages

import app.chatkit

OFFICIAL_NAME = "chatkit"


def is_name_taken() -> bool:
    """Return whether ``import chatkit`` would find something else: the official package, say.

    A mere folder of that name, without an ``__init__.py``, does not count.
    """
    known = sys.modules.get(OFFICIAL_NAME)
    if known is not None:
        return known is not app.chatkit
    spec = find_spec(OFFICIAL_NAME)
    return spec is not None and spec.origin is not None


def install_alias() -> None:
    """Make every module of this package known under the official name, in place of any other."""
    own_name = app.chatkit.__name__
    names = [each.name for each in walk_packages(app.chatkit.__path__, f"{own_name}.")]
    for known in [each for each in sys.modules if each.startswith(f"{OFFICIAL_NAME}.")]:
        del sys.modules[known]
    for name in (own_name, *names):
        sys.modules[OFFICIAL_NAME + name.removeprefix(own_name)] = import_module(name)
