"""
The audit of what changes nothing: files that are taken out, and keys that are refused.
"""

from __future__ import annotations

import secrets
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from orchestrator.catalog import keys
from orchestrator.catalog.keys import KeyOrder
from orchestrator.catalog.logins import ROWS_MAX, WINDOW_SECONDS, FailedLogins
from orchestrator.domain.errors import AuthenticationError
from orchestrator.domain.values import Actor, Role
from tests.fixtures.api import API

CONSOLE = Actor("console tester")


@pytest.fixture(autouse=True)
def _counted_anew(api: API) -> None:
    # Whoever asks first has their key made, which is written down.
    for role in Role:
        api.key(role)
    api.app.state.failed_logins = FailedLogins()


def _rows(api: API, action: str, changed: object) -> list[dict[str, Any]]:
    wanted: dict[str, str] = {"limit": "0", "action": action, "object": str(changed)}
    answer = api.admin.get("/audit", params=wanted)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def _newest(api: API) -> int:
    return int(api.run("SELECT coalesce(max(id), 0) FROM audit")[0])


@pytest.mark.parametrize(("path", "form"), [("raw", "raw"), ("safe", "zip")])
def test_who_takes_a_sample_out_is_written_down_each_time(
    api: API, path: str, form: str
):
    sha256 = api.upload()
    viewer = api.as_(Role.ANALYZER)

    for _ in range(2):
        assert viewer.get(f"/sample/{sha256}/{path}").status_code == 200

    rows = _rows(api, "sample.download", sha256)
    assert [row["detail"] for row in rows] == [{"form": form}] * 2
    assert {row["actor"] for row in rows} == {"user test-analyzer"}
    assert {row["source"] for row in rows} == {"127.0.0.1"}


def test_who_takes_evidence_out_is_written_down(api: API):
    sha256 = api.upload()
    given = {
        "customer": "default",
        "userAgent": {"name": "a", "version": "1"},
        "tlp": "amber",
        "analysisResult": {},
        "analysisScore": 1,
    }
    analysis = api.admin.post(f"/sample/{sha256}/analysis", json=given).json()["data"]
    where = f"/sample/{sha256}/analysis/{analysis['analysisID']}/evidence"
    evidence = api.admin.post(f"{where}/a.txt", content=b"x").json()["data"]["id"]

    assert api.admin.get(f"{where}/{evidence}").status_code == 200
    assert _rows(api, "evidence", evidence) == []
    assert api.admin.get(f"{where}/{evidence}/download").status_code == 200

    (row,) = _rows(api, "evidence", evidence)
    assert row["action"] == "evidence.download"
    assert row["detail"] == {"sample": sha256, "fileName": "a.txt"}


def test_what_is_not_there_was_not_taken_out(api: API):
    sha256 = api.upload()
    stored = next(api.store_folder.rglob(f"*{sha256[-8:]}"))
    stored.unlink()
    before = _newest(api)

    for path in (sha256, "0" * 64):
        assert api.admin.get(f"/sample/{path}/raw").status_code == 404
        assert api.admin.get(f"/sample/{path}/safe").status_code == 404

    assert _newest(api) == before


def _issue(api: API, **order: Any) -> keys.IssuedKey:
    name = f"u{secrets.token_hex(4)}"
    with api.services.database.uow() as tx:
        wanted = KeyOrder(user_name=name, role=Role.VIEWER, **order)
        return keys.create_key(tx, wanted, actor=CONSOLE)


def _revoked(api: API) -> tuple[str, str]:
    issued = _issue(api)
    with api.services.database.uow() as tx:
        keys.revoke_key(tx, issued.prefix, actor=CONSOLE)
    return issued.secret, issued.prefix


def _expired(api: API) -> tuple[str, str]:
    issued = _issue(api, lifetime=timedelta(days=1))
    api.run(
        "UPDATE api_key SET expires_at = now() WHERE prefix = :prefix",
        prefix=issued.prefix,
    )
    return issued.secret, issued.prefix


def _elsewhere(api: API) -> tuple[str, str]:
    issued = _issue(api, networks=["10.0.0.0/8"])
    return issued.secret, issued.prefix


def _guessed(api: API) -> tuple[str, str]:
    issued = _issue(api)
    return f"assay_{issued.prefix}_{'x' * 43}", issued.prefix


def _made_up(api: API) -> tuple[str, str]:
    return f"assay_{secrets.token_hex(4)}_{'y' * 43}", "unknown"


def _malformed(api: API) -> tuple[str, str]:
    return "hunter2-is-my-password", "unknown"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_revoked, "revoked"),
        (_expired, "expired"),
        (_elsewhere, "network"),
        (_guessed, "wrong secret"),
        (_made_up, "unknown"),
        (_malformed, "malformed"),
    ],
)
def test_a_key_that_is_refused_is_written_down_without_its_secret(
    api: API, make: Any, reason: str
):
    key, prefix = make(api)
    before = _newest(api)

    for _ in range(4):
        answer = api.bare.get(
            "/authentication/v1/session", headers={"Argus-API-Key": key}
        )
        assert answer.status_code == 401

    added = [row for row in _rows(api, "login.fail", prefix) if row["id"] > before]
    (row,) = added
    assert row["detail"] == {"reason": reason, "times": 4}
    assert (row["actor"], row["source"]) == ("nobody", "127.0.0.1")
    assert key[-20:] not in str(row)
    assert _newest(api) == row["id"]


def test_who_shows_no_key_and_who_may_not_leave_no_row(api: API):
    before = _newest(api)

    assert api.bare.get("/authentication/v1/session").status_code == 401
    assert api.as_(Role.VIEWER).post("/worker", json={}).status_code == 403

    assert _newest(api) == before


def test_a_flood_costs_few_rows_and_few_writes(api: API):
    seconds = 0.0
    failed = FailedLogins(lambda: seconds)
    database, before = api.services.database, _newest(api)
    refused = AuthenticationError("no", reason="wrong secret", prefix="00000000")
    written: Counter[str] = Counter()

    def count(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        written[statement.split(maxsplit=1)[0].upper()] += 1

    engine = database.engine
    event.listen(engine, "before_cursor_execute", count)
    try:
        for number in range(4000):
            failed.note(
                database, refused, address=f"10.0.{number // 250}.{number % 250}"
            )
            failed.note(database, refused, address="192.0.2.1")
            failed.note(database, refused, address=f"2001:db8::{number:x}")
    finally:
        event.remove(engine, "before_cursor_execute", count)

    assert _newest(api) - before == ROWS_MAX + 1
    assert written["INSERT"] == ROWS_MAX + 1
    assert written["UPDATE"] < 50
    times = dict(
        tuple(row)
        for row in _all(
            api, "SELECT source, detail->>'times' FROM audit WHERE id > :id", before
        )
    )
    assert times["192.0.2.1"] == times["2001:db8::/64"] == "2048"
    assert times[None] == "2048"
    seconds = WINDOW_SECONDS
    failed.note(database, refused, address="192.0.2.1")
    assert _newest(api) - before == ROWS_MAX + 2


def _all(api: API, statement: str, after: int) -> list[Any]:
    found = api.run(
        f"SELECT json_agg(json_build_array(source, times)) FROM ({statement})"  # noqa: S608
        " AS found(source, times)",
        id=after,
    )
    return list(found[0])
