"""
The directory and the user of each slot: what a sandbox child finds, and leaves behind.

The child owns what is in ``work`` and may race with us there: everything here goes by
name only where it cannot write, and follows no link where it can. Starts no sandbox.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from workers.analysis import File
from workers.sandbox.inside.child import SAMPLE

#: First of the users that slots get, and how many; far above people and services.
#: Where a container maps fewer users, those below the last 16-bit one.
_USER_RANGES = ((200_000, 10_000), (64_000, 1_000))

#: What is removed while the slot waits: so many files and folders, a mebibyte counting
#: as one more. It takes a few hundredths of a second.
_AT_ONCE = 2000
_MEBIBYTE = 1024 * 1024
#: Of what st_blocks counts.
_BLOCK_BYTES = 512
#: Knows folders that are deeper than Python's stack, and those that their owner may not
#: list, who without root is us. Follows no link below the folder that is given.
_REMOVE = (
    "sh",
    "-c",
    'rm -rf -- "$1" || { chmod -R u+rwx -- "$1"; rm -rf -- "$1"; }',
    "sh",
)


class UnsafeFileError(Exception):
    """A file that an analysis names is not a regular file inside its scratch."""


class NoUserError(Exception):
    """No unprivileged user is left for a slot, or the container maps none."""


class SlotUser:
    """
    A user of its own for one slot, that no other replica on this machine has.

    Claimed by a lock, which the kernel releases when the replica ends.
    """

    def __init__(self) -> None:
        directory = _lock_directory()
        for uid in _mapped_users():
            lock = (directory / str(uid)).open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            self.uid = uid
            self._lock = lock
            return
        msg = "no unprivileged user is free, or this container maps none"
        raise NoUserError(msg)

    def release(self) -> None:
        """Let another replica have it; nothing may run as it any more."""
        self._lock.close()


def _lock_directory() -> Path:
    run = Path("/run")
    base = run if os.access(run, os.W_OK) else Path(tempfile.gettempdir())
    directory = base / "assay-slot-users"
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.lstat().st_uid != os.geteuid() or directory.is_symlink():
        msg = f"{directory}: belongs to somebody else; remove it"
        raise NoUserError(msg)
    return directory


def _mapped_users() -> Iterable[int]:
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    maps = [(int(first), int(size)) for first, _, size in map(str.split, lines)]
    for first, count in _USER_RANGES:
        if any(low <= first and first + count <= low + size for low, size in maps):
            yield from range(first, first + count)


class SlotDirectory:
    """
    ``directory``: ours; a child may only read it. ``sample`` and ``work`` are in it.

    ``work``: the child's own, its working directory and the only place it may write.
    """

    def __init__(self, root: Path, slot: int, uid: int | None) -> None:
        self._uid = uid
        self._staged = root / f"{slot}.taken"
        self._old = root / f"{slot}.old"
        self._log = root / f"{slot}.log"
        self.directory = root / str(slot)
        self.work = self.directory / "work"
        self.sample = self.directory / SAMPLE
        self._folders = (self.directory, self.work, self._staged)
        self._made: list[tuple[int, int]] | None = None
        self._has_taken = False
        self._removal: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        """
        Make it, empty, whatever was there before, which is removed meanwhile.

        Raises:
            OSError: It cannot be made, or what is in its place not moved; or what was
                there last time cannot be removed.
        """
        self._put_away()
        self._has_taken = False
        self.directory.mkdir(parents=True)
        # Set, not asked for: a strict umask would shut the child out of its own slot.
        self.directory.chmod(0o750)
        self._staged.mkdir(mode=0o700)
        self.work.mkdir(mode=0o700)
        if self._uid is not None:
            os.chown(self.directory, -1, self._uid)
            os.chown(self.work, self._uid, self._uid)
        self._made = self._found()

    def is_there(self) -> bool:
        """Whether all of it is, as :meth:`create` made it, and nothing in its place."""
        return self._made is not None and self._found() == self._made

    def forget(self) -> None:
        """Have it be made anew."""
        self._made = None

    def _found(self) -> list[tuple[int, int]] | None:
        # Landlock's rules are about folders, not about names.
        try:
            found = [folder.stat() for folder in self._folders]
        except OSError:
            return None
        return [(folder.st_dev, folder.st_ino) for folder in found]

    def put_sample(self, deliver: Callable[[Path], None]) -> None:
        """Have *deliver* write the sample, and let the child read it, not write it."""
        deliver(self.sample)
        self.sample.chmod(0o440)
        if self._uid is not None:
            os.chown(self.sample, -1, self._uid)

    def take(
        self, files: Iterable[File], collect: Callable[[File, Path], None]
    ) -> None:
        """
        Move each file out of the child's reach and give it to *collect*.

        Raises:
            UnsafeFileError: One is not a regular file of the child's, in ``work``; the
                files before it have been collected.
        """
        taken: dict[str, Path] = {}
        for file in files:
            if file.path not in taken:
                taken[file.path] = self._take(file.path, self._staged / str(len(taken)))
            collect(file, taken[file.path])

    def clean(self) -> None:
        """
        Remove the sample and everything that the analysis wrote; no child may use it.

        Raises:
            OSError: Not all of it can be removed, or not soon: :meth:`create` it again.
        """
        self.remove_sample()
        self.empty()

    def remove_sample(self) -> None:
        """
        Remove the sample; what was written is not there, or may stay.

        Raises:
            OSError: It cannot be removed: :meth:`create` the directory again.
        """
        self.sample.unlink(missing_ok=True)

    def is_empty(self) -> bool:
        """Whether the analysis has left nothing behind."""
        with os.scandir(self.work) as entries:
            return next(entries, None) is None

    def empty(self) -> None:
        """
        Remove everything that the analysis wrote.

        Raises:
            OSError: Not all of it can be removed, or not soon: :meth:`create` it again.
        """
        if not self.is_empty():
            if not _is_small(self.work):
                raise OSError(errno.E2BIG, "too much to remove", str(self.work))
            _remove_entries(self.work)
        if self._has_taken:
            _remove_entries(self._staged)
            self._has_taken = False

    def remove(self) -> None:
        """Remove it all; no child may be left."""
        self._finish_removal()
        for directory in (self.directory, self._staged):
            _remove_deep(directory)
        self._log.unlink(missing_ok=True)

    def open_log(self) -> IO[bytes]:
        """Return an empty file that many may append to, for what a child prints."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        return os.fdopen(os.open(self._log, flags, mode=0o600), "r+b", buffering=0)

    def printed(self, most_bytes: int) -> str:
        """Return the beginning of what the last child has printed."""
        try:
            with self._log.open("rb") as log:
                return log.read(most_bytes).decode(errors="replace")
        except FileNotFoundError:
            return ""

    def _put_away(self) -> None:
        # Of one at a time: else they would be left faster than they are removed.
        self._finish_removal()
        for folder in (self.directory, self._staged):
            if os.path.lexists(folder):
                self._old.mkdir(mode=0o700, exist_ok=True)
                folder.rename(self._old / folder.name)
        if self._old.exists():
            self._removal = subprocess.Popen(
                [*_REMOVE, self._old],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def _finish_removal(self) -> None:
        if self._removal is not None:
            self._removal.wait()
            self._removal = None
        _remove_deep(self._old)

    def _take(self, name: str, target: Path) -> Path:
        self._has_taken = True
        try:
            self._move(name, target)
            found = target.lstat()
        except OSError as error:
            # Without the places: of the two, one is ours.
            msg = f"files: {name!r}: {error.strerror}"
            raise UnsafeFileError(msg) from error
        except ValueError as error:
            msg = f"files: {name!r}: {error}"
            raise UnsafeFileError(msg) from error
        owner = os.geteuid() if self._uid is None else self._uid
        if not stat.S_ISREG(found.st_mode) or found.st_uid != owner:
            msg = f"files: {name!r} is not a regular file that the analyzer wrote"
            raise UnsafeFileError(msg)
        # Whatever it let itself: who collects it must read it.
        target.chmod(0o600)
        return target

    def _move(self, name: str, target: Path) -> None:
        *folders, last = Path(name).parts or ("",)
        if Path(name).is_absolute() or ".." in (*folders, last):
            msg = "must be relative to the working directory, without '..'"
            raise ValueError(msg)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        at = os.open(self.work, flags)
        try:
            for folder in folders:
                inner = os.open(folder, flags, dir_fd=at)
                os.close(at)
                at = inner
            # Takes a link itself, not its target, to where the child cannot reach it.
            os.rename(last, target, src_dir_fd=at)
        finally:
            os.close(at)


def _remove_entries(folder: Path) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            _remove(entry)


def _remove(entry: os.DirEntry[str]) -> None:
    if not entry.is_dir(follow_symlinks=False):
        Path(entry.path).unlink(missing_ok=True)
        return
    try:
        # While a child may live: nothing that follows a link which it puts there.
        shutil.rmtree(entry.path)
    except RecursionError as error:
        raise OSError(errno.ELOOP, "too deep", entry.path) from error


def _is_small(folder: Path) -> bool:
    waiting = [str(folder)]
    left = _AT_ONCE
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                found = entry.stat(follow_symlinks=False)
                left -= 1 + found.st_blocks * _BLOCK_BYTES // _MEBIBYTE
                if left < 0:
                    return False
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    return True


def _remove_deep(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        _remove_folder(path)


def _remove_folder(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except (OSError, RecursionError):
        done = subprocess.run([*_REMOVE, folder], check=False, capture_output=True)
        if done.returncode:
            raise OSError(errno.EBUSY, _last_line(done.stderr), str(folder)) from None


def _last_line(said: bytes) -> str:
    return said.decode(errors="replace").strip().rpartition("\n")[2]
