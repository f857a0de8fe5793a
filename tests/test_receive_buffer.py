"""`--measure=receive-buffer`: how full the receive buffers of UDP sockets are, against `ss`."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import harness
import pytest
from asking import TWO_OF_FOUR, USERS, Asker, asker
from conftest import Tampered
from harness import Command, Done, one_line
from lab import namespaces, servers
from lab.namespaces import Pair
from lab.servers import Sockets, wait_for
from lab.tools import lacking

pytestmark = [
    pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing() or "-"),
    # A place is in Linux.
    pytest.mark.usefixtures("place"),
]

MEASURE = "--measure=receive-buffer"
PORT = 5140
ANY = "0.0.0.0"  # noqa: S104 - in a namespace of its own
REUSE = (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


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


def bind(
    made: Sockets, ns: str, host: str, port: int, size: int = 0, *, shared: bool = False
) -> socket.socket:
    """Return a UDP socket whose buffer has this limit: twice what is asked for."""
    server = made.make(ns, host, kind=socket.SOCK_DGRAM)
    if ":" in host:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    if shared:
        server.setsockopt(*REUSE)
    if size:
        # Not limited by net.core.rmem_max.
        server.setsockopt(socket.SOL_SOCKET, 33, size // 2)  # SO_RCVBUFFORCE
        assert server.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == size
    server.bind((host, port))
    return server


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


@pytest.mark.parametrize("size", [4608, 8192, 65536, 1 << 20])
@pytest.mark.parametrize("kind", KINDS)
def test_bytes_limit_and_drops_are_those_of_ss(
    pair: Pair, native: Command, kind: str, size: int
) -> None:
    host, reached, label = KINDS[kind]
    with servers.sockets() as made:
        server = bind(made, pair.a, host, PORT, size)
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
        percent = f"{expected.percent:.2f}".rstrip("0").rstrip(".")
        assert done.stdout == (
            f"{label}: {percent}% ({expected.used} of {size}, {expected.drops} dropped) [CRITICAL]"
            f"|'fullest'={percent}%;20;50;0;100 'sockets'=1 'drops'={expected.drops}c\n"
        )
        assert done.returncode == 2
        # Read, it is empty; the drops stay.
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                server.recv(2000)
        assert found(ask(native, pair.a, "--format=json")) == {label: listed(pair.a)[label][0]}
        assert ask(native, pair.a, "-c", "50").returncode == 0


def test_of_several_sockets_the_fullest_counts_and_every_drop(pair: Pair, native: Command) -> None:
    label = f"{pair.a4}:{PORT}"
    with servers.sockets() as made:
        for size in (8192, 16384, 32768):
            bind(made, pair.a, pair.a4, PORT, size, shared=True)
        for _ in range(40):
            # The port of the sender decides which socket is meant.
            send(made, pair.b, (pair.a4, PORT), 3)
        wait_for(lambda: sum(row.used for row in listed(pair.a)[label]) > 16384)
        rows = listed(pair.a)[label]
        assert len(rows) == 3
        fullest = max(rows, key=lambda row: row.percent)
        expected = fullest._replace(drops=sum(row.drops for row in rows))
        assert found(ask(native, pair.a, "--format=json")) == {label: expected}


def test_selections_and_keys(pair: Pair, native: Command) -> None:
    four, six = f"{pair.a4}:{PORT}", f"[{pair.a6}]:{PORT}"
    with servers.sockets() as made:
        bind(made, pair.a, pair.a4, PORT, 8192)
        bind(made, pair.a, pair.a6, PORT, 8192)
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
            f'No UDP sockets with local port "{PORT + 1}" found.'
            "|'fullest'=0%;;;0;100 'sockets'=0\n"
        )
        assert ask(native, pair.a, "-c", f"{PORT}=1").returncode == 2
        assert ask(native, pair.a, "-c", f"{PORT}=1,{four}=900").returncode == 0


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            ["--conn-type=tcp"],
            "--conn-type: only UDP drops packets where a receive buffer is full "
            "(valid: --conn-type=udp or udp6)",
        ),
        (
            ["--source=procfs"],
            "The source procfs does not tell the limits of the receive buffers of sockets "
            "(valid: auto, netlink)",
        ),
        (
            ["--remote-port=53"],
            "--remote-port: has no meaning where sockets are measured "
            "(valid: --measure=connections)",
        ),
    ],
    ids=str,
)
def test_what_has_no_meaning_is_refused(native: Command, options: list[str], line: str) -> None:
    assert one_line(native.run(MEASURE, *options)) == line


@pytest.fixture(scope="module")
def site() -> Iterator[Pair]:
    """Return two namespaces, of which one has sockets that nothing changes."""
    with namespaces.pair() as made, servers.sockets() as held:
        bind(held, made.a, made.a4, 514, 8192)
        bind(held, made.a, "::", 53, 65536)
        # An ephemeral port.
        bind(held, made.a, ANY, 40000, 4608)
        send(held, made.b, (made.a4, 514), 50)
        wait_for(lambda: listed(made.a)[SYSLOG][0].drops > 0)
        yield made


SYSLOG = f"{Pair.a4}:514"


@pytest.fixture(scope="module")
def someone(
    request: pytest.FixtureRequest, site: Pair, nobodys: Mapping[str, Command]
) -> Iterator[Asker]:
    with asker(site.a, request.param, nobodys) as made:
        yield made


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
    if not lacking("promtool"):
        assert harness.promtool(text) == Done("", "", 0)


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


def test_without_netlink_the_state_is_unknown(
    site: Pair, native: Command, tampered: Tampered
) -> None:
    with namespaces.inside(site.a):
        done = native.run(MEASURE, before=tampered(harness.NO_SOCKETS))
    assert one_line(done).endswith(
        "the limits of receive buffers are not known here (only netlink has them)"
    )
