"""Real daemons, each in a network namespace and with directories of its own."""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import harness
import pytest
from lab import namespaces
from lab.tools import lacking

INTEGRATIONS = harness.ROOT / "integrations"
PREFIX = "network-connections-integrations-"
PLUGINS = Path("/usr/lib/nagios/plugins")
CHECK = "check_network_connections"
# Debian's user of all three programs.
USER = "nagios"

T = TypeVar("T")


def require(*programs: str) -> None:
    """Skip where one of the programs, or the lab that they run in, is missing."""
    if reason := lacking(*programs) or namespaces.missing():
        pytest.skip(reason)


def version_of(package: str) -> str:
    """Return the version of an installed Debian package, empty if there is none."""
    if shutil.which("dpkg-query") is None:
        return ""
    line = ["dpkg-query", "-W", "-f", "${Version}", package]
    return subprocess.run(line, capture_output=True, text=True, check=False).stdout


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """Return a directory that every user may enter and that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def owned(path: Path) -> Path:
    """Make `path` a directory that belongs, with all that is in it, to the daemons' user."""
    path.mkdir(parents=True, exist_ok=True)
    account = pwd.getpwnam(USER)
    for entry in (path, *path.rglob("*")):
        os.chown(entry, account.pw_uid, account.pw_gid)
    return path


@functools.cache
def everybodys_python() -> str:
    """Return an interpreter that every user may run; empty if there is none.

    By way of another program: `setpriv` still has root's rights when it starts what it is given.
    """
    for interpreter in harness.interpreters():
        probe = [*harness.NOBODY, "env", interpreter, "-I", "-c", "import unittest"]
        if subprocess.run(probe, capture_output=True, check=False, cwd="/").returncode == 0:
            return interpreter
    return ""


def native_plugins(path: Path) -> Path:
    """Make a plugin directory with the native command in it."""
    path.mkdir(parents=True)
    shutil.copy(harness.NATIVE, path / CHECK)
    (path / CHECK).chmod(0o755)
    return path


def wheel_plugins(path: Path) -> Path:
    """Make a plugin directory with a link to the command of a virtual environment."""
    python = everybodys_python()
    if not python:
        pytest.skip("no interpreter that every user may run")
    environment = path.with_name(f"{path.name}-environment")
    subprocess.run([python, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python3*/site-packages")
    shutil.copytree(harness.PACKAGE, packages / harness.PACKAGE.name)
    # What pip makes of an entry point.
    script = environment / "bin" / CHECK
    script.write_text(
        f"#!{environment}/bin/python\n"
        "import sys\n"
        "from network_connections.plugin import main\n"
        "sys.exit(main())\n",
        encoding="utf-8",
    )
    harness.readable(packages)
    script.chmod(0o755)
    path.mkdir(parents=True)
    (path / CHECK).symlink_to(script)
    return path


# $1 says how many pairs of directories follow: what to show, and where.
_MOUNT = """
set -e
pairs=$1; shift
mount -t tmpfs tmpfs /run
while [ "$pairs" -gt 0 ]; do
    mkdir -p "$2"
    mount --bind "$1" "$2"
    shift 2
    pairs=$((pairs - 1))
done
exec "$@"
"""


def private(argv: Sequence[str], shown: Mapping[Path, Path]) -> list[str]:
    """Return the command line that runs `argv` with the directories `shown` in other places."""
    pairs = [str(path) for pair in shown.items() for path in pair]
    return ["unshare", "--mount", "sh", "-c", _MOUNT, "sh", str(len(shown)), *pairs, *argv]


def within(ns: str, argv: Sequence[str], user: str | None = None) -> list[str]:
    """Return the command line that runs `argv` inside `ns`.

    Unlike `ip netns exec` this keeps what is mounted below /sys, where systemd units are found.
    """
    enter = ["nsenter", f"--net=/var/run/netns/{ns}"]
    if user is not None:
        enter += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
    return [*enter, *argv]


@contextlib.contextmanager
def running(ns: str, argv: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon in the foreground inside `ns`, its output in `log`, and stop it afterwards."""
    with log.open("wb") as output:
        daemon = subprocess.Popen(
            within(ns, argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
        )
    try:
        yield daemon
    finally:
        daemon.terminate()
        try:
            daemon.wait(10)
        finally:
            # Whatever it has left behind; the rest goes with the namespace.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()


def wait_for(
    ask: Callable[[], T | None],
    what: str,
    *,
    daemon: subprocess.Popen[bytes] | None = None,
    log: Path | None = None,
    seconds: float = harness.PATIENCE,
) -> T:
    """Return what `ask` answers as soon as it is more than None."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = ask()
        if answer is not None:
            return answer
        if daemon is not None and daemon.poll() is not None:
            what += f": it has ended with {daemon.returncode}"
            break
        time.sleep(0.05)
    tail = "" if log is None else log.read_text(encoding="utf-8", errors="replace")[-4000:]
    raise AssertionError(f"waited for {what}\n{tail}")


def connectable(ns: str, port: int) -> Callable[[], bool | None]:
    """Return what asks whether somebody listens on a port of `ns`, without connecting to it."""

    def ask() -> bool | None:
        listing = namespaces.run(ns, ["ss", "-Hltn", f"sport = :{port}"]).stdout
        return True if listing else None

    return ask
