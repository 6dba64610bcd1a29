"""
The live stream: what has changed, read once for everybody who listens.
"""

from __future__ import annotations
