"""
How long the silence of a broker is believed to be a pause, on either side of it.

A firewall that forgot a connection, or a host that stopped, keeps it open and says
nothing; the kernel sees that only where bytes are not even acknowledged. So every wait
for an answer has an end. Numbers and kombu's options for them; nobody waits here.
"""

from __future__ import annotations

from typing import Any, Final

#: Seconds for an answer of RabbitMQ, also for the confirms of a whole batch, each of
#: which is on its disk by then. Who accepts bytes and never answers holds up whoever
#: asked for this long and no longer. A process has several connections, and what
#: freezes all costs it these times one after the other: half a minute, all in all.
ANSWER_SECONDS: Final = 6.0

#: Seconds for one of Redis, which has nothing to do for it but what was asked. Above
#: the longest wait that a reader asks it for, and so short that a heartbeat which hangs
#: does not cost the lease.
REDIS_ANSWER_SECONDS: Final = 5.0

CONNECT_SECONDS: Final = 5.0

#: Seconds between RabbitMQ's heartbeats. Both sides give a connection up that is silent
#: for two or three of them: after 10 to 15 s what was delivered on a frozen one is
#: delivered again. Longer than the database may hold up whoever has to send them.
HEARTBEAT_SECONDS: Final = 5

#: Seconds. Redis has no heartbeats: kombu looks this often whether a blocking pop is
#: overdue, and drops a subscription that left two questions unanswered.
_LOOK_SECONDS: Final = 5


def broker_limits(*, rabbitmq: bool) -> dict[str, Any]:
    """Return kombu's transport options that end every wait for this broker."""
    if rabbitmq:
        return {"read_timeout": ANSWER_SECONDS, "write_timeout": ANSWER_SECONDS}
    return {
        # ``retry_on_timeout`` stays unset: it would push twice, and disable batches.
        "socket_timeout": REDIS_ANSWER_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": _LOOK_SECONDS,
    }
