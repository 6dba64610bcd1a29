"""
How a Celery process of ours, replica or maintenance, takes what comes through a broker.

Whoever can write to the broker can write anything: nothing that comes ends the process,
is printed, inflated or obeyed because Celery would. What a task or a command means is
not known here.
"""

from __future__ import annotations
