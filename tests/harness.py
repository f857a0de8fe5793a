"""What the tests share: the four commands, other users, and a kernel that refuses or is silent."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import platform
import pty
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import network_connections
from lab import tools
from lab.tools import lacking

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(network_connections.__file__).parent
# Another build of the native command, and what it takes to run it here: tests/platforms/run.py.
FOREIGN = os.environ.get("NETWORK_CONNECTIONS_NATIVE", "")
NATIVE = Path(FOREIGN or ROOT / "target" / "release" / "network-connections")
RUNNER = tuple(os.environ.get("NETWORK_CONNECTIONS_RUNNER", "").split())
WINDOWS = NATIVE.suffix == ".exe"
# It has a libc of its own, which reads /etc/passwd and asks nscd, but no nsswitch.conf.
STATIC = "-linux-musl" in FOREIGN
GOLDEN = ROOT / "tests" / "data" / "golden.jsonl"

SCRIPTS = ("network-connections", "check_network_connections")
MODULE = "python -m network_connections"
PYTHON_WAYS = (*SCRIPTS, MODULE)
WAYS = (*PYTHON_WAYS, "native")

PATIENCE = tools.PATIENCE


@dataclass(frozen=True)
class Done:
    """A run that has ended."""

    stdout: str
    stderr: str
    returncode: int


@dataclass(frozen=True)
class Command:
    """The check, installed in a directory of its own, with `unit-test` beside what runs."""

    way: str
    argv: tuple[str, ...]
    beside: Path
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def unit_test(self) -> Path:
        """Where `--test` may read from."""
        return self.beside / "unit-test"

    def line(self, *args: str | bytes) -> list[str | bytes]:
        """Return the whole command line."""
        return [*self.argv, *args]

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment to run it in, with `env` on top and Python as by default."""
        ours = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
        return {**ours, **self.env, **(env or {})}

    def run(
        self,
        *args: str | bytes,
        before: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        argv0: str | None = None,
    ) -> Done:
        """Run it to its end, `before` in front of its command line."""
        line = self.line(*args)
        for _ in range(3):
            done = subprocess.run(
                [*before, *line] if argv0 is None else [argv0, *line[1:]],
                executable=None if argv0 is None else line[0],
                capture_output=True,
                stdin=subprocess.DEVNULL,
                env=self.environment(env),
                cwd=cwd or self.beside,
                timeout=PATIENCE,
                check=False,
            )
            # Now and then Wine fails to start a program, without a word; ours always says one.
            if not WINDOWS or (done.stdout, done.stderr, done.returncode) != (b"", b"", 1):
                break
        return Done(done.stdout.decode(), done.stderr.decode(), done.returncode)

    def fixture(self, content: str | bytes, name: str = "fixture.json") -> str:
        """Put a fixture into `unit-test`, and return the option that reads it."""
        path = self.unit_test / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return f"--test={name},,0"


def install(way: str, directory: Path) -> Command:
    """Copy what runs in this way into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    if way == MODULE:
        package = directory / PACKAGE.name
        shutil.copytree(PACKAGE, package)
        line = (sys.executable, "-m", PACKAGE.name)
        command = Command(way, line, package, {"PYTHONPATH": str(directory)})
    else:
        source = NATIVE if way == "native" else Path(sys.executable).parent / way
        copy = directory / source.name
        shutil.copy(source, copy)
        runner = RUNNER if way == "native" else ()
        command = Command(way, (*runner, str(copy)), directory)
    command.unit_test.mkdir()
    return command


def kernel() -> tuple[int, int]:
    """Return the version of the kernel that runs here, the first two numbers of it."""
    first, second = platform.release().split(".")[:2]
    return int(first), int(re.split(r"\D", second)[0])


def sources(command: Command) -> tuple[str, ...]:
    """Return the sources of the system that a command is built for, the better one first."""
    there = command.way == "native" and WINDOWS
    return ("netstat2",) if there else ("netlink", "procfs")


def one_line(done: Done) -> str:
    """Return the line of a run that could not count: UNKNOWN, and nothing on standard error.

    Errors of the system are in this system's words.
    """
    assert (done.returncode, done.stderr) == (3, ""), done
    assert re.fullmatch(r"[^\n]+\n", done.stdout), done
    return reworded(done.stdout[:-1]) if STATIC else done.stdout[:-1]


def says(name: str) -> str:
    """Return what the command says of an error number, such as ENOENT."""
    return _error(getattr(errno, name))


def _error(code: int) -> str:
    return f"{os.strerror(code)} (os error {code})"


def reworded(message: str) -> str:
    """Return a message with this system's words for errors: musl has words of its own."""
    return re.sub(r"[\w /]+ \(os error (\d+)\)", lambda found: f" {_error(int(found[1]))}", message)


# Counts the steps of another thread while `WORK` goes on.
MEANWHILE = """
import sys, threading
import network_connections
steps = 0
stop = threading.Event()
def work():
    global steps
    while not stop.wait(0.01):
        steps += 1
thread = threading.Thread(target=work)
thread.start()
before = steps
WORK
stop.set()
thread.join()
"""


def python(script: str, *args: str, before: Sequence[str] = ()) -> Done:
    """Run a script by this interpreter, `before` in front of its command line."""
    done = subprocess.run(
        [*before, sys.executable, "-I", "-c", script, *args],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Done(done.stdout, done.stderr, done.returncode)


def is_fine(metrics: str) -> bool:
    """Whether promtool finds no fault in metrics, where it is installed."""
    return bool(lacking("promtool")) or promtool(metrics) == Done("", "", 0)


def promtool(metrics: str) -> Done:
    """Let promtool check metrics: what it says, and nothing where it finds no fault."""
    line = ["promtool", "check", "metrics"]
    done = subprocess.run(line, input=metrics, capture_output=True, text=True, check=False)
    return Done(done.stdout, done.stderr, done.returncode)


# How long the connections of a row have been stuck: not at all, or for less than a second.
NOT_STUCK = "-"


def stuck(kind: str) -> str:
    """Return a pattern of a cell that says so of a kind: its time grows as a test goes on.

    It may be known to lie between two bounds only.
    """
    return rf"\d+(?: to \d+)? s, {kind}"


def table(done: Done, group: str, by: str = "owner") -> list[list[str]]:
    """Return a table of a group, the header first."""
    _, _, rest = done.stdout.partition("|")[0].partition(f"\n\n{group}, by {by}:\n")
    lines = [line.split(" ! ") for line in rest.split("\n\n")[0].splitlines() if " ! " in line]
    return [[cell.strip() for cell in line] for line in lines]


def rows(done: Done, group: str, by: str = "owner") -> list[dict[str, str]]:
    """Return the rows of such a table, each by the names of the columns."""
    header, *found = table(done, group, by)
    assert {len(row) for row in found} == {len(header)}, done
    return [dict(zip(header, row)) for row in found]


def columns(found: Sequence[Mapping[str, str]], *names: str) -> list[list[str]]:
    """Return these columns of rows."""
    return [[row[name] for name in names] for row in found]


def peers(number: int) -> str:
    """Return a fixture of connections to as many peers."""
    entries = [
        {
            "proto": "tcp",
            "status": "ESTABLISHED",
            "local": "192.0.2.1:5",
            "remote": f"10.{peer >> 16}.{peer >> 8 & 255}.{peer & 255}:443",
        }
        for peer in range(number)
    ]
    return json.dumps(entries)


def on_a_terminal(command: Command, *args: str) -> tuple[str, int]:
    """Run a command whose standard error is a terminal; return what the terminal shows."""
    leader, follower = pty.openpty()
    done = subprocess.run(
        [*command.argv, *args], stdout=subprocess.DEVNULL, stderr=follower, timeout=PATIENCE
    )
    os.close(follower)
    shown = b""
    # The end of a terminal is an error.
    with contextlib.suppress(OSError):
        while more := os.read(leader, 4096):
            shown += more
    os.close(leader)
    # Wine draws its lines as a terminal of Windows does.
    text = re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]|\s+", " ", shown.decode())
    return " ".join(text.split()), done.returncode


RANGES = "(valid: for example 10, 10:, ~:10, 10:20, @10:20 or KEY=10)"
# What follows the words of the reference in a message about a range.
REST = r': --(warning|critical) ".*"(, did you mean ".*"\?)? \(valid: [^()]*\)$'


def as_the_reference(stdout: str) -> str:
    """Return a message about a range with the words of the reference alone."""
    return re.sub(REST, "", stdout, flags=re.M)


def golden() -> list[dict[str, Any]]:
    """Return the recorded runs of the reference."""
    return [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]


def connections(counts: Mapping[str, int]) -> str:
    """Return a fixture with as many connections as `counts` says, such as {"tcp_LISTEN": 3}."""
    entries = []
    for group, number in counts.items():
        proto, _, status = group.partition("_")
        host = "2001:db8::" if proto.endswith("6") else "192.0.2."
        for port in range(1000, 1000 + number):
            entry = {"proto": proto, "status": status}
            entries.append({**entry, "local": f"{host}1:{port}", "remote": f"{host}2:{port}"})
    return json.dumps(entries)


# A kernel that refuses or is silent.

# Nothing is sent, so nothing is ever answered; 76 is the length of a request for TCP.
SILENT = "sendto:retval=76"
NO_SOCKETS = "socket:error=EPERM"


@functools.cache
def no_strace() -> str:
    """Why system calls cannot be tampered with here; empty if they can."""
    if reason := lacking("strace"):
        return reason
    line = [*tampered(NO_SOCKETS), "true"]
    probe = subprocess.run(line, capture_output=True, text=True, check=False)
    return "" if probe.returncode == 0 else f"strace: {probe.stderr.strip()}"


# Whichever of them a libc opens files by; not every architecture has both.
OPEN = "?open,openat"


def tampered(*injections: str, log: str = os.devnull, only: str | Path = "") -> list[str]:
    """Return what to put in front of a command line to tamper with its system calls.

    `only` is the file whose calls are meant.
    """
    options = [word for injection in injections for word in ("-e", f"inject={injection}")]
    # Of a link in its path it would say so.
    quiet = ["-e", "quiet=all", "-P", os.fspath(only)] if only else ["-qq"]
    calls = ",".join(injection.split(":")[0] for injection in injections)
    shown = ["-e", f"trace={calls}", "-e", "signal=none"]
    return ["strace", "-f", *quiet, "-o", log, *shown, *options]


# Other interpreters, other users.

_PROBE = """
import os, sys, sysconfig
if (sys.implementation.name != "cpython" or sys.version_info < (3, 9)
        or sysconfig.get_config_var("Py_GIL_DISABLED")):
    sys.exit(1)
print(os.path.realpath(sys.executable))
print(sys.version.split()[0])
"""


@functools.cache
def interpreters() -> dict[str, str]:
    """Return every CPython from 3.9 up on this machine, with a version for each."""
    found: dict[str, str] = {}
    for candidate in _candidates():
        probe = subprocess.run(
            [candidate, "-I", "-c", _PROBE], capture_output=True, text=True, check=False
        )
        if probe.returncode == 0:
            executable, version = probe.stdout.splitlines()
            found.setdefault(executable, version)
    return found


def _candidates() -> Iterator[str]:
    yield sys.executable
    directories = [Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry]
    directories += sorted(Path.home().glob(".pyenv/versions/*/bin"))
    for directory in directories:
        for path in sorted(directory.glob("python3*")):
            named = re.fullmatch(r"python3(\.\d+)?", path.name)
            if named and os.access(path, os.X_OK) and not _is_script(path):
                yield str(path)


def _is_script(path: Path) -> bool:
    """Whether it only starts an interpreter that is found elsewhere."""
    with path.open("rb") as file:
        return file.read(2) == b"#!"


NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@functools.cache
def no_nobody() -> str:
    """Why nothing can be run as the user nobody; empty if it can."""
    if os.geteuid() != 0:
        return "only root can become nobody"
    if reason := lacking("setpriv"):
        return reason
    return "" if nobodys_python() else "no interpreter that nobody may run"


@functools.cache
def nobodys_python() -> str:
    """Return an interpreter that nobody may run; empty if there is none."""
    for interpreter in interpreters():
        probe = [*NOBODY, interpreter, "-I", "-c", ""]
        if subprocess.run(probe, capture_output=True, check=False, cwd="/").returncode == 0:
            return interpreter
    return ""


def readable(directory: Path) -> None:
    """Let everybody read what is in a directory, and run what can be run."""
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
