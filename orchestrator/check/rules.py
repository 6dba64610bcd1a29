"""
The rules of ``docs/messages.md``, by their numbers, each as a trial.

A trial raises what the program did instead. It leaves the program as it found it: with
nothing in hand, and taking work.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from orchestrator.check.forgeries import FORGERIES
from orchestrator.check.house import BUFFERED_BYTES, Manner
from orchestrator.check.scene import (
    PATIENCE_SECONDS,
    BrokenRuleError,
    NotTriedError,
    Scene,
    expect,
    refuse_success,
)
from orchestrator.contracts.assignment import Where

#: Seconds for a program that asks once a minute whether it is enrolled, whatever it is
#: told; and for one that waits before it connects again.
_MINUTE_SECONDS = 90.0

Trial = Callable[[Scene], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """``title``: what it says, in a line; ``docs/messages.md`` says all of it."""

    number: int
    title: str
    trial: Trial


def _enrolment(scene: Scene) -> None:
    scene.house.refuses = True
    scene.program.start()
    scene.eventually(
        "it to ask whether it is enrolled",
        lambda: scene.house.enrolments or scene.house.wrong,
    )
    if scene.house.wrong:
        raise BrokenRuleError("; ".join(scene.house.wrong))
    given = scene.desk.assign(scene.sample)
    scene.never(
        "it took an assignment though the answer was 401", lambda: given.manner.asked
    )
    scene.house.refuses = False
    scene.eventually(
        "it to take work once the answer is 204",
        lambda: scene.desk.ends(given),
        seconds=_MINUTE_SECONDS,
    )


def _heartbeats(scene: Scene) -> None:
    scene.next_alives(3)
    alives, beats = scene.desk.alives(), scene.desk.beats()
    first = alives[0]
    own = rf"{re.escape(scene.desk.worker)}-[0-9a-f]{{8}}@.+"
    if not re.fullmatch(own, first.replica):
        form = "<worker>-<8 hex>@<host>"
        raise BrokenRuleError(f"replica: {first.replica!r} is not {form}")
    if first.manifest is None:
        raise BrokenRuleError("manifest: the first heartbeat has none")
    if {alive.replica for alive in alives} != {first.replica}:
        raise BrokenRuleError("replica: it changed while the program ran")
    if any(one.sequence >= two.sequence for one, two in pairwise(alives)):
        raise BrokenRuleError("sequence: it must grow with each heartbeat")
    longest = max(two - one for one, two in pairwise(beats))
    if longest > 3 * scene.heartbeat_seconds + 5:
        raise BrokenRuleError(f"{longest:.1f} s passed from one heartbeat to the next")


def _work(scene: Scene) -> None:
    given = scene.settle()
    report = scene.end_of(given)
    if report.replica != scene.alive().replica:
        raise BrokenRuleError(f"replica: {report.replica!r} is not the heartbeat's")
    if report.token != given.outgoing.token:
        raise BrokenRuleError("token: it is not that of the assignment")
    if not given.manner.asked:
        raise BrokenRuleError("it never asked for the sample's bytes")
    scene.eventually("the message to be gone", lambda: scene.desk.waiting() == 0)
    scene.never("it reported twice", lambda: len(scene.desk.ends(given)) > 1)


def _executing(scene: Scene) -> None:
    given = scene.in_hand()
    scene.eventually(
        "a report of kind executing",
        lambda: [r for r in scene.desk.reports(given) if r.kind == "executing"],
    )
    scene.let_go()
    scene.end_of(given)


def _holds(scene: Scene) -> None:
    given = scene.in_hand()
    if not all(given.key in _held(alive) for alive in scene.next_alives(2)):
        raise BrokenRuleError("a heartbeat did not list what is in hand")
    scene.let_go()
    scene.end_of(given)
    scene.eventually("a heartbeat without it", lambda: not scene.lists(given))


def _run_time(scene: Scene) -> None:
    given = scene.slow_one(timeout_seconds=1.0)
    expect(scene.end_of(given), "timed_out")
    scene.let_go()


def _bytes(scene: Scene) -> None:
    other = scene.desk.assign(scene.sample, manner=Manner(how="other"))
    refuse_success(
        scene.end_of(other), "it looked at bytes that have another hash than the sample"
    )
    long = scene.desk.assign(scene.sample, manner=Manner(how="long"))
    refuse_success(scene.end_of(long), "it took more bytes than sample.size for it")
    if long.manner.sent > BUFFERED_BYTES:
        raise BrokenRuleError(
            f"it read {long.manner.sent} bytes of a sample of {len(scene.sample)}"
        )
    scene.settle()


def _redirects(scene: Scene) -> None:
    given = scene.desk.assign(scene.sample, manner=Manner(how="elsewhere"))
    refuse_success(scene.end_of(given), "it followed a redirect")
    if scene.trap.asked:
        raise BrokenRuleError("it followed a redirect")
    scene.settle()


def _sources(scene: Scene) -> None:
    url = Where(kind="url", value=f"{scene.trap.url}/sample")
    expect(scene.end_of(scene.desk.assign(scene.sample, where=url)), "released")
    if scene.trap.asked:
        raise BrokenRuleError("it asked a host that its operator did not name")
    with tempfile.NamedTemporaryFile() as file:
        file.write(scene.sample)
        file.flush()
        path = Where(kind="path", value=file.name)
        expect(scene.end_of(scene.desk.assign(scene.sample, where=path)), "released")
    scene.settle()


def _away(scene: Scene) -> None:
    given = scene.desk.assign(scene.sample, manner=Manner(how="away"))
    expect(scene.end_of(given), "released", "success", "failed/unsupported")
    scene.settle()


def _missing(scene: Scene) -> None:
    given = scene.desk.assign(scene.sample, manner=Manner(how="missing"))
    expect(scene.end_of(given), "failed/sample_missing")


def _late(scene: Scene) -> None:
    given = scene.desk.assign(scene.sample, manner=Manner(how="over"))
    scene.eventually("its sample to be asked for", lambda: given.manner.asked)
    scene.settle()
    for report in scene.desk.ends(given):
        refuse_success(report, "it ended well without its bytes")


def _duplicates(scene: Scene) -> None:
    given = scene.in_hand()
    scene.desk.give(given)
    try:
        scene.eventually(
            "the copy to be taken", lambda: scene.desk.waiting() == 0, seconds=2
        )
    except BrokenRuleError:
        # With one slot it stays where it is until the first has ended.
        scene.let_go()
        scene.end_of(given)
        return
    scene.let_go()
    scene.end_of(given)
    scene.settle()
    if given.manner.asked > 1 or len(scene.desk.ends(given)) > 1:
        raise BrokenRuleError("it took up a second copy of what it had in hand")


def _forged(scene: Scene) -> None:
    made = {}
    for what, forge in FORGERIES.items():
        made[what] = scene.desk.prepare(scene.sample)
        forge(scene.desk, made[what], scene.secret)
    scene.settle()
    for what, given in made.items():
        if given.manner.asked or scene.desk.reports(given):
            raise BrokenRuleError(f"it obeyed an assignment {what}")
    if scene.house.wrong:
        raise BrokenRuleError("; ".join(scene.house.wrong))


def _versions(scene: Scene) -> None:
    extra = {"flavour": {"nobody": "knows"}}
    known = scene.desk.assign(scene.sample, extra=extra)
    expect(scene.end_of(known), "success", "failed/unsupported")
    unknown = scene.desk.assign(scene.sample, extra={"version": 2})
    scene.settle()
    for report in scene.desk.ends(unknown):
        refuse_success(report, "it did an assignment of version 2")


def _alone(scene: Scene) -> None:
    first = scene.in_hand()
    alone = scene.slow_one(alone=True)
    scene.never("it ran beside what was in hand", lambda: alone.manner.asked)
    first.manner.go.set()
    scene.end_of(first)
    scene.eventually("it to begin", lambda: alone.manner.asked)
    beside = scene.desk.assign(scene.sample)
    scene.never("something ran beside it", lambda: beside.manner.asked)
    scene.let_go()
    scene.end_of(alone)
    scene.end_of(beside)


def _stop(scene: Scene) -> None:
    given = scene.in_hand()
    scene.desk.stop(scene.alive().replica, given)
    scene.eventually("a heartbeat without it", lambda: not scene.lists(given))
    scene.let_go()
    scene.settle()
    if scene.desk.ends(given):
        raise BrokenRuleError(
            f"it said {scene.desk.ends(given)[0].kind} of what it was told to stop"
        )


def _forged_stop(scene: Scene) -> None:
    given = scene.in_hand()
    replica = scene.alive().replica
    scene.desk.stop(replica, given, secrets=["of somebody else"])
    scene.desk.stop(replica, given, secrets=[])
    scene.desk.stop(replica, drain=True, secrets=["of somebody else"])
    # For another replica: it is told to all.
    scene.desk.stop(f"{scene.desk.worker}-00000000@elsewhere", given)
    if not all(given.key in _held(alive) for alive in scene.next_alives(3)):
        raise BrokenRuleError("it obeyed a stop that was not signed for it")
    scene.let_go()
    expect(scene.end_of(given), "success", "failed/unsupported")
    scene.settle()


def _drain(scene: Scene) -> None:
    running = scene.in_hand()
    replica = scene.alive().replica
    scene.desk.stop(replica, drain=True)
    scene.eventually("a heartbeat that drains", lambda: scene.alive().draining)
    given = scene.desk.assign(scene.sample)
    scene.let_go()
    expect(scene.end_of(running), "success", "failed/unsupported")
    scene.next_alives(2)
    scene.never("it took work while it drained", lambda: given.manner.asked)
    scene.desk.stop(replica, drain=False)
    scene.end_of(given)
    scene.eventually("one that drains no more", lambda: not scene.alive().draining)


def _broker(scene: Scene) -> None:
    if scene.cut is None:
        raise NotTriedError("nobody here may cut connections to this broker")
    scene.cut()
    given = scene.desk.assign(scene.sample)
    scene.eventually(
        "an assignment to be done after its connections were cut",
        lambda: scene.desk.ends(given),
        seconds=_MINUTE_SECONDS,
    )
    scene.next_alives(1)


def _words(scene: Scene) -> None:
    wrong = scene.desk.wrong()
    if wrong:
        raise BrokenRuleError(f"{len(wrong)} refused, at first {wrong[0]}")


def _end(scene: Scene) -> None:
    given = scene.in_hand()
    scene.program.ask_to_end()
    if not scene.program.wait(PATIENCE_SECONDS):
        raise BrokenRuleError("it did not end after SIGTERM")
    scene.let_go()
    if scene.program.exit_code != 0:
        raise BrokenRuleError(f"it ended with {scene.program.exit_code}, not with 0")
    # All that it said has been said: it need only be read.
    scene.desk.read_all()
    kinds = [report.kind for report in scene.desk.ends(given)]
    if kinds != ["released"]:
        raise BrokenRuleError(f"what it had in hand ended as {kinds}, not as released")
    last = scene.desk.alives()[-1]
    if not last.leaving or last.holds:
        raise BrokenRuleError("its last heartbeat is not one that leaves with nothing")


def _held(alive: object) -> set[tuple[object, int]]:
    holds = getattr(alive, "holds", ())
    return {(each.task_id, each.attempt) for each in holds}


_NAMED: tuple[tuple[str, Trial], ...] = (
    ("It asks whether it is enrolled, and takes no work before", _enrolment),
    ("It says that it lives: signed, in order, with its manifest", _heartbeats),
    ("It does an assignment and reports it once", _work),
    ("It says executing of what takes longer", _executing),
    ("Its heartbeats list what it has in hand", _holds),
    ("It keeps the run time, the sample's way included", _run_time),
    ("It checks size and hash, and reads no more", _bytes),
    ("It follows no redirect", _redirects),
    ("It reads from nowhere that its operator did not name", _sources),
    ("What is the API's trouble costs the sample nothing", _away),
    ("It says so where the sample is gone", _missing),
    ("It comes to terms with an attempt that is over", _late),
    ("It takes up no second copy of what it has in hand", _duplicates),
    ("It obeys no assignment that is not signed to the letter", _forged),
    ("It passes over fields that it does not know, and refuses versions", _versions),
    ("It runs nothing beside what is to run alone", _alone),
    ("It lets go of what it is told to stop", _stop),
    ("It obeys no stop that is not signed for it", _forged_stop),
    ("It drains when it is told, and works again", _drain),
    ("It comes back when the broker was away", _broker),
    ("All that it says can be read and is signed", _words),
    ("It leaves in order: what it has in hand is released", _end),
)

#: Every rule, in the order in which they are tried; the last ends the program.
RULES = tuple(
    Rule(number=number, title=title, trial=trial)
    for number, (title, trial) in enumerate(_NAMED, start=1)
)
