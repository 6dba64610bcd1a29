"""
What can be wrong, as one tree. Knows nothing of HTTP: ``api/http/errors.py`` maps it.

* AssayError
    * InvalidError                the caller's words are off: the field is named
        * UnknownWorkerError
        * SampleTooLargeError
        * AttemptTooLargeError
    * LimitExceededError          the caller has had enough for now
    * WholeSampleNeededError      no part of it proves that one has it
    * NotFoundError
    * ConflictError               well-formed, but the state does not allow it
        * IllegalTransitionError
        * HeldByOtherError
        * IdempotencyConflictError
    * AuthenticationError
    * PermissionDeniedError
    * SampleMissingError          the row is here, the bytes are not
    * UnavailableError            not now; the same again may succeed
        * StoreUnavailableError
        * BusyError
    * SupersededError             another process has taken over
    * ConfigurationError          a setting is missing or wrong
"""

from __future__ import annotations


class AssayError(Exception):
    """Base of everything that Assay itself raises."""

    code = "assay_error"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        #: The field, parameter or setting that is wrong, where there is one.
        self.field = field


class InvalidError(AssayError):
    """An argument is missing, of the wrong type or out of range."""

    code = "invalid"


class UnknownWorkerError(InvalidError):
    """No registered worker has this name."""

    code = "unknown_worker"


class SampleTooLargeError(InvalidError):
    """The sample is above ``ASSAY_SAMPLE_MAX_BYTES``."""

    code = "sample_too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"the sample is larger than {limit_bytes} bytes (ASSAY_SAMPLE_MAX_BYTES)",
            field="body",
        )
        self.limit_bytes = limit_bytes


class AttemptTooLargeError(InvalidError):
    """
    The files of one attempt are together above ``ASSAY_ATTEMPT_MAX_BYTES``, or more
    than a report can name.
    """

    code = "attempt_too_large"

    def __init__(self, *, files_max: int, limit_bytes: int) -> None:
        super().__init__(
            f"the files of this attempt are together larger than {limit_bytes} bytes"
            f" (ASSAY_ATTEMPT_MAX_BYTES), or more than {files_max}",
            field="body",
        )


class LimitExceededError(AssayError):
    """The caller has had as much as is allowed; more later."""

    code = "limit_exceeded"

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        #: Seconds after which it may succeed.
        self.retry_after_seconds = retry_after_seconds


class WholeSampleNeededError(AssayError):
    """A part of the sample, or an answer of this user's, would prove nothing."""

    code = "whole_sample_needed"


class NotFoundError(AssayError):
    """There is no such thing."""

    code = "not_found"


class ConflictError(AssayError):
    """The request is well-formed, but the present state does not allow it."""

    code = "conflict"


class IllegalTransitionError(ConflictError):
    """The table of states has no such move."""

    code = "illegal_transition"


class HeldByOtherError(ConflictError):
    """Somebody else has this attempt in hand."""

    code = "held_by_other"


class IdempotencyConflictError(ConflictError):
    """The same idempotency key came with other content."""

    code = "idempotency_conflict"


class AuthenticationError(AssayError):
    """
    The key is missing, unknown, revoked or expired.

    ``reason``: in a word, where a key came; ``prefix``: its public part, where there is
    such a key.
    """

    code = "authentication_failed"

    def __init__(
        self, message: str, *, reason: str | None = None, prefix: str | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.prefix = prefix


class PermissionDeniedError(AssayError):
    """The key is good, but its role does not allow this."""

    code = "permission_denied"


class SampleMissingError(AssayError):
    """The sample is known, but its bytes are not in the store."""

    code = "sample_missing"


class UnavailableError(AssayError):
    """Something that is needed does not answer now; nothing was done."""

    code = "unavailable"


class StoreUnavailableError(UnavailableError):
    """The sample store is away, full or forbidden."""

    code = "store_unavailable"


class BusyError(UnavailableError):
    """More is asked for than can be done now."""

    code = "busy"


class SupersededError(AssayError):
    """Another process has taken over this one's part; stop."""

    code = "superseded"


class ConfigurationError(AssayError):
    """A setting is missing or wrong; the message says which and how to set it."""

    code = "configuration"
