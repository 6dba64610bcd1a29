"""
How everything is: each component and each worker in a sentence, with what to do, and
what the last hour was like.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Final

from fastapi import Request, Response

from orchestrator.api.deps import Services, ServicesDep, needs
from orchestrator.console.figures import draw_figures
from orchestrator.console.hints import hint
from orchestrator.console.page import page
from orchestrator.console.sentences import describe
from orchestrator.console.sparks import HEIGHT, WIDTH
from orchestrator.console.visitor import READ, pages
from orchestrator.domain.errors import StoreUnavailableError
from orchestrator.domain.values import Role
from orchestrator.queries.diagnose import (
    Finding,
    Level,
    diagnose_service,
    fail,
    ok,
    warn,
)
from orchestrator.queries.overview import read_overview
from orchestrator.queries.pulse import list_minutes

router = pages()

_HOUR: Final = timedelta(hours=1)

#: Of no file: asking for it asks the store.
_NO_SAMPLE: Final = "0" * 64

_WORST_FIRST: Final[Mapping[Level, int]] = {Level.FAIL: 0, Level.WARN: 1, Level.OK: 2}


@router.api_route("/", methods=READ)
@needs(Role.VIEWER)
def show_overview(request: Request, services: ServicesDep) -> Response:
    """Show how everything is."""
    limits = services.engine.limits
    components = [
        *diagnose_service(services.database, lease=limits.lease),
        *_beside(services),
    ]
    with services.database.uow() as tx:
        now = tx.now
        overview = read_overview(tx, limits=limits)
        minutes = list_minutes(tx, since=now - _HOUR)
    workers = [
        (state.measures, state.version, describe(state, now=now))
        for state in overview.workers
    ]
    return page(
        request,
        "overview.html",
        now=now,
        worst=_worst(components, [each for *_, said in workers for each in said]),
        components=sorted(components, key=lambda each: _WORST_FIRST[each.level]),
        workers=workers,
        figures=draw_figures(overview, minutes),
        spark_size=(WIDTH, HEIGHT),
        hint=hint("assay doctor", "GET", "/worker"),
    )


def _beside(services: Services) -> Iterator[Finding]:
    """Look at what the database does not know."""
    try:
        services.store.size(_NO_SAMPLE)
    except StoreUnavailableError as error:
        yield fail("store", error.message, "see ASSAY_SAMPLE_STORE, and assay doctor")
    else:
        yield ok("store", "answers")
    classifier = services.classifier
    if classifier is not None and (trouble := classifier.trouble) is not None:
        yield warn("classifier", trouble.detail, trouble.remedy)


def _worst(components: Sequence[Finding], sayings: Sequence[object]) -> Level:
    levels = [each.level for each in components]
    levels += [getattr(each, "level", Level.OK) for each in sayings]
    return min(levels, key=lambda level: _WORST_FIRST[level])
