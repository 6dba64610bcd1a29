"""
Addresses of this machine itself, which no proxy reaches for us.

``HTTP_PROXY`` and its kin are for what is elsewhere. A proxy that is asked for
127.0.0.1 asks itself, or refuses; not everybody who sets one sets ``NO_PROXY`` too.
"""

from __future__ import annotations

import socket
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

_NAMES = ("localhost", "127.0.0.1", "[::1]")


def is_loopback(host: str) -> bool:
    """Whether *host*, a name or an address, is this machine itself."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return _is_short_loopback(name)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    # Who connects to "any" connects to this machine.
    return address.is_loopback or address.is_unspecified


def direct_mounts(url: str) -> dict[str, None]:
    """Return what keeps an HTTP client of *url* from asking a proxy for loopback."""
    mounts = dict.fromkeys(f"all://{name}" for name in _NAMES)
    host = _host_of(url)
    if host is not None and is_loopback(host):
        mounts[f"all://[{host}]" if ":" in host else f"all://{host}"] = None
    return mounts


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        # Whoever uses the address says what is wrong with it.
        return None


def _is_short_loopback(name: str) -> bool:
    try:
        # 127.1, as the system reads it.
        return socket.inet_aton(name)[:1] == b"\x7f"
    except (OSError, ValueError):
        return False
