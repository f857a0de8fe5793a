"""Writes what the crate is made of, in CycloneDX, the same wherever it is written.

    python tools/sbom.py FILE [OPTION OF cargo cyclonedx ...]

It needs cargo-cyclonedx.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from packages import NAME, ROOT


def write(file: Path, *options: str) -> None:
    """Write it."""
    made = ROOT / f"{NAME}.cdx.json"
    line = ["cargo", "cyclonedx", "--format=json", f"--override-filename={NAME}.cdx", *options]
    subprocess.run(line, cwd=ROOT, check=True)
    text = made.read_text(encoding="utf-8")
    made.unlink()
    # What would differ from one build to the next.
    described = json.loads(text)
    described.pop("serialNumber", None)
    described["metadata"].pop("timestamp", None)
    text = json.dumps(described, indent=1, sort_keys=True).replace(f"{ROOT}", ".") + "\n"
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]), *sys.argv[2:])
