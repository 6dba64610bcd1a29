"""
The contract, judged by its own client: argus-api 5.1.0 against our server, unchanged.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from argus_api.exceptions.http import (
    AccessDeniedException,
    ArgusException,
    AuthenticationFailedException,
    ObjectNotFoundException,
    ValidationErrorException,
)
from argus_api.files.sampledb.download import download_sample
from argus_api.files.sampledb.upload import upload_sample
from argus_api.lib.sampledb.v2 import job, sample, worker
from argus_api.pagination import paginated_items
from argus_api.session import ArgusAPISession

from orchestrator.domain.values import Role
from tests.fixtures.api import API, SAMPLE_MAX_BYTES

ENVELOPE = {
    "responseCode",
    "limit",
    "offset",
    "count",
    "size",
    "metaData",
    "messages",
    "data",
}
AGENT = {"name": "contract", "version": "1"}


@pytest.fixture
def session(api: API) -> Iterator[ArgusAPISession]:
    """A session that may do everything."""
    with _open(api, Role.ADMINISTRATOR) as opened:
        yield opened


def _open(api: API, role: Role) -> ArgusAPISession:
    return ArgusAPISession(api.key(role), api_url=api.url)


def _add_analysis(session: ArgusAPISession, sha256: str, score: int = 75) -> str:
    answer = sample.add_analysis(
        sha256,
        analysisResult={"rules": ["a"]},
        analysisScore=score,
        customer="default",
        tlp="amber",
        userAgent=AGENT,
        tags=[{"type": "family", "value": "eicar"}],
        triggeredDetections=[{"name": "Eicar", "assessment": "malicious"}],
        api_session=session,
    )
    return str(answer["data"]["analysisID"])


def test_a_good_key_is_checked_by_the_client(session: ArgusAPISession):
    session.authenticate(check=True)

    assert session.authenticated


def test_a_bad_key_raises_the_clients_own_error(api: API):
    with (
        ArgusAPISession("1/2/secret", api_url=api.url) as stranger,
        pytest.raises(AuthenticationFailedException) as caught,
    ):
        job.list_jobs(api_session=stranger)

    assert "malformed" in str(caught.value)


def test_a_role_that_is_too_low_raises_the_clients_own_error(api: API):
    with _open(api, Role.VIEWER) as viewer, pytest.raises(AccessDeniedException):
        upload_sample(b"not for viewers", api_session=viewer)


def test_a_sample_goes_there_and_back(session: ArgusAPISession, tmp_path: Path):
    content = secrets.token_bytes(100_000)
    file = tmp_path / "sample.bin"
    file.write_bytes(content)

    new = upload_sample(file, api_session=session)
    known = upload_sample(content, api_session=session)

    sha256 = hashlib.sha256(content).hexdigest()
    assert set(new) == ENVELOPE
    assert (new["responseCode"], known["responseCode"]) == (201, 200)
    assert new["data"]["sample"] == {"id": sha256, "size": 100_000}
    assert (new["data"]["exists"], known["data"]["exists"]) == (False, True)
    assert download_sample(sha256, api_session=session) == content
    shown = sample.get_sample_meta_data(sha256, api_session=session)["data"]
    assert shown["sha256"] == sha256
    found = sample.list_classifications(sha256, api_session=session)
    assert found["count"] == 1


def test_an_empty_sample_is_uploaded(session: ArgusAPISession):
    answer = upload_sample(b"", api_session=session)

    assert answer["data"]["sample"]["id"] == hashlib.sha256(b"").hexdigest()


def test_a_sample_too_large_raises_the_clients_own_error(session: ArgusAPISession):
    with pytest.raises(ArgusException) as caught:
        upload_sample(bytes(SAMPLE_MAX_BYTES + 1), api_session=session)

    assert caught.value.status_code == 413


def test_an_unknown_sample_raises_the_clients_own_error(session: ArgusAPISession):
    with pytest.raises(ObjectNotFoundException):
        sample.get_sample_meta_data("0" * 64, api_session=session)


def test_a_worker_that_only_speaks_http_works_a_job_through(
    api: API, session: ArgusAPISession
):
    sha256 = upload_sample(secrets.token_bytes(64), api_session=session)
    sha256 = sha256["data"]["sample"]["id"]
    own = api.add_worker()
    ordered = api.add_job(sha256, workers=[own])

    waiting = job.search_jobs(
        sampleSha256=[sha256],
        state=["enqueued"],
        startTimestamp="now - 1 week",
        endTimestamp="now",
        api_session=session,
    )
    (found,) = waiting["data"]
    (task,) = job.list_job_tasks(found["id"], api_session=session)["data"]
    for _ in range(2):
        job.update_job_task(
            found["id"], task["id"], state="executing", api_session=session
        )
    running = job.get_job(found["id"], api_session=session)["data"]["state"]
    analysis_id = _add_analysis(session, sha256)
    for _ in range(2):
        job.update_job_task(
            found["id"],
            task["id"],
            state="success",
            analyses=[analysis_id],
            message="ok",
            api_session=session,
        )

    assert found["id"] == ordered["id"]
    assert task["worker"] == own
    assert running == "executing"
    done = job.get_job_task(found["id"], task["id"], api_session=session)["data"]
    assert (done["state"], done["message"]) == ("success", "ok")
    assert [analysis["id"] for analysis in done["analyses"]] == [analysis_id]
    over = job.get_job(found["id"], api_session=session)["data"]
    assert (over["state"], over["openTasks"]) == ("done", 0)
    shown = sample.get_sample_meta_data(sha256, api_session=session)["data"]
    assert shown["latestVerdict"]["score"] == 75
    assert shown["latestVerdict"]["tags"] == [
        {"type": "family", "value": "eicar", "count": 1}
    ]
    verdicts = sample.list_verdicts(sha256, api_session=session)
    assert verdicts["data"] == [shown["latestVerdict"]]


def test_an_illegal_move_raises_the_clients_own_error(
    api: API, session: ArgusAPISession
):
    ordered = api.add_job()
    (task,) = job.list_job_tasks(ordered["id"], api_session=session)["data"]
    job.update_job_task(ordered["id"], task["id"], "failed", api_session=session)

    with pytest.raises(ValidationErrorException) as caught:
        job.update_job_task(ordered["id"], task["id"], "success", api_session=session)

    assert "FIELD_ERROR (state)" in str(caught.value)


def test_a_sample_is_analysed_again(session: ArgusAPISession):
    sha256 = upload_sample(secrets.token_bytes(64), api_session=session)
    sha256 = sha256["data"]["sample"]["id"]

    answer = sample.reanalyse_sample(sha256, api_session=session)

    assert answer["data"]["analysedSample"]["id"] == sha256


def test_analyses_are_read_as_they_were_added(session: ArgusAPISession):
    sha256 = upload_sample(secrets.token_bytes(64), api_session=session)
    sha256 = sha256["data"]["sample"]["id"]
    analysis_id = _add_analysis(session, sha256)

    analysis = sample.get_analysis(sha256, analysis_id, api_session=session)["data"]

    assert analysis["analysisResult"] == {"rules": ["a"]}
    assert analysis["userAgent"] == AGENT
    assert sample.list_analysis(sha256, api_session=session)["data"] == [analysis]


def test_a_verdict_is_given_by_hand(session: ArgusAPISession):
    sha256 = upload_sample(secrets.token_bytes(64), api_session=session)
    sha256 = sha256["data"]["sample"]["id"]

    answer = sample.add_verdict(
        sha256, comment="Harmless.", statusOverride="benign", api_session=session
    )

    assert answer["responseCode"] == 201
    assert answer["data"]["flags"] == ["manual"]


def test_workers_are_registered_changed_and_deleted(session: ArgusAPISession):
    name = f"w{secrets.token_hex(4)}"
    texts = {"english": "Reader"}

    added = worker.add_analysis_worker(
        localizedDescriptions=texts,
        localizedNames=texts,
        shortName=name,
        schema={"type": "object"},
        api_session=session,
    )
    worker.update_analysis_worker(
        name, localizedNames={"english": "Writer"}, api_session=session
    )

    assert added["responseCode"] == 201
    shown = worker.get_analysis_worker(name, api_session=session)["data"]
    assert shown["localizedName"] == "Writer"
    schema = worker.fetch_analysis_worker_schema(name, api_session=session)
    assert schema == {"type": "object"}
    listed = worker.list_analysis_workers(limit=0, api_session=session)["data"]
    assert name in [entry["shortName"] for entry in listed]
    gone = worker.delete_analysis_worker(name, api_session=session)["data"]
    assert gone["flags"] == ["deleted"]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 0])
def test_the_clients_pages_cover_everything_once(
    api: API, session: ArgusAPISession, limit: int
):
    workers = sorted(api.add_worker() for _ in range(4))
    ordered = api.add_job(workers=workers)

    items: list[dict[str, Any]] = list(
        paginated_items(job.list_job_tasks)(
            ordered["id"], limit=limit, api_session=session
        )
    )

    assert [task["worker"] for task in items] == workers


def test_lists_take_states_and_orders_as_the_client_writes_them(
    session: ArgusAPISession,
):
    answer = job.list_jobs(
        state=["enqueued", "executing"],
        sortBy=["-enqueuedTimestamp"],
        limit=100,
        offset=0,
        api_session=session,
    )

    assert set(answer) == ENVELOPE
    assert answer["limit"] == 100


def test_wrong_words_raise_the_clients_own_error(session: ArgusAPISession):
    with pytest.raises(ValidationErrorException) as caught:
        job.list_jobs(sortBy=["nonsense"], api_session=session)

    assert "FIELD_ERROR (sortBy)" in str(caught.value)


def test_an_unknown_job_raises_the_clients_own_error(session: ArgusAPISession):
    with pytest.raises(ObjectNotFoundException):
        job.get_job(str(uuid4()), api_session=session)


def test_a_base_url_with_a_slash_at_its_end_works_too(api: API):
    with ArgusAPISession(api.key(Role.VIEWER), api_url=f"{api.url}/") as slashed:
        assert job.list_jobs(limit=1, api_session=slashed)["limit"] == 1
