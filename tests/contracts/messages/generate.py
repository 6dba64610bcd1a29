"""
Writes what of ``docs/`` is generated: ``python -m tests.contracts.messages.generate``.
"""

from __future__ import annotations

import json
from pathlib import Path

from orchestrator.contracts.alive import Alive
from orchestrator.contracts.assignment import Assignment
from orchestrator.contracts.report import Report
from orchestrator.contracts.wire import Wire
from orchestrator.domain.states import mermaid

DOCS = Path(__file__).parents[3] / "docs"

_STATES = """\
# The states of a task

Drawn from the table in `orchestrator/domain/states.py`; `make docs` writes it anew.

```mermaid
{diagram}```
"""


def generated() -> dict[Path, str]:
    """Return every generated file with its content."""
    schemas: dict[str, type[Wire]] = {
        "assignment": Assignment,
        "report": Report,
        "alive": Alive,
    }
    files = {
        DOCS / "schemas" / f"{name}.json": json.dumps(
            model.model_json_schema(), indent=2
        )
        + "\n"
        for name, model in schemas.items()
    }
    return {**files, DOCS / "task-states.md": _STATES.format(diagram=mermaid())}


if __name__ == "__main__":
    for path, content in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
