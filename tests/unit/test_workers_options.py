"""
Options with a model: what an analyzer is given, and what does not fit.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from orchestrator.contracts import wire
from workers import Analysis, Analyzer, Sample, analyzer
from workers.options import OptionsError


class Window(BaseModel):
    first: int
    last: int = 9


class Options(BaseModel):
    depth: int = Field(default=1, ge=1, le=9)
    window: Window | None = None

    @model_validator(mode="after")
    def _is_not_too_deep(self) -> Options:
        if self.window and self.depth > self.window.last:
            raise ValueError("deeper than the window")
        return self


@analyzer("shaped", version="1", options=Options)
def shaped(sample: Sample[Options]) -> Analysis:
    return Analysis(score=sample.options.depth, result=sample.options.model_dump())


def test_an_analyzer_is_given_its_model():
    assert _found(shaped, {"depth": 3, "window": {"first": 2}}) == {
        "depth": 3,
        "window": {"first": 2, "last": 9},
    }


def test_what_is_not_said_is_filled_in():
    assert _found(shaped, {}) == {"depth": 1, "window": None}


def test_the_text_of_a_policy_is_a_number_where_one_is_wanted():
    assert _found(shaped, {"depth": "3"})["depth"] == 3


def test_an_option_that_the_model_does_not_know_is_for_other_workers():
    assert _found(shaped, {"depth": 3, "rules": "all"})["depth"] == 3


def test_a_model_may_refuse_what_it_does_not_know():
    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")

    @analyzer("strict", version="1", options=Strict)
    def strict(_: Sample[Strict]) -> Analysis:
        return Analysis(score=-1)

    assert _refusal(strict, {"deptj": 3}) == (
        "option deptj: Extra inputs are not permitted; it is 3"
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"depth": 10, "window": {}},
            [
                "option depth: Input should be less than or equal to 9; it is 10",
                "option window.first: Field required",
            ],
        ),
        (
            {"depth": "ten", "window": {"first": None}},
            [
                (
                    "option depth: Input should be a valid integer,"
                    " unable to parse string as an integer; it is 'ten'"
                ),
                "option window.first: Input should be a valid integer; it is None",
            ],
        ),
        (
            {"depth": 5, "window": {"first": 1, "last": 2}},
            [
                (
                    "options: Value error, deeper than the window;"
                    " it is {'depth': 5, 'window': {'first': 1, 'last': 2}}"
                ),
            ],
        ),
    ],
)
def test_each_option_that_does_not_fit_is_named(
    options: Mapping[str, Any], told: Sequence[str]
):
    assert _refusal(shaped, options).splitlines() == told


def test_what_is_told_of_many_options_is_short():
    class Many(BaseModel):
        values: list[int]

    @analyzer("many", version="1", options=Many)
    def many(_: Sample[Many]) -> Analysis:
        return Analysis(score=-1)

    lines = _refusal(many, {"values": ["x" * 10_000] * 50}).splitlines()

    assert len(lines) == 11
    assert lines[-1] == "and 40 more"
    assert max(map(len, lines)) < 300


@pytest.mark.parametrize("given", [dict, "Options", Options()])
def test_what_is_no_model_is_refused_when_it_is_registered(given: object):
    with pytest.raises(ValueError, match=r"options: .* must be a pydantic model"):
        analyzer("wrong", version="1", options=cast("type[Options]", given))


def test_an_analyzer_without_a_model_loads_no_pydantic():
    program = (
        "import sys, workers; from pathlib import Path\n"
        "@workers.analyzer('none', version='1')\n"
        "def none(sample): return workers.Analysis(score=sample.options['a'])\n"
        "sample = workers.Sample(path=Path(), sha256='', size=0, options={'a': 1})\n"
        "print(none(sample).score, 'pydantic' in sys.modules)"
    )

    said = subprocess.check_output([sys.executable, "-c", program], text=True)

    assert said == "1 False\n"


@pytest.mark.parametrize(
    ("name", "most", "of_contract"),
    [
        ("version", "1" * 128, TypeAdapter(wire.Word)),
        ("run_seconds", wire.SECONDS_MAX, TypeAdapter(wire.Seconds)),
        ("max_bytes", wire.BIG_INTEGER_MAX, TypeAdapter(wire.ByteCount)),
    ],
)
def test_the_most_of_an_argument_is_what_the_orchestrator_takes(
    name: str, most: Any, of_contract: TypeAdapter[Any]
):
    """Its numbers stand twice: the contracts load pydantic."""
    more = most + ("1" if isinstance(most, str) else 1)
    arguments: dict[str, Any] = {"name": "most", "version": "1", "run_seconds": 9}

    analyzer(**{**arguments, name: most})
    of_contract.validate_python(most)
    with pytest.raises(ValueError, match=f"^{name}: "):
        analyzer(**{**arguments, name: more})
    with pytest.raises(ValidationError):
        of_contract.validate_python(more)


def test_a_model_without_fields_can_be_given_no_options():
    with pytest.raises(ValueError, match=r"^options: .* must have fields"):
        analyzer("listed", version="1", options=RootModel[list[int]])


def test_nobody_awaits_an_analyzer():
    async def look(sample: Sample) -> Analysis:
        return Analysis(score=sample.size)

    with pytest.raises(ValueError, match=r"^look: must be no async function"):
        analyzer("later", version="1")(look)  # type: ignore[arg-type]


def _found(which: Analyzer, options: Mapping[str, Any]) -> Any:
    return which(_sample(options)).result


def _refusal(which: Analyzer, options: Mapping[str, Any]) -> str:
    with pytest.raises(OptionsError) as refused:
        which(_sample(options))
    return str(refused.value)


def _sample(options: Mapping[str, Any]) -> Sample:
    return Sample(path=Path("none"), sha256="0" * 64, size=0, options=options)


class Login(BaseModel):
    user: str
    password: SecretStr = Field(min_length=6)

    @model_validator(mode="after")
    def _has_a_long_name(self) -> Login:
        if len(self.user) < 3:
            raise ValueError("the name is short")
        return self


class Asking(BaseModel):
    login: Login
    depth: int = 1


@pytest.mark.parametrize(
    "login",
    [
        {"user": "ab", "password": "hunter22"},
        {"user": "abc", "password": "hunt"},
        {"user": "abc", "password": ["hunter22"]},
        ["hunter22"],
    ],
)
def test_a_message_shows_no_value_where_the_model_has_a_secret(login: object):
    """Messages stand with the task, and go to the replica's log."""

    @analyzer("asking", version="1", options=Asking)
    def asking(_: Sample[Asking]) -> Analysis:
        return Analysis(score=-1)

    told = _refusal(asking, {"login": login, "depth": "ten"})

    assert "option login" in told
    assert "option depth: Input should be a valid integer" in told
    assert "hunt" not in told


def test_a_model_may_ask_for_no_value_to_be_shown():
    class Quiet(BaseModel):
        model_config = ConfigDict(hide_input_in_errors=True)

        depth: int

    @analyzer("quiet", version="1", options=Quiet)
    def quiet(_: Sample[Quiet]) -> Analysis:
        return Analysis(score=-1)

    assert "'ten'" not in _refusal(quiet, {"depth": "ten"})


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("name", 5),
        ("name", ".."),
        ("name", "a b"),
        ("version", 1),
        ("version", "1" * 129),
        ("accepts", "pe"),
        ("accepts", [1]),
        ("accepts", [""]),
        ("max_bytes", "10"),
        ("max_bytes", -1),
        ("run_seconds", "10"),
        ("run_seconds", 0),
        ("run_seconds", float("nan")),
        ("run_seconds", float("inf")),
        ("max_tlp", "Red"),
        ("memory_bytes", None),
    ],
)
def test_an_argument_that_the_orchestrator_does_not_take_is_named(
    name: str, given: object
):
    """It was found by the first heartbeat, which said that the broker is lost."""
    arguments: dict[str, Any] = {"name": "wrong", "version": "1", name: given}

    with pytest.raises(ValueError, match=rf"^{name}: .+ must be "):
        analyzer(**arguments)
