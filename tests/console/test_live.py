"""
What moves on a page while somebody looks at it, in a real browser.
"""

from __future__ import annotations

from uuid import UUID

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from orchestrator.domain.values import Role
from tests.fixtures.browser import Stage, Visit, open_window
from tests.fixtures.waiting import PATIENCE_SECONDS, eventually

expect.set_options(timeout=PATIENCE_SECONDS * 1_000)


@pytest.fixture(autouse=True)
def a_worker(stage: Stage) -> None:
    """One worker, whose replica the test plays."""
    if not stage.rig.secrets:
        stage.rig.worker("alpha")


def _order(stage: Stage, name: str) -> UUID:
    return stage.rig.job(name.encode(), file_name=name)


def _run(stage: Stage, job_id: UUID, kind: str) -> None:
    stage.rig.heartbeat("alpha-1@host")
    stage.rig.dispatch()
    stage.rig.tell(stage.rig.task(job_id), kind)


def _mark(page: Page) -> None:
    page.evaluate("window.notReloaded = true")


def _is_same(page: Page) -> bool:
    return bool(page.evaluate("window.notReloaded === true"))


def _is_live(page: Page) -> None:
    expect(page.locator("#live")).to_have_attribute("data-state", "live")


def test_a_job_moves_without_reloading(stage: Stage, user: Visit):
    job = _order(stage, "moves")
    page = user.open(f"/jobs/{job}")
    _is_live(page)
    _mark(page)

    _run(stage, job, "executing")
    expect(page.locator("#waterfall")).to_contain_text("running for")
    _run(stage, job, "success")
    expect(page.locator("#head")).to_contain_text("done")
    expect(page.locator("#verdict-part")).to_contain_text("coverage 100 %")

    assert _is_same(page)


def test_what_came_before_the_stream_did_is_shown(stage: Stage, user: Visit):
    job = _order(stage, "early")
    held: list[Route] = []
    page = user.page
    page.route("**/stream?**", lambda route: held.append(route))  # noqa: PLW0108  (it looks at what it is given)
    with page.expect_request("**/stream?**"):
        user.open(f"/jobs/{job}")

    _run(stage, job, "success")
    assert "done" not in page.locator("#head").inner_text()
    held[0].continue_()

    expect(page.locator("#head")).to_contain_text("done")


def test_what_is_as_it_was_is_not_swapped(stage: Stage, user: Visit):
    job = _order(stage, "stays")
    page = user.open(f"/jobs/{job}")
    _is_live(page)
    page.evaluate("document.querySelector('#actions').kept = true")

    _run(stage, job, "executing")
    expect(page.locator("#waterfall")).to_contain_text("running for")

    assert page.evaluate("document.querySelector('#actions').kept") is True


def test_a_job_is_cancelled_and_another_retried_by_a_click(stage: Stage, user: Visit):
    first, second = _order(stage, "to cancel"), _order(stage, "to retry")
    user.open(f"/jobs/{first}").click("#cancel")
    expect(user.page.locator("#waterfall")).to_contain_text("cancelled")
    expect(user.page.locator("#cancel")).to_have_count(0)

    _run(stage, second, "failed")
    user.open(f"/jobs/{second}").click("#retry")
    expect(user.page.locator("#head")).to_contain_text("1 open task")

    assert stage.rig.task(first).state == "cancelled"
    assert stage.rig.task(second).attempt == 2


def test_a_viewer_is_offered_nothing_that_is_refused(browser: Browser, stage: Stage):
    job = _order(stage, "only looked at")
    with open_window(browser, stage, Role.VIEWER) as viewer:
        page = viewer.open(f"/jobs/{job}")
        expect(page.locator("#actions")).to_contain_text("A key of the role user may")
        assert page.locator("#actions form").count() == 0
        page = viewer.open("/jobs")
        assert page.locator("main form[method=post] button").count() == 0


def test_a_frozen_page_stands_still_and_says_what_came(stage: Stage, user: Visit):
    job = _order(stage, "frozen")
    page = user.open(f"/jobs/{job}")
    _is_live(page)
    page.click("#live")
    expect(page.locator("#live")).to_have_text("frozen")

    _run(stage, job, "success")
    expect(page.locator("#meanwhile")).to_contain_text("meanwhile")
    expect(page.locator("#head")).not_to_contain_text("done")

    page.click("#live")
    expect(page.locator("#head")).to_contain_text("done")
    expect(page.locator("#meanwhile")).to_have_text("")


def test_a_swap_keeps_what_is_open_ticked_and_in_focus(stage: Stage, user: Visit):
    first, second = _order(stage, "kept 1"), _order(stage, "kept 2")
    page = user.open("/jobs")
    _is_live(page)
    _mark(page)
    box = page.locator(f"input[name=job][value='{first}']")
    box.check()
    box.focus()
    row = page.locator("tr", has=page.locator(f"input[value='{second}']"))

    _run(stage, second, "success")
    expect(row).to_contain_text("done")

    expect(box).to_be_checked()
    expect(box).to_be_focused()
    assert _is_same(page)
    page = user.open(f"/jobs/{first}")
    _is_live(page)
    command = page.locator("#actions details").first
    command.locator("summary").click()
    _run(stage, first, "executing")
    expect(page.locator("#waterfall")).to_contain_text("running for")
    expect(command).to_have_attribute("open", "")


def test_a_hidden_tab_listens_to_nothing_and_catches_up(stage: Stage, user: Visit):
    job = _order(stage, "hidden")
    page = user.open(f"/jobs/{job}")
    _is_live(page)
    hub = stage.api.app.state.hub
    eventually(lambda: len(hub._listeners) == 1)

    _pretend(page, hidden=True)
    eventually(lambda: not hub._listeners)
    _run(stage, job, "success")
    assert "done" not in page.locator("#head").inner_text()

    _pretend(page, hidden=False)
    expect(page.locator("#head")).to_contain_text("done")


def _pretend(page: Page, *, hidden: bool) -> None:
    # No other tab covers one in a browser without windows.
    page.evaluate(
        "hidden => { Object.defineProperty(document, 'hidden',"
        " { configurable: true, get: () => hidden });"
        " document.dispatchEvent(new Event('visibilitychange')) }",
        hidden,
    )


def test_a_page_whose_session_ended_asks_for_the_key(browser: Browser, stage: Stage):
    job = _order(stage, "ended")
    with open_window(browser, stage, Role.USER, log_in=True) as visit:
        page = visit.open(f"/jobs/{job}")
        _is_live(page)
        stage.rig.execute(
            "DELETE FROM console_session"
            " WHERE created_at = (SELECT max(created_at) FROM console_session)"
        )

        _run(stage, job, "success")

        expect(page.locator("h1")).to_have_text("Log in")


def test_a_command_is_copied(stage: Stage, user: Visit):
    job = _order(stage, "copied")
    user.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = user.open(f"/jobs/{job}")
    card = page.locator("#actions details").first
    card.locator("summary").click()
    card.locator(".copy").first.click()

    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"assay job cancel {job}"
