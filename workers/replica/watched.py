"""
Connections on which nobody waits longer than may be waited.

A timeout of HTTP clients counts from the last byte, so that a peer which sends one now
and then is waited for without end. Here whoever waits looks up several times a second
whether the waiting is still wanted. Knows nothing of samples.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any

import httpcore
import httpx
from httpcore import SOCKET_OPTION, NetworkBackend, NetworkStream
from typing_extensions import override

from orchestrator.contracts.https import trusting

#: Seconds left; raises what ends the waiting.
Look = Callable[[], float]

_LOOK_SECONDS = 0.1
_FOREVER = float("inf")

_LOOK: ContextVar[Look] = ContextVar("assay_look", default=lambda: _FOREVER)


@contextmanager
def watched(look: Look) -> Iterator[None]:
    """Have whatever this thread waits for in the block end as *look* says."""
    token = _LOOK.set(look)
    try:
        yield
    finally:
        _LOOK.reset(token)


class WatchedTransport(httpx.HTTPTransport):
    """
    Speaks HTTP/1.1 over such connections.

    Args:
        ca_certs: A file of authorities that are trusted beside the public ones.
    """

    def __init__(self, limits: httpx.Limits, *, ca_certs: str | None = None) -> None:
        # Proxies and certificates of the environment are for people, not for samples.
        context = trusting(ca_certs)
        super().__init__(verify=context, trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_Backend(),
        )


class _Backend(NetworkBackend):
    def __init__(self) -> None:
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
        stream = self._inner.connect_tcp(
            host, port, _shorter(timeout), local_address, socket_options
        )
        return _Stream(stream)


class _Stream(NetworkStream):
    def __init__(self, inner: NetworkStream) -> None:
        self._inner = inner
        self._socket = inner.get_extra_info("socket")

    @override
    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        until = _until(timeout)
        while True:
            seconds = _shorter(_LOOK_SECONDS)
            try:
                return self._inner.read(max_bytes, seconds)
            except httpcore.ReadTimeout:
                if monotonic() >= until:
                    raise

    @override
    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # Not the inner one's: it does not tell how much of it went before a timeout.
        rest = memoryview(buffer)
        until = _until(timeout)
        while rest:
            self._socket.settimeout(_shorter(_LOOK_SECONDS))
            try:
                rest = rest[self._socket.send(rest) :]
                until = _until(timeout)
            except TimeoutError as error:
                if monotonic() >= until:
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
        # The whole of the handshake has to fit into its time.
        seconds = _shorter(timeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, seconds))

    @override
    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _until(timeout: float | None) -> float:
    return _FOREVER if timeout is None else monotonic() + timeout


def _shorter(timeout: float | None) -> float | None:
    left = _LOOK.get()()
    if timeout is None:
        return None if left == _FOREVER else left
    return min(timeout, left)
