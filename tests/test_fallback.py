"""Where the kernel refuses one source the other answers, and where it refuses both, nobody does."""

from __future__ import annotations

import errno
import os

import harness
import pytest
from conftest import Place, Tampered
from harness import NO_SOCKETS, Command, Done, one_line, says

# What covers /proc has no tables.
NO_PROC = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]


def answer(place: Place) -> Done:
    message = ", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in place.counts.items())
    perfdata = " ".join(f"'{name}'={n}" for name, n in place.counts.items())
    return Done(f"{message}|{perfdata}\n", "", 0)


@pytest.mark.parametrize(
    "injection",
    [
        NO_SOCKETS,
        "socket:error=EACCES",
        "socket:error=EAFNOSUPPORT",
        "socket:error=EPROTONOSUPPORT",
        "connect:error=EPERM",
        "sendto:error=ENOENT",
        "recvfrom:error=EOPNOTSUPP",
        # Half a dump: what had come by then counts for nothing.
        "recvfrom:error=ENOBUFS:when=2+2",
    ],
)
def test_what_netlink_refuses_procfs_answers(
    injection: str, command: Command, place: Place, tampered: Tampered
) -> None:
    before = [*place.before, *tampered(injection)]
    assert command.run(before=before) == answer(place)


def test_what_procfs_refuses_netlink_answers(command: Command, place: Place) -> None:
    assert command.run(before=[*place.before, *NO_PROC]) == answer(place)


@pytest.mark.parametrize("name", ["EPERM", "EACCES", "EAFNOSUPPORT"])
def test_a_source_that_is_chosen_does_not_fall_back(
    name: str, command: Command, place: Place, tampered: Tampered
) -> None:
    before = [*place.before, *tampered(f"socket:error={name}")]
    line = one_line(command.run("--source=netlink", before=before))
    reason = os.strerror(getattr(errno, name))
    assert line.startswith(f"Cannot count TCP connections: netlink: socket: {reason}")
    assert "procfs" not in line
    line = one_line(command.run("--source=procfs", before=[*place.before, *NO_PROC]))
    assert line.startswith("Cannot count TCP connections: procfs: /proc/")
    assert "netlink" not in line


def test_where_both_refuse_both_are_named(
    command: Command, place: Place, tampered: Tampered
) -> None:
    before = [*place.before, *tampered(NO_SOCKETS), *NO_PROC]
    line = one_line(command.run("--always-ok", before=before))
    assert line.startswith("Cannot count TCP connections: netlink: socket: Operation not permitted")
    assert "; procfs: /proc/" in line
    assert os.strerror(errno.ENOENT) in line


def test_only_the_protocol_that_is_refused_falls_back(
    command: Command, place: Place, tampered: Tampered
) -> None:
    # TCP is asked first, by the first socket.
    before = [*place.before, *tampered("socket:error=EPERM:when=1")]
    assert command.run(before=before) == answer(place)
    before = [*place.before, *tampered("sendto:error=EPERM:when=2+"), *NO_PROC]
    line = one_line(command.run(before=before))
    assert line.startswith("Cannot count UDP connections: netlink: send: ")


# What SELinux shows of itself where it enforces its policy, or does not.
SELINUX = (
    "mount -t tmpfs none /sys/fs && mkdir /sys/fs/selinux && echo {} >/sys/fs/selinux/enforce"
    ' && exec "$@"'
)


@pytest.mark.parametrize("enforces", ["1", "0"])
def test_where_selinux_enforces_a_refusal_names_its_page(
    enforces: str, command: Command, place: Place, tampered: Tampered
) -> None:
    selinux = ["unshare", "--mount", "sh", "-c", SELINUX.format(enforces), "sh"]
    hint = " (SELinux? see docs/permissions.md)"
    for asked in ("--source=netlink", "--measure=accept-queue"):
        before = [*place.before, *selinux, *tampered("socket:error=EACCES")]
        line = one_line(command.run(asked, before=before))
        assert line.startswith("Cannot count TCP connections: netlink: socket: ")
        assert (hint in line) == (enforces == "1"), line
    # A file, also where the answer goes on without it.
    only = "/proc/sys/net/ipv4/ip_local_port_range"
    before = [*place.before, *selinux, *tampered(f"{harness.OPEN}:error=EACCES", only=only)]
    refused = f"(ip_local_port_range, ip_local_reserved_ports): {says('EACCES')}"
    for asked in ("--measure=ephemeral-ports", "--measure=exhaustion"):
        message = command.run(asked, before=before).stdout
        assert refused in message
        assert (f"{refused}{hint}" in message) == (enforces == "1"), message
    # Nothing else is of a policy.
    before = [*place.before, *selinux, *tampered(NO_SOCKETS)]
    assert hint not in one_line(command.run("--source=netlink", before=before))
    assert command.run(before=before) == answer(place)
