"""``python -m tests.faults --faults 2000 --seed 7``: a longer storm, by hand."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.faults.injector import Storm


def main() -> int:
    """Run a storm and print its report; the exit code says whether anything was violated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ck-") as directory:
        path = Path(directory)
        path.chmod(0o755)
        report = asyncio.run(Storm(path, seed=arguments.seed, count=arguments.faults).run())
    sys.stdout.write(f"{report}\n")
    for violation in report.verdict.violations:
        sys.stdout.write(f"  {violation}\n")
    return bool(report.verdict.violations)


if __name__ == "__main__":
    sys.exit(main())
