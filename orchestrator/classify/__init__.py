"""
What kind of file a sample is, from its content alone.

Memory-safe Python over the first and last bytes: no parser of a format runs here, since
this process has secrets; zlib alone inflates two small parts of a ZIP, up to a limit.
Names and extensions are the submitter's and are not read.
"""

from __future__ import annotations

from orchestrator.classify.classifier import CLASSIFIER_VERSION, classify

__all__ = ["CLASSIFIER_VERSION", "classify"]
