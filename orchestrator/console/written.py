"""
A rule as it is given, from how the API shows it: the form in which it can be changed.
"""

from __future__ import annotations

import json
from typing import Any

from orchestrator.api.schemas.policy import RuleResponse


def write_rule(rule: RuleResponse) -> str:
    """Return it as JSON that ``RuleAddRequest`` reads as the same rule."""
    shown = rule.model_dump(mode="json", by_alias=True)
    return pretty(
        {
            "name": shown["name"],
            "description": shown["description"],
            "match": _match(shown["match"]),
            "action": {
                part: _named(changes) for part, changes in shown["action"].items()
            },
        }
    )


def pretty(document: Any) -> str:
    """Return JSON for people."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def _match(shown: dict[str, Any]) -> dict[str, Any]:
    (kind,) = [name for name, value in shown.items() if value is not None]
    if kind == "customer":
        names = [each["shortName"] for each in shown[kind]["customer"]]
        return {"customer": {"customerOrGroup": names}}
    return {kind: shown[kind]}


def _named(changes: dict[str, Any]) -> dict[str, Any]:
    return {
        verb: [_name(each) for each in values]
        for verb, values in changes.items()
        # An empty set is one; what adds nothing is left out.
        if values or (verb == "set" and values is not None)
    }


def _name(each: Any) -> Any:
    is_worker = isinstance(each, dict) and "shortName" in each
    return each["shortName"] if is_worker else each
