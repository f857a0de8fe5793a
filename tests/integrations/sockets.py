"""Sockets to be counted, held by a process of their own or by the test."""

from __future__ import annotations

import contextlib
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence

from lab import namespaces


def listener(ns: str, port: int, host: str = "127.0.0.1") -> socket.socket:
    """Return a socket that listens in `ns`."""
    with namespaces.inside(ns):
        made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((host, port))
    made.listen(1000)
    return made


@contextlib.contextmanager
def established(
    here: str,
    there: str,
    host: str,
    port: int,
    number: int,
    *,
    first: int = 0,
    closed: bool = False,
) -> Iterator[None]:
    """Connect `number` times from `here`, from the port `first` on, to `host` in `there`.

    What is `closed` there is in CLOSE_WAIT here.
    """
    with contextlib.ExitStack() as sockets:
        accepting = sockets.enter_context(listener(there, port, host))
        for offset in range(number):
            with namespaces.inside(here):
                one = sockets.enter_context(socket.socket())
            one.bind(("", first and first + offset))
            one.connect((host, port))
            other, _ = accepting.accept()
            sockets.enter_context(other)
            if closed:
                other.shutdown(socket.SHUT_WR)
                assert one.recv(1) == b""
        yield


@contextlib.contextmanager
def udp(ns: str, addresses: Sequence[str], port: int = 7700) -> Iterator[None]:
    """Hold a UDP socket in `ns` on each of the `addresses`, whether the host has them or not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
    try:
        with contextlib.ExitStack() as sockets, namespaces.inside(ns):
            for address in addresses:
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                made = sockets.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                if family == socket.AF_INET6:
                    made.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
                made.bind((address, port))
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# linux/in6.h
_IPV6_FREEBIND = 78

_HOLD = """
import socket, sys
host, port, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
held = [socket.create_connection((host, port)) for _ in range(number)]
for one in held:
    assert one.recv(1) == b""
print("ready", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def leaking(here: str, there: str, host: str, port: int, number: int) -> Iterator[int]:
    """Let a process in `here` hold `number` connections that `there` has closed; return its id."""
    line = [sys.executable, "-c", _HOLD, host, str(port), str(number)]
    with contextlib.ExitStack() as sockets:
        accepting = sockets.enter_context(listener(there, port, host))
        process = subprocess.Popen(
            namespaces.command(here, line),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            for _ in range(number):
                other, _ = accepting.accept()
                sockets.enter_context(other)
                other.shutdown(socket.SHUT_WR)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process.pid
        finally:
            process.communicate()
