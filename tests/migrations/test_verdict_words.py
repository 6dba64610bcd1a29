"""Verdicts that were rolled with the words of before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, text

from orchestrator.db.migrate import downgrade, upgrade

_BEFORE, _AFTER = "0009", "0010"
_SHA256 = "ab" * 32


@dataclass(kw_only=True)
class OldVerdict:
    """A row as it stood; *inputs*: whether an analysis stands behind each part."""

    score: int
    status: str
    override: str | None = None
    contradicting: bool = False
    manual: bool = False
    inputs: tuple[bool, ...] = field(default=(True,))


@pytest.fixture
def engine(empty_database_url: str) -> Iterator[Engine]:
    upgrade(empty_database_url, _BEFORE)
    engine = create_engine(empty_database_url)
    with engine.begin() as connection:
        for statement in (
            """
            INSERT INTO api_user (id, customer_id, name, role)
            SELECT gen_random_uuid(), id, 'ann', 'analyzer' FROM customer
            """,
            """
            INSERT INTO sample (sha256, sha512, sha1, md5, size_bytes, created_by)
            SELECT repeat('ab', 32), repeat('a', 128), repeat('a', 40), repeat('a', 32),
                   1, id FROM api_user
            """,
            """
            INSERT INTO worker (id, short_name)
            VALUES (gen_random_uuid(), 'one'), (gen_random_uuid(), 'two')
            """,
            """
            INSERT INTO analysis (id, sample_sha256, customer_id, worker_id,
                                  agent_name, agent_version, score)
            SELECT gen_random_uuid(), sample.sha256, customer.id, worker.id, 'x', '1', 0
              FROM sample, customer, worker
            """,
        ):
            connection.execute(text(statement))
    yield engine
    engine.dispose()


def statuses_after(engine: Engine, *old: OldVerdict) -> list[str]:
    """The statuses of *old*, in order, once the words are the new ones."""
    ids = [uuid4() for _ in old]
    with engine.begin() as connection:
        for verdict_id, row in zip(ids, old, strict=True):
            connection.execute(
                text(
                    """
                    INSERT INTO verdict (id, sample_sha256, score, status,
                                         status_override, is_contradicting, is_manual)
                    VALUES (:id, :sha256, :score, :status, :override, :both, :manual)
                    """
                ),
                {
                    "id": verdict_id,
                    "sha256": _SHA256,
                    "score": row.score,
                    "status": row.status,
                    "override": row.override,
                    "both": row.contradicting,
                    "manual": row.manual,
                },
            )
            for worker, has_analysis in zip(("one", "two"), row.inputs, strict=False):
                connection.execute(
                    text(
                        """
                        INSERT INTO verdict_input (verdict_id, worker_id, short_name,
                                                   source, analysis_id, score, weight)
                        SELECT :id, worker.id, worker.short_name, 'own',
                               CASE WHEN :has THEN analysis.id END, :score, 1
                          FROM worker JOIN analysis ON analysis.worker_id = worker.id
                         WHERE worker.short_name = :worker
                        """
                    ),
                    {
                        "id": verdict_id,
                        "has": has_analysis,
                        "score": row.score,
                        "worker": worker,
                    },
                )
    upgrade(engine.url.render_as_string(hide_password=False), _AFTER)
    with engine.connect() as connection:
        found = {
            row.id: row.status
            for row in connection.execute(text("SELECT id, status FROM verdict"))
        }
    return [found[verdict_id] for verdict_id in ids]


@pytest.mark.parametrize(
    ("old", "status"),
    [
        (OldVerdict(score=80, status="malicious"), "malicious"),
        (OldVerdict(score=30, status="suspicious"), "suspicious"),
        (OldVerdict(score=29, status="benign"), "informational"),
        (OldVerdict(score=0, status="benign"), "informational"),
        (OldVerdict(score=-1, status="unknown"), "no_findings"),
        (OldVerdict(score=-1, status="unknown", inputs=(False, True)), "no_findings"),
        (OldVerdict(score=-1, status="unknown", inputs=(False, False)), "unknown"),
        (OldVerdict(score=0, status="benign", override="benign"), "benign"),
        (OldVerdict(score=-1, status="malicious", override="malicious"), "malicious"),
        (OldVerdict(score=-1, status="unknown", contradicting=True), "unknown"),
        (OldVerdict(score=90, status="unknown", contradicting=True), "unknown"),
        (
            OldVerdict(score=5, status="benign", override="benign", contradicting=True),
            "benign",
        ),
        (
            OldVerdict(
                score=0, status="benign", override="benign", manual=True, inputs=()
            ),
            "benign",
        ),
    ],
)
def test_a_stored_verdict_reads_as_it_would_be_rolled_now(engine, old, status):
    assert statuses_after(engine, old) == [status]


def test_the_words_of_before_come_back_with_a_step_back(engine):
    statuses_after(
        engine,
        OldVerdict(score=7, status="benign"),
        OldVerdict(score=-1, status="unknown"),
    )

    downgrade(engine.url.render_as_string(hide_password=False), _BEFORE)

    with engine.connect() as connection:
        rows = connection.execute(text("SELECT score, status FROM verdict ORDER BY 1"))
        assert [tuple(row) for row in rows] == [(-1, "unknown"), (7, "benign")]
