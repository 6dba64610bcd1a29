"""
Connections to addresses that may be called, each closed when its time is over.

A name is resolved here, what it leads to is checked, and that very address is called:
nobody can have it lead elsewhere in between. Knows nothing of HTTP.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any

import httpcore
from httpcore import SOCKET_OPTION, NetworkBackend, NetworkStream
from typing_extensions import override

from orchestrator.domain.addresses import Network, may_be_called

#: When the call of this thread has to be over, by ``time.monotonic``.
_END: ContextVar[float] = ContextVar("assay_call_end")


class ForbiddenAddressError(Exception):
    """A name leads to nothing that may be called; the text says what it leads to."""


class UnknownHostError(Exception):
    """A name leads nowhere."""


@contextmanager
def ends_after(seconds: float) -> Iterator[None]:
    """
    Have whatever this thread sends and reads in the block be over in so many seconds.

    A timeout of HTTP clients counts from the last byte, so that a receiver which sends
    one now and then is waited for without end.
    """
    token = _END.set(monotonic() + seconds)
    try:
        yield
    finally:
        _END.reset(token)


class CheckedBackend(NetworkBackend):
    """
    Args:
        allowed: Networks that may be called beside the public internet.
    """

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed
        self._inner = httpcore.SyncBackend()

    @override
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> NetworkStream:
        first, *others = self._resolve(host, port)
        try:
            return self._connect(first, port, socket_options)
        except httpcore.ConnectError:
            if not others:
                raise
        # One of the other kind, where the machine has only one of IPv4 and IPv6.
        return self._connect(others[-1], port, socket_options)

    def _connect(
        self, address: str, port: int, options: Iterable[SOCKET_OPTION] | None
    ) -> NetworkStream:
        return _Stream(
            self._inner.connect_tcp(address, port, _left(), socket_options=options)
        )

    def _resolve(self, host: str, port: int) -> list[str]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise UnknownHostError(f"there is no host {host}") from error
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        good = [
            each for each in addresses if may_be_called(each, allowed=self._allowed)
        ]
        if not good:
            raise ForbiddenAddressError(
                f"{host} leads to {', '.join(addresses)}, which is not of the public"
                " internet; ASSAY_WEBHOOK_NETWORKS says what else may be called"
            )
        return good


class _Stream(NetworkStream):
    def __init__(self, inner: NetworkStream) -> None:
        self._inner = inner
        self._socket: socket.socket = inner.get_extra_info("socket")

    @override
    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left())

    @override
    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # Not the inner one's: it allows each part of it all the time.
        rest = memoryview(buffer)
        while rest:
            self._socket.settimeout(_left())
            try:
                rest = rest[self._socket.send(rest) :]
            except TimeoutError as error:
                raise httpcore.WriteTimeout(str(error)) from error
            except OSError as error:
                raise httpcore.WriteError(str(error)) from error

    @override
    def close(self) -> None:
        self._inner.close()

    @override
    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> NetworkStream:
        # The name that was asked for, whatever address it led to.
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _left()))

    @override
    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left(clock: Callable[[], float] = monotonic) -> float:
    left = _END.get() - clock()
    if left <= 0:
        raise httpcore.ReadTimeout("its time is over")
    return left
