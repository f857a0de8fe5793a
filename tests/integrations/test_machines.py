"""Units of a systemd that was really booted, by their names inside the machine and on its host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import harness
import pytest

from integrations import machines
from integrations.host import groups, settle
from integrations.machines import Machine
from integrations.where import Row

WHERE = [
    Row(
        "systemd in a machine of systemd-nspawn",
        lambda: machines.version("systemd"),
        "`--group-by=unit` inside the machine and on its host, for an ordinary service, a "
        "hardened one and one with `PrivateNetwork`",
    )
]

HARDENED = (
    *("User=nobody", "NoNewPrivileges=yes", "CapabilityBoundingSet="),
    *("RestrictAddressFamilies=AF_UNIX AF_INET", "SystemCallFilter=@system-service"),
    *("ProtectProc=invisible", "ProcSubset=pid", "ProtectSystem=strict", "PrivateDevices=yes"),
)
# What the services have.
WEB = {"tcp_LISTEN": 1, "tcp_ESTABLISHED": 10, "tcp_FIN_WAIT2": 2, "tcp_CLOSE_WAIT": 2}
STATISTICS = {"udp_NONE": 4}
PRIVATE = {"tcp_LISTEN": 2, "udp_NONE": 5}


@pytest.fixture(scope="module")
def services(machine: Machine) -> Iterator[Machine]:
    """Return a machine with three services, of which one has a network of its own."""
    with ExitStack() as stack:
        web = stack.enter_context(machine.actor("web.service"))
        web.do("listen", "127.0.0.1", 80)
        web.do("connect", "127.0.0.1", 80, 7)
        web.do("shut", 80, 2)
        web.do("accept", 80, 7)
        stack.enter_context(machine.actor("statistics.service", *HARDENED)).do(
            "udp", "127.0.0.1", 4
        )
        private = stack.enter_context(machine.actor("private.service", "PrivateNetwork=yes"))
        private.do("listen", "127.0.0.1", 80)
        private.do("listen", "127.0.0.1", 81)
        private.do("udp", "127.0.0.1", 5)
        settle(machine.host, machine.pid, {**WEB, **STATISTICS})
        yield machine


def inside(machine: Machine, way: str, *options: str, user: str = "root") -> dict[str, int]:
    """Return the groups that the check counts as a unit."""
    line = [*machines.COMMANDS[way], *options, "--format=json"]
    return groups(machine.run(line, f"User={user}", check=False))


def outside(machine: Machine, pid: int, *options: str, user: str = "root") -> dict[str, int]:
    """Return the groups that the check on the host counts in the network of a process."""
    enter = ["nsenter", f"--net=/proc/{pid}/ns/net", *(harness.NOBODY if user == "nobody" else ())]
    line = [*enter, machine.host.check, *options, "--format=json"]
    return groups(machine.host.run(line, check=False))


def total(*of: dict[str, int]) -> int:
    return sum(number for one in of for number in one.values())


UNITS = {"web.service": total(WEB), "statistics.service": total(STATISTICS)}
USERS = ["root", "nobody"]


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("way", machines.COMMANDS)
def test_units_inside(services: Machine, way: str, user: str) -> None:
    assert inside(services, way, user=user) == {**WEB, **STATISTICS}
    assert inside(services, way, "--group-by=unit", user=user) == UNITS


@pytest.mark.parametrize("user", USERS)
def test_units_outside(services: Machine, user: str) -> None:
    pid = services.pid
    assert outside(services, pid, user=user) == services.host.sockets(pid) == {**WEB, **STATISTICS}
    units = {f"machine:{services.name}/{unit}": number for unit, number in UNITS.items()}
    assert outside(services, pid, "--group-by=unit", user=user) == units


@pytest.mark.parametrize("user", USERS)
def test_a_private_network_from_outside(services: Machine, user: str) -> None:
    pid = services.process("private.service")
    assert outside(services, pid, user=user) == services.host.sockets(pid) == PRIVATE
    units = {f"machine:{services.name}/private.service": total(PRIVATE)}
    assert outside(services, pid, "--group-by=unit", user=user) == units


def test_the_hosts_own_network_has_none_of_them(services: Machine) -> None:
    done = services.host.run([services.host.check])
    assert done.stdout == 'No connections of type "all" in status "all" found.\n'
