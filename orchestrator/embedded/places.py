"""
Where the embedded servers keep their files, and as whom they run.

As root they run as an unprivileged user, whose files stand in ``/var/lib/assay``: that
user could not enter a data directory below a root-only parent.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from orchestrator.domain.errors import ConfigurationError

_ROOT_HOME = Path("/var/lib/assay")

#: Accounts without rights that nearly every system has; the first that is here.
_USERS = ("nobody", "daemon")


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """
    The folders of one data directory.

    ``home``: the servers' files. ``sockets``: short, since a socket's path ends at 107
    bytes. ``user``: (uid, gid) that the servers become, ``None`` when not root.
    """

    data_dir: Path
    home: Path
    sockets: Path
    user: tuple[int, int] | None

    @property
    def supervisor_socket(self) -> Path:
        """Where the supervisor is spoken to."""
        return self.sockets / "supervisor.sock"


def places(data_dir: Path) -> Places:
    """
    Make the folders, private to whoever owns them.

    Raises:
        ConfigurationError: A folder belongs to somebody else.
    """
    data_dir = data_dir.absolute()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:8]
    user = _unprivileged() if os.geteuid() == 0 else None
    home = _ROOT_HOME / key if user else data_dir
    sockets = Path("/tmp") / f"assay-{key}"  # noqa: S108  (0700 and ours, checked below)
    if user:
        _ROOT_HOME.mkdir(mode=0o755, parents=True, exist_ok=True)
        _private(home, user)
    _private(sockets, user)
    return Places(data_dir=data_dir, home=home, sockets=sockets, user=user)


def private_folder(path: Path, user: tuple[int, int] | None) -> Path:
    """Make a folder that only *user* (else we) may enter."""
    _private(path, user)
    return path


def private_file(path: Path, content: str, user: tuple[int, int] | None) -> Path:
    """Write a file that only *user* (else we) may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        if user:
            os.fchown(descriptor, *user)
        file.write(content)
    return path


def secret(path: Path) -> str:
    """Return the secret kept in this file, made at the first call; 256 random bits."""
    if not path.exists():
        private_file(path, secrets.token_hex(32), None)
    return path.read_text().strip()


def remove(found: Places) -> None:
    """Remove everything that belongs to a data directory, and the directory itself."""
    for folder in (found.sockets, found.home, found.data_dir):
        shutil.rmtree(folder, ignore_errors=True)


def is_reachable(path: Path, user: tuple[int, int] | None) -> bool:
    """Whether *user* can read this file: it, and every folder above, lets others in."""
    if user is None:
        return True
    if not path.stat().st_mode & 0o004:
        return False
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


def _unprivileged() -> tuple[int, int]:
    for name in _USERS:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return found.pw_uid, found.pw_gid
    raise ConfigurationError(
        "no account 'nobody' or 'daemon' for PostgreSQL, which refuses to run as root;"
        " run Assay as an ordinary user"
    )


def _private(path: Path, user: tuple[int, int] | None) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = user[0] if user else os.geteuid()
    if path.is_symlink() or path.stat().st_uid not in {owner, os.geteuid()}:
        raise ConfigurationError(f"{path} belongs to somebody else; remove it")
    path.chmod(0o700)
    if user:
        os.chown(path, *user)
