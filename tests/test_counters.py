"""`--source=counters`: what it says of sockets that are special, and where it cannot tell."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Tampered
from harness import OPEN, Command, Done, one_line, reworded, says
from lab import namespaces, oracles

# A place is in Linux.
pytestmark = pytest.mark.usefixtures("place")

# Makes sockets that are special in some way, says what the kernel lacks, and holds them.
SPECIAL = r"""
import ctypes, json, socket, struct, sys
held, lacking = [], []

def server(family, host, protocol=0):
    made = socket.socket(family, socket.SOCK_STREAM, protocol)
    made.bind((host, 0))
    made.listen(16)
    held.append(made)
    return made

def connect(to, family, host, protocol=0):
    made = socket.socket(family, socket.SOCK_STREAM, protocol)
    made.connect((host, to.getsockname()[1]))
    accepted, _ = to.accept()
    held.extend([made, accepted])
    return made, accepted

def mapped():
    "IPv4 peers of a dual-stack server."
    both = server(socket.AF_INET6, "::")
    for _ in range(3):
        connect(both, socket.AF_INET, "127.0.0.1")
    connect(both, socket.AF_INET6, "::ffff:127.0.0.1")

def addrform():
    "An IPv6 socket that becomes an IPv4 one (IPV6_ADDRFORM in ipv6(7))."
    both = server(socket.AF_INET6, "::")
    made, accepted = connect(both, socket.AF_INET6, "::ffff:127.0.0.1")
    made.setsockopt(socket.IPPROTO_IPV6, 1, socket.AF_INET)

def multipath():
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        connect(server(family, host, 262), family, host, 262)

def fast_open():
    "Requests that have a full socket already."
    made = server(socket.AF_INET, "127.0.0.1")
    made.setsockopt(socket.IPPROTO_TCP, 23, 5)
    for _ in range(2):
        client = socket.socket()
        client.sendto(b"x", 0x20000000, made.getsockname())
        held.append(client)

def repair():
    "A connection that was never opened (TCP_REPAIR)."
    made = socket.socket()
    made.setsockopt(socket.IPPROTO_TCP, 19, 1)
    made.bind(("127.0.0.1", 0))
    made.connect(("127.0.0.1", 9))
    held.append(made)

def encrypted():
    "Kernel TLS: another protocol on top."
    made, _ = connect(server(socket.AF_INET, "127.0.0.1"), socket.AF_INET, "127.0.0.1")
    made.setsockopt(socket.IPPROTO_TCP, 31, b"tls")

def late():
    "What waits out late segments."
    made, accepted = connect(server(socket.AF_INET, "127.0.0.1"), socket.AF_INET, "127.0.0.1")
    made.close()
    accepted.close()

for special in (mapped, addrform, multipath, fast_open, repair, encrypted, late):
    try:
        special()
    except OSError as error:
        lacking.append(f"{special.__name__}: {error}")
print(json.dumps(lacking), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def special() -> Iterator[tuple[str, list[str]]]:
    """Return a namespace with sockets of every special kind, and the kinds that are lacking."""
    with namespaces.pair() as made, contextlib.ExitStack() as held:
        with namespaces.inside(made.a):
            for name, value in (("tcp_fastopen", 0x603), ("ip_unprivileged_port_start", 0)):
                Path("/proc/sys/net/ipv4", name).write_text(str(value), encoding="ascii")
            process = held.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", SPECIAL],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
        assert process.stdout is not None
        yield made.a, json.loads(process.stdout.readline())
        process.communicate()


def ask(native: Command, ns: str, *options: str, before: tuple[str, ...] = ()) -> Done:
    with namespaces.inside(ns):
        return native.run("--format=json", *options, before=before)


def groups(done: Done) -> dict[str, int]:
    assert (done.stderr, done.returncode) == ("", 0), done
    return {group["label"]: group["count"] for group in json.loads(done.stdout)["groups"]}


def test_special_sockets_are_counted_as_they_are_dumped(
    native: Command, special: tuple[str, list[str]]
) -> None:
    ns, lacking = special
    expected = groups(ask(native, ns, "--source=netlink"))
    assert expected == oracles.counts(oracles.read_ss(ns))
    done = ask(native, ns, "--source=counters")
    assert groups(done) == expected, lacking
    assert json.loads(done.stdout)["source"] == "counters"
    # A kernel may be built without it, and without the right it is refused.
    assert all(one.split(":")[0] in ("multipath", "repair", "encrypted") for one in lacking), (
        lacking
    )


@pytest.mark.parametrize(
    "options",
    [
        ["--local-port=1-65535"],
        ["--remote-port=443"],
        ["--local-address=::/0"],
        ["--remote-address=127.0.0.0/8"],
        *(
            [f"--group-by={by}"]
            for by in ("local-port", "remote-address", "user", "unit", "process")
        ),
        ["--lengthy"],
        ["--measure=accept-queue"],
        ["--measure=syn-queue"],
        ["--measure=receive-buffer"],
        ["--measure=ephemeral-ports"],
    ],
    ids=" ".join,
)
def test_what_the_counters_do_not_tell_is_an_error(native: Command, options: list[str]) -> None:
    # Neither does /proc tell units and limits of queues.
    queues = {f"--measure={measure}" for measure in ("accept-queue", "syn-queue", "receive-buffer")}
    alone = {"--group-by=unit", *queues} & {*options}
    valid = "auto, netlink" if alone else "auto, netlink, procfs"
    assert one_line(native.run("--source=counters", *options)) == (
        f"The source counters does not tell ports, addresses and owners of sockets (valid: {valid})"
    )


def test_connections_are_not_told_either() -> None:
    from network_connections import connections, count_connections

    with pytest.raises(ValueError, match="The source counters does not tell ports"):
        connections(source="counters")
    assert count_connections("tcp", "listen", source="counters") is not None


@pytest.mark.parametrize("code", ["ENOENT", "EACCES", "EMFILE", "EIO"])
def test_counters_that_cannot_be_read_are_no_answer(
    native: Command, special: tuple[str, list[str]], tampered: Tampered, code: str
) -> None:
    ns, _ = special
    before = tampered(f"{OPEN}:error={code}:when=1+", only="sockstat")
    with namespaces.inside(ns):
        done = native.run("--source=counters", before=before)
    assert f"sockstat: {says(code)}" in reworded(one_line(done))


def test_where_netlink_is_refused_there_is_no_answer(native: Command, tampered: Tampered) -> None:
    done = native.run("--source=counters", before=tampered("socket:error=EPERM"))
    assert one_line(done) == f"Cannot count TCP connections: counters: socket: {says('EPERM')}"


def test_what_has_no_sockets_is_no_group(native: Command) -> None:
    with namespaces.pair() as made:
        with namespaces.inside(made.a):
            held = socket.create_server(("127.0.0.1", 0))
        with held:
            assert groups(ask(native, made.a, "--source=counters")) == {"tcp_LISTEN": 1}


def test_the_deadline_holds_where_nothing_is_dumped(native: Command) -> None:
    done = native.run("--source=counters", "--timeout=0.000001")
    assert one_line(done) == "Timeout: no answer within 0.000001 s"
