"""
Whose fault it is that there is no analysis: the replica's, whose troubles cost a sample
nothing, or the sample's and the analyzer's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from workers.replica.transfer import TransferError
from workers.sandbox.sandbox import BadResult, Crashed, OutOfMemory, Raised

#: Endings that a machine on which nothing can be written any more may bring about.
MAY_BE_THE_MACHINES = (Raised, Crashed, OutOfMemory, BadResult)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """The replica, not the sample, is why there is no analysis."""

    message: str


def untransferred(error: TransferError) -> Trouble | Raised:
    """Say whose fault it is: not the sample's, if another attempt may fare better."""
    if error.recoverable:
        return Trouble(message=str(error))
    kind: Literal["sample_missing", "error"] = (
        "sample_missing" if error.missing else "error"
    )
    return Raised(kind=kind, recoverable=False, message=str(error))
