"""Machines with a systemd that was really booted, in a Debian that is made once."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import harness
from lab.owners import ACTOR, Actor, acting, after
from lab.tools import lacking

from integrations import host
from integrations.daemons import directory, wait_for
from integrations.host import Host

PACKAGES = ("dbus", "iproute2", "python3", "systemd", "systemd-sysv")
PYTHON = "/usr/bin/python3"
# The releases that this host has no sources of.
MIRROR = "http://deb.debian.org/debian"
# Where a machine or a container has the tools of its host, and how the check is run there.
INSIDE = "/opt/tools"
COMMANDS = {
    "native": [f"{INSIDE}/{harness.NATIVE.name}"],
    "wheel": ["env", f"PYTHONPATH={INSIDE}", PYTHON, "-m", harness.PACKAGE.name],
}


def missing(packages: tuple[str, ...] = PACKAGES, suite: str = "") -> str:
    """Why no machine with these packages can be booted here; empty if one can."""
    return lacking("mmdebstrap", "systemd-nspawn") or host.missing() or _no_root(packages, suite)


@functools.cache
def _release() -> dict[str, str]:
    lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    return {name: text.strip('"') for name, _, text in (line.partition("=") for line in lines)}


def _no_root(packages: tuple[str, ...], suite: str) -> str:
    # Of another release it might lack the C library that the native command was built for.
    if _release().get("ID") != "debian" or not _sources():
        return "apt has no sources of a Debian that runs here"
    try:
        root(packages, suite=suite)
    except subprocess.CalledProcessError as error:
        return f"mmdebstrap: {error.stderr.strip()}"
    return ""


def _sources() -> list[Path]:
    """Return what apt gets this release from: a mirror that can be reached."""
    etc = Path("/etc/apt")
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    name = _release()["VERSION_CODENAME"]
    return [
        path
        for path in files
        if path.suffix in (".list", ".sources") and path.exists() and name in path.read_text()
    ]


@functools.cache
def root(packages: tuple[str, ...] = PACKAGES, architecture: str = "", suite: str = "") -> Path:
    """Return the root directory of a Debian such as runs here, with `packages`: never write to it.

    It is made once, in the user's cache. `architecture` is another one, as dpkg calls it; `suite`
    is another release, where the native command may lack its C library.
    """
    release = suite or _release()["VERSION_CODENAME"]
    sources = [MIRROR] if suite else map(str, _sources())
    key = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "network-connections")
    path = cache / "machines" / f"{release}-{architecture or os.uname().machine}-{key}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as name:
            made = Path(name, "root")
            line = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}"]
            line += [f"--architectures={architecture}"] if architecture else []
            line += [release, str(made), *sources]
            subprocess.run(line, capture_output=True, text=True, check=True)
            # Somebody else may have been faster.
            with contextlib.suppress(OSError):
                made.rename(path)
    return path


def version(package: str, packages: tuple[str, ...] = PACKAGES, suite: str = "") -> str:
    """Return the version of a package of that Debian, empty if there is none."""
    if missing(packages, suite):
        return ""
    database = f"--admindir={root(packages, suite=suite)}/var/lib/dpkg"
    line = ["dpkg-query", database, "-W", "-f", "${Version}", package]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True)
class Machine:
    """A machine that a host runs under a `name`; the host knows its systemd as `pid`."""

    host: Host
    name: str
    systemd: int

    @property
    def pid(self) -> int:
        """The id of its systemd on the host."""
        return host.number(self.systemd)

    def line(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs `argv` in the machine, apart from its units."""
        return ["nsenter", f"--target={self.systemd}", "--all", *argv]

    def run(
        self, argv: Sequence[str], *settings: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` as a unit with these settings to its end."""
        return subprocess.run(
            self.unit(argv, *settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=check,
            timeout=harness.PATIENCE,
        )

    def do(
        self,
        script: str,
        text: str = "",
        *,
        check: bool = True,
        seconds: float = harness.PATIENCE,
    ) -> str:
        """Run a script of the shell, apart from units, with `text` to read: what it prints."""
        line = self.line(["sh", "-c" if not check else "-ec", script])
        done = subprocess.run(
            line, input=text, capture_output=True, text=True, check=False, timeout=seconds
        )
        assert done.returncode == 0 or not check, (script, done)
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """Write a file, and the directory that it is in."""
        self.do(f"mkdir -p '{Path(path).parent}'; cat > '{path}'", text)

    def unit(self, argv: Sequence[str], *settings: str, name: str = "") -> list[str]:
        """Return the command line that runs `argv` as a unit with these settings."""
        options = [f"--property={setting}" for setting in settings]
        if name:
            options.append(f"--unit={name}")
        start = ["systemd-run", "--collect", "--pipe", "--quiet", "--wait", *options]
        return self.line([*start, *argv])

    @contextlib.contextmanager
    def actor(self, name: str, *settings: str) -> Iterator[Actor]:
        """Start a service of that name, which does what it is told."""
        settings = (*settings, f"WorkingDirectory={INSIDE}")
        with acting(self.unit([PYTHON, *ACTOR], *settings, name=name)) as made:
            made.do("rename", name.partition(".")[0])
            yield made

    def process(self, unit: str, further: int = 1) -> int:
        """Return the id of the only process of a unit, on the host or further in."""
        (pid,) = self.host.processes(f"{_cgroup(self.name)}/payload/system.slice/{unit}")
        return host.number(pid, further)


def _cgroup(name: str) -> str:
    return f"machine.slice/systemd-nspawn@{name}.service"


@contextlib.contextmanager
def booted(
    on: Host,
    name: str = "bed",
    packages: tuple[str, ...] = PACKAGES,
    seconds: float = harness.PATIENCE,
    suite: str = "",
) -> Iterator[Machine]:
    """Boot a machine on a host; what is written in it never reaches the disk."""
    # In a place of its own: systemd-nspawn lets nobody else boot from the one that it is given.
    place = f"/run/machines/{name}"
    made = root(packages, suite=suite)
    line = [
        *after(f"mkdir -p {place}; mount --bind -o ro {made} {place}"),
        *("systemd-nspawn", "--quiet", "--boot", "--console=pipe", "--volatile=overlay"),
        # As systemd-nspawn@.service has it: nobody here keeps a register.
        *("--keep-unit", "--register=no", "--link-journal=no", "--private-network"),
        *(f"--directory={place}", f"--bind-ro={on.tools}:{INSIDE}", f"--machine={name}"),
    ]
    with directory() as path, (path / "console").open("wb") as console:
        process = subprocess.Popen(
            on.line(line, cgroup=_cgroup(name)),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
        )
        try:
            log = path / "console"

            def first() -> int | None:
                # Others of its making come and go there.
                for pid in on.processes(f"{_cgroup(name)}/payload/init.scope"):
                    with contextlib.suppress(OSError):
                        if host.number(pid, 2) == 1:
                            return pid
                return None

            machine = Machine(on, name, wait_for(first, "systemd", daemon=process, log=log))

            def up() -> bool | None:
                asked = machine.line(["systemctl", "is-system-running"])
                done = subprocess.run(asked, capture_output=True, text=True, check=False)
                # What the machine's kernel does not let some service do is nothing to us.
                return True if done.stdout in ("running\n", "degraded\n") else None

            wait_for(up, "the boot", daemon=process, log=log, seconds=seconds)
            yield machine
        finally:
            # The others end with these.
            for part in ("payload/init.scope", "supervisor", ""):
                for pid in on.processes(f"{_cgroup(name)}/{part}"):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            process.wait(harness.PATIENCE)
