"""
The audit trail: a row for every kind of change by hand, none for what changed nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import create_engine, text

from orchestrator.catalog import keys, workers
from orchestrator.catalog.keys import KeyOrder
from orchestrator.db.audit import Action
from orchestrator.db.migrate import head_revision, upgrade
from orchestrator.domain.errors import ConflictError
from orchestrator.domain.values import Actor, Role
from tests.fixtures.api import API, first_message, worker_form

#: Who changes what is changed on the database itself.
CONSOLE = Actor("console tester")
#: What must never be found in a row.
SECRET = "only-the-worker-may-know"

Row = dict[str, Any]
#: Returns what was changed, as its row names it, and does the same again when called.
Change = Callable[[API], tuple[str, Callable[[], object]]]


@pytest.fixture(autouse=True)
def _without_policy(api: API) -> Iterator[None]:
    yield
    api.run("UPDATE policy SET worker_ids = NULL, options = '{}'")
    api.run("UPDATE policy_rule SET deleted_at = now() WHERE deleted_at IS NULL")


def rows(api: API, **wanted: object) -> list[Row]:
    params = {"limit": "0", **{name: str(value) for name, value in wanted.items()}}
    answer = api.admin.get("/audit", params=params)
    assert answer.status_code == 200, answer.text
    found: list[Row] = answer.json()["data"]
    return found


def _put(api: API, path: str, body: Mapping[str, Any] | None = None) -> None:
    answer = api.admin.put(path, json=body or {})
    assert answer.status_code == 200, answer.text


def _repeated(call: Callable[[], object], changed: str) -> tuple[str, Any]:
    call()
    return changed, call


def _cancel_job(api: API) -> tuple[str, Any]:
    job = api.add_job()["id"]
    return _repeated(lambda: _put(api, f"/job/{job}/cancel"), job)


def _retry_job(api: API) -> tuple[str, Any]:
    job = api.add_job()["id"]
    (task,) = api.tasks(job)
    _put(api, f"/job/{job}/task/{task['id']}", {"state": "failed"})
    # A second time there is nothing to retry: 412.
    return _repeated(lambda: api.admin.put(f"/job/{job}/retry", json={}), job)


def _cancel_task(api: API) -> tuple[str, Any]:
    job = api.add_job()["id"]
    task = api.tasks(job)[0]["id"]
    cancelled = {"state": "cancelled"}
    return _repeated(lambda: _put(api, f"/job/{job}/task/{task}", cancelled), task)


def _register(api: API) -> tuple[str, Any]:
    name = f"w{secrets.token_hex(4)}"
    form = worker_form(name)
    return _repeated(lambda: api.admin.post("/worker", json=form), name)


def _enrol(api: API) -> tuple[str, Any]:
    name, known = api.add_worker(), api.services.engine.keys

    def introduce() -> None:
        # As `assay up` does at every start.
        with api.services.database.uow() as tx:
            secret = workers.ensure_enrolled(tx, name, keys=known, actor=CONSOLE)
        assert secret not in str(rows(api, object=name))

    return _repeated(introduce, name)


def _update_worker(api: API) -> tuple[str, Any]:
    name = api.add_worker()
    changed = {"weight": 0.25, "localizedNames": {"english": name.upper()}}
    return _repeated(lambda: _put(api, f"/worker/{name}", changed), name)


def _delete_worker(api: API) -> tuple[str, Any]:
    name = api.add_worker()
    return _repeated(lambda: api.admin.delete(f"/worker/{name}"), name)


def _pause(api: API) -> tuple[str, Any]:
    name = api.add_worker()
    return _repeated(lambda: _put(api, f"/worker/{name}/pause"), name)


def _resume(api: API) -> tuple[str, Any]:
    name = api.add_worker()
    _put(api, f"/worker/{name}/pause")
    return _repeated(lambda: _put(api, f"/worker/{name}/resume"), name)


def _replica(api: API) -> str:
    name = f"{api.add_worker()}-1@host"
    api.run(
        "INSERT INTO replica (id, worker_id, version, slots, sequence, seen_at)"
        " SELECT :id, id, '1', 1, 1, now() FROM worker"
        " WHERE short_name = split_part(:id, '-', 1)",
        id=name,
    )
    return name


def _drain(api: API) -> tuple[str, Any]:
    name = _replica(api)
    return _repeated(lambda: _put(api, f"/replica/{name}/drain"), name)


def _undrain(api: API) -> tuple[str, Any]:
    name = _replica(api)
    _put(api, f"/replica/{name}/drain")
    return _repeated(lambda: _put(api, f"/replica/{name}/undrain"), name)


def _policy(api: API) -> tuple[str, Any]:
    options = [{"key": f"k{secrets.token_hex(4)}", "value": SECRET}]
    changed = {"workers": [api.add_worker()], "options": options}
    return _repeated(lambda: _put(api, "/policy/default", changed), "default")


def _rule(api: API) -> tuple[str, dict[str, Any]]:
    key = f"k{secrets.token_hex(4)}"
    form = {
        "name": "a rule",
        "description": "",
        "match": {"classification": {"type": [key]}},
        "action": {
            "workers": {"add": [api.add_worker()]},
            "options": {"set": [{"key": key, "value": SECRET}]},
        },
    }
    answer = api.admin.post("/policy/default/rule", json=form)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["id"]), form


def _add_rule(api: API) -> tuple[str, Any]:
    rule_id, form = _rule(api)
    # Another one that decides about the same samples: 412.
    again = lambda: api.admin.post("/policy/default/rule", json=form)  # noqa: E731
    return rule_id, again


def _update_rule(api: API) -> tuple[str, Any]:
    rule_id, form = _rule(api)
    path, changed = f"/policy/default/rule/{rule_id}", {**form, "name": "another"}
    return _repeated(lambda: _put(api, path, changed), rule_id)


def _delete_rule(api: API) -> tuple[str, Any]:
    rule_id, _ = _rule(api)
    path = f"/policy/default/rule/{rule_id}"
    return _repeated(lambda: api.admin.delete(path), rule_id)


def _add_customer(api: API) -> tuple[str, Any]:
    name = f"c{secrets.token_hex(4)}"

    def add() -> None:
        with api.services.database.uow() as tx:
            keys.add_customer(tx, name, "A Customer", actor=CONSOLE)

    def add_again() -> None:
        with pytest.raises(ConflictError):
            add()

    add()
    return name, add_again


def _create_key(api: API) -> tuple[str, Any]:
    order = KeyOrder(user_name=f"u{secrets.token_hex(4)}", role=Role.USER)
    with api.services.database.uow() as tx:
        issued = keys.create_key(tx, order, actor=CONSOLE)
    assert issued.secret not in str(rows(api, object=issued.prefix))
    return issued.prefix, lambda: None


def _revoke_key(api: API) -> tuple[str, Any]:
    prefix, _ = _create_key(api)

    def revoke() -> None:
        with api.services.database.uow() as tx:
            keys.revoke_key(tx, prefix, actor=CONSOLE)

    return _repeated(revoke, prefix)


def poisoned(api: API) -> tuple[str, str]:
    """Make a sample poison for a worker; return both."""
    sha256, name = api.upload(), api.add_worker()
    worker = api.admin.get(f"/worker/{name}").json()["data"]
    api.run(
        "INSERT INTO poison (sample_sha256, worker_id, version, deaths, first_at,"
        " last_at, poisoned_at) VALUES (:sample, :worker, '1', 3, now(), now(), now())",
        sample=sha256,
        worker=UUID(worker["id"]),
    )
    return sha256, name


def _clear_poison(api: API) -> tuple[str, Any]:
    sha256, name = poisoned(api)
    return _repeated(lambda: _put(api, f"/poison/{sha256}/{name}/clear"), sha256)


def _set_verdict(api: API) -> tuple[str, Any]:
    sha256 = api.upload()
    form = {"statusOverride": "benign", "comment": "I know it"}
    answer = api.admin.post(f"/sample/{sha256}/verdict", json=form)
    assert answer.status_code == 201, answer.text
    return sha256, lambda: None


def _correct_kind(api: API) -> tuple[str, Any]:
    sha256, said = api.upload(), {"type": "pe", "superType": "executable"}
    return _repeated(lambda: _put(api, f"/sample/{sha256}/reclassify", said), sha256)


#: What makes each kind of row. Bringing the database up to date has a test of its own.
def _webhook(api: API) -> tuple[str, Any]:
    url = f"https://hooks.example/{secrets.token_hex(4)}"
    form = {"url": url, "types": ["job.done"]}
    added = api.admin.post("/webhook", json=form).json()["data"]
    return added["id"], form


def _add_webhook(api: API) -> tuple[str, Any]:
    webhook_id, form = _webhook(api)
    # There is one for this URL: 412.
    return webhook_id, lambda: api.admin.post("/webhook", json=form)


def _remove_webhook(api: API) -> tuple[str, Any]:
    webhook_id, _ = _webhook(api)
    return _repeated(lambda: api.admin.delete(f"/webhook/{webhook_id}"), webhook_id)


CHANGES: dict[Action, Change] = {
    Action.JOB_CANCEL: _cancel_job,
    Action.JOB_RETRY: _retry_job,
    Action.TASK_CANCEL: _cancel_task,
    Action.WORKER_REGISTER: _register,
    Action.WORKER_ENROL: _enrol,
    Action.WORKER_UPDATE: _update_worker,
    Action.WORKER_DELETE: _delete_worker,
    Action.WORKER_PAUSE: _pause,
    Action.WORKER_RESUME: _resume,
    Action.REPLICA_DRAIN: _drain,
    Action.REPLICA_UNDRAIN: _undrain,
    Action.POLICY_UPDATE: _policy,
    Action.RULE_ADD: _add_rule,
    Action.RULE_UPDATE: _update_rule,
    Action.RULE_DELETE: _delete_rule,
    Action.CUSTOMER_ADD: _add_customer,
    Action.KEY_CREATE: _create_key,
    Action.KEY_REVOKE: _revoke_key,
    Action.POISON_CLEAR: _clear_poison,
    Action.VERDICT_SET: _set_verdict,
    Action.SAMPLE_RECLASSIFY: _correct_kind,
    Action.WEBHOOK_ADD: _add_webhook,
    Action.WEBHOOK_REMOVE: _remove_webhook,
}
#: Not changes: each leaves a row.
DOWNLOADS = {Action.SAMPLE_DOWNLOAD, Action.EVIDENCE_DOWNLOAD}
_ON_THE_DATABASE = {
    Action.WORKER_ENROL,
    Action.CUSTOMER_ADD,
    Action.KEY_CREATE,
    Action.KEY_REVOKE,
}


def test_every_kind_of_change_is_tried():
    tried_alone = {Action.DATABASE_UPGRADE, Action.LOGIN_FAIL, *DOWNLOADS}
    assert set(CHANGES) == set(Action) - tried_alone


@pytest.mark.parametrize("action", CHANGES)
def test_a_change_leaves_one_row_and_a_repeat_that_changes_nothing_none(
    api: API, action: Action
):
    before = {row["id"] for row in rows(api, action=action.value)}

    changed, repeat = CHANGES[action](api)
    added = [row for row in rows(api, action=action.value) if row["id"] not in before]
    repeat()
    after = [row for row in rows(api, action=action.value) if row["id"] not in before]

    (row,) = added
    assert after == added
    assert (row["action"], row["object"]) == (action, changed)
    if action in _ON_THE_DATABASE:
        assert (row["actor"], row["source"]) == ("console tester", None)
    else:
        assert (row["actor"], row["source"]) == ("user test-administrator", "127.0.0.1")
    assert row["timestamp"] > 1_700_000_000_000
    assert SECRET not in str(row)


def test_bringing_the_database_up_to_date_is_written_down_once(empty_database_url: str):
    for _ in range(2):
        upgrade(empty_database_url, actor=CONSOLE)

    engine = create_engine(empty_database_url)
    with engine.connect() as connection:
        (row,) = connection.execute(text("SELECT * FROM audit"))
    engine.dispose()
    assert (row.actor, row.action) == (CONSOLE.name, "database.upgrade")
    assert row.detail == {"from": None, "to": head_revision()}


def test_overrides_are_shown_as_they_were_and_as_they_are(api: API):
    name = api.add_worker()
    _put(api, f"/worker/{name}", {"weight": 0.5, "runSeconds": 7.0})

    (row,) = rows(api, object=name, action="worker.update")

    assert row["detail"] == {
        "weight": {"from": 1.0, "to": 0.5},
        "runSeconds": {"from": None, "to": 7.0},
    }


def test_a_policy_is_shown_with_its_workers_and_without_the_values_of_options(api: API):
    first, second = api.add_worker(), api.add_worker()
    _put(api, "/policy/default", {"workers": [first]})
    _put(
        api,
        "/policy/default",
        {"workers": [second], "options": [{"key": "password", "value": SECRET}]},
    )

    row = rows(api, action="policy")[0]

    assert row["detail"] == {
        "workers": {"from": [first], "to": [second]},
        "options": {"from": [], "to": ["password"]},
    }


def test_who_may_not_leaves_no_row(api: API):
    job, (sha256, worker) = api.add_job(), poisoned(api)
    viewer = api.as_(Role.VIEWER)
    before = api.run("SELECT max(id) FROM audit")[0]

    refused = [
        viewer.put(f"/job/{job['id']}/cancel", json={}),
        viewer.put(f"/worker/{worker}/pause", json={}),
        viewer.put(f"/worker/{worker}", json={"weight": 0.5}),
        viewer.delete(f"/worker/{worker}"),
        viewer.put("/policy/default", json={"workers": [worker]}),
        viewer.put(f"/poison/{sha256}/{worker}/clear", json={}),
        viewer.post(
            f"/sample/{sha256}/verdict",
            json={"statusOverride": "benign", "comment": "no"},
        ),
    ]

    assert {answer.status_code for answer in refused} == {403}
    assert api.run("SELECT max(id) FROM audit")[0] == before


def test_it_is_filtered_and_paged_the_newest_first(api: API):
    name = api.add_worker()
    for command in ("pause", "resume", "pause"):
        _put(api, f"/worker/{name}/{command}")
    actions = ["worker.pause", "worker.resume", "worker.pause", "worker.register"]

    assert [row["action"] for row in rows(api, object=name)] == actions
    assert [row["action"] for row in rows(api, object=name, limit=2, offset=1)] == (
        actions[1:3]
    )
    paused = rows(api, object=name, action="worker.pause")
    assert [row["action"] for row in paused] == ["worker.pause"] * 2
    for actor in ("test-administrator", "user test-administrator"):
        assert len(rows(api, object=name, action="worker", actor=actor)) == 4
    assert rows(api, object=name, actor="console test-administrator") == []
    assert len(rows(api, object=name, since="now - 1 hour")) == 4
    assert rows(api, object=name, since="now + 1 hour") == []


@pytest.mark.parametrize(
    ("wanted", "field"),
    [({"since": "yesterday"}, "since"), ({"action": "worker.paus"}, "action")],
)
def test_a_wrong_filter_is_named(api: API, wanted: dict[str, str], field: str):
    answer = api.admin.get("/audit", params=wanted)

    assert answer.status_code == 412
    assert first_message(answer)["field"] == field


def test_an_administrator_of_some_customers_does_not_see_what_is_of_all(api: API):
    name = f"a{secrets.token_hex(4)}"
    with api.services.database.uow() as tx:
        order = KeyOrder(user_name=name, role=Role.ADMINISTRATOR, customers=["default"])
        client = api.with_key(keys.create_key(tx, order, actor=CONSOLE).secret)

    for path in ("/audit", "/poison"):
        answer = client.get(path)
        assert answer.status_code == 403
        assert "all customers" in first_message(answer)["message"]


def test_poison_is_listed_until_it_is_cleared(api: API):
    sha256, name = poisoned(api)

    listed = api.admin.get("/poison?limit=0").json()["data"]
    cleared = api.admin.put(f"/poison/{sha256}/{name}/clear", json={})
    again = api.admin.put(f"/poison/{sha256}/{name}/clear", json={})
    after = api.admin.get("/poison?limit=0").json()["data"]

    (row,) = [entry for entry in listed if entry["sampleSha256"] == sha256]
    assert (row["worker"], row["version"], row["deaths"]) == (name, "1", 3)
    assert not row["inForce"]
    assert cleared.json()["data"] == {"cleared": 1}
    assert again.json()["data"] == {"cleared": 0}
    assert sha256 not in {entry["sampleSha256"] for entry in after}


def test_what_never_was_poison_is_not_cleared(api: API):
    sha256, name = api.upload(), api.add_worker()

    unknown = api.admin.put(f"/poison/{sha256}/nobody/clear", json={})
    healthy = api.admin.put(f"/poison/{sha256}/{name}/clear", json={})

    assert (unknown.status_code, healthy.status_code) == (404, 404)
    assert first_message(unknown)["field"] == "idOrShortName"
    assert first_message(healthy)["field"] == "sha256"


def test_a_task_is_found_without_its_job_by_who_may_see_it(api: API):
    job = api.add_job()
    (task,) = api.tasks(job["id"])
    name = f"c{secrets.token_hex(4)}"
    with api.services.database.uow() as tx:
        keys.add_customer(tx, name, name, actor=CONSOLE)
        order = KeyOrder(user_name=f"u-{name}", role=Role.USER, customer=name)
        stranger = api.with_key(keys.create_key(tx, order, actor=CONSOLE).secret)

    found = api.admin.get(f"/task/{task['id']}").json()["data"]

    assert (found["id"], found["job"]) == (task["id"], job["id"])
    assert found["events"] == []
    assert stranger.get(f"/task/{task['id']}").status_code == 403
    assert api.admin.get(f"/task/{job['id']}").status_code == 404
