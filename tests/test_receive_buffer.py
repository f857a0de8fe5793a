"""`--measure=receive-buffer`: how full the receive buffers of UDP sockets are, against `ss`."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import harness
import pytest
import shares
from asking import TWO_OF_FOUR, USERS, Asker
from harness import Command, Done
from lab import namespaces, servers
from lab.namespaces import Pair
from lab.servers import REUSE, Sockets, wait_for

pytestmark = [
    pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing() or "-"),
    # A place is in Linux.
    pytest.mark.usefixtures("place"),
]

MEASURE = "--measure=receive-buffer"
PORT = 5140
ANY = "0.0.0.0"  # noqa: S104 - in a namespace of its own


class Buffer(NamedTuple):
    """The receive buffer of a socket."""

    used: int
    of: int
    drops: int

    @property
    def percent(self) -> float:
        """How full it is."""
        return 100 * self.used / self.of


@pytest.fixture
def pair() -> Iterator[Pair]:
    with namespaces.pair() as made:
        yield made


def ask(native: Command, ns: str, *options: str) -> Done:
    with namespaces.inside(ns):
        return native.run(MEASURE, *options)


def found(done: Done) -> dict[str, Buffer]:
    """Return the buffers of a JSON report."""
    assert done.stderr == ""
    listed: list[dict[str, Any]] = json.loads(done.stdout)["groups"]
    buffers = {one["label"]: Buffer(one["count"], one["of"], one["drops"]) for one in listed}
    for one in listed:
        assert one["percent"] == pytest.approx(buffers[one["label"]].percent)
    return buffers


MEMORY = re.compile(r"skmem:\(r(\d+),rb(\d+),.*\bd(\d+)\)")


def listed(ns: str) -> dict[str, list[Buffer]]:
    """Read with `ss` the buffer of each socket, by address and port."""
    rows: dict[str, list[Buffer]] = {}
    for line in namespaces.run(ns, ["ss", "-HuanmO"]).stdout.splitlines():
        local = line.split()[3]
        host, _, port = local.rpartition(":")
        host = "[::]" if host == "*" else re.sub(r"\[::ffff:([\d.]+)\]", r"\1", host)
        memory = MEMORY.search(line)
        assert memory is not None, line
        rows.setdefault(f"{host}:{port}", []).append(Buffer(*map(int, memory.groups())))
    return rows


def errors(ns: str) -> int:
    """Read with `nstat` the number of packets without room, of all sockets."""
    return sum(servers.nstat(ns, "UdpRcvbufErrors", "Udp6RcvbufErrors").values())


def perfdata(done: Done) -> list[str]:
    """Return the drops of the performance data."""
    assert done.returncode == 0
    return done.stdout.rstrip().split("|")[1].split(" ")[2:]


def send(made: Sockets, ns: str, to: tuple[str, int], packets: int, size: int = 100) -> None:
    client = made.make(ns, to[0], kind=socket.SOCK_DGRAM)
    for _ in range(packets):
        client.sendto(b"x" * size, to)
    client.close()


KINDS = {
    # Where it is bound, where packets are sent to, and its label.
    "IPv4": (Pair.a4, Pair.a4, f"{Pair.a4}:{PORT}"),
    "any IPv4": (ANY, Pair.a4, f"{ANY}:{PORT}"),
    "IPv6": (Pair.a6, Pair.a6, f"[{Pair.a6}]:{PORT}"),
    "dual-stack, IPv4": ("::", Pair.a4, f"[::]:{PORT}"),
}


@pytest.mark.parametrize("size", [4096, 65536, 8 << 20, *shares.slow(4608, 8192, 1 << 20)])
@pytest.mark.parametrize("kind", KINDS)
def test_bytes_limit_and_drops_are_those_of_ss(
    pair: Pair, native: Command, kind: str, size: int
) -> None:
    host, reached, label = KINDS[kind]
    with servers.sockets() as made:
        server = made.bind(pair.a, host, PORT, size)
        assert found(ask(native, pair.a, "--format=json")) == {label: Buffer(0, size, 0)}
        send(made, pair.b, (reached, PORT), 2)
        wait_for(lambda: listed(pair.a)[label][0].used > 0)
        wait_for(
            lambda: found(ask(native, pair.a, "--format=json")) == {label: listed(pair.a)[label][0]}
        )

        def full() -> bool:
            send(made, pair.b, (reached, PORT), 100, 1000)
            return listed(pair.a)[label][0].drops > 0

        wait_for(full)
        (expected,) = listed(pair.a)[label]
        assert found(ask(native, pair.a, "--format=json")) == {label: expected}
        assert expected.percent > 50
        done = ask(native, pair.a, "-w", "20", "-c", "50")
        # Below 100 it is never shown as 100.
        percent = min(expected.percent, 99.99) if expected.percent < 100 else expected.percent
        shown = f"{percent:.2f}".rstrip("0").rstrip(".")
        assert done.stdout == (
            f"{label}: {shown}% ({expected.used} of {size}, {expected.drops} dropped) [CRITICAL]"
            f"|'fullest'={shown}%;20;50;0;100 'sockets'=1 'drops'={expected.drops} "
            f"'RcvbufErrors'={errors(pair.a)}c\n"
        )
        assert done.returncode == 2
        # Read, it is empty; the drops stay.
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                server.recv(2000)
        assert found(ask(native, pair.a, "--format=json")) == {label: listed(pair.a)[label][0]}
        assert ask(native, pair.a, "-c", "50").returncode == 0


@pytest.mark.parametrize("kind", ["IPv4", "IPv6"])
def test_of_several_sockets_the_fullest_counts_and_every_drop(
    pair: Pair, native: Command, kind: str
) -> None:
    host, reached, label = KINDS[kind]
    with servers.sockets() as made:
        for size in (8192, 16384, 32768):
            made.bind(pair.a, host, PORT, size, options=[REUSE])
        for _ in range(40):
            # The port of the sender decides which socket is meant.
            send(made, pair.b, (reached, PORT), 3)
        wait_for(lambda: sum(row.used for row in listed(pair.a)[label]) > 16384)
        rows = listed(pair.a)[label]
        assert len(rows) == 3
        fullest = max(rows, key=lambda row: row.percent)
        expected = fullest._replace(drops=sum(row.drops for row in rows))
        assert found(ask(native, pair.a, "--format=json")) == {label: expected}


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_counter_of_the_host_is_one(pair: Pair, native: Command, kind: str) -> None:
    """As docs/output.md says: the sum over sockets falls when a worker ends."""
    host, reached, label = KINDS[kind]
    with servers.sockets() as made:
        workers = [made.bind(pair.a, host, PORT, 4096, options=[REUSE]) for _ in range(2)]

        def drop() -> bool:
            send(made, pair.b, (reached, PORT), 10, 1000)
            return all(row.drops for row in listed(pair.a)[label])

        wait_for(drop)
        both = errors(pair.a)
        assert both == sum(row.drops for row in listed(pair.a)[label])
        assert perfdata(ask(native, pair.a)) == [f"'drops'={both}", f"'RcvbufErrors'={both}c"]
        workers[0].close()
        (left,) = listed(pair.a)[label]
        assert left.drops < both
        expected = [f"'drops'={left.drops}", f"'RcvbufErrors'={both}c"]
        assert perfdata(ask(native, pair.a)) == expected
        # It counts every socket of the namespace.
        selected = ask(native, pair.a, f"--local-port={PORT}")
        assert perfdata(selected) == expected
        # Other namespaces come and go, and so would their sum.
        assert perfdata(ask(native, pair.a, f"--netns={pair.a}")) == expected[:1]


def test_selections_and_keys(pair: Pair, native: Command) -> None:
    four, six = f"{pair.a4}:{PORT}", f"[{pair.a6}]:{PORT}"
    with servers.sockets() as made:
        made.bind(pair.a, pair.a4, PORT, 8192)
        made.bind(pair.a, pair.a6, PORT, 8192)
        # No port, no packets.
        made.make(pair.a, pair.a4, kind=socket.SOCK_DGRAM)
        send(made, pair.b, (pair.a4, PORT), 3)
        wait_for(lambda: listed(pair.a)[four][0].used > 0)
        for options, labels in (
            ([], {four, six}),
            (["--conn-type=udp"], {four}),
            (["--conn-type=udp6"], {six}),
            (["--conn-type=udp", "--conn-type=tcp"], {four}),
            ([f"--local-address={pair.a6}"], {six}),
            ([f"--local-port={PORT}"], {four, six}),
        ):
            assert set(found(ask(native, pair.a, *options, "--format=json"))) == labels, options
        assert ask(native, pair.a, f"--local-port={PORT + 1}").stdout == (
            f"No UDP sockets at port {PORT + 1} found.|'fullest'=0%;;;0;100 'sockets'=0\n"
        )
        assert ask(native, pair.a, "-c", f"{PORT}=1").returncode == 2
        assert ask(native, pair.a, "-c", f"{PORT}=1,{four}=900").returncode == 0


@pytest.fixture(scope="module")
def site() -> Iterator[Pair]:
    """Return two namespaces, of which one has sockets that nothing changes."""
    with namespaces.pair() as made, servers.sockets() as held:
        held.bind(made.a, made.a4, 514, 8192)
        held.bind(made.a, "::", 53, 65536)
        # An ephemeral port.
        held.bind(made.a, ANY, 40000, 4608)
        send(held, made.b, (made.a4, 514), 50)
        wait_for(lambda: listed(made.a)[SYSLOG][0].drops > 0)
        yield made


SYSLOG = f"{Pair.a4}:514"


@pytest.mark.parametrize(("someone", "way"), TWO_OF_FOUR, indirect=["someone"])
def test_everybody_sees_them_in_every_format(someone: Asker, site: Pair, way: str) -> None:
    expected = {label: row[0] for label, row in listed(site.a).items()}
    assert found(someone.run(way, MEASURE, "--format=json")) == expected
    full = expected[SYSLOG]
    text = someone.run(way, MEASURE, "--format=prometheus").stdout
    samples = {
        f'network_connections_receive_buffer_{name}{{socket="{label}"}} {value}'
        for label in (SYSLOG, "[::]:53")
        for name, value in zip(("bytes", "limit_bytes", "drops_total"), expected[label])
    }
    assert samples == set(re.findall(r"^network_connections_receive_buffer_.*\{.*$", text, re.M))
    (ratio,) = re.findall(r"^network_connections_receive_buffer_fullest_ratio (.*)$", text, re.M)
    assert float(ratio) == pytest.approx(full.percent / 100)
    assert harness.is_fine(text)


@pytest.mark.parametrize("someone", USERS, indirect=True)
def test_the_range_of_ephemeral_ports_decides_which_have_series(someone: Asker, site: Pair) -> None:
    servers.ports(site.a, 1024, 30000)
    try:
        text = someone.run("native", MEASURE, "--format=prometheus").stdout
    finally:
        servers.ports(site.a, 32768, 60999)
    assert set(re.findall(r'socket="([^"]*)"', text)) == {SYSLOG, "[::]:53", f"{ANY}:40000"}


def test_the_table_has_owner_bytes_limit_and_drops(site: Pair, native: Command) -> None:
    done = ask(native, site.a, "-w", "50", "--lengthy")
    assert done.returncode == 1
    full = listed(site.a)[SYSLOG][0]
    assert f"\n\n{SYSLOG}, by owner:\n" in done.stdout
    assert re.search(
        r"^Sockets ! Process +! Unit +! User +! Bytes +! Limit +! Drops$", done.stdout, re.M
    )
    assert re.search(
        rf"^1 +! \S.* ! root ! {full.used} +! {full.of} +! {full.drops}\|", done.stdout, re.M
    ), done.stdout
