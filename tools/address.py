"""Where the project is to be found: Cargo.toml says it, and everything else takes it from here.

    python tools/address.py [--check]

Writes `runbook_url` of the rules for Prometheus and of their tests. With a `homepage` in Cargo.toml
each is a page there, otherwise a file that the packages install.
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NAME = "network-connections"
DOC = f"/usr/share/doc/{NAME}"
RULES = ("rules/network-connections.yml", "rules-test.yml")


def main() -> None:
    """Write the addresses, or say where they are stale."""
    for name in RULES:
        path = ROOT / "integrations" / "prometheus" / name
        before = path.read_text(encoding="utf-8")
        after = re.sub(
            r"(runbook_url: )[^#\s]*?(\w+\.md)(?:\.gz)?#",
            lambda found: f"{found[1]}{page(found[2])}#",
            before,
        )
        if "--check" not in sys.argv[1:]:
            path.write_text(after, encoding="utf-8")
        elif before != after:
            sys.exit(f"{path.relative_to(ROOT)} is stale (run: make generate)")


@functools.cache
def package() -> dict[str, Any]:
    """Return what Cargo.toml says of the package."""
    line = ["cargo", "metadata", "--format-version=1", "--locked", "--no-deps"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)["packages"][0]
    return found


def homepage() -> str:
    """Return the address of the project; empty while there is none."""
    return str(package()["homepage"] or "").rstrip("/")


def maintainer() -> str:
    """Return whom the users of the packages ask."""
    return str(package()["metadata"]["packages"]["maintainer"])


def page(name: str) -> str:
    """Return where a page of docs/ that says what to do about an alert is."""
    at = homepage()
    return f"{at}/docs/{name}" if at else f"{DOC}/docs/{name}.gz"


if __name__ == "__main__":
    main()
