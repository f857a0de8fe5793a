"""Fixtures, and what becomes of a test that cannot run."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import harness
import pytest
import shares
from asking import Asker, asker
from harness import Command
from lab import namespaces, owners, states, tools
from lab.namespaces import Pair
from lab.owners import OwnedLab
from lab.states import StateLab
from xdist.scheduler import LoadFileScheduling

Tampered = Callable[..., list[str]]
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _unskipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _unskipped((yield))


def _unskipped(report: Report) -> Report:
    """Let a skipped test fail where everything can run, so that everything must."""
    forbidden = os.environ.get("NETWORK_CONNECTIONS_NO_SKIP") == "1"
    if forbidden and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} must not be skipped: {reason}"
    return report


# Around pytest's own, so that it comes after the reasons, and before the line that counts.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None]:
    yield
    skipped = terminalreporter.stats.get("skipped", [])
    if packages := tools.packages(str(report.longrepr) for report in skipped):
        terminalreporter.write_line(
            f"To run the skipped tests too: apt-get install {' '.join(packages)}"
        )


# Changes to system calls and users would change Wine or qemu.
_NOT_THROUGH_A_RUNNER = {"host", "lab", "nobodys", "owned", "place", "tampered"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where another build of the native command is tested, run nothing but what runs that."""
    if harness.FOREIGN:
        others = [item for item in items if not _runs_native(item)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
    # The longest group begins.
    items.sort(key=lambda item: item.path.name not in _OF_THE_HOST)


# They read all processes or network namespaces of this host, or take all it can do.
_OF_THE_HOST = {
    "configured.py",
    "test_churn.py",
    "test_lengthy.py",
    "test_netns.py",
    "test_open_files.py",
    "test_owners.py",
    "test_rights.py",
    "test_summary.py",
}


class _ByFile(LoadFileScheduling):  # type: ignore[misc]
    """Runs a file in one process, so that what its tests share is made once.

    The files that read the whole host share a process too: they see what the others make.
    """

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "the host" if Path(file).name in _OF_THE_HOST else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> _ByFile:
    """Distribute tests over processes, in the order in which they were collected."""
    config.option.loadscopereorder = False
    return _ByFile(config, log)


def _runs_native(item: pytest.Item) -> bool:
    assert isinstance(item, pytest.Function)
    used = {*item.fixturenames}
    if harness.RUNNER and used & _NOT_THROUGH_A_RUNNER:
        return False
    params = item.callspec.params if hasattr(item, "callspec") else {}
    ways = {params[name] for name in ("command", "way") if name in params}
    return "native" in ways if ways else bool(used & {"native", "nobodys"})


@pytest.fixture(autouse=True, scope="session")
def wine() -> Iterator[None]:
    """Keep Wine running: its services take a second to start, and write to who starts them."""
    if not harness.WINDOWS:
        yield
        return
    line = [*harness.RUNNER, "cmd.exe"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as kept:
        assert kept.stdin is not None
        assert kept.stdout is not None
        # Who starts before it has said hello gets in the way of its services.
        kept.stdout.readline()
        yield
        kept.stdin.close()


def _fast_and_slow(ways: Sequence[str]) -> list[Any]:
    """Return ways to run the check, of two scripts that are the same but for their name one."""
    script = harness.SCRIPTS[1]
    return [*(way for way in ways if way != script), *shares.slow(script)]


@pytest.fixture
def directory() -> Iterator[Path]:
    """Return a directory that is gone afterwards: the copies in it add up."""
    with tempfile.TemporaryDirectory(prefix="network-connections-") as name:
        yield Path(name)


@pytest.fixture(params=_fast_and_slow(harness.WAYS))
def command(request: pytest.FixtureRequest, directory: Path) -> Command:
    """Return the check in one of the ways to run it."""
    return harness.install(request.param, directory / "installed")


@pytest.fixture(params=_fast_and_slow(harness.PYTHON_WAYS))
def python_command(request: pytest.FixtureRequest, directory: Path) -> Command:
    """Return the check in one of the ways to run it by Python."""
    return harness.install(request.param, directory / "installed")


@pytest.fixture
def native(directory: Path) -> Command:
    """Return the command that runs without Python."""
    return harness.install("native", directory / "installed")


@pytest.fixture(scope="session")
def tampered() -> Tampered:
    """Return what makes the beginning of a command line that tampers with system calls."""
    if reason := harness.no_strace():
        pytest.skip(reason)
    return harness.tampered


@dataclass(frozen=True)
class Place:
    """A network namespace with known sockets, `counts` in display order."""

    ns: str | None
    counts: dict[str, int]

    @property
    def before(self) -> list[str]:
        """What to put in front of a command line to run it there."""
        return namespaces.command(self.ns, [])


@pytest.fixture(scope="session")
def place() -> Iterator[Place]:
    """Return a namespace with a few listeners and UDP sockets; three listeners share a port."""
    with _namespace() as ns, contextlib.ExitStack() as sockets:
        tcp = sockets.enter_context(_listener(ns, socket.AF_INET, "127.0.0.1"))
        port = tcp.getsockname()[1]
        sockets.enter_context(_listener(ns, socket.AF_INET, "127.0.0.1", port))
        sockets.enter_context(_listener(ns, socket.AF_INET, "127.0.0.1", port))
        sockets.enter_context(_listener(ns, socket.AF_INET6, "::1"))
        for family, host in (
            (socket.AF_INET, "127.0.0.1"),
            (socket.AF_INET, "127.0.0.1"),
            (socket.AF_INET6, "::1"),
        ):
            with namespaces.inside(ns):
                udp = sockets.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            udp.bind((host, 0))
        yield Place(ns, {"tcp_LISTEN": 3, "udp_NONE": 2, "tcp6_LISTEN": 1, "udp6_NONE": 1})


@pytest.fixture(scope="module")
def one_listener() -> Iterator[Place]:
    """Return a namespace with one socket, as the host where the reference was recorded."""
    # Wine goes on to see the network it was started in; there the tests are alone anyway.
    place = contextlib.nullcontext() if harness.WINDOWS else _namespace()
    with place as ns, _listener(ns, socket.AF_INET, "127.0.0.1"):
        yield Place(ns, {"tcp_LISTEN": 1})


@pytest.fixture(scope="module")
def lab() -> Iterator[StateLab]:
    """Return a few hundred sockets in every state there is."""
    if reason := states.missing():
        pytest.skip(reason)
    with states.state_lab() as made:
        yield made


@pytest.fixture
def fresh(lab: StateLab) -> StateLab:
    """Return the same with all the time left that sockets have."""
    lab.refresh()
    return lab


@pytest.fixture(scope="module")
def owned() -> Iterator[OwnedLab]:
    """Return sockets in every state, and others of several users, units and processes."""
    if reason := states.missing() or owners.missing():
        pytest.skip(reason)
    with owners.owned_lab() as made:
        yield made


@contextlib.contextmanager
def _namespace() -> Iterator[str]:
    if reason := namespaces.missing():
        pytest.skip(reason)
    with namespaces.pair() as pair:
        yield pair.a


def _listener(ns: str | None, family: int, host: str, port: int = 0) -> socket.socket:
    with namespaces.inside(ns):
        listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.listen()
    return listener


@pytest.fixture(scope="session")
def nobodys() -> Iterator[dict[str, Command]]:
    """Return the check as nobody can run it, in a directory that everybody can read."""
    if reason := harness.no_nobody():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="network-connections-") as name:
        directory = Path(name)
        shutil.copytree(harness.PACKAGE, directory / harness.PACKAGE.name)
        shutil.copy(harness.NATIVE, directory)
        harness.readable(directory)
        line = (harness.nobodys_python(), "-m", harness.PACKAGE.name)
        package = directory / harness.PACKAGE.name
        yield {
            "native": Command("native", (str(directory / harness.NATIVE.name),), directory),
            "python": Command("python", line, package, {"PYTHONPATH": str(directory)}),
        }


@pytest.fixture(scope="module")
def someone(
    request: pytest.FixtureRequest, site: Pair, nobodys: Mapping[str, Command]
) -> Iterator[Asker]:
    """Return a user who asks in the first namespace of the file's own `site`."""
    with asker(site.a, request.param, nobodys) as made:
        yield made
