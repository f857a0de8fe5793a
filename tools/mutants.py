"""Writes what mutants survive into docs/evidence/reliability.md, from the results of cargo-mutants.

    tools/mutants.py DIRECTORY...

Each directory holds an `outcomes.json`. A file's mutants are those of the last directory that has
any. What survives must be listed below with its reason, and be at most 2 % of all.
"""

from __future__ import annotations

import collections
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "evidence" / "reliability.md"
MOST = 0.02

# Mutants that no test can tell from the original, by their name without its place.
REASONS = {
    "src/address.rs: replace | with ^ in <impl Hash for Endpoint>::hash": (
        "the bits of a port and those of a namespace do not meet"
    ),
    "src/collect/counts.rs: replace <impl Collector for ProcessKeys>::fresh -> Self with "
    "Default::default()": "that is what it returns",
    "src/collect/ports.rs: replace <impl Collector for LocalPorts>::fresh -> Self with "
    "Default::default()": "that is what it returns",
    "src/collect/ports.rs: replace <impl Collector for UsedPorts>::fresh -> Self with "
    "Default::default()": "that is what it returns",
    "src/selection.rs: replace | with ^ in Selection::linux_mask": (
        "no two states share a bit of the kernel's mask"
    ),
    "src/source/linux/inet_diag.rs: replace | with ^ in message": (
        "the flags of a request and of a dump share no bit"
    ),
}

# How each can end, as cargo-mutants calls it. A test that hangs tells too.
CAUGHT = {"CaughtMutant", "Timeout"}


def unplaced(name: str) -> str:
    """Return a mutant's name without line and column, which change with every edit above it."""
    return re.sub(r":\d+:\d+:", ":", name)


def outcomes(directories: list[Path]) -> dict[str, dict[str, bool]]:
    """Return of every file its mutants, and whether a test caught them."""
    files: dict[str, dict[str, bool]] = {}
    for directory in directories:
        text = (directory / "outcomes.json").read_text(encoding="utf-8")
        run: dict[str, dict[str, bool]] = collections.defaultdict(dict)
        for outcome in json.loads(text)["outcomes"]:
            # Others do not compile: nobody could have written them.
            if "Mutant" in outcome["scenario"] and outcome["summary"] != "Unviable":
                mutant = outcome["scenario"]["Mutant"]
                run[mutant["file"]][mutant["name"]] = outcome["summary"] in CAUGHT
        files.update(run)
    return files


def page(files: dict[str, dict[str, bool]]) -> str:
    """Return the part of the page: a line for every file, and every mutant that survives."""
    lines = ["| file | mutants | caught |", "| --- | --- | --- |"]
    survivors = []
    for file, mutants in sorted(files.items()):
        lines.append(f"| `{file}` | {len(mutants)} | {sum(mutants.values())} |")
        survivors += [unplaced(name) for name, caught in mutants.items() if not caught]
    if survivors:
        lines += ["", "| mutant | why no test can catch it |", "| --- | --- |"]
        lines += [
            f"| `{name.replace('|', chr(92) + '|')}` | {REASONS[name]} |" for name in survivors
        ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page; 1 where something survives that must not."""
    files = outcomes([Path(name) for name in sys.argv[1:]])
    lost = [name for mutants in files.values() for name, caught in mutants.items() if not caught]
    unlisted = [name for name in lost if unplaced(name) not in REASONS]
    for name in unlisted:
        sys.stderr.write(f"survives: {name}\n")
    everything = sum(len(mutants) for mutants in files.values())
    if unlisted or len(lost) > MOST * everything:
        sys.stderr.write(f"{len(lost)} of {everything} survive\n")
        return 1
    text = PAGE.read_text(encoding="utf-8")
    part = re.compile(r"(<!-- mutants -->\n\n).*?(<!-- end -->\n)", re.DOTALL)
    new, found = part.subn(lambda match: f"{match[1]}{page(files)}\n{match[2]}", text)
    if found != 1:
        sys.exit(f"{PAGE} has no part for them")
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
