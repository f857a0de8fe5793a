"""The check asked inside a lab: by root and by nobody, in every way, while nothing changes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple, TypeVar

import harness
import shares
from harness import Command, Done
from lab import namespaces, oracles
from lab.states import StateLab

Q = TypeVar("Q")
A = TypeVar("A")
S = TypeVar("S")

SOURCES = ("netlink", "procfs")
USERS = ("root", "nobody")
WAYS = ("native", "python")
# Each user and each way once; slowly, all combinations.
TWO_OF_FOUR = [
    ("root", "native"),
    ("nobody", "python"),
    *shares.slow(("root", "python"), ("nobody", "native")),
]

# Reads lists of calls, answers each with the list of their results.
_API = """
import json, sys
import network_connections

def call(name, keywords):
    try:
        result = getattr(network_connections, name)(**keywords)
    except Exception as error:
        return {
            "error": type(error).__name__,
            "text": str(error),
            "errno": getattr(error, "errno", None),
        }
    if name == "count_connections":
        return result
    return {
        "state": result.state, "message": result.message, "perfdata": result.perfdata,
        "counts": result.counts, "json": result.to_json(), "prometheus": result.to_prometheus(),
        "text": str(result),
    }

for line in sys.stdin:
    print(json.dumps([call(name, keywords) for name, keywords in json.loads(line)]), flush=True)
"""

# Answers as the command does with --format=json, and adds what kind of exception it was.
_ONCE = """
import json, sys
import network_connections

options = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
options.pop("format")
if "timeout" in options:
    options["timeout"] = float(options["timeout"])
try:
    print(network_connections.check(**options).to_json())
except Exception as error:
    answer = {"message": error.strerror or str(error), "errno": error.errno}
    print(json.dumps({"state": 3, "error": type(error).__name__, **answer}))
    sys.exit(3)
"""

Call = tuple[str, Mapping[str, Any]]


class Asker:
    """One user who asks the check inside one namespace; made by `asker()`."""

    def __init__(self, ns: str, user: str, commands: Mapping[str, Command], python: str) -> None:
        """Start the process that answers for the API."""
        self.ns = ns
        self.user = user
        self._commands = commands
        with namespaces.inside(ns):
            self._api = subprocess.Popen(
                namespaces.command(None, [python, "-c", _API], user),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=commands["python"].environment(),
                cwd=commands["python"].beside,
                text=True,
            )

    def run(self, way: str, *args: str, before: Sequence[str] = ()) -> Done:
        """Run a command; `before` is done by root, before it becomes this user."""
        line = [*before, *namespaces.command(None, [], self.user)]
        # A child is born into the namespace of the thread that starts it.
        with namespaces.inside(self.ns):
            return self._commands[way].run(*args, before=line)

    def api(self, calls: Sequence[Call]) -> list[Any]:
        """Call functions of the API: a dictionary for each, one with "error" for an exception."""
        assert self._api.stdin is not None
        assert self._api.stdout is not None
        self._api.stdin.write(json.dumps(calls) + "\n")
        self._api.stdin.flush()
        answers: list[Any] = json.loads(self._api.stdout.readline())
        return answers

    def close(self) -> None:
        """End the process that answers for the API."""
        self._api.communicate()


@contextlib.contextmanager
def asker(ns: str, user: str, nobodys: Mapping[str, Command]) -> Iterator[Asker]:
    """Let `user` ask inside `ns`; `nobodys` are the commands that nobody can run."""
    commands = dict(nobodys)
    python = nobodys["python"].argv[0]
    if user == "root":
        python = sys.executable
        script = Path(python).parent / harness.SCRIPTS[0]
        commands["native"] = Command("native", (str(harness.NATIVE),), harness.ROOT)
        commands["python"] = Command("python", (str(script),), harness.ROOT)
    once = (python, "-c", _ONCE)
    commands["api"] = dataclasses.replace(commands["python"], way="api", argv=once)
    made = Asker(ns, user, commands, python)
    try:
        yield made
    finally:
        made.close()


class Shown(NamedTuple):
    """What everybody can see of a socket, as both oracles show it."""

    type: str
    status: str
    local: tuple[str, int]
    remote: tuple[str, int]


def shown(rows: Sequence[oracles.Row]) -> list[Shown]:
    """Leave out of rows what changes by itself or is shown differently."""
    return sorted(Shown(row.type, row.status, row.local, row.remote) for row in rows)


def steady(
    lab: StateLab, look: Callable[[], Sequence[Sequence[S]]], ask: Callable[[], A]
) -> tuple[list[S], A]:
    """Ask while a lab does not change: the sockets that are shown meanwhile, and the answer.

    `look` is what oracles show; they must all show the same, before and after.
    """
    for _ in range(5):
        lab.refresh()
        first, *others = before = look()
        answer = ask()
        if all(other == first for other in others) and look() == before:
            return list(first), answer
    raise AssertionError("the oracles differ, or the lab changes all the time")


def one_by_one(
    lab: StateLab, user: str, questions: Sequence[Q], ask: Callable[[Q], A]
) -> Iterator[tuple[Q, list[Shown], A]]:
    """Ask questions, a few at a time while the lab does not change: as `steady()` for each."""
    left = list(questions)

    def look() -> list[list[Shown]]:
        return [shown(oracles.read_proc_net(lab.ns)), shown(oracles.read_ss(lab.ns, user=user))]

    def some() -> list[A]:
        # Only minisocks change by themselves: they are gone after 60 seconds.
        until = time.monotonic() + 20
        answers: list[A] = []
        for question in left[:50]:
            answers.append(ask(question))
            if time.monotonic() > until:
                break
        return answers

    while left:
        sockets, answers = steady(lab, look, some)
        for question, answer in zip(left, answers):
            yield question, sockets, answer
        del left[: len(answers)]
