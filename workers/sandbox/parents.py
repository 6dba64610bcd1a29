"""
Who forks the children of a slot, and buries them: a zygote of the slot's own, or, where
the kernel knows no scope of signals, the template.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, Protocol

from workers.sandbox.control import Control, LostError
from workers.sandbox.inside.zygote import BURY, FAILURE, FORK
from workers.sandbox.spawner import REPLY_SECONDS, Spawner


class Parent(Protocol):
    """Of one child at a time."""

    def fork(self, channel: int, log: int) -> int:
        """
        Fork a child and return its pid, which stays its own until :meth:`bury`.

        Args:
            channel, log: As :func:`workers.sandbox.inside.child.be_child` takes them.

        Raises:
            LostError: It is gone, or cannot fork; use another.
        """

    def bury(self) -> int:
        """
        Kill the child and all it has started; return its wait status.

        Returns when they are gone. If it had ended by itself the status tells how.

        Raises:
            LostError: It is gone, or ends; they may live on until :meth:`end`.
        """

    def end(self) -> None:
        """
        End it, and whatever it has started; return when they are gone.

        Raises:
            LostError: The template ended, and they are dying by the kernel's hand.
        """

    def close(self) -> None:
        """Let go of it; it has ended, or dies with its template."""


class Zygote:
    """
    A zygote, as :mod:`workers.sandbox.inside.zygote` says.

    Args:
        where: The slot's number, user and folders, as the template wants them.
        log: For what goes wrong before there is a child.

    Raises:
        LostError: From the constructor: the template ended.
    """

    def __init__(
        self, spawner: Spawner, where: Mapping[str, Any], log: IO[bytes]
    ) -> None:
        self._spawner = spawner
        self._slot: int = where["slot"]
        self._control = Control()
        self._control.be_patient(REPLY_SECONDS)
        try:
            with self._control.theirs as theirs:
                fds = [theirs.fileno(), log.fileno()]
                spawner.fork({**where, "be": "zygote"}, fds)
        except LostError:
            self._control.close()
            raise

    def fork(self, channel: int, log: int) -> int:
        said = self._control.ask(FORK, [channel, log])
        if said.startswith(FAILURE):
            raise LostError(f"it cannot fork: {said[1:].decode(errors='replace')}")
        return int(said)

    def bury(self) -> int:
        return int(self._control.ask(BURY, []))

    def end(self) -> None:
        self._spawner.kill(self._slot)

    def close(self) -> None:
        self._control.close()


class Template:
    """The template, which makes each child anew from the first wall to the last."""

    def __init__(self, spawner: Spawner, where: Mapping[str, Any]) -> None:
        self._spawner = spawner
        self._where = where

    def fork(self, channel: int, log: int) -> int:
        return self._spawner.fork({**self._where, "be": "child"}, [channel, log])

    def bury(self) -> int:
        return self._spawner.kill(self._where["slot"])

    def end(self) -> None:
        """Do nothing: without a child there is nothing of the slot's."""

    def close(self) -> None:
        """Do nothing: it is not this slot's."""
