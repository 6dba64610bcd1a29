"""
Searching for words among so many rows that it matters how: rare words, common words,
parts of hashes, and what is not for everybody.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from orchestrator.catalog.keys import KeyOrder, create_key
from orchestrator.domain.values import Actor, Role
from orchestrator.queries.keywords import RARE_MAX
from orchestrator.queries.lists import LIST_MAX
from tests.fixtures.api import API, PATIENCE_SECONDS, open_services, run_api
from tests.fixtures.rounds import IS_LONG
from tests.fixtures.stack import DatabaseServer

#: More than a word is rare in, and in a long round than a statement has parameters; all
#: of one list.
MANY = 70_000 if IS_LONG else 12_000

#: Well within the time that a statement has; a part of each.
_CHUNK = 2_000

_ROWS = """
    WITH owner AS (SELECT id, customer_id FROM api_user WHERE name = 'test-user'),
    made AS (
        SELECT n, encode(sha256(n::text::bytea), 'hex') AS sha256,
               now() - make_interval(secs => n) AS past
          FROM generate_series(CAST(:first AS int), :last) AS n
    ), samples AS (
        INSERT INTO sample (sha256, sha512, sha1, md5, size_bytes, created_by,
                            created_at)
        SELECT sha256, sha256 || reverse(sha256), left(sha256, 40), md5(n::text), n,
               owner.id, past FROM made, owner
    ), granted AS (
        INSERT INTO sample_access (subject_id, sample_sha256, sample_created_at)
        SELECT owner.customer_id, sha256, past FROM made, owner
    )
    INSERT INTO submission (id, sample_sha256, customer_id, created_by, file_name,
                            mime_type, agent_name, agent_version, observed_at,
                            content_hash, created_at)
    SELECT gen_random_uuid(), sha256, owner.customer_id, owner.id,
           'invoice ' || n || CASE WHEN n > :many - 5 THEN ' oldest' ELSE '' END,
           'application/pdf', 'search', '1', past, sha256, past
      FROM made, owner
"""


@pytest.fixture(scope="module")
def crowd(
    database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[API]:
    """An API with many samples, each submitted; the newest is that of n = 1."""
    folder = tmp_path_factory.mktemp("samples")
    name = database_server.create()
    with (
        open_services(database_server.url_of(name), folder) as services,
        run_api(services, folder) as running,
    ):
        running.key(Role.USER)
        for first in range(1, MANY, _CHUNK):
            running.run(_ROWS, many=MANY, first=first, last=first + _CHUNK - 1)
        running.run("ANALYZE sample, sample_access, submission")
        yield running
    database_server.drop(name)


def _search(client: httpx.Client, *words: str, **more: Any) -> dict[str, Any]:
    parameters = {"keywords": list(words), "limit": 5, **more}
    answer = client.get("/sample", params=parameters, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _sizes(found: dict[str, Any]) -> list[int]:
    # A sample of the crowd has as many bytes as it is old.
    return [sample["size"] for sample in found["data"]]


@pytest.fixture(params=[Role.USER, Role.ADMINISTRATOR])
def client(crowd: API, request: pytest.FixtureRequest) -> httpx.Client:
    """Whoever sees all of them, by its customer or by its role."""
    return crowd.as_(request.param)


def test_the_crowd_is_too_large_to_be_rare_and_fits_a_list():
    assert RARE_MAX < MANY < LIST_MAX
    assert not IS_LONG or MANY > 65_535


def test_a_rare_word_is_found_however_old_its_row(client: httpx.Client):
    found = _search(client, "OLDEST")

    assert _sizes(found) == [MANY - 4, MANY - 3, MANY - 2, MANY - 1, MANY]
    assert found["count"] == 5


def test_a_common_word_gives_the_newest_and_counts_no_further(client: httpx.Client):
    found = _search(client, "nvoic")
    next_page = _search(client, "nvoic", offset=5)

    assert _sizes(found) == [1, 2, 3, 4, 5]
    assert _sizes(next_page) == [6, 7, 8, 9, 10]
    assert found["count"] == -1


def test_a_common_word_in_another_order_looks_through_all(crowd: API):
    found = _search(crowd.as_(Role.USER), "nvoic", sortBy="-sampleSize")

    assert _sizes(found) == [MANY, MANY - 1, MANY - 2, MANY - 3, MANY - 4]


def test_all_of_a_common_words_samples_are_listed_when_asked_for(crowd: API):
    found = _search(crowd.as_(Role.USER), "nvoic", limit=0)

    assert found["count"] == found["size"] == MANY


def test_a_common_and_a_rare_word_narrow_each_other(client: httpx.Client):
    both = _search(client, "nvoic", "oldest", keywordMatchStrategy="all")
    either = _search(client, "nvoic", "oldest")
    none = _search(client, "nvoic", "no-such-word", keywordMatchStrategy="all")

    assert both["count"] == 5
    assert _sizes(either) == [1, 2, 3, 4, 5]
    assert none["count"] == 0


def test_a_word_too_short_for_the_index_is_found(client: httpx.Client):
    assert _sizes(_search(client, "vo")) == [1, 2, 3, 4, 5]
    assert _search(client, "zq")["count"] == 0


@pytest.mark.parametrize("kind", ["sha256", "sha512", "sha1", "md5"])
@pytest.mark.parametrize("part", [slice(None), slice(0, 12), slice(9, 30)])
def test_a_hash_is_found_whole_by_its_beginning_and_by_a_part(
    crowd: API, client: httpx.Client, kind: str, part: slice
):
    row = crowd.run(f"SELECT {kind} FROM sample WHERE size_bytes = 11000")  # noqa: S608

    found = _search(client, row[0][part].upper(), keywordFieldStrategy=kind)

    assert _sizes(found) == [11_000]


def test_a_period_holds_for_rare_and_common_words(client: httpx.Client):
    period = {"indexStartTimestamp": "now - 1 hour"}

    assert _search(client, "oldest", **period)["count"] == 0
    assert _search(client, "nvoic", limit=0, **period)["count"] < 3_700


def test_a_common_word_of_others_finds_nothing_of_ones_own(crowd: API):
    with crowd.services.database.uow() as tx:
        tx.connection.exec_driver_sql(
            "INSERT INTO customer (id, short_name, name)"
            " VALUES (gen_random_uuid(), 'other', 'Other') ON CONFLICT DO NOTHING"
        )
        order = KeyOrder(user_name="stranger", role=Role.USER, customer="other")
        key = create_key(tx, order, actor=Actor("test")).secret
    stranger = crowd.with_key(key)
    own = stranger.post("/sample", content=secrets.token_bytes(64)).json()["data"]

    every = _search(stranger, own["sample"]["id"][:20])

    assert every["count"] == 1
    assert _search(stranger, "nvoic")["count"] == 0
    assert _search(stranger, "oldest")["count"] == 0


@pytest.mark.parametrize(
    ("words", "more", "count"),
    [
        (["OLDEST"], {}, 5),
        (["nvoic"], {}, -1),
        (["nvoic", "oldest"], {"keywordMatchStrategy": "all"}, 5),
        (["amber", "oldest"], {"keywordMatchStrategy": "all"}, 5),
        (["no-such-word"], {}, 0),
        (["zq"], {}, 0),
        (["amber"], {"keywordFieldStrategy": "tlp"}, -1),
        (["amber"], {"keywordFieldStrategy": "fileName"}, 0),
        (["search"], {"keywordFieldStrategy": "userAgent"}, -1),
    ],
)
def test_submissions_are_found_among_many(
    client: httpx.Client, words: list[str], more: dict[str, str], count: int
):
    parameters: dict[str, Any] = {"keywords": words, "limit": 5, **more}
    answer = client.get("/submission", params=parameters, timeout=PATIENCE_SECONDS)

    assert answer.status_code == 200, answer.text
    assert answer.json()["count"] == count
    assert answer.json()["size"] == (count if count >= 0 else 5)


def test_a_submission_is_found_by_its_id_and_by_its_sample(
    crowd: API, client: httpx.Client
):
    row = crowd.run("SELECT id, sample_sha256 FROM submission ORDER BY observed_at")
    whole, sha256 = str(row[0]), row[1]

    for word in (whole, whole[3:20], sha256, sha256[:12], sha256[9:30]):
        found = client.get(
            "/submission", params={"keywords": word}, timeout=PATIENCE_SECONDS
        )
        assert [submission["id"] for submission in found.json()["data"]] == [whole]


# Analyses that came over HTTP are of no registered worker.


def test_an_analysis_of_nobodys_worker_is_found_by_its_own_words_alone(api: API):
    agent, tag = f"agent-{secrets.token_hex(8)}", f"family-{secrets.token_hex(8)}"
    sha256 = api.upload()
    answer = api.admin.post(
        f"/sample/{sha256}/analysis",
        json={
            "customer": "default",
            "userAgent": {"name": agent, "version": "1"},
            "tlp": "amber",
            "analysisResult": {},
            "analysisScore": 5,
            "tags": [{"type": "family", "value": tag}],
        },
    )
    assert answer.status_code == 200, answer.text

    for word in (agent[3:], tag[3:]):
        assert [sample["sha256"] for sample in _search(api.admin, word)["data"]] == [
            sha256
        ]
    assert _search(api.admin, f"no-{secrets.token_hex(8)}")["count"] == 0


def test_a_comment_by_hand_is_found(api: API):
    comment = f"looks like {secrets.token_hex(8)}"
    sha256 = api.upload()
    verdict = {"comment": comment, "statusOverride": "malicious"}
    assert api.admin.post(f"/sample/{sha256}/verdict", json=verdict).status_code == 201

    found = _search(api.admin, comment[8:], keywordFieldStrategy="verdict")

    assert [sample["sha256"] for sample in found["data"]] == [sha256]
