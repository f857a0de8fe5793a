"""Installs what `make release` has made where nobody has seen the sources, and uses it.

    python tests/platforms/installed.py [DIST]

Ends with 1 if anything failed. With NETWORK_CONNECTIONS_WRITE_DOCS=1 it writes
docs/evidence/packages.md.
What `make test-integrations` does with the packages for this processor is not done again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import harness  # noqa: E402
from page import table  # noqa: E402

from integrations import machines, where  # noqa: E402

PAGE = ROOT / "docs" / "evidence" / "packages.md"
INTRODUCTION = """\
# Packages and wheels

Written by `make test-release` with `NETWORK_CONNECTIONS_WRITE_DOCS=1`, of what `make release` has
made: every file, and what was installed where nobody has seen the sources. What a booted Debian
does with the packages for x86_64, and rpm in an empty root, is in
[where-it-runs.md](where-it-runs.md).

On {system}.
"""
NOT_RUN = """\
Not run: the wheels for musl, since neither Debian nor PyPI has a CPython for it; a Red Hat or SUSE,
whose own rpm and SELinux might want more; real ARM processors; a wheel for Windows, which is not
built; GitHub's side of a release.
"""
ARM = "Debian 12 for arm64, under QEMU"
PACKAGES = ("python3", "python3-pip")
CONNECTIONS = (
    "import network_connections as n; print(n.__version__, len(n.connections('tcp')) >= 0)"
)


@dataclass(frozen=True)
class Run:
    """What was installed where, and how that ended."""

    file: str
    place: str
    result: str
    failed: bool = False


def main() -> int:
    """Install everything that can be installed here."""
    dist = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist").resolve()
    runs = [*traces(dist), *in_every_python(dist), *on_arm(dist)]
    print("\n".join(f"{run.file}: {run.place}: {run.result}" for run in runs))
    if os.environ.get("NETWORK_CONNECTIONS_WRITE_DOCS") == "1":
        PAGE.write_text(page(dist, runs), encoding="utf-8")
    return int(any(run.failed for run in runs))


def traces(dist: Path) -> Iterator[Run]:
    """Look for files that name the directory which they were built in."""
    for path in sorted(dist.iterdir()):
        if any(str(ROOT).encode() in content for content in contents(path)):
            yield Run(path.name, "looked into", f"names {ROOT}", failed=True)


def contents(path: Path) -> Iterator[bytes]:
    """Return a file, or what is in it."""
    if path.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(path) as archive:
            yield from map(archive.read, archive.namelist())
    elif path.suffix == ".gz":
        with tarfile.open(path) as tar:
            yield from (file.read() for file in map(tar.extractfile, tar.getmembers()) if file)
    else:
        yield path.read_bytes()


def in_every_python(dist: Path) -> Iterator[Run]:
    """Install the wheel for this processor with every CPython that is here."""
    (wheel,) = dist.glob("*manylinux*_x86_64.whl")
    for interpreter, version in harness.interpreters().items():
        with tempfile.TemporaryDirectory() as name:
            yield said(wheel, f"CPython {version}", *_used(interpreter, wheel, Path(name)))


def _used(interpreter: str, wheel: Path, place: Path) -> Iterator[tuple[Sequence[str | Path], str]]:
    python = place / "bin" / "python"
    yield [interpreter, "-m", "venv", place], ""
    yield [python, "-m", "pip", "install", "--quiet", "--no-index", wheel], ""
    yield [place / "bin" / "network-connections", "--no-perfdata"], ""
    yield [python, "-I", "-c", CONNECTIONS], " True"


def on_arm(dist: Path) -> Iterator[Run]:
    """Install the package and the wheel in a Debian of another processor."""
    try:
        root = machines.root(PACKAGES, "arm64")
    except subprocess.CalledProcessError as error:
        yield Run(
            "for arm64", ARM, f"not run: {error.stderr.strip().splitlines()[-1]}", failed=True
        )
        return
    (deb,) = dist.glob("*_arm64.deb")
    (wheel,) = dist.glob("*manylinux*_aarch64.whl")
    # QEMU passes on no answer of netlink.
    counted = "setpriv --reuid=65534 --regid=65534 --clear-groups {} --source=procfs --no-perfdata"
    plugin = "/usr/lib/nagios/plugins/check_network_connections"
    pip = "pip install --quiet --break-system-packages --no-index"
    for file, script in (
        (
            deb,
            f"start=$(date +%s%N); apt install --yes ./{deb.name} >/dev/null 2>&1; "
            f"{counted.format(plugin)}; echo $(( ($(date +%s%N) - start) / 1000000 )) ms; "
            "apt purge --yes network-connections >/dev/null 2>&1; ! command -v network-connections",
        ),
        (
            wheel,
            f"{pip} ./{wheel.name} 2>/dev/null; {counted.format('network-connections')}; "
            f'python3 -I -c "{CONNECTIONS}"',
        ),
    ):
        yield said(file, ARM, (inside(root, file, f"cd /srv; {script}"), ""))


def inside(root: Path, file: Path, script: str) -> list[str]:
    """Return the command line that runs a script in a root directory, which stays as it is."""
    setup = (
        "set -e; d=$(mktemp -d); mount -t tmpfs tmpfs $d; mkdir $d/up $d/work $d/merged; "
        f"mount -t overlay -o lowerdir={root},upperdir=$d/up,workdir=$d/work none $d/merged; "
        f"cp {file} $d/merged/srv; mount -t proc proc $d/merged/proc; "
        "mount -t tmpfs tmpfs $d/merged/tmp; "
        'exec chroot $d/merged sh -ec "$1"'
    )
    return ["unshare", "--mount", "--pid", "--fork", "--net", "sh", "-c", setup, "sh", script]


def said(file: Path, place: str, *steps: tuple[Sequence[str | Path], str]) -> Run:
    """Run each step, of which the output has to have a text."""
    printed = []
    for line, expected in steps:
        done = subprocess.run(line, capture_output=True, text=True, check=False, cwd="/")
        if done.returncode != 0 or expected not in done.stdout:
            cause = (done.stderr or done.stdout).strip().splitlines()[-1:]
            return Run(file.name, place, f"failed: {' '.join(cause)}", failed=True)
        printed += done.stdout.split("\n")
    took = [line for line in printed if re.fullmatch(r"\d+ ms", line)]
    answer = f", its first answer {took[0]} after `apt install` began" if took else ""
    return Run(file.name, place, f"installed and used{answer}")


def page(dist: Path, runs: Sequence[Run]) -> str:
    """Return docs/evidence/packages.md."""
    files = [[f"`{path.name}`", f"{path.stat().st_size:,}"] for path in sorted(dist.iterdir())]
    rows = [[f"`{run.file}`", run.place, run.result] for run in runs]
    return "\n".join(
        [
            INTRODUCTION.format(system=where.system()),
            table(["File", "Bytes"], files),
            table(["Installed", "Where", "Result"], rows),
            NOT_RUN,
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
