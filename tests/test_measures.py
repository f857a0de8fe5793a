"""What has no meaning where a measure is asked for is refused, in one line that names it."""

from __future__ import annotations

import json
import re
import socket
import struct
from collections.abc import Iterator, Mapping

import harness
import pytest
from asking import TWO_OF_FOUR, Asker, asker
from conftest import Place, Tampered
from harness import Command, one_line
from lab import namespaces, servers

pytestmark = [
    pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing() or "-"),
    # A place is in Linux.
    pytest.mark.usefixtures("place"),
]

# The things that a measure counts, their end of a socket, and the other end.
MEASURES = {
    "accept-queue": ("listeners", "local", "remote"),
    "syn-queue": ("listeners", "local", "remote"),
    "receive-buffer": ("sockets", "local", "remote"),
    "ephemeral-ports": ("destinations", "remote", "local"),
}
OF_LISTENERS = {
    "--remote-address=::1": "--remote-address: {no_meaning}",
    "--source=procfs": (
        "The source procfs does not tell the queue limits of sockets (valid: auto, netlink)"
    ),
}
# What not all of them refuse.
ALONE = {
    "accept-queue": {
        **OF_LISTENERS,
        "--conn-type=udp --conn-type=udp6": (
            "--conn-type: only TCP and unix sockets have {things} "
            "(valid: --conn-type=tcp, tcp6 or unix)"
        ),
    },
    "syn-queue": {
        **OF_LISTENERS,
        "--conn-type=udp": "--conn-type: only TCP has {things} (valid: --conn-type=tcp or tcp6)",
    },
    "receive-buffer": {
        "--remote-address=::1": "--remote-address: {no_meaning}",
        "--source=procfs": (
            "The source procfs does not tell the limits of the receive buffers of sockets "
            "(valid: auto, netlink)"
        ),
        "--conn-type=tcp": (
            "--conn-type: only UDP drops packets where a receive buffer is full "
            "(valid: --conn-type=udp or udp6)"
        ),
    },
    "ephemeral-ports": {
        "--source=counters": (
            "The source counters does not tell ports, addresses and owners of sockets "
            "(valid: auto, netlink, procfs)"
        ),
    },
}
REFUSED = {
    "--group-by={own}-port": "--group-by: {no_meaning}",
    "--group-by=type-status": "--group-by: {no_meaning}",
    "--zero": "--zero: {no_meaning}",
    "--conn-status=listen": "--conn-status: {no_meaning}",
    "--{other}-port=443": "--{other}-port: {no_meaning}",
    "-c=total=5": '--critical: "total" {no_key}',
    "-c=TOTAL=5": '--critical: "TOTAL" {no_key}',
    "-w=LISTEN=5": '--warning: "LISTEN" {no_key}',
    "-w=0.0.0=5": '--warning: "0.0.0" {no_key}',
    "-w=*:80=5": '--warning: "*:80" {no_key}',
    "-w=::1:80=5": '--warning: "::1:80" {no_key}',
    "-w=90-80=5": '--warning: "90-80" {no_key}',
    "-w=65536=5": '--warning: "65536" {no_key}',
    "-w=81=5 --{own}-port=80": '--warning: "81" {no_key_of_ends}',
    "-w=127.0.0.1:80=5 --{own}-address=::1": '--warning: "127.0.0.1:80" {no_key_of_ends}',
}


def refused() -> Iterator[tuple[str, str]]:
    """Return what is asked, and the line that refuses it."""
    for measure, (things, own, other) in MEASURES.items():
        words = {"things": things, "own": own, "other": other}
        words["no_meaning"] = (
            f"has no meaning where {things} are measured (valid: --measure=connections)"
        )
        no_key = "is the key of no group that can be selected here (valid: a selected"
        words["no_key_of_ends"] = f"{no_key} {own} port, address, network, or address and port)"
        # Unix listeners have no ports that could be selected.
        words["no_key"] = {
            "accept-queue": (
                f"{no_key} {own} port, address, network, address and port, or the name of a unix "
                "listener as it is printed)"
            ),
            "ephemeral-ports": (
                f"{no_key} {own} port, address, network, address and port, or tcp or udp)"
            ),
        }.get(measure, words["no_key_of_ends"])
        for options, line in {**REFUSED, **ALONE[measure]}.items():
            yield f"--measure={measure} {options}".format(**words), line.format(**words)


@pytest.fixture(scope="module")
def someone(
    request: pytest.FixtureRequest, place: Place, nobodys: Mapping[str, Command]
) -> Iterator[Asker]:
    with asker(str(place.ns), request.param, nobodys) as made:
        yield made


@pytest.mark.parametrize(("options", "line"), [pytest.param(*row, id=row[0]) for row in refused()])
@pytest.mark.parametrize(("someone", "way"), TWO_OF_FOUR, indirect=["someone"])
def test_what_has_no_meaning_is_one_line(someone: Asker, way: str, options: str, line: str) -> None:
    assert one_line(someone.run(way, *options.split())) == line


@pytest.mark.parametrize("measure", MEASURES)
def test_json_has_the_line_as_its_message(native: Command, measure: str) -> None:
    asked = [f"--measure={measure}", "--zero"]
    line = one_line(native.run(*asked))
    answer = json.loads(native.run(*asked, "--format=json").stdout)
    assert answer == {"schema": 1, "state": 3, "message": line}


@pytest.mark.parametrize("measure", MEASURES)
def test_an_unknown_measure_and_a_fixture(native: Command, measure: str) -> None:
    done = native.run(f"--measure={measure}s")
    assert (done.stdout.split("\n")[0], done.returncode) == (
        f'--measure: invalid value "{measure}s", did you mean "{measure}"? (choose from '
        "connections, accept-queue, syn-queue, receive-buffer, ephemeral-ports, open-files, stuck, "
        "host-limits, exhaustion)",
        3,
    )
    fixture = native.fixture(harness.connections({"tcp_LISTEN": 1}))
    line = one_line(native.run(f"--measure={measure}", fixture))
    assert line == "Fixture has connections, which are all it can tell"


# The limits that only netlink has.
LIMITS = {
    "accept-queue": "accept queues",
    "syn-queue": "SYN queues",
    "receive-buffer": "receive buffers",
}


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """Return a namespace with a TCP listener and a UDP socket."""
    with namespaces.pair() as pair, servers.sockets() as made:
        made.listen(pair.a, pair.a4, 8000, 5)
        made.bind(pair.a, pair.a4, 8000, 8192)
        yield pair.a


@pytest.mark.parametrize("measure", LIMITS)
def test_without_netlink_the_limits_are_not_known(
    native: Command, served: str, tampered: Tampered, measure: str
) -> None:
    """/proc has the same sockets, but not their limits."""
    with namespaces.inside(served):
        done = native.run(f"--measure={measure}", before=tampered(harness.NO_SOCKETS))
    assert one_line(done).endswith(
        f"procfs: the limits of {LIMITS[measure]} are not known here (only netlink has them)"
    )


def dccp(length: int) -> str:
    """Return the beginning of a request for DCCP, which is a protocol without a module here."""
    begin = struct.pack("=IHHIIBB", length, 20, 0x301, 1, 0, socket.AF_INET, 33)
    return f"poke_enter=@arg2={begin.hex()}"


# In place of the first request for TCP, and of the first one for UDP behind it. They are as long.
WITHOUT_TCP = f"sendto:{dccp(76)}:when=1"
WITHOUT_UDP = f"sendto:{dccp(72)}:when=2"


@pytest.mark.parametrize(
    ("measure", "missing"),
    [
        ("accept-queue", WITHOUT_TCP),
        ("syn-queue", WITHOUT_TCP),
        ("receive-buffer", WITHOUT_UDP),
    ],
    ids=["accept-queue", "syn-queue", "receive-buffer"],
)
def test_without_the_module_of_the_protocol_the_limits_are_not_known(
    native: Command, served: str, tampered: Tampered, measure: str, missing: str
) -> None:
    """The kernel answers as it does without tcp_diag or udp_diag: no such file."""
    with namespaces.inside(served):
        line = one_line(native.run(f"--measure={measure}", before=tampered(missing)))
        assert re.search(rf"netlink: NLMSG_\w+: {re.escape(harness.says('ENOENT'))}", line)
        assert f"the limits of {LIMITS[measure]} are not known here" in line
        source = native.run(f"--measure={measure}", "--source=netlink", before=tampered(missing))
        assert harness.says("ENOENT") in one_line(source)


def test_udp_sockets_are_measured_without_tcp(
    native: Command, served: str, tampered: Tampered
) -> None:
    """The listeners, which decide about series alone, come from /proc."""
    with namespaces.inside(served):
        done = native.run("--measure=receive-buffer", before=tampered(WITHOUT_TCP))
    assert done.stdout.startswith("192.0.2.1:8000: 0% (0 of 8192)|")
    assert done.returncode == 0
