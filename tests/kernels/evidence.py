"""The results of the last runs on real kernels, and their page: docs/evidence/kernels.md."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from page import table

from integrations import where
from kernels import machines
from kernels.machines import MACHINES, Machine
from kernels.policies import ROOT

EVIDENCE = ROOT / "docs" / "evidence"
PAGE = EVIDENCE / "kernels.md"
RESULTS = EVIDENCE / "kernels.json"
SETTINGS = ("INET_DIAG", "INET_UDP_DIAG", "UNIX_DIAG", "NET_NS", "MPTCP")


@dataclass
class Run:
    """Tests that were run on a kernel, and how they ended."""

    what: str
    result: str
    failed: bool
    seconds: float


def keep(name: str, kernel: Machine, runs: Sequence[Run], *, whole: bool) -> None:
    """Keep runs on a kernel in place of earlier ones of the same tests; of all, if `whole`."""
    results = _results()
    before = [] if whole else results.get(name, {"runs": []})["runs"]
    known = {run["what"]: run for run in before}
    known.update((run.what, {**asdict(run), "seconds": round(run.seconds)}) for run in runs)
    results[name] = {
        "linux": machines.release(kernel),
        "settings": machines.settings(kernel, SETTINGS),
        "runs": [*known.values()],
    }
    RESULTS.write_text(f"{json.dumps(results, indent=1, sort_keys=True)}\n", encoding="utf-8")


def _results() -> dict[str, Any]:
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    assert isinstance(found, dict)
    return found


INTRODUCTION = """# Kernels

Written by `make test-kernels` with `NETWORK_CONNECTIONS_WRITE_DOCS=1`, which boots Debian's kernels
in machines that QEMU emulates, {cpus} at the same time, and runs tests of the static command there.
Each row is the last run of these tests; the seconds add up to {minutes} minutes.
In `configured` (`tests/kernels/configured.py`) root and nobody ask for every measure, source and
kind of groups about a few known sockets. The others are files of `tests/`, without the tests that
are marked `slow`, and without those of injected errors (`no_error`); for other processors also
without those of the wheel.

On {system}.
"""
OTHERS = """
Linux {linux}, configured otherwise: root and nobody ask for every measure, source and kind of
groups (`tests/kernels/configured.py`). Each answer is the one of a kernel as Debian has it, or
UNKNOWN with the reason, which the table shows.
"""
HEAD = ["Linux", "Processor", "Configured with", "What was run", "Result", "Seconds"]


def write_page(otherwise: str) -> None:
    """Write the page; `otherwise` is the name of the kernel that is configured otherwise."""
    results = _results()
    others = results.pop(otherwise, None)
    every = [run for found in [*results.values(), others or {"runs": []}] for run in found["runs"]]
    minutes = sum(run["seconds"] for run in every) / 60
    system, cpus = where.system(), os.cpu_count()
    text = [INTRODUCTION.format(system=system, minutes=f"{minutes:.0f}", cpus=cpus)]
    text.append(table(HEAD, [*_rows(results)]))
    if others:
        text.append(OTHERS.format(linux=others["linux"]).lstrip("\n"))
        rows = [[run["what"], run["result"]] for run in others["runs"]]
        text.append(table(["Configured", "Result"], rows))
    PAGE.write_text("\n".join(text).rstrip("\n") + "\n", encoding="utf-8")


def _rows(results: dict[str, Any]) -> Iterator[list[str]]:
    for one in MACHINES:
        found = results.get(one.name, {"runs": []})
        for run in found["runs"]:
            settings = ", ".join(f"{name}={value}" for name, value in found["settings"].items())
            yield [
                *(found["linux"], one.architecture.shown, settings),
                *(run["what"], run["result"], str(run["seconds"])),
            ]
