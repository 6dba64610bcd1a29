"""
Runs the process that calls webhooks.
"""

from __future__ import annotations

from orchestrator.api.events.resources import tell
from orchestrator.bootstrap.ending import stop_signal
from orchestrator.bootstrap.services import Services
from orchestrator.config import Settings
from orchestrator.deliver.process import AT_ONCE, Deliverer
from orchestrator.deliver.sender import Sender


def run_deliverer(settings: Settings) -> None:
    """Deliver until stopped."""
    services = Services(settings)
    sender = Sender(
        allowed=settings.webhook_calls(), at_once=AT_ONCE, ca_certs=settings.ca_certs
    )
    deliverer = Deliverer(services.database, sender, tell=tell, keys=settings.keys())
    deliverer.run(stop_signal())
