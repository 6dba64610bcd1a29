"""
Whether a replica could work, if it were given something: its scratch folder takes what
is written, and the API answers. Says what is wrong, where, and what to do.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from workers.replica.enrolment import Standing
from workers.sandbox.sandbox import Sandbox

#: Bytes. A sample may be larger; but where not even this fits, nothing works.
_PROBE_BYTES: Final = 1024 * 1024

_NO_ROOM = "make room there, or set TMPDIR to a folder with room and start it again"
_NO_RIGHT = "let the replica's user write there, or set TMPDIR and start it again"
_GONE = "keep cleaners of temporary files from it, or set TMPDIR and start it again"
_REMEDIES: Final[Mapping[int, str]] = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EROFS: _NO_RIGHT,
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
    errno.ENOENT: _GONE,
    errno.ENOTDIR: _GONE,
}

_API_AWAY = (
    "the API does not answer: see that assay api runs, and that ASSAY_API_URL leads"
    " to it"
)


class Probe:
    """
    Args:
        ask: Asks the API whether we are enrolled.
    """

    def __init__(
        self, sandbox: Sandbox, scratch: Path, ask: Callable[[], Standing]
    ) -> None:
        self._sandbox = sandbox
        self._scratch = scratch
        self._ask = ask

    def all(self) -> str | None:
        """Return what is wrong, having mended what can be mended from here."""
        try:
            self._sandbox.mend()
        except OSError as error:
            return of_this_machine(error, self._scratch)
        return self.scratch() or self._api()

    def scratch(self) -> str | None:
        """Return what is wrong with the scratch folder."""
        try:
            with tempfile.TemporaryFile(dir=self._scratch) as file:
                file.write(os.urandom(_PROBE_BYTES))
                file.flush()
        except OSError as error:
            return of_this_machine(error, self._scratch)
        return None

    def _api(self) -> str | None:
        # One that refuses us answers; who asks that in general shuts the door then.
        return _API_AWAY if self._ask() is Standing.UNANSWERED else None


def of_this_machine(error: OSError, scratch: Path) -> str:
    """Return what happened, where, and what to do about it."""
    # The error of a write knows no name: what is written is in the scratch.
    said = f"{error.filename or scratch}: {error.strerror or type(error).__name__}"
    remedy = _REMEDIES.get(error.errno or 0)
    return f"this replica's machine: {said}" + (f"; {remedy}" if remedy else "")
