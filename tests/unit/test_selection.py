from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from orchestrator.domain.selection import (
    Candidate,
    Choice,
    Selection,
    SelectionReason,
    accepts,
    select,
    unknown_names,
)

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
NAMES = ("elf", "office", "pe", "strings", "yara")
SELECTING = {
    SelectionReason.DEFAULT_POLICY,
    SelectionReason.RULE,
    SelectionReason.CHOSEN,
}
TEXT = Subject(
    sha256="a" * 64,
    size_bytes=200,
    type="txt",
    super_type="text",
    mime_type="text/plain",
    customer="default",
    metadata={"source": "mail"},
)


def unknown_subject(**fields: Any) -> Subject:
    """Return a sample of which nobody knows what it is."""
    base = Subject(
        sha256="a" * 64,
        size_bytes=1,
        type="unknown",
        super_type="unknown",
        mime_type="application/octet-stream",
    )
    return replace(base, **fields)


MATCHING_TEXT: dict[str, Match] = {
    "classification": ClassificationMatch(types=frozenset({"txt"})),
    "customer": CustomerMatch(customers=frozenset({"default"})),
    "submission": SubmissionMatch(
        keys=frozenset({"source"}), values=frozenset({"mail", "web"})
    ),
}


def candidate(name: str = "yara", *, has_manifest: bool = True, **fields) -> Candidate:
    number = NAMES.index(name) + 1
    return Candidate(
        worker_id=UUID(int=number), short_name=name, has_manifest=has_manifest, **fields
    )


def rule(
    name: str = "a rule", *, kind: str = "customer", at: int = 0, **fields
) -> Rule:
    return Rule(
        # Ids run against time, so that none can stand in for it.
        rule_id=UUID(int=10_000 - at),
        name=name,
        created_at=EPOCH + timedelta(seconds=at),
        match=fields.pop("match", MATCHING_TEXT[kind]),
        **fields,
    )


def adding(*names: str) -> WorkerAction:
    return WorkerAction(add=frozenset(names))


def removing(*names: str) -> WorkerAction:
    return WorkerAction(remove=frozenset(names))


def setting(*names: str) -> WorkerAction:
    return WorkerAction(set=frozenset(names))


def holding(*names: str, rules: tuple[Rule, ...] = ()) -> Policy:
    return Policy(workers=frozenset(names), rules=rules)


def choice_of(
    candidate: Candidate,
    subject: Subject = TEXT,
    *,
    policy: Policy | None = None,
    chosen: list[str] | None = None,
) -> Choice:
    selection = select([candidate], subject, policy=policy or Policy(), chosen=chosen)
    return selection.choices[0]


def names_of(selection: Selection) -> list[str]:
    return [choice.short_name for choice in selection.selected]


# The policy


def test_a_policy_that_nobody_has_set_holds_every_worker_with_a_manifest():
    choice = choice_of(candidate())

    assert choice.selected
    assert choice.reason is SelectionReason.DEFAULT_POLICY


def test_a_policy_that_nobody_has_set_leaves_out_a_worker_without_a_manifest():
    choice = choice_of(candidate(has_manifest=False))

    assert not choice.selected
    assert choice.reason is SelectionReason.NO_MANIFEST
    assert "name the worker in the job or in the default policy" in choice.detail


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        (holding("yara"), None),
        (Policy(), ["yara"]),
        (Policy(rules=(rule(workers=adding("yara")),)), None),
    ],
    ids=["policy", "name", "rule"],
)
def test_a_worker_without_a_manifest_enters_when_somebody_names_it(policy, chosen):
    unknown = candidate(has_manifest=False, accepts=(), max_bytes=0, max_tlp=Tlp.CLEAR)

    assert choice_of(unknown, policy=policy, chosen=chosen).selected


def test_a_set_policy_leaves_out_the_workers_that_it_does_not_have():
    choice = choice_of(candidate("pe"), policy=holding("yara"))

    assert not choice.selected
    assert choice.reason is SelectionReason.NOT_IN_POLICY


@pytest.mark.parametrize("kind", MATCHING_TEXT)
def test_a_matching_rule_adds_a_worker_and_is_named(kind):
    policy = holding("yara", rules=(rule("Texts", kind=kind, workers=adding("pe")),))

    choice = choice_of(candidate("pe"), policy=policy)

    assert choice.selected
    assert (choice.reason, choice.rule) == (SelectionReason.RULE, "Texts")
    assert "'Texts'" in choice.detail


@pytest.mark.parametrize("action", [removing("yara"), setting("pe")])
def test_a_matching_rule_removes_a_worker_and_is_named(action):
    policy = holding("yara", rules=(rule("Not here", workers=action),))

    choice = choice_of(candidate(), policy=policy)

    assert not choice.selected
    assert (choice.reason, choice.rule) == (
        SelectionReason.REMOVED_BY_RULE,
        "Not here",
    )


@pytest.mark.parametrize(
    "match",
    [
        ClassificationMatch(types=frozenset({"pe"})),
        ClassificationMatch(types=frozenset({"txt"}), super_types=frozenset({"x"})),
        CustomerMatch(customers=frozenset({"other"})),
        SubmissionMatch(keys=frozenset({"source"}), values=frozenset({"web"})),
        SubmissionMatch(keys=frozenset({"absent"}), values=frozenset({"mail"})),
    ],
)
def test_a_rule_that_does_not_match_changes_nothing(match):
    ignored = rule(
        match=match,
        workers=removing("yara"),
        options=OptionAction(add={"key": "value"}),
    )
    policy = holding("yara", rules=(ignored,))

    selection = select([candidate()], TEXT, policy=policy)

    assert names_of(selection) == ["yara"]
    assert selection.options == {}


def test_a_rule_that_changes_nothing_is_not_what_decided():
    policy = holding("yara", rules=(rule(workers=adding("yara")),))

    choice = choice_of(candidate(), policy=policy)

    assert choice.reason is SelectionReason.DEFAULT_POLICY
    assert choice.rule is None


@pytest.mark.parametrize(
    ("general", "particular"),
    [("classification", "customer"), ("customer", "submission")],
)
def test_the_more_particular_kind_of_rule_decides_whenever_it_was_created(
    general, particular
):
    removes = rule("removes", kind=general, at=2, workers=removing("pe"))
    adds = rule("adds", kind=particular, at=1, workers=adding("pe"))

    choice = choice_of(candidate("pe"), policy=holding("pe", rules=(removes, adds)))

    assert choice.selected
    assert choice.rule == "adds"


def test_of_two_rules_of_one_kind_the_one_created_later_decides():
    earlier = rule("earlier", at=1, workers=removing("pe"))
    later = rule("later", at=2, workers=adding("pe"))

    choice = choice_of(candidate("pe"), policy=holding(rules=(later, earlier)))

    assert choice.selected


def test_within_a_rule_remove_has_the_last_word_after_set_and_add():
    action = WorkerAction(
        set=frozenset({"elf", "office"}),
        add=frozenset({"pe"}),
        remove=frozenset({"office", "pe"}),
    )
    policy = holding("yara", rules=(rule(workers=action),))

    selection = select(map(candidate, NAMES), TEXT, policy=policy)

    assert names_of(selection) == ["elf"]


def test_the_last_rule_that_writes_an_option_wins():
    policy = Policy(
        options={"deep": "no", "internet": "no"},
        rules=(
            rule(at=2, options=OptionAction(add={"deep": "later"})),
            rule(at=1, options=OptionAction(add={"deep": "earlier", "new": "1"})),
            rule(at=3, options=OptionAction(remove=frozenset({"internet", "absent"}))),
        ),
    )

    selection = select([], TEXT, policy=policy)

    assert selection.options == {"deep": "later", "new": "1"}


def test_within_a_rule_options_are_set_then_added_then_removed():
    action = OptionAction(
        set={"a": "1", "b": "1"}, add={"b": "2", "c": "2"}, remove=frozenset({"c"})
    )
    policy = Policy(options={"old": "0"}, rules=(rule(options=action),))

    assert select([], TEXT, policy=policy).options == {"a": "1", "b": "2"}


# A job for chosen workers


def test_chosen_workers_replace_the_policy_and_its_rules():
    policy = holding("yara", rules=(rule(workers=removing("pe")),))

    selection = select(
        [candidate("yara"), candidate("pe")], TEXT, policy=policy, chosen=["pe"]
    )

    assert [(choice.short_name, choice.reason) for choice in selection.choices] == [
        ("pe", SelectionReason.CHOSEN),
        ("yara", SelectionReason.NOT_CHOSEN),
    ]


def test_chosen_workers_keep_the_options_of_the_policy():
    policy = Policy(options={"deep": "yes"})

    assert select([], TEXT, policy=policy, chosen=["pe"]).options == {"deep": "yes"}


def test_a_job_that_chooses_nobody_selects_nobody():
    assert not choice_of(candidate(), chosen=[]).selected


def test_names_that_nobody_has_are_told_once_and_in_order():
    names = unknown_names([candidate("pe")], ["zip", "pe", "apk", "zip"])

    assert names == ("zip", "apk")


# The gates

GATES = [
    ({"enabled": False}, SelectionReason.NOT_ENABLED, "it is disabled"),
    (
        {"accepts": ("executable", "pdf")},
        SelectionReason.TYPE_NOT_ACCEPTED,
        "accepts executable, pdf, this is text/plain (txt, text)",
    ),
    (
        {"accepts": ()},
        SelectionReason.TYPE_NOT_ACCEPTED,
        "accepts nothing, this is text/plain (txt, text)",
    ),
    (
        {"max_bytes": 199},
        SelectionReason.TOO_LARGE,
        "takes at most 199 bytes, this has 200",
    ),
    (
        {"max_tlp": Tlp.GREEN},
        SelectionReason.TLP,
        "may see at most TLP green, this is amber",
    ),
    (
        {"poisoned": True, "version": "1.2"},
        SelectionReason.POISON,
        "version 1.2 dies of it: clear the poison or run another version",
    ),
]


@pytest.mark.parametrize("chosen", [None, ["yara"]], ids=["policy", "chosen"])
@pytest.mark.parametrize(("fields", "reason", "detail"), GATES)
def test_a_gate_refuses_whoever_wants_the_worker(fields, reason, detail, chosen):
    choice = choice_of(candidate(**fields), chosen=chosen)

    assert not choice.selected
    assert (choice.reason, choice.detail) == (reason, detail)


@pytest.mark.parametrize(
    "fields",
    [{"accepts": ("text",)}, {"max_bytes": 200}, {"max_tlp": Tlp.AMBER}],
)
def test_a_gate_lets_its_limit_pass(fields):
    assert choice_of(candidate(**fields)).selected


@pytest.mark.parametrize("fields", [{"enabled": False}, {"poisoned": True}])
def test_gates_that_need_no_manifest_hold_without_one(fields):
    unknown = candidate(has_manifest=False, **fields)

    assert not choice_of(unknown, chosen=["yara"]).selected


def test_a_gate_does_not_hide_why_an_unwanted_worker_is_unwanted():
    choice = choice_of(candidate(poisoned=True), chosen=["pe"])

    assert choice.reason is SelectionReason.NOT_CHOSEN


@pytest.mark.parametrize("tlp", Tlp)
@pytest.mark.parametrize("max_tlp", Tlp)
def test_what_sends_data_out_never_sees_red(tlp, max_tlp):
    subject = unknown_subject(tlp=tlp)
    order = list(Tlp)

    inside = choice_of(candidate(max_tlp=max_tlp), subject)
    outside = choice_of(candidate(max_tlp=max_tlp, sends_data_out=True), subject)

    assert inside.selected == (order.index(tlp) <= order.index(max_tlp))
    assert outside.selected == (inside.selected and tlp is not Tlp.RED)


def test_it_says_that_sending_data_out_is_what_refuses_red():
    subject = unknown_subject(tlp=Tlp.RED)

    choice = choice_of(candidate(sends_data_out=True), subject)

    assert (
        choice.detail == "may see at most TLP amber as it sends data out, this is red"
    )


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("*", True),
        ("docx", True),
        ("DOCX", True),
        ("document", True),
        ("application/*", True),
        ("application/vnd.*", True),
        ("*/vnd.ms-word", True),
        ("application/vnd.ms-word", True),
        ("doc", False),
        ("doc*", False),
        ("text/*", False),
        ("application", False),
        ("", False),
    ],
)
def test_a_pattern_fits_type_super_type_or_mime_type(pattern, fits):
    document = Subject(
        sha256="a" * 64,
        size_bytes=1,
        type="docx",
        super_type="document",
        mime_type="Application/vnd.ms-word; charset=binary",
    )

    assert accepts([pattern], document) is fits


@pytest.mark.parametrize(("pattern", "fits"), [("*", True), ("pe", False)])
def test_a_sample_of_unknown_kind_passes_only_what_fits_it(pattern, fits):
    assert accepts([pattern], unknown_subject(size_bytes=0)) is fits


# Everything at once

names = st.frozensets(st.sampled_from(NAMES))
actions = st.builds(WorkerAction, set=st.none() | names, add=names, remove=names)
rules = st.builds(
    rule,
    st.text(min_size=1, max_size=5),
    kind=st.sampled_from(sorted(MATCHING_TEXT)),
    at=st.integers(min_value=0, max_value=1000),
    workers=actions,
)
policies = st.builds(
    Policy,
    workers=st.none() | names,
    rules=st.lists(rules, max_size=5, unique_by=lambda rule: rule.rule_id).map(tuple),
)
registries = st.lists(
    st.builds(
        candidate,
        st.sampled_from(NAMES),
        has_manifest=st.booleans(),
        enabled=st.booleans(),
        accepts=st.sampled_from([("*",), ("text",), ("executable",), ("text/*",)]),
        max_bytes=st.sampled_from([None, 100, 200]),
        max_tlp=st.sampled_from(Tlp),
        sends_data_out=st.booleans(),
        poisoned=st.booleans(),
    ),
    unique_by=lambda candidate: candidate.short_name,
)
jobs = st.none() | st.lists(st.sampled_from(NAMES))


def wanted_by_sets(registry, policy, chosen) -> set[str]:
    """The policy as algebra on whole sets: another way to the same workers."""
    if chosen is not None:
        return set(chosen)
    known = {candidate.short_name for candidate in registry if candidate.has_manifest}
    workers = known if policy.workers is None else set(policy.workers)
    for kind in ("classification", "customer", "submission"):
        same = [rule for rule in policy.rules if rule.match == MATCHING_TEXT[kind]]
        for rule in sorted(same, key=lambda rule: rule.created_at):
            base = workers if rule.workers.set is None else rule.workers.set
            workers = (set(base) | rule.workers.add) - rule.workers.remove
    return workers


def passes_gates(candidate: Candidate) -> bool:
    fits = not candidate.has_manifest or (
        candidate.accepts != ("executable",)
        and candidate.max_bytes != 100
        and candidate.max_tlp in {Tlp.AMBER, Tlp.RED}
    )
    return candidate.enabled and not candidate.poisoned and fits


@given(registry=registries, policy=policies, chosen=jobs)
def test_selected_is_who_is_wanted_and_passes_the_gates(registry, policy, chosen):
    selection = select(registry, TEXT, policy=policy, chosen=chosen)

    wanted = wanted_by_sets(registry, policy, chosen)
    expected = {
        candidate.short_name
        for candidate in registry
        if candidate.short_name in wanted and passes_gates(candidate)
    }
    assert set(names_of(selection)) == expected


@given(registry=registries, policy=policies, chosen=jobs)
def test_every_worker_gets_one_choice_with_a_reason_that_fits(registry, policy, chosen):
    choices = select(registry, TEXT, policy=policy, chosen=chosen).choices

    assert [choice.short_name for choice in choices] == sorted(
        candidate.short_name for candidate in registry
    )
    assert all(choice.selected == (choice.reason in SELECTING) for choice in choices)
    assert all(choice.detail for choice in choices)


@given(registry=registries, policy=policies, chosen=jobs, data=st.data())
def test_the_order_of_workers_and_rules_never_matters(registry, policy, chosen, data):
    shuffled_rules = tuple(data.draw(st.permutations(policy.rules)))
    shuffled_policy = Policy(workers=policy.workers, rules=shuffled_rules)
    shuffled_registry = data.draw(st.permutations(registry))

    assert select(registry, TEXT, policy=policy, chosen=chosen) == select(
        shuffled_registry, TEXT, policy=shuffled_policy, chosen=chosen
    )


def test_every_reason_is_given_by_somebody():
    left_out = rule(workers=removing("yara"))
    seen = {reason for _, reason, _ in GATES} | {
        choice_of(candidate()).reason,
        choice_of(candidate(has_manifest=False)).reason,
        choice_of(candidate(), chosen=["yara"]).reason,
        choice_of(candidate(), chosen=["pe"]).reason,
        choice_of(candidate(), policy=holding("pe")).reason,
        choice_of(candidate(), policy=Policy(rules=(left_out,))).reason,
        choice_of(
            candidate(), policy=holding(rules=(rule(workers=adding("yara")),))
        ).reason,
    }

    assert seen == set(SelectionReason)
