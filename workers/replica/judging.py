"""
Whether a result fits its analyzer's schema, without keeping anybody waiting for it.

What is cheap for certain is judged here; all else by a process that is killed when it
takes too long, ``judge.py``. Says nothing of the other fields of an analysis.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, SimpleQueue

from orchestrator.contracts.json_size import DocumentError, check_document
from workers.analysis import JSON
from workers.replica.judge import READY, complaint, validator_of
from workers.sandbox.spawner import clean_environment

#: For one result; the slot waits so long, and nobody else.
JUDGE_SECONDS = 5

#: For the process to begin, on a machine that may be busy.
_START_SECONDS = 60
#: Processes that are kept for the next result.
_KEPT_MAX = 2

#: What is cheap: each value of a result meets some of the schema, a hundredth of a
#: millisecond each, in code that lets other threads go on in between; a complaint
#: repeats at most the whole result.
_PAIRS_MAX = 200_000
_CHEAP_BYTES = 64 * 1024

#: Keywords that look at one value, once and in a time that its size bounds. Not among
#: them: references, patterns, formats, and what compares items with each other.
_CHEAP = frozenset(
    {"type", "required", "title", "description", "default", "examples", "$schema"}
    | {"$comment", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
    | {"multipleOf", "minLength", "maxLength", "minItems", "maxItems"}
    | {"minProperties", "maxProperties", "enum", "const"}
)
_ONE_SCHEMA = frozenset({"items", "additionalProperties", "not", "if", "then", "else"})
_SCHEMA_LISTS = frozenset({"prefixItems", "anyOf", "oneOf", "allOf"})
#: Whose schemas, or values, all meet the one value that has the keyword.
_AT_ONCE = frozenset({"anyOf", "oneOf", "allOf", "not", "if", "then", "else"}) | {
    "enum",
    "const",
}


class SchemaCheck:
    """
    Judges results, from any number of threads.

    Args:
        schema: The analyzer's; empty takes everything.
        seconds: For one result.

    Raises:
        jsonschema.SchemaError: *schema* is not a valid JSON Schema.
    """

    def __init__(
        self, schema: Mapping[str, JSON], *, seconds: int = JUDGE_SECONDS
    ) -> None:
        self._schema = dict(schema)
        self._text = json.dumps(self._schema).encode()
        self._seconds = seconds
        self._validator = validator_of(self._schema)
        self._nodes_max = (
            _PAIRS_MAX // _most_at_once(schema) if _is_cheap(schema) else 0
        )
        self._idle: SimpleQueue[_Judge] = SimpleQueue()

    def complaint(self, result: JSON, body: bytes) -> str:
        """
        Return what is wrong with *result*; empty if nothing is.

        Args:
            body: JSON with the result in it.
        """
        if not self._schema:
            return ""
        if self._is_cheap(body):
            return complaint(self._validator, result)
        return self._ask(json.dumps(result).encode())

    def close(self) -> None:
        """End the processes that it has started."""
        for judge in self._kept():
            judge.end()

    def _is_cheap(self, body: bytes) -> bool:
        if len(body) > _CHEAP_BYTES:
            return False
        try:
            check_document(body, nodes_max=self._nodes_max)
        except DocumentError:
            return False
        return True

    def _ask(self, result: bytes) -> str:
        judge = self._find_idle() or _Judge(self._text, self._seconds)
        answer = judge.ask(result)
        if answer is None:
            judge.end()
            return (
                f"result: cannot be judged by the schema within {self._seconds} s and"
                " the memory for it; make the schema, or the result, simpler"
            )
        if self._idle.qsize() < _KEPT_MAX:
            self._idle.put(judge)
        else:
            judge.end()
        return answer

    def _find_idle(self) -> _Judge | None:
        # One may have been killed by somebody else.
        for judge in self._kept():
            if judge.is_alive():
                return judge
            judge.end()
        return None

    def _kept(self) -> Iterator[_Judge]:
        with suppress(Empty):
            while True:
                yield self._idle.get_nowait()


class _Judge:
    """One process that judges."""

    def __init__(self, schema: bytes, seconds: int) -> None:
        self._seconds = seconds
        ours, theirs = socket.socketpair()
        self._channel = Connection(ours.detach())
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "workers.replica.judge",
                    str(theirs.fileno()),
                    str(seconds),
                ],
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=[theirs.fileno()],
                env=clean_environment(Path(os.sep)),
                cwd=os.sep,
                start_new_session=True,
            )
        if self._answer(schema, _START_SECONDS) != READY:
            self.end()
            raise RuntimeError("the process that judges results did not start")

    def ask(self, result: bytes) -> str | None:
        """Return the complaint; ``None`` if none came in time: :meth:`end` it."""
        answer = self._answer(result, self._seconds)
        return None if answer is None else answer.decode()

    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def end(self) -> None:
        """Kill it, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._channel.close()

    def _answer(self, question: bytes, seconds: float) -> bytes | None:
        try:
            self._channel.send_bytes(question)
            return self._channel.recv_bytes() if self._channel.poll(seconds) else None
        except (EOFError, ConnectionError):
            return None


def _is_cheap(schema: object) -> bool:
    if not isinstance(schema, Mapping):
        return isinstance(schema, bool)
    is_known = _CHEAP | _ONE_SCHEMA | _SCHEMA_LISTS | {"properties"} >= schema.keys()
    return is_known and all(map(_is_cheap, _parts(schema)))


def _parts(schema: Mapping[str, object]) -> Iterator[object]:
    for word, value in schema.items():
        if word in _ONE_SCHEMA:
            yield value
        elif word in _SCHEMA_LISTS and isinstance(value, list | tuple):
            yield from value
        elif word == "properties" and isinstance(value, Mapping):
            yield from value.values()


def _most_at_once(schema: object) -> int:
    """Return how much of a schema one value can meet: of the properties, one."""
    if not isinstance(schema, Mapping):
        return 1
    own = sum(
        _size(value) if word in _AT_ONCE else 1 + _length(value)
        for word, value in schema.items()
    )
    return max(1 + own, *map(_most_at_once, (True, *_parts(schema))))


def _length(value: object) -> int:
    return len(value) if isinstance(value, Mapping | list | tuple) else 1


def _size(schema: object) -> int:
    if isinstance(schema, Mapping):
        return 1 + sum(map(_size, schema.values()))
    return 1 + sum(map(_size, schema)) if isinstance(schema, list | tuple) else 1
