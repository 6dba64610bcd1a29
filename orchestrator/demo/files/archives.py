"""
Builds archives whose bytes depend on their content alone, not on the time of day.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Mapping

from orchestrator.demo.files.recipe import Recipe

_LONGEST_COMMENT = 65535


def zip_of(members: Mapping[str, bytes], *, comment: bytes = b"") -> bytes:
    """Build a ZIP archive; a *comment* above 65535 bytes, the most it holds, is cut."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = comment[:_LONGEST_COMMENT]
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def zip_archive(recipe: Recipe) -> bytes:
    """Build a ZIP archive of three small text files."""
    members = {
        "readme.txt": f"Archive {recipe.label}\n".encode(),
        "links.txt": "\n".join(recipe.urls).encode(),
        "folder/data.csv": b"name,value\r\none,1\r\ntwo,2\r\n",
    }
    return zip_of(members, comment=recipe.filler_text.encode())


def gzip_text(recipe: Recipe) -> bytes:
    """Build a gzip file of a log."""
    lines = [f"{number:04d} {recipe.label} all is well" for number in range(50)]
    return gzip.compress("\n".join([*lines, recipe.filler_text]).encode(), mtime=0)
