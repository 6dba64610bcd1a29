"""
The states of tasks and jobs as SQL writes them.

Literals, not parameters: only by a literal does the planner see that a partial index
has all that is asked for.
"""

from __future__ import annotations

from orchestrator.domain.values import DEATH_REASONS, JobState, Reason, TaskState

ENQUEUED = f"'{TaskState.ENQUEUED}'"
EXECUTING = f"'{TaskState.EXECUTING}'"
FAILED = f"'{TaskState.FAILED}'"
SUCCESS = f"'{TaskState.SUCCESS}'"
TIMEOUT = f"'{JobState.TIMEOUT}'"
DONE = f"'{JobState.DONE}'"

#: For ``IN (…)``: the states of a task, and of a job, that is not over.
OPEN = ", ".join(f"'{state}'" for state in TaskState if not state.is_final)

#: For ``IN (…)``: the states of a job that is over.
OVER = ", ".join(f"'{state}'" for state in JobState if state.is_final)

#: For ``IN (…)``: the reasons of tasks that a worker died of, itself or before.
DIED_OF = ", ".join(f"'{reason}'" for reason in sorted({*DEATH_REASONS, Reason.POISON}))

#: For ``IN (…)``: the reasons of failed tasks of which no analysis came to its end.
UNFINISHED = f"{DIED_OF}, '{Reason.SAMPLE_MISSING}'"
RUN_TIME = f"'{Reason.RUN_TIME}'"
