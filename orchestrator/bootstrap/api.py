"""
Runs the HTTP API.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from types import FrameType

import structlog
import uvicorn
from typing_extensions import override

from orchestrator.api import deps
from orchestrator.api.app import create_app
from orchestrator.api.http.server import server_config
from orchestrator.bootstrap.services import Services
from orchestrator.classify import SecondOpinion
from orchestrator.config import Settings
from orchestrator.console import app as console
from orchestrator.contracts.ending import end_within

log = structlog.get_logger()

#: Threads of the API; each may hold one database connection.
_API_CONNECTIONS = 20

#: What the first upload is called shall not hang on when it comes; half a second is
#: usual. Who has to wait longer goes by our own rules.
_CLASSIFIER_SECONDS = 5.0


def run_api(settings: Settings) -> None:
    """Serve the HTTP API until stopped."""
    classifier = SecondOpinion()
    # While it loads what it needs, so do we.
    classifier.start()
    services = Services(settings, pool_size=_API_CONNECTIONS)
    app = create_app(
        deps.Services(
            database=services.database,
            store=services.store,
            engine=services.engine,
            classifier=classifier,
            webhook_networks=settings.webhook_calls(),
        )
    )
    console.install(app)
    server = _Server(
        server_config(
            app,
            host=settings.api_host,
            port=settings.api_port,
            trusted_proxies=settings.trusted_proxies,
        )
    )
    classifier.wait(_CLASSIFIER_SECONDS)
    # It has shut down in order, and says so once more.
    try:
        with suppress(KeyboardInterrupt):
            server.run()
    finally:
        app.state.hub.close()
        classifier.close()
    if not server.started:
        raise SystemExit(1)


class _Server(uvicorn.Server):
    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            log.info("api.started", url=url, console=f"{url}/", docs=f"{url}/docs")

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # It waits for threads, and they for the database.
        end_within()
        super().handle_exit(sig, frame)
