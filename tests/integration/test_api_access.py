"""
Who may do what: every role on every endpoint, and keys that are no longer good.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI

from orchestrator.api.app import create_app
from orchestrator.api.deps import Services
from orchestrator.catalog import keys
from orchestrator.catalog.keys import IssuedKey, KeyOrder
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import InvalidError, NotFoundError
from orchestrator.domain.values import Actor, Role
from tests.fixtures.api import API, ask, first_message
from tests.fixtures.operations import ROLES

#: Routes without a key: health, and what the token of an attempt opens.
_OPEN = re.compile(r"\w+ /(health|internal)/.*")


def _operations(app: FastAPI) -> set[str]:
    return {
        f"{method.upper()} {path}"
        for path, operations in app.openapi()["paths"].items()
        for method in operations
    }


def test_the_table_of_roles_names_every_endpoint_and_no_other(api_services: Services):
    found = {
        operation
        for operation in _operations(create_app(api_services))
        if not _OPEN.match(operation)
    }

    assert found == set(ROLES)


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("operation", ROLES)
def test_a_role_may_call_exactly_what_the_table_says(
    api: API, operation: str, role: Role
):
    method, template = operation.split()
    path = re.sub(r"\{(\w+ID|id)\}", str(uuid4()), template)
    path = path.replace("{sha256}", "0" * 64).replace("{idOrShortName}", "nobody")
    path = path.replace("{replica}", "nobody").replace("{verb}", "retry")
    before = api.counts()

    # A body that is no JSON: who is let in is told so, who is not is not even read.
    answer = ask(
        api.bare,
        method,
        path,
        content=b"" if operation.endswith("/sample") else b"{",
        headers={"Argus-API-Key": api.key(role)},
    )

    if role.includes(ROLES[operation]):
        assert answer.status_code not in {401, 403}, answer.text
    else:
        assert answer.status_code == answer.json()["responseCode"] == 403
        assert role in first_message(answer)["message"]
        assert api.counts() == before


@pytest.mark.parametrize("operation", ROLES)
def test_nobody_gets_in_without_a_key(api: API, operation: str):
    method, path = operation.split()

    answer = api.bare.request(method, path, content=b"{")

    assert answer.status_code == answer.json()["responseCode"] == 401
    assert "Argus-API-Key" in first_message(answer)["message"]


def _issue(tx: Transaction, user: str, role: Role, **more: Any) -> IssuedKey:
    return keys.create_key(
        tx, KeyOrder(user_name=user, role=role, **more), actor=Actor("test")
    )


def test_a_key_is_known_by_its_session(api: API):
    answer = api.bare.get(
        "/authentication/v1/session", headers={"argus-api-key": api.key(Role.VIEWER)}
    )

    assert answer.status_code == 200
    assert answer.json()["data"]["role"] == "viewer"


@pytest.mark.parametrize("state", ["malformed", "unknown", "revoked", "expired"])
def test_a_key_that_is_not_good_answers_401_and_says_which(api: API, state: str):
    with api.services.database.uow() as tx:
        expired = timedelta(seconds=-1) if state == "expired" else None
        issued = _issue(tx, "leaver", Role.USER, lifetime=expired)
        if state == "revoked":
            keys.revoke_key(tx, issued.prefix, actor=Actor("test"))
    shown = {
        "malformed": "1/2/secret",
        "unknown": issued.secret[:-6] + "AAAAAA",
    }.get(state, issued.secret)

    answer = api.bare.get("/sampledb/v2/job", headers={"Argus-API-Key": shown})

    assert answer.status_code == 401
    assert state in first_message(answer)["message"]
    assert shown not in answer.text


def test_no_secret_is_stored(api: API):
    with api.services.database.uow() as tx:
        issued = _issue(tx, "keeper", Role.VIEWER)

    row = api.run("SELECT * FROM api_key WHERE prefix = :p", p=issued.prefix)

    assert re.fullmatch(r"assay_[0-9a-f]{8}_[A-Za-z0-9_-]{43}", issued.secret)
    assert issued.secret.split("_", 2)[2] not in repr(row)


def test_a_user_keeps_the_role_it_has(api: API):
    with api.services.database.uow() as tx:
        _issue(tx, "steady", Role.USER)

        with pytest.raises(InvalidError) as caught:
            _issue(tx, "steady", Role.ADMINISTRATOR)

    assert caught.value.field == "role"


def test_revoking_is_listed_and_the_first_time_stands(api: API):
    with api.services.database.uow() as tx:
        issued = _issue(tx, "brief", Role.USER, label="ci")
    for _ in range(2):
        with api.services.database.uow() as tx:
            keys.revoke_key(tx, issued.prefix, actor=Actor("test"))
    with api.services.database.uow() as tx:
        listed = {key.prefix: key for key in keys.list_keys(tx)}

    assert listed[issued.prefix].label == "ci"
    assert listed[issued.prefix].revoked_at is not None


def test_revoking_what_is_not_there_says_so(api: API):
    with (
        api.services.database.uow() as tx,
        pytest.raises(NotFoundError),
    ):
        keys.revoke_key(tx, "00000000", actor=Actor("test"))
