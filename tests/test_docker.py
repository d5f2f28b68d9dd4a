"""The container files, as far as they can be judged without a container engine."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
FINAL_STAGE = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_base_images_have_a_version(compose):
    images = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    images += [service["image"] for service in compose["services"].values()]
    for image in images:
        assert re.search(r":[\w.-]+$", image), image
        assert not image.endswith(":latest")


def test_final_image_has_no_build_tools_and_no_root():
    assert len(re.findall(r"^FROM ", DOCKERFILE, re.MULTILINE)) == 2
    assert "COPY --from=build" in FINAL_STAGE
    assert not re.search(r"apt-get|pip install|gcc", FINAL_STAGE)
    user = re.findall(r"^USER (\S+)", FINAL_STAGE, re.MULTILINE)
    assert user == ["chatkit"]
    assert FINAL_STAGE.index("USER chatkit") < FINAL_STAGE.index("ENTRYPOINT")


def test_image_installs_only_what_is_pinned():
    assert "--require-hashes" in DOCKERFILE
    assert "--requirement requirements.lock" in DOCKERFILE
    assert "pixeltable" not in (ROOT / "requirements.lock").read_text()


def test_image_says_whether_it_is_healthy():
    assert re.search(r"^HEALTHCHECK .*\\\n\s+CMD \[\"python\".*healthz", FINAL_STAGE, re.MULTILINE)


def test_everything_that_is_copied_exists_and_gets_into_the_context():
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")
    }
    copied = set(re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE))
    assert copied == allowed
    for name in copied:
        assert (ROOT / name).exists()


def test_services_start_one_after_the_other(compose):
    services = compose["services"]
    assert set(services) == {"postgres", "migrate", "app"}
    assert "pg_isready" in services["postgres"]["healthcheck"]["test"]
    assert services["postgres"]["volumes"] == ["database:/var/lib/postgresql/data"]
    assert services["migrate"]["command"] == ["migrate"]
    assert services["migrate"]["restart"] == "no"
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert services["app"]["depends_on"] == {
        "postgres": {"condition": "service_healthy"},
        "migrate": {"condition": "service_completed_successfully"},
    }


def test_volumes_are_declared_when_a_service_mounts_them(compose):
    mounted = {
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
    }
    assert mounted == set(compose["volumes"])


def test_nothing_is_published_beyond_this_machine(compose):
    ports = [port for each in compose["services"].values() for port in each.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_stop_gives_runs_the_time_to_drain(compose):
    grace = int(compose["services"]["app"]["stop_grace_period"].removesuffix("s"))
    assert grace >= 2 * 10 + 5  # SHUTDOWN_DRAIN's default, twice, and the streams' last frames


def test_no_env_file_is_needed(compose):
    for service in compose["services"].values():
        for env_file in service.get("env_file", []):
            assert env_file["required"] is False
    variables = re.findall(r"\$\{([^}]+)\}", (ROOT / "docker-compose.yml").read_text())
    assert all(":-" in variable for variable in variables)


def test_readme_puts_own_modules_where_the_image_looks_for_them():
    readme = (ROOT / "README.md").read_text()
    (directory,) = re.findall(r"^WORKDIR (\S+)", FINAL_STAGE, re.MULTILINE)
    assert f"COPY myapp.py {directory}/" in readme
    assert f":{directory}/myapp.py:ro" in readme
    (image,) = re.findall(r"`FROM (\S+)`", readme)
    assert f"image: {image}" in (ROOT / "docker-compose.yml").read_text()
