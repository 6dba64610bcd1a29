"""
Logging in to the console: whose session it is, how long it counts, and for what.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from orchestrator.catalog.keys import KeyOrder, create_key
from orchestrator.domain.limits import Retention
from orchestrator.domain.values import Actor, Role
from orchestrator.flow.prune import prune
from tests.fixtures.api import API, open_services, run_api
from tests.fixtures.console import log_in, send, text_of, visit, word_of
from tests.fixtures.stack import DatabaseServer


def _key(api: API, **limits: Any) -> str:
    order = KeyOrder(user_name="visitor", role=Role.ADMINISTRATOR, **limits)
    with api.services.database.uow() as tx:
        return create_key(tx, order, actor=Actor("test")).secret


def test_a_session_is_a_cookie_for_pages_alone(api: API):
    with visit(api) as browser:
        answer = log_in(browser, api.key(Role.VIEWER))

        (cookie,) = [
            line
            for line in answer.headers.get_list("Set-Cookie")
            if line.startswith("assay-session=")
        ]
        assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
        assert browser.get("/").status_code == 200
        assert browser.get("/sampledb/v2/job").status_code == 401
    only_key = api.bare.get("/", headers={"Argus-API-Key": api.key(Role.VIEWER)})
    assert (only_key.status_code, only_key.headers["Location"]) == (303, "/login")


async def _behind_tls(api: API) -> httpx.Response:
    transport = httpx.ASGITransport(app=api.app)
    async with httpx.AsyncClient(
        transport=transport, base_url="https://assay.example"
    ) as browser:
        return await browser.get("/login")


def test_behind_tls_cookies_travel_by_tls_alone(api: API):
    answer = asyncio.run(_behind_tls(api))

    assert "Secure" in answer.headers["Set-Cookie"].split("; ")


def test_who_is_not_logged_in_is_led_back_after_the_login(api: API):
    with visit(api) as browser:
        led = browser.get("/?state=done&state=timeout")
        answer = log_in(
            browser, api.key(Role.VIEWER), next="/?state=done&state=timeout"
        )

    assert led.headers["Location"] == (
        "/login?next=%2F%3Fstate%3Ddone%26state%3Dtimeout"
    )
    assert answer.headers["Location"] == "/?state=done&state=timeout"
    assert led.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "elsewhere", ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/x"]
)
def test_the_login_leads_to_no_other_host(api: API, elsewhere: str):
    with visit(api) as browser:
        answer = log_in(browser, api.key(Role.VIEWER), next=elsewhere)

    assert answer.headers["Location"] == "/"


def test_a_wrong_key_is_told_and_written_down(api: API):
    wrong = api.key(Role.VIEWER)[:-4] + "AAAA"

    with visit(api) as browser:
        answer = log_in(browser, wrong)

    assert answer.status_code == 401
    assert "the API key is unknown" in text_of(answer.text)
    assert wrong not in answer.text
    row = api.run(
        "SELECT detail->>'reason' FROM audit WHERE action = 'login.fail'"
        " ORDER BY id DESC LIMIT 1"
    )
    assert row[0] == "wrong secret"


def test_nobody_logs_in_by_a_form_from_elsewhere(api: API):
    with visit(api) as browser:
        browser.get("/login")
        answer = browser.post(
            "/login", data={"csrf": "guessed", "key": api.key(Role.VIEWER)}
        )

    assert answer.status_code == 403


def test_a_session_ends_with_the_logout_and_no_sooner_by_another_site(api: API):
    with visit(api, api.key(Role.VIEWER)) as browser:
        token = browser.cookies["assay-session"]
        forged = browser.post("/logout", data={"csrf": "guessed"})
        assert (forged.status_code, browser.get("/").status_code) == (403, 200)

        assert send(browser, "/logout").headers["Location"] == "/login"

        browser.cookies.set("assay-session", token)
        assert browser.get("/").status_code == 303


def test_a_session_ends_with_its_key(api: API):
    key = _key(api)
    with visit(api, key) as browser:
        api.run(
            "UPDATE api_key SET revoked_at = now() WHERE prefix = :p",
            p=key.split("_")[1],
        )
        answer = browser.get("/")

    assert answer.status_code == 401
    assert "the API key has been revoked" in text_of(answer.text)


def test_a_session_does_not_outlive_its_key_nor_half_a_day(api: API):
    key = _key(api, lifetime=timedelta(hours=1))
    with visit(api, key) as short, visit(api, api.key(Role.VIEWER)) as long:
        left = api.run(
            "SELECT min(expires_at - now()), max(expires_at - now())"
            " FROM console_session WHERE expires_at > now()"
        )
        assert left[0] <= timedelta(hours=1)
        assert timedelta(hours=11) < left[1] <= timedelta(hours=12)

        api.run("UPDATE console_session SET expires_at = now() - interval '2 days'")

        assert short.get("/").headers["Location"] == "/login"
        assert long.post("/logout").status_code == 401
    prune(api.services.database, Retention())
    assert api.run("SELECT count(*) FROM console_session")[0] == 0


def test_a_key_counts_from_its_networks_alone(api: API):
    with visit(api) as browser:
        answer = log_in(browser, _key(api, networks=["10.9.0.0/16"]))

    assert answer.status_code == 401
    assert "is not valid from 127.0.0.1" in text_of(answer.text)


def test_every_page_is_read_by_get_and_head_and_says_what_a_browser_may_do(api: API):
    with visit(api, api.key(Role.ADMINISTRATOR)) as browser:
        for path in _plain_paths(api):
            for method in ("GET", "HEAD"):
                answer = browser.request(method, path)
                assert answer.status_code in {200, 412}, (method, path)
                policy = answer.headers["Content-Security-Policy"]
                assert "unsafe" not in policy
                assert policy.startswith("default-src 'none'; script-src 'self'")
                assert answer.headers["Cache-Control"] == "no-store"
                assert answer.headers["Referrer-Policy"] == "no-referrer"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert (
            browser.head("/stream")
            .headers["Content-Type"]
            .startswith("text/event-stream")
        )


def _plain_paths(api: API) -> list[str]:
    found = [
        context.path
        for context in iter_route_contexts(api.app.routes)
        if isinstance(context.original_route, APIRoute)
        and context.original_route.endpoint.__module__.startswith(
            "orchestrator.console"
        )
        and "GET" in (context.methods or ())
        and "{" not in (context.path or "")
    ]
    assert {"/", "/login", "/stream"} <= set(found)
    return [path for path in found if path is not None and path != "/stream"]


def test_who_asks_for_no_page_that_there_is_sees_one_that_says_so(api: API):
    for_people = {"Accept": "text/html"}
    with visit(api, api.key(Role.VIEWER)) as browser:
        answer = browser.get("/nowhere", headers=for_people)
        program = browser.get("/sampledb/v2/nowhere", headers=for_people)

    assert answer.status_code == 404
    assert 'aria-label="Parts of the console"' in answer.text
    assert program.json()["responseCode"] == 404


def test_a_database_that_is_away_is_said_on_a_page(
    database_server: DatabaseServer, tmp_path: Path
):
    name = database_server.create()
    url = database_server.url_of(name)
    with (
        open_services(url, tmp_path) as services,
        run_api(services, tmp_path) as own,
        visit(own, own.key(Role.VIEWER)) as browser,
    ):
        database_server.drop(name)
        answer = browser.get("/")
        at_login = log_in(browser, own.key(Role.VIEWER))

    assert (answer.status_code, at_login.status_code) == (503, 503)
    assert answer.headers["Retry-After"] == "1"
    assert "the database did not answer; nothing was done, try again" in text_of(
        answer.text
    )


def test_a_form_is_a_form_and_no_larger_than_one(api: API):
    with visit(api, api.key(Role.VIEWER)) as browser:
        word = word_of(browser.get("/").text)
        typed = browser.post("/logout", json={"csrf": word})
        large = browser.post("/logout", data={"csrf": word, "x": "x" * 300_000})

        assert (typed.status_code, large.status_code) == (412, 413)
        assert browser.get("/").status_code == 200
