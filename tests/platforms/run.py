"""Builds the command for other platforms and runs there, or here as if there, what can be run.

    python tests/platforms/run.py [TARGET...]       without TARGET: all of them

Ends with 1 if anything failed. With NETWORK_CONNECTIONS_WRITE_DOCS=1 a run of all targets writes
docs/platforms.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from integrations import where  # noqa: E402
from page import table  # noqa: E402

TOOLCHAINS = ROOT / os.environ.get("TOOLCHAINS", "target/toolchains")
CARGO = str(TOOLCHAINS / "cargo")
WINE = str(TOOLCHAINS / "run-x86_64-pc-windows-gnu")
PAGE = ROOT / "docs" / "platforms.md"

# Tests that ask the command for the host's sockets: what a runner shows of them is its own.
LIVE = "tests/platforms/live.py"
EVERYTHING = ("tests", "--ignore=tests/integrations")
LIBRARY = ("--lib", "--test", "wire", "--test", "corpus")


@dataclass(frozen=True)
class Target:
    """A platform, and what is run of its build."""

    triple: str
    hosts: str
    """Where the binary is for."""
    toolchain: str
    """What builds and links it."""
    runs_under: str = "itself"
    """What runs it here."""
    runner: str = ""
    tests: Sequence[str] = (*EVERYTHING, LIVE)
    """What pytest is given."""
    library: Sequence[str] = LIBRARY
    """Which of the crate's own tests are built and run; none if empty."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """The crate's own tests that cannot pass, and why."""

    @property
    def directory(self) -> Path:
        """Where cargo puts it."""
        return ROOT / "target" / self.triple.replace(".2.17", "") / "release"

    @property
    def binary(self) -> Path:
        """The command."""
        windows = "windows" in self.triple
        return self.directory / ("network-connections.exe" if windows else "network-connections")


_DEBIAN = "rustc-web, std from its sources"
_QEMU = {"netstat2": "qemu-user passes no `NETLINK_SOCK_DIAG` on"}

TARGETS = (
    Target(
        "x86_64-unknown-linux-musl",
        "Linux on x86_64, whatever its libc",
        f"{_DEBIAN}; zig links, static",
    ),
    Target(
        "x86_64-unknown-linux-gnu.2.17",
        "Linux on x86_64 with glibc 2.17 or later (RHEL 7)",
        "the installed Rust; zig links against glibc 2.17",
    ),
    Target(
        "aarch64-unknown-linux-musl",
        "Linux on 64-bit ARM, whatever its libc",
        f"{_DEBIAN}; zig links, static",
        runs_under="qemu-user",
        runner="qemu-aarch64",
        left_out=_QEMU,
    ),
    Target(
        "s390x-unknown-linux-musl",
        "Linux on IBM Z (big-endian), whatever its libc",
        f"{_DEBIAN}; zig links, static",
        runs_under="qemu-user",
        runner="qemu-s390x",
        tests=EVERYTHING,
        left_out=_QEMU,
    ),
    Target(
        "x86_64-pc-windows-gnu",
        "Windows on x86_64",
        f"{_DEBIAN}; mingw-w64 links",
        runs_under="Wine",
        runner=WINE,
        library=("--lib", "--test", "corpus"),
    ),
)


@dataclass
class Run:
    """What was run, and how it ended."""

    what: str
    result: str
    failed: bool


def main() -> int:
    """Build and run everything that is asked for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("targets", nargs="*", choices=[[], *(one.triple for one in TARGETS)])
    asked = options.parse_args().targets
    targets = [one for one in TARGETS if one.triple in asked or not asked]
    subprocess.run(["tools/toolchain.sh", *(one.triple for one in targets)], cwd=ROOT, check=True)
    subprocess.run(["cargo", "build", "--quiet", "--examples"], cwd=ROOT, check=True)
    runs = {}
    for target in targets:
        build(target)
        with stopped(target):
            runs[target] = [*library(target), *pytest(target)]
    text = page(runs)
    print(text)
    if os.environ.get("NETWORK_CONNECTIONS_WRITE_DOCS") == "1" and not asked:
        PAGE.write_text(text, encoding="utf-8")
    return int(any(run.failed for some in runs.values() for run in some))


def build(target: Target) -> None:
    """Build the command, and for Windows what makes sockets there."""
    what = ["--bin", "network-connections"]
    if target.runs_under == "Wine":
        what.append("--examples")
    line = [*cargo(target), "build", "--quiet", "--release", "--locked", "--target", target.triple]
    output, failed = shown([*line, *what], environment(target))
    if failed:
        raise SystemExit(f"{target.triple} does not build: {output}")


def cargo(target: Target) -> list[str]:
    """Return the cargo that has a std for a target, and a linker."""
    if "2.17" in target.triple:
        return ["cargo-zigbuild"]
    return [CARGO] if "windows" in target.triple else [CARGO, "zig"]


def environment(target: Target) -> dict[str, str]:
    """Return the environment in which everything of a target is built and run."""
    return {
        **os.environ,
        "PATH": f"{TOOLCHAINS / 'zig' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "NETWORK_CONNECTIONS_NATIVE": str(target.binary),
        "NETWORK_CONNECTIONS_RUNNER": target.runner,
        # What cannot be run is said in the table.
        "NETWORK_CONNECTIONS_NO_SKIP": "",
        "NETWORK_CONNECTIONS_WRITE_DOCS": "",
    }


@contextlib.contextmanager
def stopped(target: Target) -> Iterator[None]:
    """Let nothing of Wine run before or after: it goes on to see the network it was started in."""
    try:
        stop(target)
        yield
    finally:
        stop(target)


def stop(target: Target) -> None:
    """End Wine, if it is what a target runs under."""
    if target.runner == WINE:
        subprocess.run([WINE, "--stop"], check=False)


def library(target: Target) -> Iterator[Run]:
    """Run the crate's own tests."""
    if not target.library:
        return
    line = [*cargo(target), "test", "--quiet", "--target", target.triple, *target.library]
    skip = [word for name in target.left_out for word in ("--skip", name)]
    output, failed = shown([*line, "--", *skip], environment(target))
    ended = re.findall(r"^test result: .*? (\d+) passed; (\d+) failed; (\d+) ignored", output, re.M)
    passed, broken, ignored = (sum(map(int, column)) for column in zip(*ended))
    result = {"passed": passed, "failed": broken, "ignored": ignored}
    yield Run("the crate's tests", said(result), failed)
    stop(target)


def pytest(target: Target) -> Iterator[Run]:
    """Run the tests of the command, in a network that nobody else is in."""
    network = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    line = [*network, sys.executable, "-m", "pytest", *target.tests]
    output, failed = shown(line, environment(target))
    last = output.rstrip().rpartition("\n")[2]
    ended = re.findall(r"(\d+) (passed|failed|errors?|skipped)", last)
    yield Run("the tests of the command", said({how: int(n) for n, how in ended}), failed)


def said(outcomes: Mapping[str, int]) -> str:
    """Say how some tests have ended."""
    return ", ".join(f"{number} {how}" for how, number in outcomes.items() if number)


def shown(line: Sequence[str], env: Mapping[str, str]) -> tuple[str, bool]:
    """Run a command in sight; return its output, and whether it failed."""
    print("+", shlex.join(line), flush=True)
    output = []
    with subprocess.Popen(
        line, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for text in process.stdout:
            print(text, end="", flush=True)
            output.append(text)
    return "".join(output), process.returncode != 0


def page(runs: Mapping[Target, Sequence[Run]]) -> str:
    """Return docs/platforms.md."""
    return ""


if __name__ == "__main__":
    sys.exit(main())
