"""
``assay bench history``: what pages cost when much has happened before.

Latency is a client's, over HTTP against the real API. Plans are of the very statements
that the same requests cause, caught in an API within this process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import event

from orchestrator.api import deps
from orchestrator.api.app import create_app
from orchestrator.cli.bench.ground import Ground
from orchestrator.cli.bench.rows import Rows, add_rows
from orchestrator.cli.bench.summary import Figures, Result, milliseconds
from orchestrator.cli.client import Client
from orchestrator.cli.demo import tell
from orchestrator.flow.ports import Engine, Limits
from orchestrator.store import SampleStore

_WORKERS = 8

#: Requests of each kind in a run.
_REQUESTS = 50

_JOBS = "SELECT id, sample_sha256 FROM job TABLESAMPLE BERNOULLI (%s) LIMIT %s"

#: Name → path. ``{job}`` and ``{sample}``: another for each request.
_PAGES: Mapping[str, str] = {
    "jobs": "/job",
    "jobs_far": "/job?offset=1000&limit=100",
    "jobs_done": "/job?state=done",
    "jobs_open": "/job?state=enqueued&state=executing",
    "job": "/job/{job}",
    "job_tasks": "/job/{job}/tasks",
    "sample": "/sample/{sample}",
    "workers": "/worker",
}

_Job = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """``tasks`` that ended, spread over ninety days."""

    tasks: int
    runs: int


def measure(found: Ground, plan: Plan) -> Result:
    """Ask for each page again and again, then for its plans."""
    tell(f"writing {plan.tasks:,} finished tasks")
    rows = Rows(tasks=plan.tasks, workers=found.enrol(_WORKERS), has_ended=True)
    add_rows(found.sql, rows)
    found.start("api")
    with found.client() as client:
        # The first requests open connections and read what is not yet in memory.
        _run(client, _some_jobs(found, rows))
        runs = []
        for number in range(1, plan.runs + 1):
            tell(
                f"run {number} of {plan.runs}: {_REQUESTS} times each of {len(_PAGES)}"
            )
            runs.append(_run(client, _some_jobs(found, rows)))
    return Result(
        benchmark="history",
        parameters={"tasks": plan.tasks, "requests": _REQUESTS, "runs": plan.runs},
        runs=runs,
        extra={"plans": _plans(found, _some_jobs(found, rows)[0])},
    )


def _some_jobs(found: Ground, rows: Rows) -> list[_Job]:
    # Twice as many as are needed: which are sampled is chance.
    percent = min(100.0, _REQUESTS * 2 / rows.jobs * 100)
    chosen = found.sql.execute(_JOBS, [percent, _REQUESTS]).fetchall()
    return [(str(job), str(sample)) for job, sample in chosen]


def _run(client: Client, jobs: list[_Job]) -> Figures:
    figures: Figures = {}
    for name, page in _PAGES.items():
        took = []
        for number in range(_REQUESTS):
            path = _path(page, jobs[number % len(jobs)])
            began = time.monotonic()
            client.get(path)
            took.append(time.monotonic() - began)
        figures |= milliseconds(name, took)
    return figures


def _path(page: str, job: _Job) -> str:
    return page.format(job=job[0], sample=job[1])


def _plans(found: Ground, job: _Job) -> dict[str, list[str]]:
    """Return, for each page, the plan of every statement that reads jobs or tasks."""
    app = create_app(
        deps.Services(
            database=found.database,
            store=SampleStore.from_url(found.sample_store),
            engine=Engine(limits=Limits(), keys=found.keys),
        )
    )
    caught: list[tuple[str, Any]] = []

    @event.listens_for(found.database.engine, "before_cursor_execute")
    def catch(*arguments: Any) -> None:
        statement, values = arguments[2:4]
        if "FROM job" in statement:
            caught.append((statement, values))

    plans = {}
    headers = {"Argus-API-Key": found.api_key()}
    for name, page in _PAGES.items():
        caught.clear()
        asyncio.run(_get(app, f"/sampledb/v2{_path(page, job)}", headers))
        plans[name] = [_explain(found, *one) for one in caught]
    return plans


async def _get(app: FastAPI, path: str, headers: Mapping[str, str]) -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://bench") as own:
        answer = await own.get(path, headers=headers)
        answer.raise_for_status()


def _explain(found: Ground, statement: str, values: Any) -> str:
    explained = f"EXPLAIN (ANALYZE, BUFFERS) {statement}".encode()
    return "\n".join(row[0] for row in found.sql.execute(explained, values))
