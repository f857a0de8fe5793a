"""Counts a host's TCP and UDP sockets by family and state, and alerts on Nagios ranges.

>>> import network_connections
>>> counts = network_connections.count_connections(types="tcp", statuses="listen")
>>> result = network_connections.check(warning="1000", critical="2000")
>>> result.state in (0, 1, 2)
True
"""

import sys

from . import _core
from ._core import CheckResult, Connection, Range, SocketSummary, __version__, socket_summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    _Function = TypeVar("_Function", bound=Callable[..., Any])

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


def _logged(function: "_Function") -> "_Function":
    """Hand the log records of each call over to ``logging`` when it is done.

    From Python, with nothing of Rust below: at its end Python tears daemon threads out of whatever
    Python code they are in, and Rust cannot be torn out of.
    """

    def call(*args: object, **keywords: object) -> object:
        try:
            return function(*args, **keywords)
        finally:
            records = _core.records()
            if records:
                _log(records)

    for name in ("__name__", "__qualname__", "__doc__"):
        setattr(call, name, getattr(function, name))
    call.__dict__["__wrapped__"] = function
    return call  # type: ignore[return-value]


def _log(records: "list[tuple[str, int, str, int, str]]") -> None:
    logging = sys.modules["logging"]
    for name, level, path, line, message in records:
        logger = logging.getLogger(name)
        if logger.isEnabledFor(level):
            logger.handle(logger.makeRecord(name, level, path, line, message, (), None))


check = _logged(_core.check)
connections = _logged(_core.connections)
count_connections = _logged(_core.count_connections)
