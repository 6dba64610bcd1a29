"""
What several resources share: who, for whom, with what, and the checked kinds of text.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path
from pydantic import AfterValidator, BeforeValidator, Field, Strict, StringConstraints

from orchestrator.api.http.envelope import Form, Shape
from orchestrator.api.http.storable import StorableText
from orchestrator.api.http.times import Millis
from orchestrator.db.users import Customer, UserView, public_number

#: The contract's classes of characters. The first is for names, the second for text.
SHORT_NAME_PATTERN = r"^[a-zA-Z0-9_:\-.]*$"
TEXT_PATTERN = r"""^[\s\w{}$\-().\[\]"'_/\\,*+#:@!?;=]*$"""

#: Characters. The contract publishes no lengths; these keep rows small.
NAME_MAX = 256
TEXT_MAX = 65_536

#: Names in one list: a thousand are more than anybody means.
NAMES_MAX = 1000

#: Bytes of options, as JSON: every assignment carries them through the broker.
OPTIONS_MAX_BYTES = 16 * 1024

ShortText = Annotated[
    str,
    StringConstraints(pattern=SHORT_NAME_PATTERN, min_length=1, max_length=NAME_MAX),
]
SafeText = Annotated[str, StringConstraints(pattern=TEXT_PATTERN, max_length=TEXT_MAX)]


def _as_text(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else value


#: A customer by short name, number or id; the contract's clients write numbers bare.
CustomerRef = Annotated[
    StorableText, Field(max_length=NAME_MAX), BeforeValidator(_as_text)
]

#: {key: value} of a submitter's own.
MetaData = Annotated[
    dict[
        Annotated[StorableText, Field(max_length=NAME_MAX)],
        Annotated[StorableText, Field(max_length=TEXT_MAX)],
    ],
    Field(max_length=100),
]

#: Users by name, number or id.
AccessList = Annotated[tuple[CustomerRef, ...], Field(max_length=NAMES_MAX)]

# JSON has its own numbers and booleans: '5' and 'true' in quotes are mistakes.
StrictInt = Annotated[int, Strict()]
StrictFloat = Annotated[float, Strict()]
StrictBool = Annotated[bool, Strict()]

Tlp = Literal["red", "amber", "green", "clear"]
Override = Literal["malicious", "benign"]

_SHA256_PATTERN = r"^[0-9a-fA-F]{64}$"
Sha256 = Annotated[
    str, StringConstraints(pattern=_SHA256_PATTERN), AfterValidator(str.lower)
]
Sha256Path = Annotated[
    str, Path(pattern=_SHA256_PATTERN, alias="sha256"), AfterValidator(str.lower)
]


class CustomerInfo(Shape):
    """A customer."""

    id: int
    short_name: str
    name: str
    #: The contract's; there is one domain here, which has no name.
    domain: None = None

    @classmethod
    def of(cls, view: Customer) -> CustomerInfo:
        """Shape a customer."""
        return cls(
            id=public_number(view.id), short_name=view.short_name, name=view.name
        )


class UserInfo(Shape):
    """A user."""

    id: int
    name: str
    short_name: str
    type: Literal["user"] = "user"
    customer: CustomerInfo
    flags: tuple[str, ...] = ()
    domain: None = None

    @classmethod
    def of(cls, view: UserView | None) -> UserInfo | None:
        """Shape a user, where there is one."""
        if view is None:
            return None
        return cls(
            id=public_number(view.id),
            name=view.name,
            short_name=view.name,
            customer=CustomerInfo.of(view.customer),
        )


class AccessControl(Shape):
    """A user who may see something besides those of its customer."""

    subject: UserInfo
    granted_by_user: UserInfo | None
    granted_timestamp: Millis


def access_controls(
    acl: Iterable[UserView], granted_by: UserView | None, granted_at: datetime
) -> tuple[AccessControl, ...]:
    """Shape an access list; it was given when the thing was made."""
    return tuple(
        AccessControl(
            subject=subject,
            granted_by_user=UserInfo.of(granted_by),
            granted_timestamp=granted_at,
        )
        for user in acl
        if (subject := UserInfo.of(user)) is not None
    )


class UserAgent(Shape):
    """The program that did it."""

    name: str
    version: str


class UserAgentForm(Form):
    """The program that did it."""

    name: ShortText
    version: SafeText = Field(min_length=1)


class TagForm(Form):
    """A label of a finding."""

    type: Literal["family", "behaviour", "yara"]
    value: SafeText = Field(min_length=1)


class DetectionForm(Form):
    """A named detection that triggered."""

    name: SafeText = Field(min_length=1)
    assessment: Literal["benign", "unknown", "malicious", "informational"]


class Tag(Shape):
    """A label of a finding."""

    type: str
    value: str


class Detection(Shape):
    """A named detection that triggered."""

    name: str
    assessment: str
