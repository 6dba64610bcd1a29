"""
The envelope and the errors: every answer has the one shape, and says what to change.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI

from orchestrator.api.app import Surroundings, create_app
from orchestrator.api.deps import Services
from orchestrator.api.http import errors as api_errors
from orchestrator.domain import errors
from tests.fixtures.api import API, first_message

ENVELOPE = {
    "responseCode",
    "limit",
    "offset",
    "count",
    "size",
    "metaData",
    "messages",
    "data",
}
MESSAGE = {"message", "messageTemplate", "type", "field", "parameter"}


def _tree(cls: type[errors.AssayError]) -> Iterator[type[errors.AssayError]]:
    yield cls
    for child in cls.__subclasses__():
        # The command line has errors of its own, which no request meets.
        if child.__module__ == errors.__name__:
            yield from _tree(child)


def test_every_error_of_the_domain_has_a_status_of_its_own():
    assert set(_tree(errors.AssayError)) == set(api_errors.STATUSES)


def test_every_error_of_the_domain_has_a_code_of_its_own():
    codes = [cls.code for cls in _tree(errors.AssayError)]

    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("path", ["/nonsense", "/sampledb/v2/nonsense"])
def test_an_unknown_route_answers_404_in_the_envelope(api: API, path: str):
    answer = api.bare.get(path)

    assert answer.status_code == answer.json()["responseCode"] == 404
    assert set(answer.json()) == ENVELOPE
    assert set(first_message(answer)) == MESSAGE
    assert answer.json()["data"] is None


def test_a_wrong_method_answers_405_in_the_envelope(api: API):
    answer = api.admin.patch("/job")

    assert answer.status_code == answer.json()["responseCode"] == 405
    assert answer.headers["Allow"]


def test_a_single_object_has_no_count(api: API):
    answer = api.admin.get(f"/sample/{api.upload()}").json()

    assert set(answer) == ENVELOPE
    assert [answer[key] for key in ("count", "size", "limit", "offset")] == [0] * 4


@pytest.mark.parametrize("path", ["/job/", "//job", "/job//"])
def test_slashes_too_many_do_no_harm(api: API, path: str):
    answer = api.bare.get(
        f"/sampledb/v2{path}",
        headers={"argus-api-KEY": api.admin.headers["Argus-API-Key"]},
    )

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{not json", "body"),
        (b'{"sampleSha256": "\xff"}', "body"),
        (b"[" * 100_000, "body"),
        (b"", "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b"{}", "sampleSha256"),
        (b'{"sampleSha256": 1}', "sampleSha256"),
        (b'{"sampleSha256": "x", "surprise": 1}', "sampleSha256"),
    ],
)
def test_a_body_that_is_off_answers_412_names_the_field_and_writes_nothing(
    api: API, body: bytes, field: str
):
    before = api.counts()

    answer = api.admin.post(
        "/job", content=body, headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == answer.json()["responseCode"] == 412, answer.text
    assert first_message(answer)["type"] == "FIELD_ERROR"
    assert first_message(answer)["field"] == field
    assert first_message(answer)["message"]
    assert api.counts() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("surprise", 1),
        ("priority", "5"),
        ("priority", True),
        ("priority", 10),
        ("workers", "w1"),
        ("workers", [1]),
        ("workers", []),
        ("workers", ["a\x00b"]),
        ("options", []),
        ("fileName", "a\x00b"),
        ("idempotencyKey", ""),
        ("idempotencyKey", "k" * 256),
    ],
)
def test_every_wrong_field_of_an_order_is_named(api: API, field: str, value: object):
    order = {"sampleSha256": api.upload(), field: value}
    before = api.counts()

    answer = api.admin.post("/job", json=order)

    assert answer.status_code == 412, answer.text
    assert first_message(answer)["field"].split(".")[0] == field
    assert api.counts() == before


def test_all_wrong_fields_are_named_at_once(api: API):
    answer = api.admin.post("/job", json={"priority": "x", "surprise": 1})

    fields = {message["field"] for message in answer.json()["messages"]}
    assert fields == {"sampleSha256", "priority", "surprise"}


def test_json_without_content_type_is_read(api: API):
    answer = api.admin.post("/job/search", content=b"{}")

    assert answer.status_code == 200


def test_a_form_instead_of_json_is_told_what_to_send(api: API):
    answer = api.admin.post("/job/search", data={"limit": "1"})

    assert answer.status_code == 412
    assert "application/json" in first_message(answer)["message"]


def test_what_the_database_cannot_hold_answers_412(api: API):
    answer = api.admin.post(
        "/job",
        content=f'{{"sampleSha256": "{api.upload()}", "options": {{"a": NaN}}}}',
    )

    assert answer.status_code == 412, answer.text


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=-1", "limit"),
        ("limit=100001", "limit"),
        ("limit=x", "limit"),
        ("offset=-1", "offset"),
        ("offset=9223372036854775808", "offset"),
        ("sortBy=nonsense", "sortBy"),
        ("sortBy=state&sortBy=--state", "sortBy"),
        ("state=finished", "state.0"),
    ],
)
def test_a_query_that_is_off_answers_412_and_names_the_parameter(
    api: API, query: str, field: str
):
    answer = api.admin.get(f"/job?{query}")

    assert answer.status_code == 412, answer.text
    assert first_message(answer)["field"] == field


def test_an_unforeseen_error_is_logged_once_and_shows_nothing_of_the_inside():
    app = FastAPI()
    api_errors.install(app)
    app.add_middleware(Surroundings)

    @app.get("/")
    def fail() -> None:
        raise RuntimeError("a secret of the inside")

    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://t"
        ) as client:
            return await client.get("/")

    with structlog.testing.capture_logs() as logs:
        answer = asyncio.run(call())

    assert answer.status_code == answer.json()["responseCode"] == 500
    assert set(answer.json()) == ENVELOPE
    assert "secret" not in answer.text
    assert [entry["event"] for entry in logs] == ["request.failed"]


def test_every_route_documents_its_errors(api_services: Services):
    paths = create_app(api_services).openapi()["paths"]

    for path, operations in paths.items():
        if path.startswith("/health"):
            continue
        for operation in operations.values():
            assert {"401", "404", "412", "500", "503"} <= set(operation["responses"])
            # Only challenges have one; FastAPI would add its own everywhere.
            is_challenge = path.endswith("/challenge")
            assert ("422" in operation["responses"]) is is_challenge
            assert operation["description"], path


def test_the_documentation_is_served_and_asks_nobody_else(api: API):
    page = api.bare.get("/docs").text

    assert "Assay" in page
    needed = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert needed
    for address in needed:
        assert address.startswith("/"), address
        assert api.bare.get(address).status_code == 200, address
    assert "://" not in page.replace("http://www.w3.org/", "")
    assert api.bare.get("/openapi.json").json()["info"]["title"] == "Assay"


_TAG = {"type": "family", "value": "b"}
_OPTIONS = [{"key": str(number), "value": ""} for number in range(101)]


def _nested(levels: int) -> Any:
    return json.loads("[" * levels + "]" * levels)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/job/search", {"customer": ["\ud800"]}),
        ("/job/search", {"sortBy": ["\ud800"]}),
        ("/job", {"fileName": "inv\ud83d.doc"}),
        ("/job", {"idempotencyKey": "\ud800"}),
        ("/job", {"options": {"a": ["\ud800"]}}),
        ("/job", {"options": {"\ud800": 1}}),
        ("/sample/{sample}/analysis", {"analysisResult": {"a": "\ud800"}}),
        ("/sample/{sample}/analysis", {"analysisResult": {"\ud800": 1}}),
        ("/policy/default/rule", {"name": "\ud800"}),
        ("/worker", {"schema": {"title": "\ud800"}}),
        ("/job/search", {"sampleSha256": ["0" * 64] * 1001}),
        ("/job/search", {"state": ["done"] * 1001}),
        ("/job", {"workers": ["w"] * 1001}),
        ("/job", {"options": {"a": "x" * 16_384}}),
        ("/job", {"options": {"a": _nested(102)}}),
        ("/job", {"options": {"a": _nested(115)}}),
        ("/job", {"options": {"a": [math.nan]}}),
        ("/job", {"options": {"a": {"b": math.inf}}}),
        ("/job", {"sample_sha256": "0" * 64}),
        ("/sample/{sample}/analysis", {"analysisResult": _nested(102)}),
        ("/sample/{sample}/analysis", {"analysisResult": {"a": -math.inf}}),
        ("/sample/{sample}/analysis", {"tags": [_TAG] * 10_001}),
        ("/worker", {"schema": {"const": _nested(102)}}),
        ("/worker", {"shortName": ".."}),
        (
            "/policy/default/rule",
            {"action": {"options": {"add": _OPTIONS}}},
        ),
        ("/sample/{sample}/analysis", {"acl": ["a"] * 1001}),
    ],
)
def test_what_can_not_be_stored_or_is_too_much_is_named(
    api: API, path: str, body: dict[str, Any]
):
    sha256 = api.upload()
    wholes: dict[str, dict[str, Any]] = {
        "/job": {"sampleSha256": sha256},
        "/sample/{sample}/analysis": {
            "customer": "default",
            "userAgent": {"name": "a", "version": "1"},
            "tlp": "amber",
            "analysisScore": 1,
        },
    }
    whole = wholes.get(path, {})
    before = api.counts()

    # As clients write it: half of a pair goes as an escape.
    answer = api.admin.post(
        path.format(sample=sha256),
        content=json.dumps(whole | body),
        headers={"Content-Type": "application/json"},
    )

    (name,) = body
    assert answer.status_code == 412, answer.text
    assert len(answer.text) < 2000
    fields = [str(message["field"]) for message in answer.json()["messages"]]
    assert any(field.startswith(name) for field in fields), answer.text
    assert api.counts() == before


def test_what_is_nested_as_deep_as_it_may_comes_back(api: API):
    sha256, deep = api.upload(), _nested(98)
    order = {"sampleSha256": sha256, "options": {"deep": deep}}
    worker = api.add_worker()

    job = api.admin.post("/job", json=order | {"workers": [worker]}).json()["data"]
    analysis = api.admin.post(
        f"/sample/{sha256}/analysis",
        json={
            "customer": "default",
            "userAgent": {"name": "a", "version": "1"},
            "tlp": "amber",
            "analysisScore": 1,
            "analysisResult": deep,
        },
    )

    (task,) = api.tasks(job["id"])
    assert task["options"] == {"deep": deep}
    assert analysis.json()["data"]["analysisResult"] == deep
    assert api.admin.put(f"/job/{job['id']}/cancel").status_code == 200


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"limit": 1, "limit": 2}', "the key 'limit' comes twice"),
        (b'{"a": {"\\ud800": 1, "\\ud800": 2}}', "the key '\\ud800' comes twice"),
        ("{}".encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbf{}", "BOM"),
    ],
)
def test_json_is_in_utf_8_and_says_nothing_twice(api: API, content: bytes, said: str):
    answer = api.admin.post(
        "/job/search", content=content, headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 412
    assert first_message(answer)["field"] == "body"
    assert said in first_message(answer)["message"]


def test_of_very_many_mistakes_the_first_are_named(api: API):
    answer = api.admin.post("/job/search", json={f"field{n}": 1 for n in range(100)})

    messages = answer.json()["messages"]
    assert answer.status_code == 412
    assert len(messages) == 101
    assert messages[0]["field"] == "field0"
    assert messages[-1]["message"] == "and perhaps more than these 100"
