"""
What ``assay doctor`` looks at around Assay: how it is reached, and the room it has.

Each check answers with findings; it prints nothing, and asks nobody but this machine.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from urllib.request import getproxies, proxy_bypass

from orchestrator.client.loopback import is_loopback
from orchestrator.config import Settings
from orchestrator.domain.errors import ConfigurationError
from orchestrator.embedded.places import places
from orchestrator.queries.diagnose import Finding, ok, warn
from orchestrator.store import folder_of

#: Of PostgreSQL's ``sslmode``, those with which nothing goes in the clear.
_ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})

_BROKERS_CLEAR = frozenset({"redis", "amqp"})

#: In a container a name without a dot is another container's, on a network of theirs.
_CONTAINER = Path("/.dockerenv")

#: Below either of them there is soon no room: a tenth, and what some samples take.
_FREE_SHARE = 0.1
_FREE_BYTES = 2 * 1024**3
_GIB = 1024**3


def check_links(settings: Settings) -> Iterator[Finding]:
    """Look for secrets and samples that travel in the clear, and for proxies."""
    yield from _tls(settings)
    if settings.api_url:
        yield _proxy(settings.api_url)


def _tls(settings: Settings) -> Iterator[Finding]:
    broker, database = settings.broker_url, settings.database_url
    clear = []
    if broker and _is_clear_broker(broker.get_secret_value()):
        clear.append(("broker", "rediss:// or amqps:// in ASSAY_BROKER_URL"))
    if database and _is_clear_database(database.get_secret_value()):
        clear.append(("database", "sslmode=verify-full in ASSAY_DATABASE_URL"))
    for what, remedy in clear:
        detail = f"the {what} is on another machine, and need not be spoken to by TLS"
        yield warn("tls", detail, f"write {remedy}: docs/operations/tls.md")
    if (broker or database) and not clear:
        yield ok("tls", "what leaves this machine is encrypted")


def _is_clear_broker(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in _BROKERS_CLEAR and _is_elsewhere(parts.hostname)
    except ValueError:
        # Another check says so.
        return False


def _is_clear_database(url: str) -> bool:
    try:
        parts = urlsplit(url)
        options = parse_qs(parts.query)
        host = parts.hostname or options.get("host", [""])[0]
        mode = options.get("sslmode", ["prefer"])[0]
        return mode not in _ENCRYPTED and _is_elsewhere(host)
    except ValueError:
        return False


def _is_elsewhere(host: str | None) -> bool:
    # Without one, or with a path, it is a socket.
    if not host or host.startswith("/") or is_loopback(host):
        return False
    return "." in host or not _CONTAINER.exists()


def _proxy(api_url: str) -> Finding:
    try:
        parts = urlsplit(api_url)
        host = parts.hostname or ""
    except ValueError:
        return ok("proxy", "is asked for nothing")
    proxies = getproxies()
    name = next((name for name in (parts.scheme, "all") if proxies.get(name)), None)
    if name is None or is_loopback(host) or proxy_bypass(host):
        return ok("proxy", "none is asked for ASSAY_API_URL")
    detail = f"{name.upper()}_PROXY is asked for ASSAY_API_URL by the command line"
    return warn("proxy", detail, f"where it does not reach that: NO_PROXY={host}")


def check_space(settings: Settings) -> Iterator[Finding]:
    """Look at the room on disks of this machine; of others it says nothing."""
    store = folder_of(settings.sample_store_url())
    if store is not None:
        yield from _space("samples", store)
    yield from _space("scratch", Path(tempfile.gettempdir()))
    database = _database_folder(settings)
    if database is not None:
        yield from _space("database", database)


def _database_folder(settings: Settings) -> Path | None:
    """Return where that of ``assay up`` is; others do not say it to everybody."""
    if not settings.database_url:
        return None
    try:
        found = places(settings.data_dir)
    except ConfigurationError:
        return None
    host = parse_qs(urlsplit(settings.database_url.get_secret_value()).query)
    return found.home if host.get("host") == [str(found.sockets)] else None


def _space(what: str, folder: Path) -> Iterator[Finding]:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        # It is not there yet, or closed to us: another check says so.
        return
    free = f"{usage.free / _GIB:.1f} GiB of {usage.total / _GIB:.1f} free at {folder}"
    if usage.free >= max(_FREE_BYTES, _FREE_SHARE * usage.total):
        yield ok(f"space {what}", free)
        return
    remedy = "make room, or let it be on a larger disk"
    yield warn(f"space {what}", free, remedy)
