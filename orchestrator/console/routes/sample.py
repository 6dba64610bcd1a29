"""
One sample: what it is, what was said of it over time, who brought it, and its bytes.
"""

from __future__ import annotations

from typing import Final, Literal

from fastapi import Request, Response

from orchestrator.api.changes import reanalyse
from orchestrator.api.deps import CallerDep, Services, ServicesDep, needs
from orchestrator.api.http.body import raw_answer, zip_answer
from orchestrator.api.schemas.common import Sha256Path
from orchestrator.catalog.analyses import add_manual_verdict
from orchestrator.catalog.samples import note_download
from orchestrator.console.hints import Hint, hint
from orchestrator.console.page import HEADERS, page
from orchestrator.console.visitor import READ, SEND, FormDep, field, pages, see
from orchestrator.db.access import check_sample
from orchestrator.domain.errors import InvalidError
from orchestrator.domain.values import Role
from orchestrator.domain.verdict import StatusOverride
from orchestrator.queries import links, samples, submissions, verdicts
from orchestrator.queries.jobs import JobFilter, seek_jobs
from orchestrator.queries.lists import Paging

router = pages()

#: Of each list of the page; the rest is a command's.
_ROWS: Final = 50
_COMMENT_MAX: Final = 4_000


@router.api_route("/samples/{sha256}", methods=READ)
@needs(Role.VIEWER)
def show_sample(
    request: Request, sha256: Sha256Path, caller: CallerDep, services: ServicesDep
) -> Response:
    """Show one sample."""
    viewer, some = caller.viewer, Paging(limit=_ROWS)
    with services.database.uow() as tx:
        sample = samples.get_sample(tx, sha256, viewer=viewer)
        said = verdicts.list_verdicts(tx, sha256, some, viewer=viewer)
        brought = submissions.list_of_sample(tx, sha256, some, viewer=viewer)
        linked = links.list_links(tx, sha256, some, viewer=viewer)
        kinds = samples.list_classifications(tx, sha256, some)
        wanted = JobFilter(sample_sha256s=[sha256])
        jobs = seek_jobs(tx, wanted, viewer=viewer, limit=_ROWS)
        now = tx.now
    return page(
        request,
        "sample.html",
        now=now,
        sample=sample,
        verdicts=said.items,
        submissions=brought.items,
        links=linked.items,
        kinds=kinds.items,
        jobs=jobs.items,
        rows=_ROWS,
        may_order=caller.role.includes(Role.USER),
        may_judge=caller.role.includes(Role.ANALYZER),
        hints=_hints(sha256),
    )


def _hints(sha256: str) -> dict[str, Hint]:
    path, said = (
        f"/sample/{sha256}",
        {"statusOverride": "benign", "comment": "seen by us"},
    )
    return {
        "show": hint(f"assay sample show {sha256}", "GET", path),
        "verdicts": hint(f"assay verdict show {sha256}", "GET", f"{path}/verdict"),
        "safe": hint(
            f"assay sample get {sha256} --safe", "GET", f"{path}/safe", saves=True
        ),
        "raw": hint(f"assay sample get {sha256}", "GET", f"{path}/raw", saves=True),
        "again": hint(
            f"assay sample get {sha256} --output - | assay submit -",
            "PUT",
            f"{path}/reanalyse",
        ),
        "judge": hint("# over HTTP alone", "POST", f"{path}/verdict", said),
    }


@router.api_route("/samples/{sha256}/reanalyse", methods=SEND)
@needs(Role.USER)
def analyse_again(
    sha256: Sha256Path, caller: CallerDep, services: ServicesDep
) -> Response:
    """Analyse it again."""
    with services.database.uow() as tx:
        job = reanalyse(tx, sha256, caller, engine=services.engine)
    return see(f"/jobs/{job.id}")


@router.api_route("/samples/{sha256}/verdict", methods=SEND)
@needs(Role.ANALYZER)
def judge(
    sha256: Sha256Path, form: FormDep, caller: CallerDep, services: ServicesDep
) -> Response:
    """Say by hand what it is."""
    comment = (field(form, "comment") or "").strip()
    if not 0 < len(comment) <= _COMMENT_MAX:
        raise InvalidError(
            f"say why, in at most {_COMMENT_MAX} characters", field="comment"
        )
    try:
        status = StatusOverride(field(form, "status") or "")
    except ValueError:
        known = ", ".join(StatusOverride)
        raise InvalidError(f"choose one of {known}", field="status") from None
    with services.database.uow() as tx:
        add_manual_verdict(
            tx, sha256, comment=comment, status_override=status, actor=caller.actor
        )
    return see(f"/samples/{sha256}")


@router.api_route("/samples/{sha256}/safe", methods=SEND)
@needs(Role.VIEWER)
def download_safe(
    sha256: Sha256Path, caller: CallerDep, services: ServicesDep
) -> Response:
    """Give it in a ZIP, encrypted."""
    answer = zip_answer(services.store, sha256)
    return _noted(answer, sha256, caller, services, form="zip")


@router.api_route("/samples/{sha256}/raw", methods=SEND)
@needs(Role.VIEWER)
def download_raw(
    sha256: Sha256Path, form: FormDep, caller: CallerDep, services: ServicesDep
) -> Response:
    """Give its bytes, to who says that they know what that is."""
    if field(form, "sure") != "yes":
        raise InvalidError("tick that you know what it is", field="sure")
    answer = raw_answer(services.store, sha256)
    return _noted(answer, sha256, caller, services, form="raw")


def _noted(
    answer: Response,
    sha256: str,
    caller: CallerDep,
    services: Services,
    *,
    form: Literal["raw", "zip"],
) -> Response:
    with services.database.uow() as tx:
        check_sample(tx, caller.viewer, sha256)
        note_download(tx, sha256, form=form, actor=caller.actor)
    answer.headers.update(HEADERS)
    return answer
