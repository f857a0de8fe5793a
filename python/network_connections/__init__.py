"""Counts a host's TCP and UDP sockets by family and state, and alerts on Nagios ranges.

>>> import network_connections
>>> counts = network_connections.count_connections(types="tcp", statuses="listen")
>>> result = network_connections.check(warning="1000", critical="2000")
>>> result.state in (0, 1, 2)
True
"""

import sys

from . import _core
from ._core import (
    CheckResult,
    Connection,
    ConnectionTable,
    Range,
    SocketSummary,
    __version__,
    socket_summary,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from ._tuples import Group, Process

    _Function = TypeVar("_Function", bound=Callable[..., Any])

__all__ = [
    "CheckResult",
    "Connection",
    "ConnectionTable",
    "Group",
    "Process",
    "Range",
    "SocketSummary",
    "__version__",
    "check",
    "connections",
    "connections_table",
    "count_connections",
    "socket_summary",
]


def _logged(function: "_Function") -> "_Function":
    """Hand the log records of each call over to ``logging`` when it is done."""

    def call(*args: object, **keywords: object) -> object:
        try:
            return function(*args, **keywords)
        finally:
            if _core.has_records():
                _log()

    for name in ("__name__", "__qualname__", "__doc__"):
        setattr(call, name, getattr(function, name))
    call.__dict__["__wrapped__"] = function
    return call  # type: ignore[return-value]


def _log() -> None:
    # Imported by `logging`, without which there are no records.
    from threading import current_thread

    if not current_thread().daemon:
        _core.log_records()
        return
    # At its end Python, before 3.14, tears daemon threads out of the handlers, and Rust cannot be
    # torn out of. With nothing of Rust below, the handlers are called from here.
    logging = sys.modules["logging"]
    for target, level, message in _core.records():
        logger = logging.getLogger(target.replace("::", "."))
        logger.log(getattr(logging, level), message)


check = _logged(_core.check)
connections = _logged(_core.connections)
connections_table = _logged(_core.connections_table)
count_connections = _logged(_core.count_connections)


def __getattr__(name: str) -> object:
    """Import the named tuples when they are asked for: the module `typing` starts slowly."""
    if name in ("Group", "Process"):
        from . import _tuples

        return getattr(_tuples, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
