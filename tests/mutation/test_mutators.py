"""The faults that can be put into a source."""

import ast
from pathlib import Path

import pytest

from tests.mutation.mutators import find_mutants

HERE = Path("x.py")


def changed(source: str) -> set[str]:
    return {each.apply(source) for each in find_mutants(HERE, source)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = b == c\n", {"a = b != c\n"}),
        ("if not a:\n    pass\n", {"if a:\n    pass\n"}),
        ("a = b and c\n", {"a = b or c\n"}),
        ("a = True\n", {"a = False\n"}),
        ("def f():\n    g(1)\n", {"def f():\n    pass\n"}),
        ("def f():\n    raise E\n", {"def f():\n    pass\n"}),
        ("def f():\n    logger.info('x')\n", set()),
        ('"""SELECT 1 WHERE a AND b"""\n', set()),
        ("ü = 'é' == x\n", {"ü = 'é' != x\n"}),
    ],
)
def test_source_has_these_faults(source: str, expected: set[str]) -> None:
    assert changed(source) == expected


def test_every_condition_of_a_statement_can_be_dropped() -> None:
    source = 'Q = """\nSELECT 1 FROM t WHERE a = $1 AND b = $2 AND c ORDER BY d"""\n'
    found = changed(source)
    assert 'Q = """\nSELECT 1 FROM t WHERE a = $1 AND c ORDER BY d"""\n' in found
    assert 'Q = """\nSELECT 1 FROM t WHERE a = $1 AND b = $2 ORDER BY d"""\n' in found


def test_every_fault_of_the_application_is_still_python() -> None:
    root = Path(__file__).parents[2]
    for path in sorted((root / "app" / "runs").glob("*.py")):
        source = path.read_text()
        for mutant in find_mutants(path, source):
            ast.parse(mutant.apply(source))
