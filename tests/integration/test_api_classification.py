"""
What kind of file a sample is, over HTTP: by the rules, by Magika, by a person.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.api.deps import Services
from orchestrator.classify import SecondOpinion
from orchestrator.domain.values import Role
from tests.fixtures.api import API, first_message, run_api
from tests.fixtures.waiting import eventually

_SQL = "INSERT INTO users (id, name) VALUES ({word!r}, 'x') RETURNING id;\n"


def _sql() -> bytes:
    """Return a text of which the rules know no more, and nobody has seen it before."""
    lines = (_SQL.format(word=secrets.token_hex(4)) for _ in range(30))
    return "".join(lines).encode()


@pytest.fixture(scope="module")
def asked() -> Iterator[SecondOpinion]:
    second = SecondOpinion()
    second.start()
    second.wait(120)
    yield second
    second.close()


@pytest.fixture(scope="module")
def asking(
    api_services: Services, api_store_folder: Path, asked: SecondOpinion
) -> Iterator[API]:
    """An API that asks Magika, beside the one that does not."""
    services = replace(api_services, classifier=asked)
    with run_api(services, api_store_folder) as running:
        yield running


def _kind(api: API, sha256: str) -> dict[str, Any]:
    answer = api.admin.get(f"/sample/{sha256}")
    kind: dict[str, Any] = answer.json()["data"]["latestClassification"]
    return kind


def _reclassify(api: API, sha256: str, said: dict[str, Any]) -> dict[str, Any]:
    answer = api.as_(Role.ANALYZER).put(f"/sample/{sha256}/reclassify", json=said)
    assert answer.status_code == 200, answer.text
    kind: dict[str, Any] = answer.json()["data"]
    return kind


def _by_magika(api: API, sha256: str) -> dict[str, Any]:
    """Classify until Magika has its turn within fifty milliseconds."""
    return eventually(
        lambda: next(
            kind
            for kind in [_reclassify(api, sha256, {})]
            if kind["metaData"]["decidedBy"] == "magika"
        )
    )


@pytest.mark.parametrize(
    ("content", "kind", "confidence"),
    [
        (b"\x89PNG\r\n\x1a\n", "png", 1.0),
        (b"Invoke-WebRequest -Uri http://x -OutFile ", "script", 0.8),
        (b"a line that is not sure of anything: ", "text", 0.5),
        (b"\0\1\2\3", "unknown", 0.0),
    ],
)
def test_a_sample_says_who_decided_and_how_sure_that_is(
    api: API, content: bytes, kind: str, confidence: float
):
    sha256 = api.upload(content + secrets.token_hex(8).encode())

    found = _kind(api, sha256)

    assert found["type"] == kind
    assert found["metaData"] == {"decidedBy": "rules", "confidence": confidence}


def test_magika_is_asked_where_the_rules_find_a_mere_text(asking: API):
    sha256 = asking.upload(_sql())

    found = _by_magika(asking, sha256)

    assert (found["type"], found["superType"]) == ("text", "text")
    assert found["mimeType"] == "application/sql"
    assert 0.8 <= found["metaData"]["confidence"] <= 1
    assert _kind(asking, sha256) == found


def test_an_upload_asks_magika(asking: API):
    found = eventually(
        lambda: next(
            kind
            for kind in [_kind(asking, asking.upload(_sql()))]
            if kind["metaData"]["decidedBy"] == "magika"
        )
    )

    assert found["mimeType"] == "application/sql"


def test_an_upload_succeeds_while_magika_stands_still(
    asking: API, asked: SecondOpinion
):
    assert asked.pid is not None
    os.kill(asked.pid, signal.SIGSTOP)
    try:
        found = [_kind(asking, asking.upload(_sql())) for _ in range(3)]
        ready = asking.bare.get("/health/ready").json()["data"]
    finally:
        os.kill(asked.pid, signal.SIGCONT)

    assert {kind["metaData"]["decidedBy"] for kind in found} == {"rules"}
    (trouble,) = [part for part in ready["troubles"] if part["what"] == "classifier"]
    assert "has not answered" in trouble["detail"]


def test_where_the_rules_are_sure_nobody_is_asked(asking: API, asked: SecondOpinion):
    before = asked.questions

    sha256 = asking.upload(b"%PDF-1.7\n" + secrets.token_bytes(64))

    assert _kind(asking, sha256)["type"] == "pdf"
    assert asked.questions == before


def test_a_person_corrects_what_a_sample_is(api: API):
    sha256 = api.upload()

    found = _reclassify(
        api,
        sha256,
        {"type": "pe", "superType": "executable", "mimeType": "application/x-dosexec"},
    )

    assert (found["type"], found["superType"]) == ("pe", "executable")
    assert found["mimeType"] == "application/x-dosexec"
    assert found["metaData"] == {"decidedBy": "person", "confidence": 1.0}
    assert _kind(api, sha256) == found


def test_what_a_person_leaves_out_stays_as_it_is(api: API):
    sha256 = api.upload(b"\x89PNG\r\n\x1a\n" + secrets.token_bytes(8))

    found = _reclassify(api, sha256, {"type": "apng"})

    assert (found["type"], found["superType"]) == ("apng", "image")
    assert found["mimeType"] == "image/png"


def test_another_type_is_not_for_the_machine_of_the_one_before(api: API):
    elf = b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\2\0\x3e\0" + secrets.token_bytes(64)
    sha256 = api.upload(elf)
    assert _kind(api, sha256)["arch"] == "x86_64"

    found = _reclassify(api, sha256, {"type": "data"})

    assert (found["platform"], found["arch"]) == ("any", "any")


def test_the_same_bytes_again_keep_a_persons_word(asking: API):
    content = _sql()
    sha256 = asking.upload(content)
    said = _reclassify(asking, sha256, {"type": "sql", "superType": "text"})

    asking.upload(content)

    assert _kind(asking, sha256) == said


def test_a_persons_word_holds_until_one_asks_again(api: API):
    sha256 = api.upload(b"%PDF-1.7\n" + secrets.token_bytes(64))
    _reclassify(api, sha256, {"type": "data", "superType": "data"})

    again = _reclassify(api, sha256, {})

    assert again["type"] == "pdf"
    assert again["metaData"] == {"decidedBy": "rules", "confidence": 1.0}
    listed = api.admin.get(f"/sample/{sha256}/classification").json()["data"]
    assert [row["metaData"]["decidedBy"] for row in listed] == [
        "rules",
        "person",
        "rules",
    ]


def test_a_persons_word_decides_who_looks_at_a_sample(api: API):
    name = api.add_worker()
    sha256 = api.upload()
    before = api.add_job(sha256, workers=[name])
    _reclassify(api, sha256, {"type": "pe"})
    after = api.add_job(sha256, workers=[name])

    kinds = [
        api.admin.get(f"/job/{job['id']}/explain").json()["data"]["classification"]
        for job in (before, after)
    ]

    assert [kind["type"] for kind in kinds] == ["unknown", "pe"]
    assert kinds[1]["metaData"]["decidedBy"] == "person"


@pytest.mark.parametrize(
    ("said", "field", "remedy"),
    [
        ({"type": "Portable Executable"}, "type", "small letters"),
        ({"superType": ""}, "superType", "small letters"),
        ({"mimeType": "pe"}, "mimeType", "two words with a slash"),
        ({"type": None}, "body", "or {} to classify"),
        ({"platform": "linux"}, "platform", ""),
    ],
)
def test_what_is_no_kind_is_refused_by_its_field(
    api: API, said: dict[str, Any], field: str, remedy: str
):
    sha256 = api.upload()

    answer = api.admin.put(f"/sample/{sha256}/reclassify", json=said)

    assert answer.status_code == 412, answer.text
    message = first_message(answer)
    assert message["field"] == field
    assert remedy in message["message"]
    assert _kind(api, sha256)["metaData"]["decidedBy"] == "rules"


def test_only_an_analyzer_corrects(api: API):
    sha256 = api.upload()

    answer = api.as_(Role.USER).put(f"/sample/{sha256}/reclassify", json={"type": "pe"})

    assert answer.status_code == 403


def test_the_audit_has_what_a_person_has_changed(api: API):
    sha256 = api.upload(b"%PDF-1.7\n" + secrets.token_bytes(64))

    _reclassify(api, sha256, {"type": "data"})

    rows = api.admin.get("/audit", params={"object": sha256}).json()["data"]
    (row,) = [row for row in rows if row["action"] == "sample.reclassify"]
    assert row["detail"]["from"]["type"] == "pdf"
    assert row["detail"]["to"]["type"] == "data"


def test_a_file_that_nobody_has_sent_is_classified_by_both_too(asking: API):
    found = eventually(
        lambda: next(
            kind
            for kind in [
                asking.admin.post("/policy/default/explain", content=_sql()).json()[
                    "data"
                ]["classification"]
            ]
            if kind["decided_by"] == "magika"
        )
    )

    assert found["mime_type"] == "application/sql"
