"""The counts are the kernel's: those of /proc/net and ss, for every user and from every source."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

import pytest
from asking import WAYS
from conftest import Place
from harness import Command, one_line
from lab import namespaces, oracles
from lab.names import SOURCES, Source
from lab.states import StateLab
from network_connections import count_connections


@pytest.mark.parametrize("source", SOURCES)
def test_counts_are_those_of_proc_net_and_ss(source: Source, fresh: StateLab) -> None:
    with namespaces.inside(fresh.ns):
        found = count_connections(source=source)
    assert found == oracles.counts(oracles.read_proc_net(fresh.ns))
    assert found == oracles.counts(oracles.read_ss(fresh.ns))
    assert found == fresh.counts


@pytest.mark.parametrize("source", SOURCES)
def test_every_selection_is_a_part_of_all(source: Source, fresh: StateLab) -> None:
    def part(*wanted: str) -> dict[str, int]:
        """Return the counts of the groups that have all these names."""
        groups = fresh.expected.items()
        return {"_".join(group): number for group, number in groups if {*wanted} <= {*group}}

    kinds: list[Any] = sorted({kind for kind, _ in fresh.expected})
    statuses: list[Any] = sorted({status for _, status in fresh.expected})
    with namespaces.inside(fresh.ns):
        for kind in kinds:
            assert count_connections(kind, source=source) == part(kind)
            for status in statuses:
                assert count_connections(kind, status, source=source) == part(kind, status)
        for status in statuses:
            assert count_connections(statuses=status, source=source) == part(status)
        assert count_connections(statuses="close", source=source) == {}
        assert count_connections(["tcp", "udp6"], source=source) == {**part("tcp"), **part("udp6")}


@pytest.mark.parametrize("source", SOURCES)
def test_the_command_prints_them(source: str, fresh: StateLab, command: Command) -> None:
    before = namespaces.command(fresh.ns, [])
    done = command.run(f"--source={source}", before=before)
    assert (done.returncode, done.stderr) == (0, "")
    assert printed(done.stdout) == fresh.counts


@pytest.fixture
def as_nobody(way: str, nobodys: dict[str, Command]) -> Callable[..., dict[str, int]]:
    """Return what counts in a namespace, as the user nobody."""

    def count(ns: str | None, *options: str) -> dict[str, int]:
        before = namespaces.command(ns, [], user="nobody")
        done = nobodys[way].run(*options, before=before)
        assert (done.returncode, done.stderr) == (0, "")
        return printed(done.stdout)

    return count


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("source", SOURCES)
def test_nobody_sees_what_root_sees(
    source: str, fresh: StateLab, as_nobody: Callable[..., dict[str, int]]
) -> None:
    assert as_nobody(fresh.ns, f"--source={source}") == fresh.counts


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("source", SOURCES)
def test_nobody_counts_every_listener_of_a_shared_port(
    source: str, place: Place, as_nobody: Callable[..., dict[str, int]]
) -> None:
    found = as_nobody(place.ns, f"--source={source}", "--conn-status=listen")
    assert found == {"tcp_LISTEN": 3, "tcp6_LISTEN": 1}


def test_nobody_is_who_runs_it(nobodys: dict[str, Command]) -> None:
    # What only root may read cannot be read.
    for command in nobodys.values():
        secret = command.beside / "unit-test" / "secret.json"
        secret.parent.mkdir(exist_ok=True)
        secret.write_text("[]")
        secret.chmod(0o600)
        before = namespaces.command(None, [], user="nobody")
        assert "Permission denied" in one_line(command.run("--test=secret.json", before=before))


def test_what_does_not_fit_one_datagram_is_counted(one_listener: Place) -> None:
    number = 800
    with contextlib.ExitStack() as sockets, namespaces.inside(one_listener.ns):
        for _ in range(number):
            made = sockets.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
            made.bind(("::1", 0))
        for source in SOURCES:
            found = count_connections(source=source)
            assert found == {"udp6_NONE": number, **one_listener.counts}


def test_a_host_without_sockets(one_listener: Place, command: Command) -> None:
    done = command.run("--conn-type=udp", before=one_listener.before)
    expected = 'No connections of type "udp" in status "all" found.\n'
    assert (done.stdout, done.stderr, done.returncode) == (expected, "", 0)


def test_equal_counts_are_in_canonical_order(place: Place, command: Command) -> None:
    expected = " ".join(f"'{group}'={number}" for group, number in place.counts.items())
    for source in SOURCES:
        done = command.run(f"--source={source}", before=place.before)
        assert done.stdout.endswith(f"|{expected}\n")


def printed(line: str) -> dict[str, int]:
    """Return the counts of a line, whose message and performance data must agree."""
    message, _, perfdata = line.rstrip("\n").partition("|")
    in_message = {part.split(": ")[0]: int(part.split(": ")[1]) for part in message.split(", ")}
    pairs = (pair.split("=") for pair in perfdata.split(" "))
    counts = {name.strip("'"): int(number) for name, number in pairs}
    assert in_message == {name.replace("_", " "): number for name, number in counts.items()}
    assert [*counts.values()] == sorted(counts.values(), reverse=True)
    return counts
