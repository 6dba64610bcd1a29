"""
Which workers look at a sample, and why the others do not.

Owns the gates and the words that explain each choice, for the fan-out and for
``explain`` alike. It does not look names up: workers are known here by short name,
customers by whatever name the caller has resolved them to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from uuid import UUID

from orchestrator.domain.policy import (
    Policy,
    Rule,
    Subject,
    Tlp,
    matching_rules,
    options_after,
    wanted_after,
)

_RESTRICTION = {tlp: level for level, tlp in enumerate(Tlp)}


class SelectionReason(StrEnum):
    """What decided about one worker. The first three select, the others do not."""

    DEFAULT_POLICY = "default_policy"
    RULE = "rule"
    #: The job names it.
    CHOSEN = "chosen"
    NOT_IN_POLICY = "not_in_policy"
    #: The job names others.
    NOT_CHOSEN = "not_chosen"
    REMOVED_BY_RULE = "removed_by_rule"
    #: Nobody has set the policy, and the worker has never said what it takes.
    NO_MANIFEST = "no_manifest"
    NOT_ENABLED = "not_enabled"
    TYPE_NOT_ACCEPTED = "type_not_accepted"
    TOO_LARGE = "too_large"
    TLP = "tlp"
    POISON = "poison"


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """
    A registered worker, as far as it matters here.

    ``accepts``, ``max_bytes``, ``max_tlp`` and ``sends_data_out`` come from the
    manifest and mean nothing while ``has_manifest`` is false. ``poisoned``: its present
    version dies of this very sample.
    """

    worker_id: UUID
    short_name: str
    has_manifest: bool
    enabled: bool = True
    accepts: tuple[str, ...] = ("*",)
    max_bytes: int | None = None
    max_tlp: Tlp = Tlp.RED
    sends_data_out: bool = False
    version: str | None = None
    poisoned: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """
    What became of one worker.

    ``reason`` is for programs, ``detail`` for people. ``rule`` is the name of the rule
    that decided, where one did.
    """

    worker_id: UUID
    short_name: str
    selected: bool
    reason: SelectionReason
    detail: str
    rule: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """One choice for every candidate, by short name, and the options for all tasks."""

    choices: tuple[Choice, ...]
    options: Mapping[str, str]

    @property
    def selected(self) -> tuple[Choice, ...]:
        """The workers that get a task."""
        return tuple(choice for choice in self.choices if choice.selected)


def select(
    candidates: Iterable[Candidate],
    subject: Subject,
    *,
    policy: Policy,
    chosen: Sequence[str] | None = None,
) -> Selection:
    """
    Decide about every worker.

    Args:
        candidates: All registered workers, in any order, disabled ones included.
        subject: The sample.
        policy: The default policy and all of its rules that are not deleted.
        chosen: Short names that a job asks for. They replace the workers of the policy
            and its rules, but neither the gates nor the options.

    Source: design.md §6; http-api.md §12.
    """
    rules = matching_rules(policy, subject)
    ordered = sorted(
        candidates, key=lambda candidate: (candidate.short_name, candidate.worker_id)
    )
    choices = tuple(
        _gate(candidate, subject, _standing(candidate, policy, rules, chosen))
        for candidate in ordered
    )
    return Selection(choices=choices, options=options_after(policy, rules))


def unknown_names(
    candidates: Iterable[Candidate], chosen: Sequence[str]
) -> tuple[str, ...]:
    """Return the names that no candidate has, each once, in the order of *chosen*."""
    known = {candidate.short_name for candidate in candidates}
    return tuple(name for name in dict.fromkeys(chosen) if name not in known)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Standing:
    """Whether policy, rules or the job want a worker, before the gates."""

    wanted: bool
    reason: SelectionReason
    detail: str
    rule: str | None = None


def _standing(
    candidate: Candidate,
    policy: Policy,
    rules: Sequence[Rule],
    chosen: Sequence[str] | None,
) -> _Standing:
    if chosen is not None:
        return _by_job(candidate.short_name, chosen)
    standing = _by_default_policy(candidate, policy.workers)
    for rule in rules:
        standing = _after_rule(standing, rule, candidate.short_name)
    return standing


def _by_job(name: str, chosen: Sequence[str]) -> _Standing:
    if name in chosen:
        return _Standing(
            wanted=True, reason=SelectionReason.CHOSEN, detail="the job names it"
        )
    return _Standing(
        wanted=False,
        reason=SelectionReason.NOT_CHOSEN,
        detail=f"the job names only {_join(chosen)}",
    )


def _by_default_policy(
    candidate: Candidate, workers: frozenset[str] | None
) -> _Standing:
    if workers is None:
        return _by_unset_policy(candidate)
    if candidate.short_name in workers:
        return _Standing(
            wanted=True,
            reason=SelectionReason.DEFAULT_POLICY,
            detail="the default policy has it",
        )
    return _Standing(
        wanted=False,
        reason=SelectionReason.NOT_IN_POLICY,
        detail="the default policy does not have it and no matching rule adds it",
    )


def _by_unset_policy(candidate: Candidate) -> _Standing:
    if candidate.has_manifest:
        return _Standing(
            wanted=True,
            reason=SelectionReason.DEFAULT_POLICY,
            detail="nobody has set the default policy, so every worker is in it",
        )
    return _Standing(
        wanted=False,
        reason=SelectionReason.NO_MANIFEST,
        detail="no replica of it has ever sent a manifest: start one, or name the"
        " worker in the job or in the default policy",
    )


def _after_rule(standing: _Standing, rule: Rule, name: str) -> _Standing:
    wanted = wanted_after(rule.workers, name, wanted=standing.wanted)
    if wanted == standing.wanted:
        return standing
    if wanted:
        return _Standing(
            wanted=True,
            reason=SelectionReason.RULE,
            detail=f"rule '{rule.name}' adds it",
            rule=rule.name,
        )
    return _Standing(
        wanted=False,
        reason=SelectionReason.REMOVED_BY_RULE,
        detail=f"rule '{rule.name}' removes it",
        rule=rule.name,
    )


def _gate(candidate: Candidate, subject: Subject, standing: _Standing) -> Choice:
    # A disabled worker says so even where nobody asked for it: what an operator sees
    # first should be what they have to change first.
    if not candidate.enabled:
        return _refused(candidate, SelectionReason.NOT_ENABLED, "it is disabled")
    if standing.wanted:
        for reason, detail in _objections(candidate, subject):
            return _refused(candidate, reason, detail)
    return Choice(
        worker_id=candidate.worker_id,
        short_name=candidate.short_name,
        selected=standing.wanted,
        reason=standing.reason,
        detail=standing.detail,
        rule=standing.rule,
    )


def _refused(candidate: Candidate, reason: SelectionReason, detail: str) -> Choice:
    return Choice(
        worker_id=candidate.worker_id,
        short_name=candidate.short_name,
        selected=False,
        reason=reason,
        detail=detail,
    )


def _objections(
    candidate: Candidate, subject: Subject
) -> Iterator[tuple[SelectionReason, str]]:
    # Without a manifest nothing is known that could object.
    if candidate.has_manifest:
        yield from _manifest_objections(candidate, subject)
    if candidate.poisoned:
        version = candidate.version or "unknown"
        detail = (
            f"version {version} dies of it: clear the poison or run another version"
        )
        yield SelectionReason.POISON, detail


def _manifest_objections(
    candidate: Candidate, subject: Subject
) -> Iterator[tuple[SelectionReason, str]]:
    if not accepts(candidate.accepts, subject):
        yield (
            SelectionReason.TYPE_NOT_ACCEPTED,
            f"accepts {_join(candidate.accepts)}, this is {_kind(subject)}",
        )
    if candidate.max_bytes is not None and subject.size_bytes > candidate.max_bytes:
        yield (
            SelectionReason.TOO_LARGE,
            f"takes at most {candidate.max_bytes} bytes, this has {subject.size_bytes}",
        )
    ceiling = _tlp_ceiling(candidate)
    if _RESTRICTION[subject.tlp] > _RESTRICTION[ceiling]:
        because = " as it sends data out" if ceiling != candidate.max_tlp else ""
        yield (
            SelectionReason.TLP,
            f"may see at most TLP {ceiling}{because}, this is {subject.tlp}",
        )


def accepts(patterns: Iterable[str], subject: Subject) -> bool:
    """
    Whether one of a manifest's patterns fits.

    A pattern is a type, a super type, or a MIME type in which ``*`` stands for
    anything; ``*`` alone fits every sample. Case and MIME parameters do not matter.
    """
    kinds = {subject.type.lower(), subject.super_type.lower()}
    mime_type = _bare_mime_type(subject).lower()
    return any(
        pattern in kinds or fnmatchcase(mime_type, pattern)
        for pattern in (listed.lower() for listed in patterns)
    )


def _tlp_ceiling(candidate: Candidate) -> Tlp:
    # Red is for named recipients only; nobody knows who reads what leaves the house.
    if not candidate.sends_data_out:
        return candidate.max_tlp
    return min(candidate.max_tlp, Tlp.AMBER, key=_RESTRICTION.__getitem__)


def _kind(subject: Subject) -> str:
    names = dict.fromkeys((subject.type, subject.super_type))
    return f"{_bare_mime_type(subject)} ({', '.join(names)})"


def _bare_mime_type(subject: Subject) -> str:
    return subject.mime_type.partition(";")[0].strip()


def _join(names: Iterable[str]) -> str:
    return ", ".join(names) or "nothing"
