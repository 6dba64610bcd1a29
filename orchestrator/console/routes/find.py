"""
What somebody may mean by a few characters; what is meant whole is shown at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import Query, Request, Response

from orchestrator.api.deps import CallerDep, ServicesDep, needs
from orchestrator.api.http.storable import StorableText
from orchestrator.console.hints import hint
from orchestrator.console.page import page, where
from orchestrator.console.visitor import READ, pages, see
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import NotFoundError
from orchestrator.domain.values import Role
from orchestrator.queries.find import WORD_MAX, WORD_MIN, Found, find
from orchestrator.queries.tasks import get_job_id

router = pages()

Word = Annotated[StorableText, Query(min_length=WORD_MIN, max_length=WORD_MAX)]


@router.api_route("/find", methods=READ)
@needs(Role.VIEWER)
def show_found(
    request: Request, q: Word, caller: CallerDep, services: ServicesDep
) -> Response:
    """Show what may be meant; or lead to it, where nothing else can be."""
    word = q.strip()
    with services.database.uow() as tx:
        if (task_id := _task(tx, word)) is not None:
            # Whose it is says the page itself.
            return see(where("task", task_id))
        found = find(tx, word, viewer=caller.viewer)
        now = tx.now
    if (only := _only(word, found)) is not None:
        return see(where(only.kind, only.id))
    return page(
        request,
        "find.html",
        now=now,
        word=word,
        found=found,
        hint=hint("# over HTTP alone", "GET", f"/find?q={quote(word, safe='')}"),
    )


def _only(word: str, found: Sequence[Found]) -> Found | None:
    whole = [each for each in found if each.id.lower() == word.lower()]
    if len(whole) == 1:
        return whole[0]
    return found[0] if len(found) == 1 else None


def _task(tx: Transaction, word: str) -> UUID | None:
    with suppress(ValueError, NotFoundError):
        task_id = UUID(word)
        get_job_id(tx, task_id)
        return task_id
    return None
