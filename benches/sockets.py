"""Many sockets in a network namespace of their own: ESTABLISHED, UDP or TIME_WAIT.

`Namespace` moves this process into a new namespace, where its children start too and which the
kernel removes with the last of them. `Sockets` fills it by running this module as processes of
their own, which make up to 19,000 sockets each and hold them until their standard input ends,
so at the latest when whoever started them does.

A socket in repair mode (TCP_REPAIR, made for checkpoint and restore) becomes ESTABLISHED by
`connect` alone: no packet is sent, no peer needed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

KINDS = ("established", "udp", "time_wait")
PEERS = 1_000
"""Distinct remote addresses."""

# Below a limit of open files that is common where root may not raise it.
_PER_PROCESS = 19_000
_FIRST_PORT = 10_000
_PEER_PORT = 443
_LISTENER_PORT = 5_000
_TCP_REPAIR = 19
_CLONE_NEWNET = 0x40000000
_FILE_MAX = Path("/proc/sys/fs/file-max")
_BYTES_PER_SOCKET = 5_000
# The kernel keeps a TIME_WAIT for a minute.
_FRESH_SECONDS = 20.0

Progress = Callable[[int], None]


def _address(number: int) -> tuple[str, int]:
    """Return the local address of socket `number`: every process has an address of its own."""
    process, port = divmod(number, _PER_PROCESS)
    return f"127.0.{process + 1}.1", _FIRST_PORT + port


def _peer(number: int) -> str:
    block, host = divmod(number % PEERS, 250)
    return f"127.1.{block}.{host + 1}"


def _established(numbers: range) -> Iterator[int]:
    for number in numbers:
        made = socket.socket()
        made.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
        made.bind(_address(number))
        made.connect((_peer(number), _PEER_PORT))
        made.detach()
        yield 1


def _udp(numbers: range) -> Iterator[int]:
    for number in numbers:
        made = socket.socket(type=socket.SOCK_DGRAM)
        made.bind(_address(number))
        made.connect((_peer(number), _PEER_PORT))
        made.detach()
        yield 1


def _time_wait(numbers: range) -> Iterator[int]:
    # Every process has a listener of its own, which is gone when the sockets are counted.
    port = _LISTENER_PORT + numbers.start // _PER_PROCESS
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", port))  # noqa: S104  (the namespace has loopback only)
        listener.listen()
        for number in numbers:
            with socket.socket() as made:
                # Takes the place of the TIME_WAIT that is there already.
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                made.bind(_address(number))
                made.connect((_peer(number), port))
                accepted, _ = listener.accept()
            with accepted:
                # Whoever closes first waits: both, if this end did not know yet.
                accepted.recv(1)
            yield 1


_MAKERS = {"established": _established, "udp": _udp, "time_wait": _time_wait}


def _hold(kind: str, numbers: range) -> None:
    """Make the sockets, again for every line on standard input, and hold them until it ends."""
    needed = len(numbers) + 100
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(needed, hard)))
    for _ in _first_and(sys.stdin):
        for number, _ in enumerate(_MAKERS[kind](numbers), 1):
            if number % 1_000 == 0 or number == len(numbers):
                print(number, flush=True)


def _first_and(lines: Iterable[str]) -> Iterator[str]:
    yield ""
    yield from lines


class Namespace:
    """A new network namespace for this process and the children it starts from here on.

    There is no way back into the one before: a later namespace takes its place.
    """

    def __init__(self) -> None:
        """Leave for a new namespace with loopback in it."""
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"unshare: {os.strerror(code)}")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        self.set("net/ipv4/ip_local_port_range", "1024 65535")
        self.set("net/ipv4/tcp_max_tw_buckets", "4000000")
        # A refreshed TIME_WAIT takes over the address of the one before.
        self.set("net/ipv4/tcp_tw_reuse", "1")

    @staticmethod
    def set(name: str, value: str) -> None:
        """Set a sysctl, which is this namespace's own."""
        Path("/proc/sys", name).write_text(value, encoding="ascii")

    @staticmethod
    def count(kind: str) -> int:
        """Count the sockets of a kind, as the kernel's own statistics do."""
        text = Path("/proc/thread-self/net/sockstat").read_text(encoding="ascii")
        fields = dict(line.split(": ", 1) for line in text.splitlines())
        protocol, field = {
            "established": ("TCP", "inuse"),
            "udp": ("UDP", "inuse"),
            "time_wait": ("TCP", "tw"),
        }[kind]
        words = fields[protocol].split()
        return int(words[words.index(field) + 1])


@dataclass
class _Holder:
    process: subprocess.Popen[str]
    size: int
    made: int = 0
    rest: bytes = b""

    def note(self, text: bytes) -> None:
        """Take the last whole line of what it has written."""
        *lines, self.rest = (self.rest + text).split(b"\n")
        if lines:
            self.made = int(lines[-1])


class Sockets(contextlib.AbstractContextManager["Sockets"]):
    """`number` sockets of one kind in this process's namespace, until the block ends."""

    def __init__(self, kind: str, number: int, progress: Progress = lambda made: None) -> None:
        """Only remember what to make."""
        self.kind = kind
        self.number = number
        self._progress = progress
        self._holders: list[_Holder] = []
        self._file_max = ""
        self._since = 0.0

    def __enter__(self) -> Sockets:
        """Make the sockets and check their number."""
        self._raise_file_max()
        self._since = time.monotonic()
        try:
            # One process per processor at a time: more would only wait for each other.
            waiting = list(range(0, self.number, _PER_PROCESS))
            at_once = os.cpu_count() or 1
            while waiting:
                starting = [self._start(first) for first in waiting[:at_once]]
                del waiting[:at_once]
                self._wait(starting)
            self._verify()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all sockets."""
        self.close()

    def close(self) -> None:
        """Close all sockets and wait until they are gone."""
        for holder in self._holders:
            if holder.process.stdin is not None:
                holder.process.stdin.close()
        for holder in self._holders:
            holder.process.wait()
            if holder.process.stdout is not None:
                holder.process.stdout.close()
        self._holders = []
        if self._file_max:
            _FILE_MAX.write_text(self._file_max, encoding="ascii")
            self._file_max = ""

    def refresh(self) -> None:
        """Replace what would soon be gone by itself: sockets in TIME_WAIT."""
        if self.kind != "time_wait" or time.monotonic() - self._since < _FRESH_SECONDS:
            return
        self._since = time.monotonic()
        for holder in self._holders:
            if holder.process.stdin is not None:
                holder.process.stdin.write("again\n")
                holder.process.stdin.flush()
            holder.made = 0
        self._wait(self._holders)
        self._verify()

    def _start(self, first: int) -> _Holder:
        size = min(_PER_PROCESS, self.number - first)
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, self.kind, str(first), str(first + size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        holder = _Holder(process, size)
        self._holders.append(holder)
        return holder

    def _wait(self, holders: list[_Holder]) -> None:
        with selectors.DefaultSelector() as selector:
            for holder in holders:
                if holder.process.stdout is not None:
                    selector.register(holder.process.stdout, selectors.EVENT_READ, holder)
            while selector.get_map():
                for key, _ in selector.select():
                    holder = key.data
                    # The selector does not see lines that wait in a buffer.
                    text = os.read(key.fd, 4096)
                    if not text:
                        raise RuntimeError(f"no {self.kind} sockets: {holder.process.wait()}")
                    holder.note(text)
                    if holder.made == holder.size:
                        selector.unregister(key.fileobj)
                self._progress(sum(holder.made for holder in self._holders))

    def _verify(self) -> None:
        # The last segments may still be under way.
        deadline = time.monotonic() + 2.0
        while (found := Namespace.count(self.kind)) != self.number:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{found} {self.kind} sockets instead of {self.number}")
            time.sleep(0.01)

    def _raise_file_max(self) -> None:
        current = _FILE_MAX.read_text(encoding="ascii").strip()
        needed = self.number + 100_000
        if self.kind != "time_wait" and int(current) < needed:
            _FILE_MAX.write_text(str(needed), encoding="ascii")
            self._file_max = current


def fits(number: int) -> bool:
    """Whether this machine has the memory for that many sockets."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    available = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    return number * _BYTES_PER_SOCKET < available * 1024


if __name__ == "__main__":
    _hold(sys.argv[1], range(int(sys.argv[2]), int(sys.argv[3])))
