"""
What ``/metrics`` tells from the start has every word that there is.
"""

from __future__ import annotations

from orchestrator.api.routes.metrics import _PER_WORKER
from orchestrator.db.counters import TASKS_ENDED
from orchestrator.domain.values import Reason, TaskState


def test_every_reason_and_every_end_has_its_series():
    told = {(state, reason) for state, reason in _PER_WORKER[TASKS_ENDED]}

    assert {reason for _, reason in told} == {"", *Reason}
    assert {state for state, _ in told} == {
        state.value for state in TaskState if state.is_final
    }
