"""The charts: CPU time and peak memory over the number of sockets, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from commands import COMMANDS
from measure import Command, Measured, Results, Run


@dataclass(frozen=True)
class Chart:
    """One figure of the commands over the number of ESTABLISHED sockets."""

    file: str
    title: str
    unit: str
    value: Callable[[Run], float]
    per_call: bool
    """Whether it has what is measured per call."""


CHARTS = (
    Chart("benchmarks-cpu.svg", "CPU time", "s", lambda run: run.cpu, per_call=True),
    Chart(
        "benchmarks-memory.svg",
        "Peak memory",
        "B",
        lambda run: run.peak * 1024,
        per_call=False,
    ),
)

# Eleven that are told apart.
_PALETTE = (
    *("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b"),
    *("#e377c2", "#17becf", "#bcbd22", "#7f7f7f", "#000000"),
)

_COLOURS = dict(zip((command.name for command in COMMANDS if command.chart), cycle(_PALETTE)))

_Points = list[tuple[int, float]]


def draw(results: Results, directory: Path) -> None:
    """Write every chart into `directory`."""
    measured = [
        one
        for one in results.measured
        if one.scenario.kind == "established" and one.scenario.number
    ]
    measured.sort(key=lambda one: one.scenario.number)
    for chart in CHARTS:
        _draw(chart, measured, directory / chart.file)


def _draw(chart: Chart, measured: list[Measured], path: Path) -> None:
    # Takes a second, which whoever asks for help need not wait.
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    # The same figures give the same file.
    mpl.rcParams["svg.hashsalt"] = chart.file
    mpl.rcParams["svg.fonttype"] = "none"
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.add_subplot()
    lines = _lines(chart, measured)
    for command, points in lines:
        axes.plot(
            *zip(*points),
            label=command.name,
            color=_COLOURS[command.name],
            linewidth=2.5 if command.ours else 1.2,
            linestyle="-" if command.ours else "--",
            marker="o" if command.ours else ".",
        )
    axes.set(xscale="log", yscale="log", xlabel="ESTABLISHED sockets", title=chart.title)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_formatter(EngFormatter(unit=chart.unit))
    axes.grid(visible=True, which="major", alpha=0.4)
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(path, metadata={"Date": None})


def _lines(chart: Chart, measured: list[Measured]) -> list[tuple[Command, _Points]]:
    """Return what is drawn, the line that ends highest first, as in the legend."""
    lines = []
    for command in COMMANDS:
        points = [
            (one.scenario.number, chart.value(one.median(command.name)))
            for one in measured
            if command.name in one.runs
        ]
        if points and command.chart and (chart.per_call or not command.in_process):
            lines.append((command, points))
    return sorted(lines, key=lambda line: line[1][-1][1], reverse=True)
