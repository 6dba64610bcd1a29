"""
The default policy and its rules: what runs on which sample unless a job says otherwise.

Owns the order in which rules apply and what they change. It knows no worker: whether
one may run is for ``domain/selection.py`` to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import product
from typing import assert_never
from uuid import UUID


class Tlp(StrEnum):
    """Traffic Light Protocol: how far a sample may travel, freest first."""

    CLEAR = "clear"
    GREEN = "green"
    AMBER = "amber"
    RED = "red"


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The sample to look at; ``customer`` and ``metadata`` are its submission's."""

    sha256: str
    size_bytes: int
    type: str
    super_type: str
    mime_type: str
    tlp: Tlp = Tlp.AMBER
    customer: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassificationMatch:
    """Matches a kind of file; when both are given, both must fit."""

    types: frozenset[str] = frozenset()
    super_types: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomerMatch:
    """Matches samples submitted for one of these customers."""

    customers: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmissionMatch:
    """Matches submissions in whose metadata one of the keys has one of the values."""

    keys: frozenset[str]
    values: frozenset[str]


Match = ClassificationMatch | CustomerMatch | SubmissionMatch

#: From the general to the particular, so that what is known about one submission has
#: the last word over what is known about a kind of file.
_KIND_ORDER: tuple[type[Match], ...] = (
    ClassificationMatch,
    CustomerMatch,
    SubmissionMatch,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerAction:
    """Changes of the workers: ``set`` (``None``: no change), then add, then remove."""

    set: frozenset[str] | None = None
    add: frozenset[str] = frozenset()
    remove: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class OptionAction:
    """Changes of the options: ``set`` (``None``: no change), then add, then remove."""

    set: Mapping[str, str] | None = None
    add: Mapping[str, str] = field(default_factory=dict)
    remove: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """An exception to the default policy."""

    rule_id: UUID
    name: str
    created_at: datetime
    match: Match
    workers: WorkerAction = field(default_factory=WorkerAction)
    options: OptionAction = field(default_factory=OptionAction)


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """
    The default policy and its rules.

    ``workers`` is ``None`` until somebody sets it; the policy then holds every enabled
    worker that has sent a manifest.
    """

    workers: frozenset[str] | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()


def matching_rules(policy: Policy, subject: Subject) -> tuple[Rule, ...]:
    """Return the rules that match, in the order in which they apply."""
    matching = [rule for rule in policy.rules if _matches(rule.match, subject)]
    return tuple(sorted(matching, key=_precedence))


def wanted_after(action: WorkerAction, short_name: str, *, wanted: bool) -> bool:
    """Whether a worker is wanted after *action*, given whether it was *wanted*."""
    # Remove is applied last and therefore decides first.
    if short_name in action.remove:
        return False
    if short_name in action.add:
        return True
    return wanted if action.set is None else short_name in action.set


def options_after(policy: Policy, rules: Iterable[Rule]) -> dict[str, str]:
    """Return the policy's options as *rules*, in this order, change them."""
    options = dict(policy.options)
    for action in (rule.options for rule in rules):
        if action.set is not None:
            options = dict(action.set)
        options |= action.add
        for key in action.remove:
            options.pop(key, None)
    return options


def claims(match: Match) -> frozenset[tuple[str, ...]]:
    """
    Return what a match lays claim to; two rules must not claim the same.

    A customer, a pair of metadata key and value, or a type, a super type or a pair of
    both. Overlaps across kinds are meant: they apply in turn.

    Source: http-api.md §12.3.
    """
    match match:
        case CustomerMatch():
            return frozenset(("customer", customer) for customer in match.customers)
        case SubmissionMatch():
            pairs = product(match.keys, match.values)
            return frozenset(("submission", key, value) for key, value in pairs)
        case ClassificationMatch():
            # An empty side fits everything, and is claimed as such.
            pairs = product(match.types or {""}, match.super_types or {""})
            return frozenset(("classification", *pair) for pair in pairs)
        case _:
            assert_never(match)


def _precedence(rule: Rule) -> tuple[int, datetime, UUID]:
    # The id makes the order total: two rules may be created in one transaction.
    return _KIND_ORDER.index(type(rule.match)), rule.created_at, rule.rule_id


def _matches(match: Match, subject: Subject) -> bool:
    match match:
        case ClassificationMatch():
            return _matches_classification(match, subject)
        case CustomerMatch():
            return subject.customer in match.customers
        case SubmissionMatch():
            return any(subject.metadata.get(key) in match.values for key in match.keys)
        case _:
            assert_never(match)


def _matches_classification(match: ClassificationMatch, subject: Subject) -> bool:
    return (not match.types or subject.type in match.types) and (
        not match.super_types or subject.super_type in match.super_types
    )
