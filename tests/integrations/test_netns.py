"""The network namespaces of a host with containers, a machine and hardened units."""

from __future__ import annotations

import json
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import harness
import pytest
from lab import namespaces
from lab.owners import Actor

from integrations import containers, host, machines
from integrations.containers import Container, Podman
from integrations.daemons import version_of
from integrations.host import Host, groups, settle
from integrations.machines import Machine
from integrations.where import Row

WHERE = [
    Row(
        "Podman, with runc, and systemd",
        lambda: f"{version_of('podman')}, {machines.version('systemd')}",
        "`--netns`, `--group-by=netns` and `unit` on a host with containers, named namespaces, and "
        "a machine that has a unit with `PrivateNetwork`; the same inside the machine",
    )
]

USERS = ["root", "nobody"]
OTHERS = ["blue", "lonely", "rootless", "none", "bridge", "machine", "private"]


@dataclass
class Place:
    """A network namespace: a process in it, and what it is called."""

    pid: int
    label: str
    unit: str
    # Without the right to see which namespace a process is in.
    nobodys: str = ""


@dataclass
class Site:
    """A host with network namespaces of every kind, by what they are."""

    on: Host
    podman: Podman
    machine: Machine
    containers: dict[str, Container] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)

    def run(self, *options: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        """Run the check on the host."""
        return self.on.run([self.on.check, *options], user=user, check=False)

    def sockets(self, *names: str) -> dict[str, int]:
        """Count what ss shows in some, or in all."""
        counts: Counter[str] = Counter()
        for name in names or self.places:
            counts.update(self.on.sockets(self.places[name].pid))
        return counts

    def by_label(self, user: str, *names: str) -> dict[str, int]:
        """Count what ss shows, by what the namespaces are called."""
        counts: Counter[str] = Counter()
        for name in names or self.places:
            place = self.places[name]
            label = (user == "nobody" and place.nobodys) or place.label
            counts[label] += sum(self.sockets(name).values())
        return counts


def fill(actor: Actor, number: int) -> dict[str, int]:
    """Make sockets in many states, and none as many as of another number."""
    actor.do("listen", "127.0.0.1", 80)
    actor.do("connect", "127.0.0.1", 80, 2 * number)
    actor.do("shut", 80, number)
    actor.do("accept", 80, 2 * number)
    actor.do("listen", "::1", 81)
    actor.do("udp", "::1", number)
    return {
        "tcp_LISTEN": 1,
        "tcp_ESTABLISHED": 2 * number,
        "tcp_FIN_WAIT2": number,
        "tcp_CLOSE_WAIT": number,
        "tcp6_LISTEN": 1,
        "udp6_NONE": number,
    }


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    if reason := containers.missing():
        pytest.skip(reason)
    with ExitStack() as stack:
        on = stack.enter_context(host.apart())
        podman = stack.enter_context(containers.podman(on))
        machine = stack.enter_context(machines.booted(on))
        made = Site(on, podman, machine)

        def add(name: str, actor: Actor, place: Place) -> None:
            counts = fill(actor, 1 + len(made.places))
            made.places[name] = place
            settle(on, place.pid, counts)

        actor = stack.enter_context(on.actor("own"))
        # Who is not in the first namespace of processes is no host to itself.
        add("own", actor, Place(actor.do("number"), "(own)", "/"))
        on.run(["ip", "netns", "add", "blue"])
        on.run(["ip", "-n", "blue", "link", "set", "lo", "up"])
        actor = stack.enter_context(on.actor("of-blue", "nsenter", "--net=/run/netns/blue"))
        pid = actor.do("number")
        add("blue", actor, Place(pid, "blue", "/", "process:of-blue"))
        up = ("unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh")
        actor = stack.enter_context(on.actor("lonely", *up))
        pid = actor.do("number")
        add("lonely", actor, Place(pid, "process:lonely", "/"))
        # As containers without root are.
        user = (*harness.NOBODY, "unshare", "--user", "--map-root-user", *up[1:])
        actor = stack.enter_context(on.actor("rootless", *user))
        pid = actor.do("number")
        add("rootless", actor, Place(pid, "process:rootless", "/"))
        for network in ("none", "bridge"):
            one = stack.enter_context(podman.container(network, f"--network={network}"))
            made.containers[network] = one
            add(network, one.actor, Place(one.pid, one.label, one.label))
        of_machine = f"machine:{machine.name}"
        actor = stack.enter_context(machine.actor("web.service"))
        add("machine", actor, Place(machine.pid, of_machine, f"{of_machine}/web.service"))
        actor = stack.enter_context(machine.actor("private.service", "PrivateNetwork=yes"))
        pid = machine.process("private.service")
        add("private", actor, Place(pid, of_machine, f"{of_machine}/private.service"))
        yield made


@pytest.mark.parametrize("user", USERS)
def test_everything_is_counted_once(site: Site, user: str) -> None:
    done = site.run("--netns=all", "--format=json", user=user)
    assert groups(done) == site.sockets()
    seen = json.loads(done.stdout)["netns"]
    assert (seen["seen"], seen["unseen"] > 0) == (len(site.places), user == "nobody")


@pytest.mark.parametrize("user", USERS)
def test_namespaces_by_what_people_call_them(site: Site, user: str) -> None:
    done = site.run("--netns=all", "--group-by=netns", "--format=json", user=user)
    assert groups(done) == site.by_label(user)


def test_units_of_all_namespaces(site: Site) -> None:
    counts: Counter[str] = Counter()
    for name, place in site.places.items():
        counts[place.unit] += sum(site.sockets(name).values())
    assert groups(site.run("--netns=all", "--group-by=unit", "--format=json")) == counts


def test_units_of_namespaces_that_may_not_be_entered(site: Site) -> None:
    done = site.run("--netns=all", "--group-by=unit", user="nobody")
    assert done.returncode == 3
    assert "cgroup" in done.stdout or "CAP_SYS_ADMIN" in done.stdout


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize(
    "name", ["blue", "lonely", "rootless", "none", "bridge", "machine", "private"]
)
def test_the_namespace_of_a_process(site: Site, name: str, user: str) -> None:
    place = site.places[name]
    for asked in (str(place.pid), f"/proc/{place.pid}/ns/net"):
        done = site.run(f"--netns={asked}", "--format=json", user=user)
        assert groups(done) == site.sockets(name)
        done = site.run(f"--netns={asked}", "--format=json", "--group-by=netns", user=user)
        assert groups(done) == site.by_label(user, name)


def test_a_namespace_by_its_name(site: Site) -> None:
    for asked in ("blue", "/run/netns/blue"):
        done = site.run(f"--netns={asked}", "--format=json", "--group-by=netns")
        assert groups(done) == site.by_label("root", "blue")
        # Nobody is told which process is in it.
        done = site.run(f"--netns={asked}", user="nobody")
        assert done.returncode == 3
        assert "CAP_SYS_ADMIN" in done.stdout


@pytest.mark.parametrize("user", USERS)
def test_several_namespaces(site: Site, user: str) -> None:
    names = ("lonely", "bridge", "private")
    asked = [f"--netns={site.places[name].pid}" for name in (*names, "bridge")]
    assert groups(site.run(*asked, "--format=json", user=user)) == site.sockets(*names)
    done = site.run(*asked, "--format=json", "--group-by=netns", user=user)
    assert groups(done) == site.by_label(user, *names)


@pytest.mark.parametrize("user", USERS)
def test_a_threshold_for_a_container(site: Site, user: str) -> None:
    label = site.places["bridge"].label
    number = sum(site.sockets("bridge").values())
    options = ("--netns=all", "--group-by=netns", "-c")
    assert site.run(*options, f"{label}={number}", user=user).returncode == 0
    done = site.run(*options, f"{label}={number - 1}", user=user)
    assert done.returncode == 2
    assert f"{label}: {number} [CRITICAL]" in done.stdout


@pytest.mark.parametrize("user", USERS)
def test_while_containers_come_and_go(site: Site, user: str) -> None:
    line = site.podman.line("run", "--rm", "--network=bridge", "--ulimit=host", "--rootfs")
    coming = " ".join([*line, f"{machines.root()}:O", "true"])
    expected = site.by_label(user)
    loop = site.on.line(["sh", "-ec", f"for number in 1 2 3 4 5 6 7 8 9 10; do {coming}; done"])
    with subprocess.Popen(loop, stdin=subprocess.DEVNULL, text=True) as going:
        asked = 0
        while going.poll() is None:
            done = site.run("--netns=all", "--group-by=netns", "--format=json", user=user)
            assert groups(done) == expected
            asked += 1
    assert (going.returncode, asked > 1) == (0, True)


@pytest.mark.parametrize("user", USERS)
def test_a_name_that_something_else_covers(site: Site, user: str) -> None:
    """As between the two steps in which a name goes: unmounted, and then removed."""
    covered = "/run/netns/covered"
    site.on.run(["ip", "netns", "add", "covered"])
    site.on.run(["mount", "--bind", "/etc/os-release", covered])
    try:
        assert groups(site.run("--netns=all", "--format=json", user=user)) == site.sockets()
    finally:
        site.on.run(["umount", covered])
        site.on.run(["ip", "netns", "del", "covered"])


# Inside the machine.


def inside(site: Site, way: str, *options: str, settings: tuple[str, ...] = ()) -> dict[str, int]:
    line = [*machines.COMMANDS[way], "--netns=all", *options, "--format=json"]
    return groups(site.machine.run(line, *settings, check=False))


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("way", machines.COMMANDS)
def test_a_private_network_is_seen_inside_the_machine(site: Site, way: str, user: str) -> None:
    settings = (f"User={user}",)
    assert inside(site, way, settings=settings) == site.sockets("machine", "private")
    expected = {
        "init.scope": sum(site.sockets("machine").values()),
        "private.service": sum(site.sockets("private").values()),
    }
    assert inside(site, way, "--group-by=netns", settings=settings) == expected


@pytest.mark.parametrize("way", machines.COMMANDS)
def test_units_inside_the_machine(site: Site, way: str) -> None:
    assert inside(site, way, "--group-by=unit") == {
        "web.service": sum(site.sockets("machine").values()),
        "private.service": sum(site.sockets("private").values()),
    }


@pytest.mark.parametrize(
    "setting",
    [
        "RestrictNamespaces=yes",
        "SystemCallFilter=~setns",
        "CapabilityBoundingSet=~CAP_SYS_ADMIN",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
    ],
)
@pytest.mark.parametrize("way", machines.COMMANDS)
def test_what_may_not_be_entered_is_read_of_its_processes(
    site: Site, way: str, setting: str
) -> None:
    settings = (setting, "SystemCallErrorNumber=EPERM")
    assert inside(site, way, settings=settings) == site.sockets("machine", "private")


@pytest.mark.parametrize("way", machines.COMMANDS)
def test_hidden_processes_are_said(site: Site, way: str) -> None:
    line = [*machines.COMMANDS[way], "--netns=all"]
    done = site.machine.run(line, "User=nobody", "ProtectProc=invisible", check=False)
    assert done.returncode == 3
    assert done.stdout.startswith("Not every process can be seen")


# From further outside: with other ids of processes, and namespaces of whoever else is there.


@pytest.mark.parametrize("user", USERS)
def test_from_further_outside(site: Site, user: str) -> None:
    def ask(*options: str) -> dict[str, int]:
        line = [site.on.check, *options, "--group-by=netns", "--format=json", "--timeout=50"]
        return groups(namespaces.run(None, line, user=user, check=False))

    outer = {"bridge": site.containers["bridge"].outer, "machine": site.machine.systemd}
    asked = [f"--netns={pid}" for pid in outer.values()]
    assert ask(*asked) == site.by_label(user, *outer)
    # One group for all networks of a guest.
    expected = site.by_label(user, "none", "bridge", "machine", "private")
    with socket.create_server(("127.0.0.1", 0)):
        counts = ask("--netns=all")
        assert expected.items() <= counts.items()
        # Only who sees all processes knows the first one.
        first = Path("/proc/self/ns/pid").readlink() == Path("pid:[4026531836]")
        assert ("host" in counts) == first
