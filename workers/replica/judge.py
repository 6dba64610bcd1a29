"""
Judges results against an analyzer's schema, in a process of its own that may be killed.

``python -m workers.replica.judge FD SECONDS``. The schema is the author's, the result
its sample's: a pattern in the one can meet a text in the other on which it never ends,
and nothing in the same process would go on until it does. It holds no secret.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry

from workers.analysis import JSON

#: Said once, when it has read the schema.
READY = b"ready"

#: Characters of a complaint.
_COMPLAINT_MAX = 1000
#: Bytes: what the largest result, and all complaints about it, take many times over.
_MEMORY_BYTES = 2 * 1024**3


def validator_of(schema: dict[str, JSON]) -> Validator:
    """
    Return what judges results.

    Raises:
        jsonschema.SchemaError: *schema* is not a valid JSON Schema.
    """
    kind = validator_for(schema)
    kind.check_schema(schema)
    # Of a reference to somewhere else nothing is fetched.
    registry: Registry[Any] = Registry()
    return kind(schema, registry=registry)


def complaint(validator: Validator, result: JSON) -> str:
    """Return what is wrong with *result*, with the path; empty if nothing is."""
    error = best_match(validator.iter_errors(result))
    if error is None:
        return ""
    path = error.json_path.replace("$", "result", 1)
    return f"{path}: {error.message[:_COMPLAINT_MAX]}"


def main() -> None:
    """Read the schema, then judge result after result, until the replica ends."""
    channel, seconds = Connection(int(sys.argv[1])), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        validator = validator_of(json.loads(channel.recv_bytes()))
        channel.send_bytes(READY)
        while True:
            result = json.loads(channel.recv_bytes())
            # Should the replica be gone by then: the kernel ends us, whatever we do.
            signal.alarm(seconds)
            answer = _guarded(validator, result)
            signal.alarm(0)
            channel.send_bytes(answer.encode("utf-8", "replace"))
    except (EOFError, ConnectionError):
        return


def _guarded(validator: Validator, result: JSON) -> str:
    try:
        return complaint(validator, result)
    except Exception as error:  # noqa: BLE001  (a schema that cannot be applied is the author's)
        text = f"{type(error).__name__}: {error}"[:_COMPLAINT_MAX]
        return f"result: the schema cannot be applied to it: {text}"


if __name__ == "__main__":
    main()
