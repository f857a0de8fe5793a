"""Builds the command for other platforms and runs there, or here as if there, what can be run.

    python tests/platforms/run.py [TARGET...]       without TARGET: all of them

Ends with 1 if anything failed. With NETWORK_CONNECTIONS_WRITE_DOCS=1 it writes
docs/evidence/platforms.md,
from the last runs of every target that has been run here.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from page import table  # noqa: E402

from integrations import where  # noqa: E402

TOOLCHAINS = ROOT / os.environ.get("TOOLCHAINS", "target/toolchains")
CARGO = str(TOOLCHAINS / "cargo")
WINE = str(TOOLCHAINS / "run-x86_64-pc-windows-gnu")
PAGE = ROOT / "docs" / "evidence" / "platforms.md"

COMMAND = ("tests", "--ignore=tests/integrations", "--ignore=tests/platforms")
# Many tests wait: three processes keep two cores busy. The prefix of Wine is for a test alone.
WORKERS = "3"
SOCKETS = ("tests/platforms/live.py",)
PROCESSES = ("tests/platforms/processes.py",)
# What the tests need of Windows, and the libraries that it needs.
HELPERS = (("says", "-liphlpapi", "-lpsapi", "-lversion", "-lws2_32"), ("netsh",))
CRATE_TESTS = ("--lib", "--test", "crate", "--test", "wire", "--test", "corpus")


@dataclass(frozen=True)
class Target:
    """A platform, and what is run of its build."""

    triple: str
    hosts: str
    """Where the binary is for."""
    runs_under: str = "this machine"
    """What runs it here."""
    runner: str = ""
    counts: bool = True
    """Whether its runner shows it the sockets of this host as they are."""
    crate_tests: Sequence[str] = CRATE_TESTS
    """Which of the crate's own tests are built and run; none if empty."""
    left_out: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The crate's own tests that cannot pass, and what the page says of them."""

    @property
    def directory(self) -> Path:
        """Where cargo puts it."""
        return ROOT / "target" / self.triple.replace(".2.17", "") / "release"

    @property
    def results(self) -> Path:
        """Where the results of its last runs are, beside it."""
        return self.directory / "network-connections.results.json"

    @property
    def binary(self) -> Path:
        """The command."""
        windows = "windows" in self.triple
        return self.directory / ("network-connections.exe" if windows else "network-connections")


_QEMU = dict.fromkeys(
    ("netstat2::tests", "a_measure_reads_the_queues_of_listeners_alone"),
    "those that ask for sockets of their own in a way that QEMU does not know",
)

TARGETS = (
    Target(
        "x86_64-unknown-linux-musl",
        "Linux on x86_64, whatever its libc",
    ),
    Target(
        "x86_64-unknown-linux-gnu.2.17",
        "Linux on x86_64 with glibc 2.17 or later (RHEL 7)",
    ),
    Target(
        "aarch64-unknown-linux-musl",
        "Linux on 64-bit ARM, whatever its libc",
        runs_under="QEMU",
        runner="qemu-aarch64",
        left_out=_QEMU,
    ),
    Target(
        "s390x-unknown-linux-musl",
        "Linux on IBM Z (big-endian), whatever its libc",
        runs_under="QEMU",
        runner="qemu-s390x",
        # The addresses in /proc/net are in the order of the host's bytes, not of the guest's.
        counts=False,
        left_out=_QEMU,
    ),
    Target(
        "x86_64-pc-windows-gnu",
        "Windows on x86_64",
        runs_under="Wine",
        runner=WINE,
        crate_tests=("--lib", "--test", "crate", "--test", "corpus"),
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
    failed = False
    for target in targets:
        build(target)
        with stopped(target):
            runs = [*crate(target), *pytest(target)]
        failed = failed or any(run.failed for run in runs)
        target.results.write_text(json.dumps([asdict(run) for run in runs]), encoding="utf-8")
        print("\n".join(f"{target.triple}: {run.what}: {run.result}" for run in runs), flush=True)
    if os.environ.get("NETWORK_CONNECTIONS_WRITE_DOCS") == "1":
        PAGE.write_text(page(), encoding="utf-8")
    return int(failed)


def build(target: Target) -> None:
    """Build the command, and for Windows what makes sockets there."""
    what = ["--bin", "network-connections"]
    if target.runner == WINE:
        what.append("--examples")
    line = [*cargo(target), "build", "--quiet", "--release", "--locked", "--target", target.triple]
    output, failed = shown([*line, *what], environment(target))
    if failed:
        raise SystemExit(f"{target.triple} does not build: {output}")
    for source, *libraries in HELPERS if target.runner == WINE else ():
        helper = target.directory / "examples" / f"{source}.exe"
        compiler = ["x86_64-w64-mingw32-gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-s"]
        line = [*compiler, "-o", str(helper), f"tests/platforms/{source}.c", *libraries]
        subprocess.run(line, cwd=ROOT, check=True)


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


def crate(target: Target) -> Iterator[Run]:
    """Run the crate's own tests."""
    if not target.crate_tests:
        return
    line = [*cargo(target), "test", "--quiet", "--target", target.triple, *target.crate_tests]
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
    suites: dict[str, Sequence[str]] = {"the tests of the command": COMMAND}
    if target.counts:
        suites["real sockets in every state"] = SOCKETS
    if target.runner == WINE:
        suites["their processes and ports"] = PROCESSES
    for what, tests in suites.items():
        line = [*network, sys.executable, "-m", "pytest", *tests]
        workers = ["-n", WORKERS] if tests is COMMAND and target.runner != WINE else []
        output, failed = shown([*line, *workers], environment(target))
        ended = re.search(r"^=+ \d+ failed, .*=$", output, re.M) and "INTERNALERROR" not in output
        if workers and ended:
            # As `make test-all` does it: failed tests must pass without others beside them.
            _, failed = shown([*line, "--last-failed"], environment(target))
        last = output.rstrip().rpartition("\n")[2]
        outcomes = {how: int(number) for number, how in re.findall(r"(\d+) ([a-z]+)", last)}
        outcomes.pop("deselected", None)
        reasons = re.findall(r"^SKIPPED \[\d+\] \S+: (.+)", output, re.M)
        because = f" ({'; '.join(dict.fromkeys(reasons))})" if reasons else ""
        yield Run(what, said(outcomes) + because, failed)
        stop(target)


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


INTRODUCTION = """# Platforms

Written by `make test-platforms` with `NETWORK_CONNECTIONS_WRITE_DOCS=1`, which builds the command
for each of these targets and runs the tests of it that this machine can. tools/toolchain.sh sets up
what that takes.

On {system}.
"""

WHAT = """
"The tests of the command" are those of `make test` that run the native command, the 500 recorded
answers of the reference among them: all of them where the machine itself runs it; under Wine and
QEMU those that tamper with no system calls and become no other users. "The crate's tests" are the
parsers' and the core's.{left_out}

The static builds have musl as their libc: names of users come from /etc/passwd and from nscd where
it runs; a user of any other database, as that of a directory server, is a number
(tests/test_owners.py shows both). The wheel and the build for glibc ask nsswitch.conf.

"Their processes and ports" are sockets in every state that are handed to programs of Windows, whose
names are compared with what Wine says by other calls; and ephemeral ports by a stand-in for
`netsh`, which Wine has none of, against what the command for Linux counts among the same sockets.
Of TCP over IPv6 Wine 8 tells no process: there the check says what Wine says, `(kernel)`.

Not shown by any of this: Microsoft's own tables of sockets, since Wine's come from Linux, and its
own netsh; processes of other users and of the system; NSClient++ and Icinga's agent on Windows;
Windows' own ways with links, device names and consoles; DELETE_TCB and the other states of Windows
that Linux does not have, which unit tests name; netlink on ARM and IBM Z, since QEMU passes no
answer of it on and the command falls back to procfs; real processors of these two. Other systems,
as macOS and the BSDs: not built, not run; the build refuses them.
"""


def page() -> str:
    """Return docs/evidence/platforms.md, from the last runs of every target that was run here."""
    runs = {
        one: [Run(**run) for run in json.loads(one.results.read_text(encoding="utf-8"))]
        for one in TARGETS
        if one.results.exists()
    }
    builds = [
        [f"`{one.triple}`", one.hosts, built(one), f"{one.binary.stat().st_size:,}", needs(one)]
        for one in runs
    ]
    results = [
        [f"`{one.triple}`", runner(one), run.what, run.result]
        for one, some in runs.items()
        for run in some
    ]
    left_out = {
        f" Left out under {one.runs_under}: {tests}."
        for one in runs
        for tests in one.left_out.values()
    }
    return (
        "\n".join(
            [
                INTRODUCTION.format(system=where.system()),
                table(["Target", "For", "Built with", "Bytes", "Needs"], builds),
                table(["Target", "Run by", "What was run", "Result"], results).rstrip("\n"),
                WHAT.format(left_out="".join(sorted(left_out))),
            ]
        ).rstrip("\n")
        + "\n"
    )


def needs(target: Target) -> str:
    """Return the libraries that a binary asks for, and the newest version of their symbols."""
    if "windows" in target.triple:
        dump = says("x86_64-w64-mingw32-objdump", "-p", str(target.binary))
        libraries = re.findall(r"DLL Name: (\S+)", dump)
    else:
        dump = says("readelf", "--wide", "--dynamic", "--version-info", str(target.binary))
        libraries = re.findall(r"\(NEEDED\).*\[(.+)\]", dump)
    versions = {tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_([\d.]+)", dump)}
    newest = [f"GLIBC_{'.'.join(map(str, max(versions)))} at most"] if versions else []
    return ", ".join([*sorted(libraries), *newest]) or "nothing"


def built(target: Target) -> str:
    """Say what compiled and linked it."""
    old_glibc = "2.17" in target.triple
    # What tools/toolchain.sh has set up, or the installed one.
    compiler = "rustc" if old_glibc else next(TOOLCHAINS.glob("rustc-*/bin/rustc"), "rustc")
    rust = f"Rust {version(compiler, '--version')}"
    if "windows" in target.triple:
        return f"{rust}, linked by MinGW-w64"
    zig = version(TOOLCHAINS / "zig" / "bin" / "python", "-m", "ziglang", "version")
    return f"{rust}, linked by zig {zig}, {'for glibc 2.17' if old_glibc else 'static'}"


def runner(target: Target) -> str:
    """Say what runs it here."""
    if not target.runner:
        return target.runs_under
    program = "/usr/lib/wine/wine64" if target.runner == WINE else target.runner
    return f"{target.runs_under} {version(program, '--version')}"


def version(*line: str | Path) -> str:
    """Return the version in what a command prints, without the names of who packaged it."""
    printed = says(*map(str, line))
    found = re.search(r"\d+(\.\d+)+", printed)
    assert found is not None, printed
    return found[0]


def says(*line: str) -> str:
    """Return what a command prints."""
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
