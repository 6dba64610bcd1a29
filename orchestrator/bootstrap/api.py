"""
Runs the HTTP API.
"""

from __future__ import annotations

import uvicorn

from orchestrator.api import deps
from orchestrator.api.app import create_app
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
    uvicorn.run(
        app,
        host=settings.api_host,
        port=settings.api_port,
        log_config=None,
        access_log=False,
        # Whoever can forge an address passes for one of a key's networks.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=5,
    )
