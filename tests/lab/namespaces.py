"""A pair of network namespaces joined by a veth, and ways to work inside one."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .tools import lacking

NOBODY = 65534

_CLONE_NEWNET = 0x40000000
_RUN = Path("/var/run/netns")
_numbers = itertools.count()


@dataclass(frozen=True)
class Pair:
    """Two namespaces; `a` reaches `b` at `b4` and `b6`, and the other way round."""

    a: str
    b: str
    a4: str = "192.0.2.1"
    b4: str = "192.0.2.2"
    a6: str = "2001:db8::1"
    b6: str = "2001:db8::2"


@functools.cache
def missing(*probe: str) -> str:
    """Why no namespace can be set up here, or `probe` not be run in one; empty if both can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces need Linux"
    if os.geteuid() != 0:
        return "network namespaces need root"
    if reason := lacking("ip", "ss", "setpriv", *probe[:1]):
        return reason
    # Root in a container may lack the rights; only a try tells.
    name = _name("probe")
    try:
        _ip("netns", "add", name)
        try:
            run(name, probe or ["true"])
        finally:
            _ip("netns", "del", name)
    except subprocess.CalledProcessError as error:
        return f"{' '.join(error.cmd)}: {error.stderr.strip()}"
    return ""


@contextlib.contextmanager
def pair() -> Iterator[Pair]:
    """Two joined namespaces, with their processes gone and themselves deleted afterwards."""
    number = next(_numbers)
    made = Pair(a=_name(f"{number}a"), b=_name(f"{number}b"))
    with contextlib.ExitStack() as cleanup:
        for name in (made.a, made.b):
            _ip("netns", "add", name)
            cleanup.callback(_delete, name)
            # A host that switches IPv6 off hands that on to new namespaces.
            for interface in ("all", "default", "lo"):
                sysctl(name, f"net/ipv6/conf/{interface}/disable_ipv6", 0)
        # Born in their namespaces, so that the host's network never sees them.
        link = ["type", "veth", "peer", "name", "lab", "netns", made.b]
        _ip("link", "add", "lab", "netns", made.a, *link)
        for name, v4, v6 in ((made.a, made.a4, made.a6), (made.b, made.b4, made.b6)):
            steps = (
                f"addr add {v4}/24 dev lab",
                f"addr add {v6}/64 dev lab nodad",
                "link set lo up",
                "link set lab up",
            )
            run(None, ["ip", "-n", name, "-batch", "-"], stdin="\n".join(steps))
        yield made


@contextlib.contextmanager
def inside(ns: str | None) -> Iterator[None]:
    """Move the calling thread into `ns` and back; None stays.

    Sockets stay in the namespace where they were made, whatever their thread does later.
    """
    if ns is None:
        yield
        return
    # The thread's own: /proc/self would be the process's first thread.
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(_RUN / ns, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)


def command(ns: str | None, argv: Sequence[str], user: str | None = None) -> list[str]:
    """Return the command line that runs `argv` inside `ns`, as root or as "nobody"."""
    if user not in (None, "root", "nobody"):
        raise ValueError(f"user must be None, 'root' or 'nobody', not {user!r}")
    enter = [] if ns is None else ["ip", "netns", "exec", ns]
    if user == "nobody":
        enter += ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return [*enter, *argv]


def run(
    ns: str | None,
    argv: Sequence[str],
    *,
    user: str | None = None,
    stdin: str = "",
    check: bool = True,
    timeout: float = 60,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `argv` inside `ns` to its end; its output comes back as text."""
    return subprocess.run(
        command(ns, argv, user),
        input=stdin,
        capture_output=True,
        text=True,
        check=check,
        timeout=timeout,
        env=env,
        cwd=cwd,
    )


def sysctl(ns: str, name: str, value: int) -> None:
    """Set `name` (with slashes, such as net/ipv4/tcp_retries2) inside `ns`."""
    with inside(ns):
        Path("/proc/sys", name).write_text(str(value), encoding="ascii")


def _name(suffix: str) -> str:
    return f"lab-{os.getpid()}-{suffix}"


def _ip(*args: str) -> None:
    run(None, ["ip", *args])


def _delete(name: str) -> None:
    # A process left inside would keep the namespace alive without its name.
    for pid in map(int, run(None, ["ip", "netns", "pids", name], check=False).stdout.split()):
        if pid != os.getpid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    _ip("netns", "del", name)


def _setns(fd: int) -> None:
    if sys.version_info >= (3, 12):
        os.setns(fd, _CLONE_NEWNET)
    elif ctypes.CDLL(None, use_errno=True).setns(fd, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"setns: {os.strerror(code)}")
