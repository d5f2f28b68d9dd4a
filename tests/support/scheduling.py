"""Which tests run side by side, where several processes share them (``pytest -n 2``).

Each process has a Postgres of its own. Whole files go to one process, so that what a file sets up
is set up once; all that needs a browser goes to the same one. The longest go first, so that none is
left alone with one of them at the end.
"""

from collections.abc import Sequence

import pytest
from xdist.scheduler import LoadScopeScheduling

LONGEST = ("tests/faults/", "tests/browser/", "tests/e2e/")
WITH_BROWSER = ("tests/browser/", "tests/readme/test_examples.py")


class FileScheduling(LoadScopeScheduling):
    """Hands out files in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return "browser" if nodeid.startswith(WITH_BROWSER) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> FileScheduling:
    """Return the scheduling, whatever ``--dist`` says."""
    config.option.loadscopereorder = False
    return FileScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first, and leave the others as they are."""
    items.sort(key=lambda item: rank(item.nodeid))


def rank(nodeid: str, longest: Sequence[str] = LONGEST) -> int:
    """Return the place of a test's folder among the longest."""
    return next((n for n, folder in enumerate(longest) if nodeid.startswith(folder)), len(longest))
