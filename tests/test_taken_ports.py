"""`--measure=ephemeral-ports`: the ports that no destination can get, of TCP and of UDP."""

from __future__ import annotations

import errno
import json
import re
import socket
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import harness
import pytest
from conftest import Tampered
from harness import Command, Done, one_line
from lab import namespaces, owners, servers
from lab.servers import Sockets

pytestmark = [
    pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing() or "-"),
    pytest.mark.usefixtures("place"),
]

MEASURE = "--measure=ephemeral-ports"
FIRST, PORTS = 40000, 100
LISTED = harness.kernel() >= (6, 8)
NOT_LISTED = "Linux before 6.8 does not list bound sockets"
REASON = "the system does not report the ports that programs have bound before they connected"
LOCAL = {"IPv4": "127.0.0.1", "IPv6": "::1"}
OTHER = {"IPv4": "127.0.0.2", "IPv6": "::1"}


class Ports(NamedTuple):
    """The ports of a group."""

    least: int
    most: int
    of: int


@pytest.fixture
def ns() -> Iterator[str]:
    """Return a namespace with 100 ports to give."""
    with namespaces.pair() as made:
        servers.ports(made.a, FIRST, FIRST + PORTS - 1)
        yield made.a


@pytest.fixture
def held() -> Iterator[Sockets]:
    """Return what makes sockets."""
    with servers.sockets() as made:
        yield made


def ask(native: Command, ns: str, *options: str) -> Done:
    with namespaces.inside(ns):
        return native.run(MEASURE, *options)


def found(native: Command, ns: str, *options: str) -> dict[str, Ports]:
    """Return the ports of each group."""
    report = json.loads(ask(native, ns, "--format=json", *options).stdout)
    return {
        group["label"]: Ports(group["count"], group.get("most", group["count"]), group["of"])
        for group in report["groups"]
    }


def bind(held: Sockets, ns: str, host: str, kind: int = socket.SOCK_STREAM) -> int:
    """Bind a socket to a port of the kernel's choice; return the error number, 0 for none."""
    try:
        held.make(ns, host, kind=kind).bind((host, 0))
    except OSError as error:
        return error.errno or -1
    return 0


def connect(held: Sockets, ns: str, to: tuple[str, int], source: str = "") -> int:
    """Connect; return the error number, 0 where it works."""
    try:
        held.connect(ns, to, source)
    except OSError as error:
        return error.errno or -1
    return 0


def converse(held: Sockets, ns: str, host: str) -> int:
    """Connect a UDP socket; return the error number, 0 where it works."""
    try:
        held.make(ns, host, kind=socket.SOCK_DGRAM).connect((host, 53))
    except OSError as error:
        return error.errno or -1
    return 0


@pytest.mark.parametrize("family", LOCAL)
@pytest.mark.parametrize("way", ["bound", "connected"])
def test_udp_at_a_hundred_percent_no_program_gets_a_port(
    ns: str, held: Sockets, native: Command, way: str, family: str
) -> None:
    host = LOCAL[family]

    def one_more() -> int:
        return (
            bind(held, ns, host, socket.SOCK_DGRAM) if way == "bound" else converse(held, ns, host)
        )

    assert found(native, ns) == {}
    for number in range(1, PORTS + 1):
        assert one_more() == 0
        if number in (1, 50, 99):
            assert found(native, ns) == {"udp": Ports(number, number, PORTS)}
    expected = "udp: 100% (100 of 100) [CRITICAL]|'fullest'=100%;80;99;0;100 'destinations'=0\n"
    assert ask(native, ns, "-w=80", "-c=99") == Done(expected, "", 2)
    assert one_more() == {"bound": errno.EADDRINUSE, "connected": errno.EAGAIN}[way]
    # An IPv6 program gets no port of IPv4 sockets either.
    assert converse(held, ns, LOCAL["IPv6"]) == errno.EAGAIN
    assert bind(held, ns, host) == 0
    assert found(native, ns, "--source=procfs") == {"udp": Ports(PORTS, PORTS, PORTS)}


def test_sockets_of_one_udp_port_count_once(ns: str, held: Sockets, native: Command) -> None:
    for host in ("127.0.0.1", "127.0.0.1", "127.0.0.2", "0.0.0.0"):  # noqa: S104
        made = held.make(ns, host, kind=socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, FIRST + 7))
    held.make(ns, "127.0.0.1", kind=socket.SOCK_DGRAM).bind(("127.0.0.1", 53))
    assert found(native, ns) == {"udp": Ports(1, 1, PORTS)}


def test_a_tcp_listener_takes_no_port_of_udp(ns: str, held: Sockets, native: Command) -> None:
    held.listen(ns, "127.0.0.1", FIRST + 3, 1)
    for _ in range(PORTS):
        assert bind(held, ns, "127.0.0.1", socket.SOCK_DGRAM) == 0
    assert found(native, ns) == {"udp": Ports(PORTS, PORTS, PORTS)}
    servers.ports(ns, FIRST, FIRST + PORTS - 1, f"{FIRST}-{FIRST + 9}")
    assert found(native, ns) == {"udp": Ports(90, 90, 90)}


@pytest.mark.skipif(not LISTED, reason=NOT_LISTED)
@pytest.mark.parametrize("family", LOCAL)
def test_bound_tcp_sockets_take_ports_from_every_destination(
    ns: str, held: Sockets, native: Command, family: str
) -> None:
    to = (LOCAL[family], 5432)
    label = f"[{to[0]}]:5432" if family == "IPv6" else f"{to[0]}:5432"
    held.listen(ns, *to, 4000)
    for number in range(1, 61):
        assert bind(held, ns, OTHER[family]) == 0
        if number in (1, 60):
            assert found(native, ns) == {"tcp": Ports(number, number, PORTS)}
    for _ in range(39):
        assert connect(held, ns, to) == 0
    assert found(native, ns) == {label: Ports(99, 99, PORTS), "tcp": Ports(60, 60, PORTS)}
    assert ask(native, ns, "-c=99").returncode == 0
    assert connect(held, ns, to) == 0
    assert connect(held, ns, to) == errno.EADDRNOTAVAIL
    done = ask(native, ns, "-c=99")
    assert done.stdout.startswith(f"{label}: 100% (100 of 100) [CRITICAL], tcp: 60% (60 of 100)|")
    assert done.returncode == 2
    # Sockets without a connection are in no count.
    with namespaces.inside(ns):
        counts = native.run("--conn-status=close", "--no-perfdata")
    assert counts.stdout == 'No connections of type "all" in status "close" found.\n'


@pytest.mark.skipif(not LISTED, reason=NOT_LISTED)
def test_where_every_port_is_bound_nothing_connects(
    ns: str, held: Sockets, native: Command
) -> None:
    held.listen(ns, "127.0.0.1", 5432, 10)
    for _ in range(PORTS):
        assert bind(held, ns, "127.0.0.2") == 0
    assert bind(held, ns, "127.0.0.2") == errno.EADDRINUSE
    assert connect(held, ns, ("127.0.0.1", 5432)) == errno.EADDRNOTAVAIL
    done = ask(native, ns, "-c=99")
    expected = "tcp: 100% (100 of 100) [CRITICAL]|'fullest'=100%;;99;0;100 'destinations'=0\n"
    assert done == Done(expected, "", 2)
    # The table of /proc has no sockets without a connection.
    assert found(native, ns, "--source=procfs") == {}


def test_programs_that_bind_before_they_connect_are_never_ok_at_the_end(
    ns: str, held: Sockets, native: Command
) -> None:
    """The kernel does not tell who has bound a port first."""
    host = "127.0.0.1"
    for number in range(10):
        held.listen(ns, host, 5000 + number, 100)
        for _ in range(10):
            assert connect(held, ns, (host, 5000 + number), host) == 0
    assert connect(held, ns, (host, 5000)) == errno.EADDRNOTAVAIL
    groups = found(native, ns)
    assert groups.pop("tcp") == Ports(0, PORTS, PORTS)
    assert set(groups.values()) == {Ports(10, 10, PORTS)}
    done = ask(native, ns, "-c=99", "--top=1")
    expected = (
        f"tcp: 0% to 100% (0 to 100 of 100) [UNKNOWN], and 10 more; {REASON}"
        "|'fullest'=10%;;99;0;100 'destinations'=10\n"
    )
    assert done == Done(expected, "", 3)
    # A threshold for destinations alone does not ask about it.
    assert ask(native, ns, "-c=5000=50").returncode == 0


@pytest.mark.parametrize("each", [60, 45])
def test_a_proxy_may_use_every_port_somewhere(
    ns: str, held: Sockets, native: Command, each: int
) -> None:
    host = "127.0.0.1"
    for number in range(50):
        held.listen(ns, host, 5000 + number, 100)
        for _ in range(each):
            assert connect(held, ns, (host, 5000 + number)) == 0
    done = ask(native, ns, "-w=70", "-c=90")
    assert (done.returncode, done.stderr) == (0, "")
    assert connect(held, ns, (host, 5000)) == 0


def test_a_single_destination_is_not_reported_twice(
    ns: str, held: Sockets, native: Command
) -> None:
    held.listen(ns, "127.0.0.1", 5432, 100)
    for _ in range(95):
        assert connect(held, ns, ("127.0.0.1", 5432)) == 0
    assert found(native, ns) == {"127.0.0.1:5432": Ports(95, 95, PORTS)}


@pytest.fixture
def few(ns: str, held: Sockets) -> Iterator[str]:
    """Return a namespace with 30 ports of UDP and, where they are listed, 20 bound ports of TCP."""
    for _ in range(30):
        assert bind(held, ns, "127.0.0.1", socket.SOCK_DGRAM) == 0
    for _ in range(20):
        assert bind(held, ns, "127.0.0.1") == 0
    yield ns


TCP = ["tcp"] if LISTED else []


@pytest.mark.parametrize(
    ("option", "state", "alerts"),
    [
        ("29", 2, ["udp"]),
        ("udp=29", 2, ["udp"]),
        ("UDP=29", 2, ["udp"]),
        ("udp=30", 0, []),
        ("19,udp=90", 2 if LISTED else 0, TCP),
        ("tcp=19", 2 if LISTED else 0, TCP),
        ("10,tcp=~:,udp=~:", 0, []),
    ],
)
def test_protocols_are_keys(
    few: str, native: Command, option: str, state: int, alerts: list[str]
) -> None:
    done = ask(native, few, f"-c={option}")
    assert (done.returncode, done.stderr) == (state, "")
    assert re.findall(r"(\w+): [^,]*\[CRITICAL\]", done.stdout) == alerts


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        (["--conn-type=udp"], ["udp"]),
        (["--conn-type=udp6"], []),
        (["--conn-type=tcp"], TCP),
        # The ports are those of the whole namespace.
        (["--remote-port=53"], []),
        (["--local-address=127.0.0.1"], []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_selections(few: str, native: Command, options: list[str], labels: list[str]) -> None:
    assert list(found(native, few, *options)) == labels


@pytest.mark.parametrize(
    "options",
    [["--conn-type=tcp", "-c=udp=9"], ["--remote-port=9", "-c=udp=9"], ["-c=unix=9"]],
    ids=" ".join,
)
def test_a_key_that_meets_nothing_is_refused(native: Command, options: list[str]) -> None:
    line = one_line(native.run(MEASURE, *options))
    assert line.startswith(f'--critical: "{options[-1].split("=")[1]}" is the key of no group')


def test_each_namespace_has_ports_of_its_own(few: str, native: Command) -> None:
    label = f"udp in {few}"
    done = native.run(MEASURE, f"--netns={few}", f"-c={label}=29", "--conn-type=udp")
    assert done.stdout.startswith(f"{label}: 30% (30 of 100) [CRITICAL]|")
    assert native.run(MEASURE, f"--netns={few}", "-c=udp=29").returncode == 2
    assert native.run(MEASURE, f"--netns={few}", "-c=udp in another=29").returncode == 0


def test_prometheus_has_a_series_for_each_protocol(few: str, native: Command) -> None:
    done = ask(native, few, "--format=prometheus")
    lines = done.stdout.splitlines()
    bound = "0.2" if LISTED else "0"
    for name in ("taken", "maybe_taken"):
        series = f"network_connections_ephemeral_ports_{name}_ratio"
        assert f'{series}{{protocol="tcp"}} {bound}' in lines
        assert f'{series}{{protocol="udp"}} 0.3' in lines
    assert "network_connections_ephemeral_ports_used_ratio 0.3" in lines
    assert "network_connections_ephemeral_ports_destinations 0" in lines


@pytest.mark.skipif(not LISTED, reason=NOT_LISTED)
@pytest.mark.skipif(bool(owners.missing()), reason=owners.missing() or "-")
def test_lengthy_says_who_has_the_ports(
    few: str, native: Command, nobodys: Mapping[str, Command]
) -> None:
    done = ask(native, few, "--lengthy", "-c=10")
    for label, count, state in (("udp", "30", "NONE"), ("tcp", "20", "CLOSE")):
        [row] = harness.rows(done, label)
        assert row["Process"].startswith("python")
        assert (row["Connections"], row["User"], row["State"]) == (count, "root", state)


def test_everybody_sees_them(few: str, nobodys: Mapping[str, Command]) -> None:
    with namespaces.inside(few):
        report = json.loads(nobodys["native"].run(MEASURE, "--format=json").stdout)
    counts = {group["label"]: group["count"] for group in report["groups"]}
    assert counts == {"udp": 30, **({"tcp": 20} if LISTED else {})}


@pytest.mark.parametrize("number", range(1, 7))
@pytest.mark.parametrize("call", ["sendto", "recvfrom"])
def test_a_failing_call_never_hides_bound_ports(
    few: str, native: Command, tampered: Tampered, call: str, number: int
) -> None:
    """Where netlink answers once and then fails, the answer is UNKNOWN or complete."""
    before = tampered(f"{call}:error=EIO:when={number}")
    with namespaces.inside(few):
        done = native.run(MEASURE, "-c=25", "--conn-type=tcp", before=before)
        whole = native.run(MEASURE, "-c=25", "--conn-type=tcp")
    first = number == 1
    if done != whole and not first:
        assert done.returncode == 3, done
