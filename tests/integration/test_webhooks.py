"""
What a webhook is told of, and what becomes of it where the receiver is not well.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from orchestrator.api.events.resources import tell
from orchestrator.catalog.keys import KeyOrder, add_customer, create_key
from orchestrator.catalog.webhooks import WEBHOOKS_MAX
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.webhooks import Claimed
from orchestrator.deliver.process import Deliverer, Tell
from orchestrator.deliver.sender import Call, Sender
from orchestrator.domain.addresses import parse_networks
from orchestrator.domain.values import Actor, Role
from orchestrator.domain.webhooks import TOLD, TRIES_MAX
from orchestrator.queries.diagnose import Finding, Level, diagnose
from tests.fixtures.api import API, open_services, run_api
from tests.fixtures.commands import Assay
from tests.fixtures.receiver import Receiver, receiving
from tests.fixtures.stack import DatabaseServer
from tests.fixtures.waiting import eventually

LOOPBACK = parse_networks("127.0.0.0/8")
EVERYTHING = [occasion.value for occasion in TOLD]


@dataclass(kw_only=True)
class Hooks:
    """An API of one's own, whose webhooks this machine's receiver may be."""

    api: API
    receiver: Receiver

    def add(self, path: str, *types: str, client: httpx.Client | None = None) -> Any:
        answer = (client or self.api.as_(Role.USER)).post(
            "/webhook",
            json={"url": f"{self.receiver.url}{path}", "types": types or EVERYTHING},
        )
        assert answer.status_code == 201, answer.text
        return answer.json()["data"]

    def job(self, worker: str | None = None) -> Any:
        """Order a job of one task."""
        return self.api.add_job(workers=[worker or self.api.add_worker()])

    def end(self, job: Any, state: str = "success", **fields: Any) -> None:
        """Report the end of the job's task."""
        (task,) = self.api.tasks(job["id"])
        answer = self.api.admin.put(
            f"/job/{job['id']}/task/{task['id']}", json={"state": state, **fields}
        )
        assert answer.status_code == 200, answer.text

    def deliveries(self, webhook: Any, **parameters: Any) -> list[Any]:
        answer = self.api.admin.get(
            f"/webhook/{webhook['id']}/deliveries", params=parameters
        )
        assert answer.status_code == 200, answer.text
        found: list[Any] = answer.json()["data"]
        return found

    def tried(self, webhook: Any, *, tries: int) -> list[Any]:
        """Return those of which so many tries have failed."""
        return [
            each
            for each in self.deliveries(webhook)
            if each["tries"] == tries and each["error"] and not each["underWay"]
        ]

    def resting(self, path: str) -> Any:
        """Return a webhook once it rests."""
        shown = self.api.admin.get(path).json()["data"]
        return shown if shown["state"] == "resting" else None

    def now(self, webhook: Any) -> None:
        """Let the time pass for which the webhook, or its deliveries, wait."""
        self.api.run(
            "WITH w AS (UPDATE webhook SET rest_until = NULL WHERE id = :id)"
            " UPDATE webhook_delivery SET due_at = now() - interval '1 s'"
            " WHERE webhook_id = :id AND due_at IS NOT NULL AND taken_until IS NULL"
            " RETURNING 1",
            id=webhook["id"],
        )

    @contextmanager
    def delivering(self, *, seconds: float = 10, tell: Tell = tell) -> Iterator[None]:
        """Run what delivers."""
        sender = Sender(allowed=LOOPBACK, at_once=16, seconds=seconds)
        services = self.api.services
        deliverer = Deliverer(
            services.database, sender, tell=tell, keys=services.engine.keys
        )
        stopping = threading.Event()
        thread = threading.Thread(target=deliverer.run, args=(stopping,))
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()


@pytest.fixture(scope="module")
def own_api(
    database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[API]:
    """An API whose webhooks this machine's receiver may be, for this file alone."""
    folder, name = tmp_path_factory.mktemp("store"), database_server.create()
    url = database_server.url_of(name)
    with (
        open_services(url, folder, webhook_networks=LOOPBACK) as services,
        run_api(services, folder) as api,
    ):
        yield api
    database_server.drop(name)


@pytest.fixture
def hooks(own_api: API) -> Iterator[Hooks]:
    with receiving() as receiver:
        yield Hooks(api=own_api, receiver=receiver)
        own_api.run("DELETE FROM webhook RETURNING 1")


def test_a_jobs_end_is_told_with_all_that_the_api_says_and_signed(hooks: Hooks):
    webhook = hooks.add("/200", "job.done")
    job = hooks.job()

    with hooks.delivering():
        hooks.end(job)
        eventually(lambda: hooks.receiver.at("/200"))
        (told,) = hooks.receiver.at("/200")
        eventually(lambda: hooks.deliveries(webhook, state="delivered"))

    message = told.verified(webhook["secret"])
    assert _example_of_the_page()(told.headers, told.body, webhook["secret"])
    assert not _example_of_the_page()(told.headers, told.body + " ", webhook["secret"])
    assert message["type"] == "job.done"
    assert message["data"] == hooks.api.admin.get(f"/job/{job['id']}").json()["data"]
    assert message["data"]["state"] == "done"
    assert message["timestamp"].endswith("+00:00")
    assert told.headers["content-type"] == "application/json"
    (delivery,) = hooks.deliveries(webhook)
    assert (delivery["id"], delivery["job"]) == (told.id, job["id"])
    assert (delivery["tries"], delivery["status"]) == (1, 200)


def test_each_is_told_what_it_asked_for_and_a_verdict_only_if_it_says_something_else(
    hooks: Hooks,
):
    worker = hooks.api.add_worker()
    hooks.add("/200/all")
    hooks.add("/200/verdicts", "verdict.changed")
    sha256 = hooks.api.upload()

    with hooks.delivering():
        for state in ("failed", "success", "success"):
            hooks.end(hooks.api.add_job(sha256, workers=[worker]), state)
        for status in ("malicious", "malicious"):
            hooks.api.admin.post(
                f"/sample/{sha256}/verdict",
                json={"comment": status, "statusOverride": status},
            )
        last = {"comment": "no", "statusOverride": "benign"}
        hooks.api.admin.post(f"/sample/{sha256}/verdict", json=last)
        eventually(lambda: len(hooks.receiver.at("/200/verdicts")) == 3)
        eventually(lambda: len(hooks.receiver.at("/200/all")) == 7)

    said = [each.message["data"] for each in hooks.receiver.at("/200/verdicts")]
    assert [verdict["status"] for verdict in said] == ["unknown", "malicious", "benign"]
    all_told = sorted(hooks.receiver.types("/200/all"))
    assert all_told == ["job.done"] * 3 + ["task.failed"] + ["verdict.changed"] * 3


def test_a_customer_hears_of_its_own(hooks: Hooks):
    with hooks.api.services.database.uow() as tx:
        add_customer(tx, "other", "Other", actor=Actor("test"))
        order = KeyOrder(user_name="theirs", role=Role.USER, customer="other")
        other = hooks.api.with_key(create_key(tx, order, actor=Actor("test")).secret)
    mine, theirs = hooks.add("/200/mine"), hooks.add("/200/theirs", client=other)
    job = hooks.job()

    with hooks.delivering():
        hooks.end(job)
        eventually(lambda: hooks.receiver.at("/200/mine"))

    assert hooks.receiver.at("/200/theirs") == []
    assert [each["id"] for each in other.get("/webhook").json()["data"]] == [
        theirs["id"]
    ]
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/test"),
        ("GET", "/deliveries"),
        ("PUT", "/redeliver"),
    ):
        refused = other.request(method, f"/webhook/{mine['id']}{path}", json={})
        assert refused.status_code == 403


def test_what_is_rolled_back_is_not_told(hooks: Hooks):
    webhook = hooks.add("/200")
    job = hooks.job()
    (task,) = hooks.api.tasks(job["id"])

    refused = hooks.api.admin.put(
        f"/job/{job['id']}/task/{task['id']}",
        json={"state": "success", "analyses": [{"id": job["id"]}]},
    )

    assert refused.status_code >= 400
    assert hooks.deliveries(webhook) == []


REFUSED = {
    "/500": "500 Internal Server Error",
    "/400": "400 Bad Request",
    "/302": "302: it leads elsewhere",
    "/cut": "the connection broke",
    "/hang": "no answer within",
    "/drip": "no answer within",
}


def test_what_is_not_taken_is_sent_again_the_same_and_given_up_after_the_last_try(
    hooks: Hooks,
):
    webhooks = {path: hooks.add(path, "job.done") for path in REFUSED}
    hooks.end(hooks.job())

    with hooks.delivering(seconds=1):
        for path, webhook in webhooks.items():
            (first,) = eventually(partial(hooks.tried, webhook, tries=1))
            assert first["error"].startswith(REFUSED[path])
            assert first["dueTimestamp"] > first["triedTimestamp"]
            shown = hooks.api.admin.get(f"/webhook/{webhook['id']}").json()["data"]
            assert (shown["state"], shown["failures"], shown["waiting"]) == ("on", 1, 1)
        # Those between differ in nothing but how long they wait.
        hooks.api.run(
            "UPDATE webhook_delivery SET tries = :tries RETURNING 1",
            tries=TRIES_MAX - 1,
        )
        for webhook in webhooks.values():
            hooks.now(webhook)
        for webhook in webhooks.values():
            (last,) = eventually(partial(hooks.tried, webhook, tries=TRIES_MAX))
            assert (last["state"], last["dueTimestamp"]) == ("parked", None)

    for path in REFUSED:
        first_try, last_try = hooks.receiver.at(path)
        assert (first_try.id, first_try.body) == (last_try.id, last_try.body)
    assert hooks.receiver.at("/200/elsewhere") == []


def test_what_cannot_be_told_is_given_up_alone(hooks: Hooks):
    webhook = hooks.add("/200", "job.done")
    spoilt, sound = hooks.job(), hooks.job()
    for job in (spoilt, sound):
        hooks.end(job)

    def tell_some(tx: Transaction, new: Sequence[Claimed]) -> Mapping[UUID, str]:
        if any(str(each.job_id) == spoilt["id"] for each in new):
            raise ValueError("a row that nobody can shape")
        return tell(tx, new)

    with hooks.delivering(tell=tell_some):
        (told,) = eventually(lambda: hooks.deliveries(webhook, state="delivered"))
        (parked,) = eventually(lambda: hooks.deliveries(webhook, state="parked"))

    assert (told["job"], parked["job"]) == (sound["id"], spoilt["id"])
    assert "cannot be told" in parked["error"]


def test_what_was_given_up_is_sent_again_when_somebody_says_so(hooks: Hooks):
    webhook = hooks.add("/500/mended", "job.done")
    hooks.end(hooks.job())
    hooks.api.run(
        "UPDATE webhook_delivery SET parked_at = now(), due_at = NULL RETURNING 1"
    )
    hooks.receiver.answers["/500/mended"] = 200

    with hooks.delivering():
        path = f"/webhook/{webhook['id']}"
        done = hooks.api.as_(Role.USER).put(f"{path}/redeliver").json()["data"]
        eventually(lambda: hooks.deliveries(webhook, state="delivered"))
        (delivery,) = hooks.deliveries(webhook)
        one = f"{path}/deliveries/{delivery['id']}/redeliver"
        again = hooks.api.as_(Role.USER).put(one)
        eventually(lambda: len(hooks.receiver.at("/500/mended")) == 2)

    assert done == {"redelivered": 1}
    assert again.status_code == 200
    assert len({each.id for each in hooks.receiver.at("/500/mended")}) == 1


def test_a_receiver_that_is_gone_is_told_nothing_until_it_takes_a_test(hooks: Hooks):
    webhook = hooks.add("/410/back", "job.done")
    path = f"/webhook/{webhook['id']}"
    client = hooks.api.as_(Role.USER)

    with hooks.delivering():
        hooks.end(hooks.job())
        eventually(lambda: client.get(path).json()["data"]["state"] == "off")
        hooks.end(hooks.job())
        refused = client.put(f"{path}/redeliver")
        hooks.receiver.answers["/410/back"] = 200
        client.post(f"{path}/test")
        eventually(lambda: client.get(path).json()["data"]["state"] == "on")
        hooks.end(hooks.job())
        eventually(lambda: len(hooks.receiver.at("/410/back")) == 3)

    assert refused.status_code == 412
    told = hooks.receiver.types("/410/back")
    assert told == ["job.done", "webhook.test", "job.done"]
    assert [each["state"] for each in hooks.deliveries(webhook)] == [
        "delivered",
        "delivered",
        "parked",
    ]


def test_one_that_hangs_delays_nobody_else(hooks: Hooks):
    dead = hooks.add("/hang", "job.done")
    hooks.add("/200", "job.done")
    worker = hooks.api.add_worker()
    jobs = [hooks.job(worker) for _ in range(20)]

    with hooks.delivering(seconds=30):
        for job in jobs:
            hooks.end(job)
        # Long before the first call of the other is given up.
        eventually(lambda: len(hooks.receiver.at("/200")) == len(jobs), within=25)
        assert len(hooks.receiver.at("/hang")) == 2
        hooks.receiver.closing.set()

    assert len(hooks.deliveries(dead, state="waiting")) == len(jobs)


def test_one_that_fails_time_and_again_is_left_alone_for_a_while(hooks: Hooks):
    webhook = hooks.add("/500", "job.done")
    worker = hooks.api.add_worker()
    jobs = [hooks.job(worker) for _ in range(10)]
    path = f"/webhook/{webhook['id']}"

    with hooks.delivering():
        for job in jobs:
            hooks.end(job)
        eventually(lambda: hooks.deliveries(webhook, state="waiting"))
        shown = eventually(lambda: hooks.resting(path))

    # Three, and one beside the third.
    assert shown["failures"] in {3, 4}
    assert len(hooks.receiver.at("/500")) == shown["failures"]


def test_what_somebody_took_who_died_is_anothers_after_the_lease(hooks: Hooks):
    webhook = hooks.add("/200", "job.done")
    hooks.end(hooks.job())
    (taken,) = hooks.deliveries(webhook)
    lease = (
        "UPDATE webhook_delivery SET tries = 1, due_at = now() + :left,"
        " taken_until = now() + :left WHERE id = :id RETURNING 1"
    )
    hooks.api.run(lease, id=taken["id"], left=timedelta(hours=1))

    with hooks.delivering():
        hooks.end(hooks.job())
        eventually(lambda: hooks.deliveries(webhook, state="delivered"))
        before = [each.id for each in hooks.receiver.at("/200")]
        hooks.api.run(lease, id=taken["id"], left=timedelta(seconds=-1))
        eventually(lambda: len(hooks.deliveries(webhook, state="delivered")) == 2)

    assert taken["id"] not in before
    assert hooks.receiver.at("/200")[-1].id == taken["id"]


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"url": "ftp://x.example/"}, "url", "https://host/path"),
        ({"url": "https://"}, "url", "https://host/path"),
        ({"url": "https://u:p@x.example/"}, "url", "name and password"),
        ({"url": "https://x.example/#a"}, "url", "#"),
        ({"url": "http://10.0.0.1/"}, "url", "ASSAY_WEBHOOK_NETWORKS"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "url", "ASSAY_WEBHOOK_NETWORKS"),
        ({"url": "http://127.1/"}, "url", "ASSAY_WEBHOOK_NETWORKS"),
        ({"url": "http://0x7f000001/"}, "url", "ASSAY_WEBHOOK_NETWORKS"),
        ({"url": "http://localhost./"}, "url", "ASSAY_WEBHOOK_NETWORKS"),
        ({"url": "http://x.example:99999/"}, "url", "65535"),
        ({"url": "https://xn--/"}, "url", "A-label"),
        ({"url": f"http://x.example/{'é' * 1000}"}, "url", "2048"),
        ({"types": []}, "types", ""),
        ({"types": ["job.ended"]}, "types.0", "job.done"),
        ({"customer": "nobody"}, "customer", "nobody"),
    ],
)
def test_what_is_wrong_with_a_webhook_is_said(
    api: API, fields: dict[str, Any], field: str, words: str
):
    form = {"url": "https://x.example/", "types": ["job.done"], **fields}

    answer = api.as_(Role.USER).post("/webhook", json=form)

    assert answer.status_code == 412, answer.text
    message = answer.json()["messages"][0]
    assert message["field"] == field
    assert words in message["message"]


def test_a_customer_has_one_webhook_for_a_url_and_twenty_in_all(hooks: Hooks):
    hooks.add("/200/0")
    form = {"url": f"{hooks.receiver.url}/200/0", "types": ["job.done"]}
    client = hooks.api.as_(Role.USER)

    same = client.post("/webhook", json=form)
    for number in range(1, WEBHOOKS_MAX):
        hooks.add(f"/200/{number}")
    more = client.post("/webhook", json={**form, "url": f"{hooks.receiver.url}/200"})

    assert same.status_code == more.status_code == 412
    assert "remove" in same.json()["messages"][0]["message"]
    assert "at most 20" in more.json()["messages"][0]["message"]


def test_a_secret_is_shown_once_and_nobody_logs_the_url(api: API):
    form = {"url": "https://x.example/token-of-mine", "types": ["job.done"]}
    client = api.as_(Role.USER)
    added = client.post("/webhook", json=form).json()["data"]

    shown = client.get(f"/webhook/{added['id']}").json()["data"]
    audit = api.admin.get("/audit", params={"action": "webhook"}).json()["data"]
    removed = client.delete(f"/webhook/{added['id']}")

    assert added["secret"].startswith("whsec_")
    assert "secret" not in shown
    assert added["id"] in {row["object"] for row in audit}
    assert "token-of-mine" not in str(audit)
    assert removed.json()["data"]["id"] == added["id"]
    assert client.get(f"/webhook/{added['id']}").status_code == 404


def test_a_command_for_each_step_of_a_webhook(hooks: Hooks, tmp_path: Path):
    assay = Assay(hooks.api, tmp_path)
    url = f"{hooks.receiver.url}/200/cli"

    added = assay("webhook", "add", url, "--on", "job.done,task.failed")
    named, secret = (line.partition("=")[2] for line in added.stdout.splitlines())
    end = named[-6:]
    with hooks.delivering():
        tested = assay("webhook", "test", end)
        hooks.end(hooks.job(), "failed")
        eventually(lambda: len(hooks.receiver.at("/200/cli")) == 3)
        hooks.receiver.answers["/200/cli"] = 503
        refused = assay("webhook", "test", end)
    told = assay.json("webhook", "deliveries", end)
    listed = assay("webhook", "list")
    again = assay("webhook", "redeliver", end, told[-1]["id"])
    parked = assay.json("webhook", "redeliver", end)
    removed = assay("webhook", "remove", end)

    assert secret.startswith("whsec_")
    assert (tested.returncode, tested.stdout) == (0, "it was taken: 200\n")
    assert refused.returncode == 1
    assert "it was not taken: 503 Service Unavailable" in refused.stderr
    types = ["webhook.test", "job.done", "task.failed", "webhook.test"]
    assert [each["type"] for each in told] == types
    assert "job.done, task.failed" in listed.stdout
    assert again.stdout == "1 are sent again\n"
    assert parked == {"redelivered": 0}
    assert removed.stdout == f"removed {named}\n"
    assert assay("webhook", "test", end).returncode == 1
    assert "assay webhook list" in assay("webhook", "test", "ab").stderr


def test_the_doctor_says_who_does_not_take_it_and_that_nobody_delivers(hooks: Hooks):
    database = hooks.api.services.database

    def found() -> dict[str, Finding]:
        lease = timedelta(seconds=15)
        return {each.what: each for each in diagnose(database, lease=lease)}

    assert found()["webhooks"].detail == "nobody is to be told of anything"
    webhook = hooks.add("/500", "job.done")
    hooks.end(hooks.job())
    hooks.api.run(
        "UPDATE webhook_delivery SET due_at = now() - interval '1 h' RETURNING 1"
    )
    alone = found()
    with hooks.delivering():
        eventually(lambda: hooks.tried(webhook, tries=1))
        tried = found()

    assert alone["deliverers"].level is Level.FAIL
    assert alone["deliverers"].remedy == "start one: assay deliver"
    assert tried["deliverers"].level is Level.OK
    assert tried["webhooks"].level is Level.WARN
    assert webhook["id"][-8:] in tried["webhooks"].detail


def _example_of_the_page() -> Any:
    """Return the function with which the page on webhooks has receivers check."""
    page = (Path(__file__).parents[2] / "docs/http/webhook.md").read_text()
    (code,) = re.findall(r"```python\n(import base64.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  (a page of ours)
    return names["is_ours"]


def _call(url: str) -> Call:
    return Call(
        url=url,
        message_id="1",
        body="{}",
        secrets=("whsec_AAAA",),
        sent_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_an_address_of_this_network_is_not_called():
    with receiving() as receiver:
        answer = Sender(allowed=(), at_once=1).send(_call(f"{receiver.url}/200"))

    assert answer.status is None
    assert "127.0.0.1" in str(answer.error)
    assert "ASSAY_WEBHOOK_NETWORKS" in str(answer.error)
    assert receiver.received == []


def test_no_answer_and_no_url_breaks_who_calls_and_nothing_of_garbage_is_kept():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer_garbage() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"secret" * 10_000 + b"\r\n\r\n")

        answering = threading.Thread(target=answer_garbage)
        answering.start()
        sender = Sender(allowed=parse_networks("127.0.0.0/8"), at_once=1)
        port = server.getsockname()[1]
        garbage = sender.send(_call(f"http://127.0.0.1:{port}/"))
        answering.join()
        port_of_nobody = sender.send(_call("http://127.0.0.1:99999/"))

    assert garbage.error == "the connection broke: illegal status line"
    assert port_of_nobody.error == "can not be called: ValueError"


def test_the_address_that_was_checked_is_the_one_that_is_called(
    monkeypatch: pytest.MonkeyPatch,
):
    # A name server that answers with a good address first, and with another after it.
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: Any, port: Any, *args: Any, **named: Any) -> Any:
        if host != "rebinding.example":
            return real(host, port, *args, **named)
        asked.append(host)
        address = "127.0.0.2" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with receiving() as receiver:
        port = receiver.url.rpartition(":")[2]
        allowed = parse_networks("127.0.0.2/32")
        sender = Sender(allowed=allowed, at_once=1)
        # Nobody listens at the first: it is not called at the second.
        answer = sender.send(_call(f"http://rebinding.example:{port}/200"))
        assert "can not be reached" in str(answer.error)
        second = sender.send(_call(f"http://rebinding.example:{port}/200"))

    assert len(asked) == 2
    assert "127.0.0.1, which is not of the public internet" in str(second.error)
    assert receiver.received == []
