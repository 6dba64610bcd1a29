"""
Every function of the contract's client, called with every argument that it has.

The client's own description of the service judges the answers.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from argus_api.exceptions.http import ObjectNotFoundException
from argus_api.session import ArgusAPISession

from orchestrator.domain.values import Role
from tests.fixtures.api import API, worker_form
from tests.fixtures.contract import Contract, client_functions, parameters

FUNCTIONS = client_functions()

AGENT = {"name": "contract", "version": "1.0"}
ME = "test-administrator"
PAGE = {"limit": 3, "offset": 0}
PERIOD = {"indexStartTimestamp": "now - 1 month", "indexEndTimestamp": "now"}
TEXTS = {"english": "Reader", "norwegian": "Leser"}
OBJECT = {"type": "object"}
JOB_TIMES = ["enqueuedTimestamp", "startTimestamp", "endTimestamp"]


@dataclass(frozen=True, kw_only=True)
class Story:
    """One of everything, for functions that read; those that write make their own."""

    api: API
    folder: Path
    content: bytes
    sha256: str
    submission: str
    analysis: str
    evidence: str
    link: str
    job: str
    task: str
    worker: str

    def new_content(self) -> bytes:
        """Upload a sample above the size from which challenges are given."""
        content = secrets.token_bytes(4096)
        self.api.upload(content)
        return content

    def new_task(self) -> dict[str, Any]:
        """Return an open task of a new job."""
        (task,) = self.api.tasks(self.api.add_job()["id"])
        return task

    def new_rule(self) -> str:
        """Return the id of a new rule."""
        answer = self.api.admin.post("/policy/default/rule", json=rule(self.worker))
        return str(answer.json()["data"]["id"])


def rule(worker: str) -> dict[str, Any]:
    """Return a rule that uses all that an action has, for nobody's metadata."""
    option = {"key": "depth", "value": "1"}
    return {
        "name": "A rule",
        "description": "For the contract",
        "match": {
            "submission": {
                "metaDataKey": ["contract"],
                "metaDataValue": [secrets.token_hex(8)],
            }
        },
        "action": {
            "workers": {"set": [worker], "add": [worker], "remove": [worker]},
            "options": {"set": [option], "add": [option], "remove": ["depth"]},
        },
    }


@pytest.fixture(scope="module")
def story(shared_api: API, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """One of everything; the policy is as it was afterwards."""
    post, content = shared_api.admin.post, secrets.token_bytes(4096)
    uploaded = post("/sample", content=content).json()["data"]
    sha256 = uploaded["sample"]["id"]
    path, agent = f"/sample/{sha256}", {"userAgent": AGENT, "tlp": "green"}
    submitted = {**agent, "fileName": "a.bin", "challengeToken": uploaded["challenge"]}
    found = {"customer": "default", "analysisScore": 5, "analysisResult": [1]}
    submission = post(f"{path}/submission", json=submitted).json()["data"]
    analysis = post(f"{path}/analysis", json={**agent, **found}).json()["data"]
    where = f"{path}/analysis/{analysis['analysisID']}/evidence/a.txt"
    evidence = post(where, content=b"evidence").json()["data"]
    reference = {"reference": shared_api.upload(), "type": "child"}
    link = post(f"{path}/link", json={**agent, **reference}).json()["data"]
    worker = shared_api.add_worker()
    job = shared_api.add_job(sha256, workers=[worker])
    yield Story(
        api=shared_api,
        folder=tmp_path_factory.mktemp("contract"),
        content=content,
        sha256=sha256,
        submission=submission["id"],
        analysis=analysis["analysisID"],
        evidence=evidence["id"],
        link=link["id"],
        job=job["id"],
        task=shared_api.tasks(job["id"])[0]["id"],
        worker=worker,
    )
    shared_api.forget_policy()


@pytest.fixture(scope="module")
def session(shared_api: API) -> Iterator[ArgusAPISession]:
    """A session that may do everything."""
    with ArgusAPISession(
        shared_api.key(Role.ADMINISTRATOR), api_url=shared_api.url
    ) as opened:
        yield opened


@pytest.fixture(scope="module")
def contract() -> Contract:
    """Return the client's own description of the service."""
    return Contract()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _submission(story: Story) -> dict[str, Any]:
    content = secrets.token_bytes(100)
    answer = story.api.admin.post("/sample", content=content)
    return {
        "sha256": _sha256(content),
        "challengeToken": answer.json()["data"]["challenge"],
        "fileName": "b.bin",
        "userAgent": AGENT,
        "acl": [ME],
        "customer": "default",
        "observedTimestamp": 1_700_000_000_000,
        "retention": "now + 1 week",
        "metaData": {"source": "mail"},
        "mimeType": "text/plain",
        "tlp": "green",
    }


def _file_submission(story: Story) -> dict[str, Any]:
    content = story.new_content()
    given = _submission(story)
    for name in ("challengeToken", "userAgent"):
        del given[name]
    return {
        **given,
        "sha256": _sha256(content),
        "data": content,
        "user_agent_name": AGENT["name"],
        "user_agent_version": AGENT["version"],
    }


def _analysis(story: Story) -> dict[str, Any]:
    return {
        "sha256": story.api.upload(),
        "analysisResult": {"rules": ["a"]},
        "analysisScore": 75,
        "customer": "default",
        "tlp": "amber",
        "userAgent": AGENT,
        "acl": [ME],
        "executedWithInternetAccess": True,
        "possibleDetections": 10,
        "profile": "windows-10",
        "tags": [{"type": "family", "value": "eicar"}],
        "triggeredDetections": [{"name": "Eicar", "assessment": "malicious"}],
        "verdictStatusOverride": "malicious",
    }


def _link(story: Story) -> dict[str, Any]:
    return {
        "sha256": story.sha256,
        "reference": story.api.upload(),
        "tlp": "amber",
        "type": "parent",
        "userAgent": AGENT,
        "acl": [ME],
        "customer": "default",
    }


def _verdict(story: Story) -> dict[str, Any]:
    sha256 = story.api.upload()
    return {"sha256": sha256, "comment": "No harm.", "statusOverride": "benign"}


def _search(story: Story, field: str, order: str) -> dict[str, Any]:
    return {
        "keywords": [story.sha256],
        "keywordFieldStrategy": [field],
        "keywordMatchStrategy": "all",
        "sortBy": [order],
        **PERIOD,
        **PAGE,
    }


def _job_search(story: Story) -> dict[str, Any]:
    return {
        "customer": ["default"],
        "sampleSha256": [story.sha256],
        "state": ["enqueued", "executing", "done", "timeout"],
        "startTimestamp": "now - 1 week",
        "endTimestamp": "now",
        "timeFieldStrategy": JOB_TIMES,
        "timeMatchStrategy": "any",
        "sortBy": ["-enqueuedTimestamp"],
        **PAGE,
    }


def _task_update(story: Story) -> dict[str, Any]:
    task, found = story.new_task(), _analysis(story)
    job = story.api.admin.get(f"/job/{task['job']}").json()["data"]
    sha256 = job["analysedSample"]["id"]
    del found["sha256"]
    added = story.api.admin.post(f"/sample/{sha256}/analysis", json=found).json()
    return {
        "jobID": task["job"],
        "taskID": task["id"],
        "state": "success",
        "analyses": [added["data"]["analysisID"]],
        "message": "Done.",
    }


def _worker(name: str) -> dict[str, Any]:
    return {**worker_form(name), "localizedNames": TEXTS, "schema": OBJECT}


def _policy(story: Story) -> dict[str, Any]:
    options = [{"key": "depth", "value": "2"}]
    return {"workers": [story.worker], "options": options}


def _sample(story: Story, **more: Any) -> dict[str, Any]:
    return {"sha256": story.sha256, **more}


def _evidence(story: Story, **more: Any) -> dict[str, Any]:
    return _sample(story, analysisID=story.analysis, **more)


#: The arguments of every function. A function that is not here fails the test.
ARGUMENTS: Mapping[str, Callable[[Story], dict[str, Any]]] = {
    "files.add_submission": _file_submission,
    "files.download_sample": lambda s: _sample(s, destination_file=s.folder / "a"),
    "files.generate_challenge_token": lambda s: _sample(s, data=s.content),
    "files.upload_sample": lambda _: {"data": secrets.token_bytes(64)},
    "job.get_job": lambda s: {"jobID": s.job},
    "job.get_job_task": lambda s: {"jobID": s.job, "taskID": s.task},
    "job.list_job_tasks": lambda s: {"jobID": s.job, "sortBy": ["-state"], **PAGE},
    "job.list_jobs": lambda _: {
        "state": ["enqueued", "executing"],
        "sortBy": ["-enqueuedTimestamp", "state"],
        **PAGE,
    },
    "job.search_jobs": _job_search,
    "job.update_job_task": _task_update,
    "policy_default.add_default_analysis_rule": lambda s: rule(s.worker),
    "policy_default.delete_default_analysis_rule": lambda s: {"id": s.new_rule()},
    "policy_default.get_default_analysis_policy": lambda _: {},
    "policy_default.get_default_analysis_policy_rule": lambda s: {"id": s.new_rule()},
    "policy_default.list_default_analysis_rules": lambda s: {
        "includeDeleted": bool(s.new_rule()),
        **PAGE,
    },
    "policy_default.update_default_analysis_policy": _policy,
    "policy_default.update_default_analysis_rule": lambda s: {
        "id": s.new_rule(),
        **rule(s.worker),
        "match": {"customer": {"customerOrGroup": ["default"]}},
    },
    "sample.add_analysis": _analysis,
    "sample.add_link": _link,
    "sample.add_sample": lambda _: {},
    "sample.add_submission": _submission,
    "sample.add_verdict": _verdict,
    "sample.download_raw_sample": _sample,
    "sample.download_safe_sample": _sample,
    "sample.get_analysis": _evidence,
    "sample.get_analysis_summary": _sample,
    "sample.get_evidence": lambda s: _evidence(s, evidenceID=s.evidence),
    "sample.get_evidence_data": lambda s: _evidence(s, evidenceID=s.evidence),
    "sample.get_link": lambda s: _sample(s, linkID=s.link),
    "sample.get_link_summary": _sample,
    "sample.get_sample_meta_data": _sample,
    "sample.get_submission": lambda s: _sample(s, submissionID=s.submission),
    "sample.get_upload_challenge": _sample,
    "sample.list_analysis": lambda s: _sample(s, **PAGE),
    "sample.list_classifications": lambda s: _sample(s, sortBy=["-version"], **PAGE),
    "sample.list_evidence": lambda s: _evidence(s, **PAGE),
    "sample.list_links": lambda s: _sample(s, **PAGE),
    "sample.list_submissions": lambda s: _sample(s, **PAGE),
    "sample.list_verdicts": lambda s: _sample(s, sortBy=["-score"], **PAGE),
    "sample.reanalyse_sample": _sample,
    "sample.reclassify_sample": _sample,
    "sample.simple_search": lambda s: _search(s, "sha256", "sampleSize"),
    "sample.upload_evidence": lambda s: _evidence(
        s, fileName="b.json", internal=True, potentiallyMalicious=False
    ),
    "submission.submission_simple_search": lambda s: _search(
        s, "sampleSha256", "-observedTimestamp"
    ),
    "worker.add_analysis_worker": lambda _: _worker(f"w{secrets.token_hex(4)}"),
    "worker.delete_analysis_worker": lambda s: {"idOrShortName": s.api.add_worker()},
    "worker.fetch_analysis_worker_schema": lambda s: {"idOrShortName": s.worker},
    "worker.get_analysis_worker": lambda s: {"idOrShortName": s.worker},
    "worker.list_analysis_workers": lambda _: {
        "sortBy": ["-createdTimestamp"],
        "includeDeleted": True,
        **PAGE,
    },
    "worker.update_analysis_worker": lambda s: {
        "idOrShortName": s.worker,
        **_worker(s.worker),
    },
}

#: Left out on purpose, as README says; called with what they cannot do without.
LEFT_OUT: Mapping[str, Callable[[Story], dict[str, Any]]] = {
    "sample.add_static_fact": lambda s: _sample(s, key="k", value="v", userAgent=AGENT),
    "sample.advanced_search": lambda _: {},
    "sample.delete_sample": _sample,
    "sample.list_static_fact": _sample,
    "servicetask.abort_task": lambda _: {"taskID": str(uuid4())},
    "servicetask.get_task": lambda _: {"taskID": str(uuid4())},
    "servicetask.list_tasks": lambda _: {},
    "servicetask.reindex_resources": lambda _: {},
    "servicetask.search_tasks": lambda _: {},
    "submission.submission_advanced_search": lambda _: {},
    "submission.submission_statistics": lambda _: {},
}

#: What gives no answer but what is in it.
BARE = {"files.download_sample", "files.generate_challenge_token"}


def test_no_function_of_the_client_is_forgotten():
    assert set(ARGUMENTS) | set(LEFT_OUT) == set(FUNCTIONS)
    assert set(ARGUMENTS) & set(LEFT_OUT) == set()


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - set(LEFT_OUT) - BARE))
def test_every_function_takes_all_its_arguments_and_gets_what_is_described(
    story: Story, session: ArgusAPISession, contract: Contract, name: str
):
    function, arguments = FUNCTIONS[name], ARGUMENTS[name](story)
    assert set(arguments) == parameters(function)

    answer: requests.Response = function(**arguments, json=False, api_session=session)

    assert list(contract.complaints(answer)) == []


def test_a_challenge_is_answered_from_the_file(story: Story, session: ArgusAPISession):
    name = "files.generate_challenge_token"
    file = story.folder / "sample"
    file.write_bytes(story.content)
    given = ARGUMENTS[name](story)

    # One after the other: a user has one challenge of a sample at a time.
    for data in (story.content, file):
        token = FUNCTIONS[name](**given | {"data": data}, api_session=session)
        form = {"challengeToken": token, "fileName": token["id"], "userAgent": AGENT}
        path = f"/sample/{story.sha256}/submission"
        assert story.api.admin.post(path, json=form).status_code == 201


def test_a_download_is_returned_and_written(story: Story, session: ArgusAPISession):
    name = "files.download_sample"
    given = ARGUMENTS[name](story)

    content = FUNCTIONS[name](**given, api_session=session)

    assert content == given["destination_file"].read_bytes() == story.content


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_what_is_left_out_is_not_found(
    story: Story, session: ArgusAPISession, name: str
):
    arguments = LEFT_OUT[name](story)

    with pytest.raises(ObjectNotFoundException) as caught:
        FUNCTIONS[name](**arguments, api_session=session)

    (message,) = caught.value.parsed_resp["messages"]
    assert message["type"] == "ACTION_ERROR"
