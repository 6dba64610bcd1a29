"""
Saving what may be malicious: never over a file, never onto a terminal.

Files are named by their hashes unless somebody names them here: names that come with
samples may lead anywhere.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.client.failures import ClientError
from orchestrator.client.http import Client
from orchestrator.domain.errors import ConflictError, InvalidError
from orchestrator.domain.words import shown
from orchestrator.terminal.output import errors, print_json
from orchestrator.terminal.sources import STDIN
from orchestrator.terminal.words import size

#: Standard output, as it is standard input of `submit`.
_STDOUT = STDIN

Output = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Where to: a file, a folder, or - for standard output;"
        " here, named by its hash, unless said.",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Overwrite the file if there is one.")
]


def save(
    client: Client, path: str, output: Path | None, *, name: str, force: bool
) -> Path | None:
    """
    Save what the API has at *path*, and return where; ``None`` is standard output.

    Args:
        name: Of the file, where *output* names none.

    Raises:
        InvalidError: It would go onto a terminal.
        ConflictError: There is such a file, and it is not to be overwritten.
        ClientError: It cannot be written there.
    """
    if str(output) == _STDOUT:
        if sys.stdout.isatty():
            raise InvalidError(
                "--output: it may be malicious, and does not go onto a terminal;"
                " name a file",
                field="--output",
            )
        client.download(path, sys.stdout.buffer)
        return None
    target = output or Path(name)
    try:
        target = target / name if target.is_dir() else target
        if not force and os.path.lexists(target):
            raise _is_there(target)
        if target.exists() and not target.is_file():
            # A device would be replaced by a file, for everybody.
            raise InvalidError(
                f"{target} is no ordinary file; give --output - and let the shell"
                " write there",
                field="--output",
            )
        _write(client, path, target, force=force)
    except FileExistsError:
        raise _is_there(target) from None
    except OSError as error:
        raise ClientError(f"{target}: cannot be written: {error.strerror}") from None
    return target


def tell_saved(target: Path | None, warning: str, *, as_json: bool) -> None:
    """Say where something was saved, and what to beware of."""
    if target is None:
        return
    length = target.stat().st_size
    if as_json:
        print_json({"path": str(target), "size": length})
    else:
        errors.print(f"saved {shown(str(target))}, {size(length)}; {warning}")


def _write(client: Client, path: str, target: Path, *, force: bool) -> None:
    # Whole or not at all: it gets its name when all of it is there.
    part = tempfile.NamedTemporaryFile(  # noqa: SIM115  (it is closed before it is named)
        dir=target.parent, prefix=".assay-", delete=False
    )
    try:
        with part:
            client.download(path, part)
        if force:
            Path(part.name).replace(target)
        else:
            target.hardlink_to(part.name)
    finally:
        Path(part.name).unlink(missing_ok=True)


def _is_there(target: Path) -> ConflictError:
    return ConflictError(
        f"{target} is there already; give --force, or another --output",
        field="--output",
    )
