"""The names of types and statuses, in the order in which they are shown.

Written down once more, so that a wrong name in the thing under test cannot go unseen.
"""

from __future__ import annotations

from typing import Literal, get_args

# The sources of Linux that count everything, and the choice among them.
Source = Literal["auto", "netlink", "procfs"]
SOURCES: tuple[Source, ...] = get_args(Source)

TYPES = ("tcp", "tcp6", "udp", "udp6")
STATUSES = (
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "NONE",
)
# States of other systems, which a recorded connection may be in.
FOREIGN = ("IDLE", "BOUND", "DELETE_TCB")
# As they are given on a command line.
LOWER = tuple(status.lower() for status in STATUSES)
