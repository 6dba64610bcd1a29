"""
A worker's account in the broker: enough for a replica, and nothing of anybody else's.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import amqp
import pytest
import redis
from celery import Celery
from kombu import Connection

from orchestrator.contracts.assignment import AssignedSample, Assignment, Where
from orchestrator.contracts.names import REPORTS, worker_queue
from orchestrator.contracts.report import Report
from orchestrator.contracts.token import KeyRing
from orchestrator.domain.errors import ConfigurationError
from orchestrator.embedded.ports import free_port
from orchestrator.messaging import policy
from orchestrator.messaging.accounts import Account
from orchestrator.messaging.control import Stopper
from orchestrator.messaging.outgoing import Outgoing
from orchestrator.messaging.publisher import Publisher
from orchestrator.messaging.report_source import open_report_source
from orchestrator.messaging.topology import declare, redis_client
from tests.fixtures.brokers import Broker, RabbitMQHost, RedisServer, redis_executable
from tests.fixtures.rabbitmq_node import RabbitMQNode
from tests.fixtures.replica import ACTOR, ROOT, Replica, run_worker, write_module
from tests.fixtures.rounds import only_long
from tests.fixtures.servers import StoreServer
from tests.fixtures.waiting import eventually

DEPLOYMENT = secrets.token_hex(4)
KEYS = KeyRing.parse(f"new:{'5a' * 32},old:{'a5' * 32}")


@dataclass
class Staff:
    """A broker that knows two workers; ``actor`` is the one whose account is tried."""

    broker: Broker
    actor: Account
    other: Account

    @property
    def url(self) -> str:
        return policy.account_url(self.broker.url, self.actor)


@pytest.fixture
def staff(broker: Broker) -> Iterator[Staff]:
    with staffed(broker) as staff:
        yield staff


@contextmanager
def staffed(broker: Broker) -> Iterator[Staff]:
    # RabbitMQ's users are those of the whole server.
    mark = secrets.token_hex(4)
    accounts = [
        Account.of(f"{name}.{mark}", 1, keys=KEYS, deployment=DEPLOYMENT)
        for name in ("actor", "by")
    ]
    give(broker, accounts)
    yield Staff(broker, *accounts)
    if isinstance(broker, RabbitMQHost):
        for account in accounts:
            subprocess.run(
                ["rabbitmqctl", "-q", "delete_user", account.user], check=True
            )


def give(broker: Broker, accounts: list[Account]) -> None:
    declare(broker.url, [account.worker for account in accounts])
    if isinstance(broker, RedisServer):
        policy.apply_to_redis(broker.url, accounts)
        return
    for line in policy.lines(broker.url, accounts):
        subprocess.run(["bash", "-c", line], check=True, capture_output=True)


@pytest.fixture
def store() -> Iterator[StoreServer]:
    with closing(StoreServer()) as store:
        yield store


@pytest.fixture
def replica(staff: Staff, store: StoreServer, tmp_path: Path) -> Iterator[Replica]:
    name = staff.actor.worker
    write_module(tmp_path, ACTOR.replace('@analyzer("actor"', f'@analyzer("{name}"'))
    environment = {
        "PYTHONPATH": str(ROOT),
        "ASSAY_BROKER_URL": staff.url,
        "ASSAY_API_URL": store.url,
        "ASSAY_WORKER_SECRET": KEYS.enrolment_secret(name, 1),
        "ASSAY_HEARTBEAT_SECONDS": "0.2",
        "ASSAY_WORKER_SLOTS": "1",
    }
    with closing(run_worker(environment, tmp_path)) as replica:
        yield replica


def test_a_replica_does_all_its_work_with_its_account(
    staff: Staff, store: StoreServer, replica: Replica
):
    app = Celery(broker=staff.broker.url, set_as_current=False)
    with (
        closing(Publisher(staff.broker.url)) as publisher,
        closing(open_report_source(staff.broker.url, epoch=1)) as source,
    ):
        said = Said(source)
        publisher.publish([assignment(staff, store, sleep=0)])
        eventually(lambda: said.kinds() == ["success"])

        publisher.publish([held := assignment(staff, store, sleep=60)])
        node = eventually_value(lambda: said.holder(held.task_id))
        assert app.control.inspect(timeout=5).ping() == {node: {"ok": "pong"}}

        with closing(Stopper(staff.broker.url)) as stopper:
            stopper.stop(node, [(held.task_id, 1)], secrets=held.secrets)
        eventually(lambda: "stopped" in replica.log.read_text())
        assert replica.terminate() == 0
    assert "no permission" not in replica.log.read_text().lower()


def test_a_replica_waits_for_a_queue_that_nobody_has_made_yet(
    rabbitmq: RabbitMQHost, store: StoreServer, tmp_path: Path
):
    write_module(tmp_path, ACTOR)
    environment = {
        "PYTHONPATH": str(ROOT),
        "ASSAY_BROKER_URL": rabbitmq.url,
        "ASSAY_API_URL": store.url,
        "ASSAY_WORKER_SECRET": KEYS.enrolment_secret("actor", 1),
    }
    with closing(run_worker(environment, tmp_path)) as replica:
        eventually(lambda: "broker.lost" in replica.log.read_text())
        assert rabbitmq.queues() == {}

        declare(rabbitmq.url, ["actor"])

        app = Celery(broker=rabbitmq.url, set_as_current=False)
        eventually(lambda: app.control.inspect(timeout=1).ping())
        with closing(open_report_source(rabbitmq.url, epoch=1)) as source:
            eventually(lambda: source.batch(wait_seconds=1))


class Said:
    """What a replica has said so far."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self.bodies: list[bytes] = []

    def read(self) -> list[bytes]:
        self.bodies += [
            message.body for message in self._source.batch(wait_seconds=0.1)
        ]
        self._source.ack()
        return self.bodies

    def reports(self) -> list[Report]:
        bodies = [body for body in self.read() if b'"type":"report"' in body]
        return [Report.model_validate_json(body) for body in bodies]

    def kinds(self) -> list[str]:
        return [report.kind for report in self.reports()]

    def holder(self, task_id: UUID) -> str | None:
        return next(
            (report.replica for report in self.reports() if report.task_id == task_id),
            None,
        )


def eventually_value(find: Callable[[], str | None]) -> str:
    found: list[str] = []

    def look() -> bool:
        value = find()
        found.extend([value] if value else [])
        return bool(found)

    eventually(look)
    return found[0]


def assignment(staff: Staff, store: StoreServer, **options: Any) -> Outgoing:
    task_id, name = uuid4(), staff.actor.worker
    path = f"/internal/task/{task_id}/1/sample"
    store.samples[path] = b"sample"
    digest = "af2bdbe1aa9b6ec1e2ade1d694f41fc71a831d0268e9891562113d8a62add1bf"
    message = Assignment(
        job_id=uuid4(),
        task_id=task_id,
        attempt=1,
        worker=name,
        sample=AssignedSample(
            sha256=digest, size=6, where=Where(kind="http", value=path)
        ),
        options=options,
        timeout_seconds=120,
    )
    return Outgoing(
        worker=name,
        job_id=message.job_id,
        task_id=task_id,
        attempt=1,
        sample_sha256=message.sample.sha256,
        token=KEYS.attempt_token(task_id, 1, name),
        body=message.model_dump_json(),
        secrets=KEYS.enrolment_secrets(name, 1),
    )


@pytest.fixture
def redis_staff(redis_server: RedisServer) -> Iterator[Staff]:
    with staffed(redis_server) as staff:
        yield staff


def redis_attempts(staff: Staff) -> list[tuple[Any, ...]]:
    """Return what would read, forge or destroy what is not the worker's."""
    other = worker_queue(staff.other.worker, rabbitmq=False).name
    mailbox = f"{staff.other.worker}-00000000@host.celery.pidbox"
    foreign = [REPORTS, other, "maintenance", "reports.taken", "reports.epoch", mailbox]
    reading = [
        (command, key)
        for key in foreign
        for command in ("LRANGE 0 -1", "LINDEX 0", "RPOP", "LPOP", "GET", "DUMP")
    ]
    return [
        *((command.split()[0], key, *command.split()[1:]) for command, key in reading),
        *(("BRPOP", key, 1) for key in foreign),
        *(("BLMPOP", 1, 1, key, "RIGHT") for key in foreign),
        *(("BLMOVE", key, "x", "LEFT", "LEFT", 1) for key in foreign),
        *(("LPUSH", key, "x") for key in foreign if key != REPORTS),
        *(("DEL", key) for key in [*foreign, REPORTS]),
        *(("RENAME", key, "x") for key in foreign),
        *(("LTRIM", key, 1, 0) for key in foreign),
        *(("LLEN", key) for key in foreign if key not in {REPORTS, mailbox}),
        ("PUBLISH", "/0.celery.pidbox", "{}"),
        ("PUBLISH", "/0.celeryev", "{}"),
        ("PSUBSCRIBE", "*"),
        ("PSUBSCRIBE", "/0.celeryev/*"),
        ("SUBSCRIBE", "/0.celeryev/task.received"),
        ("SUBSCRIBE", "__keyspace@0__:reports"),
        ("SADD", "_kombu.binding.reply.celery.pidbox", "x"),
        ("SMEMBERS", "_kombu.binding.celery.pidbox"),
        ("EVAL", "return 1", 0),
        ("FCALL", "x", 0),
        ("SCRIPT", "LOAD", "return 1"),
        ("KEYS", "*"),
        ("SCAN", 0),
        ("RANDOMKEY",),
        ("DBSIZE",),
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("SWAPDB", 0, 1),
        ("CONFIG", "GET", "*"),
        ("CONFIG", "SET", "save", ""),
        ("ACL", "LIST"),
        ("ACL", "SETUSER", staff.actor.user, "+@all"),
        ("CLIENT", "LIST"),
        ("CLIENT", "KILL", "TYPE", "normal"),
        ("CLIENT", "PAUSE", 1),
        ("MONITOR",),
        ("INFO",),
        ("SAVE",),
        ("SHUTDOWN", "NOSAVE"),
        ("REPLICAOF", "127.0.0.1", 1),
        ("SLOWLOG", "GET"),
        ("LATENCY", "DOCTOR"),
        ("MEMORY", "STATS"),
        ("SET", "x", "y"),
        ("MIGRATE", "127.0.0.1", 1, REPORTS, 0, 1),
    ]


def test_on_redis_an_account_opens_nothing_else(redis_staff: Staff):
    passed = []
    for attempt in redis_attempts(redis_staff):
        with redis_client(redis_staff.url) as client:
            try:
                client.execute_command(*attempt)
            except redis.exceptions.NoPermissionError:
                continue
            passed.append(attempt)

    assert passed == []


def test_a_new_enrolment_ends_the_account_before_it(redis_staff: Staff):
    newer = Account.of(redis_staff.actor.worker, 2, keys=KEYS, deployment=DEPLOYMENT)
    with redis_client(redis_staff.url) as client:
        assert client.ping()
        give(redis_staff.broker, [newer])

        # Its connection was ended, and a new one is refused.
        with pytest.raises(redis.exceptions.AuthenticationError):
            client.ping()
    for former in (redis_staff.actor, redis_staff.other):
        url = policy.account_url(redis_staff.broker.url, former)
        with (
            redis_client(url) as client,
            pytest.raises(redis.exceptions.AuthenticationError),
        ):
            client.ping()


def test_an_account_of_an_older_key_passes_while_the_key_does(redis_staff: Staff):
    older = Account(
        worker=redis_staff.actor.worker,
        user=redis_staff.actor.user,
        passwords=redis_staff.actor.passwords[1:],
    )
    url = policy.account_url(redis_staff.broker.url, older)
    with redis_client(url) as client:
        assert client.ping()


def test_the_lines_for_an_aclfile_say_the_same(redis_staff: Staff, tmp_path: Path):
    accounts = [redis_staff.actor, redis_staff.other]
    aclfile, port = tmp_path / "users.acl", free_port()
    admin = f"user default on #{'0' * 64} ~* &* +@all"
    aclfile.write_text("\n".join([admin, *policy.lines("redis://h/0", accounts), ""]))
    command = [redis_executable(), "--port", str(port), "--aclfile", str(aclfile)]
    server = subprocess.Popen([*command, "--save", ""], cwd=tmp_path)
    url = policy.account_url(f"redis://127.0.0.1:{port}/0", redis_staff.actor)

    def answers() -> bool:
        with suppress(redis.exceptions.ConnectionError):
            return bool(client.ping())
        return False

    try:
        with closing(redis.Redis.from_url(url)) as client:
            eventually(answers)
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.rpop(REPORTS)
            assert client.lpush(REPORTS, "x") == 1
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def rabbitmq_staff(rabbitmq: RabbitMQHost) -> Iterator[Staff]:
    with staffed(rabbitmq) as staff:
        yield staff


@only_long
def test_the_management_api_is_told_the_same(rabbitmq_node: RabbitMQNode):
    rabbitmq_node.stop()
    management_url = rabbitmq_node.manage()
    rabbitmq_node.start()
    url = rabbitmq_node.url
    actor, other = (
        Account.of(name, 1, keys=KEYS, deployment=DEPLOYMENT)
        for name in ("actor", "other")
    )
    declare(url, ["actor", "other"])

    policy.apply_to_rabbitmq(url, management_url, [actor, other])

    staff = Staff(rabbitmq_node, actor, other)
    assert passing(staff) == []
    with Connection(staff.url) as connection:
        connection.default_channel.basic_get(worker_queue("actor", rabbitmq=True).name)

    newer = Account.of("actor", 2, keys=KEYS, deployment=DEPLOYMENT)
    policy.apply_to_rabbitmq(url, management_url, [newer])
    for former in (actor, other):
        with (
            Connection(policy.account_url(url, former)) as connection,
            pytest.raises(amqp.exceptions.AccessRefused),
        ):
            connection.connect()
    wrong = management_url.replace("guest:guest", "guest:hunter2")
    with pytest.raises(ConfigurationError, match="401") as refused:
        policy.apply_to_rabbitmq(url, wrong, [newer])
    assert "hunter2" not in str(refused.value)


Attempt = Callable[[Any], object]


def rabbitmq_attempts(staff: Staff) -> dict[str, Attempt]:
    """Return what would read, forge or destroy what is not the worker's."""
    own = f"{staff.actor.worker}-00000000@host.celery.pidbox"
    others = f"{staff.other.worker}-00000000@host.celery.pidbox"
    mine = worker_queue(staff.actor.worker, rabbitmq=True).name
    other = worker_queue(staff.other.worker, rabbitmq=True).name

    def on(method: str, *arguments: Any) -> Attempt:
        return lambda channel: getattr(channel, method)(*arguments)

    def listen(exchange: str) -> Attempt:
        def bind(channel: Any) -> None:
            channel.queue_declare(own)
            channel.queue_bind(own, exchange, "#")

        return bind

    foreign = (REPORTS, other, "maintenance")
    heard = (REPORTS, "celeryev", "reply.celery.pidbox", "amq.topic")
    written = ("", "celery.pidbox", "amq.topic", "amq.direct")
    message = amqp.Message("{}")
    return {
        **{f"get {queue}": on("basic_get", queue) for queue in (*foreign, others)},
        **{f"consume {queue}": on("basic_consume", queue) for queue in foreign},
        **{f"purge {queue}": on("queue_purge", queue) for queue in foreign},
        **{f"delete {queue}": on("queue_delete", queue) for queue in (*foreign, mine)},
        **{f"listen to {exchange}": listen(exchange) for exchange in heard},
        **{
            f"publish to {exchange!r}": on(
                "basic_publish_confirm", message, exchange, other
            )
            for exchange in written
        },
        "declare a queue": lambda c: c.queue_declare("x"),
        "declare an exchange": lambda c: c.exchange_declare("x", "direct"),
        "delete the reports' exchange": lambda c: c.exchange_delete(REPORTS),
        "another's mailbox": lambda c: c.queue_declare(others),
    }


def test_on_rabbitmq_an_account_opens_nothing_else(rabbitmq_staff: Staff):
    assert passing(rabbitmq_staff) == []


def passing(staff: Staff) -> list[str]:
    passed = []
    for name, attempt in rabbitmq_attempts(staff).items():
        with Connection(staff.url) as connection:
            try:
                attempt(connection.default_channel)
            except amqp.exceptions.AccessRefused:
                continue
            except amqp.exceptions.NotFound:
                # Whether it is there at all may be seen; it was not.
                continue
            passed.append(name)
    return passed
