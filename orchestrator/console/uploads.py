"""
Files that come in a form, for browsers without a script; with one they are the body.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fastapi import Request
from starlette.datastructures import UploadFile

from orchestrator.domain.errors import InvalidError, SampleTooLargeError

FORM_TYPE: Final = "multipart/form-data"

#: Where such a form may be sent.
UPLOADS: Final = "/samples"

#: Of one file; and what a form has beside it.
_PIECE_BYTES: Final = 1024 * 1024
_BESIDE_BYTES: Final = 64 * 1024
_FIELDS_MAX: Final = 10


async def read_upload(request: Request, *, limit_bytes: int) -> dict[str, list[str]]:
    """
    Read a form with a file, which :func:`file_of` then returns; give its other fields.

    Raises:
        SampleTooLargeError: It is larger than a sample may be.
        InvalidError: It does not say how large it is, or has no file.
    """
    announced = request.headers.get("Content-Length", "")
    if not announced.isdecimal():
        raise InvalidError("say how large the form is", field="Content-Length")
    if int(announced) > limit_bytes + _BESIDE_BYTES:
        raise SampleTooLargeError(limit_bytes)
    form = await request.form(
        max_files=1, max_fields=_FIELDS_MAX, max_part_size=_BESIDE_BYTES
    )
    files = [each for each in form.values() if isinstance(each, UploadFile)]
    if not files:
        raise InvalidError("choose a file", field="file")
    request.state.upload = files[0]
    if not files[0].filename:
        raise InvalidError("choose a file", field="file")
    return {
        name: [text]
        for name, text in form.multi_items()
        if isinstance(text, str) and "\0" not in text
    }


def file_of(request: Request) -> UploadFile | None:
    """Return the file of the form that came, if a form came."""
    return getattr(request.state, "upload", None)


async def close_upload(request: Request) -> None:
    """Let go of the file of the form that came, if a form came."""
    sent = file_of(request)
    if sent is not None:
        await sent.close()


def pieces(sent: UploadFile) -> Iterator[bytes]:
    """Return the bytes of a file; to be read in a thread."""
    while piece := sent.file.read(_PIECE_BYTES):
        yield piece
