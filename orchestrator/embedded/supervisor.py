"""
The configuration of supervisord: which process runs how, with which environment.

Written into a private file: it holds every secret of the stack, each only in the
environment of the programs that need it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.embedded import launch
from orchestrator.embedded.places import private_file

_LOG_MAX_BYTES = "10MB"


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """
    One process.

    ``group``: started and stopped together. ``stop_seconds``: after that it is killed.
    """

    name: str
    group: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    stop_signal: str = "TERM"
    stop_seconds: int


#: Stopped from the last to the first, each group as a whole.
GROUPS = ("stores", "engine", "workers")


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """How to speak to the supervisor."""

    socket: Path
    password: str = field(repr=False)


def write_configuration(
    path: Path, programs: Sequence[Program], *, control: Control, logs: Path
) -> Path:
    """Write the supervisor's configuration, readable by its owner alone."""
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
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
            logfile=logs / "supervisor.log",
            logfile_maxbytes=_LOG_MAX_BYTES,
            logfile_backups=1,
            pidfile=path.with_suffix(".pid"),
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
        *(_program(program, logs) for program in programs),
    ]
    return private_file(path, "\n".join(sections), None)


def supervisor_command(path: Path, *, parent: int) -> list[str]:
    """Return the command line of the supervisor itself, which dies with *parent*."""
    return launch.command(
        sys.executable,
        "-m",
        "supervisor.supervisord",
        "-c",
        path,
        parent=parent,
    )


def _program(program: Program, logs: Path) -> str:
    return _section(
        f"program:{program.name}",
        command=" ".join(_quoted(word) for word in program.command),
        environment=",".join(
            f"{name}={_quoted(value)}" for name, value in program.environment.items()
        ),
        autorestart="true",
        startsecs=1,
        # It backs off by a second more each time: some eight minutes of trying.
        startretries=30,
        stopsignal=program.stop_signal,
        stopwaitsecs=program.stop_seconds,
        killasgroup="true",
        stdout_logfile=logs / f"{program.name}.log",
        stdout_logfile_maxbytes=_LOG_MAX_BYTES,
        stdout_logfile_backups=1,
        redirect_stderr="true",
    )


def _groups(programs: Sequence[Program]) -> list[str]:
    members = {
        name: [one.name for one in programs if one.group == name] for name in GROUPS
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
