"""Groups of owners are what ss and /proc say, whoever asks; and no name can do any harm."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import pwd
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import harness
import pytest
import shares
from asking import TWO_OF_FOUR, USERS, WAYS, Asker, asker, steady
from conftest import Tampered
from harness import NO_SOCKETS, OPEN, Command, Done, one_line, python
from lab import namespaces, owners
from lab.names import TYPES
from lab.owners import NAMELESS, Actor, Answer, Host, Owned, OwnedLab, actor, after, private
from lab.tools import lacking

pytestmark = pytest.mark.skipif(bool(owners.missing()), reason=owners.missing() or "-")

GROUPS = ("user", "unit", "process")
KERNEL = "(kernel)"
OTHERS = "(other users' processes)"
NO_PROCESS = "(no process)"
# Reading all of /proc takes long on a host where others hold a million sockets.
PATIENT = "--timeout=60"


def groups(done: Done | Answer) -> dict[str, int]:
    """Return the groups of a JSON object, whose sum must be its total."""
    assert (done.stderr, done.returncode) == ("", 0), done
    report = json.loads(done.stdout)
    counts = {group["label"]: group["count"] for group in report["groups"]}
    assert sum(counts.values()) == report["total"]
    assert len(counts) == len(report["groups"])
    assert [*counts.values()] == sorted(counts.values(), reverse=True)
    return counts


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def process_label(holders: Sequence[tuple[int, str]]) -> str:
    (pid, name), *others = holders
    return f"{name} ({pid})" + (f" +{len(others)}" if others else "")


def expected(
    by: str, selected: Sequence[Owned], sockets: Sequence[Owned], owned: OwnedLab, unseen: str
) -> dict[str, int]:
    """Return the groups of the selected sockets among all that ss shows."""

    def label(socket: Owned) -> str:
        # ss shows no user of what waits before Linux 6.17.
        if by in ("process", "user") and owners.waits(socket):
            socket = owners.listener(socket, sockets)
        if by == "user":
            return KERNEL if socket.uid is None else user_name(socket.uid)
        if by == "unit":
            return owned.unit(socket.cgroup) or KERNEL
        if socket.row.inode == 0:
            return KERNEL
        return process_label(socket.holders) if socket.holders else unseen

    return dict(collections.Counter(map(label, selected)))


# In every state Linux has.


@pytest.fixture(scope="module", params=USERS)
def someone(
    request: pytest.FixtureRequest, owned: OwnedLab, nobodys: Mapping[str, Command]
) -> Iterator[Asker]:
    with asker(owned.ns, request.param, nobodys) as made:
        yield made


SELECTIONS: dict[str, dict[str, Any]] = {
    "all": {},
    "the kernel's": {"statuses": ["time_wait", "syn_recv"]},
    "listen": {"statuses": ["listen"]},
    "close_wait, tcp6": {"types": ["tcp6"], "statuses": ["close_wait"]},
    "udp": {"types": ["udp", "udp6"]},
    "a port": {"local_port": [8080]},
}


def test_owners_are_who_ss_says(owned: OwnedLab, someone: Asker) -> None:
    calls = [
        (
            "count_connections",
            {**selection, "group_by": by, "timeout": 60} | ({"source": source} if source else {}),
        )
        for by in GROUPS
        for selection in SELECTIONS.values()
        for source in ("", "netlink", "procfs")
    ]
    sockets, answers = steady(owned.states, owned.look(someone.user), lambda: someone.api(calls))
    unseen = OTHERS if someone.user == "nobody" or some_are_hidden() else NO_PROCESS
    seen = set()
    for (_, asked), counts in zip(calls, answers):
        if asked["group_by"] == "unit" and asked.get("source") == "procfs":
            assert counts["error"] == "ValueError"
            continue
        selected = [
            socket
            for socket in sockets
            if socket.row.type in asked.get("types", TYPES)
            and socket.row.status.lower() in asked.get("statuses", [socket.row.status.lower()])
            and socket.row.local[1] in asked.get("local_port", [socket.row.local[1]])
        ]
        assert counts == expected(asked["group_by"], selected, sockets, owned, unseen), asked
        assert sum(counts.values()) == len(selected) > 0
        seen.update(counts)
    # There is something of everything.
    assert {KERNEL, "root", "nobody", str(NAMELESS), user_name(1)} <= seen
    assert {"web.service", "client.scope", "nobodys.service", "(gone)"} <= seen
    assert any(re.fullmatch(r"nobodys \(\d+\)", label) for label in seen)
    if someone.user == "root":
        assert any(re.fullmatch(r"web \(\d+\) \+2", label) for label in seen)
    else:
        assert OTHERS in seen


@pytest.mark.parametrize("way", WAYS)
def test_the_command_says_so_too(owned: OwnedLab, someone: Asker, way: str) -> None:
    def ask() -> list[Done]:
        return [someone.run(way, f"--group-by={by}", "--format=json", PATIENT) for by in GROUPS]

    sockets, answers = steady(owned.states, owned.look(someone.user), ask)
    unseen = OTHERS if someone.user == "nobody" else NO_PROCESS
    for by, done in zip(GROUPS, answers):
        assert groups(done) == expected(by, sockets, sockets, owned, unseen)


def test_what_has_no_owner_is_the_kernels(owned: OwnedLab, someone: Asker) -> None:
    owned.states.refresh()
    number = sum(
        owned.states.expected[kind, status]
        for kind in ("tcp", "tcp6")
        for status in ("TIME_WAIT", "SYN_RECV")
    )
    for by in GROUPS:
        options = ["--conn-status=time_wait", "--conn-status=syn_recv", f"--group-by={by}", PATIENT]
        done = someone.run("native", *options)
        perfdata = f"'groups'=1 'largest'={number} 'total'={number}"
        assert done == Done(f"{KERNEL}: {number}|{perfdata}\n", "", 0)


def test_connections_that_are_not_accepted_are_the_listeners_users(host: Host) -> None:
    number = 30
    listener = host.start("listener")
    client = host.start("client", uid=NAMELESS)
    for port, uid in ((8080, 0), (8081, 1)):
        listener.do("own", uid)
        listener.do("listen", "127.0.0.1", port)
        client.do("connect", "127.0.0.1", port, number)
    for options in ([], ["--source=procfs"]):
        only = [*options, "--conn-status=established", "--local-port=8080-8081"]
        for user in USERS:
            done = host.ask("--group-by=user", *only, "--format=json", user=user)
            assert groups(done) == {"root": number, user_name(1): number}
        done = host.ask("--group-by=user", *only, "-c", f"root={number - 1}")
        assert "root: 30 [CRITICAL]" in done.stdout
        assert done.returncode == 2


def test_closed_connections_keep_their_user_but_not_what_is_left_of_them(
    host: Host,
) -> None:
    """FIN_WAIT2 is both: a full socket, or what is left of one."""
    server = host.start("server")
    server.do("listen", "127.0.0.1", 8080)
    client = host.start("client")
    # Above 60 seconds an orphan stays a full socket until 60 are left.
    namespaces.sysctl(host.ns, "net/ipv4/tcp_fin_timeout", 24 * 3600)
    for uid, seconds in ((0, 60), (1, 60), (0, 0), (1, 0)):
        client.do("own", uid)
        client.do("connect", "127.0.0.1", 8080, 5)
        server.do("accept", 8080, 5)
        client.do("leave", 8080, seconds)
    # Until the other end has acknowledged it they are in FIN_WAIT1.
    waiting = ["ss", "-Htan", "state", "fin-wait-1"]
    deadline = time.monotonic() + harness.PATIENCE
    while namespaces.run(host.ns, waiting).stdout:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    # Older kernels forget the user.
    closed = {"root": 5, user_name(1): 5} if harness.kernel() >= (6, 17) else {"root": 10}
    for options in ([], ["--source=procfs"]):
        only = [*options, "--conn-status=fin_wait2", "--remote-port=8080"]
        done = host.ask("--group-by=user", *only, "--format=json")
        assert groups(done) == {KERNEL: 10, **closed}


def test_procfs_knows_no_units(owned: OwnedLab, someone: Asker, tampered: Tampered) -> None:
    for status in ("all", "listen", "time_wait"):
        options = ["--group-by=unit", f"--conn-status={status}", "--conn-type=tcp"]
        line = one_line(someone.run("native", *options, "--source=procfs"))
        assert "procfs" in line
        assert "units" in line
    line = one_line(someone.run("native", *options, before=tampered(NO_SOCKETS)))
    assert "netlink" in line
    assert "Operation not permitted" in line
    assert "cgroups" in line


# On a host of its own: a few sockets, and what a test makes of cgroups, mounts and names.


@pytest.fixture
def host(nobodys: Mapping[str, Command]) -> Iterator[Host]:
    with owners.host([*nobodys["native"].argv, PATIENT]) as made:
        yield made


def asked(host: Host, *options: str, user: str = "root", before: Sequence[str] = ()) -> Done:
    return Done(*host.ask(*options, user=user, before=before))


def host_groups(
    host: Host, by: str, user: str = "root", before: Sequence[str] = ()
) -> dict[str, int]:
    return groups(host.ask(f"--group-by={by}", "--format=json", user=user, before=before))


DOCKER = "0123456789abcdef" * 4
PODMAN = "abcdef0123456789" * 4
POD = "0a1b2c3d_1111_2222_3333_444455556666"

UNITS = {
    "nginx.service": "nginx.service",
    "system.slice/foo.service/worker": "foo.service",
    "user.slice/user-1000.slice/session-3.scope": "session-3.scope",
    "user.slice/user-1000.slice/user@1000.service/app.slice/app.service": (
        "user@1000.service/app.service"
    ),
    f"system.slice/docker-{DOCKER}.scope": f"docker:{DOCKER[:12]}",
    f"docker/{PODMAN}": f"docker:{PODMAN[:12]}",
    f"machine.slice/libpod-{PODMAN}.scope/container": f"podman:{PODMAN[:12]}",
    f"system.slice/cri-containerd-{DOCKER}.scope": f"containerd:{DOCKER[:12]}",
    (
        "kubepods.slice/kubepods-burstable.slice/"
        f"kubepods-burstable-pod{POD}.slice/cri-containerd-{DOCKER}.scope"
    ): "pod:0a1b2c3d",
    f"kubepods/besteffort/podf{POD[1:].replace('_', '-')}/{DOCKER}": "pod:fa1b2c3d",
}


def test_units_containers_and_pods_by_name(host: Host) -> None:
    start = host.start("many")
    for number, path in enumerate(UNITS, 1):
        start.do("enter", host.cgroup(path))
        start.do("udp", "127.0.0.1", number)
    start.do("enter", host.cgroup("plain", "inner"))
    start.do("udp", "127.0.0.1", 20)
    answer = {name: number for number, name in enumerate(UNITS.values(), 1)}
    answer[f"/{host.base.name}/plain/inner"] = 20
    for user in USERS:
        assert host_groups(host, "unit", user) == answer


def test_a_unit_in_a_container_is_not_the_hosts_unit_of_that_name(host: Host) -> None:
    start = host.start("nginx")
    start.do("enter", host.cgroup("system.slice", "nginx.service"))
    start.do("udp", "127.0.0.1", 1)
    inside = ("system.slice", f"docker-{DOCKER}.scope", "system.slice", "nginx.service")
    start.do("enter", host.cgroup(*inside))
    start.do("udp", "127.0.0.1", 2)
    counts = host_groups(host, "unit")
    assert counts.pop("nginx.service") == 1
    assert [*counts.values()] == [2]
    assert DOCKER[:12] in next(iter(counts))


# Paths of one unit, the host's and those of guests.
GUESTS = {
    "system.slice/nginx.service": "nginx.service",
    "lxc.payload.web1/system.slice/nginx.service": "lxc:web1/nginx.service",
    "machine.slice/systemd-nspawn@db.service/payload/system.slice/nginx.service": (
        "machine:db/nginx.service"
    ),
    r"machine.slice/machine-my\x2dweb.scope/payload/system.slice/nginx.service": (
        "machine:my-web/nginx.service"
    ),
    r"machine.slice/machine-qemu\x2d1\x2dweb.scope/libvirt/emulator": "machine:qemu-1-web",
}


def test_a_unit_of_a_guest_is_not_the_hosts_unit_of_that_name(host: Host) -> None:
    start = host.start("nginx")
    for number, path in enumerate(GUESTS, 1):
        start.do("enter", host.cgroup(path))
        start.do("udp", "127.0.0.1", number)
    answer = {name: number for number, name in enumerate(GUESTS.values(), 1)}
    assert host_groups(host, "unit") == answer
    done = host.ask("--group-by=unit", "-c", "nginx.service=@1", "-w", "nginx.service=1:")
    assert "nginx.service: 1 [CRITICAL]" in done.stdout
    assert done.stdout.count("[") == 1


# Cgroups that a user can make below a unit of its own, and what they are shown as.
DELEGATED = {
    f"docker-{DOCKER}.scope": f"docker:{DOCKER[:12]}",
    "machine-db.scope/nginx.service": "machine:db/nginx.service",
    "lxc.payload.web1": "lxc:web1",
    f"kubepods.slice/kubepods-pod{POD}.slice/docker-{DOCKER}.scope": "pod:0a1b2c3d",
    f"user.slice/libpod-{PODMAN}.scope/container": f"podman:{PODMAN[:12]}",
    "app.slice/nginx.service": "nginx.service",
}


@pytest.mark.parametrize(
    "delegated",
    [
        "user.slice/user-1000.slice/user@1000.service",
        "user.slice/user-1000.slice/session-3.scope",
        "system.slice/delegated.service",
        f"docker/{'a' * 64}",
    ],
)
def test_a_name_below_a_part_that_others_control_stands_behind_its_name(
    host: Host, delegated: str
) -> None:
    forger = host.start("forger")
    front = delegated.rpartition("/")[2]
    front = f"docker:{front[:12]}" if delegated.startswith("docker") else front
    answer: dict[str, int] = {}
    for number, (path, name) in enumerate(DELEGATED.items(), 1):
        forger.do("enter", host.cgroup(delegated, path))
        forger.do("udp", "127.0.0.1", number)
        label = (
            front if front.startswith("docker:") and name == "nginx.service" else f"{front}/{name}"
        )
        answer[label] = number
    assert host_groups(host, "unit") == answer
    # The container is dead, and nobody keeps that quiet.
    done = host.ask("--group-by=unit", "-c", f"docker:{DOCKER[:12]}=1:")
    assert f"docker:{DOCKER[:12]}: 0 [CRITICAL]" in done.stdout
    assert done.returncode == 2


def test_a_network_namespace_is_not_named_after_a_forged_container(host: Host) -> None:
    user = host.cgroup("user.slice", "user-1000.slice", "user@1000.service")
    forger = host.start("forger", user, ns=host.pair.b)
    for path, name in {
        f"docker-{DOCKER}.scope": f"user@1000.service/docker:{DOCKER[:12]}",
        "lxc.payload.web1": "user@1000.service/lxc:web1",
        # A unit of its own makes no container.
        "app.slice/nginx.service": host.pair.b,
    }.items():
        (user / path).mkdir(parents=True)
        forger.do("enter", user / path)
        forger.do("udp", "127.0.0.1", 1)
        options = [f"--netns={host.pair.b}", "--group-by=netns", "--format=json"]
        assert [*groups(host.ask(*options))] == [name]


@contextlib.contextmanager
def deep(top: Path, name: str, depth: int) -> Iterator[Path]:
    """Make directories in each other, and return the last one by its descriptor.

    Afterwards they are gone. Their path may be too long for the kernel.
    """
    inner = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=inner)
        outer, inner = inner, os.open(name, os.O_RDONLY, dir_fd=inner)
        os.close(outer)
    path = Path(f"/proc/{os.getpid()}/fd/{inner}")
    try:
        yield path
    finally:
        for pid in map(int, (path / "cgroup.procs").read_text().split()):
            os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + harness.PATIENCE
        while (path / "cgroup.procs").read_text():
            assert time.monotonic() < until
            time.sleep(0.01)
        for _ in range(depth):
            outer = os.open("..", os.O_RDONLY, dir_fd=inner)
            os.close(inner)
            os.rmdir(name, dir_fd=outer)
            inner = outer
        os.close(inner)


def test_cgroups_with_a_path_longer_than_the_kernel_takes(host: Host) -> None:
    # Any user can make these below the cgroup of its own manager.
    host.start("web", host.cgroup("web.service")).do("udp", "127.0.0.1", 20)
    user = host.cgroup("user.slice", "user-1000.slice", "user@1000.service")
    with deep(user, "d" * 200, 30) as inside:
        forger = host.start("deep", inside)
        forger.do("udp", "127.0.0.1", 3)
        answer = {"web.service": 20, "user@1000.service": 3}
        for asker in USERS:
            assert host_groups(host, "unit", asker) == answer
        done = host.ask("--group-by=unit", "-c", "web.service=10")
        assert done.stdout.startswith("web.service: 20 [CRITICAL], ")
        assert done.returncode == 2
        done = host.ask("--lengthy", "-c1")
        assert re.search(r"^20 +! .* ! web\.service ", done.stdout, re.MULTILINE)
        # Linux shows the beginning of the path of this process's cgroup.
        forger = host.start("deep", inside, ns=host.pair.b)
        forger.do("udp", "127.0.0.1", 3)
        options = [f"--netns={host.pair.b}", "--group-by=netns", "--format=json"]
        assert groups(host.ask(*options)) == {host.pair.b: 3}


def test_a_cgroup_that_the_kernel_does_not_show_names_no_namespace(
    host: Host, tampered: Tampered
) -> None:
    # Linux has versions that refuse to show a path that is too long.
    held = host.start("deep", ns=host.pair.b)
    held.do("udp", "127.0.0.1", 3)
    before = tampered("read:error=ENAMETOOLONG", only=f"/proc/{held.pid}/cgroup")
    options = [f"--netns={held.pid}", "--group-by=netns", "--format=json"]
    assert groups(host.ask(*options, before=before)) == {host.pair.b: 3}


@pytest.mark.parametrize(
    ("depth", "descriptors"), [(80, None), (40, 24)], ids=["too deep", "too few descriptors"]
)
def test_cgroups_that_are_too_deep_hide_nothing_but_themselves(
    host: Host, depth: int, descriptors: int | None
) -> None:
    host.start("web", host.cgroup("web.service")).do("udp", "127.0.0.1", 20)
    host.start("later", host.cgroup("user.slice", "z.service")).do("udp", "127.0.0.1", 5)
    with deep(host.cgroup("user.slice", "user@1000.service"), "d", depth) as inside:
        host.start("deep", inside).do("udp", "127.0.0.1", 3)
        before = after(f"ulimit -n {descriptors}") if descriptors else []
        answer = {"web.service": 20, "z.service": 5, "(outside)": 3}
        assert host_groups(host, "unit", before=before) == answer
        # The units of the system are not among what a user hides: their names would begin with
        # that of the user's own unit.
        for key, part in (
            ("web.service=10", "web.service: 20 [CRITICAL], "),
            ("nginx.service=1:", "nginx.service: 0 [CRITICAL]"),
            ("nginx=1:", "nginx: 0 [CRITICAL]"),
        ):
            done = host.ask("--group-by=unit", "-c", key, before=before)
            assert part in done.stdout
            assert done.returncode == 2
        for key in ("user@1000.service=1:", "user@1000.service/a.service=2"):
            done = host.ask("--group-by=unit", "-c", key, before=before)
            assert "0 to 3 [UNKNOWN]" in done.stdout
            assert done.returncode == 3


def test_any_number_of_cgroups_hide_nothing_but_themselves(host: Host) -> None:
    host.start("web", host.cgroup("web.service")).do("udp", "127.0.0.1", 20)
    user = host.cgroup("user.slice", "user@1000.service")
    host.start("a", host.cgroup("user.slice", "a.service")).do("udp", "127.0.0.1", 4)
    host.start("z", host.cgroup("user.slice", "z.service")).do("udp", "127.0.0.1", 5)
    held = host.start("many")
    many = [user / str(number) for number in range(5100)]
    for path in many:
        path.mkdir()
    try:
        for path in (many[0], many[-1]):
            held.do("enter", path)
            held.do("udp", "127.0.0.1", 1)
        held.do("enter", host.base)
        # The kernel lists directories in no order, and which of them are left out is not promised.
        counts = host_groups(host, "unit")
        hidden = counts.pop("(outside)", 0) + counts.pop("user@1000.service", 0)
        assert hidden == 2
        assert counts == {"web.service": 20, "z.service": 5, "a.service": 4}
    finally:
        for path in many:
            path.rmdir()


def test_a_unit_is_where_the_socket_was_made(host: Host) -> None:
    start = host.start("mover", host.cgroup("first.service"))
    start.do("udp", "127.0.0.1", 3)
    start.do("enter", host.cgroup("second.service"))
    assert host_groups(host, "unit") == {"first.service": 3}
    start.do("udp", "127.0.0.1", 4)
    assert host_groups(host, "unit") == {"second.service": 4, "first.service": 3}


def test_cgroups_that_are_gone(host: Host) -> None:
    start = host.start("orphan", host.cgroup("here.service"))
    start.do("udp", "127.0.0.1", 1)
    for number, name in enumerate(("a.service", "b.service"), 2):
        cgroup = host.cgroup(name)
        start.do("enter", cgroup)
        start.do("udp", "127.0.0.1", number)
        start.do("enter", host.base)
        cgroup.rmdir()
    for user in USERS:
        assert host_groups(host, "unit", user) == {"(gone)": 5, "here.service": 1}


def test_cgroups_outside_a_cgroup_namespace(host: Host) -> None:
    host.start("in", host.cgroup("pod", "in.service")).do("udp", "127.0.0.1", 1)
    host.start("top", host.base / "pod").do("udp", "127.0.0.1", 2)
    host.start("out", host.cgroup("out.service")).do("udp", "127.0.0.1", 4)
    host.start("gone", host.cgroup("gone.service")).do("udp", "127.0.0.1", 8)
    mount = owners.cgroup2()
    before = [
        *after(f"echo $$ > {host.base}/pod/cgroup.procs"),
        *("unshare", "--cgroup"),
        *private(f"umount --lazy {mount}; mount -t cgroup2 none {mount}"),
    ]
    for user in USERS:
        answer = {"(outside)": 12, "/": 2, "in.service": 1}
        assert host_groups(host, "unit", user, before=before) == answer
    # What is asked for may be one of them.
    done = host.ask("--group-by=unit", "--critical=out.service=1:", before=before)
    assert (done.stderr, done.returncode) == ("", 3)
    needed = "the host's cgroup namespace is needed"
    assert f"; some units cannot be seen ({needed}; of very many" in done.stdout


def test_the_pure_layout_and_any_mount_point(host: Host, directory: Path) -> None:
    host.start("web", host.cgroup("web.service")).do("udp", "127.0.0.1", 3)
    mount = owners.cgroup2()
    # In mountinfo blanks and the like are octal.
    odd = directory / "a b\t\\040"
    odd.mkdir()
    directory.chmod(0o755)
    for script in (
        "umount --recursive --lazy /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup",
        f"umount --lazy {mount}; mount -t cgroup2 none '{odd}'",
    ):
        for user in USERS:
            assert host_groups(host, "unit", user, before=private(script)) == {"web.service": 3}


def test_without_a_cgroup2_mount(host: Host) -> None:
    host.start("web", host.cgroup("web.service")).do("udp", "127.0.0.1", 3)
    before = private(f"umount --lazy {owners.cgroup2()}")
    for user in USERS:
        line = one_line(asked(host, "--group-by=unit", user=user, before=before))
        assert "cgroup2" in line
        # Where units only add to an answer, the rest of it stays.
        done = host.ask("--lengthy", user=user, before=before)
        assert done.stdout.startswith("udp NONE: 3\n")
        assert done.stdout.endswith("|'udp_NONE'=3\n")
        assert (done.stderr, done.returncode) == ("", 0)


def test_a_cgroup2_mount_that_is_covered(host: Host) -> None:
    # Its mount point shows another file system, whose inode numbers mean nothing.
    host.start("web", host.cgroup("web.service")).do("udp", "127.0.0.1", 3)
    mount = owners.cgroup2()
    before = private(f"mount -t tmpfs none {mount}; mkdir {mount}/made-up.service")
    line = one_line(asked(host, "--group-by=unit", before=before))
    assert "cgroup2" in line


def test_a_cgroup2_mount_that_cannot_be_read(host: Host, directory: Path) -> None:
    host.start("web", host.cgroup("web.service")).do("udp", "127.0.0.1", 3)
    hidden = directory / "hidden"
    (hidden / "cgroup").mkdir(parents=True)
    hidden.chmod(0o700)
    mount = owners.cgroup2()
    before = private(f"umount --lazy {mount}; mount -t cgroup2 none {hidden}/cgroup")
    assert host_groups(host, "unit", before=before) == {"web.service": 3}
    line = one_line(asked(host, "--group-by=unit", user="nobody", before=before))
    assert "Permission denied" in line
    assert str(hidden) in line


def test_a_cgroup_that_cannot_be_read(host: Host) -> None:
    host.start("web", host.cgroup("web.service")).do("udp", "127.0.0.1", 3)
    host.start("secret", host.cgroup("closed", "secret.service")).do("udp", "127.0.0.1", 4)
    (host.base / "closed").chmod(0o700)
    assert host_groups(host, "unit") == {"secret.service": 4, "web.service": 3}
    # It is there, so it is not gone.
    assert host_groups(host, "unit", "nobody") == {"(outside)": 4, "web.service": 3}
    done = host.ask("--group-by=unit", "-c", "nginx.service=1:", user="nobody")
    assert "nginx.service: 0 to 4 [UNKNOWN]" in done.stdout
    assert done.returncode == 3


def test_a_cgroup_that_a_user_has_closed_hides_no_unit_of_the_system(host: Host) -> None:
    host.start("web", host.cgroup("web.service")).do("udp", "127.0.0.1", 3)
    user = host.cgroup("user.slice", "user@1000.service")
    closed = host.cgroup("user.slice", "user@1000.service", "closed")
    inside = host.cgroup("user.slice", "user@1000.service", "closed", "inside")
    host.start("secret", inside).do("udp", "127.0.0.1", 4)
    for directory, found in ((closed, {"(outside)": 4}), (user, {"(outside)": 4})):
        directory.chmod(0o700)
        assert host_groups(host, "unit", "nobody") == {**found, "web.service": 3}
        for key, part, state in (
            ("nginx.service=1:", "nginx.service: 0 [CRITICAL]", 2),
            ("nginx=1:", "nginx: 0 [CRITICAL]", 2),
            ("web=5", "web.service: 3", 0),
            ("user@1000=2", "user@1000: 0 to 4 [UNKNOWN]", 3),
            ("user@1000.service/nginx.service=1:", "nginx.service: 0 to 4 [UNKNOWN]", 3),
        ):
            done = host.ask("--group-by=unit", "-c", key, user="nobody")
            assert part in done.stdout
            assert done.returncode == state, key
        directory.chmod(0o755)


# Processes.


def test_several_holders_of_a_socket(host: Host) -> None:
    shared = host.start("shared", uid=NAMELESS)
    shared.do("udp", "127.0.0.1", 3)
    shared.do("duplicate")
    assert host_groups(host, "process") == {f"shared ({shared.pid})": 3}
    shared.do("fork", 2)
    # Only one has this one.
    shared.do("udp", "::1", 1)
    label = f"shared ({shared.pid})"
    assert host_groups(host, "process") == {f"{label} +2": 3, label: 1}
    assert host_groups(host, "process", "nobody") == {OTHERS: 4}


def test_the_lowest_pid_stands_for_all(host: Host) -> None:
    shared = host.start("parent")
    shared.do("udp", "127.0.0.1", 2)
    pids = shared.do("fork", 5)
    assert host_groups(host, "process") == {f"parent ({min(shared.pid, *pids)}) +5": 2}


def some_are_hidden() -> bool:
    """Whether even root may not see what every process holds."""
    # Only in the first namespace of processes there are all of them to see.
    if Path("/proc/self/ns/pid").stat().st_ino != 0xEFFFFFFC:
        return True
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            descriptor.readlink()
        except PermissionError:
            return True
        except OSError:
            # Closed meanwhile.
            continue
    return False


def test_a_socket_on_its_way_has_no_process(host: Host) -> None:
    courier = host.start("courier")
    courier.do("udp", "127.0.0.1", 1)
    courier.do("send_off")
    assert host_groups(host, "process", "nobody") == {OTHERS: 1}
    (label,) = host_groups(host, "process")
    assert label == (OTHERS if some_are_hidden() else NO_PROCESS)


def test_a_process_of_another_pid_namespace_is_not_said_to_be_none(host: Host) -> None:
    host.start("web").do("udp", "127.0.0.1", 3)
    counts = host_groups(host, "process", before=["unshare", "--pid", "--fork", "--mount-proc"])
    assert [*counts.values()] == [3]
    assert [*counts] != [NO_PROCESS]


def test_root_may_lack_the_right_to_look(host: Host) -> None:
    # As in most containers: the list of what a process holds can be read, but not what it is.
    web = host.start("web")
    web.do("udp", "127.0.0.1", 3)
    assert host_groups(host, "process") == {f"web ({web.pid})": 3}
    before = ["setpriv", "--bounding-set=-sys_ptrace"]
    assert host_groups(host, "process", before=before) == {OTHERS: 3}


def test_hidepid(host: Host) -> None:
    web = host.start("web", uid=NAMELESS)
    web.do("udp", "127.0.0.1", 3)
    own = host.start("own", uid=namespaces.NOBODY)
    own.do("udp", "127.0.0.1", 4)
    for hide in ("", "-o hidepid=1", "-o hidepid=2"):
        before = private(f"mount -t proc {hide} proc /proc")
        answer = {f"own ({own.pid})": 4, OTHERS: 3}
        assert host_groups(host, "process", "nobody", before=before) == answer
        answer = {f"own ({own.pid})": 4, f"web ({web.pid})": 3}
        assert host_groups(host, "process", before=before) == answer
        counts = host_groups(host, "user", "nobody", before=before)
        assert counts == {"nobody": 4, str(NAMELESS): 3}


def test_root_without_a_right_does_not_see_what_hidepid_hides(host: Host) -> None:
    web = host.start("web", uid=NAMELESS)
    web.do("udp", "127.0.0.1", 3)
    for hide in ("hidepid=4", f"hidepid=2,gid={NAMELESS}"):
        before = private(f"mount -t proc -o {hide} proc /proc")
        before += ["setpriv", "--bounding-set=-sys_ptrace"]
        assert host_groups(host, "process", before=before) == {OTHERS: 3}
        done = host.ask("--group-by=process", "-c", "web=1", before=before)
        assert "web: 0 to 3 [UNKNOWN]" in done.stdout
        assert done.returncode == 3


def test_any_user_with_the_right_sees_every_process(host: Host) -> None:
    web = host.start("web", uid=NAMELESS)
    web.do("udp", "127.0.0.1", 3)
    rights = "+sys_ptrace,+dac_read_search"
    for hide in ("", "-o hidepid=2"):
        before = private(f"mount -t proc {hide} proc /proc")
        before += ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        before += [f"--inh-caps={rights}", f"--ambient-caps={rights}"]
        assert host_groups(host, "process", before=before) == {f"web ({web.pid})": 3}


def test_a_file_with_a_path_that_is_too_long_hides_no_socket(host: Host, directory: Path) -> None:
    web = host.start("web")
    web.do("open_deep", directory)
    web.do("udp", "127.0.0.1", 3)
    assert host_groups(host, "process") == {f"web ({web.pid})": 3}
    # shutil.rmtree() takes paths.
    subprocess.run(["rm", "-rf", directory / ("x" * 200)], check=True)


def test_processes_that_go_away_while_they_are_looked_up(host: Host) -> None:
    web = host.start("web")
    web.do("udp", "127.0.0.1", 3)
    own = host.start("own", uid=namespaces.NOBODY)
    own.do("udp", "127.0.0.1", 4)
    shell = "while :; do sleep 0.002 & sleep 0.003 & sleep 0.001; done"
    churn = subprocess.Popen(["sh", "-c", shell])
    try:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            answer = {f"own ({own.pid})": 4, f"web ({web.pid})": 3}
            assert host_groups(host, "process") == answer
            assert host_groups(host, "process", "nobody") == {f"own ({own.pid})": 4, OTHERS: 3}
    finally:
        churn.kill()
        churn.wait()


COMES_AND_GOES = """
import os, socket
while True:
    if os.fork() == 0:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", 0))
        os._exit(0)
    os.wait()
"""


def test_who_is_in_the_cgroup_of_a_socket_is_looked_at_first(host: Host) -> None:
    here, elsewhere = host.cgroup("here.service"), host.cgroup("elsewhere.service")
    web = host.start("web", here)
    web.do("udp", "127.0.0.1", 7)
    (child,) = web.do("fork", 1)
    shared, alone = {f"web ({web.pid}) +1": 7}, {f"web ({web.pid})": 7}
    assert host_groups(host, "process") == shared
    (elsewhere / "cgroup.procs").write_text(str(child), encoding="ascii")
    assert host_groups(host, "process") == alone
    # Where a key asks for an owner, everybody is looked at.
    line = ["--group-by=process", "--format=json"]
    for key, code in (("nobody=0:5", 0), (f"web ({child})=6", 2), (f"web ({child})=7", 0)):
        done = host.ask(*line, f"--critical={key}")
        assert done.returncode == code, key
        groups = [group for group in json.loads(done.stdout)["groups"] if "unmatched" not in group]
        assert {group["label"]: group["count"] for group in groups} == shared, key
    # What nobody there has is somebody else's.
    (elsewhere / "cgroup.procs").write_text(str(web.pid), encoding="ascii")
    assert host_groups(host, "process") == shared


# 4,000 sockets, the older the lower their descriptors, or in another order, or with some closed;
# some of them lead to port 9.
LARGE = """
import fcntl, os, random, resource, socket, sys
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
order, wanted = sys.argv[1], int(sys.argv[2])
made = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(4000)]
random.seed(0)
for one in random.sample(made, wanted):
    one.connect(("127.0.0.1", 9))
held = [one.detach() for one in made]
if order in ("shuffled", "far away"):
    moved = [fcntl.fcntl(one, fcntl.F_DUPFD, 9000) for one in held]
    for one in held:
        os.close(one)
    if order == "shuffled":
        random.shuffle(moved)
        for place, one in zip(held, moved):
            os.dup2(one, place)
            os.close(one)
elif order == "scattered":
    for one in random.sample(held, 1500):
        os.close(one)
elif order == "in pieces":
    for one in held[1000:]:
        if one // 300 % 2:
            os.close(one)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def large(host: Host) -> Iterator[Callable[[str, Path, int], tuple[int, str]]]:
    """Return a function that starts a process with a large table; it returns id and name."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 14_000:
        pytest.skip("a process may not have 13,000 files open here")
    with contextlib.ExitStack() as stack:

        def start(order: str, cgroup: Path, wanted: int) -> tuple[int, str]:
            enter = f'echo $$ >{shlex.quote(str(cgroup))}/cgroup.procs; exec "$@"'
            with namespaces.inside(host.ns):
                one = subprocess.Popen(
                    ["sh", "-c", enter, "-", sys.executable, "-c", LARGE, order, str(wanted)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            stack.enter_context(one)
            assert one.stdout is not None
            assert one.stdout.readline() == b"ready\n"
            return one.pid, Path(f"/proc/{one.pid}/comm").read_text(encoding="ascii").strip()

        yield start


@pytest.mark.parametrize("order", ["by age", "shuffled", "far away"])
def test_a_few_sockets_of_large_tables(
    host: Host, large: Callable[[str, Path, int], tuple[int, str]], order: str
) -> None:
    cgroup = host.cgroup("large.service")
    large(order, cgroup, 0)
    pid, name = large(order, cgroup, 20)
    done = host.ask("--remote-port=9", "--critical=5", "--lengthy")
    assert (done.returncode, done.stderr) == (2, "")
    row = rf"^20 +! {name} \({pid}\) +! large\.service "
    assert re.search(row, done.stdout, re.M), done.stdout


@pytest.mark.parametrize("order", ["by age", "shuffled", "far away", "scattered", "in pieces"])
def test_every_socket_of_a_large_table(
    host: Host, large: Callable[[str, Path, int], tuple[int, str]], order: str
) -> None:
    pid, name = large(order, host.cgroup("large.service"), 4_000)
    # Besides its standard files.
    left = len(list(Path(f"/proc/{pid}/fd").iterdir())) - 3
    assert host_groups(host, "process") == {f"{name} ({pid})": left}


def test_the_api_names_everybody_who_has_a_connection(host: Host) -> None:
    here, elsewhere = host.cgroup("here.service"), host.cgroup("elsewhere.service")
    web = host.start("web", here)
    web.do("udp", "127.0.0.1", 1)
    (child,) = web.do("fork", 1)
    (elsewhere / "cgroup.procs").write_text(str(child), encoding="ascii")
    script = (
        "from network_connections import connections\n"
        "print([*map(tuple, connections(processes=True)[0].processes)])"
    )
    with namespaces.inside(host.ns):
        done = python(script)
    assert done.stdout == f"{[(web.pid, 'web'), (child, 'web')]}\n", done


def test_holders_that_go_away_while_they_are_looked_up(host: Host) -> None:
    web = host.start("web")
    web.do("udp", "127.0.0.1", 3)
    with namespaces.inside(host.ns):
        churn = subprocess.Popen([sys.executable, "-S", "-c", COMES_AND_GOES])
    labels = re.compile(r"\S+ \(\d+\)( \+\d+)?|\(no process\)|\(other users' processes\)")
    try:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            counts = host_groups(host, "process")
            assert counts[f"web ({web.pid})"] == 3
            assert all(labels.fullmatch(label) for label in counts), counts
            counts = host_groups(host, "process", "nobody")
            assert [*counts] == [OTHERS]
            assert counts[OTHERS] >= 3
    finally:
        churn.kill()
        churn.wait()


LONG = "postgres_exporter"


def test_a_name_that_the_kernel_cuts_short_is_completed(host: Host, directory: Path) -> None:
    exporter = directory / LONG
    shutil.copy(shutil.which("sleep") or "", exporter)
    started = host.start("parent")
    started.do("udp", "127.0.0.1", 21)
    pid = started.do("run", exporter, "100")
    psutil = pytest.importorskip("psutil")
    assert Path(f"/proc/{pid}/comm").read_text() == f"{LONG[:15]}\n"
    assert psutil.Process(pid).name() == LONG
    started.do("let_go")
    assert host_groups(host, "process") == {f"{LONG} ({pid})": 21}
    done = host.ask("--group-by=process", "-c", f"{LONG}=5")
    assert done.stdout.startswith(f"{LONG} ({pid}): 21 [CRITICAL]|")
    assert done.returncode == 2


def test_a_process_goes_on_when_its_first_thread_has_ended(host: Host) -> None:
    web = host.start("web")
    own = host.start("own", uid=namespaces.NOBODY)
    for held, number in ((web, 21), (own, 4)):
        held.do("udp", "127.0.0.1", number)
        held.do("end_first_thread")
        assert "State:\tZ" in Path(f"/proc/{held.pid}/status").read_text(encoding="utf-8")
    mine = {f"own ({own.pid})": 4}
    assert host_groups(host, "process") == {f"web ({web.pid})": 21, **mine}
    assert host_groups(host, "process", "nobody") == {OTHERS: 21, **mine}
    done = host.ask("--group-by=process", "-c", "web=5")
    assert done.stdout.startswith(f"web ({web.pid}): 21 [CRITICAL], ")
    # Whoever else has them is not all there are.
    web.do("fork", 2)
    assert host_groups(host, "process") == {f"web ({web.pid}) +2": 21, **mine}


def test_a_thread_may_have_sockets_for_itself(host: Host) -> None:
    web = host.start("web")
    own = host.start("own", uid=namespaces.NOBODY)
    for held, number in ((web, 20), (own, 3)):
        # Both have as many, by the same numbers.
        held.do("udp_of_a_thread", "127.0.0.1", number)
        held.do("udp", "127.0.0.1", number)
        held.do("udp_of_a_thread", "127.0.0.1", 1)
    mine = {f"own ({own.pid})": 7}
    assert host_groups(host, "process") == {f"web ({web.pid})": 41, **mine}
    assert host_groups(host, "process", "nobody") == {OTHERS: 41, **mine}


def with_a_thread_apart(host: Host, files: int) -> Actor:
    """Start a process of many threads, of which one has a table of its own, with 30 sockets."""
    while True:
        web = host.start("web")
        web.do("open_files", files)
        web.do("idle_threads", 40)
        web.do("udp_of_a_thread", "127.0.0.1", 30)
        # Each thread has as many descriptors, so that nothing says which one it is.
        web.do("open_files", 30)
        threads = [int(path.name) for path in Path(f"/proc/{web.pid}/task").iterdir()]
        # Threads are read by their ids. Behind the highest id the kernel begins at the lowest.
        if max(threads) - min(threads) < 10_000:
            return web
        os.kill(web.pid, signal.SIGKILL)


def test_a_thread_apart_is_found_among_many(host: Host) -> None:
    web = with_a_thread_apart(host, 600)
    assert host_groups(host, "process") == {f"web ({web.pid})": 30}
    done = host.ask("--group-by=process", "-c", "web=20")
    assert done.stdout.startswith(f"web ({web.pid}): 30 [CRITICAL]|")


def test_a_thread_that_is_not_read_may_have_any_socket(host: Host) -> None:
    with_a_thread_apart(host, 3000)
    host.start("other").do("udp", "127.0.0.1", 2)
    counts = host_groups(host, "process")
    assert counts.pop("(processes not read)") == 30
    assert [*counts.values()] == [2]
    for key, printed, code in (
        ("web=20", "web: 0 to 30 [UNKNOWN]", 3),
        ("web=1:", "web: 0 to 30 [UNKNOWN]", 3),
        ("web=30", "", 0),
    ):
        done = host.ask("--group-by=process", "-c", key)
        assert (done.returncode, printed in done.stdout) == (code, True), done
        assert ("of very many threads some are not read" in done.stdout) == (code == 3)
    # A state that is certain stands.
    done = host.ask("--group-by=process", "-c", "other=1", "-w", "web=20")
    assert done.returncode == 2
    done = host.ask("--lengthy", "-c1")
    assert re.search(r"^30 +! \(processes not read\) ", done.stdout, re.MULTILINE)


def test_threads_that_are_not_read_matter_only_to_sockets_that_are_missing(host: Host) -> None:
    web = host.start("web")
    web.do("open_files", 3000)
    web.do("idle_threads", 40)
    web.do("udp", "127.0.0.1", 30)
    assert host_groups(host, "process") == {f"web ({web.pid})": 30}
    done = host.ask("--group-by=process", "-c", "nginx=1:")
    assert "nginx: 0 [CRITICAL]" in done.stdout
    assert done.returncode == 2


# Nothing but ENOENT and ESRCH says that something went away, nothing but EACCES and EPERM that it
# is hidden.


@pytest.mark.parametrize("error", ["EIO", *shares.slow("EMFILE", "ENFILE", "ENOMEM")])
@pytest.mark.parametrize("file", ["fd", "comm"])
def test_a_process_that_cannot_be_looked_at_did_not_go_away(
    host: Host, tampered: Tampered, file: str, error: str
) -> None:
    web = host.start("web")
    web.do("udp", "127.0.0.1", 21)
    path = f"/proc/{web.pid}/{file}"
    before = tampered(f"{OPEN}:error={error}", only=path)
    reason = f"{path}: {harness.says(error)}"
    line = one_line(asked(host, "--group-by=process", "-c", "web=5", before=before))
    assert reason in harness.reworded(line)
    # The number is certain without the owners: the alert stands.
    done = asked(host, "--lengthy", "-c", "20", before=before)
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith("udp NONE: 21 [CRITICAL]; details are missing: ")
    assert reason in harness.reworded(done.stdout)


@pytest.mark.parametrize("error", ["EIO", *shares.slow("EMFILE", "ENFILE", "ENOMEM")])
@pytest.mark.parametrize("call", [OPEN, "getdents64"])
def test_a_cgroup_that_cannot_be_looked_at_did_not_go_away(
    host: Host, tampered: Tampered, call: str, error: str
) -> None:
    cgroup = host.cgroup("web.slice", "web.service").parent
    host.start("web", cgroup / "web.service").do("udp", "127.0.0.1", 21)
    # A directory is opened by its name in its parent.
    only = cgroup.name if call == OPEN else cgroup
    before = tampered(f"{call}:error={error}", only=only)
    done = asked(host, "--group-by=unit", "-c", "web.service=5", before=before)
    if (call, error) == (OPEN, "EMFILE"):
        # Others may have made more directories in each other than a process may have open.
        assert done.stdout.startswith("(outside): 21, web.service: 0 to 21 [UNKNOWN]; ")
        return
    assert f"{cgroup}: {harness.says(error)}" in harness.reworded(one_line(done))


# Names come from outside.

NAMES = {
    b"new\nline": "new?line",
    b"a|b": "a!b",
    b"\x1b[31mred\x1b[0m": "?[31mred?[0m",
    b"<b>": "&lt;b>",
    b"\xff\xfe": "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}",
    "\N{RIGHT-TO-LEFT OVERRIDE}evil".encode(): "?evil",
    b"\r\t\x07": "???",
    b"[OK], x: 5": "[OK], x: 5",
    "漢字".encode(): "漢字",
    b"(kernel)": "(kernel)",
}


def test_process_names_do_no_harm(host: Host) -> None:
    perfdata = "'groups'=1 'largest'=3 'total'=3"
    for name, shown in NAMES.items():
        with actor(host.ns, name) as held:
            held.do("udp", "127.0.0.1", 3)
            assert Path(f"/proc/{held.pid}/comm").read_bytes() == name + b"\n"
            done = host.ask("--group-by=process")
            assert done == (f"{shown} ({held.pid}): 3|{perfdata}\n", "", 0)
            done = host.ask("--group-by=process", "--lengthy", "-c2")
            assert done.returncode == 2
            assert done.stdout.endswith(f"|{perfdata}\n")
            assert_harmless(done.stdout)
            assert [*host_groups(host, "process").values()] == [3]
            assert_printable(host.ask("--group-by=process", "--format=prometheus").stdout)


def test_no_two_names_together_are_markup(host: Host) -> None:
    # Icinga Web looks for a tag in all of the output: it may begin in one name, end in another.
    for name, number in (("<a href=x", 4), ("y>", 3)):
        host.start(name).do("udp", "127.0.0.1", number)
    for by in ("process", "type"):
        assert_harmless(host.ask(f"--group-by={by}", "--lengthy", "-c0").stdout)


def test_unit_names_do_no_harm(host: Host) -> None:
    start = host.start("units")
    for number, name in enumerate(
        (b"a|b\x1b[31m.service", b"<b>.service", b"\xff.service", "\u202e漢字.service".encode()), 1
    ):
        start.do("enter", host.cgroup(name))
        start.do("udp", "127.0.0.1", number)
    done = host.ask("--group-by=unit")
    message = "?漢字.service: 4, \ufffd.service: 3, &lt;b>.service: 2, a!b?[31m.service: 1"
    assert done == (f"{message}|'groups'=4 'largest'=4 'total'=10\n", "", 0)
    assert_harmless(host.ask("--group-by=unit", "--lengthy", "-c0").stdout)


def test_user_names_do_no_harm(host: Host, directory: Path) -> None:
    accounts = directory / "passwd"
    lines = ("root:x:0:0::/:", "ev|il\x1b[31m<b>:x:54321:1::/:", "漢字:x:54322:1::/:", "")
    accounts.write_text("\n".join(lines), encoding="utf-8")
    accounts.chmod(0o644)
    start = host.start("users")
    for number, uid in enumerate((54321, 54322, 54323), 1):
        start.do("own", uid)
        start.do("udp", "127.0.0.1", number)
    before = private(f"mount --bind {accounts} /etc/passwd")
    done = host.ask("--group-by=user", before=before)
    message = "54323: 3, 漢字: 2, ev!il?[31m&lt;b>: 1"
    assert done == (f"{message}|'groups'=3 'largest'=3 'total'=6\n", "", 0)
    assert_harmless(host.ask("--group-by=user", "--lengthy", "-c0", before=before).stdout)


def assert_harmless(output: str) -> None:
    """There is one performance data, nothing moves the cursor, and Icinga Web sees no markup."""
    assert_printable(output)
    assert output.count("|") == 1
    assert re.search(r"<\w+(?:\s\w+=[^>]*)?>", output) is None


def assert_printable(output: str) -> None:
    assert all(character.isprintable() or character == "\n" for character in output), output


# Users whom nobody knows, and a user database that does not answer.

# Only where the test asks for it: the commands that run the check look up users too.
HANG = f"""
#include <nss.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

enum nss_status _nss_hang_getpwuid_r(uid_t uid, struct passwd *result, char *buffer,
                                     size_t length, int *error)
{{
    while (uid == {NAMELESS})
        pause();
    return NSS_STATUS_NOTFOUND;
}}

enum nss_status _nss_hang_getpwnam_r(const char *name, struct passwd *result, char *buffer,
                                     size_t length, int *error)
{{
    while (!strcmp(name, "absent"))
        pause();
    return NSS_STATUS_NOTFOUND;
}}
"""


# A directory server that needs 0.3 seconds for an answer.
SLOW_USERS = range(NAMELESS, NAMELESS + 40)
SLOW = f"""
#include <nss.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum nss_status answer(uid_t uid, struct passwd *result, char *buffer, size_t length)
{{
    usleep(300000);
    if (uid < {SLOW_USERS.start} || uid >= {SLOW_USERS.stop})
        return NSS_STATUS_NOTFOUND;
    memset(result, 0, sizeof *result);
    snprintf(buffer, length, "slow%u", uid);
    result->pw_name = result->pw_gecos = result->pw_dir = result->pw_shell = buffer;
    result->pw_passwd = buffer;
    result->pw_uid = result->pw_gid = uid;
    return NSS_STATUS_SUCCESS;
}}

enum nss_status _nss_slow_getpwuid_r(uid_t uid, struct passwd *result, char *buffer,
                                     size_t length, int *error)
{{
    return answer(uid, result, buffer, length);
}}

enum nss_status _nss_slow_getpwnam_r(const char *name, struct passwd *result, char *buffer,
                                     size_t length, int *error)
{{
    if (strncmp(name, "slow", 4))
        return NSS_STATUS_NOTFOUND;
    return answer(strtoul(name + 4, 0, 10), result, buffer, length);
}}
"""


def user_database(directory: Path, name: str, source: str) -> list[str]:
    """Return what lets commands ask a user database of this source, besides /etc/passwd."""
    if reason := lacking("cc"):
        pytest.skip(reason)
    file = directory / f"{name}.c"
    file.write_text(source, encoding="ascii")
    library = directory / f"libnss_{name}.so.2"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, file], check=True)
    switch = directory / "nsswitch.conf"
    switch.write_text(f"passwd: files {name}\n", encoding="ascii")
    harness.readable(directory)
    mounts = private(f"mount --bind {switch} /etc/nsswitch.conf")
    return [*mounts, "env", f"LD_LIBRARY_PATH={directory}"]


@pytest.fixture
def hanging(directory: Path) -> list[str]:
    """Return what makes the user database hang for one user whom /etc/passwd does not know."""
    return user_database(directory, "hang", HANG)


@pytest.fixture
def slow(directory: Path) -> list[str]:
    """Return what makes the user database slow for users whom /etc/passwd does not know."""
    return user_database(directory, "slow", SLOW)


def test_a_user_without_a_name_is_a_number(host: Host) -> None:
    held = host.start("held", uid=NAMELESS)
    held.do("udp", "127.0.0.1", 3)
    for user in USERS:
        assert host_groups(host, "user", user) == {str(NAMELESS): 3}


@pytest.mark.parametrize(("user", "way"), TWO_OF_FOUR)
def test_a_user_database_that_does_not_answer(
    host: Host, nobodys: Mapping[str, Command], hanging: list[str], user: str, way: str
) -> None:
    held = host.start("held")
    held.do("own", NAMELESS)
    held.do("udp", "127.0.0.1", 3)

    def ask(*options: str) -> Done:
        before = [*hanging, *namespaces.command(None, [], user)]
        with namespaces.inside(host.ns):
            return nobodys[way].run(*options, before=before)

    start = time.monotonic()
    done = ask("--group-by=user", "--timeout=20", "-w", f"{NAMELESS}=2")
    perfdata = "'groups'=1 'largest'=3 'total'=3"
    assert done == Done(f"{NAMELESS}: 3 [WARNING]|{perfdata}\n", "", 1)
    done = ask("--group-by=user", "--timeout=20", "--lengthy", "-c2")
    assert done.returncode == 2
    assert done.stdout.startswith(f"{NAMELESS}: 3 [CRITICAL]\n")
    assert done.stdout.endswith(f"|{perfdata}\n")
    (row,) = harness.rows(done, str(NAMELESS))
    assert (row["Connections"], row["User"]) == ("3", str(NAMELESS))
    assert time.monotonic() - start < 30


@pytest.mark.skipif(harness.STATIC, reason="a static build asks no such user database")
def test_a_user_database_that_does_not_answer_is_not_an_unknown_user(
    host: Host, hanging: list[str]
) -> None:
    host.start("held").do("udp", "127.0.0.1", 3)
    line = one_line(asked(host, "--group-by=user", "-c", "absent=2", before=hanging))
    # The threshold may well be right.
    assert "the key of no group" not in line


@pytest.mark.skipif(harness.STATIC, reason="a static build asks no such user database")
@pytest.mark.parametrize("number", [3, len(SLOW_USERS)])
def test_a_slow_user_database_is_waited_for(host: Host, slow: list[str], number: int) -> None:
    """Several users are looked up at the same time."""
    held = host.start("held")
    for place, uid in enumerate(SLOW_USERS[:number], 1):
        held.do("own", uid)
        held.do("udp", "127.0.0.1", place)
    total, last = number * (number + 1) // 2, f"slow{SLOW_USERS[number - 1]}"
    line = ["--group-by=user", "--timeout=20", f"--top={number}"]
    done = asked(host, *line, "-c", f"root=1,{last}={number}", before=slow)
    names = re.findall(r"(slow\d+): (\d+)", done.stdout)
    expected = {f"slow{uid}": str(place) for place, uid in enumerate(SLOW_USERS[:number], 1)}
    assert dict(names) == expected
    assert "UNKNOWN" not in done.stdout
    assert (done.stderr, done.returncode) == ("", 0)
    done = asked(host, *line, "-c", f"root=1,{last}={number - 1}", before=slow)
    assert f"{last}: {number} [CRITICAL]" in done.stdout
    assert done.stdout.endswith(f" 'total'={total}\n")
    assert done.returncode == 2


# A user whom /etc/passwd does not know, as one of a directory server.
ELSEWHERE = f"""
mount -t tmpfs none /var/lib/extrausers
mount -t tmpfs none /run/nscd
mount -t tmpfs none /var/cache/nscd
echo elsewhere:x:{NAMELESS}:{NAMELESS}::/:/bin/false > /var/lib/extrausers/passwd
chmod 644 /var/lib/extrausers/passwd
mount --bind "$SWITCH" /etc/nsswitch.conf
"""
NSCD = """
nscd --foreground >/dev/null 2>&1 &
until [ -S /run/nscd/socket ]; do sleep 0.01; done
code=0
"$@" || code=$?
nscd --shutdown
wait
exit $code
"""


@pytest.mark.parametrize("cache", ["", NSCD], ids=["nsswitch.conf", "nscd"])
def test_a_user_of_another_database(cache: str, host: Host, tmp_path: Path) -> None:
    if reason := lacking("/run/nscd", "/var/lib/extrausers"):
        pytest.skip(reason)
    switch = tmp_path / "nsswitch.conf"
    switch.write_text("passwd: files extrausers\n", encoding="ascii")
    before = private(ELSEWHERE.replace("$SWITCH", str(switch)) + cache)
    host.start("held", uid=NAMELESS).do("udp", "127.0.0.1", 3)
    known = not harness.STATIC or cache != ""
    name = "elsewhere" if known else str(NAMELESS)
    for user in USERS:
        assert host_groups(host, "user", user, before) == {name: 3}
    done = asked(host, "--group-by=user", "-c", "elsewhere=2", before=before)
    if known:
        assert done.stdout.startswith("elsewhere: 3 [CRITICAL]|")
    else:
        assert '"elsewhere" is the key of no group' in one_line(done)
    done = asked(host, "--group-by=user", "-c", f"{NAMELESS}=2", before=before)
    assert done.stdout.startswith(f"{name}: 3 [CRITICAL]|")


# Thresholds.


def test_thresholds_by_user(host: Host) -> None:
    held = host.start("held")
    for number, uid in enumerate((0, 1, NAMELESS), 1):
        held.do("own", uid)
        held.do("udp", "127.0.0.1", number)
    counts = {str(NAMELESS): 3, user_name(1): 2, "root": 1}
    for key, state in (
        (user_name(1), f"{user_name(1)}: 2 [CRITICAL]"),
        ("1", f"{user_name(1)}: 2 [CRITICAL]"),
        (str(NAMELESS), f"{NAMELESS}: 3 [CRITICAL]"),
        ("root", ""),
        ("0", ""),
        (KERNEL, ""),
    ):
        done = host.ask("--group-by=user", "-c", f"{key}=1")
        parts = [f"{name}: {number}" for name, number in counts.items()]
        message = ", ".join(state if state.startswith(f"{part} ") else part for part in parts)
        perfdata = "'groups'=3 'largest'=3 'total'=6"
        assert done == (f"{message}|{perfdata}\n", "", 2 if state else 0)
    line = one_line(asked(host, "--group-by=user", "-c", "no-such-user=1"))
    assert "no-such-user" in line


def test_thresholds_by_unit(host: Host) -> None:
    held = host.start("held")
    for number, name in enumerate(("a.service", "b.service"), 1):
        held.do("enter", host.cgroup(name))
        held.do("udp", "127.0.0.1", number)
    perfdata = "'groups'=2 'largest'=2 'total'=3"
    for options, message, state in (
        (["-c", "b.service=1"], "b.service: 2 [CRITICAL], a.service: 1", 2),
        (["-c", "B.Service=1", "-w0"], "b.service: 2 [CRITICAL], a.service: 1 [WARNING]", 2),
        (["-c", "0,a.service=5"], "b.service: 2 (not expected) [CRITICAL], a.service: 1", 2),
        (["-w", "c.service=0"], "b.service: 2, a.service: 1, c.service: 0", 0),
        (["-w", "a=0,b=5"], "b.service: 2, a.service: 1 [WARNING]", 1),
        (
            ["-c", "a.servce=5,nginx=5", "--top=1"],
            "b.service: 2, and 1 more, a.servce: 0 (nearest: a.service), nginx: 0",
            0,
        ),
        (
            ["-c", "aa=1:"],
            "b.service: 2, a.service: 1, aa: 0 [CRITICAL] (nearest: a.service)",
            2,
        ),
        (["-w", "total=2"], "total: 3 [WARNING], b.service: 2, a.service: 1", 1),
    ):
        done = host.ask("--group-by=unit", *options)
        assert done == (f"{message}|{perfdata}\n", "", state)


def test_thresholds_by_process(host: Host) -> None:
    one = host.start("alpha (1)")
    one.do("udp", "127.0.0.1", 4)
    one.do("fork", 1)
    two = host.start("beta")
    two.do("udp", "127.0.0.1", 3)
    three = host.start("beta")
    three.do("udp", "127.0.0.1", 2)
    labels = (f"alpha (1) ({one.pid}) +1: 4", f"beta ({two.pid}): 3", f"beta ({three.pid}): 2")
    for key, marks in (
        ("beta", (0, 1, 1)),
        ("BETA", (0, 1, 1)),
        (f"beta ({three.pid})", (0, 0, 1)),
        ("alpha (1)", (1, 0, 0)),
        (f"alpha (1) ({one.pid}) +1", (1, 0, 0)),
        ("alpha", (0, 0, 0)),
        ("gamma", (0, 0, 0)),
    ):
        done = host.ask("--group-by=process", "-w", f"{key}=1")
        message = ", ".join(
            label + (" [WARNING]" if mark else "") for label, mark in zip(labels, marks)
        )
        if not any(marks):
            message += f", {key}: 0"
            message += " (nearest: alpha (1))" if key == "alpha" else ""
        perfdata = "'groups'=3 'largest'=4 'total'=9"
        assert done == (f"{message}|{perfdata}\n", "", 1 if any(marks) else 0), key
    # A plain range: any process with more than so many.
    done = host.ask("--group-by=process", "-c", "2")
    assert done.stdout.count("[CRITICAL]") == 2


@pytest.mark.parametrize("by", GROUPS)
def test_groups_of_owners_cannot_be_listed(host: Host, by: str) -> None:
    assert "--zero" in one_line(asked(host, f"--group-by={by}", "--zero"))
