"""Fixtures that every integration shares, what must be left behind: nothing, and the page."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import harness
import pytest
from lab import namespaces, owners
from lab.namespaces import Pair

from integrations import host, machines, prometheus, where
from integrations.daemons import (
    INTEGRATIONS,
    PREFIX,
    directory,
    native_plugins,
    require,
    wheel_plugins,
)
from integrations.machines import Machine

_rows: dict[str, list[where.Row]] = {}
_outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)

# Where the programs would leave something, if it was not for directories of their own.
_PLACES = ("/etc", "/run", "/var/cache", "/var/lib", "/var/log", "/var/spool")
_NAMES = ("icinga2", "nagios", "nagios4", "nrpe", "sudoers.d")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        module = item.getparent(pytest.Module)
        rows = getattr(module.obj, "WHERE", None) if module else None
        if rows is not None:
            _rows[item.nodeid.split("::")[0]] = rows


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        outcome = "expected to fail" if hasattr(report, "wasxfail") else report.outcome
        _outcomes[report.nodeid.split("::")[0]][outcome] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    # Only by a run of everything, so that no row is lost.
    complete = set(_rows) == set(_outcomes) and not session.config.option.keyword
    if os.environ.get("NETWORK_CONNECTIONS_WRITE_DOCS") == "1" and complete and _rows:
        text = where.page(_rows, _outcomes)
        (harness.ROOT / "docs" / "evidence" / "where-it-runs.md").write_text(text, encoding="utf-8")


@pytest.fixture(scope="session", autouse=True)
def nothing_left() -> Iterator[None]:
    """Compare processes, namespaces and files before the first test and after the last."""
    before = _present()
    yield
    # What has been told to end may take a moment.
    end = time.monotonic() + 5
    while _present() - before and time.monotonic() < end:
        time.sleep(0.1)
    assert _present() - before == set()


def _present() -> set[str]:
    present = set(_processes())
    present |= {str(path) for path in Path("/var/run/netns").glob(f"lab-{os.getpid()}-*")}
    present |= {str(path) for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*")}
    if mount := owners.cgroup2():
        present |= {str(path) for path in mount.glob(f"lab-{os.getpid()}-*")}
    for place in (INTEGRATIONS, *(Path(place, name) for place in _PLACES for name in _NAMES)):
        present |= {str(entry) for entry in (place, *place.rglob("*")) if entry.exists()}
    return present


def _processes() -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        # It may end at any time; of one that has ended, and that its parent has not asked for,
        # there is no command line.
        with contextlib.suppress(OSError):
            line = (process / "cmdline").read_bytes().decode(errors="replace")
            name = (process / "comm").read_text(encoding="utf-8").strip()
            if PREFIX in line or (line and name in ("icinga2", "nagios4", "nrpe", "sudo")):
                yield f"{process.name} {name}"


@pytest.fixture(scope="session")
def plugins() -> Iterator[dict[str, Path]]:
    """Return two plugin directories with the check in them: native, and out of the wheel."""
    with directory() as path:
        yield {
            "native": native_plugins(path / "native"),
            "wheel": wheel_plugins(path / "wheel"),
        }


@pytest.fixture(scope="module")
def hosts() -> Iterator[Pair]:
    """Return two hosts that reach each other: the monitoring server `a` and the monitored `b`."""
    require()
    with namespaces.pair() as pair:
        yield pair


@pytest.fixture(scope="module")
def monitored() -> Iterator[Machine]:
    """Return a machine with Debian's Prometheus, its exporter and the check's units."""
    with prometheus.monitored() as made:
        yield made


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """Return a machine with a systemd that was really booted, and the check in it."""
    if reason := machines.missing():
        pytest.skip(reason)
    with host.apart() as apart, machines.booted(apart) as made:
        yield made
