"""The page, and the tables on the terminal: everything they say comes from the results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from charts import CHARTS
from commands import COMMANDS, TARGETS, Target
from measure import NAMESPACES, NETNS, Command, Measured, Results, Scenario
from readme import figures
from sockets import KINDS, PEERS

_INTRODUCTION = """\
Written by `make bench` from runs on one machine, each table from one; the raw figures are in
[benchmarks.json](benchmarks.json). CPU time is the user and system time of the whole process,
start included, unless it says per call. Times and memory are medians. A ratio is the median of the
ratios within each round, and a round runs every command once, in an order that changes; commands
that take seconds are left out of the later rounds.
"""

_BOUNDS = """\
No check can go below what the kernel takes, so a target is a part of that bound, measured in the
same run: where the kernel leaves sockets out it still looks at each, so a filter is compared with
the same dump in C; an idle check with Python's start and the dump together; processes with the
loop that follows every link and the dump together. How many times as much a peer takes is bound by
how many times the floor it takes, and depends on the peer and, for psutil, on how many processes
the host has: the target is a part of that.
"""

_METHOD = f"""\
## How it is measured

`benches/run.py` makes a network namespace, fills it with sockets to or from {PEERS:,} remote
addresses (the ESTABLISHED ones by TCP_REPAIR), checks their number in `/proc/net/sockstat`, and
runs the commands inside. Every answer that is a number is held against that number. The floor asks
the kernel for the same dumps as a full count and counts the messages, no more: nothing that gets
its sockets from the kernel's socket diagnostics can take less. Ours run with `--timeout=600`. No
process seems to need less memory than the small program that starts it, `benches/launch.c`.

The {NAMESPACES} namespaces are made by `ip netns add` where no others are to be seen. Each has one
process, which holds its sockets: listening TCP and UDP over both families. `--netns=all` finds them
by itself, and counts what it runs in besides. As nobody it may not enter them, and reads what `cat`
does. `benches/run.py --only={NETNS}` measures them alone.
"""

# With fewer sockets, what they take is less than the noise.
_MEANINGFUL = 10_000


def markdown(results: Results) -> str:
    """Return the whole page, in Markdown."""
    return "\n".join(
        [
            "# Benchmarks\n",
            figures(results),
            *(f"![{chart.title}]({chart.file})\n" for chart in CHARTS),
            _INTRODUCTION,
            _table(["On", ""], results.machine.items()),
            *_targets(results),
            *_commands(results),
            *_sizes(results),
            *_per_socket(results),
            *_harm(results),
            *_parsers(results),
            _METHOD,
        ]
    )


def terminal(measured: Measured) -> str:
    """Return the table of one number of sockets, as it is shown while the benchmarks run."""
    header, rows = _rows(measured)
    lines = [header, *([cell.replace("*", "") for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines
    )


def seconds(value: float) -> str:
    """Return a time with three digits and a unit that suits it."""
    for unit, factor in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= factor:
            return f"{_digits(value / factor)} {unit}"
    return f"{_digits(value / 1e-9)} ns"


def _digits(value: float) -> str:
    """Return a number with three digits."""
    for limit, places in ((10, 2), (100, 1)):
        if abs(value) < limit:
            return f"{value:.{places}f}"
    return f"{value:.0f}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _name(command: Command) -> str:
    return f"**{command.name}**" if command.ours else command.name


def _targets(results: Results) -> list[str]:
    rows = []
    met = []
    for target in TARGETS:
        value = target.value(results)
        kept = None if value is None else target.met(value)
        measured = "" if value is None else _digits(value)
        rows.append([target.what, _limit(target), measured, _word(kept)])
        met.append(kept)
    parts = [f"{met.count(True)} are met", f"{met.count(False)} are not"]
    if None in met:
        parts.append(f"not measured in this run: {met.count(None)}")
    sentence = f"Of {len(met)} targets, {', '.join(parts)}"
    header = ["What", "Target", "Measured", "Met"]
    return ["## For developers: targets\n", f"{sentence}.\n", _table(header, rows), _BOUNDS]


def _limit(target: Target) -> str:
    return f"at {'least' if target.least else 'most'} {target.limit:g}"


def _word(kept: bool | None) -> str:
    return {True: "yes", False: "**no**", None: "not measured"}[kept]


def _commands(results: Results) -> list[str]:
    ran = {name for one in results.measured for name in one.runs}
    rows = [[_name(command), command.what] for command in COMMANDS if command.name in ran]
    return ["## What runs\n", _table(["Name", "What it is"], rows)]


def _sizes(results: Results) -> Iterator[str]:
    measured = sorted(results.measured, key=lambda one: _place(one.scenario))
    for one in measured:
        header, rows = _rows(one)
        yield f"## {header[0]}\n\n{_table(['Name', *header[1:]], rows)}"


def _place(scenario: Scenario) -> int:
    return [*KINDS, NETNS].index(scenario.kind)


def _rows(measured: Measured) -> tuple[list[str], list[list[str]]]:
    rows = []
    for command in COMMANDS:
        if command.name not in measured.runs:
            continue
        run = measured.median(command.name)
        ratios = [(over, measured.ratio(command.name, over)) for over in command.over]
        compared = [f"{_digits(ratio)} x {over}" for over, ratio in ratios if ratio is not None]
        rows.append(
            [
                _name(command),
                seconds(run.cpu),
                seconds(run.wall),
                f"{_digits(run.peak / 1024)} MiB",
                ", ".join(compared),
                str(len(measured.runs[command.name])),
            ]
        )
    return [str(measured.scenario), "CPU", "Wall", "Peak memory", "CPU as a ratio", "Rounds"], rows


def _per_socket(results: Results) -> list[str]:
    scenarios = [one.scenario for one in results.measured if one.scenario.number >= _MEANINGFUL]
    scenarios.sort(key=_place)
    rows = []
    for command in COMMANDS:
        values = [results.per_socket(command.name, scenario) for scenario in scenarios]
        if command.each and any(values):
            rows.append([_name(command), *(seconds(v) if v and v > 0 else "" for v in values)])
    text = "CPU time per socket, without the time where there are none:\n"
    return ["## Growth\n", text, _table(["Name", *map(str, scenarios)], rows)] if rows else []


def _harm(results: Results) -> list[str]:
    if results.harm_at is None:
        return []
    ours = {command.name: _name(command) for command in COMMANDS}
    rows = [
        [ours.get(name, name), *map(seconds, (one.p50, one.p99, one.p999, one.longest))]
        for name, one in results.harm.items()
    ]
    text = (
        f"Round trips of one byte over loopback, in the namespace with {results.harm_at} sockets, "
        "while a command runs again and again:\n"
    )
    header = ["Beside", "p50", "p99", "p99.9", "Longest"]
    return ["## Harm to others\n", text, _table(header, rows)]


def _parsers(results: Results) -> list[str]:
    rows = [
        [name, f"{_digits(value['least'])} ns", f"{_digits(value['median'])} ns"]
        for name, value in results.micro.items()
    ]
    text = "What the parsers take in process, per socket, from memory:\n"
    return ["## Parsers\n", text, _table(["Parser", "Least", "Median"], rows)]
