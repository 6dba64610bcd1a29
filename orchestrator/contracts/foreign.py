"""
What stands in the broker where a queue or an exchange of ours should be, and what mends
it.

Reads what a broker said of it; asks none. Both sides meet such queues.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from typing_extensions import override

from orchestrator.contracts.names import EVENTS, REPLIES, WORKER_QUEUE_PREFIX

_EXCHANGE = "exchange "

#: Of these only Flower, and what asks replicas for answers, has less.
_DISPENSABLE = (f"{_EXCHANGE}{EVENTS}", f"{_EXCHANGE}{REPLIES}")

#: As RabbitMQ words it, which cuts what is long.
_OTHER = re.compile(
    r"inequivalent arg '(?P<argument>.*?)' for (?P<kind>queue|exchange) '(?P<name>.*?)'"
    r" in vhost '(?P<host>.*?)': received (?P<wanted>.*?)"
    r" but current is (?P<present>.*)"
)
_LOCKED = re.compile(
    r"exclusive access to locked (?P<kind>queue) '(?P<name>.*?)'"
    r" in vhost '(?P<host>.*?)'"
)
_VALUE = re.compile(r"^(?:the value )?'(.*?)'(?: of type '.*)?$")


@dataclass(frozen=True, kw_only=True, slots=True)
class ForeignQueue:
    """
    ``name``: of the queue, or ``exchange`` and its name. ``wanted`` and ``present``:
    the argument that differs, or the kind of key. ``remedy``: the command; what is
    missing after it is made anew.
    """

    name: str
    wanted: str
    present: str
    remedy: str

    @property
    def what(self) -> str:
        """What a person calls it."""
        return self.name if self.name.startswith(_EXCHANGE) else f"queue {self.name}"

    @property
    def stops_everybody(self) -> bool:
        """Whether no job moves; a worker's own queue stops that worker alone."""
        return not self.name.startswith((WORKER_QUEUE_PREFIX, *_DISPENSABLE))

    @override
    def __str__(self) -> str:
        return f"{self.name} has {self.present}, not {self.wanted}: {self.remedy}"

    def told(self) -> dict[str, str]:
        """Return the fields of a line of a log."""
        return {
            "queue": self.name,
            "wanted": self.wanted,
            "present": self.present,
            "hint": self.remedy,
        }


def read_refusal(said: str) -> ForeignQueue | None:
    """Return which queue RabbitMQ would not declare, if that is what it *said*."""
    other = _OTHER.search(said)
    if other is not None:
        argument = other["argument"]
        return ForeignQueue(
            name=_name(other),
            wanted=_argument(argument, other["wanted"]),
            present=_argument(argument, other["present"]),
            remedy=_remedy(other),
        )
    locked = _LOCKED.search(said)
    if locked is None:
        return None
    return ForeignQueue(
        name=_name(locked),
        wanted="exclusive=false",
        present="exclusive=true",
        remedy=_remedy(locked),
    )


def foreign_key(name: str, *, wanted: str, present: str, database: str) -> ForeignQueue:
    """Return that a key of Redis is of another kind."""
    return ForeignQueue(
        name=name,
        wanted=f"type={wanted}",
        present=f"type={present}",
        remedy=f"redis-cli -n {database} DEL {shlex.quote(name)}",
    )


def _name(found: re.Match[str]) -> str:
    is_queue = found["kind"] == "queue"
    return found["name"] if is_queue else f"{_EXCHANGE}{found['name']}"


def _argument(name: str, said: str) -> str:
    if said == "none":
        # Of a queue without a type, RabbitMQ makes a classic one.
        return f"no {name}{' (classic)' if name == 'x-queue-type' else ''}"
    value = _VALUE.match(said)
    return f"{name}={value[1] if value else said}"


def _remedy(found: re.Match[str]) -> str:
    host = shlex.quote(found["host"])
    if found["kind"] == "queue":
        return f"rabbitmqctl -p {host} delete_queue {shlex.quote(found['name'])}"
    # It has no word for that, and its management, which has, need not be there.
    resource = f"{_erlang(found['host'])}, exchange, {_erlang(found['name'])}"
    call = f'rabbit_exchange:delete(rabbit_misc:r({resource}), false, <<"assay">>).'
    return f"rabbitmqctl -p {host} eval {shlex.quote(call)}"


def _erlang(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'<<"{escaped}"/utf8>>'
