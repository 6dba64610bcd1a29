"""
``assay submit``: uploads files and creates a job for each.

Says what became of every file; which workers look at it, the API decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.options import AsJSON, named_path
from orchestrator.client.http import connect
from orchestrator.client.job import Job
from orchestrator.client.order import Order
from orchestrator.domain.errors import AssayError
from orchestrator.domain.words import shown
from orchestrator.terminal.output import complain, print_json, print_table
from orchestrator.terminal.sending import Sent, send, wait
from orchestrator.terminal.sources import Found, find_sources
from orchestrator.terminal.words import known_by_end

app = typer.Typer()

#: Exit codes: a file has no job or a job did not end well; a verdict is too bad.
_WRONG = 1
_TOO_BAD = 3
_INTERRUPTED = 130

#: Ids in the hint of a command; of more jobs a shell's history has enough.
_IDS_SHOWN = 20


class Tlp(StrEnum):
    """Who may be shown a sample."""

    AMBER = "amber"
    GREEN = "green"
    CLEAR = "clear"


class Bad(StrEnum):
    """Verdicts that somebody may want to stop at, the worst first."""

    MALICIOUS = "malicious"
    SUSPICIOUS = "suspicious"
    INFORMATIONAL = "informational"


@app.command()
def submit(
    paths: Annotated[
        list[Path],
        typer.Argument(
            parser=named_path,
            metavar="FILE|DIR|-…",
            help="Files, folders of them, or - for standard input.",
        ),
    ],
    will_wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the verdicts, saying for what.")
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="How long to wait at most; the jobs go on.",
        ),
    ] = None,
    fail_on: Annotated[
        Bad | None,
        typer.Option(help="Exit 3 if a verdict is this or worse; waits for them."),
    ] = None,
    priority: Annotated[
        int,
        typer.Option(min=-9, max=9, metavar="N", help="One step is worth ten minutes."),
    ] = 0,
    worker: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this worker; may be repeated."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[WORKER.]KEY=VALUE",
            help="For the workers, or for one of them; may be repeated.",
        ),
    ] = None,
    file_name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Instead of the file's own; for one file."),
    ] = None,
    customer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="For this customer instead of your own."),
    ] = None,
    tlp: Annotated[
        Tlp | None, typer.Option(help="Who may be shown it; amber unless said.")
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A note of your own; may be repeated."),
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Upload files and create a job for each; a file that fails stops no other."""
    order = Order(
        priority=priority,
        workers=worker,
        options={key: _value(text) for key, text in _pairs(option, "--option").items()},
        customer=customer,
        tlp=tlp,
        metadata=_pairs(metadata, "--metadata"),
    )
    waits = will_wait or timeout is not None or fail_on is not None
    with connect() as client:
        found = find_sources(paths, limit_bytes=client.session()["sampleMaxBytes"])
        _check_name(file_name, found)
        for unusable in found.unusable:
            complain(f"{unusable.shown}: {unusable.why}")
        sent: list[Sent] = []
        with _hinting(sent):
            for each in send(client, found.files, order, file_name=file_name):
                sent.append(each)
                _tell(each, quiet=as_json)
            is_over = not waits or wait(client, _jobs(sent), timeout=timeout)
    _show(sent, found, waited=waits, as_json=as_json)
    if not is_over:
        _hint(sent, f"not over after {timeout:g} s, still going on")
    raise typer.Exit(_code(sent, found, waited=waits, fail_on=fail_on))


def _check_name(file_name: str | None, found: Found) -> None:
    if file_name is not None and len(found.files) > 1:
        raise typer.BadParameter(
            f"is for one file, and there are {len(found.files)}",
            param_hint="--file-name",
        )


def _pairs(given: Sequence[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{text!r}: write KEY=VALUE", param_hint=option)
        pairs[key] = value
    return pairs


def _value(text: str) -> Any:
    # A number or a list, where it is one; most are words.
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


@contextmanager
def _hinting(sent: Sequence[Sent]) -> Iterator[None]:
    """Say whatever breaks it off which jobs there are, and how to watch them."""
    try:
        yield
    except KeyboardInterrupt:
        _hint(sent, "still going on")
        raise typer.Exit(_INTERRUPTED) from None
    except AssayError:
        _hint(sent, "still going on")
        raise


def _hint(sent: Sequence[Sent], why: str) -> None:
    ids = [str(job.id) for job in _jobs(sent) if not job.is_over]
    if not ids:
        return
    words = " ".join(ids[:_IDS_SHOWN])
    more = f" … and {len(ids) - _IDS_SHOWN} more" if len(ids) > _IDS_SHOWN else ""
    jobs = f"{len(ids)} job{'' if len(ids) == 1 else 's'}"
    complain(f"{jobs} {why}: assay job watch {words}{more}")


def _jobs(sent: Sequence[Sent]) -> list[Job]:
    return [each.job for each in sent if each.job is not None]


def _tell(each: Sent, *, quiet: bool) -> None:
    if each.error is not None:
        complain(f"{each.shown}: {each.error.message}")
    elif each.job is not None and not quiet:
        # At once, and whole: whoever breaks off can still ask what became of it.
        print(f"{each.job.id}  {shown(each.shown)}", flush=True)


def _show(sent: Sequence[Sent], found: Found, *, waited: bool, as_json: bool) -> None:
    rows = [_row(each, each.job, waited=waited) for each in sent if each.job]
    if as_json:
        print_json({"jobs": rows, "errors": list(_wrong(sent, found))})
    elif waited and rows:
        print()
        columns = ("file", "verdict", "score", "state")
        print_table(
            ("job", *columns),
            (
                (known_by_end(row["job"]), *(row[name] for name in columns))
                for row in rows
            ),
        )


def _row(each: Sent, job: Job, *, waited: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "job": str(job.id),
        "file": shown(each.shown),
        "sha256": job.sample_sha256,
        "state": job.state,
    }
    if waited:
        verdict = job.verdict
        row["verdict"] = verdict.status if verdict else None
        row["score"] = verdict.score if verdict else None
    return row


def _wrong(sent: Sequence[Sent], found: Found) -> Iterator[dict[str, str]]:
    for unusable in found.unusable:
        yield {"file": shown(unusable.shown), "error": unusable.why}
    for each in sent:
        if each.error is not None:
            yield {"file": shown(each.shown), "error": each.error.message}


def _code(
    sent: Sequence[Sent], found: Found, *, waited: bool, fail_on: Bad | None
) -> int:
    jobs = _jobs(sent)
    if found.unusable or len(jobs) < len(sent):
        return _WRONG
    if waited and any(job.state != "done" for job in jobs):
        return _WRONG
    if fail_on is None:
        return 0
    words = list(Bad)
    too_bad = {bad.value for bad in words[: words.index(fail_on) + 1]}
    is_too_bad = any(job.verdict and job.verdict.status in too_bad for job in jobs)
    return _TOO_BAD if is_too_bad else 0
