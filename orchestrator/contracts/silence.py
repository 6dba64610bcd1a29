"""
How long the silence of a broker is believed to be a pause, on either side of it.

A firewall that forgot a connection, or a host that stopped, keeps it open and says
nothing; the kernel sees that only where bytes are not even acknowledged. So every wait
for an answer has an end. Numbers and kombu's options for them; nobody waits here.
"""

from __future__ import annotations

from typing import Any, Final

#: Seconds for an answer. A broker that accepts bytes and never answers holds up whoever
#: asked for this long and no longer. Above the longest wait that a reader asks Redis
#: for (4 s), and short enough to end within the ten seconds of most supervisors.
ANSWER_SECONDS: Final = 8.0

CONNECT_SECONDS: Final = 5.0

#: Seconds between RabbitMQ's heartbeats. Both sides give a connection up that is silent
#: for two or three of them: it takes 16 to 24 s until what was delivered on a frozen
#: one is delivered again.
HEARTBEAT_SECONDS: Final = 8

#: Seconds. Redis has no heartbeats: kombu looks this often whether a blocking pop is
#: overdue, and drops a subscription that left two questions unanswered.
_LOOK_SECONDS: Final = 5


def broker_limits(*, rabbitmq: bool) -> dict[str, Any]:
    """Return kombu's transport options that end every wait for this broker."""
    if rabbitmq:
        return {"read_timeout": ANSWER_SECONDS, "write_timeout": ANSWER_SECONDS}
    return {
        # ``retry_on_timeout`` stays unset: it would push twice, and disable batches.
        "socket_timeout": ANSWER_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": _LOOK_SECONDS,
    }
