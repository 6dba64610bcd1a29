"""
The replica's end of a socket on which a template or a zygote is told what to do: one
request, one reply, each a packet.
"""

from __future__ import annotations

import socket
import struct

from workers.sandbox.inside.template import PACKET_MAX_BYTES


class LostError(Exception):
    """Whoever is at the other end ended, was killed, or does not answer."""


class Control:
    """Not thread-safe: an answer is whoever's who asked last."""

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC
        )

    def be_patient(self, seconds: float) -> None:
        """Wait so many *seconds* for each reply, and then no more."""
        # The kernel's own limit: with Python's each reply would cost a poll as well.
        limit = struct.pack("ll", int(seconds), 0)
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def ask(self, request: bytes, fds: list[int]) -> bytes:
        """
        Send *request* with the files *fds*, and return the reply.

        Raises:
            LostError: There is none in time.
        """
        try:
            socket.send_fds(self._ours, [request], fds)
        except OSError as error:
            raise LostError(str(error)) from error
        return self.receive()

    def receive(self) -> bytes:
        """
        Return what is said next.

        Raises:
            LostError: Nothing is, in time.
        """
        try:
            packet = self._ours.recv(PACKET_MAX_BYTES)
        except OSError as error:
            raise LostError(str(error)) from error
        if not packet:
            msg = "it closed the connection"
            raise LostError(msg)
        return packet

    def close(self) -> None:
        """Hang up, upon which the other end ends."""
        self._ours.close()
