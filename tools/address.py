"""Where the project is to be found: Cargo.toml says it, and everything else takes it from here.

    python tools/address.py [--check]

Writes `runbook_url` of the rules for Prometheus and of their tests. With a `homepage` in Cargo.toml
it is the page there, otherwise the file that the packages install.
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
# The page that says what to do about each alert.
INCIDENTS = "docs/incidents.md"
RULES = ("rules/network-connections.yml", "rules-test.yml")


def main() -> None:
    """Write the addresses, or say where they are stale."""
    for name in RULES:
        path = ROOT / "integrations" / "prometheus" / name
        before = path.read_text(encoding="utf-8")
        after = re.sub(
            r"(runbook_url: )[^#\s]*#", lambda found: f"{found[1]}{incidents()}#", before
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


def incidents() -> str:
    """Return where the page with the alerts is."""
    at = homepage()
    return f"{at}/{INCIDENTS}" if at else f"{DOC}/{INCIDENTS}.gz"


if __name__ == "__main__":
    main()
