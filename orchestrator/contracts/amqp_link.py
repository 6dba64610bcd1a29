"""
RabbitMQ's connections, on which nobody waits for ever and whoever closes does not wait.

py-amqp waits for every answer without a limit, and one that it has is counted anew with
each heartbeat; of a frame that stops halfway it reads on without a pause. What is asked
is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ssl import SSLWantReadError
from time import monotonic
from typing import Any, Final

from amqp import spec
from amqp import transport as amqp_transport
from amqp.exceptions import AMQPError
from kombu import Connection
from kombu.transport import pyamqp
from typing_extensions import override

from orchestrator.contracts.silence import ANSWER_SECONDS

#: Seconds for the end of a channel whose connection goes on.
_CHANNEL_CLOSE_SECONDS: Final = 2.0


class _WholeFrames:
    """Reads as far as there is something, and says so where the rest is missing."""

    def _read(self, *arguments: Any, **options: Any) -> Any:
        try:
            # The library's list of errors after which it tries again, at once.
            return super()._read(  # type: ignore[misc]  # a transport's
                *arguments, **options, _errnos=()
            )
        except (BlockingIOError, SSLWantReadError) as error:
            raise TimeoutError("no more of it has come") from error


class _TCPTransport(_WholeFrames, amqp_transport.TCPTransport):  # type: ignore[misc]  # py-amqp has no types
    pass


class _TLSTransport(_WholeFrames, amqp_transport.SSLTransport):  # type: ignore[misc]  # as above
    pass


class AmqpChannel(pyamqp.Channel):  # type: ignore[misc]  # as above
    """A channel whose answers have a time."""

    def wait(
        self, *arguments: Any, timeout: float | None = None, **options: Any
    ) -> Any:
        if self.connection is None:
            return super().wait(*arguments, **options)
        with self.connection.answered_within(timeout or ANSWER_SECONDS):
            return super().wait(*arguments, **options)

    def close(self, *arguments: Any, **options: Any) -> Any:
        if self.connection is None:
            return super().close(*arguments, **options)
        with self.connection.answered_within(_CHANNEL_CLOSE_SECONDS):
            return super().close(*arguments, **options)

    def basic_cancel(self, consumer_tag: str, **_: Any) -> Any:
        # What was under way comes, whether the answer is waited for or not.
        return super().basic_cancel(consumer_tag, nowait=True)


class AmqpConnection(pyamqp.Connection):  # type: ignore[misc]  # as above
    """A connection that is thrown away when an answer is late."""

    Channel = AmqpChannel

    _until: float | None = None

    def wait(
        self, *arguments: Any, timeout: float | None = None, **options: Any
    ) -> Any:
        with self.answered_within(timeout or ANSWER_SECONDS):
            return super().wait(*arguments, **options)

    @contextmanager
    def answered_within(self, seconds: float) -> Iterator[None]:
        """
        Have what is waited for in the block end by then, however much else comes.

        Raises:
            TimeoutError: It did not come. The connection is over: what came later would
                be taken for the answer to something else.
        """
        before, until = self._until, monotonic() + seconds
        self._until = until if before is None else min(before, until)
        try:
            yield
        except TimeoutError:
            self.collect()
            raise
        finally:
            self._until = before

    def blocking_read(self, timeout: float | None = None) -> Any:
        return super().blocking_read(self._shortened(timeout))

    def close(self, *_: Any, **__: Any) -> None:
        """Say goodbye, if there is room for it, and go."""
        if self._transport is None:
            return
        with suppress(AMQPError, OSError, AttributeError):
            self._transport.sock.settimeout(0)
            self.send_method(spec.Connection.Close, "BsBB", (0, "", 0, 0))
        self.collect()

    def collect(self) -> None:
        """Go."""
        with suppress(OSError, AttributeError):
            # TLS would wait for the other's goodbye.
            self._transport.sock.settimeout(0)
        super().collect()

    def Transport(  # noqa: N802  (py-amqp's)
        self,
        host: str,
        connect_timeout: float,
        ssl: Any = False,  # noqa: FBT002
        read_timeout: float | None = None,
        write_timeout: float | None = None,
        **options: Any,
    ) -> Any:
        kind = _TLSTransport if ssl else _TCPTransport
        return kind(
            host,
            connect_timeout=connect_timeout,
            ssl=ssl,
            read_timeout=read_timeout,
            write_timeout=write_timeout,
            **options,
        )

    def _shortened(self, timeout: float | None) -> float | None:
        if self._until is None:
            return timeout
        # What came while somebody handled what came before it has come in time.
        left = max(self._until - monotonic(), 0.0)
        return left if timeout is None else min(left, timeout)


class AmqpTransport(pyamqp.Transport):  # type: ignore[misc]  # as above
    """kombu's, with such connections."""

    Connection = AmqpConnection


class AmqpTLSTransport(pyamqp.SSLTransport):  # type: ignore[misc]  # as above
    """Likewise, with TLS."""

    Connection = AmqpConnection


_OURS: dict[type, type] = {
    pyamqp.Transport: AmqpTransport,
    pyamqp.SSLTransport: AmqpTLSTransport,
}


class BrokerConnection(Connection):  # type: ignore[misc]  # kombu has no types
    """A connection to either broker; Redis needs options alone."""

    @override
    def get_transport_cls(self) -> Any:
        found = super().get_transport_cls()
        return _OURS.get(found, found)
