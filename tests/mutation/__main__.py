"""``python -m tests.mutation --count 60 --seed 1``: put faults into a copy, see which tests notice.

A mutant is killed if the tests of its part fail or hang. What survives is printed: it is harmless,
or a hole. Each takes as long as the tests up to the first that fails, so this is run by hand.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutation.mutators import Mutant, find_mutants

ROOT = Path(__file__).parents[2]
TESTS = {
    "app/chatkit/engine": ["tests/chatkit/engine", "tests/runs", "tests/conformance"],
    "app/runs": ["tests/runs"],
    "app/db": ["tests/db", "tests/runs", "tests/security"],
    "app/auth": ["tests/auth", "tests/security"],
    "app/uploads": ["tests/uploads"],
}
"""Which tests speak for which part; the first ones fail first."""
TIMEOUT = 600
"""Seconds after which the tests of a mutant count as hanging."""


def main() -> int:
    """Run a sample of mutants; the exit code says whether fewer than nine in ten were killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--count", type=int, default=60, help="how many mutants are drawn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="app/", help="what the path must begin with")
    given = parser.parse_args()
    drawn = _draw(given.only, given.count, given.seed)
    with tempfile.TemporaryDirectory(prefix="mutation-") as directory:
        copy = Path(directory) / "copy"
        _copy_tree(copy)
        survivors = [each for each in drawn if not _is_killed(each, copy)]
    killed = len(drawn) - len(survivors)
    share = killed / len(drawn) if drawn else 1.0
    _say(f"seed {given.seed}: {killed} of {len(drawn)} mutants were killed ({share:.0%})")
    for each in survivors:
        _say(f"  survived: {each.describe((ROOT / each.path).read_text())}")
    return share < 0.9


def _draw(only: str, count: int, seed: int) -> list[Mutant]:
    found: list[Mutant] = []
    for part in TESTS:
        for path in sorted((ROOT / part).rglob("*.py")):
            relative = path.relative_to(ROOT)
            if str(relative).startswith(only):
                found += find_mutants(relative, path.read_text())
    return random.Random(seed).sample(found, min(count, len(found)))


def _copy_tree(copy: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)


def _is_killed(mutant: Mutant, copy: Path) -> bool:
    path = copy / mutant.path
    source = path.read_text()
    begin = time.monotonic()
    try:
        path.write_text(mutant.apply(source))
        is_killed = not _pass(_tests_of(mutant), copy)
    finally:
        path.write_text(source)
    word = "killed  " if is_killed else "SURVIVED"
    _say(f"{word} {time.monotonic() - begin:5.0f} s  {mutant.describe(source)}")
    return is_killed


def _tests_of(mutant: Mutant) -> list[str]:
    return next(tests for part, tests in TESTS.items() if mutant.path.is_relative_to(part))


def _pass(tests: list[str], copy: Path) -> bool:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        run = subprocess.run(
            command,
            cwd=copy,
            env=os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
            timeout=TIMEOUT,
            capture_output=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return run.returncode == 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
