from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from orchestrator.terminal.output import (
    cell,
    moment,
    plain_lines,
    print_fields,
    print_json,
    seconds_between,
    shown,
    table,
)


def on_a_terminal(*cells: object) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    console.print(table([""] * len(cells), [cells]))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_piped_rows_are_aligned_lines_without_trailing_spaces():
    lines = plain_lines(("a", "long"), [("wide cell", None), ("b", 7)])

    assert list(lines) == ["a          long", "wide cell  -", "b          7"]


def test_a_piped_row_stays_one_line_however_long():
    (_, row) = plain_lines(("x",), [("y" * 5000,)])

    assert row == "y" * 5000


def test_markup_in_a_file_name_is_only_text():
    assert "[/red] [bold]x" in on_a_terminal("[/red] [bold]x")
    assert list(plain_lines(("f",), [("[/red]",)]))[1] == "[/red]"


@pytest.mark.parametrize("text", ["\x1b[2Jgone", "two\nlines", "\x07", "\u202egpj.exe"])
def test_no_text_of_a_sample_controls_the_terminal(text: str):
    assert shown(text).isprintable()
    assert len(shown(text)) == len(text)


def test_text_in_any_script_stays_as_it_is():
    assert shown("отчёт 報告 é.pdf") == "отчёт 報告 é.pdf"


def test_a_name_that_is_not_text_can_be_shown():
    assert shown("caf\udce9").isprintable()


def test_a_sample_in_which_nothing_was_found_says_it_in_words():
    assert str(cell("no_findings")) == "nothing found"
    assert cell("no_findings").style == "green"


def test_states_are_coloured_and_other_words_are_not():
    assert cell("malicious").style == "bold red"
    assert cell("invoice.pdf").style == ""


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (True, "yes"), (False, "no"), (0, "0"), (-1, "-1")]
)
def test_a_value_reads_as_people_write_it(value: object, text: str):
    assert cell(value).plain == text


def test_times_are_in_utc_to_the_second():
    assert moment(1_700_000_000_999) == "2023-11-14 22:13:20"
    assert moment(0) == "1970-01-01 00:00:00"
    assert moment(None) is None


def test_a_duration_needs_both_ends():
    assert seconds_between(1000, 2500) == "1.50 s"
    assert seconds_between(1000, 1000) == "0.00 s"
    assert seconds_between(1000, None) is None


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]):
    print_json({"file": "é\x1b"})

    assert json.loads(capsys.readouterr().out) == {"file": "é\x1b"}


def test_neither_a_fields_name_nor_its_value_does_anything_to_a_terminal(
    capsys: pytest.CaptureFixture[str],
):
    """A replica names itself."""
    print_fields({"aside \x1b[2J-1@host": "\x1b]0;owned\x07 [red]full[/red]"})

    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "[red]full[/red]" in said
