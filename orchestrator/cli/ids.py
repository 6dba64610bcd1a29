"""
What somebody means by a few characters: ids and hashes, as the API has them.

Any beginning or end that only one thing has is enough, and ``latest`` is the newest
job. What is meant by none, or by several, is said with what there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from orchestrator.client.http import Client, segment
from orchestrator.domain.errors import InvalidError, NotFoundError

LATEST = "latest"

_MIN = 6
_SHA256_LENGTH = 64
_SHA512_LENGTH = 128
#: Of a sample, beside its id.
_OTHER_HASHES = ("sha512", "sha1", "md5")
_HEX = frozenset("0123456789abcdef")
#: Things that a sentence names before it says that there are more.
_NAMED = 5


def job_id(client: Client, wanted: str) -> str:
    """
    Return the id of the job that is meant.

    Raises:
        NotFoundError: There is none, or there are several.
        InvalidError: It is too short to tell.
    """
    if wanted == LATEST:
        return str(_latest(client)["id"])
    whole = _as_uuid(wanted)
    if whole is not None:
        return whole
    return _one(client, "job", wanted, f"assay job list, or {LATEST}")


def sha256_of(client: Client, wanted: str) -> str:
    """
    Return the SHA-256 of the sample that is meant, by any of its hashes.

    Raises:
        NotFoundError: There is none, or there are several.
        InvalidError: It is too short to tell.
    """
    if wanted == LATEST:
        return str(_latest(client)["analysedSample"]["id"])
    digits = wanted.lower()
    if len(digits) == _SHA256_LENGTH and _HEX.issuperset(digits):
        return digits
    return _one(client, "sample", wanted, "assay submit FILE")


def task_of(client: Client, wanted: str, worker: str | None = None) -> Any:
    """
    Return the task that is meant: its whole id, ``JOB/WORKER``, or both apart.

    Raises:
        NotFoundError: There is no such task; it says which workers there are.
    """
    job, slash, name = wanted.partition("/")
    if slash:
        worker = name
    if worker is None:
        whole = _as_uuid(wanted)
        if whole is None:
            raise InvalidError(
                f"'{wanted}' is no task: give JOB/WORKER, as {LATEST}/yara, or its"
                " whole id",
                field="TASK",
            )
        return client.get(f"/task/{segment(whole)}")
    path = f"/job/{segment(job_id(client, job))}"
    tasks = {task["worker"]: task["id"] for task in client.get_all(f"{path}/tasks")}
    if worker not in tasks and worker not in tasks.values():
        there = ", ".join(tasks) or "no tasks"
        raise NotFoundError(f"this job has {there}; it has no '{worker}'", field="TASK")
    return client.get(f"{path}/task/{segment(tasks.get(worker, worker))}")


def analysis_of(client: Client, wanted: str) -> str:
    """
    Return where the API has the analysis that is meant.

    ``JOB/WORKER`` is that task's, the highest of several, as verdicts take it;
    ``SHA256/ANALYSIS`` names it by the sample and its own id.

    Raises:
        NotFoundError: There is no such task, or it has no analysis.
        InvalidError: It is neither.
    """
    first, _, second = wanted.partition("/")
    whole = _as_uuid(second)
    if whole is not None and len(first) == _SHA256_LENGTH:
        return f"/sample/{sha256_of(client, first)}/analysis/{whole}"
    task = task_of(client, wanted)
    if not task["analyses"]:
        raise NotFoundError(
            f"{task['worker']} has no analysis in this job: it is {task['state']};"
            " see assay task show",
            field="ANALYSIS",
        )
    highest = max(task["analyses"], key=lambda each: int(each["analysisScore"]))
    job = client.get(f"/job/{task['job']}")
    return f"/sample/{job['analysedSample']['id']}/analysis/{highest['id']}"


def _latest(client: Client) -> Any:
    newest: Sequence[Any] = client.get("/job", limit=1)
    if not newest:
        raise NotFoundError("there is no job yet; assay submit FILE makes one")
    return newest[0]


def _as_uuid(wanted: str) -> str | None:
    try:
        return str(UUID(wanted))
    except ValueError:
        return None


def _one(client: Client, kind: str, wanted: str, hint: str) -> str:
    digits = wanted.lower().replace("-", "")
    if len(digits) < _MIN or not _HEX.issuperset(digits):
        raise InvalidError(
            f"'{wanted}' is no {kind}: give its id, or six digits or more of its"
            f" beginning or end; see {hint}",
            field=kind.upper(),
        )
    # No hash is longer, and nothing so long is searched for.
    listed = client.get("/find", q=wanted) if len(digits) <= _SHA512_LENGTH else []
    found = [each for each in listed if each["kind"] == kind]
    # Not those whose name is like that.
    meant = [each for each in found if _is_meant(client, digits, each)]
    if not meant:
        raise NotFoundError(
            f"no {kind} begins or ends with '{wanted}'; see {hint}", field=kind.upper()
        )
    if len(meant) > 1:
        raise NotFoundError(
            f"'{wanted}' may be {_listed(meant)}; give more of it", field=kind.upper()
        )
    return str(meant[0]["id"])


def _is_meant(client: Client, digits: str, found: Any) -> bool:
    if _is_part(digits, str(found["id"]).replace("-", "")):
        return True
    if found["kind"] != "sample":
        return False
    sample = client.get(f"/sample/{found['id']}")
    return any(_is_part(digits, sample[name]) for name in _OTHER_HASHES)


def _is_part(digits: str, whole: str) -> bool:
    return whole.startswith(digits) or whole.endswith(digits)


def _listed(found: Sequence[Any]) -> str:
    named = ", ".join(f"{each['id']} ({each['title']})" for each in found[:_NAMED])
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"{named}{more}"
