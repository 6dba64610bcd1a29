"""
The worker without the SDK, as its page shows it, against the orchestrator's own code.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from orchestrator.contracts.assignment import AssignedSample, Assignment, Where
from orchestrator.contracts.signature import attempt_proof
from orchestrator.contracts.token import KeyRing
from orchestrator.flow.intake import sort_out
from orchestrator.messaging.codec import decode_redis
from orchestrator.messaging.outgoing import Outgoing
from orchestrator.messaging.task_message import task_body, task_headers
from tests.fixtures.brokers import RedisServer

PAGE = Path(__file__).parents[2] / "docs" / "messages.md"
KEYS = KeyRing.parse(f"new:{'5a' * 32},old:{'a5' * 32}")
#: Of a replica that was enrolled before the newer key.
SECRET = KEYS.enrolment_secrets("length", 3)[1]
TASK = UUID(int=7)


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """What the page's program defines."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102  (a page of ours)
    return names


@pytest.fixture
def outgoing() -> Outgoing:
    where = Where(kind="http", value="/internal/x")
    assignment = Assignment(
        job_id=UUID(int=1),
        task_id=TASK,
        attempt=1,
        worker="length",
        sample=AssignedSample(sha256="0" * 64, size=5, where=where),
        timeout_seconds=5,
    )
    return Outgoing(
        worker="length",
        job_id=assignment.job_id,
        task_id=TASK,
        attempt=1,
        sample_sha256=assignment.sample.sha256,
        token=KEYS.attempt_token(TASK, 1, "length"),
        body=assignment.model_dump_json(),
        secrets=KEYS.enrolment_secrets("length", 3),
    )


def test_it_reads_what_is_signed_and_refuses_the_rest(shown, outgoing):
    text = task_body(outgoing)
    headers, body = task_headers(outgoing, text), text.encode()

    assert shown["read_assignment"](SECRET, headers, body)["task_id"] == str(TASK)
    for secret, spoilt in ((SECRET, body + b" "), ("another", body)):
        with pytest.raises(ValueError, match="not signed"):
            shown["read_assignment"](secret, headers, spoilt)


def test_its_report_is_accepted(shown, outgoing, redis_server: RedisServer):
    assignment = json.loads(outgoing.body)

    shown["report"](redis_server.url, SECRET, outgoing.token, assignment, "me@here")

    with redis_server.client() as client:
        raw = client.rpop("reports")
    assert isinstance(raw, bytes)
    intake = sort_out([decode_redis(raw)], keys=KEYS, generations={"length": 3})
    assert [report.task_id for report in intake.reports] == [TASK]
    assert intake.rejected == []


def test_its_credentials_are_a_replicas(shown, outgoing):
    assert shown["credentials"](SECRET, outgoing.token) == {
        "assay-token": outgoing.token,
        "assay-proof": attempt_proof(SECRET, outgoing.token),
    }
