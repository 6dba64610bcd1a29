from __future__ import annotations

from contextlib import closing
from pathlib import Path

from orchestrator.messaging.publisher import Publisher
from orchestrator.messaging.report_source import open_report_source
from tests.broker.reader_process import MOMENTS
from tests.fixtures.brokers import Broker, start_child
from tests.fixtures.rounds import IS_LONG
from tests.fixtures.waiting import eventually

#: Each moment at least once; in the long rounds each of them several times.
KILLS = 14 if IS_LONG else len(MOMENTS)
PER_KILL = 600


def read_until_killed(url: str, epoch: int, folder: Path) -> None:
    """Run a reader and kill it, each time at another moment of its work."""
    reached = folder / f"reached-{epoch}"
    moment = MOMENTS[epoch % len(MOMENTS)]
    process = start_child(
        "tests.broker.reader_process",
        *(url, str(epoch), str(folder / "committed"), str(reached), moment),
    )
    try:
        eventually(reached.exists)
    finally:
        process.kill()
        process.wait()


def test_readers_killed_in_the_middle_of_their_work_lose_nothing(
    broker: Broker, tmp_path: Path
):
    committed = tmp_path / "committed"
    sent: list[str] = []

    with closing(Publisher(broker.url)) as publisher:
        for epoch in range(1, KILLS + 1):
            fresh = [f'"{epoch}.{n}"' for n in range(PER_KILL)]
            for body in fresh:
                publisher.publish_report_body(body.encode(), {})
            sent += fresh
            read_until_killed(broker.url, epoch, tmp_path)

    rest: list[str] = []
    with closing(open_report_source(broker.url, epoch=KILLS + 1)) as last:
        while batch := last.batch(wait_seconds=1):
            rest += [message.body.decode() for message in batch]
            last.ack()
    assert {*committed.read_text().split(), *rest} == set(sent)
