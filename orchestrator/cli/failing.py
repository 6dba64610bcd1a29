"""
How a command ends that went wrong: one line on stderr, or one JSON document.

Decides the exit code: 1 where something failed or was refused, 2 for the command line
and settings. Knows no command.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO

from typer.exceptions import TyperException

from orchestrator.domain.errors import AssayError, ConfigurationError
from orchestrator.domain.words import shown

FAILED = 1
USAGE = 2

#: Of errors on the command line, which have no code of their own.
_USAGE_CODE = "usage"


def fail(error: AssayError) -> SystemExit:
    """Say what went wrong; return what ends the command."""
    _say(error.code, error.message, field=error.field)
    return SystemExit(USAGE if isinstance(error, ConfigurationError) else FAILED)


def misused(error: TyperException) -> SystemExit:
    """Say what is wrong with a command line; return what ends the command."""
    message = error.format_message()
    context: Any = getattr(error, "ctx", None)
    if "\n" in message:
        # A group that was named without a command: its help says what there is.
        print(message, file=sys.stderr)
        return SystemExit(USAGE)
    hint = f" (see {context.command_path} --help)" if context else ""
    _say(_USAGE_CODE, f"{message.rstrip('.')}{hint}", field=_parameter(error))
    return SystemExit(USAGE)


def flush() -> None:
    """
    Write what is left to be written; end quietly if its reader has gone.

    Raises:
        SystemExit: Nobody reads any more.
    """
    # What was replaced meanwhile included: those that the interpreter flushes at last.
    streams = [each for each in (sys.__stdout__, sys.__stderr__) if each is not None]
    have_readers = list(map(_flush, streams))
    if not all(have_readers):
        raise SystemExit(FAILED)


def _flush(stream: TextIO) -> bool:
    try:
        stream.flush()
    except BrokenPipeError:
        # The interpreter flushes once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return False
    return True


def _say(code: str, message: str, *, field: str | None) -> None:
    if "--json" in sys.argv[1:]:
        error = {"code": code, "message": message, "field": field}
        print(json.dumps({"error": error}), file=sys.stderr)
    else:
        print(f"assay: {shown(message)}", file=sys.stderr)


def _parameter(error: TyperException) -> str | None:
    hint = getattr(error, "param_hint", None) or getattr(error, "option_name", None)
    if isinstance(hint, str):
        return hint
    parameter: Any = getattr(error, "param", None)
    if parameter is None:
        return None
    is_option = parameter.param_type_name == "option"
    return str(parameter.opts[0] if is_option else parameter.display_name_raw)
