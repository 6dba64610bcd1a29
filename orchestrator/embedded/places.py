"""
Where the embedded servers keep their files, and as whom they run.

As root they run as an unprivileged user, whose files stand in ``/var/lib/assay``: that
user could not enter a data directory below a root-only parent.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import secrets
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.domain.errors import ConfigurationError

_ROOT_HOME = Path("/var/lib/assay")

#: Bytes. PostgreSQL takes paths of 1023, and puts its own files below ours.
_PATH_MAX_BYTES = 900

#: Characters of a path that an error repeats.
_SHOWN = 200

#: What initdb refuses, and what is no text.
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

#: Accounts without rights that nearly every system has: the first two that are here.
_USERS = ("nobody", "daemon", "bin", "games")


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """
    The folders of one data directory.

    ``home`` and ``broker_home``: PostgreSQL's files, and Redis's. ``sockets``: short,
    since a socket's path ends at 107 bytes. ``scratch``: where replicas put what they
    analyse; their slots' users have to pass. ``user`` and ``broker_user``: (uid, gid)
    that PostgreSQL and Redis become, each its own; ``None`` when not root.
    """

    data_dir: Path
    home: Path
    broker_home: Path
    sockets: Path
    scratch: Path
    user: tuple[int, int] | None
    broker_user: tuple[int, int] | None

    @property
    def supervisor_socket(self) -> Path:
        """Where the supervisor is spoken to."""
        return self.sockets / "supervisor.sock"


def places(data_dir: Path) -> Places:
    """
    Say where everything stands; nothing is made yet.

    Raises:
        ConfigurationError: No data directory can have this path.
    """
    # Resolved: a folder has one set of files, by whichever name it is called.
    data_dir = data_dir.absolute().resolve()
    _check_path(data_dir)
    key = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:8]
    user, broker_user = _unprivileged() if os.geteuid() == 0 else (None, None)
    home = _ROOT_HOME / key if user else data_dir
    broker_home = _ROOT_HOME / f"{key}.redis" if user else data_dir
    sockets = Path("/tmp") / f"assay-{key}"  # noqa: S108  (0700 and ours: see make)
    scratch = Path(tempfile.gettempdir()) / f"assay-{key}-scratch"
    return Places(
        data_dir=data_dir,
        home=home,
        broker_home=broker_home,
        sockets=sockets,
        scratch=scratch,
        user=user,
        broker_user=broker_user,
    )


def make(found: Places) -> None:
    """
    Make the folders, private to whoever owns them.

    Raises:
        ConfigurationError: One can not be made, or belongs to somebody else.
    """
    try:
        found.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _no_folder(found.data_dir, error.strerror or "no folder") from None
    if not os.access(found.data_dir, os.W_OK | os.X_OK):
        raise _no_folder(found.data_dir, "this user may not write to it")
    try:
        # One that was here may have let others in, and samples come into it.
        found.data_dir.chmod(0o700)
    except OSError:
        raise _no_folder(found.data_dir, "it belongs to somebody else") from None
    if found.user:
        _ROOT_HOME.mkdir(parents=True, exist_ok=True)
        # Whatever the umask says: its user has to pass.
        _ROOT_HOME.chmod(0o755)
        _private(found.home, found.user)
        _private(found.broker_home, found.broker_user)
    _private(found.sockets, found.user)
    _private(found.scratch, None)
    found.scratch.chmod(0o711)


def private_folder(path: Path, user: tuple[int, int] | None) -> Path:
    """Make a folder that only *user* (else we) may enter."""
    _private(path, user)
    return path


def private_file(path: Path, content: str, user: tuple[int, int] | None) -> Path:
    """Write a file that only *user* (else we) may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if user:
            os.fchown(descriptor, *user)
        file.write(content)
    return path


def ensure_secret(path: Path) -> str:
    """Make a secret of 256 random bits unless this file has one; return it."""
    if not path.exists():
        private_file(path, secrets.token_hex(32), None)
    return path.read_text().strip()


def remove(found: Places) -> None:
    """Remove everything that belongs to a data directory, and the directory itself."""
    remove_transient(found)
    for folder in (found.home, found.broker_home, found.data_dir):
        shutil.rmtree(folder, ignore_errors=True)


def remove_transient(found: Places) -> None:
    """Remove what means nothing once all of it has stopped."""
    for folder in (found.sockets, found.scratch):
        shutil.rmtree(folder, ignore_errors=True)


def is_reachable(path: Path, user: tuple[int, int] | None) -> bool:
    """Whether *user* can read this file: it, and every folder above, lets others in."""
    if user is None:
        return True
    if not path.stat().st_mode & 0o004:
        return False
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


def _check_path(data_dir: Path) -> None:
    if _UNUSABLE.search(str(data_dir)):
        raise _no_folder(data_dir, "its name has characters that are no text")
    size = len(os.fsencode(data_dir))
    if size > _PATH_MAX_BYTES:
        reason = f"its path has {size} bytes, and {_PATH_MAX_BYTES} is the most"
        raise _no_folder(data_dir, reason)


def _no_folder(data_dir: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"ASSAY_DATA_DIR: {_in_short(data_dir)}: {reason}; set it to another folder",
        field="ASSAY_DATA_DIR",
    )


def _in_short(path: Path) -> str:
    text = str(path).encode("utf-8", "backslashreplace").decode()
    shown = "".join(char if char.isprintable() else "?" for char in text)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _unprivileged() -> tuple[tuple[int, int], tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for name in _USERS:
        with suppress(KeyError):
            account = pwd.getpwnam(name)
            found.append((account.pw_uid, account.pw_gid))
    if len(found) < 2:  # noqa: PLR2004  (one for each server)
        raise ConfigurationError(
            f"fewer than two of the accounts {', '.join(_USERS)} for PostgreSQL and"
            " Redis, which do not run as root; run Assay as an ordinary user"
        )
    return found[0], found[1]


def _private(path: Path, user: tuple[int, int] | None) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = user[0] if user else os.geteuid()
    if path.is_symlink() or path.stat().st_uid not in {owner, os.geteuid()}:
        raise ConfigurationError(f"{path} belongs to somebody else; remove it")
    path.chmod(0o700)
    if user:
        os.chown(path, *user)
