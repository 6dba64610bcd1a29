"""
``python -m tests.console.pictures [FOLDER]``: takes a picture of every page of the
console, light, dark and narrow, on a stage of its own.

Those of ``KEPT`` are shown by ``docs/console.md``; without a folder they alone are
taken, into ``docs/console/``.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from playwright.sync_api import Browser

from orchestrator.domain.values import Role
from orchestrator.embedded.postgres import start_postgres
from tests.fixtures.browser import NARROW, Stage, open_browser, open_stage, open_window
from tests.fixtures.stack import DatabaseServer

FOLDER = Path(__file__).parents[2] / "docs" / "console"
SIZE = (1180, 820)
MODES: dict[str, tuple[tuple[int, int], str]] = {
    "light": (SIZE, "light"),
    "dark": (SIZE, "dark"),
    "narrow": (NARROW, "light"),
}
KEPT = {
    "overview-light",
    "jobs-light",
    "job-light",
    "job-dark",
    "task-light",
    "failures-light",
}

_WORKERS = ("document", "executable", "strings", "yara")
_FILES = ("invoice-0311.docm", "setup.exe", "report.pdf", "letter.docx", "photo.jpg")
_STACK = """Traceback (most recent call last):
  File "yara/analyzer.py", line 88, in analyse
    matches = scanner.scan(data)
TimeoutError: the rules took longer than 120 s"""


def main(folder: Path | None) -> None:
    """Take them."""
    with _stage() as stage, open_browser() as browser:
        paths = _play(stage)
        for name, path in paths.items():
            for mode in MODES:
                if folder is not None or f"{name}-{mode}" in KEPT:
                    _take(browser, stage, name, path, mode, folder or FOLDER)


@contextmanager
def _stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="assay-pictures-") as folder:
        postgres = start_postgres(Path(folder) / "pg", fsync=False, superuser=True)
        try:
            server = DatabaseServer(postgres)
            url = server.url_of(server.create())
            with (
                open_stage(url, Path(folder) / "samples") as stage,
                # As which the processes of a service are connected.
                stage.rig.database.raw_connection(
                    application_name="assay consumer lock"
                ),
                stage.rig.database.raw_connection(application_name="assay dispatcher"),
            ):
                yield stage
        finally:
            postgres.remove()


def _play(stage: Stage) -> dict[str, str]:
    """Let a service be in the middle of something; return what there is to see."""
    rig = stage.rig
    for name in _WORKERS:
        rig.worker(name, slots=2)
    for number in range(24):
        _end(rig, _order(rig, number), score=(-1, 12, 40, 85, 0)[number % 5])
    _end(rig, _order(rig, 99, "invoice-0311.docm"), score=40)
    rig.age(7_200)
    _live(rig)
    shown = _order(rig, 99, "invoice-0311.docm")
    _end(rig, shown, score=85, failing="yara", taking=1.5)
    _live(rig)
    running, *waiting = [_order(rig, number) for number in range(30, 35)]
    rig.dispatch()
    for name, task in rig.tasks(running).items():
        rig.tell(task, "executing" if name == "strings" else "success")
    rig.execute("UPDATE worker SET paused_at = now() WHERE short_name = 'document'")
    rig.age(9)
    _live(rig)
    _remember_an_hour(rig)
    return {
        "login": "",
        "overview": "/",
        "jobs": "/jobs",
        "job": f"/jobs/{shown}",
        "waiting": f"/jobs/{waiting[-1]}",
        "task": f"/tasks/{rig.task(shown, 'executable').id}",
        "find": "/find?q=invoice",
        "samples": "/samples",
        "sample": f"/samples/{rig.sample(b'sample 99')}",
        "workers": "/workers",
        "worker": "/workers/yara",
        "failures": "/failures",
        "policy": "/policy",
        "webhooks": "/admin/webhooks",
        "keys": "/admin/keys",
        "customers": "/admin/customers",
        "poison": "/admin/poison",
        "rejected": "/admin/rejected",
        "audit": "/admin/audit",
    }


def _live(rig: Any) -> None:
    for name in _WORKERS:
        rig.heartbeat(f"{name}-1@host", slots=2)


def _order(rig: Any, number: int, name: str | None = None) -> UUID:
    file_name = name or f"{number:02}-{_FILES[number % len(_FILES)]}"
    job_id: UUID = rig.job(f"sample {number}".encode(), file_name=file_name)
    return job_id


def _end(
    rig: Any,
    job_id: UUID,
    *,
    score: int,
    failing: str | None = None,
    taking: float = 0,
) -> None:
    rig.age(taking / 2)
    rig.dispatch()
    for name, task in rig.tasks(job_id).items():
        rig.age(taking / 3)
        rig.tell(task, "executing")
        rig.age(taking)
        if name == failing:
            rig.tell(task, "failed", message=_STACK)
            continue
        found = {
            "score": score if name == "executable" else -1,
            "result": {
                "format": "PE32+",
                "entropy": 7.91,
                "image_base": 2**63 + 4096,
                "sections": [
                    {"name": ".text", "size": 51_200},
                    {"name": "UPX1", "size": 98_304, "writable": True},
                ],
                "imports": ["VirtualAlloc", "CreateRemoteThread"],
                "score": score,
            },
            "tags": [{"type": "family", "value": "packed"}] if score > 30 else [],
            "detections": [{"name": "packed by UPX", "assessment": "informational"}],
        }
        rig.tell(task, "success", analysis=found, message="looked at everything")


def _remember_an_hour(rig: Any) -> None:
    for minute in range(61):
        wave = 1 + math.sin(minute / 7)
        rig.execute(
            "INSERT INTO pulse"
            " (at, created_at, enqueued, ended, failed, oldest_at, slots)"
            " SELECT at, at, :n, :e, :f, at - make_interval(secs => :age), :slots"
            " FROM (SELECT date_trunc('minute', now())"
            " - make_interval(mins => :back) AS at) AS minute",
            back=60 - minute,
            n=2_000 * minute + 900 * wave,
            e=2_000 * minute + 850 * wave,
            f=6 * minute + 5 * wave,
            age=4 + 30 * wave,
            slots=8 if minute > 20 else 6,
        )


def _take(
    browser: Browser, stage: Stage, name: str, path: str, mode: str, folder: Path
) -> None:
    size, scheme = MODES[mode]
    role = Role.ADMINISTRATOR if path else None
    folder.mkdir(parents=True, exist_ok=True)
    stage.rig.canary()
    _live(stage.rig)
    stage.rig.execute("UPDATE stream SET dispatched_at = now()")
    with open_window(browser, stage, role, size=size, color_scheme=scheme) as visit:
        page = visit.open(path or "/login")
        page.screenshot(path=folder / f"{name}-{mode}.png", animations="disabled")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else None)
