"""
What is seen of a program that is no replica of ours: that one on kombu keeps the rules,
and that one which breaks some is told which.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.fixtures.brokers import RabbitMQHost, rabbitmq, rabbitmq_hosts
from tests.fixtures.check import WORKERS, broken_rules
from tests.fixtures.rounds import only_long

__all__ = ["rabbitmq", "rabbitmq_hosts"]

KOMBU = WORKERS / "kombu_worker.py"

_OBEYS = "if False and not is_signed"

#: Each breaks a rule: what stands in the program, and in its place.
SPOILT = {
    7: ('!= sample["sha256"]', '== "nothing"'),
    14: ("if not is_signed(claim, ", f"{_OBEYS}(claim, "),
    15: ('given["version"] != 1 or ', ""),
    16: ('attempt.given.get("alone") and running', "False"),
    18: ("if not is_signed(claim.encode(), ", f"{_OBEYS}(claim.encode(), "),
}


@only_long
def test_a_worker_on_kombu_keeps_the_rules():
    assert broken_rules(sys.executable, KOMBU) == {}


@only_long
def test_a_worker_on_kombu_keeps_the_rules_on_rabbitmq(rabbitmq: RabbitMQHost):
    assert broken_rules(sys.executable, KOMBU, broker_url=rabbitmq.url) == {}


def test_whoever_breaks_a_rule_is_told_which(rabbitmq: RabbitMQHost, tmp_path: Path):
    source = KOMBU.read_text()
    for good, bad in SPOILT.values():
        assert good in source
        source = source.replace(good, bad)
    spoilt = tmp_path / "spoilt.py"
    spoilt.write_text(source)

    broken = broken_rules(sys.executable, spoilt, broker_url=rabbitmq.url)

    assert list(broken) == list(SPOILT)
