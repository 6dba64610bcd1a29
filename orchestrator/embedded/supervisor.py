"""
The configuration of supervisord: which process runs how, with which environment.

Each program has a private file beside it: there stand the secrets that it needs, and
paths, whose characters supervisord would read as its own. Starts nothing itself.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.embedded import launch
from orchestrator.embedded.places import private_file, private_folder

_LOG_MAX_BYTES = "10MB"

_CONFIGURATION = "supervisor.conf"
_LOGS = "logs"
_PROGRAMS = "programs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """
    One process.

    ``group``: started and stopped together. ``stop_seconds``: after that it is killed.
    ``user``: (uid, gid) to become. ``death_signal``: what ends it when its supervisor
    dies.
    """

    name: str
    group: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    stop_signal: str = "TERM"
    stop_seconds: int
    user: tuple[int, int] | None = None
    death_signal: int = signal.SIGKILL


#: Stopped from the last to the first, each group as a whole.
GROUPS = ("stores", "engine", "workers")


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """How to speak to the supervisor."""

    socket: Path
    password: str = field(repr=False)


def write_configuration(
    folder: Path, programs: Sequence[Program], *, control: Control
) -> None:
    """
    Write the supervisor's configuration, readable by its owner alone.

    Its paths are relative: *folder* is where the supervisor has to be started.
    """
    for name in (_LOGS, _PROGRAMS):
        private_folder(folder / name, None)
    for program in programs:
        content = launch.program(program.command, program.environment)
        private_file(folder / _file(program), content, None)
    sections = [
        _section(
            "unix_http_server",
            file=control.socket,
            chmod="0700",
            username="assay",
            password=control.password,
        ),
        _section(
            "supervisord",
            nodaemon="true",
            logfile=f"{_LOGS}/supervisor.log",
            logfile_maxbytes=_LOG_MAX_BYTES,
            logfile_backups=1,
            pidfile="supervisor.pid",
            umask="077",
            loglevel="info",
        ),
        _section(
            "rpcinterface:supervisor",
            **{
                "supervisor.rpcinterface_factory": (
                    "supervisor.rpcinterface:make_main_rpcinterface"
                )
            },
        ),
        *_groups(programs),
        *map(_program, programs),
    ]
    private_file(folder / _CONFIGURATION, "\n".join(sections), None)


def supervisor_command(*, parent: int) -> list[str]:
    """
    Return the command line of the supervisor itself, which dies with *parent*.

    To be run in the folder of its configuration.
    """
    words = (sys.executable, "-P", "-m", "orchestrator.embedded.nursery")
    return launch.command(*words, "-c", _CONFIGURATION, parent=parent)


def _file(program: Program) -> Path:
    return Path(_PROGRAMS, f"{program.name}.json")


def _program(program: Program) -> str:
    words = launch.program_command(
        _file(program), user=program.user, death_signal=program.death_signal
    )
    return _section(
        f"program:{program.name}",
        command=" ".join(map(_quoted, words)),
        autorestart="true",
        startsecs=1,
        # It backs off by a second more each time: some eight minutes of trying.
        startretries=30,
        stopsignal=program.stop_signal,
        stopwaitsecs=program.stop_seconds,
        killasgroup="true",
        stdout_logfile=f"{_LOGS}/{program.name}.log",
        stdout_logfile_maxbytes=_LOG_MAX_BYTES,
        stdout_logfile_backups=1,
        redirect_stderr="true",
    )


def _groups(programs: Sequence[Program]) -> list[str]:
    members = {
        name: [program.name for program in programs if program.group == name]
        for name in GROUPS
    }
    return [
        _section(f"group:{name}", programs=",".join(members[name]), priority=number)
        for number, name in enumerate(GROUPS, 1)
        if members[name]
    ]


def _section(name: str, **values: object) -> str:
    lines = [f"{key}={_escaped(value)}" for key, value in values.items()]
    return "\n".join([f"[{name}]", *lines, ""])


def _escaped(value: object) -> str:
    # Supervisor expands %(…)s everywhere.
    return str(value).replace("%", "%%")


def _quoted(word: object) -> str:
    text = str(word).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
