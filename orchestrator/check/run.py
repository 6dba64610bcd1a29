"""
Tries every rule on a program, one after another.

Starts what the program needs, and leaves nothing of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from orchestrator.check import brokers
from orchestrator.check.desk import Desk
from orchestrator.check.house import House
from orchestrator.check.program import Program
from orchestrator.check.rules import RULES, Rule
from orchestrator.check.scene import BrokenRuleError, NotTriedError, Scene, Trap
from orchestrator.check.whole import do_a_job

#: What the program is told: everything soon, so that a check takes seconds.
_HEARTBEAT_SECONDS = 0.25
_SETTINGS = {
    "ASSAY_HEARTBEAT_SECONDS": str(_HEARTBEAT_SECONDS),
    "ASSAY_ENROLMENT_SECONDS": "0.5",
    "ASSAY_STOP_GRACE_SECONDS": "1",
    "ASSAY_WORKER_SLOTS": "2",
}

_SECRET_BYTES = 32

Outcome = Literal["ok", "failed", "not tried"]

WHOLE = "A job of a whole stack ends with its analysis"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """What became of a rule; ``why`` it is not ok."""

    number: int
    title: str
    outcome: Outcome
    why: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """
    What is to be checked.

    ``worker``: the short name by which the program knows itself. ``sample``: bytes that
    it looks at. ``broker_url``: of a RabbitMQ where nothing of Assay is, instead of a
    Redis of our own. ``log``: where the program writes.
    """

    command: Sequence[str]
    worker: str
    sample: bytes
    broker_url: str | None
    log: Path


def run(check: Check) -> Iterator[Tried]:
    """
    Try each rule, and say at once what became of it.

    Raises:
        ConfigurationError: There is no such program, or no such broker.
    """
    with ExitStack() as stack:
        scene = _scene(check, stack)
        for rule in RULES:
            yield _try(scene, rule)
    yield _tried(len(RULES) + 1, WHOLE, partial(_whole, check))


def _scene(check: Check, stack: ExitStack) -> Scene:
    secret = secrets.token_hex(_SECRET_BYTES)
    broker = stack.enter_context(
        brokers.own_redis(check.worker)
        if check.broker_url is None
        else brokers.given_rabbitmq(check.broker_url, check.worker)
    )
    trap = Trap()
    stack.callback(trap.close)
    house = House(check.worker, secret, trap=trap.url)
    stack.callback(house.close)
    desk = Desk(broker.url, worker=check.worker, secret=secret, house=house)
    stack.callback(desk.close)
    settings = {
        "ASSAY_BROKER_URL": broker.theirs,
        "ASSAY_API_URL": house.url,
        "ASSAY_WORKER_NAME": check.worker,
        "ASSAY_WORKER_SECRET": secret,
        **_SETTINGS,
    }
    program = Program(check.command, settings, check.log)
    stack.callback(program.kill)
    return Scene(
        program=program,
        desk=desk,
        house=house,
        trap=trap,
        secret=secret,
        sample=check.sample,
        heartbeat_seconds=_HEARTBEAT_SECONDS,
        cut=broker.cut,
    )


def _try(scene: Scene, rule: Rule) -> Tried:
    if rule.number > 1 and not scene.program.is_running:
        scene.begin_anew()
    tried = _tried(rule.number, rule.title, lambda: rule.trial(scene))
    scene.let_go()
    scene.trap.asked.clear()
    scene.house.wrong.clear()
    if tried.outcome == "failed":
        # Whatever is left of it is not the next rule's business.
        scene.program.kill()
    return tried


def _whole(check: Check) -> None:
    if check.broker_url is not None:
        raise NotTriedError("a whole stack has a Redis; check without --broker-url too")
    do_a_job(check.command, worker=check.worker, sample=check.sample, log=check.log)


def _tried(number: int, title: str, trial: Callable[[], None]) -> Tried:
    made = partial(Tried, number=number, title=title)
    try:
        trial()
    except BrokenRuleError as error:
        return made(outcome="failed", why=str(error))
    except NotTriedError as error:
        return made(outcome="not tried", why=str(error))
    return made(outcome="ok")
