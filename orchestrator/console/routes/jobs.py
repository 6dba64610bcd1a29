"""
The list of jobs, by criteria in the address, and changing many of them at once.

Pages are told by the job at which they begin: the last is as fast as the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from fastapi import Request, Response
from pydantic import TypeAdapter, ValidationError

from orchestrator.api.changes import (
    CHANGES_MAX,
    Verb,
    change_many,
    look_at,
    match_jobs,
)
from orchestrator.api.deps import CallerDep, ServicesDep, needs
from orchestrator.console.asked import Asked, AskedDep, place_of
from orchestrator.console.hints import Hint, for_each, hint
from orchestrator.console.page import page
from orchestrator.console.visitor import READ, SEND, Form, FormDep, field, pages
from orchestrator.domain.errors import InvalidError
from orchestrator.domain.values import JobState, Role
from orchestrator.queries.jobs import (
    JobView,
    Seek,
    Stretch,
    count_jobs,
    seek_jobs,
)
from orchestrator.queries.lists import COUNT_MAX

router = pages()

#: Rows of a page: as many as one looks through.
_ROWS: Final = 50

_IDS: Final = TypeAdapter(list[UUID])


@router.api_route("/jobs", methods=READ)
@needs(Role.VIEWER)
def show_jobs(
    request: Request, asked: AskedDep, caller: CallerDep, services: ServicesDep
) -> Response:
    """Show jobs, the newest first."""
    seek = asked.seek()
    with services.database.uow() as tx:
        wanted = asked.filter(tx.now)
        found = seek_jobs(tx, wanted, viewer=caller.viewer, limit=_ROWS, seek=seek)
        total = count_jobs(tx, wanted, viewer=caller.viewer)
        now = tx.now
    return page(
        request,
        "jobs.html",
        now=now,
        wanted=asked,
        states=tuple(JobState),
        jobs=found.items,
        total=total,
        counted_max=COUNT_MAX,
        changes_max=CHANGES_MAX,
        may_change=caller.role.includes(Role.USER),
        has_customers=caller.viewer.customer_ids is None
        or len(caller.viewer.customer_ids) > 1,
        neighbours=_neighbours(asked, seek, found),
        hint=_list_hint(asked),
    )


@router.api_route("/jobs/bulk", methods=SEND)
@needs(Role.USER)
def change_jobs(
    request: Request,
    form: FormDep,
    asked: AskedDep,
    caller: CallerDep,
    services: ServicesDep,
) -> Response:
    """Say which jobs would be changed; and change them, once somebody is sure."""
    verb = _verb(form)
    is_sure = field(form, "sure") == "yes"
    changes = change_many(verb, _ticked(form), caller, services) if is_sure else ()
    done = list(changes)
    with services.database.uow() as tx:
        now = tx.now
        if is_sure:
            return page(request, "changed.html", now=now, verb=verb, changes=done)
        if field(form, "which") == "matching":
            job_ids = match_jobs(tx, verb, asked.filter(now), caller)
        else:
            job_ids = tuple(_ticked(form))
        selected = [each.view for each in look_at(tx, job_ids, caller) if each.view]
    return page(
        request,
        "sure.html",
        now=now,
        verb=verb,
        jobs=selected,
        left_out=len(job_ids) - len(selected),
        changes_max=CHANGES_MAX,
        back=asked.address(),
        hint=_bulk_hint(verb, selected),
    )


def _verb(form: Form) -> Verb:
    try:
        return Verb(field(form, "verb") or "")
    except ValueError:
        known = ", ".join(Verb)
        raise InvalidError(f"choose one of {known}", field="verb") from None


def _ticked(form: Form) -> Sequence[UUID]:
    try:
        found = _IDS.validate_python(list(form.get("job", ())))
    except ValidationError:
        raise InvalidError("holds what is no id of a job", field="job") from None
    if len(found) > CHANGES_MAX:
        raise InvalidError(f"has more than {CHANGES_MAX}; tick less", field="job")
    return list(dict.fromkeys(found))


def _neighbours(
    asked: Asked, seek: Seek | None, found: Stretch
) -> Mapping[str, str | None]:
    """Return the addresses of the pages before and after this one, where there are."""
    if not found.items:
        return {"newer": asked.address() if seek is not None else None, "older": None}
    is_newer = seek is not None and seek.newer
    has_newer = found.has_more if is_newer else seek is not None
    has_older = found.has_more if not is_newer else True
    first, last = found.items[0], found.items[-1]
    return {
        "newer": asked.address(after=place_of(first)) if has_newer else None,
        "older": asked.address(before=place_of(last)) if has_older else None,
    }


def _list_hint(asked: Asked) -> Hint:
    states = " ".join(f"--state {state}" for state in asked.state)
    command = f"assay job list {states}".strip()
    if asked.criteria().keys() - {"state"}:
        command = "# by these criteria over HTTP alone"
    return hint(command, "POST", "/job/search", asked.criteria())


def _bulk_hint(verb: Verb, selected: Sequence[JobView]) -> Hint:
    ids = [str(view.id) for view in selected]
    if verb is Verb.REANALYSE:
        command = "# there is no command for many; see below"
    else:
        command = for_each(ids, verb)
    return hint(command, "PUT", f"/job/bulk/{verb}", {"jobs": ids})
