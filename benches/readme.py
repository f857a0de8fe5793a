"""Writes the figures of README.md from docs/evidence/benchmarks.json.

python benches/readme.py [--check]
"""

from __future__ import annotations

import re
import sys

from measure import ROOT, Results, Scenario

README = ROOT / "README.md"
MEASURED = ROOT / "docs" / "evidence" / "benchmarks.json"
PART = re.compile(r"(<!-- figures -->\n).*?(<!-- /figures -->\n)", re.DOTALL)
SIZES = (1_000, 100_000, 1_000_000)
EXACT = "exact"
# What /proc/net is read by: docs/evidence/reliability.md has how often.
ROWS = "can miss a connection or count it twice while others open and close"
ROWS_MERGED = f"{ROWS}; merges sockets of other users that look the same"
# Of whom, by the name of the benchmark, what it is, and whether its numbers are right without root.
PEERS = (
    ("native", "**this check**, the native command", EXACT),
    ("wheel", "**this check**, the command of the Python wheel", EXACT),
    ("ss", "`ss -Htuan`, as scripts run it", EXACT),
    ("netstat", "`netstat -an`, as scripts run it", ROWS),
    ("psutil", "psutil, as the Linuxfabrik plugin uses it", ROWS_MERGED),
)


def main() -> None:
    """Write the figures, or say that they are stale."""
    results = Results.from_json(MEASURED.read_text(encoding="utf-8"))
    before = README.read_text(encoding="utf-8")
    text = figures(results)
    after, found = PART.subn(lambda match: f"{match[1]}{text}{match[2]}", before)
    if found != 1:
        sys.exit("README.md has no part for the figures")
    if "--check" not in sys.argv[1:]:
        README.write_text(after, encoding="utf-8")
    elif before != after:
        sys.exit(f"README.md has other figures than {MEASURED.name} (run: make generate)")


def figures(results: Results) -> str:
    """Return the table."""
    sizes = [f"at {size:,} sockets" for size in SIZES]
    lines = [["Runs per second of CPU time", *sizes, "The numbers, without root"]]
    lines.append(["---", *("---:" for _ in SIZES), "---"])
    for name, what, right in PEERS:
        runs = [results.median(name, Scenario("established", size)) for size in SIZES]
        rates = [rate(1 / run.cpu) if run else "-" for run in runs]
        lines.append([what, *rates, right])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def rate(value: float) -> str:
    """Return a rate with two digits."""
    if value < 1:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 10 else f"{float(f'{value:.2g}'):,.0f}"


if __name__ == "__main__":
    main()
