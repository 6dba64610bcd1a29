"""
What kind of file a sample is, from its content alone.

Memory-safe Python over the first and last bytes: no parser of a format runs here, since
this process has secrets; zlib alone inflates two small parts of a ZIP, up to a limit.
Names and extensions are the submitter's and are not read. Where the rules are not sure,
``second_opinion`` asks a process that is shut in.
"""

from __future__ import annotations

from orchestrator.classify.classifier import (
    CLASSIFIER_VERSION,
    Asked,
    Decision,
    classify,
    decide,
)
from orchestrator.classify.second_opinion import SecondOpinion, Trouble

__all__ = [
    "CLASSIFIER_VERSION",
    "Asked",
    "Decision",
    "SecondOpinion",
    "Trouble",
    "classify",
    "decide",
]
