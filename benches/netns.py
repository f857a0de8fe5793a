"""Many network namespaces with few sockets each, and the rounds of commands that look into them.

Run by `unshare`, as the first process of a PID namespace that has a mount and a network namespace
of its own: only what is made here is there to be seen, and with this process all of it is gone,
however it ends. Prints what was measured, as JSON.

Every namespace has a name and one process, which holds its sockets: TCP and UDP, IPv4 and IPv6 in
turn.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import machine
import measure
from commands import COMMANDS
from measure import NAMESPACES, NETNS, Command, Results, Runner, Scenario

ROUNDS = (15, 5)
"""Of the quick commands, and of the slow ones."""

_NAMED = Path("/run/netns")
_TABLES = ("tcp", "tcp6", "udp", "udp6")
_PORT = 10_000
_CLONE_NEWNET = 0x40000000

Show = Callable[[int, Command], None]


def measured(scenario: Scenario) -> measure.Measured:
    """Measure in a process that has nothing else to see."""
    alone = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc"]
    argv = ["setpriv", "--pdeathsig=KILL", *alone, sys.executable, __file__, str(scenario.number)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True)
    return Results.from_json(done.stdout).measured[0]


class Namespaces(contextlib.AbstractContextManager["Namespaces"]):
    """Namespaces with `number` sockets each, until the block ends."""

    def __init__(self, number: int) -> None:
        """Only remember what to make."""
        self.kind = NETNS
        self.number = number
        self._processes: list[int] = []

    def __enter__(self) -> Namespaces:
        """Make them, and whatever else is mounted be gone."""
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
            if " - nsfs " in line:
                subprocess.run(["umount", line.split()[4]], check=True)
        _NAMED.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(_NAMED)], check=True)
        for namespace in range(NAMESPACES):
            name = f"bench{namespace}"
            subprocess.run(["ip", "netns", "add", name], check=True)
            self._processes.append(_hold(_NAMED / name, self.number))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the processes; the namespaces end with the mounts."""
        for pid in self._processes:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def refresh(self) -> None:
        """Nothing goes away by itself."""

    def tables(self) -> str:
        """Every table of sockets, as a shell's words."""
        return " ".join(f"/proc/{pid}/net/{name}" for pid in self._processes for name in _TABLES)


def _hold(namespace: Path, number: int) -> int:
    """Start a process that holds so many sockets in a namespace; return once it does."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with namespace.open(encoding="ascii") as file:
                if ctypes.CDLL(None).setns(file.fileno(), _CLONE_NEWNET) != 0:
                    os._exit(1)
            for made in range(number):
                _socket(made)
            os.write(writer, b"\n")
            signal.pause()
        finally:
            os._exit(1)
    os.close(writer)
    ready = os.read(reader, 1)
    os.close(reader)
    if not ready:
        raise RuntimeError(f"no sockets in {namespace}")
    return pid


def _socket(number: int) -> None:
    ipv6, udp = number & 1, number & 2
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
    made.bind(("::" if ipv6 else "0.0.0.0", _PORT + number))  # noqa: S104  (there is no way in)
    if not udp:
        made.listen()
    made.detach()


def main() -> None:
    """Measure at so many sockets in each namespace."""
    scenario = Scenario(NETNS, int(sys.argv[1]))
    commands = [command for command in COMMANDS if command.runs_at(scenario)]

    def show(number: int, command: Command) -> None:
        if number == 0:
            print(f"{scenario}: {command.name}", file=sys.stderr)

    with Namespaces(scenario.number) as made, tempfile.TemporaryDirectory() as directory:
        # The others may not be allowed to come by where it was built.
        Path(directory).chmod(0o755)
        everybodys = shutil.copy(machine.PLACES["native"], directory)
        places = {**machine.PLACES, "tables": made.tables(), "everybodys": everybodys}
        found = measure.rounds(Runner(places), commands, made, ROUNDS, show)
    print(Results({}, measured=[found]).to_json())


if __name__ == "__main__":
    main()
