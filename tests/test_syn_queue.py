"""`--measure=syn-queue`: the connections in SYN_RECV of each listener, against `ss`."""

from __future__ import annotations

import json
import re
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

import harness
import pytest
from asking import TWO_OF_FOUR, Asker
from harness import Command, Done
from lab import namespaces, servers
from lab.namespaces import Pair
from lab.servers import REUSE, Sockets, wait_for
from lab.tools import lacking

pytestmark = [
    pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing() or "-"),
    # A place is in Linux.
    pytest.mark.usefixtures("place"),
]

MEASURE = "--measure=syn-queue"
PORT = 8000
ANY = "0.0.0.0"  # noqa: S104 - in a namespace of its own
# The connection stays in SYN_RECV until its client sends data, so that no count changes.
DEFER = (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 600)
ONLY_V6 = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with namespaces.pair() as made:
        yield made


def ask(native: Command, ns: str, *options: str) -> Done:
    with namespaces.inside(ns):
        return native.run(MEASURE, *options)


def found(done: Done) -> dict[str, tuple[int, int]]:
    """Return the number of connections and the limit of each listener, of a JSON report."""
    assert done.stderr == ""
    listed: list[dict[str, Any]] = json.loads(done.stdout)["groups"]
    for group in listed:
        assert group["percent"] == pytest.approx(100 * group["count"] / (group["of"] or 0.5))
        assert group["drops"] is None
    return {group["label"]: (group["count"], group["of"]) for group in listed}


def received(ns: str) -> Counter[str]:
    """Read with `ss` the number of connections in SYN_RECV by local address and port."""
    lines = namespaces.run(ns, ["ss", "-HtnO", "state", "syn-recv"]).stdout.splitlines()
    return Counter(re.sub(r"\[::ffff:([\d.]+)\]", r"\1", line.split()[2]) for line in lines)


def fill(made: Sockets, pair: Pair, to: str, count: int, port: int = PORT) -> None:
    """Open connections that stay in SYN_RECV."""
    before = sum(received(pair.a).values())
    for _ in range(count):
        made.connect(pair.b, (to, port))
    wait_for(lambda: sum(received(pair.a).values()) == before + count)


KINDS = {
    # Where it listens, where its clients connect to, and its label.
    "IPv4": (Pair.a4, Pair.a4, f"{Pair.a4}:{PORT}"),
    "any IPv4": (ANY, Pair.a4, f"{ANY}:{PORT}"),
    "IPv6": (Pair.a6, Pair.a6, f"[{Pair.a6}]:{PORT}"),
    "dual-stack, IPv6": ("::", Pair.a6, f"[::]:{PORT}"),
    "dual-stack, IPv4": ("::", Pair.a4, f"[::]:{PORT}"),
    "IPv4-mapped": (f"::ffff:{Pair.a4}", Pair.a4, f"{Pair.a4}:{PORT}"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_connections_and_backlog_are_those_of_ss(pair: Pair, native: Command, kind: str) -> None:
    host, reached, label = KINDS[kind]
    with servers.sockets() as made:
        made.listen(pair.a, host, PORT, 16, options=[DEFER])
        assert found(ask(native, pair.a, "--format=json")) == {label: (0, 16)}
        fill(made, pair, reached, 4)
        (queue,) = servers.queues(pair.a)[label]
        assert sum(received(pair.a).values()) == 4
        assert found(ask(native, pair.a, "--format=json")) == {label: (4, queue.of)}
        done = ask(native, pair.a, "-w", "20", "-c", "50")
        assert done.stdout == (
            f"{label}: 25% (4 of 16) [WARNING]|'fullest'=25%;20;50;0;100 'listeners'=1\n"
        )
        assert done.returncode == 1
        # The accept queue is empty meanwhile.
        assert queue.waiting == 0


FLOODED = ("TcpExtListenDrops", "TcpExtTCPReqQFullDoCookies", "TcpExtTCPReqQFullDrop")


@pytest.mark.skipif(bool(lacking("nft")), reason=lacking("nft") or "-")
@pytest.mark.parametrize("host", [Pair.a4, Pair.a6])
@pytest.mark.parametrize("cookies", [0, 1])
@pytest.mark.parametrize("backlog", [1, 8, 16])
def test_a_flood_fills_the_queue(
    pair: Pair, native: Command, host: str, cookies: int, backlog: int
) -> None:
    """As docs/incidents.md says: at 100%, or one connection above, the kernel refuses requests."""
    label = f"[{host}]:{PORT}" if ":" in host else f"{host}:{PORT}"
    namespaces.sysctl(pair.a, "net/ipv4/tcp_syncookies", cookies)
    with servers.losing(pair.b, PORT), servers.sockets() as made:
        made.listen(pair.a, host, PORT, backlog)
        for _ in range(3 * backlog + 5):
            made.request(pair.b, (host, PORT))
        wait_for(lambda: received(pair.a)[label] >= backlog)
        # The kernel drops requests again while it is asked.
        for _ in range(20):
            before = received(pair.a)
            done = ask(native, pair.a, "--format=json", "-c", "90")
            if received(pair.a) == before:
                break
        else:
            pytest.fail("the queue never stays the same")
        assert found(done) == {label: (before[label], backlog)}
        assert before[label] in (backlog, backlog + 1)
        assert done.returncode == 2
        # The accept queue is fine, and the host drops requests or answers with cookies.
        first = servers.nstat(pair.a, *FLOODED)
        with namespaces.inside(pair.a):
            done = native.run("--measure=accept-queue", "-w", "0")
        last = servers.nstat(pair.a, *FLOODED)
        assert done.returncode == 0
        assert first["TcpExtTCPReqQFullDoCookies"] > 0 or not cookies
        assert first["TcpExtTCPReqQFullDrop"] > 0 or cookies
        (dropped,) = re.findall(r"'ListenDrops'=(\d+)c$", done.stdout)
        assert first["TcpExtListenDrops"] <= int(dropped) <= last["TcpExtListenDrops"]
        if cookies:
            assert int(dropped) == 0
        else:
            assert first["TcpExtTCPReqQFullDrop"] <= int(dropped) <= last["TcpExtTCPReqQFullDrop"]


def test_backlogs_of_several_sockets_are_added_up(pair: Pair, native: Command) -> None:
    label = f"{pair.a4}:{PORT}"
    with servers.sockets() as made:
        for backlog in (4, 8, 20):
            made.listen(pair.a, pair.a4, PORT, backlog, options=[REUSE, DEFER])
        fill(made, pair, pair.a4, 8)
        assert found(ask(native, pair.a, "--format=json")) == {label: (8, 32)}


def test_a_connection_belongs_to_the_closest_listener(pair: Pair, native: Command) -> None:
    with servers.sockets() as made:
        made.listen(pair.a, pair.a4, PORT, 10, options=[REUSE, DEFER])
        made.listen(pair.a, ANY, PORT, 20, options=[REUSE, DEFER])
        made.listen(pair.a, "::", PORT, 40, options=[ONLY_V6, DEFER])
        fill(made, pair, pair.a4, 1)
        fill(made, pair, pair.a6, 3)
        for _ in range(2):
            made.connect(pair.a, ("127.0.0.1", PORT))
        wait_for(lambda: sum(received(pair.a).values()) == 6)
        four, every, six = f"{pair.a4}:{PORT}", f"{ANY}:{PORT}", f"[::]:{PORT}"
        expected = {four: (1, 10), every: (2, 20), six: (3, 40)}
        assert found(ask(native, pair.a, "--format=json")) == expected
        for option, labels in (
            (f"--local-address={ANY}", [every]),
            (f"--local-address={pair.a4}", [four]),
            ("--local-address=::", [six]),
            (f"--local-port={PORT}", [four, every, six]),
            (f"--local-port={PORT + 1}", []),
            ("--conn-type=tcp", [four, every]),
            ("--conn-type=tcp6", [six]),
        ):
            done = ask(native, pair.a, option, "--format=json")
            assert found(done) == {label: expected[label] for label in labels}, option
        done = ask(native, pair.a, "-c", f"9,{PORT}=10,{pair.a4}:{PORT}=5")
        assert done.returncode == 2
        assert f"{four}: 10% (1 of 10) [CRITICAL]" in done.stdout
        assert done.stdout.count("[") == 2  # with that of the address


def test_what_has_no_listener_is_left_out(pair: Pair, native: Command) -> None:
    with servers.sockets() as made:
        server = made.listen(pair.a, pair.a4, PORT, 16, options=[DEFER])
        fill(made, pair, pair.a4, 4)
        server.close()
        assert ask(native, pair.a).stdout == (
            "No listeners found.|'fullest'=0%;;;0;100 'listeners'=0\n"
        )


@pytest.fixture(scope="module")
def site() -> Iterator[Pair]:
    """Return two namespaces, of which one has listeners that nothing changes."""
    with namespaces.pair() as made, servers.sockets() as held:
        held.listen(made.a, made.a4, 8080, 16, options=[DEFER])
        held.listen(made.a, "::", 443, 128)
        fill(held, made, made.a4, 12, 8080)
        yield made


MESSAGE = "192.0.2.1:8080: 75% (12 of 16), [::]:443: 0% (0 of 128)"
PERFDATA = "'fullest'=75%;;;0;100 'listeners'=2"


@pytest.mark.parametrize(("someone", "way"), TWO_OF_FOUR, indirect=["someone"])
def test_everybody_sees_them_in_every_format(someone: Asker, way: str) -> None:
    assert someone.run(way, MEASURE) == Done(f"{MESSAGE}|{PERFDATA}\n", "", 0)
    answer = someone.run(way, MEASURE, "--format=json")
    assert found(answer) == {"192.0.2.1:8080": (12, 16), "[::]:443": (0, 128)}
    assert json.loads(answer.stdout)["measure"] == "syn-queue"
    text = someone.run(way, MEASURE, "--format=prometheus").stdout
    for sample in (
        'network_connections_syn_queue_connections{listener="192.0.2.1:8080"} 12',
        'network_connections_syn_queue_connections{listener="[::]:443"} 0',
        'network_connections_syn_queue_limit{listener="192.0.2.1:8080"} 16',
        'network_connections_syn_queue_limit{listener="[::]:443"} 128',
    ):
        assert f"\n{sample}\n" in text
    assert harness.is_fine(text)


def test_the_table_has_the_owner_of_the_listener(site: Pair, native: Command) -> None:
    done = ask(native, site.a, "-w", "50", "-c", "100", "--lengthy")
    assert done.returncode == 1
    table = (
        r"192\.0\.2\.1:8080: 75% \(12 of 16\) \[WARNING\], .*\n\n192\.0\.2\.1:8080, by owner:\n"
        r"Sockets ! Process +! Unit +! User +! Backlog\n[-+]+\n1 +! \S.* ! root ! 16\|'fullest'"
    )
    assert re.match(table, done.stdout), done.stdout


def test_a_namespace_is_named(site: Pair, native: Command) -> None:
    done = native.run(MEASURE, f"--netns={site.a}")
    assert done.stdout.startswith(f"192.0.2.1:8080 in {site.a}: 75% (12 of 16), ")
