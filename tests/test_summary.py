"""`socket_summary()` is what ss -s shows, and an error where the kernel cannot be asked."""

from __future__ import annotations

import copy
import pickle
import re

import pytest
from conftest import Place
from harness import python
from lab import namespaces
from lab.owners import private
from lab.states import StateLab
from network_connections import SocketSummary, socket_summary

FIELDS = (
    *("sockets", "tcp", "tcp_established", "tcp_closed", "tcp_orphaned", "tcp_time_wait"),
    *("tcp4", "tcp6", "udp4", "udp6", "raw4", "raw6", "frag4", "frag6"),
)
# Any numbers, all of them different.
SOME = SocketSummary(*range(1, len(FIELDS) + 1))


def fields(summary: SocketSummary) -> dict[str, int]:
    return {name: getattr(summary, name) for name in FIELDS}


def read_ss(lab: StateLab) -> dict[str, int]:
    """Read what ss shows: two lines with names, and a table."""
    text = namespaces.run(lab.ns, ["ss", "-s"]).stdout
    total = re.search(r"^Total: (\d+)", text, re.MULTILINE)
    tcp = re.search(
        r"^TCP: +(\d+) \(estab (\d+), closed (\d+), orphaned (\d+), timewait (\d+)\)",
        text,
        re.MULTILINE,
    )
    assert total is not None
    assert tcp is not None
    names = ("tcp", "tcp_established", "tcp_closed", "tcp_orphaned", "tcp_time_wait")
    found = {"sockets": int(total[1]), **dict(zip(names, map(int, tcp.groups())))}
    for protocol in ("raw", "udp", "tcp", "frag"):
        row = re.search(rf"^{protocol.upper()}\t +\d+ +(\d+) +(\d+)", text, re.MULTILINE)
        assert row is not None
        found[f"{protocol}4"], found[f"{protocol}6"] = int(row[1]), int(row[2])
    return found


# The kernel has one number of these for all namespaces, and others may open and close some: each
# must be the same once where it is seen to stay.
EVERYWHERE = ("tcp", "tcp_closed", "tcp_orphaned")


def test_it_is_what_ss_shows(lab: StateLab) -> None:
    lab.refresh()
    seen = set()
    for _ in range(500):
        before = read_ss(lab)
        with namespaces.inside(lab.ns):
            found = fields(socket_summary())
        after = read_ss(lab)
        # ss counts what it holds itself.
        assert 0 <= before.pop("sockets") - found.pop("sockets") <= 5
        for name, number in found.items():
            if name not in EVERYWHERE:
                assert number == before[name], name
            elif before[name] == number == after[name]:
                seen.add(name)
        assert found["tcp_closed"] == found["tcp"] - found["tcp4"] - found["tcp6"]
        if seen == {*EVERYWHERE}:
            break
    assert seen == {*EVERYWHERE}


def test_it_is_what_the_lab_holds(lab: StateLab) -> None:
    expected = lab.expected
    # What has no socket yet, or no longer, is not in use.
    minisocks = {
        kind: expected[kind, "TIME_WAIT"] + lab.minisocks[kind] for kind in ("tcp", "tcp6")
    }
    in_use = {
        kind: sum(number for (other, _), number in expected.items() if other == kind)
        - expected[kind, "SYN_RECV"]
        - minisocks[kind]
        for kind in minisocks
    }
    established = sum(
        expected[kind, status] for kind in minisocks for status in ("ESTABLISHED", "CLOSE_WAIT")
    )
    for _ in range(5):
        lab.refresh()
        with namespaces.inside(lab.ns):
            found = socket_summary()
        assert (found.udp4, found.udp6) == (expected["udp", "NONE"], expected["udp6", "NONE"])
        assert found.tcp_established == established
        # The kernel may put off making a minisock of an orphan that it is busy with.
        if found.tcp_time_wait == sum(minisocks.values()):
            break
    assert found.tcp_time_wait == sum(minisocks.values())
    assert {"tcp": found.tcp4, "tcp6": found.tcp6} == in_use


def test_fields() -> None:
    assert fields(SOME) == dict(zip(FIELDS, range(1, len(FIELDS) + 1)))


def test_frozen() -> None:
    for name in (*FIELDS, "another"):
        with pytest.raises(AttributeError):
            setattr(SOME, name, 1)
        with pytest.raises(AttributeError):
            delattr(SOME, name)


def test_equal_hashable_picklable_and_evaluable() -> None:
    copies = [pickle.loads(pickle.dumps(SOME, n)) for n in range(2, 6)]  # noqa: S301
    copies += [copy.copy(SOME), copy.deepcopy(SOME), SocketSummary(**fields(SOME))]
    copies.append(eval(repr(SOME), {"SocketSummary": SocketSummary}))  # noqa: S307
    for other in copies:
        assert fields(other) == fields(SOME)
        assert other == SOME
        assert hash(other) == hash(SOME)
    for name in FIELDS:
        assert SocketSummary(**{**fields(SOME), name: 0}) != SOME


ASK = """
import errno
from network_connections import socket_summary
try:
    print(socket_summary())
except OSError as error:
    print(type(error).__name__, errno.errorcode.get(error.errno), "/proc" in str(error))
"""


def test_without_proc(place: Place) -> None:
    with namespaces.inside(place.ns):
        assert python(ASK).stdout.startswith("SocketSummary(sockets=")
        done = python(ASK, before=private("mount -t tmpfs none /proc"))
    assert (done.stdout, done.stderr) == ("FileNotFoundError ENOENT True\n", "")


def test_another_file_system_at_proc(place: Place) -> None:
    # It could show anything, so what it shows is nothing.
    script = (
        "text=$(cat /proc/thread-self/net/sockstat); snmp=$(cat /proc/thread-self/net/snmp)\n"
        "mount -t tmpfs none /proc; mkdir -p /proc/thread-self/net\n"
        'echo "$text" > /proc/thread-self/net/sockstat; echo "$snmp" > /proc/thread-self/net/snmp'
    )
    with namespaces.inside(place.ns):
        done = python(ASK, before=private(script))
    assert done.stdout.startswith("OSError "), done
