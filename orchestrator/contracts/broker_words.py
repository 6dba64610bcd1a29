"""
What a broker said, for people: without the messages that it was about, and with what
an operator does where only an operator can.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kombu.exceptions import BatchPublishError

#: By words of Redis's, which pass through several libraries' errors.
_REMEDIES: Final[Mapping[str, str]] = {
    "read only replica": (
        "this Redis is a replica of another: let ASSAY_BROKER_URL lead to the master,"
        " or REPLICAOF NO ONE"
    ),
    "used memory > 'maxmemory'": (
        "this Redis is full: raise maxmemory; a consumer drains the reports meanwhile"
    ),
}

#: Before what Redis said, redis-py quotes the command: a message, or a part of one.
_OF_A_PIPELINE: Final = "of pipeline caused error: "


def words(error: BaseException) -> str:
    """Return the kind of *error*, what it says, and what is to be done about it."""
    if isinstance(error, BatchPublishError) and error.__cause__ is not None:
        # It says no more than that it failed.
        return words(error.__cause__)
    said = str(error).rpartition(_OF_A_PIPELINE)[2]
    remedies = (remedy for sign, remedy in _REMEDIES.items() if sign in said)
    return "; ".join([f"{type(error).__name__}: {said}", *remedies])
