"""The page that says where the check runs: written by the tests that show it."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PAGE = """# Where it runs

Written by `make test-integrations` with `NETWORK_CONNECTIONS_WRITE_DOCS=1`: real programs, started
by the tests, which executed the check and were asked for its result.

On {system}:

| Program | Version | What was tested | Result |
|---|---|---|---|
{rows}
"""


@dataclass(frozen=True)
class Row:
    """A program, and what the tests of a module show with it."""

    program: str
    version: Callable[[], str]
    tested: str


def page(rows: Mapping[str, Iterable[Row]], outcomes: Mapping[str, Counter[str]]) -> str:
    """Return the page for the `rows` and the `outcomes` of each module."""
    lines = [
        f"| {row.program} | {row.version()} | {row.tested} | {result(outcomes[module])} |"
        for module, of_module in rows.items()
        for row in of_module
    ]
    return PAGE.format(system=system(), rows="\n".join(lines))


def result(outcomes: Counter[str]) -> str:
    """Say how the tests of a module have ended."""
    return ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))


def system() -> str:
    """Return the names and versions of the distribution and of the kernel."""
    release = Path("/etc/os-release")
    names = dict(
        line.split("=", 1)
        for line in release.read_text(encoding="utf-8").split("\n")
        if "=" in line
    )
    distribution = names.get("PRETTY_NAME", "Linux").strip('"')
    kernel = ".".join(platform.release().split("-")[0].split(".")[:2])
    return (
        f"{distribution}, Linux {kernel}, {platform.machine()}, Python {platform.python_version()}"
    )
