"""
Which ports of 127.0.0.1 a stack may have.
"""

from __future__ import annotations

import secrets
import socket
from contextlib import closing
from pathlib import Path

from orchestrator.domain.errors import ConfigurationError

#: Linux takes the near end of each outgoing connection from here.
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")

#: Below are those that services are known by.
_LOWEST = 10_000


def check_port(port: int, setting: str) -> None:
    """
    See that nobody has it: they would be taken for ours.

    Raises:
        ConfigurationError: Somebody has; it names *setting*.
    """
    try:
        _bind(port)
    except OSError as error:
        raise ConfigurationError(
            f"{setting}: {port}: {(error.strerror or 'taken').lower()}; set it to a"
            " free port, or to 0 for any",
            field=setting,
        ) from None


def free_port() -> int:
    """
    Return a port that nobody has now, and that no outgoing connection takes.

    A server that is killed comes back to its port: meanwhile its own clients, which
    try again and again, may not be given it.
    """
    known = _EPHEMERAL.exists()
    first_ephemeral = int(_EPHEMERAL.read_text().split()[0]) if known else 0
    ports = range(_LOWEST, first_ephemeral)
    for port in secrets.SystemRandom().sample(ports, min(len(ports), 100)):
        try:
            return _bind(port)
        except OSError:
            continue
    return _bind(0)


def kept_port(port: int | None) -> int | None:
    """Return a port that was ours the last time, unless somebody else has it now."""
    try:
        return _bind(port) if port else None
    except OSError:
        return None


def _bind(port: int) -> int:
    with closing(socket.socket()) as probe:
        # As servers do: what lingers of the last one's connections is nobody.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return int(probe.getsockname()[1])
