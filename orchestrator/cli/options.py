"""
Options and arguments that several commands have, read in one way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AsJSON = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


SampleID = Annotated[
    str,
    typer.Argument(
        metavar="SAMPLE",
        help="Its SHA-256 or another hash, six digits of it, or 'latest'.",
    ),
]


def named_path(value: str) -> Path:
    """
    Read the name of a file or folder.

    Raises:
        BadParameter: It is empty, as a variable is that nobody set: to a path, that is
            the working folder.
    """
    if not value:
        raise typer.BadParameter("is empty; name a file or a folder")
    return Path(value)
