"""
What comes in a form, judged as the API judges a body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], given: Mapping[str, Any] | str) -> Model:
    """
    Read what is given, by field or as JSON.

    Raises:
        RequestValidationError: It is not valid; it says of each field why.
    """
    try:
        if isinstance(given, str):
            return model.model_validate_json(given)
        return model.model_validate(given)
    except ValidationError as error:
        raise RequestValidationError(
            [
                {**mistake, "loc": ("body", *mistake["loc"])}
                for mistake in error.errors()
            ]
        ) from None
