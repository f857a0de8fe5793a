"""A link-local address is another host on every link: peers are told apart by their interface."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import harness
import pytest
from conftest import Tampered
from harness import PATIENCE, Done
from lab import namespaces
from network_connections import Connection

T = TypeVar("T")

LINKS = {"lab": 3, "lab2": 2}
PEER = "fe80::1"
HERE = "fe80::2"
PORT = 9000
UDP = 9001


@dataclass(frozen=True)
class Host:
    """The namespace `ns` has a peer with the same address on each of its links."""

    ns: str

    def ask(self, *options: str, before: tuple[str, ...] = ()) -> Done:
        """Run the check there."""
        line = [*before, str(harness.NATIVE), "--timeout=60", *options]
        done = namespaces.run(self.ns, line, check=False)
        return Done(done.stdout, done.stderr, done.returncode)

    def counts(self, by: str, *options: str, before: tuple[str, ...] = ()) -> dict[str, int]:
        """Return the count of each group."""
        done = self.ask(f"--group-by={by}", "--format=json", *options, before=before)
        assert (done.stderr, done.returncode) == ("", 0), done
        return {group["label"]: group["count"] for group in json.loads(done.stdout)["groups"]}

    def call(self, expression: str, kind: type[T]) -> T:
        """Return what an expression of the API is there."""
        script = f"import pickle, sys; from network_connections import *; \
sys.stdout.buffer.write(pickle.dumps({expression}))"
        with namespaces.inside(self.ns):
            done = subprocess.run(
                [sys.executable, "-c", script], capture_output=True, timeout=PATIENCE, check=True
            )
        value = pickle.loads(done.stdout)  # noqa: S301
        assert isinstance(value, kind)
        return value

    def index(self, link: str) -> int:
        """Return the number of a link."""
        with namespaces.inside(self.ns):
            return socket.if_nametoindex(link)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    if reason := namespaces.missing():
        pytest.skip(reason)
    with contextlib.ExitStack() as held, namespaces.pair() as pair:

        def ip(*words: str) -> None:
            subprocess.run(["ip", *words], check=True, timeout=PATIENCE)

        other = ["type", "veth", "peer", "name", "lab2", "netns", pair.b]
        ip("link", "add", "lab2", "netns", pair.a, *other)
        for ns, address in ((pair.a, HERE), (pair.b, PEER)):
            for link in LINKS:
                # Nothing but this one: of several the kernel chooses.
                ip("-n", ns, "link", "set", link, "addrgenmode", "none")
                ip("-n", ns, "-6", "addr", "flush", "dev", link, "scope", "link")
                ip("-n", ns, "addr", "add", f"{address}/64", "dev", link, "nodad")
                ip("-n", ns, "link", "set", link, "up")

        def made(ns: str, kind: socket.SocketKind) -> socket.socket:
            with namespaces.inside(ns):
                return held.enter_context(socket.socket(socket.AF_INET6, kind))

        there = made(pair.b, socket.SOCK_STREAM)
        there.bind(("::", PORT))
        there.listen()
        for link, number in LINKS.items():
            with namespaces.inside(pair.a):
                scope = socket.if_nametoindex(link)
            for _ in range(number):
                client = made(pair.a, socket.SOCK_STREAM)
                client.connect((PEER, PORT, 0, scope))
                held.enter_context(there.accept()[0])
            client = made(pair.a, socket.SOCK_DGRAM)
            client.connect((PEER, UDP, 0, scope))
        # The same multicast group on both links, and a peer that is no neighbour.
        for link in LINKS:
            with namespaces.inside(pair.a):
                scope = socket.if_nametoindex(link)
            client = made(pair.a, socket.SOCK_DGRAM)
            client.connect(("ff02::fb", 5353, 0, scope))
        client = made(pair.a, socket.SOCK_STREAM)
        client.connect((pair.b6, PORT, 0, 0))
        held.enter_context(there.accept()[0])
        yield Host(pair.a)


TCP = "--conn-type=tcp6"


def test_peers_are_told_apart(host: Host) -> None:
    assert host.counts("remote-address") == {
        "fe80::1%lab": 4,
        "fe80::1%lab2": 3,
        "ff02::fb": 2,
        "2001:db8::2": 1,
    }
    assert host.call("count_connections('tcp6', group_by='remote-address')", dict) == {
        "fe80::1%lab": 3,
        "fe80::1%lab2": 2,
        "2001:db8::2": 1,
    }


def test_own_addresses_too(host: Host) -> None:
    counts = host.counts("local-address", TCP)
    assert counts == {"fe80::2%lab": 3, "fe80::2%lab2": 2, "2001:db8::1": 1}


def test_connections_that_came_from_there(host: Host) -> None:
    other = Host(host.ns.removesuffix("a") + "b")
    assert other.counts("remote-address", TCP, "--conn-status=established") == {
        "fe80::2%lab": 3,
        "fe80::2%lab2": 2,
        "2001:db8::1": 1,
    }


def test_an_interface_without_a_name_is_a_number(host: Host, tampered: Tampered) -> None:
    before = (*tampered("ioctl:error=ENODEV"),)
    assert host.counts("remote-address", TCP, before=before) == {
        f"fe80::1%{host.index('lab')}": 3,
        f"fe80::1%{host.index('lab2')}": 2,
        "2001:db8::2": 1,
    }


def test_procfs_does_not_tell(host: Host) -> None:
    counts = host.counts("remote-address", TCP, "--source=procfs")
    assert counts == {"fe80::1": 5, "2001:db8::2": 1}


def test_a_selection_means_every_link(host: Host) -> None:
    for network in (PEER, "fe80::/10"):
        counts = host.counts("remote-address", TCP, f"--remote-address={network}")
        assert counts == {"fe80::1%lab": 3, "fe80::1%lab2": 2}
    done = host.ask("--remote-address=fe80::1%lab")
    assert done.returncode == 3


def judged(host: Host, *options: str) -> tuple[str, int]:
    """Return the message and the state of the established peers."""
    done = host.ask("--group-by=remote-address", TCP, "--remote-address=fe80::/10", *options)
    assert done.stderr == ""
    return done.stdout.partition("|")[0].rstrip("\n"), done.returncode


def test_a_key_means_one_link_or_all(host: Host) -> None:
    lab, lab2 = "fe80::1%lab: 3", "fe80::1%lab2: 2"
    for key in ("fe80::1%lab", "FE80::1%lab", "fe80:0::1%LAB", f"fe80::1%{host.index('lab')}"):
        assert judged(host, "-c", f"{key}=2") == (f"{lab} [CRITICAL], {lab2}", 2), key
    assert judged(host, "-c", "fe80::1=1") == (f"{lab} [CRITICAL], {lab2} [CRITICAL]", 2)
    # What means one link is closer than what means all.
    for keys in ("fe80::1=1,fe80::1%lab=3", "fe80::1%lab=3,fe80::1=1"):
        assert judged(host, "-c", keys) == (f"{lab}, {lab2} [CRITICAL]", 2), keys


def test_a_key_of_a_link_without_connections_is_not_silent(host: Host) -> None:
    found = "fe80::1%lab: 3, fe80::1%lab2: 2"
    assert judged(host, "-c", "fe80::1%lo=1:") == (
        f"{found}, fe80::1%lo: 0 [CRITICAL] (nearest: fe80::1%lab)",
        2,
    )
    assert judged(host, "-c", "fe80::9=1:") == (f"{found}, fe80::9: 0 [CRITICAL]", 2)
    # The name of a link may be mistyped; an address has been read.
    said = f"{found}, fe80::1%lo: 0 (nearest: fe80::1%lab)"
    assert judged(host, "-c", "fe80::1%lo=5,fe80::9=5") == (said, 0)


def test_where_the_interface_is_not_told_its_key_is_unclear(host: Host) -> None:
    for limit in ("1:", "3"):
        message, state = judged(host, "--source=procfs", "-c", f"fe80::1%lab={limit}")
        assert state == 3, message
        assert "[UNKNOWN]" in message
    assert judged(host, "--source=procfs", "-c", "fe80::1%lab=5") == (
        "fe80::1: 5, fe80::1%lab: 0 to 5 (nearest: fe80::1)",
        0,
    )
    assert judged(host, "--source=procfs", "-c", "fe80::1=4") == ("fe80::1: 5 [CRITICAL]", 2)


# Endpoints, and the measure that has them as groups.

ENDPOINTS = ("--group-by=remote-endpoint", "--measure=ephemeral-ports")
LAB, LAB2 = (f"[{PEER}%{link}]:{PORT}" for link in LINKS)


def endpoints(host: Host, asked: str, *options: str) -> tuple[dict[str, str], int]:
    """Return the state of each group towards a link-local address, and that of all."""
    done = host.ask(asked, TCP, "--remote-address=fe80::/10", "--format=json", *options)
    assert done.stderr == ""
    names = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
    report = json.loads(done.stdout)
    return {g["label"]: names[g["state"]] for g in report["groups"]}, done.returncode


@pytest.mark.parametrize("asked", ENDPOINTS)
def test_endpoints_are_told_apart_by_their_link(host: Host, asked: str) -> None:
    fine = {LAB: "OK", LAB2: "OK"}
    assert endpoints(host, asked) == (fine, 0)
    for key in (LAB, f"[FE80:0::1%lab]:{PORT}", f"[fe80::1%{host.index('lab')}]:{PORT}"):
        assert endpoints(host, asked, "-c", f"{key}=0") == ({**fine, LAB: "CRITICAL"}, 2), key
    both = dict.fromkeys((LAB, LAB2), "CRITICAL")
    for key in (f"[fe80::1]:{PORT}", str(PORT)):
        assert endpoints(host, asked, "-c", f"{key}=0") == (both, 2), key
    assert endpoints(host, asked, "-c", f"{PORT}=0,{LAB}=100") == ({LAB: "OK", LAB2: "CRITICAL"}, 2)
    # Of a link without connections it is not silent.
    missing = f"[fe80::1%lo]:{PORT}"
    found = endpoints(host, asked, "-c", f"{missing}=1:")
    assert found == ({**fine, missing: "CRITICAL"}, 2)


@pytest.mark.parametrize("asked", ENDPOINTS)
@pytest.mark.parametrize(
    "keys",
    [f"{LAB}=100,[fe80::1]:{PORT}=0", f"[fe80::1%LAB2]:{PORT}=0"],
    ids=["what means one link is closer", "upper case"],
)
def test_a_key_of_an_endpoint_means_its_link(host: Host, asked: str, keys: str) -> None:
    """As one of an address does."""
    assert endpoints(host, asked, "-c", keys) == ({LAB: "OK", LAB2: "CRITICAL"}, 2)


@pytest.mark.parametrize("asked", ENDPOINTS)
def test_where_the_interface_is_not_told_a_key_of_an_endpoint_is_unclear(
    host: Host, asked: str, tampered: Tampered
) -> None:
    """As one of an address is: where netlink is refused, a limit must not go in silence."""
    before = (*tampered(harness.NO_SOCKETS),)
    for how in ({"before": before}, {"before": ()}):
        source = () if how["before"] else ("--source=procfs",)
        for limit in ("0", "0.01:"):
            done = host.ask(asked, TCP, *source, "-c", f"{LAB}={limit}", **how)
            assert done.returncode == 3, done
            assert "[UNKNOWN]" in done.stdout
            # What only the key names was not found.
            assert "'groups'=2 " in done.stdout or done.stdout.endswith("'destinations'=2\n")


@pytest.mark.parametrize("key", ["fe80::1%", "2001:db8::2%lab", "192.0.2.2%lab", "%lab"])
def test_what_is_no_key(key: str, host: Host) -> None:
    done = host.ask("--group-by=remote-address", "-c", f"{key}=5")
    assert done.returncode == 3
    assert f'"{key}" is the key of no group' in done.stdout


def test_the_tables_tell_the_link(host: Host) -> None:
    done = host.ask("--group-by=type", TCP, "--conn-status=established", "--lengthy")
    rows = harness.rows(done, "tcp6", "peer")
    assert harness.columns(rows, "Connections", "Local port", "Remote address", "Remote port") == [
        ["3", "-", "fe80::1%lab", str(PORT)],
        ["2", "-", "fe80::1%lab2", str(PORT)],
        ["1", "-", "2001:db8::2", str(PORT)],
    ]
    # Ports are in use towards a peer on one link.
    used = [row["Ephemeral ports in use"].partition(" of ")[0] for row in rows]
    assert used == ["3", "2", "1"]
    other = Host(host.ns.removesuffix("a") + "b")
    done = other.ask("--group-by=type", TCP, "--conn-status=established", "--lengthy")
    rows = harness.rows(done, "tcp6", "peer")
    assert harness.columns(rows, "Connections", "Local port", "Remote address", "Remote port") == [
        ["3", str(PORT), "fe80::2%lab", "-"],
        ["2", str(PORT), "fe80::2%lab2", "-"],
        ["1", str(PORT), "2001:db8::1", "-"],
    ]


def test_connections_have_it_in_their_addresses(host: Host) -> None:
    made: list[Connection] = host.call("connections('tcp6', remote_address='fe80::/10')", list)
    ends = sorted((c.local_address, c.remote_address) for c in made)
    assert ends == [(f"{HERE}%lab", f"{PEER}%lab")] * 3 + [(f"{HERE}%lab2", f"{PEER}%lab2")] * 2
    for connection in made:
        assert ipaddress.IPv6Address(connection.local_address).scope_id in LINKS
        assert eval(repr(connection), {"Connection": Connection}) == connection  # noqa: S307
    procfs: list[Connection] = host.call(
        "connections('tcp6', remote_address='fe80::/10', source='procfs')", list
    )
    assert {(c.local_address, c.remote_address) for c in procfs} == {(HERE, PEER)}


def test_an_interface_tells_connections_apart() -> None:
    def one(address: str) -> Connection:
        return Connection("tcp6", "ESTABLISHED", address, 1, address, 2)

    assert one("fe80::1%eth0") == one("fe80::1%eth0")
    assert len({one("fe80::1%eth0"), one("fe80::1%eth1"), one("fe80::1"), one("fe80::1%eth0")}) == 3
    for wrong in ("192.0.2.1%eth0", "fe80::1%", "%eth0", "fe80::1%a%b"):
        with pytest.raises(ValueError, match="is no IP address"):
            one(wrong)
