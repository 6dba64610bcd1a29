"""
What happens to one assignment, from its message to its last report.

Owns the life of an attempt in this replica and the order in which a replica stops. It
knows neither Celery nor how a sandbox works.
"""

from __future__ import annotations

import logging
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import assert_never
from uuid import UUID

from pydantic import ValidationError
from pydantic_core import to_json

from orchestrator.contracts.assignment import Assignment
from orchestrator.contracts.report import (
    FailureReason,
    Report,
    ReportedAnalysis,
)
from workers.analysis import Classification, File
from workers.replica import logs
from workers.replica.aside import Aside
from workers.replica.attempts import Attempt, Attempts
from workers.replica.bystander import Bystander
from workers.replica.door import Door
from workers.replica.fault import MAY_BE_THE_MACHINES, Trouble, untransferred
from workers.replica.identity import Identity, wall_clock
from workers.replica.probe import Probe, of_this_machine
from workers.replica.reporting import Reporter
from workers.replica.results import INLINE_MAX_BYTES, RejectedResultError, ResultCheck
from workers.replica.slots import Slots
from workers.replica.sources import RefusedSourceError
from workers.replica.transfer import (
    AbandonedError,
    OutOfTimeError,
    Transfer,
    TransferError,
    Upload,
)
from workers.replica.work import Work
from workers.sandbox.sandbox import (
    BadResult,
    Crashed,
    Finished,
    Outcome,
    OutOfMemory,
    Raised,
    Run,
    Sandbox,
    SandboxError,
    Stopped,
    TimedOut,
)

log = logging.getLogger(__name__)

#: An analysis that takes longer says ``executing`` first.
EXECUTING_AFTER_SECONDS = 0.25

#: A killed sandbox is gone well within this time.
_KILL_SECONDS = 5.0
#: Longer than it takes to find that the connection is frozen, and to speak on another.
_FLUSH_SECONDS = 7.0
_LOOK_SECONDS = 0.1

#: Characters of a failure's message in the log.
_LOGGED_MAX = 500

_REASONS: dict[type, FailureReason] = {
    Crashed: "crashed",
    OutOfMemory: "out_of_memory",
    BadResult: "bad_result",
}


class Runtime:
    """
    The working part of a replica.

    Args:
        identity: Who it is.
        sandbox: Already started, with as many slots as *identity* says.
        check: Of the analyzer's results.
        scratch: A folder of its own, for results too large for a message.
        standing: Its troubles; the heartbeat tells of them.
        probe: Looks whether they are over.
        door: Kept shut until they are.
    """

    def __init__(  # noqa: PLR0913  (its parts, by name)
        self,
        identity: Identity,
        *,
        attempts: Attempts,
        reporter: Reporter,
        transfer: Transfer,
        sandbox: Sandbox,
        check: ResultCheck,
        scratch: Path,
        standing: Aside,
        probe: Probe,
        door: Door,
    ) -> None:
        self._identity = identity
        self._attempts = attempts
        self._reporter = reporter
        self._transfer = transfer
        self._sandbox = sandbox
        self._scratch = scratch
        self._check = check
        self._slots = Slots(identity.slots)
        self._stopping = False
        self._hurry = False
        self._discarded = 0
        self._bystander = Bystander(
            standing,
            probe,
            door,
            release=self.release_unstarted,
            is_leaving=lambda: self._stopping,
        )

    def perform(self, message: object, token: object) -> Report | None:
        """
        Do what one message asks, and hand its report to the reporter.

        Args:
            message: An assignment as JSON; anything else is logged and dropped.
            token: The attempt's token, which travels beside the message.

        Returns:
            The last report, or ``None`` when nothing is said: the message was garbage,
            the attempt is in hand already, or it was stopped.
        """
        assignment = self._read(message)
        if assignment is None or not isinstance(token, str) or not token:
            self._discard("no token" if assignment else "not an assignment of ours")
            return None
        logs.bind(
            job=str(assignment.job_id),
            task=str(assignment.task_id),
            attempt=assignment.attempt,
        )
        # A slot first: while it waits for one, nobody counts it as running.
        with self._slots.taken(alone=assignment.alone) as slot:
            key = (assignment.task_id, assignment.attempt)
            attempt = self._attempts.begin(*key, token)
            if attempt is None:
                log.info("attempt.refused")
                return None
            report = self._take_up(assignment, attempt, slot)
        # The attempt is somebody else's by now; this slot waits, and so does its child.
        if self._bystander.why():
            self._sandbox.rest()
        self._bystander.hold()
        return report

    def _take_up(
        self, assignment: Assignment, attempt: Attempt, slot: int
    ) -> Report | None:
        reported = False
        try:
            report = self._guarded(self._new_run(assignment, attempt), slot)
            reported = report is not None
            if report is None or report.kind != "success":
                # What worked is in the database: a line of each costs a tenth of it.
                log.info("attempt.ended", extra=_outcome(report))
            if report is not None:
                self._attempts.end(attempt)
                self._reporter.put(report, partial(self._attempts.forget, attempt))
            return report
        finally:
            self._attempts.leave(attempt, reported=reported)

    def rest(self) -> None:
        """Have nothing go on of what was analysed; for a slot that has no work."""
        self._sandbox.rest()

    def release_unstarted(self, why: str | None = None) -> None:
        """Give back what waits for a slot: others may have one."""
        for attempt in self._attempts.drop_unstarted():
            report = self._identity.report(attempt, "released", message=why)
            self._reporter.put(report, lambda: None)

    def announce_stop(self, *, hurry: bool) -> None:
        """
        Take nothing up any more; with *hurry*, or called again, give no grace either.

        Made to be called in a signal handler: it takes no lock.
        """
        self._hurry = self._hurry or hurry or self._stopping
        self._stopping = True

    def stop(self, *, grace_seconds: float) -> None:
        """
        End: what waits is released, what runs gets the grace, then it is killed.

        Returns when the last heartbeat is out, or the broker stayed away too long.
        """
        self._stopping = True
        self.release_unstarted()
        self._wait_for_the_running(grace_seconds)
        self._attempts.interrupt()
        if not self._attempts.wait_until_idle(_KILL_SECONDS):
            log.error("replica.stuck", extra={"why": "an analysis outlived its end"})
        self._reporter.close(_FLUSH_SECONDS)
        self._transfer.close()

    def _wait_for_the_running(self, grace_seconds: float) -> None:
        deadline = time.monotonic() + grace_seconds
        while not self._hurry and time.monotonic() < deadline:
            if self._attempts.wait_until_idle(_LOOK_SECONDS):
                return

    def _new_run(self, assignment: Assignment, attempt: Attempt) -> Work:
        report = partial(self._identity.report, attempt, started_at=wall_clock())
        return Work(assignment=assignment, attempt=attempt, report=report)

    def _read(self, message: object) -> Assignment | None:
        try:
            assignment = Assignment.model_validate(message)
        except ValidationError:
            return None
        return assignment if assignment.worker == self._identity.analyzer.name else None

    def _discard(self, why: str) -> None:
        self._discarded += 1
        fields = {"reason": why, "so_far": self._discarded}
        log.warning("message.discarded", extra=fields)

    def _guarded(self, work: Work, slot: int) -> Report | None:
        try:
            return self._run(work, slot)
        except Exception as error:
            log.exception("attempt.broken")
            message = f"the replica failed: {type(error).__name__}: {error}"
            return _fail(work, "error", message, recoverable=True)

    def _run(self, work: Work, slot: int) -> Report | None:
        why = self._bystander.why()
        if self._stopping or why:
            return work.report("released", message=why)
        self._reporter.put_later(
            EXECUTING_AFTER_SECONDS, partial(self._executing, work)
        )
        outcome = self._analyse(work, slot)
        report = self._conclude(work, self._at_fault(outcome))
        if report is not None and report.kind != "released":
            self._bystander.note_success()
        return report

    def _at_fault(self, outcome: Outcome | Trouble) -> Outcome | Trouble:
        """Blame the scratch, not the sample, where nothing can be written any more."""
        if isinstance(outcome, MAY_BE_THE_MACHINES):
            # The slot is clean again: what fills it now was not this analysis.
            why = self._bystander.scratch()
            return outcome if why is None else Trouble(message=why)
        return outcome

    def _executing(self, work: Work) -> Report | None:
        if work.attempt.phase != "running" or work.attempt.over:
            return None
        return work.report("executing")

    def _analyse(self, work: Work, slot: int) -> Outcome | Trouble:
        assignment = work.assignment
        sample = assignment.sample
        run = Run(
            deliver=partial(self._deliver, work),
            sha256=sample.sha256,
            size=sample.size,
            file_name=sample.file_name,
            classification=Classification(**assignment.classification.model_dump()),
            options=assignment.options,
            timeout_seconds=assignment.timeout_seconds,
            customer=_text(assignment.customer),
        )
        try:
            return self._sandbox.run(
                slot,
                run,
                stopped=work.attempt.stopped,
                collect=partial(self._collect, work),
            )
        except AbandonedError:
            return Stopped()
        except OutOfTimeError:
            return _out_of_time(work)
        except RefusedSourceError as error:
            return Trouble(message=str(error))
        except TransferError as error:
            return untransferred(error)
        except OSError as error:
            return Trouble(message=of_this_machine(error, self._scratch))
        except SandboxError as error:
            # No child could be made, so no sample was looked at.
            return Trouble(message=f"this replica's sandbox: {error}")

    def _deliver(self, work: Work, target: Path, deadline: float) -> None:
        work.deadline = deadline
        self._transfer.deliver(work.assignment.sample, target, work.grant)

    def _collect(self, work: Work, file: File, path: Path) -> None:
        upload = Upload(
            kind=file.kind,
            source=path,
            file_name=file.file_name,
            mime_type=file.mime_type,
        )
        work.references.append(self._transfer.upload(upload, work.grant))

    def _conclude(self, work: Work, outcome: Outcome | Trouble) -> Report | None:
        match outcome:
            case Trouble(message=message):
                return self._give_back(work, message)
            case Finished():
                return self._succeed(work, outcome)
            case Stopped():
                # Stopped because we leave: the attempt goes to somebody else. Stopped
                # because it is over: nobody waits for a word about it.
                return None if work.attempt.over else work.report("released")
            case TimedOut(message=message):
                return work.report("timed_out", message=message)
            case Raised(kind=reason, recoverable=recoverable, message=message):
                return _fail(work, reason, message, recoverable=recoverable)
            case Crashed() | OutOfMemory() | BadResult():
                return _fail(work, _REASONS[type(outcome)], outcome.message)
            case _:
                assert_never(outcome)

    def _give_back(self, work: Work, why: str) -> Report:
        # Not the sample's fault, so that it must not pay; another replica may do it.
        self._bystander.note_trouble(why)
        return work.report("released", message=why)

    def _succeed(self, work: Work, outcome: Finished) -> Report | None:
        try:
            checked = self._check(outcome.analysis)
            analysis = checked.analysis
            if checked.size_bytes > INLINE_MAX_BYTES:
                analysis = self._offload(work, analysis)
        except RejectedResultError as error:
            return _fail(work, "bad_result", str(error))
        except TransferError as error:
            return self._conclude(work, untransferred(error))
        except OSError as error:
            why = of_this_machine(error, self._scratch)
            return self._conclude(work, Trouble(message=why))
        except AbandonedError:
            return self._conclude(work, Stopped())
        except OutOfTimeError:
            return self._conclude(work, _out_of_time(work))
        if work.references:
            files = (*work.references, *analysis.references)
            analysis = analysis.model_copy(update={"references": files})
        return work.report("success", message=checked.message, analysis=analysis)

    def _offload(self, work: Work, analysis: ReportedAnalysis) -> ReportedAnalysis:
        rest = analysis.model_copy(update={"result": None})
        if len(rest.model_dump_json()) > INLINE_MAX_BYTES:
            raise RejectedResultError(
                f"tags, detections: more than {INLINE_MAX_BYTES} bytes of them; "
                "put what is long into the result"
            )
        with tempfile.NamedTemporaryFile(dir=self._scratch) as spill:
            spill.write(to_json(analysis.result))
            spill.flush()
            upload = Upload(
                kind="result", source=Path(spill.name), mime_type="application/json"
            )
            stored = self._transfer.upload(upload, work.grant)
        return rest.model_copy(update={"references": (stored,)})


def _text(customer: UUID | None) -> str | None:
    return None if customer is None else str(customer)


def _out_of_time(work: Work) -> TimedOut:
    seconds = work.assignment.timeout_seconds
    return TimedOut(message=f"after {seconds:g} s its bytes were still under way")


def _fail(
    work: Work, reason: FailureReason, message: str, *, recoverable: bool = False
) -> Report:
    return work.report(
        "failed", reason=reason, message=message, recoverable=recoverable
    )


def _outcome(report: Report | None) -> dict[str, str]:
    if report is None:
        return {"outcome": "stopped"}
    reason = {"reason": report.reason} if report.reason else {}
    # Its first line: what follows are lines of a program, which the task shows.
    lines = (report.message or "").splitlines()
    why = {"why": lines[0][:_LOGGED_MAX]} if lines else {}
    return {"outcome": report.kind, **reason, **why}
