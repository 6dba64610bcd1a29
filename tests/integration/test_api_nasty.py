"""
The worst that a key may send costs little: bodies, and the addresses of all routes.

Work is counted in processor time of this process, the client's share included.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from uuid import uuid4

import httpx
import pytest

from orchestrator.api.deps import ANALYSIS, JSON_MAX_BYTES
from orchestrator.api.http.sparing import MISTAKES_MAX
from orchestrator.api.routes.bulk import ORDERS
from orchestrator.domain.values import Role
from tests.fixtures.api import API, ask, first_message
from tests.fixtures.operations import ROLES

#: Of one request, with much room for a busy machine: most take a hundredth of it.
CPU_SECONDS = 2.0

#: What anybody's analysis may be.
_LARGE = "POST /sampledb/v2/sample/{sha256}/analysis"

_JSON = {"Content-Type": "application/json"}


def _url(template: str) -> str:
    path = re.sub(r"\{(\w+ID|id|evidence)\}", str(uuid4()), template)
    return path.replace("{sha256}", "0" * 64).replace("{idOrShortName}", "nobody")


def _fields(api: API) -> Iterator[tuple[str, str, list[str]]]:
    document = api.app.openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            named = content.get("application/json", {}).get("schema", {}).get("$ref")
            if named is not None:
                form = document["components"]["schemas"][named.rsplit("/", 1)[1]]
                yield method.upper(), path, list(form["properties"])


def _filled(size_bytes: int, unit: str) -> str:
    return ",".join([unit] * (size_bytes // (len(unit) + 1)))


def _listed(size_bytes: int, unit: str) -> str:
    return f"[{_filled(size_bytes, unit)}]"


def _values(room: int) -> Mapping[str, str]:
    """Return JSON of about *room* bytes each."""
    deep = room // 2
    return {
        "wrong hashes": _listed(room, json.dumps("x" * 60)),
        "right hashes": _listed(room, json.dumps("a" * 64)),
        "short texts": _listed(room, '""'),
        "numbers": _listed(room, "1"),
        "a thousand objects": _listed(6000, '{"k":[]}'),
        "objects": _listed(room, "{}"),
        "objects alike": '{"type": ' + _listed(min(room, 4000), '{"a":[1]}') + "}",
        "lists": _listed(room, "[]"),
        "keys": "{" + ",".join(f'"k{n}":1' for n in range(room // 10)) + "}",
        "a thousand keys": "{" + ",".join(f'"k{n}":1' for n in range(900)) + "}",
        "levels": "[" * deep + "]" * deep,
        "levels of objects": '{"a":' * 120 + "1" + "}" * 120,
        "half a text": '"' + "a" * room,
        "a text": '"' + "a" * room + '"',
        "backslashes": '"' + "\\\\" * (room // 2) + '"',
        "quotes": '"' + '\\"' * (room // 2) + '"',
        "surrogates": '"' + "\\ud800" * (room // 6) + '"',
        "a long number": "1" * room,
        "a long fraction": "0." + "1" * room,
        "a large number": "1e999999999",
        "a nasty pattern": '{"pattern": "' + "(x+)*" * (room // 8) + '"}',
        "a nested pattern": '{"pattern": "' + "(" * 3000 + ")" * 3000 + '"}',
        "unlike each other": '{"required": ' + _listed(room, '"a"') + "}",
    }


#: What a field may take, so that there is more to judge than its type.
_FOR_EACH_FIELD = {
    "wrong hashes",
    "a thousand objects",
    "objects alike",
    "a thousand keys",
    "a text",
    "surrogates",
    "a nested pattern",
    "unlike each other",
}


def _bodies(fields: list[str], limit: int) -> Iterator[tuple[str, bytes]]:
    room = limit - 1000
    for kind, value in _values(room).items():
        yield kind, value.encode()
        for field in fields if kind in _FOR_EACH_FIELD else ():
            yield f"{kind} in {field}", f'{{"{field}": {value}}}'.encode()
    shared = room // len(fields)
    for kind, value in _values(shared).items():
        pairs = ",".join(f'"{field}": {value}' for field in fields)
        yield f"{kind} in all fields", f"{{{pairs}}}".encode()


def _check(answer: httpx.Response, spent: float, what: str) -> None:
    assert answer.status_code < 500, f"{what}: {answer.text[:1000]}"
    assert spent < CPU_SECONDS, f"{what}: {spent:.1f} s"
    assert len(answer.json()["messages"]) <= MISTAKES_MAX + 1, what


def _send(
    api: API, method: str, path: str, body: bytes
) -> tuple[httpx.Response, float]:
    began = time.process_time()
    answer = api.bare.request(
        method,
        path,
        content=body,
        headers={**_JSON, "Argus-API-Key": api.key(Role.ADMINISTRATOR)},
    )
    return answer, time.process_time() - began


def test_a_long_name_of_a_field_is_not_repeated_whole(api: API):
    answer = api.admin.post("/job", json={"k" * 200_000: 1})

    assert answer.status_code == 412
    assert len(answer.content) < 8_000
    assert "is not known; leave it out" in answer.text


def test_the_worst_bodies_cost_little_and_are_no_fault_of_ours(api: API):
    tried = 0
    for method, path, fields in _fields(api):
        is_large = f"{method} {path}" == _LARGE
        limit = 1024 * 1024 if is_large else JSON_MAX_BYTES
        for kind, body in _bodies(fields, limit):
            answer, spent = _send(api, method, _url(path), body)
            _check(answer, spent, f"{method} {path}: {kind}")
            tried += 1
    assert tried > 500


def test_the_largest_analyses_cost_little(api: API):
    for kind, value in _values(ANALYSIS.size_bytes - 1000).items():
        body = f'{{"analysisResult": {value}}}'.encode()
        answer, spent = _send(api, "POST", _url(_LARGE.split()[1]), body)
        _check(answer, spent, kind)


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_above_the_limit_names_it_and_is_not_read(api: API, announced: bool):  # noqa: FBT001
    for method, path, _ in _fields(api):
        larger = {_LARGE: ANALYSIS, "POST /sampledb/v2/job/bulk": ORDERS}
        special = larger.get(f"{method} {path}")
        limit = special.size_bytes if special else JSON_MAX_BYTES
        body = b" " * (limit + 1)

        answer = api.admin.request(
            method,
            api.url + _url(path),
            content=body if announced else iter([body]),
            headers=_JSON,
        )

        assert answer.status_code == answer.json()["responseCode"] == 413, path
        assert f"{limit} bytes" in first_message(answer)["message"]
        assert answer.headers["Connection"] == "close"


_QUERIES = {
    "many parameters": "&".join(f"a{n}=1" for n in range(5000)),
    "many of one": "&".join(["limit=1"] * 150),
    "two of one": "limit=1&limit=1",
    "many sort keys": "&".join(["sortBy=sha256"] * 150),
    "many words": "&".join(["keywords=aaa"] * 150),
    "a long number": f"limit={'1' * 60_000}&offset={'9' * 3000}",
    "a long time": f"indexStartTimestamp=now{'%20' * 10_000}x",
    "many steps": f"indexStartTimestamp=now{'%2B1day' * 5000}",
    "a long text": f"since={'a' * 60_000}",
    "ampersands": "&" * 60_000,
}


@pytest.mark.parametrize("kind", _QUERIES)
def test_the_worst_addresses_cost_little_and_are_no_fault_of_ours(api: API, kind: str):
    paths = [name.split()[1] for name in ROLES if name.startswith("GET ")]
    for path in (*paths, "/metrics", "/health/live", "/openapi.json", "/nowhere"):
        began = time.process_time()
        answer = ask(api.admin, "GET", f"{api.url}{_url(path)}?{_QUERIES[kind]}")
        spent = time.process_time() - began

        assert answer.status_code < 500, f"{path}: {answer.text[:1000]}"
        assert spent < CPU_SECONDS, f"{path}: {spent:.1f} s"


def test_what_comes_twice_and_is_no_list_is_refused_by_name(api: API):
    answer = api.admin.get("/job", params={"limit": ["1", "2"]})

    assert answer.status_code == 412
    assert first_message(answer)["field"] == "limit"
    assert (
        api.admin.get(
            "/job", params={"sortBy": ["-state", "enqueuedTimestamp"]}
        ).status_code
        == 200
    )
