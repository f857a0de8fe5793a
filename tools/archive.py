"""Makes the zip for Windows, of the command that is built: with what it is configured and read by.

    python tools/archive.py [--output DIR]

Writes it, by default into dist/. Two runs over one commit write the same bytes.
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Iterator
from pathlib import Path

import address
import packages
from packages import NAME, ROOT

TARGET = "x86_64-pc-windows-gnu"
# As they are here, so that their links lead somewhere.
FILES = (
    "CHANGELOG.md",
    "LICENSE",
    address.RUNBOOKS,
    "docs/usage.md",
    "docs/windows.md",
    "integrations/icinga2/network-connections.conf",
    "integrations/windows/icinga2.conf",
    "integrations/windows/nsclient.ini",
)


def main() -> None:
    """Make it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--output", type=Path, default=ROOT / "dist", metavar="DIR")
    output = options.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    print(make(output))


def file(version: str) -> str:
    """Return what it is called."""
    return f"{NAME}-{version}-{TARGET}.zip"


def make(output: Path) -> Path:
    """Make the zip, and return it."""
    version = packages.version()
    made = output / file(version)
    when = packages.date().timetuple()[:6]
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _contents():
            entry = zipfile.ZipInfo(f"{NAME}-{version}/{name}", when)
            entry.compress_type = zipfile.ZIP_DEFLATED
            # Of Unix, whatever it is made on: readable, and a program for who unpacks it there.
            entry.create_system = 3
            entry.external_attr = (0o100755 if name.endswith(".exe") else 0o100644) << 16
            archive.writestr(entry, content)
    return made


def _contents() -> Iterator[tuple[str, bytes]]:
    """What is in it, by name."""
    command = f"{NAME}.exe"
    yield command, (ROOT / "target" / TARGET / "release" / command).read_bytes()
    for name in FILES:
        yield name, (ROOT / name).read_bytes()
    yield "third-party-licenses", packages.third_party(TARGET).encode()


if __name__ == "__main__":
    main()
