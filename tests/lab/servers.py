"""Servers that do not accept, and clients until there is no room or no port left."""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Union

from .namespaces import inside, run
from .tools import PATIENCE

MPTCP = 262
# linux/in.h; Python has no name for them.
IP_BIND_ADDRESS_NO_PORT = 24
IP_LOCAL_PORT_RANGE = 51
# asm/socket.h: not limited by net.core.rmem_max.
SO_RCVBUFFORCE = 33
REUSE = (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)

Option = tuple[int, int, Union[int, bytes]]

_PATIENCE = PATIENCE / 3


def has_mptcp() -> bool:
    """Whether the kernel has MPTCP."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP).close()
    except OSError:
        return False
    return True


class Queue(NamedTuple):
    """The accept queue of a listening socket."""

    waiting: int
    of: int
    drops: int

    @property
    def percent(self) -> float:
        """How full it is. With a limit of 0 one that waits is above it, as the second of 1 is."""
        return 100 * self.waiting / (self.of or 0.5)


class Sockets:
    """Sockets of this process inside namespaces, held until the end; made by `sockets()`."""

    def __init__(self, held: contextlib.ExitStack) -> None:
        """Hold sockets in this stack."""
        self._held = held

    def make(
        self, ns: str, host: str, protocol: int = 0, kind: int = socket.SOCK_STREAM
    ) -> socket.socket:
        """Return a socket that can have this address."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with inside(ns):
            made = self._held.enter_context(socket.socket(family, kind, protocol))
        made.settimeout(_PATIENCE)
        return made

    def listen(
        self,
        ns: str,
        host: str,
        port: int,
        backlog: int,
        *,
        protocol: int = 0,
        options: Sequence[Option] = (),
    ) -> socket.socket:
        """Return a server, of both families where its address allows for it."""
        made = self.make(ns, host, protocol)
        # What is left of earlier connections may be in its way.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" in host:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        for option in options:
            made.setsockopt(*option)
        made.bind((host, port))
        made.listen(backlog)
        return made

    def bind(
        self,
        ns: str,
        host: str,
        port: int,
        size: int = 0,
        *,
        options: Sequence[Option] = (),
    ) -> socket.socket:
        """Return a UDP socket whose receive buffer has this limit: twice the size asked for."""
        made = self.make(ns, host, kind=socket.SOCK_DGRAM)
        if ":" in host:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        for option in options:
            made.setsockopt(*option)
        if size:
            made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size // 2)
            assert made.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == size
        made.bind((host, port))
        return made

    def request(self, ns: str, to: tuple[str, int]) -> None:
        """Ask for a connection, and wait for nothing."""
        client = self.make(ns, to[0])
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect(to)

    def connect(
        self,
        ns: str,
        to: tuple[str, int],
        source: str = "",
        options: Sequence[Option] = (),
    ) -> socket.socket:
        """Return a connection."""
        made = self.make(ns, to[0])
        for option in options:
            made.setsockopt(*option)
        try:
            if source:
                made.bind((source, 0))
            made.connect(to)
        except OSError:
            made.close()
            raise
        return made

    def crowd(self, here: str, there: str, to: tuple[str, int], count: int) -> list[socket.socket]:
        """Return those connections that come about of so many tries, one after the other.

        Those that find no room in `there` are given up, so that they do not try again.
        """
        made = []
        for _ in range(count):
            before = listen_drops(there).overflows
            client = self.make(here, to[0])
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(to)

            def settled(client: socket.socket = client, before: int = before) -> bool:
                return _is_connected(client) or listen_drops(there).overflows > before

            wait_for(settled)
            if _is_connected(client):
                made.append(client)
            else:
                client.close()
        return made


@contextlib.contextmanager
def sockets() -> Iterator[Sockets]:
    """Close all sockets in the end."""
    with contextlib.ExitStack() as held:
        yield Sockets(held)


def _is_connected(client: socket.socket) -> bool:
    # Also of more descriptors than select() can tell.
    poll = select.poll()
    poll.register(client, select.POLLOUT)
    return bool(poll.poll(0))


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so: packets cross a link in their own time."""
    end = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def ports(ns: str, first: int, last: int, reserved: str = "") -> None:
    """Let a namespace give these ports to outgoing connections."""
    with inside(ns):
        settings = Path("/proc/sys/net/ipv4")
        (settings / "ip_local_port_range").write_text(f"{first} {last}", encoding="ascii")
        (settings / "ip_local_reserved_ports").write_text(f"{reserved}\n", encoding="ascii")


# Requests whose answers are lost, as an input chain of the client's host.
_LOSING = """
table inet losing {
  chain losing { type filter hook input priority 0; tcp sport %d drop; }
}
"""


@contextlib.contextmanager
def losing(ns: str, port: int) -> Iterator[None]:
    """Lose every packet that comes from this port into a namespace; needs nft."""
    run(ns, ["nft", "-f", "-"], stdin=_LOSING % port)
    try:
        yield
    finally:
        run(ns, ["nft", "delete", "table", "inet", "losing"])


def nstat(ns: str, *names: str) -> dict[str, int]:
    """Read counters of the kernel with `nstat`; a counter that the kernel lacks is 0."""
    text = run(ns, ["nstat", "-jasz", *names]).stdout
    counters: dict[str, int] = json.loads(text)["kernel"]
    return {name: counters.get(name, 0) for name in names}


class Drops(NamedTuple):
    """What a namespace has dropped, of all its listeners."""

    drops: int
    overflows: int


def listen_drops(ns: str) -> Drops:
    """Read the counters of a namespace."""
    with inside(ns):
        text = Path("/proc/thread-self/net/netstat").read_text(encoding="ascii")
    names, values = (line.split() for line in text.splitlines()[:2])
    counters = dict(zip(names, values))
    return Drops(int(counters["ListenDrops"]), int(counters["ListenOverflows"]))


_MAPPED = re.compile(r"\[::ffff:([\d.]+)\]")
_DROPS = re.compile(r"skmem:\(.*\bd(\d+)\)")


def queues(ns: str) -> dict[str, list[Queue]]:
    """Read with `ss` the queue of each listening socket, by address and port."""
    found: dict[str, list[Queue]] = {}
    for line in run(ns, ["ss", "-HltnmO"]).stdout.splitlines():
        _, waiting, limit, local, *_ = line.split()
        drops = _DROPS.search(line)
        assert drops is not None, line
        host, _, port = local.rpartition(":")
        # The wildcard of a socket that serves both families.
        host = "[::]" if host == "*" else _MAPPED.sub(r"\1", host)
        found.setdefault(f"{host}:{port}", []).append(
            Queue(int(waiting), int(limit), int(drops[1]))
        )
    return found


def fullest(rows: Sequence[Queue]) -> Queue:
    """Return the fullest queue of several sockets, with the drops of all."""
    return max(rows, key=lambda queue: queue.percent)._replace(
        drops=sum(queue.drops for queue in rows)
    )
