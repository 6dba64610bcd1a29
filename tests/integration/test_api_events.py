"""
The live stream: what changes is told as it is now, to whom it concerns.
"""

from __future__ import annotations

import json
import queue
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest

from orchestrator.catalog import keys
from orchestrator.catalog.keys import KeyOrder
from orchestrator.domain.values import Actor, Role
from tests.fixtures.api import API, PREFIX
from tests.fixtures.waiting import PATIENCE_SECONDS, eventually


@dataclass
class Stream:
    """What a client was sent: (event, data, id), as they come."""

    answer: httpx.Response
    came: queue.SimpleQueue[tuple[str, Any, str | None] | None] = field(
        default_factory=queue.SimpleQueue
    )

    def read(self) -> None:
        kind, data, id_ = "", "", None
        try:
            for line in self.answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    data = value
                elif name == "id":
                    id_ = value
                elif not line and kind:
                    self.came.put((kind, json.loads(data), id_))
                    kind, data, id_ = "", "", None
        except httpx.HTTPError:
            pass
        self.came.put(None)

    def next(self) -> tuple[str, Any, str | None] | None:
        return self.came.get(timeout=PATIENCE_SECONDS)

    def until(self, kind: str, **values: Any) -> tuple[Any, str | None]:
        """Return the first event of this kind with these values, and its id."""
        while True:
            came = self.next()
            assert came is not None, f"it ended before {kind} {values}"
            found, data, id_ = came
            if found == kind and all(data[name] == v for name, v in values.items()):
                return data, id_

    def rest(self) -> list[tuple[str, Any, str | None]]:
        """Return what comes until it ends."""
        found = []
        while (came := self.next()) is not None:
            found.append(came)
        return found


@contextmanager
def _stream(
    api: API, path: str, key: str, *, last_id: str | None = None, **filters: Any
) -> Iterator[Stream]:
    headers = {"Argus-API-Key": key}
    if last_id is not None:
        headers["Last-Event-ID"] = last_id
    timeout = httpx.Timeout(PATIENCE_SECONDS)
    with (
        httpx.Client(base_url=api.url + PREFIX, timeout=timeout) as client,
        client.stream("GET", path, params=filters, headers=headers) as answer,
    ):
        if answer.status_code != 200:
            answer.read()
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        stream = Stream(answer)
        thread = threading.Thread(target=stream.read, daemon=True)
        thread.start()
        yield stream


def _end(api: API, job: dict[str, Any], *, score: int = 80) -> None:
    """End a job's only task with an analysis."""
    (task,) = api.tasks(job["id"])
    form = {
        "customer": "default",
        "userAgent": {"name": task["worker"], "version": "1"},
        "tlp": "clear",
        "analysisResult": {},
        "analysisScore": score,
    }
    path = f"/sample/{job['analysedSample']['id']}/analysis"
    analysis = api.admin.post(path, json=form).json()["data"]["analysisID"]
    ended = {"state": "success", "analyses": [analysis]}
    answer = api.admin.put(f"/job/{job['id']}/task/{task['id']}", json=ended)
    assert answer.status_code == 200, answer.text


def test_a_jobs_stream_begins_with_how_it_is_and_ends_when_it_is_over(api: API):
    job = api.add_job()
    viewer = api.key(Role.VIEWER)
    with _stream(api, f"/job/{job['id']}/events", viewer) as stream:
        task, _ = stream.until("task", state="enqueued")
        first, _ = stream.until("job", id=job["id"])
        assert first == job
        api.admin.put(
            f"/job/{job['id']}/task/{task['id']}", json={"state": "executing"}
        )
        stream.until("task", state="executing")
        _end(api, job)
        came = stream.rest()

    kinds = [kind for kind, _, _ in came]
    assert kinds[-1] == "job"
    assert came[-1][1] == api.admin.get(f"/job/{job['id']}").json()["data"]
    assert came[-1][1]["verdict"] == {"status": "malicious", "score": 80}
    (verdict,) = [data for kind, data, _ in came if kind == "verdict"]
    assert (verdict["score"], verdict["job"]["id"]) == (80, job["id"])
    tasks = [data for kind, data, _ in came if kind == "task"]
    assert tasks[-1]["state"] == "success"
    assert tasks[-1]["analyses"][0]["analysisScore"] == 80


def test_the_stream_of_a_job_that_is_over_ends_at_once(api: API):
    job = api.add_job()
    api.admin.put(f"/job/{job['id']}/cancel")

    with _stream(api, f"/job/{job['id']}/events", api.key(Role.VIEWER)) as stream:
        came = stream.rest()

    assert [kind for kind, _, _ in came] == ["task", "job"]
    assert came[-1][1]["state"] == "done"


def test_everything_that_changes_is_told_as_it_is(api: API):
    with _stream(api, "/events", api.key(Role.VIEWER)) as stream:
        job = api.add_job()
        told, _ = stream.until("job", id=job["id"])
        assert told == job
        api.admin.put(f"/job/{job['id']}/cancel")
        stream.until("task", job=job["id"], state="cancelled")
        stream.until("job", id=job["id"], state="done")
        worker = api.add_worker()
        api.admin.put(f"/worker/{worker}/pause")
        paused, _ = stream.until("worker", shortName=worker)
        assert paused["pausedTimestamp"] is not None
        api.admin.put(f"/worker/{worker}/resume")
        stream.until("worker", shortName=worker, pausedTimestamp=None)
        sha256 = api.upload()
        said = {"comment": "seen", "statusOverride": "benign"}
        api.admin.post(f"/sample/{sha256}/verdict", json=said)
        by_hand, _ = stream.until("verdict", sampleSha256=sha256)
        # Who said it, and in which words, is not for everybody who has the sample.
        assert (by_hand["status"], by_hand["comment"]) == ("benign", None)


def test_filters_let_only_those_through(api: API):
    worker = api.add_worker()
    key = api.key(Role.VIEWER)
    with _stream(api, "/events", key, worker=worker, state="cancelled") as stream:
        others, own = api.add_job(), api.add_job(workers=[worker])
        for job in (others, own):
            api.admin.put(f"/job/{job['id']}/cancel")
        kind, data, _ = stream.next() or ("", {}, None)

    assert (kind, data["job"], data["worker"]) == ("task", own["id"], worker)


def test_a_customer_is_told_of_its_own(api: API):
    name = f"c{secrets.token_hex(4)}"
    with api.services.database.uow() as tx:
        keys.add_customer(tx, name, name, actor=Actor("test"))
        order = KeyOrder(user_name=f"u{name}", role=Role.USER, customer=name)
        key = keys.create_key(tx, order, actor=Actor("test")).secret
    stranger = api.with_key(key)
    with _stream(api, "/events", key) as stream:
        theirs = api.add_job()
        body = secrets.token_bytes(20)
        sha256 = stranger.post("/sample", content=body).json()["data"]["sample"]["id"]
        own = stranger.post("/job", json={"sampleSha256": sha256}).json()["data"]
        _, data, _ = stream.next() or ("", {}, None)
        assert own["id"] in {data.get("id"), data.get("job")}
        refused = stranger.get(f"/job/{theirs['id']}/events")

    assert refused.status_code == 403


def test_who_comes_again_is_told_what_came_meanwhile(api: API):
    key = api.key(Role.VIEWER)
    with _stream(api, "/events", key) as stream:
        first = api.add_job()
        _, last_id = stream.until("job", id=first["id"])
        missed = api.add_job()
        stream.until("job", id=missed["id"])

    with _stream(api, "/events", key, last_id=last_id) as stream:
        stream.until("job", id=missed["id"])


def test_who_has_missed_too_much_is_told_to_read_again(api: API):
    key = api.key(Role.VIEWER)
    with _stream(api, "/events", key, last_id="somebody-else-17") as stream:
        # What was made a moment ago may be told first.
        data, _ = stream.until("reset")

    assert data == {}


def test_many_changes_at_once_say_to_read_again(api: API):
    worker, sha256 = api.add_worker(), api.upload()
    order = {"sampleSha256": sha256, "workers": [worker]}
    watched = api.add_job(sha256, workers=[worker])
    key = api.key(Role.VIEWER)
    with (
        _stream(api, "/events", key) as stream,
        _stream(api, f"/job/{watched['id']}/events", key) as own,
    ):
        with api.services.database.uow() as tx:
            tx.changed.jobs.update(uuid4() for _ in range(201))
        stream.until("reset")
        api.admin.post("/job/bulk", json={"orders": [order] * 3})
        api.admin.put(f"/job/{watched['id']}/cancel")
        own.until("job", state="done")


def test_a_stream_of_no_job_is_404(api: API):
    answer = api.admin.get(f"/job/{uuid4()}/events")

    assert answer.status_code == 404


def test_a_key_that_is_revoked_ends_its_stream(
    api: API, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("orchestrator.api.events.telling._KEY_SECONDS", 0.2)
    with api.services.database.uow() as tx:
        order = KeyOrder(user_name=f"u{secrets.token_hex(4)}", role=Role.VIEWER)
        issued = keys.create_key(tx, order, actor=Actor("test"))
    with _stream(api, "/events", issued.secret) as stream:
        with api.services.database.uow() as tx:
            keys.revoke_key(tx, issued.prefix, actor=Actor("test"))
        stream.rest()


def test_a_lost_connection_is_a_reset_and_the_stream_goes_on(api: API):
    with _stream(api, "/events", api.key(Role.VIEWER)) as stream:
        stream.until("job", id=api.add_job()["id"])
        _lose_the_ears_connection(api)
        stream.until("reset")
        made: set[str] = set()
        # The first may fall between two connections.
        assert eventually(lambda: _is_told(api, stream, made))


def _lose_the_ears_connection(api: API) -> None:
    api.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'assay events' AND datname = current_database()"
    )


def test_a_jobs_stream_ends_though_its_end_was_missed(api: API):
    job = api.add_job()
    with _stream(api, f"/job/{job['id']}/events", api.key(Role.VIEWER)) as stream:
        stream.until("job", id=job["id"])
        # It ends without a word, as if whoever ended it had died before it told.
        api.run(
            "UPDATE job_task SET state = 'cancelled', due_at = NULL, ended_at = now()"
            " WHERE job_id = :job",
            job=job["id"],
        )
        api.run(
            "UPDATE job SET state = 'done', ended_at = now() WHERE id = :job",
            job=job["id"],
        )
        _lose_the_ears_connection(api)
        came = stream.rest()

    assert (came[-1][0], came[-1][1]["state"]) == ("job", "done")


def _is_told(api: API, stream: Stream, made: set[str]) -> bool:
    made.add(api.add_job()["id"])
    while stream.came.qsize():
        kind, data, _ = stream.came.get() or ("", {}, None)
        if kind == "job" and data["id"] in made:
            return True
    return False


def test_who_does_not_keep_up_is_cut_off_and_nobody_waits(
    api: API, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("orchestrator.api.events.hub._BEHIND_MAX", 5)
    worker, sha256 = api.add_worker(), api.upload()
    order = {"sampleSha256": sha256, "workers": [worker]}
    with _stream(api, "/events", api.key(Role.VIEWER), worker=worker) as stream:
        # A hundred events in one moment: of which five find room.
        answer = api.admin.post("/job/bulk", json={"orders": [order] * 100})
        assert answer.status_code == 200
        came = stream.rest()

    assert len(came) < 100
