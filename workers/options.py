"""
What an analysis is given as options, made of what was ordered by the author's model.

Loads no pydantic: whoever gives a model has loaded it, and nobody else needs it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workers.analysis import JSON
from workers.sample import Sample

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

#: Of what does not fit, and characters of each value that is shown: a message for
#: people, of options that may have 16 KiB.
_PROBLEMS_MAX = 10
_SHOWN_MAX = 100


class OptionsError(ValueError):
    """The options do not fit the analyzer's model; the message names each."""


def with_options(
    sample: Sample[Mapping[str, JSON]], model: type[BaseModel]
) -> Sample[BaseModel]:
    """
    Return *sample* with its options as an instance of *model*.

    Raises:
        OptionsError: They do not fit; the same options never will.
    """
    from pydantic import ValidationError  # noqa: PLC0415  (loaded with the model)

    try:
        # What policies say is text: "3" is a number where the model wants one.
        options = model.model_validate(sample.options)
    except ValidationError as error:
        raise OptionsError(_told(error, secret=_holds_a_secret(model))) from error
    given: Sample[Any] = sample
    return replace(given, options=options)


def _holds_a_secret(model: type[BaseModel]) -> bool:
    # Anywhere in it: what does not fit may be the object that a secret is in.
    if model.model_config.get("hide_input_in_errors"):
        return True
    try:
        schema = model.model_json_schema()
    except Exception:  # noqa: BLE001  (of a type of the author's that has none)
        return True
    # As pydantic describes SecretStr, SecretBytes and whatever is made like them.
    return '"writeOnly": true' in json.dumps(schema, default=str)


def _told(error: ValidationError, *, secret: bool) -> str:
    problems = error.errors(include_url=False, include_context=False)
    lines = [_problem(problem, secret=secret) for problem in problems[:_PROBLEMS_MAX]]
    more = len(problems) - len(lines)
    return "\n".join([*lines, f"and {more} more"] if more else lines)


def _problem(problem: ErrorDetails, *, secret: bool) -> str:
    where = ".".join(map(str, problem["loc"]))
    head = f"option {where}" if where else "options"
    if secret or problem["type"] == "missing":
        return f"{head}: {problem['msg']}"
    return f"{head}: {problem['msg']}; it is {repr(problem['input'])[:_SHOWN_MAX]}"
