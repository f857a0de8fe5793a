"""Selections with values that are taken away, and directions, of a thousand sockets.

The kernel's answer, the tables of /proc and the model are equal, for any selection.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import itertools
import random
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import harness
import model
import pytest
import shares
from asking import SOURCES, USERS, Asker, Shown, asker, shown
from harness import Command
from lab import namespaces, oracles
from lab.names import LOWER, TYPES
from model import Question

HOSTS4 = ("127.0.0.1", "127.0.0.2", "127.9.9.9", "10.1.2.3", "10.1.2.4", "10.200.0.1", "192.0.2.9")
HOSTS6 = ("::1", "2001:db8:aa::1", "2001:db8:aa::2", "2001:db8:bb::1", "fd00::1")
PORTS = (80, 443, 5432, 6432, 8000, 8001, 8080, 8099, 9000, 20000)
# Networks of every width around these addresses, and others.
NETWORKS = (
    *HOSTS4,
    *HOSTS6,
    "127.0.0.0/8",
    "127.0.0.0/30",
    "10.0.0.0/8",
    "10.1.2.0/24",
    "10.128.0.0/9",
    "0.0.0.0/0",
    "0.0.0.0",  # noqa: S104
    "::",
    "::/0",
    "::/1",
    "::/64",
    "::fffe:0:0/95",
    "::ffff:0:0/96",
    "::ffff:10.0.0.0/104",
    "2001:db8:aa::/48",
    "fc00::/7",
    "198.51.100.0/24",
)
RANGES = (*map(str, PORTS), "0", "1-1023", "8000-8099", "1024-65535", "32768-60999", "0-65535")
ENDS = {
    "local_port": RANGES,
    "remote_port": RANGES,
    "local_address": NETWORKS,
    "remote_address": NETWORKS,
}
SOCKETS = 1000


class Crowd:
    """A namespace with about a thousand sockets at random ends."""

    def __init__(self, ns: str, held: contextlib.ExitStack) -> None:
        """Make the sockets."""
        self.ns = ns
        self._held = held
        self._chance = random.Random(33)
        self._servers: list[tuple[socket.socket, str]] = []
        with namespaces.inside(ns):
            for port in PORTS:
                self._listen(port)
            count = 2 * len(self._servers)
            for _ in range(130):
                self._udp()
            while count < SOCKETS:
                count += self._connect()

    def _made(self, family: int, kind: int) -> socket.socket:
        return self._held.enter_context(socket.socket(family, kind))

    def _listen(self, port: int) -> None:
        """Listen on a port: on all addresses of one family or of both, or on some."""
        everywhere = port % 3
        for family, hosts in ((socket.AF_INET, HOSTS4), (socket.AF_INET6, HOSTS6)):
            wide = "0.0.0.0" if family == socket.AF_INET else "::"  # noqa: S104
            for host in [wide] if everywhere else self._chance.sample(hosts, 3):
                if everywhere == 2 and family == socket.AF_INET:
                    continue  # The listener of IPv6 has IPv4, too.
                listener = self._made(family, socket.SOCK_STREAM)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, everywhere != 2)
                listener.bind((host, port))
                listener.listen(1024)
                self._servers.append((listener, host))

    def _connect(self) -> int:
        listener, host = self._chance.choice(self._servers)
        port = listener.getsockname()[1]
        kind = socket.SOCK_STREAM
        if host == "::" and self._chance.random() < 0.5 and port % 3 == 2:
            mapped = self._chance.random() < 0.5
            target = self._chance.choice(HOSTS4)
            family, before = (socket.AF_INET6, "::ffff:") if mapped else (socket.AF_INET, "")
            client = self._made(family, kind)
            client.bind((before + self._chance.choice(HOSTS4), 0))
            client.connect((before + target, port))
        else:
            hosts = HOSTS4 if listener.family == socket.AF_INET else HOSTS6
            target = host if host in hosts else self._chance.choice(hosts)
            client = self._made(listener.family, kind)
            client.bind((self._chance.choice(hosts), 0))
            client.connect((target, port))
        accepted = self._held.enter_context(listener.accept()[0])
        fate = self._chance.random()
        if fate < 0.1:
            client.shutdown(socket.SHUT_WR)
        elif fate < 0.2:
            accepted.shutdown(socket.SHUT_WR)
        return 2

    def _udp(self) -> None:
        family, hosts = self._chance.choice(((socket.AF_INET, HOSTS4), (socket.AF_INET6, HOSTS6)))
        made = self._made(family, socket.SOCK_DGRAM)
        made.bind((self._chance.choice(hosts), 0))
        if self._chance.random() < 0.5:
            made.connect((self._chance.choice(hosts), self._chance.choice(PORTS)))

    def sockets(self) -> list[Shown]:
        """Return the sockets as /proc shows them, which are those that ss shows."""
        rows = shown(oracles.read_proc_net(self.ns))
        assert rows == shown(oracles.read_ss(self.ns))
        return rows


@pytest.fixture(scope="module")
def crowd() -> Iterator[Crowd]:
    if reason := namespaces.missing():
        pytest.skip(reason)
    with namespaces.pair() as pair, contextlib.ExitStack() as held:
        namespaces.sysctl(pair.a, "net/ipv4/ip_nonlocal_bind", 1)
        namespaces.sysctl(pair.a, "net/ipv6/ip_nonlocal_bind", 1)
        for network in ("10.0.0.0/8", "192.0.2.8/29", "2001:db8:80::/41", "fd00::/8"):
            family = "-6" if ":" in network else "-4"
            namespaces.run(pair.a, ["ip", family, "route", "add", "local", network, "dev", "lo"])
        yield Crowd(pair.a, held)


@pytest.fixture(params=USERS)
def someone(
    request: pytest.FixtureRequest, crowd: Crowd, nobodys: Mapping[str, Command]
) -> Iterator[Asker]:
    with asker(crowd.ns, request.param, nobodys) as made:
        yield made


def _marked(chance: random.Random, values: list[str]) -> tuple[str, ...]:
    return tuple(chance.choice(("", "!", "^")) + value for value in values)


def _question(chance: random.Random) -> Question:
    fields: dict[str, Any] = {"group_by": chance.choice(("type-status", *GROUPED))}
    for option, values in ENDS.items():
        if chance.random() < 0.45:
            fields[option] = _marked(chance, chance.sample(values, chance.randint(1, 4)))
    if chance.random() < 0.2:
        fields["types"] = _marked(chance, chance.sample(TYPES, chance.randint(1, 2)))
    if chance.random() < 0.2:
        fields["statuses"] = _marked(chance, chance.sample(LOWER, chance.randint(1, 3)))
    if chance.random() < 0.3:
        fields["direction"] = chance.choice(("in", "out"))
    return Question(**fields)


GROUPED = ("local-port", "remote-port", "local-address", "remote-address")


def _questions(number: int) -> list[Question]:
    chance = random.Random(33)
    return [_question(chance) for _ in range(number)]


@pytest.mark.parametrize("source", SOURCES)
@shares.number("number", 60, 500)
def test_every_source_selects_what_the_model_selects(
    crowd: Crowd, someone: Asker, source: str, number: int
) -> None:
    questions = [dataclasses.replace(asked, source=source) for asked in _questions(number)]
    before = crowd.sockets()
    assert len(before) >= SOCKETS
    answers = someone.api(
        [("count_connections", asked.keywords("count_connections")) for asked in questions]
    )
    assert crowd.sockets() == before
    outcomes: Counter[str] = Counter()
    for asked, counts in zip(questions, answers):
        selected = model.selected(asked, before)
        if "error" in counts:
            # A contradiction is named, and never answered.
            assert not selected, (asked, counts)
            assert "leaves nothing" in counts["text"] or "direction" in counts["text"], counts
            outcomes["refused"] += 1
            continue
        expected = model.answer(asked, before)
        assert counts == expected.counts, asked
        assert sum(counts.values()) == len(selected), asked
        outcomes["some" if selected else "none"] += 1
    assert outcomes["some"] > number / 3, outcomes


@pytest.mark.parametrize("network", ["127.0.0.0/8", "::/0", "0.0.0.0/0", "10.1.2.0/24", "::1"])
@pytest.mark.parametrize("end", ["local_address", "remote_address"])
def test_an_exclusion_and_its_opposite_are_everything(
    crowd: Crowd, someone: Asker, end: str, network: str
) -> None:
    def counts(**keywords: str) -> Counter[str]:
        (answer,) = someone.api([("count_connections", keywords)])
        return Counter(answer)

    by = end.replace("_", "-")
    for source in SOURCES:
        whole = counts(group_by=by, source=source)
        parts = [
            counts(group_by=by, source=source, **{end: mark + network}) for mark in ("", "!", "^")
        ]
        assert parts[1] == parts[2]
        assert parts[0] + parts[1] == whole
        # An address is in one of them, with all its connections.
        assert not parts[0].keys() & parts[1].keys()


def test_directions_are_the_groups_of_every_connection(crowd: Crowd, someone: Asker) -> None:
    sockets = crowd.sockets()
    ways = ("in", "out")
    expected = {way: len(model.selected(Question(direction=way), sockets)) for way in ways}
    expected["neither"] = len(sockets) - sum(expected.values())
    for source in SOURCES:
        calls = [{}, *({"direction": way} for way in ways)]
        answers = someone.api(
            [
                ("count_connections", {"group_by": "direction", "source": source, **call})
                for call in calls
            ]
        )
        assert answers == [expected, *({way: expected[way]} for way in ways)]
    for way, source in itertools.product(ways, SOURCES):
        done = someone.run("native", "--group-by=remote-network", f"--direction={way}", "--top=99")
        assert done.returncode == 0, source
        found = model.selected(Question(direction=way), sockets)
        networks = Counter(_network(one.remote[0]) for one in found)
        assert done.stdout.startswith(
            ", ".join(f"{label}: {count}" for label, count in _sorted(networks))
        )


def _network(host: str) -> str:
    address = model.canonical(host)
    if address.is_unspecified or str(address) == "::1":
        return str(address)
    bits = 24 if address.version == 4 else 64
    return str(ipaddress.ip_network((address, bits), strict=False))


def _sorted(networks: Counter[str]) -> list[tuple[str, int]]:
    def rank(item: tuple[str, int]) -> tuple[int, int, int, int]:
        network = ipaddress.ip_network(item[0])
        return -item[1], network.version, int(network.network_address), network.prefixlen

    return sorted(networks.items(), key=rank)


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (("--local-port=80", "--local-port=!1-100"), '--local-port: "80,!1-100" leaves nothing'),
        (("--remote-address=!::/0", "--remote-address=!0.0.0.0/0"), "--remote-address: "),
        (("--conn-status=listen", "--conn-status=^listen"), '--conn-status: "listen,^listen"'),
        (("--conn-type=!all",), '--conn-type: "!all" leaves nothing'),
        (("--local-port=!http",), '--local-port: "http" is no port'),
        (
            ("--direction=in", "--conn-type=udp"),
            '--direction: no connection of type "udp" in status "all" has the direction "in"'
            " (valid: --conn-type=tcp or tcp6)",
        ),
        (
            ("--direction=out", "--conn-status=listen"),
            '--direction: no connection of type "all" in status "listen" has the direction "out"'
            " (valid: --conn-status=!listen)",
        ),
        (("--direction=in", "--measure=accept-queue"), "--direction: has no meaning"),
        pytest.param(
            ("--direction=in", "--source=counters"),
            "The source counters does not tell",
            marks=pytest.mark.skipif(harness.WINDOWS, reason="Windows has no such source"),
        ),
    ],
)
def test_a_contradiction_is_named(args: tuple[str, ...], problem: str, native: Command) -> None:
    line = harness.one_line(native.run(*args))
    assert line.startswith(problem), line


def test_a_plain_address_is_not_listened_on_by_another(crowd: Crowd, someone: Asker) -> None:
    """The same port on another address makes a connection no incoming one."""
    # Connections of an earlier test may still be ending.
    port = 7777 + USERS.index(someone.user)
    with contextlib.ExitStack() as held, namespaces.inside(crowd.ns):

        def made() -> socket.socket:
            return held.enter_context(socket.socket())

        first, second, client = made(), made(), made()
        for listener, host in ((first, "10.1.9.1"), (second, "10.1.9.2")):
            listener.bind((host, port))
            listener.listen()
        client.connect(("10.1.9.1", port))
        held.enter_context(first.accept()[0])

        def counts() -> dict[str, int]:
            keywords = {"local_port": port, "group_by": "direction"}
            answer: dict[str, int] = someone.api([("count_connections", keywords)])[0]
            return answer

        assert counts() == {"neither": 2, "in": 1}
        # The listener ends, and its connection lives on.
        first.close()
        assert counts() == {"neither": 1, "out": 1}
