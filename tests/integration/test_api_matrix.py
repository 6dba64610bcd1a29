"""
Every operation by every role, on what is one's own, is shared, and is another's.

Whoever is refused leaves no row, no message and no file.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from sqlalchemy import text

from orchestrator.catalog import keys
from orchestrator.catalog.keys import KeyOrder
from orchestrator.db.tables import metadata
from orchestrator.domain.values import Actor, Role
from tests.fixtures.api import API, ask, worker_form
from tests.fixtures.operations import ROLES

Relation = Literal["own", "shared", "foreign"]

AGENT = {"name": "agent", "version": "1"}
_TESTER = Actor("test")

#: Proving possession is how one gets access, so another's sample may be named there.
_ANYONES = re.compile(r"POST .*/(challenge|submission)$")

#: Rows that being refused may well write: none.
_TABLES = [table.name for table in metadata.sorted_tables]


@dataclass(frozen=True, kw_only=True)
class World:
    """A customer's sample with everything on it, and keys of everybody."""

    path: Mapping[str, str]
    token: dict[str, str]
    worker: str
    customer: str
    keys: Mapping[tuple[Role, Relation], str]
    owner: httpx.Client

    def another_webhook(self) -> str:
        """Add one that is there to be removed; return its id."""
        url = f"https://hooks.example/{secrets.token_hex(4)}"
        form = {"url": url, "types": ["job.done"]}
        added: str = self.owner.post("/webhook", json=form).json()["data"]["id"]
        return added


@pytest.fixture(scope="module")
def world(shared_api: API) -> World:
    owner, stranger = f"o{secrets.token_hex(4)}", f"s{secrets.token_hex(4)}"
    issued: dict[tuple[Role, Relation], str] = {}
    names: dict[tuple[Role, Relation], str] = {}
    relations: tuple[Relation, ...] = ("own", "shared", "foreign")
    with shared_api.services.database.uow() as tx:
        for customer in (owner, stranger):
            keys.add_customer(tx, customer, customer, actor=_TESTER)
        for role in Role:
            for relation in relations:
                customer = owner if relation == "own" else stranger
                name = f"{customer}-{relation}-{role}"
                order = KeyOrder(user_name=name, role=role, customer=customer)
                key = keys.create_key(tx, order, actor=_TESTER)
                issued[role, relation] = key.secret
                names[role, relation] = name
    shared = [names[role, "shared"] for role in Role]
    http = shared_api.with_key(issued[Role.USER, "own"])
    return _populated(shared_api, http, owner=owner, shared=shared, issued=issued)


def _populated(
    api: API,
    http: httpx.Client,
    *,
    owner: str,
    shared: list[str],
    issued: dict[tuple[Role, Relation], str],
) -> World:
    content = secrets.token_bytes(2048)
    uploaded = http.post("/sample", content=content).json()["data"]
    sha256 = uploaded["sample"]["id"]
    submission = http.post(
        f"/sample/{sha256}/submission",
        json={
            "challengeToken": uploaded["challenge"],
            "fileName": "a.bin",
            "userAgent": AGENT,
            "acl": shared,
        },
    ).json()["data"]
    worker = api.add_worker()
    order = {"sampleSha256": sha256, "workers": [worker]}
    job = http.post("/job", json=order).json()["data"]
    given = {"userAgent": AGENT, "tlp": "amber", "customer": owner, "acl": shared}
    findings = {**given, "analysisResult": {}, "analysisScore": 0}
    path = f"/sample/{sha256}"
    analysis = api.admin.post(f"{path}/analysis", json=findings).json()["data"]
    where = f"{path}/analysis/{analysis['analysisID']}/evidence"
    evidence = api.admin.post(f"{where}/a.txt", content=b"x").json()["data"]
    reference = {**given, "reference": "0" * 64, "type": "child"}
    link = api.admin.post(f"{path}/link", json=reference).json()["data"]
    url = f"https://hooks.example/{secrets.token_hex(4)}"
    webhook = http.post("/webhook", json={"url": url, "types": ["job.done"]}).json()
    webhook_id = webhook["data"]["id"]
    delivery = http.post(f"/webhook/{webhook_id}/test", json={}).json()["data"]
    return World(
        path={
            "sha256": sha256,
            "jobID": job["id"],
            "taskID": api.tasks(job["id"])[0]["id"],
            "analysisID": analysis["analysisID"],
            "evidence": evidence["id"],
            "webhookID": webhook_id,
            "deliveryID": delivery["id"],
            "idOrShortName": worker,
            "replica": "nobody",
            "verb": "retry",
            "submission": submission["id"],
            "link": link["id"],
            "rule": "00000000-0000-7000-8000-000000000009",
        },
        token=uploaded["challenge"],
        worker=worker,
        customer=owner,
        keys=issued,
        owner=http,
    )


def _url(operation: str, world: World) -> str:
    template = operation.split()[1]
    for resource in ("submission", "link", "rule"):
        template = template.replace(
            f"/{resource}/{{id}}", f"/{resource}/{{{resource}}}"
        )
    if operation.startswith("DELETE") and "{webhookID}" in operation:
        return template.format(webhookID=world.another_webhook())
    return template.format(**world.path)


def _body(operation: str, world: World) -> dict[str, Any]:
    """Return the arguments of a request that would have an effect if it got through."""
    findings = {"userAgent": AGENT, "tlp": "amber", "customer": world.customer}
    bodies: dict[str, Any] = {
        "POST /job": {"sampleSha256": world.path["sha256"], "workers": [world.worker]},
        "POST /submission": {
            "challengeToken": {**world.token, "id": world.path["jobID"]},
            "fileName": "b.bin",
            "userAgent": AGENT,
        },
        "POST /analysis": {**findings, "analysisResult": 1, "analysisScore": 100},
        "POST /link": {**findings, "reference": "1" * 64, "type": "loads"},
        "PUT /{verb}": {"jobs": [world.path["jobID"]]},
        "POST /webhook": {
            "url": f"https://hooks.example/{secrets.token_hex(4)}",
            "types": ["job.done"],
        },
        "POST /verdict": {"comment": "c", "statusOverride": "malicious"},
        "PUT /{taskID}": {"state": "cancelled"},
        "POST /worker": worker_form(f"w{secrets.token_hex(4)}"),
        "PUT /{idOrShortName}": {"weight": 0.5},
        "PUT /default": {"options": [{"key": "a", "value": "b"}]},
        "POST /rule": {
            "name": "n",
            "description": "",
            "match": {"classification": {"type": [secrets.token_hex(4)]}},
            "action": {"options": {"remove": ["a"]}},
        },
    }
    method, path = operation.split()
    if path.endswith(("/sample", "/{evidence}", "/explain")) and method == "POST":
        return {"content": secrets.token_bytes(64)}
    if method == "GET":
        return {}
    return {"json": bodies.get(f"{method} /{path.rsplit('/', 1)[1]}", {})}


def _may(operation: str, role: Role, relation: Relation) -> bool:
    if not role.includes(ROLES[operation]):
        return False
    if role.includes(Role.ANALYZER) or relation == "own" or _ANYONES.match(operation):
        return True
    if operation.endswith(" /sampledb/v2/job") and operation.startswith("POST"):
        return relation == "shared"
    if any(name in operation for name in ("{jobID}", "{taskID}", "{webhookID}")):
        return False
    return relation == "shared" or "{sha256}" not in operation


def _snapshot(api: API) -> dict[str, int]:
    counted = " UNION ALL ".join(
        f"SELECT '{name}' AS name, count(*) AS rows FROM {name}"  # noqa: S608
        for name in _TABLES
    )
    with api.services.database.uow() as tx:
        rows = tx.connection.execute(text(counted)).all()
        states = tx.connection.execute(
            text("SELECT state, count(*) FROM job_task GROUP BY state ORDER BY state")
        ).all()
    files = sum(1 for path in Path(api.store_folder).rglob("*") if path.is_file())
    found = {row.name: int(row.rows) for row in rows}
    return (
        found
        | {f"task {state}": int(count) for state, count in states}
        | {"files": files}
    )


@pytest.mark.parametrize("relation", ["own", "shared", "foreign"])
@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("operation", ROLES)
def test_who_may_do_what_to_whose(
    api: API, world: World, operation: str, role: Role, relation: Relation
):
    method, may = operation.split(maxsplit=1)[0], _may(operation, role, relation)
    url = _url(operation, world)
    before = None if may else _snapshot(api)

    answer = ask(
        api.bare,
        method,
        url,
        headers={"Argus-API-Key": world.keys[role, relation]},
        **_body(operation, world),
    )

    if may:
        assert answer.status_code not in {401, 403, 405, 500}, answer.text
    else:
        assert answer.status_code == 403, answer.text
        assert _snapshot(api) == before
