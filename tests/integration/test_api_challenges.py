"""
Challenges over HTTP: whoever has the file proves it, and nobody guesses.
"""

from __future__ import annotations

import hashlib
import random
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from argus_api.files.sampledb.upload import add_submission
from argus_api.session import ArgusAPISession

from orchestrator.catalog import keys
from orchestrator.catalog.challenges import (
    OPEN_MAX,
    PAUSES,
    REMEMBERED,
    SOLVED_MAX,
    TRIES,
    paused_until,
)
from orchestrator.domain.values import Actor, Role
from tests.fixtures.api import API, first_message

AGENT = {"name": "mail-gateway", "version": "1.0"}


def _content(size: int = 4096) -> bytes:
    return random.Random(secrets.randbits(64)).randbytes(size)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _ask(http: httpx.Client, sha256: str) -> dict[str, Any]:
    answer = http.post(f"/sample/{sha256}/challenge")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


def _answer(http: httpx.Client, sha256: str, asked: str, said: str) -> httpx.Response:
    form = {
        "challengeToken": {"id": asked, "sha256": said},
        "fileName": f"{secrets.token_hex(4)}.bin",
        "userAgent": AGENT,
    }
    return http.post(f"/sample/{sha256}/submission", json=form)


def _right(content: bytes, asked: dict[str, Any]) -> str:
    begin, length = asked["offset"], asked["length"]
    return _sha256(content[begin : begin + length])


def _use_up(http: httpx.Client, sha256: str) -> list[httpx.Response]:
    """Answer a challenge wrongly until it is gone."""
    asked = _ask(http, sha256)["id"]
    return [_answer(http, sha256, asked, "0" * 64) for _ in range(TRIES)]


def _age(api: API, sha256: str, by: timedelta) -> None:
    """Let wrong answers to challenges of a sample be older."""
    api.run(
        "UPDATE wrong_answer SET last_at = last_at - :by WHERE sample_sha256 = :sha"
        " RETURNING wrong",
        by=by,
        sha=sha256,
    )


def test_a_user_has_one_challenge_of_a_sample_at_a_time(api: API):
    """Asked again and again, one would come whose answer is known."""
    content = _content()
    sha256 = api.upload(content)
    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(lambda _: _ask(api.admin, sha256), range(16)))

    assert len({challenge["id"] for challenge in asked}) == 1
    assert asked == [asked[0]] * 16
    others = _ask(api.as_(Role.USER), sha256)
    assert others["id"] != asked[0]["id"]

    right = _right(content, asked[0])
    assert _answer(api.admin, sha256, asked[0]["id"], right).status_code == 201
    assert _ask(api.admin, sha256)["id"] != asked[0]["id"]


def test_one_that_has_expired_makes_room_for_another(api: API):
    sha256 = api.upload(_content())
    first = _ask(api.admin, sha256)
    api.run("UPDATE challenge SET expires_at = now() WHERE id = :id", id=first["id"])

    second = _ask(api.admin, sha256)

    assert second["id"] != first["id"]
    rows = api.run(
        "SELECT count(*) FROM challenge WHERE sample_sha256 = :sha AND NOT solved",
        sha=sha256,
    )
    assert rows[0] == 1


def test_a_wrong_answer_may_be_mended_and_three_may_not(api: API):
    content = _content()
    sha256 = api.upload(content)
    user = api.as_(Role.USER)
    asked = _ask(user, sha256)
    wrong = [_answer(user, sha256, asked["id"], "0" * 64) for _ in range(TRIES - 1)]
    mended = _answer(user, sha256, asked["id"], _right(content, asked))

    assert [answer.status_code for answer in wrong] == [412, 412]
    assert "tries: 1" in first_message(wrong[-1])["message"]
    assert mended.status_code == 201

    # Proved: what was wrong before no longer counts.
    again = _ask(user, sha256)
    refused = [_answer(user, sha256, again["id"], "0" * 64) for _ in range(TRIES)]
    late = _answer(user, sha256, again["id"], _right(content, again))
    assert [answer.status_code for answer in refused] == [412] * TRIES
    assert "upload the file" in first_message(refused[-1])["message"]
    assert late.status_code == 412


def test_answers_that_come_at_once_are_counted_one_by_one(api: API):
    content = _content()
    sha256 = api.upload(content)
    user = api.as_(Role.USER)
    asked = _ask(user, sha256)

    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda n: _answer(user, sha256, asked["id"], f"{n:064x}"), range(16)
            )
        )

    assert {answer.status_code for answer in answers} == {412}
    counted = api.run(
        "SELECT wrong FROM wrong_answer WHERE sample_sha256 = :sha", sha=sha256
    )
    assert counted == (TRIES,)


def test_guesses_over_many_challenges_do_not_add_up(api: API):
    content = _content()
    sha256 = api.upload(content)
    user = api.as_(Role.USER)
    path = f"/sample/{sha256}/challenge"

    for pause in PAUSES:
        _use_up(user, sha256)
        assert user.post(path).status_code == 422
        _age(api, sha256, pause - timedelta(seconds=5))
        assert user.post(path).status_code == 422
        _age(api, sha256, timedelta(seconds=6))
    _use_up(user, sha256)
    _age(api, sha256, REMEMBERED - timedelta(hours=1))

    stopped = user.post(path)

    assert stopped.status_code == 422
    assert stopped.json()["metaData"]["code"] == "whole_sample_needed"
    # Neither of another sample, nor for another user, nor with the file.
    other = api.upload(_content())
    assert user.post(f"/sample/{other}/challenge").status_code == 200
    assert api.admin.post(path).status_code == 200
    token = user.post("/sample", content=content).json()["data"]["challenge"]
    assert _answer(user, sha256, token["id"], token["sha256"]).status_code == 201
    assert user.post(path).status_code == 200


def test_an_expired_challenge_gives_no_more_guesses_than_another(api: API):
    """Nine in all, however they are spread over challenges."""
    sha256 = api.upload(_content())
    user = api.as_(Role.USER)
    counted = 0
    while (asked := user.post(f"/sample/{sha256}/challenge")).status_code == 200:
        name = asked.json()["data"]["id"]
        _answer(user, sha256, name, "0" * 64)
        counted += 1
        api.run("UPDATE challenge SET expires_at = now() WHERE id::text = :id", id=name)
        _age(api, sha256, timedelta(hours=1))
        assert counted < 30

    assert counted == TRIES * (len(PAUSES) + 1)


def test_the_contracts_client_sends_the_file_when_it_is_not_challenged(api: API):
    content = _content()
    sha256 = api.upload(content)
    key = api.key(Role.USER)
    _use_up(api.with_key(key), sha256)

    added = add_submission(
        sha256=sha256,
        data=content,
        fileName="a.bin",
        user_agent_name="agent",
        user_agent_version="1",
        api_session=ArgusAPISession(key, api_url=api.url),
    )

    assert added["responseCode"] == 201


@pytest.mark.parametrize("at", [0, 77_777, 199_000])
def test_whoever_guesses_zeros_is_wrong(api: API, at: int):
    """Hash and size of a padded file are all that a stranger knows."""
    island = _content(3072)
    content = bytes(at) + island + bytes(200_000 - at)
    sha256 = api.upload(content)
    user = api.as_(Role.USER)

    asked = _ask(user, sha256)

    zeros = _sha256(bytes(asked["length"]))
    assert _answer(user, sha256, asked["id"], zeros).status_code == 412
    assert _answer(user, sha256, asked["id"], sha256).status_code == 412
    right = _right(content, asked)
    assert _answer(user, sha256, asked["id"], right).status_code == 201


@pytest.mark.parametrize("content", [bytes(100_000), b"echo hello\n" * 9_000])
def test_what_can_be_guessed_is_not_challenged(api: API, content: bytes):
    sha256 = api.upload(content)

    answer = api.admin.post(f"/sample/{sha256}/challenge")

    assert answer.status_code == 422
    assert "upload the file" in first_message(answer)["message"]


def test_nobody_fills_the_table(api: API):
    """Neither by asking nor by sending the same file again."""
    content = _content()
    sha256, user = api.upload(content), _newcomer(api)
    for _ in range(SOLVED_MAX + 5):
        user.post("/sample", content=content)
    (asked, *_) = [_ask(user, sha256) for _ in range(5)]

    rows = api.run(
        "SELECT count(*) FROM challenge WHERE user_id = (SELECT user_id FROM challenge"
        " WHERE id = :id)",
        id=asked["id"],
    )

    assert rows == (SOLVED_MAX + 1,)


def test_a_user_has_a_thousand_challenges_at_a_time(api: API):
    user = _newcomer(api)
    asked = _ask(user, api.upload(_content()))
    named = {"id": asked["id"], "many": OPEN_MAX}
    api.run(_MANY_SAMPLES, **named)
    next_one = api.upload(_content())

    refused = user.post(f"/sample/{next_one}/challenge")

    # Samples without bytes are nothing for the tests that come after.
    api.run("DELETE FROM challenge WHERE answer = 'of a test'")
    api.run("DELETE FROM sample WHERE sha512 = 'of a test'")
    assert refused.status_code == 422
    assert str(OPEN_MAX) in first_message(refused)["message"]
    assert user.post(f"/sample/{next_one}/challenge").status_code == 200


_MANY_SAMPLES = """
    WITH asker AS (SELECT user_id AS id FROM challenge WHERE id = :id),
    many AS (
        INSERT INTO sample (sha256, sha512, sha1, md5, size_bytes, created_by)
        SELECT encode(sha256((asker.id::text || n)::bytea), 'hex'), 'of a test',
               '', '', 5000, id
          FROM asker, generate_series(1, :many) n
        RETURNING sha256)
    INSERT INTO challenge (id, sample_sha256, user_id, range_offset, range_length,
                           answer, expires_at)
    SELECT gen_random_uuid(), many.sha256, asker.id, 0, 512, 'of a test',
           now() + interval '1 hour' FROM many, asker RETURNING 1
"""


def _newcomer(api: API) -> httpx.Client:
    order = keys.KeyOrder(user_name=f"u{secrets.token_hex(4)}", role=Role.USER)
    with api.services.database.uow() as tx:
        return api.with_key(keys.create_key(tx, order, actor=Actor("test")).secret)


def test_pauses_grow_and_then_it_is_over():
    last = datetime(2026, 1, 1, tzinfo=UTC)

    pauses = [paused_until(wrong, last) - last for wrong in range(11)]

    none, (short, longer) = timedelta(0), PAUSES
    assert pauses == [none] * 3 + [short] * 3 + [longer] * 3 + [REMEMBERED] * 2
