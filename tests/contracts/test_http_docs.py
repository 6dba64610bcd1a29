"""
The pages of ``docs/http`` against the API: they have every operation, and every example
is sent and answered as it is shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from orchestrator.api.app import create_app
from orchestrator.api.deps import SAMPLEDB_PREFIX, Services, role_of
from orchestrator.domain.values import Role
from tests.fixtures.api import API, open_services, run_api
from tests.fixtures.http_pages import (
    FOLDER,
    Example,
    Page,
    Request,
    Snippet,
    Values,
    complaints,
    read_pages,
)

PAGES = read_pages()

#: The file of the examples, as the index describes it.
HELLO = b"#!/bin/sh\n" + b"".join(b"echo hello %d\n" % n for n in range(1, 501))

#: Of every list; the index has them.
PAGING = {"limit", "offset", "sortBy"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@dataclass(frozen=True, kw_only=True)
class Document:
    """
    What the API says of itself.

    ``operations``: {"GET /path": as OpenAPI has it}; ``roles``: the role that each one
    needs, hidden ones too; ``schemas``: by name.
    """

    operations: Mapping[str, Mapping[str, Any]]
    schemas: Mapping[str, Mapping[str, Any]]
    roles: Mapping[str, Role | None]

    def inputs(self, operation: str) -> set[str]:
        """Return the parameters of the query and the fields of the body."""
        described = self.operations[operation]
        asked = described.get("parameters", [])
        names = {
            str(parameter["name"]) for parameter in asked if parameter["in"] == "query"
        }
        body = described.get("requestBody", {}).get("content", {})
        if "application/json" not in body:
            return names
        schema = body["application/json"]["schema"]["$ref"].rpartition("/")[2]
        return names | set(self.schemas[schema]["properties"])


@pytest.fixture
def own_api(fresh_database_url: str, tmp_path: Path) -> Iterator[API]:
    """An API with a database of its own: answers show all that is there."""
    folder = tmp_path / "store"
    with (
        open_services(fresh_database_url, folder) as services,
        run_api(services, folder) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def document(api_services: Services) -> Document:
    """Return what the API says of itself."""
    app = create_app(api_services)
    return Document(
        operations={
            f"{method.upper()} {path}": operation
            for path, methods in app.openapi()["paths"].items()
            for method, operation in methods.items()
        },
        schemas=app.openapi()["components"]["schemas"],
        roles={
            f"{method} {context.path}": role_of(context.original_route)
            for context in iter_route_contexts(app.routes)
            if isinstance(context.original_route, APIRoute)
            for method in context.methods or ()
        },
    )


def test_every_operation_is_on_one_page_with_its_role(document: Document):
    described = [pair for page in PAGES for pair in page.operations]

    assert sorted(described) == [
        (operation, str(document.roles[operation]))
        for operation in sorted(document.operations)
        if document.roles[operation] is not None
    ]


def test_every_operation_of_the_contract_needs_a_role(document: Document):
    """The pages have those that need one."""
    assert [
        operation
        for operation in document.operations
        if SAMPLEDB_PREFIX in operation and document.roles[operation] is None
    ] == []


@each_page
def test_a_page_names_no_operation_that_is_not_there(document: Document, page: Page):
    assert page.named - document.operations.keys() == set()


@each_page
def test_a_page_has_every_parameter_and_field_that_can_be_sent(
    document: Document, page: Page
):
    missing = [
        f"{operation}: {name}"
        for operation, _ in page.operations
        for name in document.inputs(operation) - PAGING
        if not re.search(rf"[`\"?&]{name}[`\"=]", page.text)
    ]

    assert missing == []


@each_page
def test_the_index_links_every_page(page: Page):
    index = (FOLDER / "README.md").read_text()

    assert page.name == "README.md" or f"({page.name})" in index


@each_page
def test_every_example_is_answered_as_it_is_shown(
    own_api: API,
    document: Document,
    page: Page,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    Path("hello.sh").write_bytes(HELLO)
    _die_of_hello(own_api, page)
    values: Values = {f"{role.upper()}_KEY": own_api.key(role) for role in Role}
    values |= {"ASSAY_API_URL": own_api.url}

    lists = [
        operation
        for operation, _ in page.operations
        if "sortBy" in document.inputs(operation)
    ]
    statuses: dict[str, set[int]] = {}
    for step in page.steps():
        if isinstance(step, Snippet):
            exec(step.code, values)  # noqa: S102  (a page of ours)
            continue
        _hear_a_replica(own_api, step)
        operation = _operation(document, step, values)
        role = document.roles[operation] or Role.VIEWER
        values["ASSAY_API_KEY"] = own_api.key(role)
        answer = _send(own_api.bare, step, values)
        wrong = list(_wrong(step, answer, values))
        assert wrong == [], f"{step.command}\n{answer.text}"
        statuses.setdefault(operation, set()).add(answer.status_code)
        if operation in lists and answer.status_code == 200:
            assert _orders(own_api.bare, step.request(values)) <= page.words

    for operation, _ in page.operations:
        assert min(statuses.get(operation, {600})) < 300, f"no example of {operation}"
    assert max(set().union(*statuses.values())) >= 400, "no example of a refusal"


def _hear_a_replica(api: API, step: Example) -> None:
    if "/replica" in step.command:
        api.run(
            "INSERT INTO replica (id, worker_id, version, slots, sequence, seen_at)"
            " SELECT 'length-5f2c91aa@host7', id, '1', 4, 1, now() FROM worker"
            " WHERE short_name = 'length' ON CONFLICT (id) DO NOTHING"
        )


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ('{"a": 1}', {"a": 2}),
        ('{"a": 1}', {"a": True}),
        ('{"a": 1}', {"a": 1, "b": 2}),
        ('{"a": 1, "b": null, …}', {"a": 1}),
        ('{"a": "so it st…"}', {"a": "it starts so"}),
        ('{"a": "$JOB"}', {"a": "another one"}),
        ('{"a": $JOB, "b": "of $JOB"}', {"a": "the job", "b": "of another one"}),
        ('{"startTimestamp": 1}', {"startTimestamp": None}),
        ('{"startTimestamp": null}', {"startTimestamp": 1}),
        ("[1, 2]", [1]),
        ("[1]", [1, 2]),
        ("[1, 2, …]", [1]),
        ("[]", {}),
    ],
)
def test_a_page_that_says_what_is_not_so_is_noticed(shown: str, real: object):
    example = Example(command="", given="", answer=shown)

    assert list(complaints(example.shown(), real, {"JOB": "the job"})) != []


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ('{"a": "…", "b": …, …}', {"a": 1, "b": [], "c": 2}),
        ('{"a": "of $JOB: …"}', {"a": "of the job: it is over"}),
        ('{"a": [1, …], "endTimestamp": 1}', {"a": [1, 2, 3], "endTimestamp": 2}),
        ('{"a": $NEW, "b": {"c": "$NEW"}}', {"a": 7, "b": {"c": 7}}),
    ],
)
def test_what_a_page_leaves_open_may_be_anything(shown: str, real: dict[str, Any]):
    example = Example(command="", given="", answer=shown)

    assert list(complaints(example.shown(), real, {"JOB": "the job"})) == []


def test_an_option_that_nobody_checks_is_noticed():
    example = Example(command="curl -sS --compressed $URL", given="", answer="{}")

    with pytest.raises(SystemExit):
        example.request({"URL": "http://127.0.0.1/"})


def _die_of_hello(api: API, page: Page) -> None:
    # The only thing on the pages that no request brings about.
    if page.name != "operations.md":
        return
    sha256, worker = api.upload(HELLO), api.add_worker("yara")
    api.run(
        "INSERT INTO poison (sample_sha256, worker_id, version, deaths, first_at,"
        " last_at, poisoned_at) SELECT :sha256, id, '4', 3, now(), now(), now()"
        " FROM worker WHERE short_name = :worker",
        sha256=sha256,
        worker=worker,
    )


def _operation(document: Document, step: Example, values: Values) -> str:
    request = step.request({"ASSAY_API_KEY": "", **values})
    wanted = f"{request.method} {urlsplit(request.url).path}"
    fitting = [
        operation
        for operation in document.operations
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", operation), wanted)
    ]
    assert fitting, f"there is no operation {wanted}"
    return min(fitting, key=lambda operation: operation.count("{"))


def _send(http: httpx.Client, step: Example, values: Values) -> httpx.Response:
    request = step.request(values)
    with http.stream(
        request.method, request.url, headers=request.headers, content=request.content
    ) as answer:
        if request.is_endless:
            # No more than the first that comes is shown.
            answer._content = next(answer.iter_bytes())
        else:
            answer.read()
    if request.output is not None:
        Path(request.output).write_bytes(answer.content)
    return answer


def _orders(http: httpx.Client, request: Request) -> set[str]:
    """Return by what a list can be sorted, as the API says to who names another."""
    url = httpx.URL(request.url).copy_add_param("sortBy", "other")
    content = request.content
    if content is not None:
        content = json.dumps({**json.loads(content), "sortBy": "other"}).encode()
    answer = http.request(request.method, url, headers=request.headers, content=content)
    message = str(answer.json()["messages"][0]["message"])
    return set(message.rpartition(" by one of ")[2].split(", "))


def _wrong(step: Example, answer: httpx.Response, values: Values) -> Iterator[str]:
    if step.request(values).output is not None:
        assert step.answer == "", "nothing is shown of what goes to a file"
        assert answer.status_code == 200
        return
    real, shown = answer.json(), step.shown()
    # Only so does a page show the status.
    assert ("responseCode" in real) is ("responseCode" in shown)
    assert real.get("responseCode", 200) == answer.status_code
    yield from complaints(shown, real, values)
