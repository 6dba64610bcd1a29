from __future__ import annotations

import pytest

from orchestrator.domain.options import options_of

WORKERS = ("strings", "yara")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"depth": 3}, {"depth": 3}),
        ({"strings.depth": 5}, {"depth": 5}),
        ({"yara.depth": 5}, {}),
        # Its own over everybody's, in whichever order they come.
        ({"strings.depth": 5, "depth": 3}, {"depth": 5}),
        ({"depth": 3, "strings.depth": 5}, {"depth": 5}),
        # What begins with no worker's name is for everybody, dots and all.
        ({"meta.sampledb.x": "1"}, {"meta.sampledb.x": "1"}),
        ({"strings.a.b": 1}, {"a.b": 1}),
        ({"strings.": 1, "strings": 2}, {"strings.": 1, "strings": 2}),
    ],
)
def test_a_worker_is_given_what_is_for_everybody_and_what_names_it(given, expected):
    assert options_of("strings", given, workers=WORKERS) == expected
