"""
Failed logins, as rows of the audit: few of them, however many there are.

What is counted stands in the memory of one process. A login that succeeds leaves none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from orchestrator.db import audit
from orchestrator.db.audit import Action
from orchestrator.db.unit_of_work import Database
from orchestrator.domain.errors import AuthenticationError
from orchestrator.domain.values import Actor

#: Seconds for which logins that fail alike share a row.
WINDOW_SECONDS = 600.0

#: Rows within that time, of one process, and one for all the rest: a flood from any
#: number of addresses adds some three thousand a day.
ROWS_MAX = 20

#: A provider gives a customer so many bits of addresses, any of which it may use.
_IPV6_BITS = 64

_NOBODY = "nobody"
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class _Kind:
    """What logins have in common; ``key``: the prefix of one that there is."""

    key: str
    address: str | None
    reason: str


_OTHERS = _Kind(_UNKNOWN, None, "others")


@dataclass(slots=True)
class _Count:
    times: int = 0
    row_id: int | None = None


class FailedLogins:
    """
    Counts failed logins, from any number of threads.

    A row is written at the first of a kind, and again when there are twice as many: so
    it says how often it was at least.

    Args:
        clock: Seconds, that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._begun = clock()
        self._counts: dict[_Kind, _Count] = {}

    def note(
        self, database: Database, refused: AuthenticationError, *, address: str | None
    ) -> None:
        """Count one in which a key came; write it down if it is time."""
        if refused.reason is None:
            return
        kind = _Kind(refused.prefix or _UNKNOWN, _network(address), refused.reason)
        with self._lock:
            kind, count = self._counted(kind)
            if count.times & (count.times - 1):
                return
            with database.uow() as tx:
                detail = {"reason": kind.reason, "times": count.times}
                if count.row_id is None:
                    actor = Actor(_NOBODY, kind.address)
                    count.row_id = audit.record(
                        tx, actor, Action.LOGIN_FAIL, kind.key, detail
                    )
                else:
                    audit.amend(tx, count.row_id, detail)

    def _counted(self, kind: _Kind) -> tuple[_Kind, _Count]:
        now = self._clock()
        if now - self._begun >= WINDOW_SECONDS:
            self._begun = now
            self._counts.clear()
        if kind not in self._counts and len(self._counts) >= ROWS_MAX:
            kind = _OTHERS
        count = self._counts.setdefault(kind, _Count())
        count.times += 1
        return kind, count


def _network(address: str | None) -> str | None:
    if address is None:
        return None
    try:
        found = ip_address(address)
    except ValueError:
        # Of a proxy's making.
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return str(ip_network((int(found), _IPV6_BITS), strict=False))
    return str(found)
