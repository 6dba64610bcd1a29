"""
Runs the HTTP API.
"""

from __future__ import annotations

from contextlib import suppress

import uvicorn

from orchestrator.api import deps
from orchestrator.api.app import create_app
from orchestrator.api.http.server import server_config
from orchestrator.bootstrap.services import Services
from orchestrator.config import Settings

#: Threads of the API; each may hold one database connection.
_API_CONNECTIONS = 20


def run_api(settings: Settings) -> None:
    """Serve the HTTP API until stopped."""
    services = Services(settings, pool_size=_API_CONNECTIONS)
    app = create_app(
        deps.Services(
            database=services.database, store=services.store, engine=services.engine
        )
    )
    server = uvicorn.Server(
        server_config(
            app,
            host=settings.api_host,
            port=settings.api_port,
            trusted_proxies=settings.trusted_proxies,
        )
    )
    # It has shut down in order, and says so once more.
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise SystemExit(1)
