"""The SDK's classification, which repeats that of the messages."""

from __future__ import annotations

from dataclasses import asdict

from orchestrator.contracts import assignment
from workers import analysis


def test_the_sdk_and_the_messages_have_the_same_fields_and_defaults():
    """The SDK imports the standard library only, so it has a copy."""
    of_the_messages = assignment.Classification().model_dump()

    assert asdict(analysis.Classification()) == of_the_messages
