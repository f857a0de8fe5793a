"""Runs commands and takes their time: CPU, wall clock, peak memory; and what they do to others."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import sockets

BENCHES = Path(__file__).resolve().parent
ROOT = BENCHES.parent
BUILT = ROOT / "target" / "bench"

NETNS = "netns"
"""The kind of scenario that has its sockets in other network namespaces."""
NAMESPACES = 200
"""So many of them."""

SUM = "sum"
"""What is shown where the numbers of all groups together must be that of the sockets."""

NOTHING = "nothing"
"""What runs besides others where nothing does."""

_PATIENCE = 600.0
# What takes longer runs in fewer rounds.
_SLOW = 3.0


class Scenario(NamedTuple):
    """So many sockets of one kind; of the kind `NETNS` in each namespace."""

    kind: str
    number: int

    def __str__(self) -> str:
        """Return it as people write it: "10,000 TIME_WAIT"."""
        if self.kind == NETNS:
            return f"{NAMESPACES} namespaces with {self.number or 'no'} sockets each"
        kind = "UDP" if self.kind == "udp" else self.kind.upper()
        return f"{self.number:,} {kind}"

    @property
    def total(self) -> int:
        """All sockets."""
        return self.number * (NAMESPACES if self.kind == NETNS else 1)


EMPTY = Scenario("established", 0)


class Run(NamedTuple):
    """What one run of a command took."""

    cpu: float
    """Seconds, user and system; for what runs in process, those of one call."""
    wall: float
    """Seconds; for what runs in process, those of one call."""
    peak: float
    """Resident memory of the whole process in KiB."""


class Latency(NamedTuple):
    """Round trips of one byte over loopback, in seconds."""

    trips: int
    p50: float
    p99: float
    p999: float
    longest: float


@dataclass(frozen=True)
class Command:
    """One row of the tables."""

    name: str
    """What targets, ratios and tables call it."""
    what: str
    """What it is, in Markdown."""
    argv: tuple[str, ...]
    """With {tcp} for the table of the kind (tcp or udp), {t} for its letter, {calls}, and the
    places {python}, {wheel}, {native}, {benches}, {built}."""
    over: tuple[str, ...] = ()
    """Names of the commands that its CPU time is compared with."""
    shows: str = "{number}"
    """A number that its output must have, or `SUM`; empty where it prints rows, which nobody
    reads."""
    each: bool = True
    """Whether it looks at every socket."""
    chart: bool = True
    """Whether it is in the charts."""
    ours: bool = False
    """Whether it is what this project makes."""
    in_process: bool = False
    """Measures itself, per call, and prints what `in_process.py` prints."""
    harm: bool = False
    """Whether its effect on others is measured."""
    kinds: tuple[str, ...] = sockets.KINDS
    """At which kinds of sockets it runs."""
    sizes: tuple[int, ...] = ()
    """At which numbers of sockets it runs; at all of them if empty."""

    def runs_at(self, scenario: Scenario) -> bool:
        """Whether it is measured at this number of sockets of this kind."""
        return scenario.kind in self.kinds and scenario.number in (self.sizes or [scenario.number])


@dataclass
class Measured:
    """Every run at one number of sockets of one kind, in the order of the rounds."""

    scenario: Scenario
    runs: dict[str, list[Run]] = field(default_factory=dict)

    def median(self, name: str) -> Run:
        """Return the medians of what a command took, each on its own."""
        return Run(*(statistics.median(values) for values in zip(*self.runs[name])))

    def ratio(self, name: str, *over: str, minus: str = "") -> float | None:
        """Median of the ratios of CPU time within each round, over that of others together.

        `minus` is taken off the first.
        """
        if not {name, *over, minus or name} <= self.runs.keys():
            return None
        less = [run.cpu for run in self.runs[minus]] if minus else [0.0] * len(self.runs[name])
        rounds: Iterable[tuple[Run, ...]] = zip(*(self.runs[other] for other in over))
        others = [sum(run.cpu for run in together) for together in rounds]
        ones = [run.cpu - start for run, start in zip(self.runs[name], less)]
        ratios = [one / other for one, other in zip(ones, others)]
        return statistics.median(ratios)


@dataclass
class Results:
    """All that a run of the benchmarks has found; what the report is made from."""

    machine: dict[str, str]
    micro: dict[str, dict[str, float]] = field(default_factory=dict)
    measured: list[Measured] = field(default_factory=list)
    harm_at: Scenario | None = None
    harm: dict[str, Latency] = field(default_factory=dict)
    """By command; `NOTHING` for none."""

    def at(self, scenario: Scenario) -> Measured | None:
        """Return what was measured at `scenario`, if it was."""
        return next((one for one in self.measured if one.scenario == scenario), None)

    def put(self, measured: Measured) -> None:
        """Take in what was measured at a scenario, in place of what was measured there before."""
        self.measured = [one for one in self.measured if one.scenario != measured.scenario]
        self.measured.append(measured)

    def median(self, name: str, scenario: Scenario) -> Run | None:
        """Return what a command took at `scenario`, if it ran there."""
        measured = self.at(scenario)
        return measured.median(name) if measured and name in measured.runs else None

    def per_socket(self, name: str, scenario: Scenario) -> float | None:
        """Return a command's CPU time per socket, without what it takes where there are none."""
        some, none = self.median(name, scenario), self.median(name, EMPTY)
        return (some.cpu - none.cpu) / scenario.number if some and none else None

    def to_json(self) -> str:
        """Return everything, raw."""
        text = json.dumps(asdict(self), indent=1)
        # One run or latency is one line.
        return re.sub(r"\[[^][{}]*\]", lambda found: " ".join(found[0].split()), text) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Results:
        """Read what `to_json` wrote."""
        raw: dict[str, Any] = json.loads(text)
        return cls(
            machine=raw["machine"],
            micro=raw["micro"],
            measured=[
                Measured(
                    Scenario(*one["scenario"]),
                    {name: [Run(*run) for run in runs] for name, runs in one["runs"].items()},
                )
                for one in raw["measured"]
            ],
            harm_at=Scenario(*raw["harm_at"]) if raw["harm_at"] else None,
            harm={name: Latency(*latency) for name, latency in raw["harm"].items()},
        )


class Made(Protocol):
    """The sockets of a scenario, while they are there."""

    kind: str
    number: int

    def refresh(self) -> None:
        """Replace what would soon be gone by itself."""


class Runner:
    """Runs commands in the namespace of this process."""

    def __init__(self, places: dict[str, str]) -> None:
        """Remember what the placeholders of `Command.argv` stand for."""
        self._places = places

    def argv(self, command: Command, scenario: Scenario) -> list[str]:
        """Return the command line at this number of sockets of this kind."""
        table = "udp" if scenario.kind == "udp" else "tcp"
        # About as long as one call at 100,000 sockets.
        calls = max(1, 100_000 // max(scenario.number, 1_000))
        values = {**self._places, "tcp": table, "t": table[0], "calls": str(calls)}
        return [word.format_map(values) for word in command.argv]

    def run(self, command: Command, scenario: Scenario) -> Run:
        """Run it once, check its answer and return what it took."""
        quiet = not command.shows
        reader, writer = os.pipe()
        with os.fdopen(reader, encoding="ascii") as usage:
            try:
                done = subprocess.run(
                    [str(BUILT / "launch"), str(writer), *self.argv(command, scenario)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL if quiet else subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    pass_fds=[writer],
                    timeout=_PATIENCE,
                )
            finally:
                os.close(writer)
            code, cpu, wall, peak = map(int, usage.read().split())
        if code != 0:
            raise RuntimeError(f"{command.name}: exit code {code}: {done.stderr or done.stdout}")
        if not quiet:
            _check(command, scenario, done.stdout)
        if command.in_process:
            own = json.loads(done.stdout)
            return Run(own["cpu"], own["wall"], peak)
        return Run(cpu / 1e6, wall / 1e6, peak)


def _check(command: Command, scenario: Scenario, output: str) -> None:
    number = scenario.total
    if command.shows == SUM:
        output = str(sum(map(int, re.findall(r"'=(\d+)", output))))
    expected = command.shows.replace(SUM, "{number}").format(number=number, lines=number + 1)
    # With no sockets there are no groups, so no number.
    if number and not re.search(rf"\b{expected}\b", output):
        raise RuntimeError(f"{command.name}: {expected} expected, but it says: {output}")


def rounds(
    runner: Runner,
    commands: Sequence[Command],
    made: Made,
    often: tuple[int, int],
    progress: Callable[[int, Command], None],
) -> Measured:
    """Run all commands in turn, as often as `often` says: the quick ones, and the slow ones.

    Every round starts with another command, so that none always follows the same.
    """
    scenario = Scenario(made.kind, made.number)
    measured = Measured(scenario, {command.name: [] for command in commands})
    for number in range(max(often)):
        start = number % len(commands)
        made.refresh()
        for command in [*commands[start:], *commands[:start]]:
            runs = measured.runs[command.name]
            slow = bool(runs) and runs[0].wall > _SLOW
            if number < often[slow]:
                progress(number, command)
                runs.append(runner.run(command, scenario))
    return measured


def harm(argv: Sequence[str], seconds: float) -> Latency:
    """Measure round trips over loopback while `argv`, if any, runs again and again."""
    ping = subprocess.Popen(
        [str(BUILT / "release" / "pingpong"), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    while ping.poll() is None:
        load = _start(argv)
        while ping.poll() is None and (load is None or load.poll() is None):
            time.sleep(0.005)
        if load is not None:
            load.kill()
            load.wait()
    output, _ = ping.communicate()
    if ping.returncode != 0:
        raise RuntimeError(f"pingpong: exit code {ping.returncode}")
    return Latency(**json.loads(output))


def _start(argv: Sequence[str]) -> subprocess.Popen[bytes] | None:
    if not argv:
        return None
    return subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def micro(repeats: int) -> dict[str, dict[str, float]]:
    """Return what the parsers take, in nanoseconds: the least and the median."""
    argv = [str(BUILT / "release" / "micro"), str(repeats)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    values: dict[str, dict[str, float]] = json.loads(done.stdout)
    return values
