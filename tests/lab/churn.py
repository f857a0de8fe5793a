"""Connections opened and closed as fast as possible next to known stable ones.

`churn()` runs this module as a process of its own inside a namespace. It ends by itself, or
with whoever started it.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import json
import resource
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .namespaces import command

_RESET = struct.pack("ii", 1, 0)
_OPEN_AT_ONCE = 200


@dataclass
class Churn:
    """A churn under way. Until it is stopped, no group of `stable` has fewer sockets."""

    process: subprocess.Popen[str]
    stable: dict[str, int]
    until: float

    def running(self) -> bool:
        """Whether it still churns."""
        return self.process.poll() is None and time.monotonic() < self.until

    def stop(self) -> int:
        """End it; how many connections were opened and closed meanwhile."""
        output, _ = self.process.communicate()
        if self.process.returncode != 0:
            raise RuntimeError(f"the churn failed with exit code {self.process.returncode}")
        return int(output)


@contextlib.contextmanager
def churn(ns: str, seconds: float, stable: int = 500) -> Iterator[Churn]:
    """Churn inside `ns` for `seconds`, or until the block ends.

    The known sockets are `stable` connections, two sockets each, and as many UDP sockets, on
    IPv4 and again on IPv6.
    """
    process = subprocess.Popen(
        command(ns, [sys.executable, "-m", "lab.churn", str(seconds), str(stable)]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first:
            raise RuntimeError(f"the churn failed with exit code {process.wait()}")
        yield Churn(process, json.loads(first), time.monotonic() + seconds)
    finally:
        process.kill()
        process.communicate()


def _listener(family: int, host: str, backlog: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.bind((host, 0))
    listener.listen(backlog)
    return listener


def _connect(listener: socket.socket, host: str) -> list[socket.socket]:
    client = socket.socket(listener.family, socket.SOCK_STREAM)
    client.connect((host, listener.getsockname()[1]))
    return [client, listener.accept()[0]]


def _hold(number: int) -> tuple[list[socket.socket], dict[str, int]]:
    held: list[socket.socket] = []
    stable: dict[str, int] = {}
    for family, host, six in ((socket.AF_INET, "127.0.0.1", ""), (socket.AF_INET6, "::1", "6")):
        listener = _listener(family, host, 16)
        held.append(listener)
        for _ in range(number):
            held += _connect(listener, host)
            datagram = socket.socket(family, socket.SOCK_DGRAM)
            datagram.bind((host, 0))
            held.append(datagram)
        stable[f"tcp{six}_ESTABLISHED"] = 2 * number
        stable[f"udp{six}_NONE"] = number
    return held, stable


def _churn(seconds: float) -> int:
    # Many destinations: TIME_WAIT takes a port only for the destination it had.
    hosts = [(socket.AF_INET, f"127.0.0.{last}") for last in range(1, 17)]
    hosts.append((socket.AF_INET6, "::1"))
    places = [(_listener(family, host, 16), host) for family, host in hosts]
    # Some stay open for a while, so that rows come and go all over the kernel's tables.
    opened: collections.deque[list[socket.socket]] = collections.deque()
    deadline = time.monotonic() + seconds
    for number in itertools.count():
        if number % 256 == 0 and _over(deadline):
            return number
        listener, host = places[number % len(places)]
        ends = _connect(listener, host)
        datagram = socket.socket(listener.family, socket.SOCK_DGRAM)
        datagram.bind((host, 0))
        opened.append([*ends, datagram])
        if len(opened) > _OPEN_AT_ONCE:
            oldest = opened.popleft()
            # A reset leaves no TIME_WAIT; if all left one, ports would run out in seconds.
            if number % 16:
                oldest[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            for end in oldest:
                end.close()
    raise AssertionError("unreachable")


def _over(deadline: float) -> bool:
    # Its end is closed when the one who started us is gone.
    return time.monotonic() > deadline or bool(select.select([sys.stdin], [], [], 0)[0])


def _main(seconds: str, stable: str) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held, groups = _hold(int(stable))
    print(json.dumps(groups), flush=True)
    print(_churn(float(seconds)), flush=True)
    # A reading that began before the end may still be under way.
    sys.stdin.read()
    del held


if __name__ == "__main__":
    _main(*sys.argv[1:])
