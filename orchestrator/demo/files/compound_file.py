"""
Writes OLE compound files: the container of legacy Office documents and of VBA.

Version 3 with sectors of 512 bytes. It writes what it is given and knows no format that
lives inside. Source: the specification [MS-CFB].
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Union

#: Storages are mappings, streams are bytes.
Tree = Mapping[str, Union[bytes, "Tree"]]

_SECTOR, _MINI_SECTOR, _ENTRY = 512, 64, 128
#: Shorter streams live in the mini stream.
_MINI_CUTOFF = 4096
_FREE, _END, _FAT_SECTOR = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
_NOBODY = 0xFFFFFFFF
_STORAGE, _STREAM, _ROOT = 1, 2, 5
_RED, _BLACK = 0, 1
_PER_SECTOR = _SECTOR // 4
#: FAT sectors that the header itself can list: files up to 7 MB.
_HEADER_FAT_SECTORS = 109


@dataclass(slots=True)
class _Node:
    name: str
    kind: int
    data: bytes = b""
    start: int = _END
    left: int = _NOBODY
    right: int = _NOBODY
    child: int = _NOBODY
    colour: int = _BLACK


@dataclass(slots=True)
class _Space:
    """Bytes in units of one size, and the table that chains the units."""

    unit: int
    data: bytearray = field(default_factory=bytearray)
    table: list[int] = field(default_factory=list)

    def store(self, data: bytes) -> int:
        if not data:
            return _END
        start, units = len(self.table), -(-len(data) // self.unit)
        self.data += data.ljust(units * self.unit, b"\0")
        self.table += [*range(start + 1, start + units), _END]
        return start


def compound_file(root: Tree) -> bytes:
    """
    Write *root* as one compound file.

    Raises:
        ValueError: The content is above the 7 MB that the header's table describes.
    """
    nodes = [_Node("Root Entry", _ROOT)]
    nodes[0].child = _add(nodes, root)
    space, mini = _Space(_SECTOR), _Space(_MINI_SECTOR)
    for node in nodes[1:]:
        if node.kind == _STREAM:
            home = mini if len(node.data) < _MINI_CUTOFF else space
            node.start = home.store(node.data)
    nodes[0].data = bytes(mini.data)
    nodes[0].start = space.store(nodes[0].data)
    unused = -len(nodes) % (_SECTOR // _ENTRY)
    directory = space.store(
        b"".join(map(_entry, nodes)) + _entry(_Node("", 0)) * unused
    )
    mini_fat = space.store(_sectors_of(mini.table))
    return _with_header(space, directory, mini_fat, -(-len(mini.table) // _PER_SECTOR))


def _add(nodes: list[_Node], tree: Tree) -> int:
    """Append the nodes of *tree* and return the index of its topmost one."""
    indices = []
    for name in sorted(tree, key=lambda name: (len(name), name.upper())):
        content = tree[name]
        indices.append(len(nodes))
        if isinstance(content, bytes):
            nodes.append(_Node(name, _STREAM, content))
        else:
            nodes.append(_Node(name, _STORAGE))
            nodes[indices[-1]].child = _add(nodes, content)
    return _balance(nodes, indices, depth=0, deepest=len(indices).bit_length() - 1)


def _balance(
    nodes: list[_Node], indices: list[int], *, depth: int, deepest: int
) -> int:
    """Make siblings a red-black tree: balanced, with the deepest level red."""
    if not indices:
        return _NOBODY
    middle = len(indices) // 2
    node = nodes[indices[middle]]
    node.colour = _RED if 0 < depth == deepest else _BLACK
    node.left = _balance(nodes, indices[:middle], depth=depth + 1, deepest=deepest)
    node.right = _balance(
        nodes, indices[middle + 1 :], depth=depth + 1, deepest=deepest
    )
    return indices[middle]


def _entry(node: _Node) -> bytes:
    name = node.name.encode("utf-16-le")
    return struct.pack(
        "<64sH2B3I16xI16xIQ",
        name,
        len(name) + 2 if name else 0,
        node.kind,
        node.colour,
        node.left,
        node.right,
        node.child,
        0,
        node.start if node.kind in {_STREAM, _ROOT} else 0,
        len(node.data),
    )


def _sectors_of(table: list[int]) -> bytes:
    padded = table + [_FREE] * (-len(table) % _PER_SECTOR)
    return struct.pack(f"<{len(padded)}I", *padded)


def _with_header(
    space: _Space, directory: int, mini_fat: int, mini_fat_sectors: int
) -> bytes:
    used = len(space.table)
    # Each FAT sector describes 128 sectors, itself among them.
    count = -(-used // (_PER_SECTOR - 1))
    if count > _HEADER_FAT_SECTORS:
        raise ValueError(f"compound file: {used} sectors; use less filler (7 MB fit)")
    fat = [used + index for index in range(count)]
    head = struct.pack(
        "<8s16x5H6x9I",
        *(bytes.fromhex("d0cf11e0a1b11ae1"), 0x3E, 3, 0xFFFE, 9, 6),
        *(0, count, directory, 0, _MINI_CUTOFF, mini_fat, mini_fat_sectors),
        *(_END, 0),
    )
    listed = fat + [_FREE] * (_HEADER_FAT_SECTORS - count)
    header = head + struct.pack(f"<{_HEADER_FAT_SECTORS}I", *listed)
    table = _sectors_of(space.table + [_FAT_SECTOR] * count)
    return (
        header
        + bytes(space.data)
        + table[: count * _SECTOR].ljust(count * _SECTOR, b"\xff")
    )
