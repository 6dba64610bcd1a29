"""
What the contract's client sends again, blindly, is done once.

Answers are lost on the way after the request was carried out; the client repeats it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from argus_api.files.sampledb.upload import upload_sample
from argus_api.lib.sampledb.v2 import job, sample
from argus_api.session import ArgusAPISession

from orchestrator.domain.values import Role
from tests.fixtures.api import API, open_services, run_api
from tests.fixtures.forgetful_proxy import ForgetfulProxy, Forgetting, forgetful_proxy
from tests.fixtures.stack import DatabaseServer

AGENT = {"name": "contract", "version": "1"}

#: What a repeat could double.
TABLES = (
    "sample",
    "classification",
    "submission",
    "job",
    "job_task",
    "analysis",
    "task_analysis",
    "evidence",
    "link",
    "verdict",
)

#: Seconds after which the client gives an answer up. One repeat must fit in.
PATIENCE = 2

Ask = Callable[[ArgusAPISession], dict[str, Any]]


@pytest.fixture(scope="module")
def api(
    database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[API]:
    """An API of these tests alone: they count rows."""
    folder = tmp_path_factory.mktemp("samples")
    name = database_server.create()
    with (
        open_services(database_server.url_of(name), folder) as services,
        run_api(services, folder) as running,
    ):
        yield running
    database_server.drop(name)


@pytest.fixture(scope="module")
def proxy(api: API) -> Iterator[ForgetfulProxy]:
    """A proxy between the client and the service."""
    with forgetful_proxy(api.url) as running:
        yield running


@pytest.fixture
def session(api: API, proxy: ForgetfulProxy) -> Iterator[ArgusAPISession]:
    """A session through the proxy."""
    proxy.statuses.clear()
    key = api.key(Role.ADMINISTRATOR)
    with ArgusAPISession(key, api_url=proxy.url, timeout=PATIENCE) as opened:
        yield opened


def _rows(api: API) -> dict[str, int]:
    return {
        table: api.run(f"SELECT count(*) FROM {table}")[0]  # noqa: S608
        for table in TABLES
    }


def _added(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    return {
        table: after[table] - before[table]
        for table in TABLES
        if after[table] != before[table]
    }


def _upload(_: API) -> Ask:
    content = secrets.token_bytes(64)
    return lambda session: upload_sample(content, api_session=session)


def _job(api: API) -> Ask:
    body = {
        "sampleSha256": api.upload(),
        "workers": [api.add_worker(), api.add_worker()],
        "idempotencyKey": secrets.token_hex(8),
    }
    return lambda session: session.post("/sampledb/v2/job", json=body).json()


def _reanalysis(api: API) -> Ask:
    sha256 = api.upload()
    return lambda session: sample.reanalyse_sample(sha256, api_session=session)


def _submission(api: API) -> Ask:
    answer = api.admin.post("/sample", content=secrets.token_bytes(64))
    data = answer.json()["data"]
    return lambda session: sample.add_submission(
        data["sample"]["id"],
        challengeToken=data["challenge"],
        fileName="a.bin",
        userAgent=AGENT,
        api_session=session,
    )


def _analysis(api: API) -> Ask:
    sha256 = api.upload()
    return lambda session: sample.add_analysis(
        sha256,
        analysisResult={"rules": ["a"]},
        analysisScore=75,
        customer="default",
        tlp="amber",
        userAgent=AGENT,
        api_session=session,
    )


def _evidence(api: API) -> Ask:
    sha256 = api.upload()
    added = _analysis_of(api, sha256)
    return lambda session: sample.upload_evidence(
        sha256, added, "a.json", body={"a": 1}, api_session=session
    )


def _link(api: API) -> Ask:
    given = {"reference": api.upload(), "tlp": "amber", "type": "child"}
    sha256 = api.upload()
    return lambda session: sample.add_link(
        sha256, userAgent=AGENT, **given, api_session=session
    )


def _verdict(api: API) -> Ask:
    sha256 = api.upload()
    return lambda session: sample.add_verdict(
        sha256, comment="No harm.", statusOverride="benign", api_session=session
    )


def _executing(api: API) -> Ask:
    (task,) = api.tasks(api.add_job()["id"])
    return lambda session: job.update_job_task(
        task["job"], task["id"], "executing", api_session=session
    )


def _success(api: API) -> Ask:
    sha256 = api.upload()
    (task,) = api.tasks(api.add_job(sha256)["id"])
    found = [_analysis_of(api, sha256)]
    return lambda session: job.update_job_task(
        task["job"], task["id"], "success", found, "Done.", api_session=session
    )


def _analysis_of(api: API, sha256: str) -> str:
    given = {
        "customer": "default",
        "userAgent": AGENT,
        "tlp": "amber",
        "analysisResult": [],
        "analysisScore": 1,
    }
    answer = api.admin.post(f"/sample/{sha256}/analysis", json=given)
    return str(answer.json()["data"]["analysisID"])


#: What is asked, and the rows that come of it.
CASES: Mapping[str, tuple[Callable[[API], Ask], dict[str, int]]] = {
    "upload": (_upload, {"sample": 1, "classification": 1}),
    "job": (_job, {"job": 1, "job_task": 2}),
    "submission": (_submission, {"submission": 1, "job": 1}),
    "reanalysis": (_reanalysis, {"job": 1}),
    "analysis": (_analysis, {"analysis": 1}),
    "evidence": (_evidence, {"evidence": 1}),
    "link": (_link, {"link": 1}),
    "verdict": (_verdict, {"verdict": 1}),
    "executing": (_executing, {}),
    "success": (_success, {"task_analysis": 1, "verdict": 1}),
}


@pytest.mark.parametrize("how", list(Forgetting))
@pytest.mark.parametrize("name", CASES)
def test_what_is_sent_again_is_done_once(
    api: API,
    proxy: ForgetfulProxy,
    session: ArgusAPISession,
    name: str,
    how: Forgetting,
):
    build, expected = CASES[name]
    ask = build(api)
    before = _rows(api)
    proxy.forgetting = how

    answer = ask(session)

    assert len(proxy.statuses) >= 2
    assert answer["responseCode"] == proxy.statuses[-1] in {200, 201}
    assert _added(before, _rows(api)) == expected
    again = ask(session)["data"]
    assert again == answer["data"] | _changed(again)
    assert _added(before, _rows(api)) == expected


def _changed(again: dict[str, Any]) -> dict[str, Any]:
    # An upload gives a token of its own to each who has sent the whole file, and says
    # that the sample was there before.
    return {key: again[key] for key in ("challenge", "exists") if key in again}
