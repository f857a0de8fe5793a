"""Processes that own sockets: in cgroups of their own, of other users, under any name.

`actor()` runs lab/stage.py as a process of its own, born inside a namespace, that does what it
is told step by step. It ends with whoever started it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from . import namespaces, oracles
from .namespaces import NOBODY, inside
from .states import StateLab, state_lab

# Nobody has a name for it.
NAMELESS = 54321

_PATIENCE = 10.0
_LONG = 100.0
_numbers = itertools.count()


# Cgroups, and mounts of one's own.


@functools.cache
def cgroup2() -> Path | None:
    """Where the cgroup2 hierarchy is mounted, as findmnt says."""
    line = ["findmnt", "--noheadings", "--first-only", "--types=cgroup2", "--output=TARGET"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    return Path(done.stdout.strip()) if done.stdout.strip() else None


@functools.cache
def missing() -> str:
    """Why there can be no sockets in cgroups of their own here; empty if there can."""
    if reason := namespaces.missing():
        return reason
    if cgroup2() is None:
        return "no cgroup2 file system is mounted"
    try:
        with cgroups() as base, actor(None) as probe:
            probe.do("enter", base)
    except (OSError, RuntimeError) as error:
        return f"no cgroup can be made: {error}"
    return ""


@contextlib.contextmanager
def cgroups() -> Iterator[Path]:
    """Make a cgroup, which is removed afterwards with all that is in it and below it."""
    mount = cgroup2()
    assert mount is not None
    base = mount / f"lab-{os.getpid()}-{next(_numbers)}"
    base.mkdir()
    try:
        yield base
    finally:
        remove(base)


def remove(cgroup: Path) -> None:
    """Remove a cgroup and those below it, and end the processes in them."""
    deadline = time.monotonic() + _PATIENCE
    below = [path for path in cgroup.rglob("*") if path.is_dir()]
    for directory in sorted([cgroup, *below], reverse=True):
        while True:
            for pid in map(int, (directory / "cgroup.procs").read_text().split()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            try:
                directory.rmdir()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)


def after(script: str) -> list[str]:
    """Return what to put in front of a command line to run a script of the shell before it."""
    return ["sh", "-ec", f'{script}\nexec "$@"', "sh"]


def private(script: str) -> list[str]:
    """Return the same for a script whose mounts nobody else sees."""
    return ["unshare", "--mount", *after(script)]


# Processes.


class Actor:
    """A process that does what it is told; made by `actor()`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Take over a process that has just been started."""
        self._process = process

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    def do(self, step: str, *arguments: object) -> Any:  # noqa: ANN401 - each step has its own
        """Let it do one step, which is a method of lab/stage.py."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([step, *arguments], default=os.fspath) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the step {step} failed")
        return json.loads(answer)


@contextlib.contextmanager
def actor(
    ns: str | None, name: str | bytes = "actor", cgroup: Path | None = None, uid: int = 0
) -> Iterator[Actor]:
    """Start a process of that name inside `ns`; it ends with the block."""
    with inside(ns):
        process = _start([sys.executable, *ACTOR])
    try:
        made = Actor(process)
        made.do("rename", os.fsencode(name).decode("latin-1"))
        if cgroup is not None:
            made.do("enter", cgroup)
        if uid:
            made.do("become", uid)
        yield made
    finally:
        process.kill()
        process.communicate()


# What an interpreter has to run, in the directory of the tests.
ACTOR = ("-m", "lab.stage")
TESTS = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def acting(argv: Sequence[str]) -> Iterator[Actor]:
    """Start a command line that starts an actor elsewhere; both end with the block."""
    process = _start(argv)
    try:
        yield Actor(process)
        # The actor ends with its input, and then what has started it.
        process.communicate(timeout=_LONG)
    finally:
        process.kill()
        process.communicate()


def _start(argv: Sequence[str]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True, cwd=TESTS)


# Who ss says they are.


class Owned(NamedTuple):
    """A socket as ss shows it, with the cgroup and the processes it names."""

    row: oracles.Row
    cgroup: str | None
    holders: tuple[tuple[int, str], ...]

    @property
    def uid(self) -> int | None:
        """Whose it is; what is no socket any more, or not yet, has no cgroup either."""
        return None if self.cgroup is None else self.row.uid


_HOLDER = re.compile(r'\("([^"]*)",pid=(\d+),fd=\d+\)')


def read_ss(ns: str, user: str | None = None) -> list[Owned]:
    """Read the sockets and their owners that `ss` shows inside `ns`, as root or as "nobody"."""
    owned = []
    for kind, ask in oracles._SS_ASK.items():
        argv = namespaces.command(None, ["ss", "-Hanep", "--cgroup", ask], user)
        # Not by `ip netns exec`, which hides the cgroups.
        with inside(ns):
            done = subprocess.run(argv, capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            state, rx, tx, local, remote, *rest = line.split()
            # ss leaves out a uid or inode that is 0.
            extra = dict(word.split(":", 1) for word in rest if ":" in word)
            row = oracles.Row(
                type=kind,
                status=oracles._status(kind, oracles._SS_STATUS[state]),
                local=oracles._ss_address(kind, local),
                remote=oracles._ss_address(kind, remote),
                uid=int(extra.get("uid", 0)),
                inode=int(extra.get("ino", 0)),
                rx=int(rx),
                tx=int(tx),
            )
            holders = {(int(pid), name) for name, pid in _HOLDER.findall(line)}
            owned.append(Owned(row, extra.get("cgroup"), tuple(sorted(holders))))
    return sorted(owned, key=repr)


def waits(socket: Owned) -> bool:
    """Whether a connection waits to be accepted."""
    row = socket.row
    may_wait = row.type.startswith("tcp") and row.status in {"ESTABLISHED", "CLOSE_WAIT"}
    return may_wait and row.inode == 0


def listener(waiting: Owned, sockets: Sequence[Owned]) -> Owned:
    """Return the listener at which a connection waits."""
    address, port = waiting.row.local
    every = "::" if waiting.row.type == "tcp6" else "0.0.0.0"  # noqa: S104
    ends = {(address, port), (every, port)}
    (found,) = (
        socket
        for socket in sockets
        if (socket.row.type, socket.row.status) == (waiting.row.type, "LISTEN")
        and socket.row.local in ends
    )
    return found


# A host where little happens.


class Answer(NamedTuple):
    """What a command has answered."""

    stdout: str
    stderr: str
    returncode: int


@dataclass(frozen=True)
class Host:
    """A namespace without sockets, and a cgroup without others below it; made by `host()`."""

    pair: namespaces.Pair
    base: Path
    check: Sequence[str]
    stack: contextlib.ExitStack

    @property
    def ns(self) -> str:
        """The namespace to count in."""
        return self.pair.a

    def start(
        self, name: str | bytes, cgroup: Path | None = None, uid: int = 0, ns: str | None = None
    ) -> Actor:
        """Start a process that lives as long as the host."""
        return self.stack.enter_context(actor(ns or self.ns, name, cgroup, uid))

    def cgroup(self, *parts: str | bytes) -> Path:
        """Make a cgroup."""
        made = self.base.joinpath(*map(os.fsdecode, parts))
        made.mkdir(parents=True)
        return made

    def ask(self, *options: str, user: str = "root", before: Sequence[str] = ()) -> Answer:
        """Run the check as this user; `before` is done by root, before it becomes that user."""
        with inside(self.ns):
            done = subprocess.run(
                [*before, *namespaces.command(None, [], user), *self.check, *options],
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=_LONG,
                check=False,
            )
        return Answer(done.stdout.decode(), done.stderr.decode(), done.returncode)


@contextlib.contextmanager
def host(check: Sequence[str]) -> Iterator[Host]:
    """Make a host where this command line runs the check, as whatever user."""
    with contextlib.ExitStack() as stack:
        pair = stack.enter_context(namespaces.pair())
        base = stack.enter_context(cgroups())
        yield Host(pair, base, check, stack)


# A lab in which sockets have owners of every kind.


@dataclass(frozen=True)
class OwnedLab:
    """Sockets in every state, and some of other owners; made by `owned_lab()`."""

    states: StateLab
    units: dict[str, str]

    @property
    def ns(self) -> str:
        """The namespace to count in."""
        return self.states.ns

    def look(self, user: str) -> Callable[[], list[list[Owned]]]:
        """Return what asks ss, as this user, for all sockets and whose they are."""
        return lambda: [read_ss(self.ns, user)]

    def unit(self, cgroup: str | None) -> str | None:
        """Return the name of a cgroup as ss shows it; None for none."""
        if cgroup is None:
            return None
        if cgroup.startswith("unreachable:"):
            return "(gone)"
        if cgroup in self.units:
            return self.units[cgroup]
        # The cgroup of whoever runs the tests.
        last = cgroup.rpartition("/")[2]
        return last if last.endswith((".service", ".scope")) else cgroup


@contextlib.contextmanager
def owned_lab() -> Iterator[OwnedLab]:
    """Sockets in every state, and others of several users, units and processes."""
    with contextlib.ExitStack() as stack:
        states = stack.enter_context(state_lab())
        base = stack.enter_context(cgroups())
        units = {}

        def start(name: str, unit: str = "", uid: int = 0) -> Actor:
            directory = base / unit
            directory.mkdir(exist_ok=True)
            path = "/" + str(directory.relative_to(base.parent))
            units[path] = unit or path
            return stack.enter_context(actor(states.ns, name, directory, uid))

        web = start("web", "web.service", 1)
        web.do("listen", "127.0.0.1", 8080)
        web.do("listen", "::1", 8081)
        web.do("udp", "::1", 3)
        client = start("client", "client.scope", NAMELESS)
        for host, port in (("127.0.0.1", 8080), ("::1", 8081)):
            client.do("connect", host, port, 4)
            web.do("accept", port, 3)
            client.do("shut", port, 2)
            web.do("send", port, 7)
        # Each of three processes has each of its sockets twice.
        web.do("duplicate")
        web.do("fork", 2)
        start("nobodys", "nobodys.service", NOBODY).do("udp", "127.0.0.1", 5)
        start("plain").do("udp", "127.0.0.1", 1)
        gone = start("gone", "gone.service")
        gone.do("udp", "127.0.0.1", 2)
        gone.do("enter", base)
        (base / "gone.service").rmdir()
        # What the lab waits for after each change.
        _settle(states)
        yield OwnedLab(states, units)


def _settle(states: StateLab) -> None:
    found: dict[str, int] = {}
    # Packets cross the loopback in their own time.
    for _ in range(100):
        before, found = found, oracles.counts(oracles.read_proc_net(states.ns))
        if found == before:
            break
        time.sleep(0.02)
    for label, number in found.items():
        kind, _, status = label.partition("_")
        states.expected[kind, status] = number
