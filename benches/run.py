"""Measures the check beside its peers and writes docs/evidence/benchmarks.md.

Needs root, the installed wheel and the native command, a C compiler, Rust, ss and netstat. Goes up
to a million sockets, which takes about a quarter of an hour and 5 GB of memory. Only a run with all
sizes writes to docs/evidence/ unless told so; one of a part by --only puts that part in there.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import charts
import machine
import measure
import netns
import render
from commands import COMMANDS
from measure import BUILT, NETNS, ROOT, Command, Latency, Measured, Results, Runner, Scenario
from sockets import Namespace, Sockets, fits

SIZES = (0, 1_000, 10_000, 100_000, 1_000_000)
QUICK_SIZES = SIZES[:3]
OTHER_KINDS_SIZE = 100_000

# Up to so many sockets: rounds of the quick commands, and of the slow ones.
ROUNDS = {0: (40, 10), 1_000: (10, 5), 10_000: (9, 5), 100_000: (5, 2), 1_000_000: (3, 1)}

HARM_SECONDS = 4.0
QUICK_HARM_SECONDS = 2.0
HARM_LIMIT = 20.0
MICRO_REPEATS = 200

# So many sockets in each of many namespaces.
NETNS_SCENARIOS = (Scenario(NETNS, 0), Scenario(NETNS, 50))


class Progress:
    """One line on the terminal that says what is going on; elsewhere a line now and then."""

    def __init__(self) -> None:
        """Start the clock."""
        self._start = time.monotonic()
        self._live = sys.stderr.isatty()
        self._shown = 0.0

    def __call__(self, text: str) -> None:
        """Show `text` in place of what was shown before."""
        now = time.monotonic()
        # Drawing takes processor time from what is measured.
        if now - self._shown < (0.1 if self._live else 15):
            return
        self._shown = now
        begin, end = ("\r\033[K", "") if self._live else ("", "\n")
        print(f"{begin}{now - self._start:4.0f} s  {text}", end=end, file=sys.stderr, flush=True)

    def keep(self, text: str) -> None:
        """Print what stays."""
        if self._live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        print(text, flush=True)


def main() -> int:
    """Measure, show and write everything."""
    options = _options()
    if options.report:
        results = Results.from_json(options.report.read_text(encoding="utf-8"))
        _write(results, options.output or options.report.parent)
        return 0
    whole = options.only is None
    if missing := machine.missing(static=whole):
        print(missing, file=sys.stderr)
        return 1
    progress = Progress()
    progress("building")
    machine.build_floor()
    if whole:
        machine.build_peers()
        results = _measure(options.sizes, options.quick, progress)
        directory = options.output or _directory({*SIZES} <= {*options.sizes})
    else:
        results = _measured_before()
        directory = options.output or _directory(bool(results.measured))
    _measure_namespaces(results, progress)
    _write(results, directory)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="stop at 10k sockets")
    parser.add_argument("--sizes", nargs="+", type=_size, metavar="N", help="such as 0 1k 10k 1M")
    parser.add_argument("--only", choices=[NETNS], help="measure this; the rest stays as it is")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to write")
    parser.add_argument("--report", type=Path, metavar="JSON", help="only write the page again")
    options = parser.parse_args()
    if options.sizes is None:
        options.sizes = QUICK_SIZES if options.quick else SIZES
    return options


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+)([kM]?)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of sockets")
    return int(found[1]) * {"": 1, "k": 1_000, "M": 1_000_000}[found[2]]


def _directory(whole: bool) -> Path:
    """Return docs/evidence/ for what has everything, a new directory for the rest."""
    return ROOT / "docs" / "evidence" if whole else Path(tempfile.mkdtemp(prefix="bench-"))


def _scenarios(sizes: Sequence[int]) -> list[Scenario]:
    """Return what to measure at; the largest number of ESTABLISHED sockets is the last."""
    established = [Scenario("established", size) for size in sorted({*sizes})]
    size = min(OTHER_KINDS_SIZE, established[-1].number)
    others = [Scenario(kind, size) for kind in ("udp", "time_wait") if size]
    return [*established[:-1], *others, established[-1]]


def _measured_before() -> Results:
    """Return what docs/evidence/ has of this machine; nothing if it is of another one."""
    results = Results.from_json(
        (ROOT / "docs/evidence/benchmarks.json").read_text(encoding="utf-8")
    )
    found = machine.describe()
    return results if results.machine == found else Results(found)


def _measure_namespaces(results: Results, progress: Progress) -> None:
    for scenario in NETNS_SCENARIOS:
        progress(f"{scenario}")
        measured = netns.measured(scenario)
        results.put(measured)
        progress.keep(f"\n{render.terminal(measured)}")


def _measure(sizes: Sequence[int], quick: bool, progress: Progress) -> Results:
    results = Results(machine.describe(), measure.micro(MICRO_REPEATS))
    runner = Runner(machine.PLACES)
    scenarios = _scenarios(sizes)
    for scenario in scenarios:
        if not fits(scenario.number):
            progress.keep(f"\n{scenario}: left out, not enough memory")
            continue
        Namespace()
        with Sockets(scenario.kind, scenario.number, _made(scenario, progress)) as sockets:
            measured = _rounds(runner, sockets, progress)
            results.measured.append(measured)
            # Should a later command fail, --report makes a page of this.
            (BUILT / "unfinished.json").write_text(results.to_json(), encoding="utf-8")
            progress.keep(f"\n{render.terminal(measured)}")
            if scenario == scenarios[-1]:
                results.harm_at = scenario
                seconds = QUICK_HARM_SECONDS if quick else HARM_SECONDS
                results.harm = _harm(runner, measured, seconds, progress)
    return results


def _made(scenario: Scenario, progress: Progress) -> Callable[[int], None]:
    return lambda made: progress(f"{scenario}: {made:,} made")


def _rounds(runner: Runner, sockets: Sockets, progress: Progress) -> Measured:
    scenario = Scenario(sockets.kind, sockets.number)
    commands = [command for command in COMMANDS if command.runs_at(scenario)]
    often = next((ROUNDS[size] for size in ROUNDS if scenario.number <= size), ROUNDS[SIZES[-1]])

    def show(number: int, command: Command) -> None:
        progress(f"{scenario}: round {number + 1} of {often[0]}, {command.name}")

    return measure.rounds(runner, commands, sockets, often, show)


def _harm(
    runner: Runner, measured: Measured, seconds: float, progress: Progress
) -> dict[str, Latency]:
    """Measure the harm that each command does, and that of none."""
    harm = {}
    scenario = measured.scenario
    commands = {command.name: command for command in COMMANDS if command.harm}
    for name in (measure.NOTHING, *(name for name in commands if name in measured.runs)):
        progress(f"{scenario}: round trips beside {name}")
        argv: list[str] = []
        enough = seconds
        if name in commands:
            argv = runner.argv(commands[name], scenario)
            # At least one whole run, if that is bearable: what it does at its end may be the worst.
            enough = max(seconds, min(1.2 * measured.median(name).wall, HARM_LIMIT))
        harm[name] = measure.harm(argv, enough)
    return harm


def _write(results: Results, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "benchmarks.json").write_text(results.to_json(), encoding="utf-8")
    (directory / "benchmarks.md").write_text(render.markdown(results), encoding="utf-8")
    charts.draw(results, directory)
    print(f"\nwritten to {directory}")


if __name__ == "__main__":
    sys.exit(main())
