"""Which system user Postgres runs as: ours, or, because it refuses to run as root, another one."""

import logging
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

if sys.platform != "win32":
    import pwd

log = logging.getLogger(__name__)

NAME = "pgserver"


class SystemUserError(Exception):
    """Postgres cannot be run as a suitable system user; the message says why and what to do."""


if sys.platform == "win32":

    def system_user_for(cluster: Path) -> int | None:
        """Return none: on Windows Postgres runs as the user who starts it."""
        del cluster

    def group_of(user: int | None) -> int | None:
        """Return none: see ``system_user_for``."""
        del user

    def give_to(path: Path, user: int | None) -> None:
        """Do nothing: see ``system_user_for``."""
        del path, user

    def open_way_to(directory: Path, user: int | None) -> None:
        """Do nothing: see ``system_user_for``."""
        del directory, user

else:

    def system_user_for(cluster: Path) -> int | None:
        """Return the id of the user to run Postgres as, or none for our own.

        A cluster keeps the user who made it. Raises ``SystemUserError`` if that is somebody else
        and we are not root, or if root finds no user and cannot create one.
        """
        owner = cluster.stat().st_uid if cluster.exists() else None
        if os.geteuid() != 0:
            if owner is not None and owner != os.geteuid():
                raise SystemUserError(
                    f"{cluster} belongs to the system user {_name_of(owner)} (run as that user or "
                    "as root, or change DATA_DIR)"
                )
            return None
        return owner or _ensure_user()

    def group_of(user: int | None) -> int | None:
        """Return the main group of a user (its own number if it has no account)."""
        if user is None:
            return None
        try:
            return pwd.getpwuid(user).pw_gid
        except KeyError:
            return user

    def give_to(path: Path, user: int | None) -> None:
        """Make the user the owner of a file or directory; none leaves it as it is."""
        if user is not None:
            os.chown(path, user, group_of(user) or -1)

    def open_way_to(directory: Path, user: int | None) -> None:
        """Let the user pass through every directory down to ``directory``, without reading them.

        Raises ``SystemUserError`` where the permission cannot be changed.
        """
        if user is None:
            return
        for each in reversed([directory, *directory.parents]):
            status = each.stat()
            may_pass = stat.S_IXUSR if status.st_uid == user else stat.S_IXOTH
            if status.st_mode & may_pass:
                continue
            try:
                each.chmod(status.st_mode | may_pass)
            except OSError as error:
                raise SystemUserError(
                    f"the system user {_name_of(user)}, which Postgres runs as, cannot pass "
                    f"through {each} (chmod o+x it, move DATA_DIR, or do not run as root)"
                ) from error
            log.warning("chmod o+x %s: Postgres must pass through it as %s", each, _name_of(user))

    def _ensure_user() -> int:
        """Return the id of the user ``pgserver``, which is created if it does not exist."""
        try:
            return pwd.getpwnam(NAME).pw_uid
        except KeyError:
            pass
        useradd = shutil.which("useradd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if useradd is None:
            raise SystemUserError(
                "Postgres refuses to run as root, and there is no useradd to create the system "
                f"user {NAME} (do not run as root, or set DATABASE_URL to a Postgres server)"
            )
        command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME]
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
        try:
            return pwd.getpwnam(NAME).pw_uid  # also right if another process was faster
        except KeyError:
            raise SystemUserError(
                f"could not create the system user {NAME} ({result.stderr.strip()}): do not run "
                "as root, or set DATABASE_URL to a Postgres server"
            ) from None

    def _name_of(user: int) -> str:
        try:
            return pwd.getpwuid(user).pw_name
        except KeyError:
            return str(user)
