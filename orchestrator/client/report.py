"""
All that is known of a job, as one document: what `job show` and the demo speak of.

Asks the API and shapes what it says; how a document reads is its reader's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.client.http import Client, segment

Document = dict[str, Any]

#: Verdicts of a sample that are looked through for the job's own, the newest first.
_VERDICTS = 1000


def read_report(client: Client, job: str) -> Document:
    """
    Return the job with this id as one document.

    Its own fields, ``verdict`` in full or null, ``noVerdict``: why there is none, and
    ``tasks``, each with its ``analyses`` in full and what it is ``waiting`` for.
    """
    found = client.get(f"/job/{segment(job)}")
    # The tasks after the job: with one that is over, they are too.
    tasks = client.get_all(f"/job/{segment(job)}/tasks")
    sample = f"/sample/{found['analysedSample']['id']}"
    ids = (link["id"] for task in tasks for link in task["analyses"])
    return shape_report(
        found,
        tasks,
        analyses=[client.get(f"{sample}/analysis/{each}") for each in ids],
        verdicts=client.get(f"{sample}/verdict", limit=_VERDICTS)
        if found["verdict"]
        else [],
        explained=client.get(f"/job/{segment(job)}/explain"),
    )


def shape_report(
    job: Mapping[str, Any],
    tasks: Sequence[Mapping[str, Any]],
    *,
    analyses: Iterable[Mapping[str, Any]],
    verdicts: Iterable[Mapping[str, Any]],
    explained: Mapping[str, Any],
) -> Document:
    """
    Return one document of what the API says of a job in several answers.

    Args:
        analyses: Those of its tasks, in full.
        verdicts: Those of its sample, the newest first.
    """
    by_id = {analysis["analysisID"]: analysis for analysis in analyses}
    waiting = {each["task"]: each for each in explained["waiting"]}
    own = (verdict for verdict in verdicts if _is_of(verdict, job))
    return {
        **job,
        "verdict": next(own, None),
        "noVerdict": explained["noVerdict"],
        "tasks": [
            {
                **task,
                "analyses": [by_id[link["id"]] for link in task["analyses"]],
                "waiting": waiting.get(task["id"]),
            }
            for task in tasks
        ],
    }


def _is_of(verdict: Mapping[str, Any], job: Mapping[str, Any]) -> bool:
    return verdict["job"] is not None and verdict["job"]["id"] == job["id"]
