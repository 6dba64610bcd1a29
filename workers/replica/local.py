"""
What a stack of this machine tells a replica that somebody starts beside its own: where
it is, and the worker's enrolment.

It asks the service's own command, which works on the database: a replica has no way to
it. What the environment says counts first.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.contracts.data_dir import env_file, read_lines
from workers.replica.settings import SECRET, SettingsError

#: Seconds for a command that opens a database.
_PATIENCE_SECONDS = 60

#: Where a stack is; whoever says otherwise means another one.
_PLACES = ("ASSAY_API_URL", "ASSAY_BROKER_URL")


def completed(environment: Mapping[str, str], *, worker: str) -> Mapping[str, str]:
    """
    Return the environment with what the stack of this machine adds for *worker*.

    Raises:
        SettingsError: There is a stack, and it does not enrol this worker.
    """
    if environment.get(SECRET) or environment.get(f"{SECRET}_FILE"):
        return environment
    found = env_file()
    told = read_lines(found)
    is_meant = all(environment.get(n) in {None, told.get(n)} for n in _PLACES)
    if not told or not is_meant:
        return environment
    own = _enrolled(worker, found)
    if sys.stderr.isatty():
        print(f"{worker}: enrolled at the stack of {found}", file=sys.stderr)  # noqa: T201
    return {
        "ASSAY_API_URL": told["ASSAY_API_URL"],
        "ASSAY_SAMPLE_ROOT": told.get("ASSAY_SAMPLE_ROOT", ""),
        **environment,
        "ASSAY_BROKER_URL": own["brokerUrl"],
        SECRET: own["secret"],
    }


def where_to_enrol(worker: str) -> str:
    """Return what somebody does where no stack of this machine is meant."""
    return (
        f"`assay worker register {worker}`, where the service runs, prints"
        f" {SECRET} and ASSAY_BROKER_URL: set both here, and ASSAY_API_URL (after"
        f" `assay up` on this machine nothing has to be set; {env_file()} tells)"
    )


def _enrolled(worker: str, found: Path) -> dict[str, Any]:
    # -P: the current folder is the author's, or one of samples.
    words = (
        "-P",
        "-m",
        "orchestrator",
        "worker",
        "register",
        worker,
        "--keep",
        "--json",
    )
    try:
        done = subprocess.run(
            [sys.executable, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise SettingsError(
            f"the stack of {found} did not enrol {worker} within"
            f" {_PATIENCE_SECONDS} s; does it run (assay up)?"
        ) from error
    if done.returncode == 0:
        own: dict[str, Any] = json.loads(done.stdout)
        return own
    raise SettingsError(
        f"the stack of {found} did not enrol {worker}: {_complaint(done.stderr)};"
        " does it run (assay up)?"
    )


def _complaint(said: str) -> str:
    lines = said.strip().splitlines()
    try:
        return str(json.loads(lines[-1])["error"]["message"])
    except (IndexError, ValueError, KeyError, TypeError):
        return lines[-1] if lines else "it said nothing"
