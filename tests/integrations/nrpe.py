"""NRPE as Debian sets it up, with commands of the check."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import namespaces
from lab.namespaces import Pair

from integrations import daemons
from integrations.daemons import INTEGRATIONS, PLUGINS, owned, private, running, wait_for

DAEMON = "/usr/sbin/nrpe"
CLIENT = f"{PLUGINS}/check_nrpe"
CONFIGURATION = INTEGRATIONS / "nrpe" / "network-connections.cfg"
PROGRAMS = (DAEMON, CLIENT)
PORT = 5666


@dataclass(frozen=True)
class Answer:
    """What a monitoring server gets from a check."""

    output: bytes
    code: int


@dataclass(frozen=True)
class Nrpe:
    """An NRPE daemon on the host `b`, asked from `a`."""

    hosts: Pair

    def ask(self, command: str, *options: str) -> Answer:
        """Have a command executed."""
        line = [CLIENT, "-H", self.hosts.b4, "-t", "30:UNKNOWN", *options, "-c", command]
        done = subprocess.run(
            namespaces.command(self.hosts.a, line), capture_output=True, check=False, timeout=60
        )
        assert done.stderr == b""
        return Answer(done.stdout, done.returncode)


def commands(text: str) -> dict[str, str]:
    """Return the command lines of a configuration by their names."""
    return dict(re.findall(r"^command\[(\w+)\]=(.*)$", text, re.MULTILINE))


@contextlib.contextmanager
def serving(hosts: Pair, plugins: Path, files: Mapping[str, str]) -> Iterator[Nrpe]:
    """Run NRPE on the host `b`, with Debian's configuration and these `files` in nrpe.d."""
    with daemons.directory() as path:
        etc = path / "etc"
        (etc / "nrpe.d").mkdir(parents=True)
        main = Path("/etc/nagios/nrpe.cfg").read_text(encoding="utf-8")
        main, changed = re.subn("(?m)^allowed_hosts=.*", f"allowed_hosts={hosts.a4}", main)
        assert changed == 1
        for name, text in {"nrpe.cfg": main, "nrpe_local.cfg": "", **files}.items():
            (etc / name).write_text(text, encoding="utf-8")
        shown = {
            etc: Path("/etc/nagios"),
            owned(path / "run"): Path("/run/nagios"),
            plugins: PLUGINS,
        }
        line = private([DAEMON, "-c", "/etc/nagios/nrpe.cfg", "-f"], shown)
        log = path / "output"
        with running(hosts.b, line, log) as daemon:
            ask = daemons.connectable(hosts.b, PORT)
            wait_for(ask, "nrpe", daemon=daemon, log=log)
            yield Nrpe(hosts)
