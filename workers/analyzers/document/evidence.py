"""
Keeps what analysts read themselves: sources of macros, commands, scripts.

Bounded in number and size, and under names that say what they are and are no more than
letters. It judges nothing; nothing of it is in the result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from workers import File
from workers.findings import Findings

#: Each is sent on its own; a project of more modules is read from the document.
MOST_FILES = 20
#: Of one file, and of all together: sources of real projects are a tenth of it.
FILE_BYTES = 256 * 1024
TOTAL_BYTES = 1024 * 1024

_FOLDER = Path("evidence")
_UNUSUAL = re.compile(r"[^\w.-]+")
_NAME_CHARACTERS = 64
_DDE_NAME = "dde-commands.txt"


@dataclass(slots=True)
class Evidence:
    """The files of one analysis, until :meth:`write`."""

    _texts: dict[str, bytes] = field(default_factory=dict)
    _commands: list[str] = field(default_factory=list)
    _left: int = TOTAL_BYTES

    def add_source(self, code: str, module: str, findings: Findings) -> None:
        """Keep the source code of a module of macros."""
        self._add(f"macros/{_plain(module)}", ".bas", code, findings)

    def add_script(self, code: str, where: str, findings: Findings) -> None:
        """Keep a script that is not made of modules."""
        self._add(f"scripts/{_plain(where)}", ".js", code, findings)

    def add_command(self, command: str, where: str) -> None:
        """Keep a command that another program is to run."""
        line = f"{where}: {command}" if where else command
        if line not in self._commands[:MOST_FILES]:
            self._commands.append(line)

    def write(self, findings: Findings) -> list[File]:
        """Write all into the working directory, and say what was written."""
        if self._commands:
            self._add(_DDE_NAME, "", "\n".join(self._commands) + "\n", findings)
        files = []
        for number, (name, content) in enumerate(self._texts.items(), start=1):
            _FOLDER.mkdir(exist_ok=True)
            path = _FOLDER / str(number)
            path.write_bytes(content)
            files.append(
                File(
                    kind="evidence",
                    path=str(path),
                    file_name=name,
                    mime_type="text/plain; charset=utf-8",
                )
            )
        return files

    def _add(self, name: str, ending: str, text: str, findings: Findings) -> None:
        whole = text[:FILE_BYTES].encode("utf-8", "replace")
        content = whole[: min(FILE_BYTES, self._left)]
        if content in self._texts.values():
            return
        if len(self._texts) >= MOST_FILES or not content:
            findings.cut("evidence", f"{MOST_FILES} files and {TOTAL_BYTES} bytes")
            return
        if len(content) < len(whole) or len(text) > FILE_BYTES:
            findings.cut(name + ending, f"{len(content)} bytes of more")
        self._left -= len(content)
        self._texts[self._free(name, ending)] = content

    def _free(self, name: str, ending: str) -> str:
        number = 1
        free = name + ending
        while free in self._texts:
            number += 1
            free = f"{name}-{number}{ending}"
        return free


def _plain(name: str) -> str:
    return _UNUSUAL.sub("_", name)[:_NAME_CHARACTERS].strip("_.") or "unnamed"
