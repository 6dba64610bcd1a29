"""
Two hundred cases of (sample, registry, policy and rules), as plain JSON.

``python -m tests.contracts.selection.cases`` writes them anew, with what the selection
says today: a change of an answer is then seen in the diff of ``cases.json``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from orchestrator.domain.policy import (
    ClassificationMatch,
    CustomerMatch,
    Match,
    OptionAction,
    Policy,
    Rule,
    Subject,
    SubmissionMatch,
    Tlp,
    WorkerAction,
)
from orchestrator.domain.selection import Candidate, select

FILE = Path(__file__).with_name("cases.json")
COUNT = 200
_SEED = 20261123
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)

_WORKERS = ("document", "executable", "sandbox", "strings", "yara")
_KINDS = (
    ("pe", "executable", "application/vnd.microsoft.portable-executable"),
    ("elf", "executable", "application/x-elf"),
    ("pdf", "document", "application/pdf"),
    ("docx", "document", "application/vnd.openxmlformats-officedocument"),
    ("text", "text", "text/plain; charset=utf-8"),
    ("unknown", "unknown", "application/octet-stream"),
)
_ACCEPTS = (["*"], ["executable"], ["pdf", "docx"], ["text/*"], ["application/*"])


def answer(case: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the selection says of a case."""
    selection = select(
        [_candidate(worker) for worker in case["registry"]],
        _subject(case["sample"]),
        policy=_policy(case["policy"]),
        chosen=case["chosen"],
    )
    return {
        "options": dict(sorted(selection.options.items())),
        "workers": {
            choice.short_name: [choice.selected, choice.reason.value, choice.rule]
            for choice in selection.choices
        },
    }


def _candidate(worker: Mapping[str, Any]) -> Candidate:
    return Candidate(
        worker_id=UUID(int=_WORKERS.index(worker["name"]) + 1),
        short_name=worker["name"],
        has_manifest=worker["manifest"],
        enabled=worker["enabled"],
        accepts=tuple(worker["accepts"]),
        max_bytes=worker["maxBytes"],
        max_tlp=Tlp(worker["maxTlp"]),
        sends_data_out=worker["sendsOut"],
        version="1" if worker["manifest"] else None,
        poisoned=worker["poisoned"],
    )


def _subject(sample: Mapping[str, Any]) -> Subject:
    return Subject(
        sha256="a" * 64,
        size_bytes=sample["bytes"],
        type=sample["type"],
        super_type=sample["superType"],
        mime_type=sample["mimeType"],
        tlp=Tlp(sample["tlp"]),
        customer=sample["customer"],
        metadata=sample["metaData"],
    )


def _policy(policy: Mapping[str, Any]) -> Policy:
    workers = policy["workers"]
    return Policy(
        workers=None if workers is None else frozenset(workers),
        options=policy["options"],
        rules=tuple(_rule(number, rule) for number, rule in enumerate(policy["rules"])),
    )


def _rule(number: int, rule: Mapping[str, Any]) -> Rule:
    workers, options = rule["workers"], rule["options"]
    return Rule(
        rule_id=UUID(int=1000 - number),
        name=f"rule {number}",
        created_at=_EPOCH + timedelta(seconds=rule["age"]),
        match=_match(rule["match"]),
        workers=WorkerAction(
            set=frozenset(workers["set"]) if "set" in workers else None,
            add=frozenset(workers.get("add", ())),
            remove=frozenset(workers.get("remove", ())),
        ),
        options=OptionAction(
            set=options.get("set"),
            add=options.get("add", {}),
            remove=frozenset(options.get("remove", ())),
        ),
    )


def _match(match: Mapping[str, Any]) -> Match:
    if "customers" in match:
        return CustomerMatch(customers=frozenset(match["customers"]))
    if "keys" in match:
        return SubmissionMatch(
            keys=frozenset(match["keys"]), values=frozenset(match["values"])
        )
    return ClassificationMatch(
        types=frozenset(match["types"]), super_types=frozenset(match["superTypes"])
    )


class _Dice:
    """Draws cases; the same ones for the same seed."""

    def __init__(self) -> None:
        self._random = random.Random(_SEED)

    def case(self) -> dict[str, Any]:
        return {
            "sample": self._sample(),
            "registry": [self._worker(name) for name in _WORKERS],
            "policy": self._policy(),
            "chosen": self._some(_WORKERS) or None if self._often(0.15) else None,
        }

    def _often(self, share: float) -> bool:
        return self._random.random() < share

    def _some(self, names: tuple[str, ...]) -> list[str]:
        return [name for name in names if self._often(0.4)]

    def _sample(self) -> dict[str, Any]:
        kind, super_type, mime_type = self._random.choice(_KINDS)
        return {
            "type": kind,
            "superType": super_type,
            "mimeType": mime_type,
            "bytes": self._random.choice([0, 100, 5_000_000]),
            "tlp": self._random.choice(["clear", "green", "amber"]),
            "customer": self._random.choice(["blue", "red"]),
            "metaData": {"source": "mail"} if self._often(0.5) else {},
        }

    def _worker(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "manifest": self._often(0.85),
            "enabled": self._often(0.9),
            "accepts": self._random.choice(_ACCEPTS) if self._often(0.5) else ["*"],
            "maxBytes": 1_000_000 if self._often(0.2) else None,
            "maxTlp": self._random.choice(["green", "amber", "red", "red"]),
            "sendsOut": self._often(0.2),
            "poisoned": self._often(0.08),
        }

    def _policy(self) -> dict[str, Any]:
        rules = [self._rule() for _ in range(self._random.randrange(4))]
        return {
            "workers": None if self._often(0.3) else self._some(_WORKERS),
            "options": {"depth": "1"} if self._often(0.5) else {},
            "rules": rules,
        }

    def _rule(self) -> dict[str, Any]:
        return {
            "age": self._random.randrange(100),
            "match": self._match(),
            "workers": self._parts(lambda: self._some(_WORKERS), list),
            "options": self._parts(self._options, sorted),
        }

    def _match(self) -> dict[str, Any]:
        kind, super_type, _ = self._random.choice(_KINDS)
        matches: list[dict[str, Any]] = [
            {"customers": [self._random.choice(["blue", "red"])]},
            {"keys": ["source"], "values": ["mail"]},
            {"types": [kind], "superTypes": []},
            {"types": [], "superTypes": [super_type]},
            {"types": [kind], "superTypes": [super_type]},
        ]
        return self._random.choice(matches)

    def _options(self) -> dict[str, str]:
        value = str(self._random.randrange(9))
        return {self._random.choice(["depth", "network", "speed"]): value}

    def _parts(self, draw: Any, names: Any) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        if self._often(0.25):
            parts["set"] = draw()
        if self._often(0.5):
            parts["add"] = draw()
        if self._often(0.3):
            parts["remove"] = names(draw())
        return parts


def main() -> None:
    """Write the cases with today's answers, one per line."""
    dice = _Dice()
    cases = [dice.case() for _ in range(COUNT)]
    lines = [json.dumps({**case, "expected": answer(case)}) for case in cases]
    FILE.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
