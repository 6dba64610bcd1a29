"""
The default policy and its rules, as the API takes and gives them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator

from orchestrator.api.http.envelope import Form, Shape
from orchestrator.api.http.storable import StorableText
from orchestrator.api.http.times import Millis
from orchestrator.api.schemas.common import (
    NAME_MAX,
    NAMES_MAX,
    OPTIONS_MAX_BYTES,
    TEXT_MAX,
    CustomerInfo,
    CustomerRef,
    UserInfo,
)
from orchestrator.catalog.policy import (
    PolicyChange,
    RuleAction,
    RuleChange,
    WorkerNames,
)
from orchestrator.contracts.assignment import Classification
from orchestrator.domain.policy import (
    ClassificationMatch,
    CustomerMatch,
    Match,
    OptionAction,
    SubmissionMatch,
)
from orchestrator.domain.values import Decider
from orchestrator.flow.explain import Explanation
from orchestrator.queries.policy import PolicyView, RuleView, WorkerName

Name = Annotated[StorableText, Field(min_length=1, max_length=NAME_MAX)]
Text = Annotated[StorableText, Field(max_length=TEXT_MAX)]
Names = Annotated[tuple[Name, ...], Field(max_length=NAMES_MAX)]

#: Options in one list, and keys or values of metadata: each with each is what a rule
#: claims.
_PAIRS_MAX = 100


class Option(Form):
    """An option for workers: both are text, and what a value means is theirs to say."""

    key: Name
    value: Text


def _checked(options: tuple[Option, ...]) -> tuple[Option, ...]:
    counted = Counter(option.key for option in options)
    twice = sorted(key for key, times in counted.items() if times > 1)
    if twice:
        raise ValueError(f"has a key twice: {', '.join(twice)}")
    size = sum(
        len(option.key.encode()) + len(option.value.encode()) for option in options
    )
    if size > OPTIONS_MAX_BYTES:
        raise ValueError(f"must not be larger than {OPTIONS_MAX_BYTES} bytes in all")
    return options


Options = Annotated[
    tuple[Option, ...],
    Field(max_length=_PAIRS_MAX),
    AfterValidator(_checked),
]


class PolicyUpdateRequest(Form):
    """What is to change; each list replaces the whole one."""

    workers: Annotated[Names, Field(min_length=1)] | None = None
    options: Options | None = None

    @model_validator(mode="after")
    def _check_something_changes(self) -> Self:
        if self.workers is None and self.options is None:
            raise ValueError("nothing to change; send workers, options or both")
        return self

    def change(self) -> PolicyChange:
        """Return what it says, as the steps take it."""
        options = None if self.options is None else _as_dict(self.options)
        return PolicyChange(workers=self.workers, options=options)


class CustomerMatchForm(Form):
    """Samples that were submitted for one of these customers."""

    customer_or_group: Annotated[
        tuple[CustomerRef, ...], Field(min_length=1, max_length=NAMES_MAX)
    ]


class ClassificationMatchForm(Form):
    """A kind of file; when both are given, both must fit."""

    type: Names = ()
    super_type: Names = ()

    @model_validator(mode="after")
    def _check_one_is_given(self) -> Self:
        if not self.type and not self.super_type:
            raise ValueError("name a type, a superType or both")
        return self


class SubmissionMatchForm(Form):
    """Submissions in whose metadata one of the keys has one of the values."""

    meta_data_key: Annotated[
        tuple[Name, ...], Field(min_length=1, max_length=_PAIRS_MAX)
    ]
    meta_data_value: Annotated[
        tuple[Text, ...], Field(min_length=1, max_length=_PAIRS_MAX)
    ]


class MatchForm(Form):
    """Which samples a rule is for: exactly one of the three."""

    customer: CustomerMatchForm | None = None
    classification: ClassificationMatchForm | None = None
    submission: SubmissionMatchForm | None = None

    @model_validator(mode="after")
    def _check_exactly_one(self) -> Self:
        given = [self.customer, self.classification, self.submission]
        if sum(form is not None for form in given) != 1:
            raise ValueError("give exactly one of customer, classification, submission")
        return self

    def match(self) -> Match:
        """Return what it says, as the steps take it."""
        if self.customer is not None:
            return CustomerMatch(customers=frozenset(self.customer.customer_or_group))
        if self.submission is not None:
            return SubmissionMatch(
                keys=frozenset(self.submission.meta_data_key),
                values=frozenset(self.submission.meta_data_value),
            )
        kind = self.classification or ClassificationMatchForm()
        return ClassificationMatch(
            types=frozenset(kind.type), super_types=frozenset(kind.super_type)
        )


class WorkerActionForm(Form):
    """Workers to set, add and remove, in this order, relative to the policy."""

    set: Names | None = None
    add: Names = ()
    remove: Names = ()


class OptionActionForm(Form):
    """Options to set, add and remove, in this order, relative to the policy."""

    set: Options | None = None
    add: Options = ()
    remove: Names = ()


class ActionForm(Form):
    """What a rule changes: at least one thing."""

    workers: WorkerActionForm = WorkerActionForm()
    options: OptionActionForm = OptionActionForm()

    @model_validator(mode="after")
    def _check_something_changes(self) -> Self:
        both = self.workers, self.options
        is_set = any(part.set is not None for part in both)
        if not is_set and not any(part.add or part.remove for part in both):
            raise ValueError("changes nothing; set, add or remove workers or options")
        return self

    def action(self) -> RuleAction:
        """Return what it says, as the steps take it."""
        workers, options = self.workers, self.options
        return RuleAction(
            workers=WorkerNames(
                set=workers.set, add=workers.add, remove=workers.remove
            ),
            options=OptionAction(
                set=None if options.set is None else _as_dict(options.set),
                add=_as_dict(options.add),
                remove=frozenset(options.remove),
            ),
        )


class RuleAddRequest(Form):
    """A rule."""

    name: Name
    description: Text
    match: MatchForm
    action: ActionForm

    def change(self) -> RuleChange:
        """Return what it says, as the steps take it."""
        return RuleChange(
            name=self.name,
            description=self.description,
            match=self.match.match(),
            action=self.action.action(),
        )


class RuleUpdateRequest(Form):
    """What is to change; a match or an action replaces the whole one."""

    name: Name | None = None
    description: Text | None = None
    match: MatchForm | None = None
    action: ActionForm | None = None

    @model_validator(mode="after")
    def _check_something_changes(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("nothing to change; send at least one field")
        return self

    def change(self) -> RuleChange:
        """Return what it says, as the steps take it."""
        return RuleChange(
            name=self.name,
            description=self.description,
            match=self.match.match() if self.match else None,
            action=self.action.action() if self.action else None,
        )


class WorkerInfo(Shape):
    """A worker, as policy and rules name it."""

    id: UUID
    short_name: str
    localized_name: str

    @classmethod
    def of(cls, view: WorkerName) -> WorkerInfo:
        """Shape a worker's name."""
        return cls(
            id=view.id, short_name=view.short_name, localized_name=view.localized_name
        )


class OptionInfo(Shape):
    """An option for workers."""

    key: str
    value: str


class PolicyResponse(Shape):
    """The default policy."""

    workers: tuple[WorkerInfo, ...]
    options: tuple[OptionInfo, ...]
    last_updated_by_user: UserInfo | None
    last_updated_timestamp: Millis | None

    @classmethod
    def of(cls, view: PolicyView) -> PolicyResponse:
        """Shape the policy."""
        return cls(
            workers=tuple(map(WorkerInfo.of, view.workers)),
            options=_options(view.options),
            last_updated_by_user=UserInfo.of(view.updated_by),
            last_updated_timestamp=view.updated_at,
        )


class CustomerMatchInfo(Shape):
    """Samples that were submitted for one of these customers."""

    customer: tuple[CustomerInfo, ...]


class ClassificationMatchInfo(Shape):
    """A kind of file."""

    type: tuple[str, ...]
    super_type: tuple[str, ...]


class SubmissionMatchInfo(Shape):
    """Submissions with such metadata."""

    meta_data_key: tuple[str, ...]
    meta_data_value: tuple[str, ...]


class MatchInfo(Shape):
    """Which samples a rule is for: one of the three."""

    customer: CustomerMatchInfo | None = None
    classification: ClassificationMatchInfo | None = None
    submission: SubmissionMatchInfo | None = None

    @classmethod
    def of(cls, view: RuleView) -> MatchInfo:
        """Shape a rule's match."""
        found = view.row.match
        if "customers" in found:
            infos = tuple(map(CustomerInfo.of, view.customers))
            return cls(customer=CustomerMatchInfo(customer=infos))
        if "keys" in found:
            return cls(
                submission=SubmissionMatchInfo(
                    meta_data_key=tuple(found["keys"]),
                    meta_data_value=tuple(found["values"]),
                )
            )
        return cls(
            classification=ClassificationMatchInfo(
                type=tuple(found["types"]), super_type=tuple(found["superTypes"])
            )
        )


class WorkerActionInfo(Shape):
    """Changes of the workers; an absent ``set`` sets nothing."""

    set: tuple[WorkerInfo, ...] | None
    add: tuple[WorkerInfo, ...]
    remove: tuple[WorkerInfo, ...]


class OptionActionInfo(Shape):
    """Changes of the options; an absent ``set`` sets nothing."""

    set: tuple[OptionInfo, ...] | None
    add: tuple[OptionInfo, ...]
    remove: tuple[str, ...]


class ActionInfo(Shape):
    """What a rule changes."""

    workers: WorkerActionInfo
    options: OptionActionInfo

    @classmethod
    def of(cls, view: RuleView) -> ActionInfo:
        """Shape a rule's action."""
        workers, options = view.row.action["workers"], view.row.action["options"]
        return cls(
            workers=WorkerActionInfo(
                set=_workers(workers["set"], view) if "set" in workers else None,
                add=_workers(workers.get("add", ()), view),
                remove=_workers(workers.get("remove", ()), view),
            ),
            options=OptionActionInfo(
                set=_options(options["set"]) if "set" in options else None,
                add=_options(options.get("add", {})),
                remove=tuple(options.get("remove", ())),
            ),
        )


class RuleResponse(Shape):
    """An exception to the default policy."""

    id: UUID
    name: str
    description: str
    match: MatchInfo
    action: ActionInfo
    flags: tuple[str, ...]
    created_by_user: UserInfo | None
    created_timestamp: Millis
    last_updated_by_user: UserInfo | None
    last_updated_timestamp: Millis | None
    deleted_by_user: UserInfo | None
    deleted_timestamp: Millis | None

    @classmethod
    def of(cls, view: RuleView) -> RuleResponse:
        """Shape a rule."""
        row = view.row
        return cls(
            id=row.id,
            name=row.name,
            description=row.description,
            match=MatchInfo.of(view),
            action=ActionInfo.of(view),
            flags=("deleted",) if row.deleted_at else (),
            created_by_user=UserInfo.of(view.created_by),
            created_timestamp=row.created_at,
            last_updated_by_user=UserInfo.of(view.updated_by),
            last_updated_timestamp=row.updated_at,
            deleted_by_user=UserInfo.of(view.deleted_by),
            deleted_timestamp=row.deleted_at,
        )


class Choice(Shape):
    """What would become of one worker; ``rule``: the one that decided, if one did."""

    worker: str
    selected: bool
    reason: str
    detail: str
    rule: str | None


class ExplainedKind(Classification):
    """What kind of file it is, who says so, and how sure that is, from 0 to 1."""

    decided_by: Decider
    confidence: float


class PolicyExplanation(Shape):
    """Who would look at a file, with which options, and why the others would not."""

    sha256: str
    classification: ExplainedKind
    options: tuple[OptionInfo, ...]
    workers: tuple[Choice, ...]

    @classmethod
    def of(cls, found: Explanation) -> PolicyExplanation:
        """Shape an explanation."""
        return cls(
            sha256=found.sha256,
            classification=ExplainedKind(
                **found.classification.kind.model_dump(),
                decided_by=found.classification.decided_by,
                confidence=found.classification.confidence,
            ),
            options=_options(found.selection.options),
            workers=tuple(
                Choice(
                    worker=choice.short_name,
                    selected=choice.selected,
                    reason=choice.reason.value,
                    detail=choice.detail,
                    rule=choice.rule,
                )
                for choice in found.selection.choices
            ),
        )


def _as_dict(options: Iterable[Option]) -> dict[str, str]:
    return {option.key: option.value for option in options}


def _options(options: Mapping[str, Any]) -> tuple[OptionInfo, ...]:
    return tuple(
        OptionInfo(key=key, value=value) for key, value in sorted(options.items())
    )


def _workers(ids: Iterable[str], view: RuleView) -> tuple[WorkerInfo, ...]:
    return tuple(WorkerInfo.of(view.workers[worker_id]) for worker_id in ids)
