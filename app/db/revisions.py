"""The migration scripts that this version of the software comes with."""

import functools
import io
from dataclasses import dataclass
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Revisions:
    """The ids of all migrations, and the last one's."""

    head: str | None
    known: frozenset[str]


def alembic_config() -> Config:
    """Return Alembic's configuration; it is in ``pyproject.toml``, whatever the cwd is."""
    # What Alembic's commands print is not for our stdout.
    config = Config(toml_file=PROJECT / "pyproject.toml", stdout=io.StringIO())
    config.set_main_option("script_location", str(PROJECT / "migrations").replace("%", "%%"))
    return config


@functools.cache
def load_revisions() -> Revisions:
    """Read the migration scripts, once."""
    scripts = ScriptDirectory.from_config(alembic_config())
    known = frozenset(script.revision for script in scripts.walk_revisions())
    return Revisions(scripts.get_current_head(), known)
