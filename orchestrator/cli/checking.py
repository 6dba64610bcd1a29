"""
``assay worker check``: what became of each rule, as soon as it is known.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer

from orchestrator.check.run import Check, Tried, run
from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.words import shown
from orchestrator.terminal.output import errors, print_json, print_line
from orchestrator.terminal.signals import interrupt_on_signals

_SAMPLE = b"See https://example.org for what a sample is.\n" * 20

_MARKS = {"ok": "ok  ", "failed": "FAIL", "not tried": "-   "}

#: Lines of what the program wrote that are shown where something failed.
_LOG_LINES = 20


def check_program(
    command: Sequence[str],
    *,
    name: str,
    sample: Path | None,
    broker_url: str | None,
    as_json: bool,
) -> None:
    """
    Check a program; end with 1 if it breaks a rule.

    Raises:
        ConfigurationError: There is no such program, sample or broker.
    """
    interrupt_on_signals()
    with tempfile.TemporaryDirectory(prefix="assay-check-log-") as folder:
        log = Path(folder) / "log"
        check = Check(
            command=command,
            worker=name,
            sample=_SAMPLE if sample is None else _read(sample),
            broker_url=broker_url,
            log=log,
        )
        tried = [_tell(each, quiet=as_json) for each in run(check)]
        tail = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
    has_failed = any(each.outcome == "failed" for each in tried)
    if as_json:
        print_json({"rules": [asdict(each) for each in tried], "log": tail})
    elif has_failed:
        errors.print("what the program wrote last:")
        for line in tail:
            errors.print(f"  {shown(line)}")
    raise typer.Exit(1 if has_failed else 0)


def _tell(tried: Tried, *, quiet: bool) -> Tried:
    if not quiet:
        why = f": {tried.why}" if tried.why else ""
        print_line(f"{_MARKS[tried.outcome]} {tried.number:2} {tried.title}{why}")
    return tried


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--sample: {file}: {error.strerror}") from None
