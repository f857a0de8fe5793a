"""psutil's ``net_connections()``, from the kernel's own list of sockets.

>>> from network_connections import psutil
>>> listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]

psutil itself is not needed. What it answers as root this answers too, socket by socket; a script
that needs no more of it only has another import.
"""

from __future__ import annotations

from functools import partial
from socket import AF_INET, AF_INET6, SOCK_DGRAM, SOCK_STREAM, AddressFamily, SocketKind
from typing import TYPE_CHECKING, NamedTuple

from ._core import inet_sockets

if TYPE_CHECKING:
    from typing import Literal

    _Kind = Literal["inet", "inet4", "inet6", "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6"]
    _Type = Literal["tcp", "tcp6", "udp", "udp6"]

__all__ = [
    "CONN_CLOSE",
    "CONN_CLOSE_WAIT",
    "CONN_CLOSING",
    "CONN_ESTABLISHED",
    "CONN_FIN_WAIT1",
    "CONN_FIN_WAIT2",
    "CONN_LAST_ACK",
    "CONN_LISTEN",
    "CONN_NONE",
    "CONN_SYN_RECV",
    "CONN_SYN_SENT",
    "CONN_TIME_WAIT",
    "AccessDenied",
    "Error",
    "addr",
    "net_connections",
    "sconn",
]

CONN_ESTABLISHED = "ESTABLISHED"
CONN_SYN_SENT = "SYN_SENT"
CONN_SYN_RECV = "SYN_RECV"
CONN_FIN_WAIT1 = "FIN_WAIT1"
CONN_FIN_WAIT2 = "FIN_WAIT2"
CONN_TIME_WAIT = "TIME_WAIT"
CONN_CLOSE = "CLOSE"
CONN_CLOSE_WAIT = "CLOSE_WAIT"
CONN_LAST_ACK = "LAST_ACK"
CONN_LISTEN = "LISTEN"
CONN_CLOSING = "CLOSING"
CONN_NONE = "NONE"


class addr(NamedTuple):  # noqa: N801 - psutil's name
    """An address."""

    ip: str
    port: int


class sconn(NamedTuple):  # noqa: N801 - psutil's name
    """A socket."""

    fd: int
    family: AddressFamily
    type: SocketKind
    laddr: addr | tuple[()]
    raddr: addr | tuple[()]
    status: str
    pid: int | None


_KINDS: dict[str, tuple[_Type, ...]] = {
    "inet": ("tcp", "tcp6", "udp", "udp6"),
    "inet4": ("tcp", "udp"),
    "inet6": ("tcp6", "udp6"),
    "tcp": ("tcp", "tcp6"),
    "tcp4": ("tcp",),
    "tcp6": ("tcp6",),
    "udp": ("udp", "udp6"),
    "udp4": ("udp",),
    "udp6": ("udp6",),
}
# In the order of the numbers that the types have in `inet_sockets()`.
_FAMILIES = (AF_INET, AF_INET6, AF_INET, AF_INET6)
_PROTOCOLS = (SOCK_STREAM, SOCK_STREAM, SOCK_DGRAM, SOCK_DGRAM)


class Error(Exception):
    """psutil's base of exceptions, for scripts that name it."""


class AccessDenied(Error):  # noqa: N818 - psutil's name
    """Never raised: what may not be seen has no process here, as in psutil on Linux."""


def net_connections(kind: _Kind = "inet") -> list[sconn]:
    """Return the sockets of this host, or of this network namespace, as psutil does.

    Args:
        kind: Which sockets: "inet" (TCP and UDP), "inet4", "inet6", "tcp", "tcp4", "tcp6", "udp",
            "udp4" or "udp6".

    Returns:
        A named tuple for each: ``sconn(fd, family, type, laddr, raddr, status, pid)``. An address
        is ``addr(ip, port)``, and ``()`` where the port is 0. Of several processes it has the one
        with the highest id, with its lowest descriptor, as psutil; -1 and None where no process can
        be seen.

    Raises:
        NotImplementedError: The kind has sockets of Unix: "unix" or "all".
        ValueError: There is no such kind.
        OSError: No source answered.
    """
    if kind in ("unix", "all"):
        raise NotImplementedError(f"kind {kind!r}: unix sockets are not listed")
    if kind not in _KINDS:
        raise ValueError(f"invalid kind argument {kind!r}; valid ones are: {(*_KINDS,)}")
    fds, types, ips, ports, remote_ips, remote_ports, statuses, pids = inet_sockets(_KINDS[kind])
    # Half a million tuples: made by C alone.
    make_address, make = partial(tuple.__new__, addr), partial(tuple.__new__, sconn)
    local, remote = (
        [make_address(end) if end[1] > 0 else () for end in ends]
        for ends in (zip(ips, ports), zip(remote_ips, remote_ports))
    )
    families, protocols = map(_FAMILIES.__getitem__, types), map(_PROTOCOLS.__getitem__, types)
    return [*map(make, zip(fds, families, protocols, local, remote, statuses, pids))]
