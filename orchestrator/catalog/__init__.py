"""
What people bring and decide: samples, submissions, findings, workers, policy, keys.

One file per kind of thing. What happens to a job is ``flow/``'s; what is read of all
this is ``queries/``'s.
"""

from __future__ import annotations
