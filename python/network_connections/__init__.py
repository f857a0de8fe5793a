"""Counts a host's TCP and UDP sockets by family and state, and alerts on Nagios ranges.

>>> import network_connections
>>> counts = network_connections.count_connections(types="tcp", statuses="listen")
>>> result = network_connections.check(warning="1000", critical="2000")
>>> result.state in (0, 1, 2)
True
"""

from ._core import (
    CheckResult,
    Connection,
    Range,
    SocketSummary,
    __version__,
    check,
    connections,
    count_connections,
    socket_summary,
)

__all__ = [
    "CheckResult",
    "Connection",
    "Range",
    "SocketSummary",
    "__version__",
    "check",
    "connections",
    "count_connections",
    "socket_summary",
]
