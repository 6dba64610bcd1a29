"""
Tables: as wide as a terminal is, one line a row; piped, plain lines with all of it.

Which columns matter most, whoever makes the table says: they come first. Prints
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.table import Column, Table
from rich.text import Text

from orchestrator.domain.words import shown
from orchestrator.terminal.words import Exact

#: Colours of states and statuses, the same everywhere.
_COLOURS = {
    "success": "green",
    "done": "green",
    "benign": "green",
    "nothing found": "green",
    "executing": "cyan",
    "failed": "red",
    "malicious": "bold red",
    "suspicious": "yellow",
    "timeout": "yellow",
    "cancelled": "magenta",
}

#: Words of the API that people read in others.
_SPOKEN = {"no_findings": "nothing found"}

#: Spaces between two columns, as Rich has them.
_GAP = 2

#: Characters that are left of a text that is cut: the beginning of a name tells it.
_LEAST = 16


def cell(value: object) -> Text:
    """Return a value as people read it; a word for a state in its colour."""
    if value is None:
        return Text("-")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    text = shown(str(value))
    text = _SPOKEN.get(text, text)
    return Text(text, style=_COLOURS.get(text, ""))


def plain_lines(
    columns: Iterable[str], rows: Iterable[Iterable[object]]
) -> Iterator[str]:
    """Yield a table as aligned lines, one a row, however long."""
    cells = [list(columns), *([str(cell(value)) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (f"{text:<{width}}" for text, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()


def table(
    columns: Iterable[str], rows: Iterable[Iterable[object]], *, width: int
) -> Table:
    """
    Make a table of this many characters at most; states are coloured.

    Long texts are cut to fit; where that is not enough, the last columns are left out.
    """
    values = [list(row) for row in rows]
    parts = [
        _Part.of(name, [row[index] for row in values])
        for index, name in enumerate(columns)
    ]
    kept = _fitting(parts, width)
    rich_table = Table(
        *(
            Column(
                part.name,
                width=granted,
                no_wrap=True,
                overflow="ellipsis",
                justify="right" if part.is_amount else "left",
            )
            for part, granted in zip(kept, _widths(kept, width), strict=True)
        ),
        box=None,
        header_style="bold",
        pad_edge=False,
    )
    for row in zip(*(part.cells for part in kept), strict=True):
        rich_table.add_row(*row)
    return rich_table


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """A column: ``least`` and ``most`` are its widths, cut and whole."""

    name: str
    cells: list[Text]
    is_amount: bool
    least: int
    most: int

    @classmethod
    def of(cls, name: str, values: Sequence[object]) -> _Part:
        cells = [cell(_short(value)) for value in values]
        most = max([len(name), *(text.cell_len for text in cells)])
        may_be_cut = any(isinstance(value, str) for value in values)
        amounts = [value for value in values if value is not None]
        return cls(
            name=name,
            cells=cells,
            is_amount=bool(amounts)
            and all(
                isinstance(value, int | float) and not isinstance(value, bool)
                for value in amounts
            ),
            least=min(most, max(_LEAST, len(name))) if may_be_cut else most,
            most=most,
        )


def _short(value: object) -> object:
    return value.short if isinstance(value, Exact) else value


def _fitting(parts: Sequence[_Part], width: int) -> Sequence[_Part]:
    kept = list(parts)
    while len(kept) > 1 and _total([part.least for part in kept]) > width:
        kept.pop()
    return kept


def _widths(parts: Sequence[_Part], width: int) -> list[int]:
    """Return how wide each is: who needs least gets all, the others share the rest."""
    granted = [part.least for part in parts]
    spare = max(0, width - _total(granted))
    wanting = sorted(
        range(len(parts)), key=lambda index: parts[index].most - parts[index].least
    )
    for position, index in enumerate(wanting):
        share = spare // (len(wanting) - position)
        more = min(parts[index].most - parts[index].least, share)
        granted[index] += more
        spare -= more
    return granted


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)
