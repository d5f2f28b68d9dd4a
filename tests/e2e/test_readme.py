"""The README's examples, run as they stand."""

import re
import shutil
import subprocess

import pytest

from tests.e2e.replica import ROOT, Replica


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
async def test_readmes_curl_prints_an_answer(replica: Replica) -> None:
    readme = (ROOT / "README.md").read_text()
    found = re.search(r"<!-- tested: the curl example -->\n```sh\n(.*?)```", readme, re.DOTALL)
    assert found is not None
    printed = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", found[1]],
        env={"BASE_URL": replica.url, "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    kinds = re.findall(r'^data: \{"type":"([a-z_.]+)"', printed, re.MULTILINE)
    assert kinds[0] == "thread.created"
    assert kinds[-1] == "thread.item.done"
