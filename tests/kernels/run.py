"""Boots real kernels in machines that QEMU emulates, and runs the tests of the command there.

    python tests/kernels/run.py [NAME...]       without NAME: all of them

Ends with 1 if anything failed. With NETWORK_CONNECTIONS_WRITE_DOCS=1 it writes
docs/evidence/kernels.md and kernels.json, from the last runs of every kernel.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import harness  # noqa: E402
import pytest  # noqa: E402

from kernels import apparmor, evidence, machines, policies, selinux  # noqa: E402
from kernels.evidence import Run  # noqa: E402
from kernels.machines import AMD64, MACHINES, Architecture, Machine  # noqa: E402

WRITES_DOCS = os.environ.get("NETWORK_CONNECTIONS_WRITE_DOCS") == "1"
# Machines that run at the same time: the tests in each are one process after the other.
JOBS = os.cpu_count() or 1
_BUILDING = threading.Lock()
# The shortest list: every state, every question, and the counters.
QUICK = ("configured", "states", "counters")
# Other processors are slower to emulate, and have no wheel of their own.
FOREIGN = (*QUICK, "netns", "receive_buffer", "unix_queue", "stuck", "host_limits")
TESTS = (
    "configured",
    "states",
    "accept_queue",
    "unix_queue",
    "syn_queue",
    "receive_buffer",
    "ephemeral_ports",
    "taken_ports",
    "stuck",
    "open_files",
    "host_limits",
    "netns",
    "owners",
    "counters",
    "exhaustion",
    "fallback",
)
# The files of pytest: Python alone, without compiled parts.
PYTEST = (
    "_pytest",
    "execnet",
    "execnet-*",
    "iniconfig",
    "lib",
    "packaging",
    "pluggy",
    "pluggy-*",
    "py.py",
    "pygments",
    "pytest",
    "xdist",
    "pytest_xdist-*",
    "pytest-*",
)
# Prints what tests/kernels/configured.py has kept.
UNKNOWN = "touch /run/unknown; sort /run/unknown; rm /run/unknown"
PYTHON = Path("usr/lib/python3/dist-packages")


@dataclass(frozen=True)
class Configuration:
    """A kernel that is configured otherwise than Debian's is by default."""

    shown: str
    before: str = ":"
    """Commands that configure it so, in a mount namespace that ends with the tests."""
    after: str = ":"
    """Commands that take back the rest."""


# Debian's 6.1 has everything of these as a module, or can switch it off.
CONFIGURED = "6.1"
_V1 = "umount /sys/fs/cgroup && mount -t tmpfs tmpfs /sys/fs/cgroup && mkdir /sys/fs/cgroup/systemd"
_V1 += " && mount -t cgroup -o none,name=systemd systemd /sys/fs/cgroup/systemd"
_BOTH = f"{_V1} && mkdir /sys/fs/cgroup/unified && mount -t cgroup2 - /sys/fs/cgroup/unified"
_NETNS, _MPTCP = "/proc/sys/user/max_net_namespaces", "/proc/sys/net/mptcp/enabled"
# By the words of the kernel's command line: each is a boot.
CONFIGURATIONS = {
    "": (
        # Before anything has loaded the modules.
        Configuration(
            "no tcp_diag, udp_diag, unix_diag",
            "mv /usr/lib/modules /usr/lib/moved",
            "mv /usr/lib/moved /usr/lib/modules",
        ),
        Configuration("as Debian has it"),
        Configuration("cgroup v1 alone", _V1),
        Configuration("cgroup v1 and v2", _BOTH),
        Configuration("`hidepid=invisible`", "mount -t proc -o hidepid=invisible proc /proc"),
        Configuration("`/proc/sys/net` is empty", "mount -t tmpfs tmpfs /proc/sys/net"),
        Configuration("`/proc/sys` is empty", "mount -t tmpfs tmpfs /proc/sys"),
        Configuration("no network namespaces", f"echo 0 >{_NETNS}", f"echo 9999 >{_NETNS}"),
        Configuration("no MPTCP", f"echo 0 >{_MPTCP}", f"echo 1 >{_MPTCP}"),
    ),
    "ipv6.disable=1": (Configuration("`ipv6.disable=1`"),),
}
# Machines where a policy confines the check: each has a page of its own.
CONFINING = {one.NAME: one for one in (selinux, apparmor)}
# The name of all of these on the command line of this script, and in the files of results.
OTHERWISE = "configured"


def main() -> int:
    """Boot every machine that is asked for."""
    names = [*(one.name for one in MACHINES), OTHERWISE, *CONFINING]
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", choices=[[], *names])
    options.add_argument("--tests", help="only some, as states,owners")
    options.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    asked = options.parse_args()
    kernels = {OTHERWISE: CONFIGURED, **dict.fromkeys(CONFINING, policies.KERNEL)}
    wanted = [machine(kernels.get(one, one)) for one in asked.names or names]
    if reason := machines.missing(wanted):
        raise SystemExit(reason)
    chosen = QUICK if asked.quick else tuple(filter(None, (asked.tests or "").split(",")))
    failed = False
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        boots = {
            name: [pool.submit(one) for one in started(name, chosen)]
            for name in asked.names or names
        }
        for name, ended in boots.items():
            runs = [run for one in ended for run in one.result()]
            failed = failed or any(run.failed for run in runs)
            for run in runs:
                print(f"{name}: {run.what}: {run.result} ({run.seconds:.0f} s)", flush=True)
            if name not in CONFINING and WRITES_DOCS:
                evidence.keep(name, machine(kernels.get(name, name)), runs, whole=not chosen)
                evidence.write_page(OTHERWISE)
    return int(failed)


def started(name: str, chosen: Sequence[str]) -> list[Callable[[], list[Run]]]:
    """Return a function for each boot that a name stands for, which may run beside others."""
    if name == OTHERWISE:
        return [functools.partial(configured, words) for words in CONFIGURATIONS]
    if name in CONFINING:
        return [lambda: [confined(CONFINING[name])]]
    return [lambda: [tests(machine(name), chosen)]]


def machine(name: str) -> Machine:
    """Return the machine of that name."""
    (found,) = (one for one in MACHINES if one.name == name)
    return found


def build(architecture: Architecture) -> Path:
    """Build the static command for a processor; return where it is."""
    name = f"target/{architecture.triple}/release/network-connections"
    with _BUILDING:
        subprocess.run(["make", "--silent", name], cwd=ROOT, check=True)
    return ROOT / name


def tests(machine: Machine, names: Sequence[str]) -> Run:
    """Run these tests of the command there, and its command line of the unit for Prometheus."""
    names = names or (TESTS if machine.architecture is AMD64 else FOREIGN)
    files = [file(name) for name in names]
    # Errors that strace injects are the same on every kernel, and take the most time.
    left_out = "not no_error"
    # They ask the wheel, which this machine has for its own processor only.
    left_out += "" if machine.architecture is AMD64 else " and not the_api"
    # Before any other has made sockets (_OF_THE_HOST in tests/conftest.py).
    files.sort(key=lambda name: name != file(OTHERWISE))
    script = [
        pytest_line("-n", "0", "-m", "not slow", "-k", left_out, *files),
        '"$NETWORK_CONNECTIONS_NATIVE" --strict --format=prometheus --name=kernel --timeout=100 ||'
        " echo 'the unit ended with '$?",
        UNKNOWN,
    ]
    booted, seconds = booted_with(machine, script)
    unit = 'network_connections_check_state{check="kernel"} ' in booted.output
    what = ", ".join(f"`{Path(name).stem}`" for name in files) + ", the unit's command line"
    result = said(booted.output) + unknown(booted.output)
    return Run(what, result, not unit or not fine(booted), seconds)


def file(name: str) -> str:
    """Return the file of tests of that name."""
    return f"tests/kernels/{name}.py" if name == OTHERWISE else f"tests/test_{name}.py"


def configured(words: str) -> list[Run]:
    """Ask for everything on a kernel that is configured otherwise, in each way of one boot."""
    chosen = CONFIGURATIONS[words]
    script = []
    for one in chosen:
        line = f"{{ {one.before}; }} && {{ {pytest_line(file(OTHERWISE))}; }}"
        script += [
            f"unshare --mount sh -c {shlex.quote(line)}",
            one.after,
            UNKNOWN,
            "echo next",
        ]
    booted, seconds = booted_with(machine(CONFIGURED), script, words)
    parts = booted.output.split("\nnext\n")
    runs = []
    for one, part in zip(chosen, [*parts, *[""] * len(chosen)]):
        failed = "pytest ended with 0" not in part.splitlines()
        runs.append(Run(one.shown, said(part) + unknown(part), failed, seconds / len(chosen)))
    return runs


def confined(policy: ModuleType) -> Run:
    """Ask for everything where a policy confines the check; write the page of that."""
    script = [*policy.script(pytest_line(policy.TESTS))]
    with tempfile.TemporaryDirectory(prefix="network-connections-") as name:
        debian = policy.base(Path(name))
        booted, seconds = booted_with(machine(policies.KERNEL), script, policy.WORDS, debian)
    failed = not fine(booted)
    if not failed and WRITES_DOCS:
        policy.write_page(booted.output)
    return Run(policy.WHAT, said(booted.output), failed, seconds)


def pytest_line(*words: str) -> str:
    """Return the command line that runs tests, and prints how they ended."""
    line = ["python3", "-m", "pytest", "-p", "no:cacheprovider", "--tb=short", "--color=no", *words]
    return f'{shlex.join(line)}; echo "pytest ended with $?"'


def booted_with(
    machine: Machine, script: Sequence[str], words: str = "", debian: Path | None = None
) -> tuple[machines.Boot, float]:
    """Boot a machine that runs this script in the project; return the seconds as well."""
    command = build(machine.architecture)
    began = time.monotonic()
    # The wheel has the same code, and Python starts slowly there.
    script = [
        f"export NETWORK_CONNECTIONS_NATIVE=/project/{command.relative_to(ROOT)}",
        "export NETWORK_CONNECTIONS_PATIENCE=300",
        *script,
    ]
    with tempfile.TemporaryDirectory(prefix="network-connections-") as name:
        project = Path(name, "project.cpio")
        machines.archive(tree(Path(name, "tree"), command, script), project)
        booted = machines.boot(machine, project, words, debian=debian)
    return booted, time.monotonic() - began


def fine(booted: machines.Boot) -> bool:
    """Whether a machine came to its end, and its tests passed."""
    codes = re.findall(r"^pytest ended with (\d+)$", booted.output, re.M)
    return {*codes} == {"0"} and "the end" in booted.output.splitlines()


def tree(root: Path, command: Path, script: Sequence[str]) -> Path:
    """Make the files that a machine has besides its Debian: this project, pytest, and a script."""
    project = root / "project"
    shutil.copytree(ROOT / "tests", project / "tests")
    shutil.copytree(ROOT / "docs", project / "docs")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, project)
    copied = project / command.relative_to(ROOT)
    copied.parent.mkdir(parents=True)
    shutil.copy(command, copied)
    packages = Path(pytest.__file__).parents[1]
    for pattern in PYTEST:
        for path in packages.glob(pattern):
            (root / PYTHON).mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, root / PYTHON / path.name)
            else:
                shutil.copy(path, root / PYTHON)
    package = root / PYTHON / harness.PACKAGE.name
    if AMD64.triple in command.parts:
        shutil.copytree(harness.PACKAGE, package)
    else:
        # The harness imports it; no test that is run there calls it.
        package.mkdir()
        (package / "__init__.py").touch()
    shutil.copy(Path(__file__).with_name("init.sh"), root / "init")
    (root / "init").chmod(0o755)
    (root / "script").write_text("\n".join([*script, ""]), encoding="utf-8")
    return root


def said(output: str) -> str:
    """Say how the tests have ended."""
    lines = re.findall(r"^(?:=+ )?(\d+ .*) in [\d.]+s\b", output, re.M)
    if not lines:
        return "no end"
    numbers = collections.Counter[str]()
    for number, ended in re.findall(r"(\d+) (\w+)", " ".join(lines)):
        numbers[ended] += int(number)
    del numbers["deselected"]
    counts = [f"{number} {ended}" for ended, number in numbers.items()]
    reasons = dict.fromkeys(re.findall(r"^SKIPPED \[\d+\] \S+: (.+)", output, re.M))
    return ", ".join(counts) + (f" ({'; '.join(reasons)})" if reasons else "")


def unknown(output: str) -> str:
    """Say to whom `configured` could not answer, and why."""
    found = re.findall(r"^unknown: (\w+): (\S+): (.*)", output, re.M)
    return "".join(f"; `{asked}` by {user}: {why}" for user, asked, why in found)


if __name__ == "__main__":
    sys.exit(main())
