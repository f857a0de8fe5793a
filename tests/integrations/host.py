"""A host with processes, mounts, network and cgroups of its own, for what would change the machine.

Whatever runs there ends with it, and what it mounts and writes below /run and /var/lib is gone.
"""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import harness
from lab import namespaces, oracles, owners
from lab.names import TYPES
from lab.owners import ACTOR, TESTS, Actor, acting, after

from integrations import daemons

# Cgroups as Debian has them by default, whatever the machine has. The shell reaps what others
# leave behind; that it goes on until its input ends is all that keeps the host.
_FIRST = """
umount --recursive --lazy /sys/fs/cgroup
# Below the new /run, the mounted network namespaces of the machine would be covered.
! mountpoint --quiet /run/netns || umount --recursive --lazy /run/netns
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for place in /run /var/lib; do mount -t tmpfs -o mode=755 tmpfs "$place"; done
mkdir /run/lock /run/netns
ip link set lo up
echo ready
cat
exit
"""
_NAMESPACES = ("--cgroup", "--ipc", "--mount", "--net", "--uts")


@functools.cache
def missing() -> str:
    """Why no such host can be made here; empty if it can."""
    if reason := namespaces.missing() or owners.missing():
        return reason
    try:
        with apart():
            return ""
    except (OSError, RuntimeError) as error:
        return f"no host of its own can be made: {error}"


@dataclass(frozen=True)
class Host:
    """A host that `keeper` keeps; `cgroup` is the root of its cgroups.

    Everybody may read its `tools`: the check in both its ways, and the lab. Its guests have them
    too, elsewhere.
    """

    keeper: int
    cgroup: Path
    tools: Path

    @property
    def check(self) -> str:
        """The native command."""
        return str(self.tools / harness.NATIVE.name)

    def line(self, argv: Sequence[str], *, user: str | None = None, cgroup: str = "") -> list[str]:
        """Return the command line that runs `argv` there, as root or as "nobody"."""
        inside = self.cgroup / cgroup
        inside.mkdir(parents=True, exist_ok=True)
        return [
            # From outside it would be in no cgroup that the host knows.
            *after(f"echo $$ >'{inside}/cgroup.procs'"),
            *("nsenter", f"--target={self.keeper}", *_NAMESPACES),
            f"--pid=/proc/{self.keeper}/ns/pid_for_children",
            *namespaces.command(None, argv, user),
        ]

    def run(
        self, argv: Sequence[str], *, user: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` there to its end."""
        return subprocess.run(
            self.line(argv, user=user),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=check,
            timeout=harness.PATIENCE,
        )

    @contextlib.contextmanager
    def actor(self, name: str, *before: str) -> Iterator[Actor]:
        """Start a process of that name there, which does what it is told."""
        python = daemons.everybodys_python() or sys.executable
        line = [*before, "env", f"--chdir={self.tools}", python, *ACTOR]
        with acting(self.line(line)) as made:
            made.do("rename", name)
            yield made

    def processes(self, cgroup: str) -> list[int]:
        """Return the ids, as the machine knows them, of the processes of a cgroup."""
        procs = self.cgroup / cgroup / "cgroup.procs"
        return [int(pid) for pid in procs.read_text("ascii").split()] if procs.exists() else []

    def sockets(self, pid: int = 1) -> dict[str, int]:
        """Count what ss shows in the network of a process, by the id that it has there."""
        enter = ["nsenter", f"--net=/proc/{pid}/ns/net"]
        return oracles.counts(
            row
            for kind in TYPES
            for row in oracles.parse_ss(kind, self.run([*enter, *oracles.ss(kind)]).stdout)
        )


def number(pid: int, further: int = 1) -> int:
    """Return the id that a process has, on the host or so many namespaces further in."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("NSpid:"))
    return int(line.split()[1 + further])


def groups(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Return the groups of a JSON report."""
    assert (done.stderr, done.returncode) == ("", 0), done
    return {group["label"]: group["count"] for group in json.loads(done.stdout)["groups"]}


def settle(on: Host, pid: int, counts: dict[str, int]) -> None:
    """Wait until ss shows so many sockets: an acknowledgement comes in its own time."""
    daemons.wait_for(lambda: on.sockets(pid) == counts or None, f"{counts}")


@contextlib.contextmanager
def apart() -> Iterator[Host]:
    """Make a host, and end it with all that runs there."""
    with daemons.directory() as path, owners.cgroups() as cgroup:
        shutil.copy(harness.NATIVE, path)
        for package in (harness.PACKAGE, TESTS / "lab"):
            shutil.copytree(package, path / package.name)
        harness.readable(path)
        unshare = ["unshare", "--fork", "--kill-child", "--pid", "--mount-proc", *_NAMESPACES]
        process = subprocess.Popen(
            [
                *after(f"echo $$ >'{cgroup}/cgroup.procs'"),
                *unshare,
                *("sh", "-ec", _FIRST, f"{daemons.PREFIX}host"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                _, error = process.communicate()
                raise RuntimeError(error.strip())
            yield Host(process.pid, cgroup, path)
        finally:
            # The first process goes with its input or with its parent, and the others with it.
            process.kill()
            process.communicate()
