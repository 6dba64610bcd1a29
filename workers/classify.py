"""
``python -m workers classify``: says what a file looks like, by Magika, to the API that
started it.

It shuts itself in before it loads Magika, and so before the first byte of a sample:
what an analysis may not reach, it may not. It decides nothing; the API does.
"""

from __future__ import annotations

import os
import socket
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.contracts.opinion import (
    FAILED,
    PACKET_MAX_BYTES,
    READY,
    Opinion,
    Question,
)
from workers.sandbox.inside.confinement import (
    Walls,
    can_change_user,
    code_paths,
    confine,
    end_with_parent,
    missing_walls,
)
from workers.sandbox.scratch import NoUserError, SlotUser

if TYPE_CHECKING:
    from magika import Magika

#: Bytes of address space. Magika and its model take 180 MB, a question nothing more.
_MEMORY_BYTES = 512 * 1024 * 1024
#: Characters of why it cannot.
_REASON_MAX = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """
    Where it works.

    ``control``: number of the inherited socket. ``parent``: pid of the API. ``folder``:
    an empty one; nothing is written there, and it may go once it is ready.
    """

    control: int
    parent: int
    folder: Path


def serve(place: Place) -> int:
    """Answer until the API ends or hangs up, and return the exit code."""
    end_with_parent(place.parent)
    control = socket.socket(fileno=place.control)
    missing = missing_walls()
    try:
        _shut_in(place.folder)
        magika = _load()
    except BaseException:  # noqa: BLE001  (whatever it is, the API shall say it)
        reason = traceback.format_exc(limit=-4)[-_REASON_MAX:]
        control.send(FAILED + reason.encode())
        return 1
    control.send("\n".join([READY.decode(), *missing]).encode())
    while packet := control.recv(PACKET_MAX_BYTES):
        question = Question.of(packet)
        control.send(_opinion(magika, question).packed())
    return 0


def _shut_in(folder: Path) -> None:
    confine(
        Walls(
            uid=_user(),
            slot=folder,
            work=folder,
            code=code_paths(sys.modules),
            share=None,
            network=False,
            memory_bytes=_MEMORY_BYTES,
        )
    )


def _user() -> int | None:
    if os.geteuid() != 0 or not can_change_user():
        return None
    try:
        user = SlotUser()
    except NoUserError:
        return None
    # The lock is this process's until it ends.
    _KEPT.append(user)
    return user.uid


_KEPT: list[SlotUser] = []


def _load() -> Magika:
    # Within the walls: its runtime starts a thread when it is loaded, which keeps a
    # file in the home directory and would tell its maker about this machine.
    from workers.one_core import OneCoreMagika  # noqa: PLC0415

    magika = OneCoreMagika()
    # The first answer takes several times as long as any other.
    magika.identify_bytes(b"#!/bin/sh\necho warm\n" * 100)
    return magika


def _opinion(magika: Magika, question: Question) -> Opinion:
    found = magika.identify_bytes(question.content).prediction
    return Opinion(
        number=question.number, label=str(found.output.label), score=found.score
    )
