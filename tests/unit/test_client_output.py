from __future__ import annotations

import io
import json
from collections.abc import Sequence

import pytest
from rich.console import Console

from orchestrator.domain.words import shown
from orchestrator.terminal.output import print_fields, print_json, print_line
from orchestrator.terminal.tables import cell, plain_lines, table
from orchestrator.terminal.words import (
    duration,
    first_line,
    known_by_beginning,
    known_by_end,
    moment,
    precise_moment,
    size,
    time_between,
)

JOB = "0199b3c4-1111-7222-8333-0123456789ab"


def on_a_terminal(columns: list[str], *rows: Sequence[object]) -> list[str]:
    """Return the lines of a table at 80 columns, without colours."""
    console = Console(file=io.StringIO(), force_terminal=True, width=80, no_color=True)
    console.print(table(columns, rows, width=80))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "")
    return text.splitlines()


def test_piped_rows_are_aligned_lines_without_trailing_spaces():
    lines = plain_lines(("a", "long"), [("wide cell", None), ("b", 7)])

    assert list(lines) == ["a          long", "wide cell  -", "b          7"]


def test_a_piped_row_stays_one_line_however_long():
    (_, row) = plain_lines(("x", "y"), [("y" * 5000, known_by_end(JOB))])

    assert row == "y" * 5000 + "  " + JOB


def test_on_a_terminal_a_row_is_one_line_of_its_width():
    lines = on_a_terminal(["job", "file"], [known_by_end(JOB), "name " * 50])

    assert [len(line) for line in lines] == [80, 80]
    assert lines[1].startswith("456789ab  name name")
    assert lines[1].endswith("…")


def test_on_a_terminal_a_hash_is_known_by_its_beginning():
    lines = on_a_terminal(["sample"], [known_by_beginning("ab" * 32)])

    assert lines[1].split() == ["abababababab"]


def test_what_matters_least_is_left_out_before_a_row_is_two():
    columns = [f"column {number}" for number in range(9)]

    lines = on_a_terminal(columns, ["long text " * 9] * 9)

    assert len(lines) == 2
    assert lines[0].split("  ")[0].strip() == "column 0"
    assert "column 8" not in lines[0]


def test_what_is_short_is_not_cut_for_what_is_long():
    (_, row) = on_a_terminal(
        ["what", "reason", "message"],
        ["executing", "worker_disabled", "m" * 200],
    )

    assert row.startswith("executing  worker_disabled  mmm")


def test_neither_a_time_nor_an_id_is_ever_cut():
    row = [moment(0), known_by_end(JOB), "x" * 100, "y" * 100]

    (_, shown_row) = on_a_terminal(["when", "job", "a", "b"], row)

    assert shown_row.startswith("1970-01-01 00:00:00  456789ab  x")
    assert len(shown_row) <= 80


def test_wide_characters_count_as_two():
    (_, row) = on_a_terminal(["file", "state"], ["報告" * 50, "done"])

    assert row.split()[-1] == "done"


def test_numbers_stand_below_each_other():
    lines = on_a_terminal(["score"], [7], [100], [None])

    assert lines == ["score", "    7", "  100", "    -"]


def test_markup_in_a_file_name_is_only_text():
    assert "[/red] [bold]x" in on_a_terminal(["f"], ["[/red] [bold]x"])[1]
    assert list(plain_lines(("f",), [("[/red]",)]))[1] == "[/red]"


@pytest.mark.parametrize(
    "text",
    ["\x1b[2Jgone", "two\nlines", "\x07", "\u202egpj.exe", "\u2067x\u2069", "\x9b2J"],
)
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
    assert str(moment(1_700_000_000_999)) == "2023-11-14 22:13:20"
    assert str(moment(0)) == "1970-01-01 00:00:00"
    assert moment(None) is None


def test_a_moment_of_a_story_is_known_to_the_millisecond():
    assert str(precise_moment(1_700_000_000_007)) == "2023-11-14 22:13:20.007"
    assert precise_moment(None) is None


def test_a_duration_needs_both_ends():
    assert str(time_between(1000, 2500)) == "1.50 s"
    assert str(time_between(1000, 1000)) == "0.00 s"
    assert time_between(1000, None) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (59.9, "59.90 s"),
        (59.999, "1 min 0 s"),
        (125, "2 min 5 s"),
        (3_599.9, "1 h 0 min"),
        (7_320, "2 h 2 min"),
        (180_000, "2 d 2 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, text: str):
    assert str(duration(seconds)) == text


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (5 * 2**20, "5.0 MiB"),
        (3 * 2**40, "3072.0 GiB"),
    ],
)
def test_a_size_has_its_unit(length: int, text: str):
    assert str(size(length)) == text


def test_the_first_line_is_the_first_that_says_something():
    assert first_line("\n  \nwhy\nmore") == "why"
    assert first_line(None) is None


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]):
    print_json({"file": "é\x1b"})

    assert json.loads(capsys.readouterr().out) == {"file": "é\x1b"}


def test_neither_a_fields_name_nor_its_value_does_anything_to_a_terminal(
    capsys: pytest.CaptureFixture[str],
):
    """A replica names itself."""
    print_fields({"aside \x1b[2J-1@host": "\x1b]0;owned\x07 [red]full[/red]"})
    print_line("\x1b[2J[bold]")

    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "[red]full[/red]" in said
    assert "[bold]" in said
