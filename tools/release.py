"""Makes a release, or says what keeps one from being made.

    python tools/release.py check         whether this commit can be released
    python tools/release.py build         everything that is released, into dist/

`build` takes a commit without changes, and with the tag of its version unless RELEASE_UNTAGGED=1.
Two builds of one commit, wherever they are, have the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import archive
import packages
import sbom
from packages import NAME, ROOT

DIST = ROOT / "dist"
# Commands for hosts without Python, by what cargo calls their platform.
COMMANDS = (
    "x86_64-unknown-linux-musl",
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-musl",
    "armv7-unknown-linux-musleabihf",
    "s390x-unknown-linux-musl",
    archive.TARGET,
)
LOCKS = ("Cargo.lock", "fuzz/Cargo.lock", "benches/peers/Cargo.lock")


def main() -> int:
    """Check or build."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("what", choices=["check", "build"])
    what = options.parse_args().what
    faults = [*_unfit(), *(_more() if what == "check" else [])]
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults and what == "build":
        _build()
    return 1 if faults else 0


def _unfit() -> Iterator[str]:
    """What keeps this commit from being built as a release."""
    tag = f"v{packages.version()}"
    if _says("git", "status", "--porcelain"):
        yield "there are changes that are in no commit"
    tags = _says("git", "tag", "--points-at").split()
    if os.environ.get("RELEASE_UNTAGGED") != "1" and tag not in tags:
        yield f"the commit has not the tag {tag}"


def inconsistent() -> Iterator[str]:
    """Where the version of Cargo.toml is not what others have."""
    version = packages.version()
    for name in LOCKS:
        text = (ROOT / name).read_text(encoding="utf-8")
        if f'name = "{NAME}"\nversion = "{version}"\n' not in text:
            yield f"{name} has not the version {version} of Cargo.toml"
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## \[([^\]]+)\]", changes, re.MULTILINE)
    if [name for name in sections if name != "Unreleased"][:1] != [version]:
        yield f"CHANGELOG.md has no section {version} at its top"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = [*(kind.file(version, "x86_64") for kind in packages.KINDS)]
    named += map(command_file, (COMMANDS[0], archive.TARGET))
    named += [f"network_connections-{version}-*.whl", archive.file(version)]
    for name in named:
        if name not in readme:
            yield f"README.md does not say how to install {name}"


def _more() -> Iterator[str]:
    """What else has to be true of a release."""
    yield from inconsistent()
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if re.search(r"^## \[Unreleased\]\n+###", changes, re.MULTILINE):
        yield "CHANGELOG.md has changes in Unreleased"
    deny = ["cargo", "deny", "--workspace", "check", "licenses", "sources", "bans"]
    if subprocess.run(deny, cwd=ROOT, check=False).returncode != 0:
        yield "cargo-deny finds a licence or a source that is not allowed (deny.toml)"


def command_file(target: str) -> str:
    """Return what a command is called in a release."""
    ending = ".exe" if "windows" in target else ""
    return f"{NAME}-{packages.version()}-{target}{ending}"


def _build() -> None:
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    environment = {**os.environ, "SOURCE_DATE_EPOCH": _says("git", "log", "-1", "--format=%ct")}
    version = packages.version()
    subprocess.run(["make", "binaries", "wheels"], cwd=ROOT, env=environment, check=True)
    for target in COMMANDS:
        ending = ".exe" if "windows" in target else ""
        built = ROOT / "target" / target / "release" / f"{NAME}{ending}"
        shutil.copy(built, DIST / command_file(target))
    archive.make(DIST)
    made_of = DIST / f"{NAME}-{version}.cdx.json"
    sbom.write(made_of)
    subprocess.run([sys.executable, packages.__file__, f"--sbom={made_of}"], cwd=ROOT, check=True)
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(DIST.iterdir())
    ]
    (DIST / "SHA256SUMS").write_text("".join(sums), encoding="ascii")


def _says(*argv: str) -> str:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
