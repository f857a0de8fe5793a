"""A lab that holds real sockets in every state Linux shows, with known counts.

The sockets live in one namespace of a pair, their peers in the other. What a state needs
dropped is dropped by nftables as it reaches the peer, because a packet dropped on its way
out would be an error the sending socket knows about. Sysctls in both namespaces keep the
retransmissions of such sockets going for hours.

Only minisocks cannot be made to last: the kernel lets a TIME_WAIT, and a FIN_WAIT2 that has
become one, live for 60 seconds. `StateLab.refresh()` replaces them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from . import namespaces
from .namespaces import NOBODY, Pair, command, inside, pair, run, sysctl
from .oracles import counts, read_proc_net

# Each state is held by this many IPv4 sockets, as many IPv6 ones, and one more IPv6 socket
# that speaks to an IPv4-mapped address. All even, so that no two groups have the same count:
# a swapped name cannot go unseen. Those without a peer have the higher numbers.
PLAN = {
    "TIME_WAIT": 2,
    "CLOSING": 4,
    "LAST_ACK": 6,
    "FIN_WAIT1": 8,
    "FIN_WAIT2": 10,
    "CLOSE_WAIT": 12,
    "ESTABLISHED": 14,
    "SYN_RECV": 16,
    "SYN_SENT": 18,
    "LISTEN": 20,
    "NONE": 22,
}

# Below the range from which the kernel takes ports by itself.
_SILENT = 9001  # the peer never sees a SYN to this port
_FINLESS = 9002  # the peer never sees a FIN to this port
_OPEN = 9003
_SERVER = 9010
_DUAL_SERVER = 9011
_QUEUE = 9020
_REUSE = 9030
_PLAIN = 9100
_DEAF = 21000  # peers from these ports never see an answer
_RECYCLED = 20000  # peers of TIME_WAIT sockets

_RULES = f"""
table inet lab {{
    chain input {{
        type filter hook input priority 0; policy accept;
        tcp dport {_SILENT} drop
        tcp dport {_FINLESS} tcp flags & fin == fin drop
        tcp dport {_DEAF}-{_DEAF + 999} drop
    }}
}}
"""

_SYSCTLS = {
    "net/ipv4/tcp_syn_retries": 100,
    "net/ipv4/tcp_synack_retries": 100,
    "net/ipv4/tcp_retries2": 100,
    "net/ipv4/tcp_orphan_retries": 100,
    # Above 60 seconds an orphan stays a full socket until 60 are left.
    "net/ipv4/tcp_fin_timeout": 24 * 3600,
}

_PATIENCE = 10.0


@dataclass(frozen=True)
class _Route:
    """How the lab's sockets and their peers reach each other."""

    type: str
    family: int
    here: str  # where the lab listens
    there: str  # the peer, as the lab's sockets spell it
    peer_family: int
    peer_here: str  # where the peer listens
    peer_there: str  # the lab, as the peer's sockets spell it
    server: int  # the port of the lab's listener that accepts
    offset: int  # keeps this route's fixed ports apart from another's
    count: int  # how many of a planned number: all or one

    def number(self, planned: int) -> range:
        return range(min(planned, self.count))


def missing() -> str:
    """Why sockets cannot be brought into every state here; empty if they can."""
    return namespaces.missing("nft", "list", "ruleset")


class StateLab:
    """The sockets of one lab; made by `state_lab()`.

    `ns` is the namespace to count in, `peer_ns` the one of the peers. `expected` holds the
    number of sockets by type and status, and `kept` how many of those belong to another
    process, `keeper_pid`, and to the user nobody. `minisocks` says how many of the FIN_WAIT2
    sockets of a type are minisocks.
    """

    def __init__(self, made: Pair) -> None:
        """Prepare an empty lab; `build()` fills it."""
        self.ns = made.a
        self.peer_ns = made.b
        self.expected: Counter[tuple[str, str]] = Counter()
        self.kept: Counter[tuple[str, str]] = Counter()
        self.minisocks: Counter[str] = Counter()
        self.keeper_pid = 0

        a4, b4, a6, b6 = made.a4, made.b4, made.a6, made.b6
        v4, v6 = socket.AF_INET, socket.AF_INET6
        every = max(PLAN.values())
        self._routes = (
            _Route("tcp", v4, a4, b4, v4, b4, a4, _SERVER, 0, every),
            _Route("tcp6", v6, a6, b6, v6, b6, a6, _SERVER, 0, every),
            _Route("tcp6", v6, "::", f"::ffff:{b4}", v4, b4, a4, _DUAL_SERVER, 500, 1),
        )
        self._own: list[socket.socket] = []
        self._peers: list[socket.socket] = []
        self._gifts: list[socket.socket] = []
        self._keeper: subprocess.Popen[bytes] | None = None
        self._servers: dict[_Route, socket.socket] = {}
        self._doors: dict[tuple[int, int], socket.socket] = {}
        self._minisock_peers: list[socket.socket] = []

    @property
    def counts(self) -> dict[str, int]:
        """`expected` with the keys of `oracles.counts()`."""
        return {f"{kind}_{status}": number for (kind, status), number in self.expected.items()}

    @property
    def held(self) -> tuple[socket.socket, ...]:
        """The sockets of this process in `ns`."""
        return tuple(self._own)

    def refresh(self) -> None:
        """Replace the minisocks, which last 60 seconds, by new ones.

        Counts are the same before and after, but not during this call.
        """
        # A reset from the peer removes a FIN_WAIT2 minisock at once.
        while self._minisock_peers:
            self._drop(self._peers, self._minisock_peers.pop())
        for route in self._routes:
            for number in route.number(PLAN["FIN_WAIT2"]):
                if _is_minisock(number):
                    self._minisock(route)
            for number in route.number(PLAN["TIME_WAIT"]):
                self._time_wait(route, _RECYCLED + route.offset + number)
        self._settle()

    def close(self) -> None:
        """Remove every socket, and what the kernel still holds of closed ones."""
        # Peers first and by a reset: it ends the orphans, which would otherwise keep the
        # namespace alive, long after its name is gone, for as long as they may retransmit.
        for held in (self._peers, self._own, self._gifts):
            while held:
                _abort(held.pop())
        # A SYN_RECV goes when it hears from its peer again and finds its listener gone.
        with contextlib.suppress(OSError):
            for route in self._routes:
                self._syn_recv(route)
        while self._peers:
            _abort(self._peers.pop())
        if self._keeper is not None:
            self._keeper.kill()
            self._keeper.communicate()
            self._keeper = None

    def build(self) -> None:
        """Make all sockets; on failure, `close()` removes those already made."""
        for ns in (self.ns, self.peer_ns):
            for name, value in _SYSCTLS.items():
                sysctl(ns, name, value)
        run(self.peer_ns, ["nft", "-f", "-"], stdin=_RULES)
        for route in self._routes:
            self._listen(route)
        for route in self._routes:
            self._established(route)
            self._syn_sent(route)
            self._syn_recv(route)
            self._close_wait(route)
            self._half_closed(route)
            self._fin_wait2(route)
            self._udp(route)
            self._unseen(route)
        for route in self._routes:
            for status, planned in PLAN.items():
                kind = route.type if status != "NONE" else route.type.replace("tcp", "udp")
                self.expected[kind, status] += len(route.number(planned))
            self.minisocks[route.type] += sum(
                _is_minisock(number) for number in route.number(PLAN["FIN_WAIT2"])
            )
        self._give_away()
        self.refresh()

    # One method for each state, or for several that begin alike.

    def _listen(self, route: _Route) -> None:
        self._servers[route] = self._listener(route, route.server)
        if route.server == _DUAL_SERVER:
            return
        self._listener(route, _QUEUE)
        # Never accepted: established, but without an inode.
        self._dial_in(route, _QUEUE)
        for _ in range(3):
            self._listener(route, _REUSE)
        for number in range(PLAN["LISTEN"] - 5):
            listener = self._listener(route, _PLAIN + number)
            if number % 3 == 0:
                self._keep(route, "LISTEN", listener)
        for port in (_FINLESS, _OPEN):
            self._doors[route.peer_family, port] = door = self._peer(route.peer_family)
            door.bind((route.peer_here, port))
            door.listen()

    def _established(self, route: _Route) -> None:
        planned = len(route.number(PLAN["ESTABLISHED"]))
        self._dial_in(route, route.server)
        self._accept(self._servers[route], self._own)
        for number in range(planned - 2):
            own, _ = self._dial_out(route, _OPEN)
            if number % 3 == 0:
                self._keep(route, "ESTABLISHED", own)

    def _syn_sent(self, route: _Route) -> None:
        for _ in route.number(PLAN["SYN_SENT"]):
            _start_connect(self._socket(route.family), (route.there, _SILENT))

    def _syn_recv(self, route: _Route) -> None:
        for number in route.number(PLAN["SYN_RECV"]):
            peer = self._peer(route.peer_family)
            peer.bind((route.peer_here, _DEAF + route.offset + number))
            _start_connect(peer, (route.peer_there, route.server))

    def _close_wait(self, route: _Route) -> None:
        for _ in route.number(PLAN["CLOSE_WAIT"]):
            _, peer = self._dial_out(route, _OPEN)
            peer.shutdown(socket.SHUT_WR)

    def _half_closed(self, route: _Route) -> None:
        # In all three the peer never sees our FIN; they differ in when its own comes.
        for status in ("FIN_WAIT1", "CLOSING", "LAST_ACK"):
            for number in route.number(PLAN[status]):
                own, peer = self._dial_out(route, _FINLESS)
                if status == "LAST_ACK":
                    peer.shutdown(socket.SHUT_WR)
                    own.recv(1)  # its FIN has come
                own.shutdown(socket.SHUT_WR)
                if status == "CLOSING":
                    peer.shutdown(socket.SHUT_WR)
                    own.recv(1)
                if number % 2:  # some have no process any more
                    self._forget(own)

    def _fin_wait2(self, route: _Route) -> None:
        for number in route.number(PLAN["FIN_WAIT2"]):
            if _is_minisock(number):
                continue  # made by refresh()
            own, peer = self._dial_out(route, _OPEN)
            own.shutdown(socket.SHUT_WR)
            peer.recv(1)
            if number % 3 == 1:  # an orphan, but a full socket
                self._forget(own)

    def _minisock(self, route: _Route) -> None:
        own, peer = self._dial_out(route, _OPEN)
        # With at most 60 seconds to go, an orphan becomes a minisock immediately.
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_LINGER2, 60)
        self._forget(own)
        peer.recv(1)
        self._minisock_peers.append(peer)

    def _time_wait(self, route: _Route, port: int) -> None:
        # From the same port each time: a new connection takes an old TIME_WAIT's place.
        peer = self._dial_in(route, route.server, port)
        own = self._accept(self._servers[route], self._own)
        self._forget(own)
        peer.recv(1)
        self._peers.remove(peer)
        peer.close()

    def _udp(self, route: _Route) -> None:
        kind = route.type.replace("tcp", "udp")
        for number in route.number(PLAN["NONE"]):
            own = self._socket(route.family, socket.SOCK_DGRAM)
            if number % 2 == 0:
                own.connect((route.there, _OPEN))
            else:
                # A wildcard of IPv6 takes the port of IPv4 as well.
                port = _PLAIN + number + (100 if own.family == socket.AF_INET6 else 0)
                own.bind(("" if number == 1 else route.here, port))
            if number % 4 == 0:
                self._keep(route, "NONE", own, kind)

    def _unseen(self, route: _Route) -> None:
        # Neither /proc nor ss shows these, so nobody may count them.
        self._socket(route.family).bind(("", 0))
        self._socket(route.family)

    # Sockets, and whose they are.

    def _socket(self, family: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
        with inside(self.ns):
            made = socket.socket(family, kind)
        self._own.append(made)
        made.settimeout(_PATIENCE)
        return made

    def _peer(self, family: int) -> socket.socket:
        with inside(self.peer_ns):
            made = socket.socket(family, socket.SOCK_STREAM)
        self._peers.append(made)
        made.settimeout(_PATIENCE)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return made

    def _listener(self, route: _Route, port: int) -> socket.socket:
        listener = self._socket(route.family)
        if port == _REUSE:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((route.here, port))
        # The kernel thins out SYN_RECV once they fill half the queue.
        listener.listen(128)
        return listener

    def _dial_out(self, route: _Route, port: int) -> tuple[socket.socket, socket.socket]:
        own = self._socket(route.family)
        own.connect((route.there, port))
        return own, self._accept(self._doors[route.peer_family, port], self._peers)

    def _dial_in(self, route: _Route, port: int, source: int = 0) -> socket.socket:
        peer = self._peer(route.peer_family)
        peer.bind((route.peer_here, source))
        peer.connect((route.peer_there, port))
        return peer

    def _accept(self, listener: socket.socket, owner: list[socket.socket]) -> socket.socket:
        accepted, _ = listener.accept()
        owner.append(accepted)
        accepted.settimeout(_PATIENCE)
        return accepted

    def _forget(self, own: socket.socket) -> None:
        self._own.remove(own)
        own.close()

    def _drop(self, held: list[socket.socket], dropped: socket.socket) -> None:
        held.remove(dropped)
        _abort(dropped)

    def _keep(self, route: _Route, status: str, own: socket.socket, kind: str = "") -> None:
        os.fchown(own.fileno(), NOBODY, NOBODY)
        self._own.remove(own)
        self._gifts.append(own)
        self.kept[kind or route.type, status] += 1

    def _give_away(self) -> None:
        # It reads from us, so it ends when we do, however that happens.
        self._keeper = subprocess.Popen(
            command(None, ["cat"], user="nobody"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[gift.fileno() for gift in self._gifts],
        )
        self.keeper_pid = self._keeper.pid
        while self._gifts:
            self._gifts.pop().close()

    def _settle(self) -> None:
        # Packets cross the veth in their own time.
        deadline = time.monotonic() + _PATIENCE
        while (found := counts(read_proc_net(self.ns))) != self.counts:
            if time.monotonic() > deadline:
                wrong = sorted(set(found.items()) ^ set(self.counts.items()))
                raise RuntimeError(f"the lab's sockets do not reach their states: {wrong}")
            time.sleep(0.01)


@contextlib.contextmanager
def state_lab() -> Iterator[StateLab]:
    """Sockets in every state, on IPv4 and IPv6, until the block ends."""
    with pair() as made:
        lab = StateLab(made)
        try:
            lab.build()
            yield lab
        finally:
            lab.close()


def _is_minisock(number: int) -> bool:
    return number % 3 == 0


def _start_connect(connecting: socket.socket, address: tuple[str, int]) -> None:
    connecting.setblocking(False)
    code = connecting.connect_ex(address)
    if code != errno.EINPROGRESS:
        raise OSError(code, f"connect {address}: {os.strerror(code)}")


def _abort(ended: socket.socket) -> None:
    with contextlib.suppress(OSError):
        ended.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ended.close()
