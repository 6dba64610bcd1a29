"""
Every page in a real browser: for everybody, whatever is in it, with script or without.
"""

from __future__ import annotations

from uuid import UUID

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, FilePayload, Page, expect

from orchestrator.domain.values import Role
from tests.fixtures.browser import NARROW, WIDE, Stage, Visit, open_window
from tests.fixtures.rounds import only_long

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}\u202egpj.exe"
LONG = "n" * 4_000
RTL = "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd.pdf"


@pytest.fixture(scope="module")
def jobs(stage: Stage) -> dict[str, UUID]:
    """A job of each kind: open, ended, and with text that would like to be more."""
    rig = stage.rig
    rig.worker("alpha")
    rig.worker("beta")
    found = {}
    for name, text in (
        ("ended", "letter.docm"),
        ("hostile", HOSTILE),
        ("long", LONG),
        ("rtl", RTL),
        ("open", "waits.bin"),
    ):
        job = rig.job(name.encode(), file_name=text)
        found[name] = job
        if name == "open":
            continue
        rig.dispatch()
        alpha, beta = rig.task(job), rig.task(job, "beta")
        rig.tell(alpha, "executing")
        rig.tell(
            alpha,
            "success",
            message=text,
            analysis={
                "score": 75,
                "result": {text[:200]: [2**60, {"deep": [text, None, True]}]},
                "tags": [{"type": "family", "value": text[:200]}],
                "detections": [{"name": text[:200], "assessment": "malicious"}],
            },
        )
        rig.tell(beta, "failed", message=f"Traceback:\n  {text}")
    return found


def _paths(stage: Stage, job: UUID) -> list[str]:
    task = stage.rig.task(job).id
    return ["/", "/jobs", f"/jobs/{job}", f"/tasks/{task}", "/find?q=letter"]


def _operators_paths(stage: Stage) -> list[str]:
    """Return the pages of who looks after the service, with something on each."""
    sample = stage.rig.sample(b"ended")
    return [
        *("/samples", f"/samples/{sample}", "/workers", "/workers/alpha"),
        *("/failures", "/policy", "/admin/webhooks", "/admin/keys"),
        *("/admin/customers", "/admin/poison", "/admin/rejected", "/admin/audit"),
    ]


@pytest.mark.parametrize(
    ("size", "scheme"),
    [pytest.param(WIDE, "dark", marks=only_long), (NARROW, "light")],
)
def test_no_page_of_operators_keeps_anybody_out(
    browser: Browser,
    stage: Stage,
    jobs: dict[str, UUID],
    size: tuple[int, int],
    scheme: str,
):
    stage.rig.heartbeat("alpha-1@host")
    axe = Axe()
    with open_window(
        browser, stage, Role.ADMINISTRATOR, size=size, color_scheme=scheme
    ) as visit:
        for path in _operators_paths(stage):
            _check(axe, visit.open(path), size)


@pytest.mark.parametrize(
    ("size", "scheme"),
    [(WIDE, "dark"), pytest.param(NARROW, "light", marks=only_long)],
)
def test_no_page_keeps_anybody_out(
    browser: Browser,
    stage: Stage,
    jobs: dict[str, UUID],
    size: tuple[int, int],
    scheme: str,
):
    """axe-core's rules; and nothing is wider than the window, but what scrolls."""
    axe = Axe()
    paths = [*_paths(stage, jobs["ended"]), f"/jobs/{jobs['open']}", "/jobs/none"]
    with open_window(browser, stage, None, size=size, color_scheme=scheme) as visit:
        _check(axe, visit.open("/login"), size)
    with open_window(
        browser, stage, Role.USER, size=size, color_scheme=scheme
    ) as visit:
        for path in paths:
            _check(axe, visit.open(path), size)
        visit.open("/jobs")
        visit.page.locator("input[name=job]").first.check()
        visit.page.click("button[value=reanalyse]")
        expect(visit.page.locator("h1")).to_contain_text("Analyse again 1 job?")
        _check(axe, visit.page, size)


def _check(axe: Axe, page: Page, size: tuple[int, int]) -> None:
    found = axe.run(page)
    assert found.violations_count == 0, f"{page.url}\n{found.generate_report()}"
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0], page.url


@pytest.mark.parametrize("kind", ["hostile", "long", "rtl"])
def test_no_text_becomes_more_than_text(
    browser: Browser, stage: Stage, jobs: dict[str, UUID], kind: str
):
    """A dialog, a request elsewhere or a refused script would be a complaint."""
    with open_window(browser, stage, Role.USER, size=NARROW) as visit:
        for path in _paths(stage, jobs[kind]):
            page = visit.open(path)
            assert page.locator("script").count() == 1
            assert page.locator("main img, main iframe, main style").count() == 0
            assert "\u202e" not in page.content()
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= NARROW[0], path
        visit.page.locator("details").first.wait_for(state="attached")


def test_pages_work_without_script(
    browser: Browser, stage: Stage, jobs: dict[str, UUID]
):
    with open_window(
        browser, stage, Role.USER, log_in=True, java_script_enabled=False
    ) as visit:
        page = visit.open("/")
        page.click("text=Jobs")
        page.click(f"a[href='/jobs/{jobs['ended']}']")
        expect(page.locator("#verdict-part")).to_contain_text("malicious")
        page.click("#waterfall a >> text=beta")
        expect(page.locator("#messages")).to_contain_text("Traceback:")
        page.fill("#q", str(jobs["open"]))
        page.press("#q", "Enter")
        expect(page.locator("#facts")).to_contain_text("waits.bin")
        page = visit.open(f"/jobs/{stage.rig.job(b'to cancel')}")
        page.click("#cancel")
        expect(page.locator("#head")).to_contain_text("done")
        page.click("text=Log out")
        expect(page.locator("h1")).to_have_text("Log in")


def test_files_are_dropped_or_chosen_and_sent_with_progress(
    browser: Browser, stage: Stage
):
    with open_window(browser, stage, Role.ADMINISTRATOR) as visit:
        page = visit.open("/samples")
        chosen: list[FilePayload] = [
            {"name": f"{n}.bin", "mimeType": "x/y", "buffer": b"chosen %d" % n}
            for n in range(2)
        ]
        page.set_input_files("#file", chosen)
        page.click("text=Send >> nth=-1")
        expect(page.locator("h1")).to_contain_text("Job")
        expect(page.locator("#facts")).to_contain_text("1.bin")


def test_a_worker_is_paused_and_its_replica_drained(browser: Browser, stage: Stage):
    if not stage.rig.secrets:
        stage.rig.worker("alpha")
    stage.rig.heartbeat("alpha-1@host")
    with open_window(browser, stage, Role.ADMINISTRATOR) as visit:
        page = visit.open("/workers/alpha")
        page.click("#pause")
        expect(page.locator("#head")).to_contain_text("paused")
        page.click("#resume")
        expect(page.locator("#head")).not_to_contain_text("paused")
        page.click("#replica-1 button >> text=Drain")
        expect(page.locator("#replica-1")).to_contain_text("draining")
        page.click("#replica-1 button >> text=Let it work")
        expect(page.locator("#replica-1")).not_to_contain_text("draining")


def test_rows_are_ticked_and_changed_together(stage: Stage, user: Visit):
    if not stage.rig.secrets:
        # A job without tasks would be over at once.
        stage.rig.worker("alpha")
    ids = [stage.rig.job(name, file_name="ticked") for name in (b"t1", b"t2")]
    sha256 = stage.rig.sample(b"t1")
    page = user.open(f"/jobs?sample={sha256}")
    page.check(".tick-all")
    expect(page.locator(".ticked")).to_have_text("1 ticked")
    page.click("button[value=cancel]")
    expect(page.locator("h1")).to_have_text("Cancel 1 job?")
    page.click("button[name=sure]")
    expect(page.locator("h1")).to_have_text("1 of 1 cancelled")

    assert stage.rig.job_state(ids[0]) == "done"
    assert stage.rig.job_state(ids[1]) == "enqueued"


def test_a_keyboard_is_enough(stage: Stage, user: Visit, jobs: dict[str, UUID]):
    page = user.open("/jobs")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type(str(jobs["ended"]))
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("Job")
