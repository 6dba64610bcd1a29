"""
Makes a page of a template: what every page has, and how values are printed on it.

Nothing that is printed is ever a template or HTML, and no character of it does more
than be read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import PackageLoader, StrictUndefined, select_autoescape
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from orchestrator import __version__
from orchestrator.api.deps import Caller
from orchestrator.catalog.sessions import Session
from orchestrator.console import spelling
from orchestrator.domain.values import Role
from orchestrator.domain.words import shown

#: What a browser may do with a page: nothing from elsewhere, nothing that stands in it.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """
    A part of the console in the navigation, for who has the role; ``unlimited``: only
    if the key is for all customers.
    """

    title: str
    path: str
    role: Role
    unlimited: bool = False

    def is_for(self, caller: Caller) -> bool:
        """Whether somebody may see it."""
        is_limited = caller.viewer.customer_ids is not None
        return caller.role.includes(self.role) and not (self.unlimited and is_limited)

    def leads_to(self, path: str) -> bool:
        """Whether a page belongs to this part."""
        return path == self.path or (self.path != "/" and path.startswith(self.path))


NAV: Final = (
    Entry("Overview", "/", Role.VIEWER),
    Entry("Jobs", "/jobs", Role.VIEWER),
    Entry("Samples", "/samples", Role.VIEWER),
    Entry("Workers", "/workers", Role.VIEWER),
    Entry("Failures", "/failures", Role.VIEWER),
    Entry("Policy", "/policy", Role.ADMINISTRATOR),
    Entry("Webhooks", "/admin/webhooks", Role.USER),
    Entry("Admin", "/admin", Role.ADMINISTRATOR, unlimited=True),
)

#: Of each kind of thing, to what its id or name is added for its page.
_PAGES: Final[Mapping[str, str]] = {
    "job": "/jobs/",
    "task": "/tasks/",
    "sample": "/samples/",
    "worker": "/workers/",
    "replica": "/replicas/",
}

#: Pages that belong to a part under whose path they are not.
_HOME_OF: Final[Mapping[str, str]] = {"/tasks": "/jobs"}


def page(
    request: Request,
    template: str,
    *,
    now: datetime | None,
    status: int = HTTPStatus.OK,
    **values: Any,
) -> HTMLResponse:
    """
    Return a page.

    Args:
        now: The service's time, for the footer and for ages; ``None`` where nobody
            knows it.
        values: What the template shows.
    """
    caller: Caller | None = getattr(request.state, "caller", None)
    session: Session | None = getattr(request.state, "session", None)
    path = request.url.path
    home = next((to for of, to in _HOME_OF.items() if path.startswith(of)), path)
    text = _ENVIRONMENT.get_template(template).render(
        values,
        now=now,
        caller=caller,
        csrf=session.csrf if session is not None else "",
        nav=[entry for entry in NAV if caller and entry.is_for(caller)],
        here=next((entry.path for entry in NAV if entry.leads_to(home)), ""),
        path=path,
        # Of what was searched for last.
        asked=request.query_params.get("q", ""),
    )
    return HTMLResponse(text, status, headers=dict(HEADERS))


def where(kind: str, identity: object) -> str:
    """Return the page of a thing, by what kind of thing it is."""
    path, safe = _PAGES[kind], quote(str(identity), safe="")
    return f"{path}{safe}"


def _printed(value: object) -> object:
    # Markup is what this environment has escaped already.
    if isinstance(value, str) and not isinstance(value, Markup):
        return shown(value, keep="\n\t")
    return value


def _marks() -> dict[str, str]:
    """Return a mark of each static file, so that no browser shows an old one."""
    folder = files("orchestrator.console") / "static"
    return {
        each.name: hashlib.sha256(each.read_bytes()).hexdigest()[:12]
        for each in folder.iterdir()
    }


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=PackageLoader("orchestrator.console"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    marks = _marks()
    environment.globals["version"] = __version__
    environment.globals["where"] = where
    environment.globals["static"] = lambda name: f"/static/{name}?{marks[name]}"
    environment.filters.update(spelling.FILTERS)
    return environment


_ENVIRONMENT = _environment()
