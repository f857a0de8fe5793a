"""Containers of podman, on a host of their own and with a configuration of their own."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.owners import ACTOR, Actor, acting
from lab.tools import lacking

from integrations import host, machines
from integrations.daemons import directory
from integrations.host import Host

# Nothing of the machine's is read or written: /run and /var/lib are the host's own. The host has
# cgroups without controllers.
_CONFIGURATION = """
[containers]
pids_limit = 0
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
[network]
network_backend = "cni"
network_config_dir = "/run/cni/net.d"
"""
_STORAGE = """
[storage]
driver = "overlay"
graphroot = "/run/containers/graph"
runroot = "/run/containers/run"
"""


def missing() -> str:
    """Why no container can be run here; empty if one can."""
    needed = ("conmon", "iptables", "podman", "runc", "/usr/lib/cni/bridge")
    return lacking(*needed) or host.missing() or machines.missing()


@dataclass(frozen=True)
class Container:
    """A container that a host runs, and the actor in it."""

    podman: Podman
    id: str
    actor: Actor

    @property
    def label(self) -> str:
        """What it is called."""
        return f"podman:{self.id[:12]}"

    @property
    def outer(self) -> int:
        """The id of its process, as the tests know it."""
        (pid,) = self.podman.host.processes(f"libpod_parent/libpod-{self.id}")
        return pid

    @property
    def pid(self) -> int:
        """The id of its process on the host."""
        return host.number(self.outer)

    def run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run `argv` in it to its end."""
        return self.podman.run("exec", self.id, *argv)


@dataclass(frozen=True)
class Podman:
    """Podman on a host."""

    host: Host
    etc: Path

    def line(self, *argv: str) -> list[str]:
        """Return the command line of podman with these arguments."""
        files = {"CONTAINERS_CONF": "containers.conf", "CONTAINERS_STORAGE_CONF": "storage.conf"}
        names = [f"{name}={self.etc / file}" for name, file in files.items()]
        # Where cgroups have no controllers it warns at every start.
        return ["env", *names, "podman", "--log-level=error", *argv]

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run podman with these arguments to its end."""
        return self.host.run(self.line(*argv))

    @contextlib.contextmanager
    def container(self, name: str, *options: str) -> Iterator[Container]:
        """Run a container whose only process does what it is told."""
        line = self.line(
            *("run", "--interactive", "--rm", f"--name={name}", "--ulimit=host", *options),
            f"--volume={self.host.tools}:{machines.INSIDE}:ro",
            f"--workdir={machines.INSIDE}",
            *("--rootfs", f"{machines.root()}:O", machines.PYTHON, *ACTOR),
        )
        with acting(self.host.line(line)) as actor:
            actor.do("rename", name)
            (made,) = self.run(
                "ps", "--no-trunc", "--quiet", f"--filter=name={name}"
            ).stdout.split()
            assert re.fullmatch("[0-9a-f]{64}", made)
            yield Container(self, made, actor)


@contextlib.contextmanager
def podman(on: Host) -> Iterator[Podman]:
    """Set up podman on a host."""
    with directory() as path:
        (path / "containers.conf").write_text(_CONFIGURATION, encoding="ascii")
        (path / "storage.conf").write_text(_STORAGE, encoding="ascii")
        yield Podman(on, path)
