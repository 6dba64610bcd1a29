"""
How much a JSON document holds, counted before anybody parses it.

A parser, and whoever judges what it made, costs some microseconds a value: a document
is refused by its counts, which cost next to nothing. It finds no mistakes in JSON.
"""

from __future__ import annotations

from itertools import accumulate

#: Values, and keys of objects, of one result of an analyzer, whoever brings it.
RESULT_NODES_MAX = 200_000

#: Levels of lists and objects of a whole document. What is free in it has a limit of
#: its own below this; parsers call themselves, and stop at some 200.
DOCUMENT_DEPTH_MAX = 128

_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(code for code in range(256) if code not in _STEPS)


class DocumentError(ValueError):
    """The document holds too much; the message says of what, and the limit."""


def check_document(body: bytes, *, nodes_max: int) -> None:
    """
    Refuse a document that holds too much.

    Raises:
        DocumentError: More than *nodes_max* values and keys, counted from above (an
            empty list counts as two), or more than :data:`DOCUMENT_DEPTH_MAX` levels.
    """
    if len(body) < nodes_max and _brackets(body) <= DOCUMENT_DEPTH_MAX:
        # As nearly all are: too short for so many, with too little that could nest.
        return
    too_many = DocumentError(f"has more than {nodes_max} values and keys; send fewer")
    # Without them every quote begins or ends a string.
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    if plain.count(b'"') > 2 * nodes_max:
        raise too_many
    outside = b"".join(plain.split(b'"')[::2])
    if _nodes(outside) > nodes_max:
        raise too_many
    if _depth(outside) > DOCUMENT_DEPTH_MAX:
        raise DocumentError(
            f"is nested more than {DOCUMENT_DEPTH_MAX} levels deep; make it flatter"
        )


def _brackets(body: bytes) -> int:
    return body.count(b"[") + body.count(b"{")


def _nodes(outside: bytes) -> int:
    return 1 + sum(outside.count(mark) for mark in (b"[", b"{", b",", b":"))


def _depth(outside: bytes) -> int:
    brackets = outside.translate(None, _NO_BRACKETS)
    return max(accumulate(_STEPS[bracket] for bracket in brackets), default=0)
