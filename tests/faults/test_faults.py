"""The storm, at the size that a test run can afford. A longer one: ``python -m tests.faults``."""

from pathlib import Path

import pytest

from tests.faults.injector import Storm

FAULTS = 200


@pytest.mark.timeout(170)
async def test_nothing_acknowledged_is_lost_when_faults_rain(short_tmp_dir: Path) -> None:
    directory = short_tmp_dir / "storm"
    directory.mkdir()
    report = await Storm(directory, seed=20_261_120, count=FAULTS).run()
    print(report)  # noqa: T201 - the figures are what a person wants to see with -s
    assert report.verdict.violations == []
    assert report.faults.total() == FAULTS
    assert set(report.faults) == {"drop", "pause", "kill", "postgres", "cut", "stall", "alone"}
    # A storm in which nothing was said proves nothing.
    assert report.verdict.messages > 10
    assert report.takeovers
