"""
``assay bench history``: what pages cost when much has happened before.

Latency is a client's, over HTTP against the real API. Plans are of the very statements
that the same requests cause, caught in an API within this process.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import event

from orchestrator.api import deps
from orchestrator.api.app import create_app
from orchestrator.bench.rows import LATE, Rows, add_rows
from orchestrator.bench.summary import Figures, Result, milliseconds
from orchestrator.bench.testbed import Testbed
from orchestrator.client.http import Client
from orchestrator.db.states import DONE
from orchestrator.domain.limits import Limits
from orchestrator.domain.values import Role
from orchestrator.flow.ports import Engine
from orchestrator.store import SampleStore
from orchestrator.terminal.output import tell

_WORKERS = 8

#: Those that ended: only their samples were submitted.
_JOBS = (
    "SELECT job.id, sample_sha256"
    " FROM job TABLESAMPLE BERNOULLI (%s)"
    " JOIN customer ON customer.id = customer_id"
    f" WHERE state = {DONE} AND customer.short_name = %s LIMIT %s"
)

#: Name → request. ``{job}``, ``{sample}``, ``{start}`` of it: others in each request.
#: Every submission has ``sample-`` and the start in its file's name.
_PAGES: Mapping[str, str] = {
    "samples": "/sample",
    "samples_by_hash": "/sample?keywords={sample}",
    "samples_by_part": "/sample?keywords={start}",
    "samples_by_name": "/sample?keywords=sample-{start}.bin",
    "samples_by_word": "/sample?keywords=sample-",
    "submissions": "/submission",
    "submissions_by_hash": "/submission?keywords={sample}",
    "submissions_by_name": "/submission?keywords=sample-{start}.bin",
    "submissions_by_word": "/submission?keywords=sample-",
    "jobs": "/job",
    "jobs_search": "POST /job/search",
    "jobs_of_a_week": "POST /job/search "
    '{"startTimestamp": "now - 5 weeks", "endTimestamp": "now - 4 weeks"}',
    "jobs_of_a_day": 'POST /job/search {"startTimestamp": "now - 1 day"}',
    "jobs_far": "/job?offset=1000&limit=100",
    "jobs_done": "/job?state=done",
    "jobs_open": "/job?state=enqueued&state=executing",
    "jobs_timeout": "/job?state=timeout",
    "job": "/job/{job}",
    "job_tasks": "/job/{job}/tasks",
    "sample": "/sample/{sample}",
    "sample_submissions": "/sample/{sample}/submission",
    "sample_classifications": "/sample/{sample}/classification",
    "sample_analyses": "/sample/{sample}/analysis",
    "sample_links": "/sample/{sample}/link",
    "sample_verdicts": "/sample/{sample}/verdict",
    "workers": "/worker",
}

#: Digits of a hash in a file's name.
_START = 12

_POST = "POST "

#: What a transaction tells the planner.
_SETTING = "SET LOCAL "

#: Tables that grow with history.
_BIG = (
    "sample",
    "sample_access",
    "submission",
    "classification",
    "job",
    "job_task",
    "analysis",
    "task_analysis",
    "link",
    "verdict",
    "verdict_input",
)

_Job = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """
    ``tasks`` that ended, spread over ninety days; ``open_tasks`` besides.

    ``requests``: of each kind in a run.
    """

    tasks: int
    open_tasks: int
    requests: int
    runs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asker:
    """Who asks, and how the figures of that are named."""

    prefix: str
    role: Role
    customer: str = "default"


#: A customer's user sees less, by other indexes, than an administrator; and all of a
#: customer that came late is at the end of every table.
_ASKERS = (
    _Asker(prefix="", role=Role.USER),
    _Asker(prefix="late_", role=Role.USER, customer=LATE),
    _Asker(prefix="admin_", role=Role.ADMINISTRATOR),
)


def measure(found: Testbed, plan: Plan) -> Result:
    """Ask for each page again and again, then for its plans."""
    tell(f"writing {plan.tasks:,} finished tasks")
    workers = found.enrol(_WORKERS)
    rows = Rows(tasks=plan.tasks, workers=workers, has_ended=True)
    add_rows(found.sql, rows)
    if plan.open_tasks:
        add_rows(found.sql, Rows(tasks=plan.open_tasks, workers=workers))
    found.start("api")
    # The first requests open connections and read what is not yet in memory.
    _ask_all(found, rows, plan.requests)
    runs = []
    for number in range(1, plan.runs + 1):
        tell(
            f"run {number} of {plan.runs}: {plan.requests} times each of {len(_PAGES)}"
        )
        runs.append(_ask_all(found, rows, plan.requests))
    plans = _plans(found, rows)
    return Result(
        benchmark="history",
        parameters={
            "tasks": plan.tasks,
            "open_tasks": plan.open_tasks,
            "requests": plan.requests,
            "runs": plan.runs,
        },
        runs=runs,
        extra={"plans": plans, "scans": _scans(plans)},
    )


def _ask_all(found: Testbed, rows: Rows, requests: int) -> Figures:
    figures: Figures = {}
    for asker in _ASKERS:
        jobs = _some_jobs(found, rows, requests, asker)
        with found.client(asker.role, customer=asker.customer) as client:
            asked = _run(client, jobs, requests)
        figures |= {f"{asker.prefix}{name}": took for name, took in asked.items()}
    return figures


def _scans(plans: Mapping[str, list[str]]) -> list[str]:
    """Return the pages whose plans read a table with history from end to end."""
    return sorted(
        name
        for name, texts in plans.items()
        if any(f"Seq Scan on {table} " in text for text in texts for table in _BIG)
    )


def _some_jobs(found: Testbed, rows: Rows, count: int, asker: _Asker) -> list[_Job]:
    # More than are needed: which are sampled, and whose they are, is chance.
    percent = min(100.0, (count * 20 + 500) / rows.jobs * 100)
    chosen = found.sql.execute(_JOBS, [percent, asker.customer, count]).fetchall()
    return [(str(job), str(sample)) for job, sample in chosen]


def _run(client: Client, jobs: list[_Job], requests: int) -> Figures:
    figures: Figures = {}
    for name, page in _PAGES.items():
        took = []
        for number in range(requests):
            path = _path(page, jobs[number % len(jobs)])
            began = time.monotonic()
            _ask(client, path)
            took.append(time.monotonic() - began)
        figures |= milliseconds(name, took)
    return figures


def _ask(client: Client, request: str) -> None:
    path, body = _parts(request)
    if body is None:
        client.get(path)
    else:
        client.post(path, body)


def _parts(request: str) -> tuple[str, dict[str, Any] | None]:
    """Return the path, and the body of what is to be posted."""
    if not request.startswith(_POST):
        return request, None
    path, _, body = request.removeprefix(_POST).partition(" ")
    return path, json.loads(body or "{}")


def _path(page: str, job: _Job) -> str:
    job_id, sample = job
    values = {"{job}": job_id, "{sample}": sample, "{start}": sample[:_START]}
    for hole, value in values.items():
        page = page.replace(hole, value)
    return page


def _plans(found: Testbed, rows: Rows) -> dict[str, list[str]]:
    """Return, for each page and asker, the plan of every statement on big tables."""
    app = create_app(
        deps.Services(
            database=found.database,
            store=SampleStore.from_url(found.sample_store),
            engine=Engine(limits=Limits(), keys=found.keys),
        )
    )
    caught: list[tuple[str, str, Any]] = []
    setting = ""

    @event.listens_for(found.database.engine, "before_cursor_execute")
    def catch(*arguments: Any) -> None:
        nonlocal setting
        statement, values = arguments[2:4]
        if statement.startswith(_SETTING):
            setting = statement
        if any(f"FROM {table}" in statement for table in _BIG):
            caught.append((setting, statement, values))

    plans = {}
    for asker in _ASKERS:
        key = found.api_key(asker.role, customer=asker.customer)
        (job,) = _some_jobs(found, rows, 1, asker)
        for name, page in _PAGES.items():
            caught.clear()
            setting = ""
            asyncio.run(_request(app, _path(page, job), key))
            explained = [_explain(found, *query) for query in caught]
            plans[f"{asker.prefix}{name}"] = explained
    return plans


async def _request(app: FastAPI, request: str, key: str) -> None:
    path, body = _parts(request)
    method = "GET" if body is None else "POST"
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport,
        base_url="http://bench/sampledb/v2",
        headers={"Argus-API-Key": key},
    ) as own:
        answer = await own.request(method, path, json=body)
        answer.raise_for_status()


def _explain(found: Testbed, setting: str, statement: str, values: Any) -> str:
    explained = f"EXPLAIN (ANALYZE, BUFFERS) {statement}".encode()
    with found.sql.transaction():
        if setting:
            found.sql.execute(setting.encode())
        return "\n".join(row[0] for row in found.sql.execute(explained, values))
