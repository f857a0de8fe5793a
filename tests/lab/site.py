"""A small site with known connections, for the examples in the documentation."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab import namespaces, servers
from lab.stage import set_arguments

CLIENTS = {"192.0.2.50": 40, "192.0.2.51": 25, "192.0.2.52": 12}
LEAKED = 37
DATABASE = 60


@dataclass(frozen=True)
class Site:
    """The host whose connections are counted lives in the namespace `ns`.

    Another one, `stuck`, has an application that has ceased to accept connections. In `flooded`
    clients have asked for connections and send nothing more.
    """

    ns: str
    stuck: str
    flooded: str


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Give this process a name, whatever its interpreter is called."""
    comm = Path("/proc/self/comm")
    before = comm.read_bytes()
    comm.write_text(name, encoding="ascii")
    arguments = set_arguments(name.encode("ascii") + b"\0-")
    yield
    comm.write_bytes(before.strip())
    set_arguments(arguments)


@contextlib.contextmanager
def site() -> Iterator[Site]:
    """A web server with clients, an application that leaks, and a database elsewhere.

    All sockets are this process's, made inside the namespaces, so their numbers never change.
    """
    with contextlib.ExitStack() as held, namespaces.pair() as pair:
        held.enter_context(_named("webapp"))
        for address in (*CLIENTS, "192.0.2.60"):
            subprocess.run(
                ["ip", "-n", pair.b, "addr", "add", f"{address}/24", "dev", "lab"], check=True
            )

        def listen(ns: str, address: str, port: int) -> socket.socket:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with namespaces.inside(ns):
                listener = held.enter_context(socket.socket(family, socket.SOCK_STREAM))
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind((address, port))
            listener.listen(128)
            return listener

        def connect(ns: str, source: str, target: tuple[str, int]) -> socket.socket:
            with namespaces.inside(ns):
                client = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            client.bind((source, 0))
            client.connect(target)
            return client

        listen(pair.a, "0.0.0.0", 22)  # noqa: S104 - in a namespace of its own
        web = listen(pair.a, "::", 443)
        leaky = listen(pair.a, pair.a4, 8080)
        database = listen(pair.b, pair.b4, 5432)
        for address, number in CLIENTS.items():
            for _ in range(number):
                connect(pair.b, address, (pair.a4, 443))
                held.enter_context(web.accept()[0])
        for _ in range(LEAKED):
            client = connect(pair.b, "192.0.2.60", (pair.a4, 8080))
            server = held.enter_context(leaky.accept()[0])
            client.close()
            # Until the end of the stream is here, the connection is not in CLOSE_WAIT.
            server.recv(1)
        for _ in range(DATABASE):
            connect(pair.a, pair.a4, (pair.b4, 5432))
            held.enter_context(database.accept()[0])
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104
            with namespaces.inside(pair.a):
                resolver = held.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            if family == socket.AF_INET6:
                resolver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            resolver.bind((address, 53))
        yield Site(pair.a, held.enter_context(_stuck()), held.enter_context(_flooded()))


@contextlib.contextmanager
def _stuck() -> Iterator[str]:
    """Let connections wait that nobody accepts, some in vain."""
    with namespaces.pair() as pair, servers.sockets() as held:
        for host, port, limit, clients in (
            ("0.0.0.0", 22, 128, 0),  # noqa: S104 - in a namespace of its own
            ("::", 443, 511, 12),
            (pair.a4, 8080, 5, 9),
        ):
            held.listen(pair.a, host, port, limit)
            held.crowd(pair.b, pair.a, (pair.a4, port), clients)
        yield pair.a


@contextlib.contextmanager
def _flooded() -> Iterator[str]:
    """Let connections stay in SYN_RECV: that of a deferred listener does until data comes."""
    defer = (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 600)
    with namespaces.pair() as pair, servers.sockets() as held:
        held.listen(pair.a, "0.0.0.0", 22, 128)  # noqa: S104 - in a namespace of its own
        held.listen(pair.a, pair.a4, 8080, 16, options=[defer])
        for _ in range(12):
            held.connect(pair.b, (pair.a4, 8080))
        yield pair.a
