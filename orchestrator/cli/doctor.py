"""
``assay doctor``: looks at everything that Assay needs, and says what to do about it.

It runs where anything may be broken, so no check can end it, none can hold it up for
long, and what it says holds no secret.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from urllib.parse import parse_qs, unquote, urlsplit

import typer
from pydantic import SecretStr
from rich.text import Text

from orchestrator.cli import checks, surroundings
from orchestrator.cli.options import AsJSON
from orchestrator.config import Settings, read_settings
from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.words import shown
from orchestrator.messaging.errors import masked
from orchestrator.queries.diagnose import Finding, Level, fail
from orchestrator.terminal.output import console, print_json

app = typer.Typer()

#: Seconds for one check. The database's and the broker's own limits are shorter.
_PATIENCE_SECONDS = 20.0

_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}
_WHAT_WIDTH = 20

Check = Callable[[], Iterable[Finding]]


@app.command()
def doctor(as_json: AsJSON = False) -> None:
    """Check everything that Assay needs; exit 1 if something does not work."""
    found = []
    for finding in examine():
        found.append(finding)
        if not as_json:
            _print(finding)
    is_healthy = all(finding.level is not Level.FAIL for finding in found)
    if as_json:
        print_json(
            {
                "healthy": is_healthy,
                "findings": [_document(finding) for finding in found],
            }
        )
    if not is_healthy:
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    """Yield what every check found, as it is found, without any secret."""
    yield from patiently("packages", checks.check_packages)
    try:
        settings = read_settings()
    except ConfigurationError as error:
        yield fail("settings", error.message, "correct it; nothing else can be checked")
        return
    hidden = secrets_of(settings)
    steps: tuple[tuple[str, Callable[[Settings], Iterable[Finding]]], ...] = (
        ("settings", checks.check_settings),
        ("database", checks.check_database),
        ("broker", checks.check_broker),
        ("samples", checks.check_store),
        ("api", checks.check_api),
        ("links", surroundings.check_links),
        ("space", surroundings.check_space),
    )
    for what, check in steps:
        for finding in patiently(what, partial(check, settings)):
            yield without(hidden, finding)


def patiently(
    what: str, check: Check, *, seconds: float = _PATIENCE_SECONDS
) -> Iterator[Finding]:
    """
    Yield what a check finds; that it broke, or took longer than *seconds*, is one.

    What is found after that is not waited for.
    """
    found: queue.SimpleQueue[Finding | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            for finding in check():
                found.put(finding)
        except Exception as error:  # noqa: BLE001  (the doctor survives the patient)
            # Its text is unknown to us, and may hold anything.
            broke = f"the check itself broke: {type(error).__name__}"
            found.put(fail(what, broke, "please report this"))
        found.put(None)

    threading.Thread(target=run, name=f"check {what}", daemon=True).start()
    try:
        while (finding := found.get(timeout=seconds)) is not None:
            yield finding
    except queue.Empty:
        detail = f"did not answer within {seconds:.0f} s"
        yield fail(what, detail, "see that it runs and can be reached from here")


def secrets_of(settings: Settings) -> frozenset[str]:
    """Return every word of the settings that nobody may see."""
    hidden: set[str] = set()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        is_url = isinstance(text, str) and "://" in text
        # A URL without a password is what people have to see, to find what is wrong.
        if isinstance(value, SecretStr) and not (is_url and masked(text) == text):
            hidden.add(text)
        if is_url:
            hidden |= _of_url(text)
    if settings.secret_key:
        keys = settings.secret_key.get_secret_value().split(",")
        hidden |= {key.rpartition(":")[2] for key in keys}
    return frozenset(hidden - {""})


def _of_url(url: str) -> set[str]:
    try:
        parts = urlsplit(url)
        password, query = parts.password or "", parse_qs(parts.query)
    except ValueError:
        return set()
    found = {password, unquote(password)}
    return found.union(*(values for name, values in query.items() if "pass" in name))


def without(hidden: Iterable[str], finding: Finding) -> Finding:
    """Return a finding in which no secret is to be read."""
    detail = finding.detail
    # The longest first: a password may be part of a URL.
    for secret in sorted(hidden, key=len, reverse=True):
        detail = detail.replace(secret, "**")
    return replace(finding, detail=detail)


def _print(finding: Finding) -> None:
    remedy = f": {finding.remedy}" if finding.remedy else ""
    line = Text.assemble(
        (f"{finding.level:<4}", _COLOURS[finding.level]),
        f"  {shown(finding.what):<{_WHAT_WIDTH}}  {shown(finding.detail + remedy)}",
    )
    console.print(line, soft_wrap=True)


def _document(finding: Finding) -> dict[str, object]:
    return {
        "what": finding.what,
        "level": finding.level.value,
        "detail": finding.detail,
        "remedy": finding.remedy,
    }
