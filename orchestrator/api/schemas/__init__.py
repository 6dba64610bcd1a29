"""
The shapes of requests and answers, one file per resource. They hold no rule.
"""

from __future__ import annotations
