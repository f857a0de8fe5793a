"""Containers of podman, by their names on the host; and the check inside of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import harness
import pytest

from integrations import containers, host, machines
from integrations.containers import Container, Podman
from integrations.daemons import version_of
from integrations.host import groups, settle
from integrations.where import Row

WHERE = [
    Row(
        "Podman, with runc",
        lambda: version_of("podman"),
        "`--group-by=unit` on the host, for containers with a network of their own (`none` and "
        "`bridge`) and with the host's; the check inside a container",
    )
]

NETWORKS = ["none", "bridge", "host"]
SOCKETS = {"tcp_LISTEN": 1, "tcp_ESTABLISHED": 6, "tcp_FIN_WAIT2": 2, "tcp_CLOSE_WAIT": 2}
USERS = ["root", "nobody"]


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    if reason := containers.missing():
        pytest.skip(reason)
    with host.apart() as apart, containers.podman(apart) as made:
        yield made


@pytest.fixture(scope="module")
def running(podman: Podman) -> Iterator[dict[str, Container]]:
    """Return a container for each network, which have the same sockets."""
    with ExitStack() as stack:
        made = {}
        for network in NETWORKS:
            container = podman.container(f"with-{network}", f"--network={network}")
            made[network] = stack.enter_context(container)
            actor = made[network].actor
            actor.do("listen", "127.0.0.1", 80)
            actor.do("connect", "127.0.0.1", 80, 5)
            actor.do("shut", 80, 2)
            actor.do("accept", 80, 5)
            settle(podman.host, made[network].pid, SOCKETS)
        yield made


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_container_from_outside(running: dict[str, Container], network: str, user: str) -> None:
    container = running[network]
    on = container.podman.host
    enter = ["nsenter", f"--net=/proc/{container.pid}/ns/net"]
    line = [*enter, *(harness.NOBODY if user == "nobody" else ()), on.check, "--format=json"]
    assert groups(on.run(line, check=False)) == on.sockets(container.pid) == SOCKETS
    by_unit = groups(on.run([*line, "--group-by=unit"], check=False))
    assert by_unit == {container.label: sum(SOCKETS.values())}


@pytest.mark.parametrize("user", USERS)
def test_the_host_has_the_sockets_of_a_container_without_a_network_of_its_own(
    running: dict[str, Container], user: str
) -> None:
    container = running["host"]
    on = container.podman.host
    line = [on.check, "--format=json", "--group-by=unit"]
    by_unit = groups(on.run(line, user=user, check=False))
    assert by_unit == {container.label: sum(SOCKETS.values())}


@pytest.mark.parametrize("way", machines.COMMANDS)
@pytest.mark.parametrize("network", NETWORKS)
def test_inside_of_a_container(running: dict[str, Container], network: str, way: str) -> None:
    line = [*machines.COMMANDS[way], "--format=json"]
    assert groups(running[network].run(line)) == SOCKETS
    # Its cgroup is the root of all that it sees.
    by_unit = groups(running[network].run([*line, "--group-by=unit"]))
    assert by_unit == {"/": sum(SOCKETS.values())}
