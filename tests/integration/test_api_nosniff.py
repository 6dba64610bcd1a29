"""
No browser guesses what an answer holds: of no route, and of none that there is not.
"""

from __future__ import annotations

import re
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from orchestrator.domain.values import Role
from tests.fixtures.api import API, ask

_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "NONSENSE")


def _is_marked(answer: httpx.Response) -> bool:
    return answer.headers.get_list("X-Content-Type-Options") == ["nosniff"]


def _paths(api: API) -> set[str]:
    templates = {context.path for context in iter_route_contexts(api.app.routes)}
    assert {"/docs", "/openapi.json", "/metrics", "/health/live"} <= templates
    return {
        re.sub(r"\{[^}]*\}", lambda _: str(uuid4()), template)
        for template in templates
        if template is not None
    }


@pytest.mark.parametrize("method", _METHODS)
def test_every_answer_of_every_route_is_marked(api: API, method: str):
    key = {"Argus-API-Key": api.key(Role.ADMINISTRATOR)}
    for path in (*_paths(api), "/", "/nowhere"):
        for headers in ({}, key):
            answer = ask(api.bare, method, path, headers=headers)
            assert _is_marked(answer), (method, path, answer.status_code)


def test_what_a_sample_may_have_written_is_marked(api: API):
    sha256 = api.upload(b"<script>alert(1)</script>")
    for path in ("", "/raw", "/safe", "/analysis", "/classification"):
        answer = api.admin.get(f"/sample/{sha256}{path}")
        assert answer.status_code == 200
        assert _is_marked(answer), path


def test_what_is_refused_before_any_route_is_marked(api: API):
    many = api.bare.get("/metrics?" + "&".join(["a=1"] * 500))
    large = api.bare.get("/metrics", headers={"X": "x" * 500_000})

    assert (many.status_code, large.status_code) == (412, 431)
    assert _is_marked(many)
    assert _is_marked(large)
