"""
The bundled analyzer ``yara``: scans a sample with the rules of the folder ``rules``.

The rules are compiled when this module is imported, so that every sandbox child shares
them. A child sees neither settings nor other folders: own rules are added by copying
``*.yar`` files into that folder, and make a new version of the worker. It sets no time
limit of its own, the replica does; YARA-X would start a thread in the child for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yara_x

from workers import Analysis, Detection, Sample, Tag, analyzer
from workers.analysis import JSON
from workers.findings import Findings, Kind, array, schema, strict

RULES_FOLDER = Path(__file__).parent / "rules"

#: Matches that are reported of each pattern; the rest adds nothing a reader would use.
_MATCHES_PER_PATTERN = 16
_ASSESSMENTS = frozenset({"benign", "unknown", "malicious", "informational"})


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleFacts:
    """What the ``meta`` section of a rule may say, and what holds where it does not."""

    description: str = "A rule without a description matched"
    score: int = 40
    assessment: Any = "unknown"
    family: str | None = None
    behaviour: str | None = None


def load_rules(folder: Path) -> tuple[yara_x.Rules, dict[str, RuleFacts], str]:
    """
    Compile every ``*.yar`` file of *folder*, each in a namespace of its file's name.

    Returns:
        The rules, the facts of each by name, and a fingerprint of all sources.

    Raises:
        ValueError: A rule does not compile or its ``meta`` is not usable; the message
            names the file and the remedy.
    """
    compiler = yara_x.Compiler(includes_enabled=False)
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.yar")):
        source = path.read_text(encoding="utf-8")
        digest.update(source.encode())
        compiler.new_namespace(path.stem)
        try:
            compiler.add_source(source, origin=path.name)
        except yara_x.CompileError as exc:
            raise ValueError(f"{path.name}: correct the rule: {exc}") from exc
    rules = compiler.build()
    facts: dict[str, RuleFacts] = {}
    for rule in rules:
        if rule.identifier in facts:
            where = f"{rule.namespace}.yar: rule {rule.identifier}"
            raise ValueError(f"{where}: rename it, another file has one of this name")
        facts[rule.identifier] = _facts(rule)
    return rules, facts, digest.hexdigest()


def _facts(rule: yara_x.Rule) -> RuleFacts:
    known = set(RuleFacts.__slots__)
    given = {name: value for name, value in rule.metadata if name in known}
    facts = RuleFacts(**given)
    where = f"{rule.namespace}.yar: rule {rule.identifier}"
    if facts.assessment not in _ASSESSMENTS:
        choices = ", ".join(sorted(_ASSESSMENTS))
        raise ValueError(f"{where}: assessment must be one of {choices}")
    if type(facts.score) is not int or facts.score not in range(101):
        raise ValueError(f"{where}: score must be a whole number from 0 to 100")
    texts = (facts.description, facts.family or "", facts.behaviour or "")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{where}: description, family and behaviour must be text")
    return facts


_RULES, _FACTS, _FINGERPRINT = load_rules(RULES_FOLDER)
KINDS = {
    name: Kind(points=facts.score, reason=facts.description, behaviour=facts.behaviour)
    for name, facts in _FACTS.items()
}

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}

_SCHEMA = schema(
    {
        "rules": strict({"count": _COUNT, "fingerprint": _TEXT}),
        "matches": array(
            strict(
                {
                    "rule": _TEXT,
                    "namespace": _TEXT,
                    "description": _TEXT,
                    "score": {"type": "integer", "minimum": 0, "maximum": 100},
                    "assessment": {"enum": sorted(_ASSESSMENTS)},
                    "family": {"type": ["string", "null"]},
                    "patterns": array(
                        strict({"identifier": _TEXT, "offsets": array(_COUNT)})
                    ),
                }
            )
        ),
    }
)


@analyzer(
    "yara",
    # The rules are part of what this worker is: changing them makes a new version.
    version=f"2-{_FINGERPRINT[:8]}",
    accepts=["*"],
    run_seconds=60,
    schema=_SCHEMA,
    # It is memory-safe and keeps nothing from one sample to the next.
    reuse_child=True,
    title="YARA rules",
    description="Scans the sample with a folder of YARA rules.",
)
def yara(sample: Sample) -> Analysis:
    """Scan the sample; every rule that matches is a detection with its own score."""
    scanner = yara_x.Scanner(_RULES)
    scanner.max_matches_per_pattern(_MATCHES_PER_PATTERN)
    matching = _scan(scanner, sample)
    findings = Findings(KINDS, strongest_only=True)
    for rule in matching:
        findings.add(rule.identifier, where=rule.namespace)
        for pattern in rule.patterns:
            if len(pattern.matches) == _MATCHES_PER_PATTERN:
                what = f"offsets of {pattern.identifier} in {rule.identifier}"
                findings.cut(what, f"{_MATCHES_PER_PATTERN}, perhaps of more")
    analysis = findings.analysis(
        {
            "rules": {"count": len(_FACTS), "fingerprint": _FINGERPRINT},
            "matches": [_match(rule) for rule in matching],
        }
    )
    names = [rule.identifier for rule in matching]
    return replace(
        analysis, tags=[*_tags(names), *analysis.tags], detections=_detections(names)
    )


def _scan(scanner: yara_x.Scanner, sample: Sample) -> tuple[yara_x.Rule, ...]:
    # A file of no bytes cannot be mapped into memory, which scan_file does.
    if sample.size == 0:
        return scanner.scan(b"").matching_rules
    return scanner.scan_file(str(sample.path)).matching_rules


def _match(rule: yara_x.Rule) -> JSON:
    facts = _FACTS[rule.identifier]
    return {
        "rule": rule.identifier,
        "namespace": rule.namespace,
        "description": facts.description,
        "score": facts.score,
        "assessment": facts.assessment,
        "family": facts.family,
        "patterns": [
            {
                "identifier": pattern.identifier,
                "offsets": [match.offset for match in pattern.matches],
            }
            for pattern in rule.patterns
            if pattern.matches
        ],
    }


def _tags(names: Iterable[str]) -> list[Tag]:
    families = {_FACTS[name].family for name in names} - {None}
    return [
        *(Tag(type="yara", value=name) for name in names),
        *(Tag(type="family", value=value) for value in sorted(map(str, families))),
    ]


def _detections(names: Iterable[str]) -> list[Detection]:
    return [Detection(name=name, assessment=_FACTS[name].assessment) for name in names]
