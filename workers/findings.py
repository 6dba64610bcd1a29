"""
How the bundled analyzers turn what they found into a score that explains itself.

An analyzer declares its kinds of finding in one table, with their points. The score is
the sum of the points of the kinds that were found, each counted once however often it
occurs; where kinds overlap by nature, it is the highest. Nothing here knows a format.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from workers import Analysis, Detection, Tag
from workers.analysis import JSON

#: A finding this strong is malicious by itself: where verdicts turn malicious.
MALICIOUS_POINTS = 70

_TEXT_LIMIT = 256
_SUMMARY_LIMIT = 2000
#: Of what was cut, what is told: a hostile file can have thousands of things too many.
_CUTS_TOLD = 20
_CUTS_SUMMED_UP = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """
    One kind of finding.

    ``points``: what it adds to the score, 0 for a plain observation.
    ``reason``: the sentence that explains those points.
    ``behaviour``: value of the behaviour tag that it gives the sample, if any.
    """

    points: int
    reason: str
    behaviour: str | None = None


class Findings:
    """Collects the findings of one analysis."""

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        *,
        highest: int = 100,
        per_kind: int = 50,
        strongest_only: bool = False,
    ) -> None:
        """
        Start without findings.

        Args:
            kinds: The table of the analyzer.
            highest: The score never exceeds it, whatever the sum.
            per_kind: Findings kept of each kind; further ones are only counted.
            strongest_only: The score is the highest points instead of the sum, for
                kinds that overlap by nature.
        """
        self._kinds = kinds
        self._highest = highest
        self._per_kind = per_kind
        self._strongest_only = strongest_only
        self._seen: Counter[str] = Counter()
        self._rows: list[dict[str, str]] = []
        self._cuts: dict[str, str] = {}

    def add(self, kind: str, **details: str | None) -> None:
        """Note one finding; an exact repetition changes nothing."""
        given = {name: clean(text) for name, text in details.items() if text}
        row = {"kind": kind, **given}
        if row in self._rows[-self._per_kind :]:
            return
        self._seen[kind] += 1
        if self._seen[kind] <= self._per_kind:
            self._rows.append(row)

    def cut(self, what: str, amount: str) -> None:
        """Note that *what* is not all in the result; *amount*: ``200 of 1500``, say."""
        name = clean(what)
        if name in self._cuts or len(self._cuts) < _CUTS_TOLD:
            self._cuts[name] = clean(amount)

    def __contains__(self, kind: str) -> bool:
        return kind in self._seen

    @property
    def score(self) -> int:
        """The sum of the points (or the highest), -1 when nothing scored."""
        return min(self._total(), self._highest) or -1

    def analysis(self, facts: Mapping[str, JSON]) -> Analysis:
        """Put *facts* and the findings together; the shape is :func:`schema`."""
        reasons = [
            {"points": self._kinds[kind].points, "reason": self._kinds[kind].reason}
            for kind in self._scoring()
        ]
        cuts = self._all_cuts()
        summary = self._summary(_told(cuts))
        return Analysis(
            score=self.score,
            result={
                **facts,
                "findings": self._rows,
                "reasons": reasons,
                "summary": summary,
                "truncated": cuts,
            },
            tags=self._tags(),
            detections=[_detection(kind, self._kinds[kind]) for kind in self._seen],
            possible_detections=len(self._kinds),
            message=summary,
        )

    def _total(self) -> int:
        points = [self._kinds[kind].points for kind in self._seen]
        return max(points, default=0) if self._strongest_only else sum(points)

    def _scoring(self) -> list[str]:
        found = [kind for kind in self._seen if self._kinds[kind].points]
        return sorted(found, key=lambda kind: -self._kinds[kind].points)

    def _tags(self) -> list[Tag]:
        behaviours = {self._kinds[kind].behaviour for kind in self._seen} - {None}
        return [
            Tag(type="behaviour", value=value) for value in sorted(map(str, behaviours))
        ]

    def _all_cuts(self) -> dict[str, str]:
        beyond = {
            f"findings of {kind}": f"{self._per_kind} of {count}"
            for kind, count in self._seen.items()
            if count > self._per_kind
        }
        return {**beyond, **self._cuts}

    def _summary(self, cuts: str) -> str:
        scoring = self._scoring()
        if not scoring:
            return f"Nothing that scores was found.{cuts}"
        parts = "; ".join(
            f"{self._kinds[kind].reason} (+{self._kinds[kind].points})"
            for kind in scoring
        )
        rule = ", the strongest of" if self._strongest_only else ""
        if self._total() > self._highest:
            rule = f", capped at {self._highest}"
        return clean(f"Score {self.score}{rule}: {parts}", _SUMMARY_LIMIT) + cuts


def schema(facts: Mapping[str, JSON]) -> dict[str, JSON]:
    """JSON Schema of a result: *facts* are its properties beside the common ones."""
    text = {"type": "string"}
    return strict(
        {
            **facts,
            "findings": array(
                {
                    "type": "object",
                    "properties": {
                        "kind": text,
                        "name": text,
                        "module": text,
                        "where": text,
                        "detail": text,
                    },
                    "required": ["kind"],
                    "additionalProperties": False,
                }
            ),
            "reasons": array(strict({"points": {"type": "integer"}, "reason": text})),
            "summary": text,
            "truncated": {"type": "object", "additionalProperties": text},
        }
    )


def strict(properties: Mapping[str, JSON]) -> dict[str, JSON]:
    """JSON Schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def array(items: Mapping[str, JSON]) -> dict[str, JSON]:
    """JSON Schema of a list of *items*."""
    return {"type": "array", "items": dict(items)}


def clean(text: str | bytes, limit: int = _TEXT_LIMIT) -> str:
    """
    Make text of a sample fit for a result: printable, at most *limit* characters.

    PostgreSQL refuses NUL and lone surrogates in JSON, and control characters would
    reach somebody's terminal; a sample can hold all of them.
    """
    if isinstance(text, bytes):
        text = text[: limit * 4].decode("utf-8", "replace")
    shown = "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for char in text[: limit + 1]
    )
    if len(shown) <= limit:
        return shown
    return shown[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _told(cuts: Mapping[str, str]) -> str:
    """The sentence that ends a summary where something was cut."""
    if not cuts:
        return ""
    parts = [f"{what} ({amount})" for what, amount in cuts.items()]
    rest = len(parts) - _CUTS_SUMMED_UP
    more = f" and {rest} more" if rest > 0 else ""
    return f" Not all is shown: {', '.join(parts[:_CUTS_SUMMED_UP])}{more}."


def _detection(name: str, kind: Kind) -> Detection:
    if kind.points >= MALICIOUS_POINTS:
        return Detection(name=name, assessment="malicious")
    if kind.points:
        return Detection(name=name, assessment="unknown")
    return Detection(name=name, assessment="informational")
