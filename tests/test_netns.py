"""Other network namespaces: counted as from inside, told apart, never passed over in silence."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pickle
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import harness
import model
import pytest
import shares
from asking import SOURCES, USERS, WAYS, Asker, asker, one_by_one
from conftest import Tampered
from harness import PATIENCE, Command, Done, one_line, reworded, says
from lab import namespaces, owners
from lab.owners import Host, private
from lab.states import StateLab
from model import Question

pytestmark = pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing() or "-")

# Of this process alone: others may run these tests on this host at the same time.
ID = f"{os.getpid():012x}"
CONTAINER = f"docker:{ID}"
PORT = 7000 + os.getpid() % 20_000
NO_PROCESS = (
    "no process of this id can be seen (valid: the id of a running process, all, a name below "
    "/run/netns, a path)"
)
CLOSED = "cannot be entered (CAP_SYS_ADMIN is needed)"
NEEDS = f"{CLOSED}, and no process is known that shows it"

# Every state, on its own and with others.

QUESTIONS = [
    Question(),
    Question(("tcp",)),
    Question(("tcp6", "udp6")),
    Question((), ("listen", "time_wait", "close_wait")),
    Question(("udp",), ("none",)),
    Question(("tcp6",), ("fin_wait2", "syn_recv")),
]


def become(group: int, *more: str) -> list[str]:
    user = ["setpriv", f"--reuid={namespaces.NOBODY}", f"--regid={group}", "--clear-groups"]
    return [*user, *more]


@contextlib.contextmanager
def inhabitant(ns: str | None) -> Iterator[int]:
    """Let a process be in a namespace that has no socket."""
    with namespaces.inside(ns):
        process = subprocess.Popen(["sleep", "infinity"])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module", params=USERS)
def elsewhere(request: pytest.FixtureRequest, nobodys: Mapping[str, Command]) -> Iterator[Asker]:
    """Return somebody who asks from a namespace without sockets."""
    with namespaces.pair() as made, asker(made.a, request.param, nobodys) as someone:
        yield someone


@pytest.fixture(scope="module")
def inside_pid(lab: StateLab) -> Iterator[int]:
    with inhabitant(lab.ns) as pid:
        yield pid


@pytest.mark.parametrize("source", [*SOURCES, "auto"])
@pytest.mark.parametrize("way", WAYS)
@shares.every(3)
def test_every_state_is_counted_as_from_inside(
    lab: StateLab, inside_pid: int, elsewhere: Asker, way: str, source: str, share: slice
) -> None:
    names = [f"/proc/{inside_pid}/ns/net", str(inside_pid)]
    if elsewhere.user == "root":
        names += [lab.ns, f"/run/netns/{lab.ns}"]
    elif source == "netlink":
        for name in names:
            done = elsewhere.run(way, "--source=netlink", f"--netns={name}")
            assert "CAP_SYS_ADMIN" in one_line(done)
        return
    questions = [
        (dataclasses.replace(asked, source=source), name)
        for asked in QUESTIONS[share]
        for name in names
    ]

    def ask(question: tuple[Question, str]) -> Done:
        asked, name = question
        return elsewhere.run(way, *asked.arguments(), f"--netns={name}")

    for (asked, name), sockets, done in one_by_one(lab, elsewhere.user, questions, ask):
        expected = Done(f"{model.answer(asked, sockets).line}\n", "", 0)
        assert done == expected, (asked, name)


# A few namespaces: `a` of a container, `b` with a name only, and the one who asks.


@dataclasses.dataclass(frozen=True)
class Site:
    """Two namespaces with known sockets, asked from a third one."""

    host: Host
    ns: str
    web: int
    db: int

    def ask(self, *options: str, user: str = "root", before: Sequence[str] = ()) -> Done:
        """Run the check."""
        with namespaces.inside(self.ns):
            done = subprocess.run(
                [*before, *namespaces.command(None, [], user), *self.host.check, *options],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        return Done(done.stdout, done.stderr, done.returncode)

    def groups(
        self, by: str, *options: str, user: str = "root", before: Sequence[str] = ()
    ) -> dict[str, int]:
        """Return the count of each group."""
        asked = [f"--group-by={by}", "--format=json", *options]
        done = self.ask(*asked, user=user, before=before)
        assert (done.stderr, done.returncode) == ("", 0), done
        return {group["label"]: group["count"] for group in json.loads(done.stdout)["groups"]}

    @property
    def plain(self) -> Path:
        """A cgroup of no unit."""
        return self.host.base / "plain"

    @property
    def both(self) -> list[str]:
        """What asks for both, whoever asks."""
        return [f"--netns={self.web}", f"--netns={self.db}"]

    def alone(self, script: str = "true") -> list[str]:
        """Let no other namespace be mounted than these, and /proc have these processes only."""
        others = "grep ' - nsfs ' /proc/self/mountinfo | cut -d' ' -f5 | grep -vxF"
        ours = (self.ns, self.host.pair.a, self.host.pair.b)
        keep = "".join(f" -e /run/netns/{ns}" for ns in ours)
        # Who deletes one takes the mount away here, too.
        umount = "umount $mount 2> /dev/null || :"
        return private(f"for mount in $({others}{keep}); do {umount}; done; {script}")


@pytest.fixture(scope="module")
def site(nobodys: Mapping[str, Command]) -> Iterator[Site]:
    if reason := owners.missing():
        pytest.skip(reason)
    with owners.host([*nobodys["native"].argv, "--timeout=60"]) as host, namespaces.pair() as third:
        web = host.start("web", host.cgroup(f"docker-{ID}{ID * 4}cafe.scope"), ns=host.pair.a)
        # The cgroup of whoever runs the tests may be a unit's.
        db = host.start("db", host.cgroup("plain"), ns=host.pair.b)
        for actor, count in ((web, 5), (db, 3)):
            actor.do("listen", "127.0.0.1", PORT)
            actor.do("connect", "127.0.0.1", PORT, count)
            actor.do("accept", PORT, count)
        db.do("udp", "::1", 2)
        yield Site(host, third.a, web.pid, db.pid)


def test_groups_are_containers_names_and_processes(site: Site) -> None:
    assert site.groups("netns", *site.both) == {CONTAINER: 11, site.host.pair.b: 9}
    # Another user may not read which one has the name. Its process names it.
    assert site.groups("netns", *site.both, user="nobody") == {CONTAINER: 11, "process:db": 9}
    assert site.groups("netns") == {}
    with namespaces.inside(site.ns):
        own = namespaces.run(None, [*site.host.check, "--group-by=netns", f"--netns={site.db}"])
    assert own.stdout.startswith(f"{site.host.pair.b}: 9|")


@pytest.mark.parametrize("user", USERS)
def test_the_proc_of_another_place_shows_its_namespaces(
    site: Site, directory: Path, user: str
) -> None:
    """As where a container has the one of its host mounted (docs/permissions.md)."""
    before = private(f"mount -t proc proc {directory}")
    # A namespace of processes of its own: what /proc shows here is not what is named.
    before = [*before, "unshare", "--pid", "--fork", "--mount-proc"]
    name = f"--netns={directory}/{site.web}/ns/net"
    done = site.ask("--group-by=type", name, user=user, before=before)
    assert done == Done("tcp: 11|'tcp'=11\n", "", 0)
    assert site.ask(f"--netns={site.web}", user=user, before=before).returncode == 3


@pytest.mark.parametrize("user", USERS)
def test_each_is_counted_once_however_often_it_is_named(site: Site, user: str) -> None:
    again = [f"--netns=/proc/{site.web}/ns/net", f"--netns={site.web}", *site.both]
    expected = {"tcp_ESTABLISHED": 16, "tcp_LISTEN": 2, "udp6_NONE": 2}
    assert site.groups("type-status", *again, user=user) == expected
    if user == "root":
        again += [f"--netns={site.host.pair.a}", f"--netns=/run/netns/{site.host.pair.b}"]
        assert site.groups("type-status", *again) == expected
    everything = site.groups("netns", "--netns=all", *again, user=user)
    assert everything[CONTAINER] == 11


def test_all_are_those_of_processes_and_mounts(site: Site) -> None:
    found = site.groups("netns", "--netns=all")
    assert found[CONTAINER] == 11
    assert found[site.host.pair.b] == 9
    # Process 1 of a PID namespace of its own sees no other mounts.
    before = ["unshare", "--pid", "--fork", "--mount-proc", *site.alone()]
    done = site.ask("--netns=all", "--format=json", before=before)
    assert json.loads(done.stdout)["netns"] == {"seen": 3, "unseen": 0, "doubtful": 0}


def test_selections_groups_and_thresholds_hold_over_all_of_them(site: Site) -> None:
    assert site.groups("local-port", *site.both, f"--local-port={PORT}") == {str(PORT): 10}
    assert site.groups("process", *site.both) == {f"web ({site.web})": 11, f"db ({site.db})": 9}
    assert site.groups("unit", *site.both)[CONTAINER] == 11
    assert site.groups("status", *site.both, "--conn-type=udp6", "--zero") == {"NONE": 2}
    by_netns = ["--group-by=netns", *site.both]
    for option, state in (
        (f"{CONTAINER}=10", 2),
        (f"{CONTAINER}=11", 0),
        (f"{site.host.pair.b}=10:", 2),
        ("nowhere=1:", 2),
        ("nowhere=5", 0),
        ("total=19", 2),
        ("total=20:20", 0),
    ):
        assert site.ask(*by_netns, f"--critical={option}").returncode == state, option
    done = site.ask(*by_netns, "--critical=nowhere=1:")
    assert "nowhere: 0 [CRITICAL]" in done.stdout
    prometheus = site.ask(*site.both, "--format=prometheus").stdout
    for kind, number in (("seen", 2), ("unseen", 0), ("doubtful", 0)):
        assert f"\nnetwork_connections_netns_{kind} {number}\n" in prometheus


def test_lengthy_tells_them_apart(site: Site) -> None:
    """Each has ports of its own, and a range of them of its own."""
    namespaces.sysctl(site.host.pair.a, "net/ipv4/ip_local_reserved_ports", 0)
    with namespaces.inside(site.host.pair.b):
        ports = Path("/proc/sys/net/ipv4/ip_local_port_range")
        ports.write_text("30000 60999", encoding="ascii")
    done = site.ask("--lengthy", "--no-perfdata", "--conn-status=established", *site.both)
    peers = harness.rows(done, "tcp ESTABLISHED", "peer")
    there = ("Local port", "Remote address", "Remote port", "Ephemeral ports in use")
    here, other = CONTAINER, site.host.pair.b
    found = harness.columns(peers, "Connections", *there, "Network namespace")
    # Both ends of each connection.
    assert sorted(found) == [
        ["3", "-", "127.0.0.1", str(PORT), "3 of 31000 (0.0097%)", other],
        ["3", str(PORT), "127.0.0.1", "-", "-", other],
        ["5", "-", "127.0.0.1", str(PORT), "5 of 28232 (0.02%)", here],
        ["5", str(PORT), "127.0.0.1", "-", "-", here],
    ]
    holders = harness.rows(done, "tcp ESTABLISHED")
    names = ("Connections", "Process", "Unit", "User", "Local port", "Network namespace")
    found = harness.columns(holders, *names)
    for port in ("-", str(PORT)):
        assert ["5", f"web ({site.web})", CONTAINER, "root", port, here] in found
    for row in (*peers, *holders):
        assert row["Stuck for"] == harness.NOT_STUCK
        assert [*row][-2:] == ["Stuck for", "Network namespace"]
    # Of one alone nobody needs to be told which it is.
    alone = site.ask("--lengthy", f"--netns={site.web}")
    assert "Network namespace" not in alone.stdout


def test_link_local_peers_are_behind_the_links_of_their_namespace(site: Site) -> None:
    show = ["-6", "-o", "addr", "show", "dev", "lab", "scope", "link"]
    shown = namespaces.run(None, ["ip", "-n", site.host.pair.a, *show]).stdout
    local = shown.split()[3].split("/")[0]
    with namespaces.inside(site.host.pair.a):
        code = f"""
import socket, sys, time
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
while True:
    try:
        s.bind(("{local}", 0, 0, socket.if_nametoindex("lab")))
        break
    except OSError:  # Whether another host has this address is still being found out.
        time.sleep(0.01)
print(flush=True)
sys.stdin.read()
"""
        made = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    try:
        assert made.stdout is not None
        made.stdout.readline()
        label = f"{local}%lab"
        assert site.groups("local-address", *site.both, "--conn-type=udp6")[label] == 1
    finally:
        made.communicate()


def test_who_has_no_right_is_told_which_it_is(site: Site) -> None:
    name = site.host.pair.b
    line = one_line(site.ask(f"--netns={name}", user="nobody"))
    assert line == f"Network namespace {name} {NEEDS}: {says('EPERM')}"
    without = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    # A process in it that may be looked at shows it all the same.
    done = site.ask(f"--netns={name}", "--format=json", before=without)
    report = json.loads(done.stdout)
    assert (report["total"], report["source"]) == (9, "procfs")
    line = one_line(site.ask(f"--netns={name}", "--group-by=unit", before=without))
    assert line.endswith("; CAP_SYS_ADMIN is needed to enter the network namespace")
    line = one_line(site.ask(f"--netns={name}", "--source=netlink", before=without))
    assert line == f"Network namespace {name} {CLOSED}: {says('EPERM')}"


def test_what_was_not_seen_is_said(site: Site) -> None:
    """The third one has no process, and nobody may not enter it."""
    before = site.alone()
    done = site.ask("--netns=all", "--format=json", user="nobody", before=before)
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert report["netns"]["unseen"] >= 2  # `b` may be one of those that were seen
    # Process 1 sees the mounts of other tests.
    assert "network namespaces not seen (CAP_SYS_ADMIN" in report["message"]
    for option, code in (
        ("--critical=total=1000000", 0),
        ("--critical=total=1000000:", 3),
        ("--critical=total=1", 2),
        ("--critical=tcp_SYN_SENT=1000000:", 3),
        ("--warning=total=1000000:", 3),
    ):
        done = site.ask("--netns=all", option, user="nobody", before=before)
        assert done.returncode == code, (option, done)
    nothing = ["--netns=all", "--remote-port=9", "--no-match-severity=crit"]
    assert site.ask(*nothing, user="nobody", before=before).returncode == 3
    assert site.ask(*nothing).returncode == 2
    # Each is in one series. `b` has been read, and its mount may be that of another one.
    # Between two looks, namespaces of the machine may come and go.
    for _ in range(5):
        report = json.loads(
            site.ask("--netns=all", "--format=json", user="nobody", before=before).stdout
        )
        page = site.ask("--netns=all", "--format=prometheus", user="nobody", before=before).stdout
        told = dict(re.findall(r"^network_connections_netns_(\w+) (\d+)$", page, re.M))
        netns = report["netns"]
        expected = (netns["seen"], netns["unseen"] - netns["doubtful"], netns["doubtful"])
        if told == dict(zip(("seen", "unseen", "doubtful"), map(str, expected))):
            break
    assert told == dict(zip(("seen", "unseen", "doubtful"), map(str, expected)))
    assert expected[2] >= 1


@pytest.mark.parametrize(
    "options",
    [
        ["--group-by=netns"],
        ["--lengthy"],
        ["--lengthy", "--group-by=remote-endpoint", "--critical=0"],
        ["--lengthy", "--group-by=process", "--conn-status=listen", "--critical=0"],
        ["--measure=accept-queue", "--lengthy", "--critical=0"],
        ["--measure=syn-queue", "--lengthy", "--critical=0"],
        ["--measure=receive-buffer", "--lengthy", "--critical=0"],
        ["--measure=ephemeral-ports", "--lengthy", "--critical=0"],
        ["--measure=host-limits", "--lengthy", "--critical=0"],
    ],
    ids=" ".join,
)
def test_each_namespace_is_entered_once(site: Site, directory: Path, options: list[str]) -> None:
    """Whatever is asked: the sockets, ports, ranges and names of one moment.

    Tables of connections are read when the groups are judged, in another visit.
    """
    log = directory / "log"
    before = ["strace", "-f", "-qq", "-o", str(log), "-e", "trace=setns"]
    done = site.ask(*site.both, *options, before=before)
    assert (done.stderr, done.returncode in (0, 2)) == ("", True), done
    has_tables = "--lengthy" in options and not options[0].startswith("--measure")
    visits = 2 if has_tables else 1
    # Into the namespace, and back.
    assert log.read_text(encoding="utf-8").count("setns(") == 2 * visits


def test_ports_in_use_are_unknown_where_a_namespace_cannot_be_asked_again(site: Site) -> None:
    options = [f"--netns={site.web}", "--lengthy", "--group-by=remote-endpoint"]
    shown = [site.ask(*options, f"--source={source}").stdout for source in SOURCES]
    assert [(" 5 of " in text, " 0 of " in text) for text in shown] == [
        (source == "netlink", False) for source in SOURCES
    ]


def test_a_namespace_behind_a_covered_mount_is_not_seen(site: Site, directory: Path) -> None:
    """Whatever hides the mount point: it is there, and may have sockets."""
    (directory / "ns").touch()
    make = f"unshare --net={directory}/ns true"
    cover = f"mount -t tmpfs tmpfs {directory}"
    replace = f"{make}; {make}"
    elsewhere = f"touch {directory}/b; mount --bind {directory}/ns {directory}/b; mount --bind"
    for script, unseen in (
        (make, 0),
        (f"{make}; {cover}", 1),
        (replace, 1),
        (f"{make}; {elsewhere} /dev/null {directory}/ns", 0),
    ):
        # Process 1 of a PID namespace of its own sees no other mounts.
        before = ["unshare", "--pid", "--fork", "--mount-proc", *site.alone(script)]
        done = site.ask("--netns=all", "--format=json", before=before)
        assert json.loads(done.stdout)["netns"]["unseen"] == unseen, (script, done)
        lower = site.ask("--netns=all", "--warning=total=1000000:", before=before)
        assert lower.returncode == (3 if unseen else 1), (script, lower)
        told = "; 1 network namespace not seen (another mount covers the mount point)"
        assert (told in lower.stdout) is bool(unseen)


def closed(site: Site, script: str, rights: Sequence[str]) -> str:
    """Return what is needed to see the namespaces that only this script mounts."""
    own = ["unshare", "--pid", "--fork", "--mount-proc", *site.alone(script)]
    report = json.loads(site.ask("--netns=all", "--format=json", before=[*own, *rights]).stdout)
    message = report["message"]
    return message.partition(" not seen")[2] if " not seen" in message else ""


WITHOUT_ADMIN = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]


def test_the_right_that_is_missing_is_named_and_no_other(site: Site, directory: Path) -> None:
    # Of the lab's own namespaces, only processes show the way there.
    names = (site.ns, site.host.pair.a, site.host.pair.b)
    alone = "; ".join(f"umount /run/netns/{name}" for name in names)
    mount = f"{alone}; touch {directory}/ns; unshare --net={directory}/ns true"
    mount = f"{mount}; chmod 755 {directory}"
    hide = f"{mount}; chmod 700 {directory}"
    nobody = become(namespaces.NOBODY)
    admin = become(namespaces.NOBODY, "--inh-caps=+sys_admin", "--ambient-caps=+sys_admin")
    assert closed(site, mount, []) == ""
    assert closed(site, hide, []) == ""
    assert closed(site, mount, admin) == ""
    assert closed(site, mount, nobody) == " (CAP_SYS_ADMIN is needed)"
    assert closed(site, hide, admin) == " (CAP_DAC_READ_SEARCH is needed)"
    expected = " (CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH are needed)"
    assert closed(site, hide, nobody) == expected
    # Root of a user namespace has every right there.
    users = [*nobody, "unshare", "--user", "--map-root-user"]
    assert closed(site, mount, users) == " (the host's user namespace is needed)"


def test_a_mount_that_only_process_1_sees_needs_the_right_to_look_there(
    site: Site, directory: Path
) -> None:
    script = f"""
umount /run/netns/{site.ns}
umount /run/netns/{site.host.pair.a}
umount /run/netns/{site.host.pair.b}
touch {directory}/ns
unshare --net={directory}/ns true
mount --make-rprivate /
"""
    # The check runs in mounts of its own, where a tmpfs covers the directory.
    elsewhere = private(f"umount {directory}/ns; mount -t tmpfs none {directory}")
    elsewhere = ["sh", "-c", '"$@"; exit $?', "sh", *elsewhere]
    admin = become(namespaces.NOBODY, "--inh-caps=+sys_admin", "--ambient-caps=+sys_admin")
    assert closed(site, script, elsewhere) == ""
    needed = " (CAP_SYS_PTRACE is needed)"
    assert closed(site, script, [*elsewhere, *admin]) == needed
    needed = " (CAP_SYS_ADMIN and CAP_SYS_PTRACE are needed)"
    nobody = become(namespaces.NOBODY)
    assert closed(site, script, [*elsewhere, *nobody]) == needed


HOPPER = """
import os, pathlib, socket, sys, time
sockets = []
for port in range(21000, 21030):
    sockets.append(socket.socket())
    sockets[-1].bind(("0.0.0.0", port))
    sockets[-1].listen()
run = pathlib.Path(sys.argv[1])
run.touch()
while run.exists():
    if os.fork():
        os._exit(0)
    time.sleep(0.01)
"""


@pytest.mark.parametrize("user", USERS)
def test_a_namespace_whose_process_forks_and_exits_is_found_again_or_not_seen(
    site: Site, directory: Path, user: str
) -> None:
    run = directory / "run"
    line = ["unshare", "--net", sys.executable, "-c", HOPPER, str(run)]
    with subprocess.Popen(line):
        while not run.exists():
            time.sleep(0.01)
        try:
            right = 0
            for _ in range(20):
                listeners = ["--conn-status=listen", "--conn-type=tcp", "--local-port=21000-21029"]
                options = ["--netns=all", *listeners, "--format=json"]
                report = json.loads(site.ask(*options, user=user).stdout)
                found, unseen = report["total"], report["netns"]["unseen"]
                assert found == 30 or unseen > 0, report
                right += found == 30
            assert right > 0
        finally:
            run.unlink()


def test_processes_are_not_looked_at_for_each_that_may_not_be_entered(
    site: Site, tampered: Tampered, directory: Path
) -> None:
    log = directory / "log"
    looks = []
    added = 50
    for more in (0, added):
        files = " ".join(str(directory / str(number)) for number in range(more))
        script = f"for file in {files}; do : >$file; unshare --net=$file true; done"
        strace = tampered("getdents64:error=EIO:when=1000+", log=str(log), only="/proc")
        before = [*site.alone(script), *strace]
        done = site.ask("--netns=all", "--format=json", user="nobody", before=before)
        assert json.loads(done.stdout)["netns"]["unseen"] >= more
        # Of a thread that ends meanwhile strace says so.
        looks.append(log.read_text(encoding="utf-8").count("getdents64("))
    # A process of another test may end meanwhile, and another one is looked for in its place.
    assert 0 < looks[1] < looks[0] + added


def test_a_process_whose_first_thread_has_ended_is_in_its_namespace_all_the_same(
    site: Site,
) -> None:
    with owners.actor(site.host.pair.b, "headless", site.plain) as headless:
        headless.do("end_first_thread")
        assert site.groups("netns", f"--netns={headless.pid}", user="nobody") == {
            "process:headless": 9
        }


def test_the_api_has_namespaces_too(site: Site) -> None:
    script = f"""
import pathlib, pickle, sys, threading
from network_connections import *
from network_connections import __version__
here = pathlib.Path("/proc/thread-self/ns/net").readlink()
both = [{site.web}, "{site.host.pair.b}"]
found = connections(netns=both)
answer = {{
    "counts": count_connections(netns=both, group_by="netns"),
    "path": count_connections(netns=pathlib.Path("/run/netns/{site.host.pair.b}")),
    "one": check(netns={site.web}).counts,
    "connections": sorted({{(c.netns, c.type) for c in found}}),
    "pickled": pickle.loads(pickle.dumps(found)) == found,
    "default": [c.netns for c in connections()],
    "same": here == pathlib.Path("/proc/thread-self/ns/net").readlink(),
}}
# Its thread is gone as soon as the system has cleared it away.
while len(list(pathlib.Path("/proc/self/task").iterdir())) > 1:
    pass
sys.stdout.buffer.write(pickle.dumps(answer))
"""
    with namespaces.inside(site.ns):
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, timeout=PATIENCE, check=True
        )
    answer: dict[str, Any] = pickle.loads(done.stdout)  # noqa: S301
    b = site.host.pair.b
    assert answer == {
        "counts": {CONTAINER: 11, b: 9},
        "path": {"tcp_ESTABLISHED": 6, "udp6_NONE": 2, "tcp_LISTEN": 1},
        "one": {"tcp_ESTABLISHED": 10, "tcp_LISTEN": 1},
        "connections": [(CONTAINER, "tcp"), (b, "tcp"), (b, "udp6")],
        "pickled": True,
        "default": [],
        "same": True,
    }


# A namespace of a process that has no other name, as root or any user makes it.

DWELLER = """
import pathlib, socket, sys
name, count, cgroup = sys.argv[1:]
pathlib.Path("/proc/self/comm").write_text(name)
pathlib.Path(cgroup, "cgroup.procs").write_text("0")
sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(int(count))]
for number, made in enumerate(sockets):
    made.bind(("0.0.0.0", 9000 + number))
print(flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def dweller(name: str, cgroup: Path, count: int = 0) -> Iterator[int]:
    """Let a process of this name have this many UDP sockets in a namespace of its own."""
    line = ["unshare", "--net", sys.executable, "-c", DWELLER, name, str(count), str(cgroup)]
    with started(line) as pid:
        yield pid


@contextlib.contextmanager
def hoarder(cgroup: Path) -> Iterator[int]:
    """Let a process of nobody have a namespace whose ports are all reserved."""
    line = owners.after(f"echo 0 > {cgroup}/cgroup.procs")
    line = [*line, *become(namespaces.NOBODY), "unshare", "--user", "--map-root-user", "--net"]
    script = "echo hoarder > comm; echo 1-65535 > /proc/sys/net/ipv4/ip_local_reserved_ports"
    with started([*line, "sh", "-ec", f"cd /proc/$$; {script}; echo; read line"]) as pid:
        yield pid


@contextlib.contextmanager
def started(line: Sequence[str]) -> Iterator[int]:
    """Start a process that says when it is ready, and ends with its input."""
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        try:
            yield process.pid
        finally:
            process.communicate()


def of_dwellers(groups: Mapping[str, int], *names: str) -> dict[str, int]:
    return {label: count for label, count in groups.items() if any(name in label for name in names)}


@pytest.mark.parametrize("user", USERS)
def test_a_process_names_its_namespace_and_has_its_id_only_to_tell_two_apart(
    site: Site, user: str
) -> None:
    def groups() -> dict[str, int]:
        return of_dwellers(site.groups("netns", "--netns=all", user=user), "trial-app")

    def ask(key: str) -> Done:
        return site.ask("--netns=all", "--group-by=netns", "--top=999", "-c", key, user=user)

    with dweller("trial-app", site.plain, 3) as one:
        assert groups() == {"process:trial-app": 3}
        with dweller("trial-app", site.plain, 5) as other:
            labels = [f"process:trial-app ({pid})" for pid in (one, other)]
            assert groups() == {labels[0]: 3, labels[1]: 5}
            # The key means both, as before.
            done = ask("process:trial-app=4")
            assert f"{labels[1]}: 5 [CRITICAL]" in done.stdout
            assert re.search(rf"{re.escape(labels[0])}: 3(?! \[)", done.stdout)
            assert ask(f"{labels[0]}=2").returncode == 2
    with dweller("trial-app", site.plain, 3):
        assert groups() == {"process:trial-app": 3}
        # What any user may choose is no name of a container, unit or namespace of the host.
        assert ask("trial-app=0").returncode == 0


@pytest.mark.parametrize("user", USERS)
def test_a_unit_names_the_namespaces_of_its_processes(site: Site, user: str) -> None:
    unit = site.host.cgroup(f"shop-{user}.service")
    name = unit.name
    other = site.host.cgroup(f"{name}-x.scope")
    with dweller("shopd", unit, 4), dweller("nginx", other, 2):
        found = site.groups("netns", "--netns=all", user=user)
        assert of_dwellers(found, name) == {name: 4, f"{name}-x.scope": 2}
        with dweller("worker", unit, 3):
            assert site.groups("netns", "--netns=all", user=user)[name] == 7
        options = ["--netns=all", "--group-by=netns", "--top=999", "-c", f"{name}=3"]
        done = site.ask(*options, user=user)
        assert f"{name}: 4 [CRITICAL]" in done.stdout


def test_a_key_of_the_host_is_unknown_where_the_host_cannot_be_told(site: Site) -> None:
    umount = f"umount /run/netns/{site.ns}"
    hidden = private(f"{umount}; mount -t proc -o hidepid=2 proc /proc")
    elsewhere = ["unshare", "--pid", "--fork", "--mount-proc", *private(umount)]
    with namespaces.inside(site.ns), contextlib.ExitStack() as held:
        for port in range(PORT, PORT + 4):
            held.enter_context(socket.create_server(("127.0.0.1", port)))
        for before, user, needed in (
            (hidden, "nobody", "CAP_SYS_PTRACE is needed"),
            (elsewhere, "root", "the host's PID namespace is needed"),
            (elsewhere, "nobody", "CAP_SYS_PTRACE and the host's PID namespace are needed"),
        ):
            assert site.groups("netns", user=user, before=before) == {"(own)": 4}
            for key, state, code in (
                ("host=0", "host: 0 to 4 [UNKNOWN]", 3),
                ("HOST=0", "HOST: 0 to 4 [UNKNOWN]", 3),
                ("host=1:", "host: 0 to 4 [UNKNOWN]", 3),
                ("host=4", "", 0),
                # What is certain stays certain.
                ("host=5:", "host: 0 to 4 [CRITICAL]", 2),
                ("(own)=3", "(own): 4 [CRITICAL]", 2),
            ):
                done = site.ask("--group-by=netns", "-c", key, user=user, before=before)
                assert (state in done.stdout, done.returncode) == (True, code), (key, done)
                message = f"; the host's own network namespace is not known ({needed})|"
                assert (message in done.stdout) is (code == 3), done
            own = ["--netns=/proc/self/ns/net", "--group-by=local-endpoint"]
            done = site.ask(*own, "-c", f"{PORT} in host=0", user=user, before=before)
            assert f"{PORT} in host: 0 to 1 [UNKNOWN]" in done.stdout
            assert done.returncode == 3
        # Here it can be told that this is another one.
        done = site.ask("--group-by=netns", "-c", "host=0")
        assert (done.stdout.partition("|")[0], done.returncode) == (f"{site.ns}: 4, host: 0", 0)


@pytest.mark.parametrize("name", ["host", "Host", "(own)"])
def test_no_other_namespace_takes_the_name_of_the_host(site: Site, name: str) -> None:
    path = f"/run/netns/{name}"
    script = f"""
mount -t tmpfs none /run/netns
touch '{path}'
mount --bind /proc/{site.db}/ns/net '{path}'
"""
    with socket.create_server(("127.0.0.1", 0)):
        both = ["--netns=1", f"--netns={name}", f"--netns={site.db}"]
        found = site.groups("netns", *both, before=private(script))
        assert found.pop(path) == 9
        assert [*found] == ["host"]
        for key, code in ((f"{path}=8", 2), ("host=1:", 0), ("host=1000000", 0)):
            done = site.ask("--group-by=netns", *both, "-c", key, before=private(script))
            assert done.returncode == code, (key, done)


# What is none.


@pytest.fixture
def paths(directory: Path) -> dict[str, Path]:
    made = {name: directory / name for name in ("text", "fifo", "link", "terminal", "gone")}
    made["text"].write_text("x", encoding="ascii")
    os.mkfifo(made["fifo"])
    made["link"].symlink_to(made["fifo"])
    made["terminal"].symlink_to("/dev/tty")
    made |= {path: Path(path) for path in ("/dev/null", "/proc/self/ns/mnt", "/proc/self/mem", "/")}
    return made


@pytest.mark.parametrize(
    "name",
    ["text", "fifo", "link", "terminal", "/dev/null", "/proc/self/ns/mnt", "/proc/self/mem", "/"],
)
@pytest.mark.parametrize("user", USERS)
def test_any_other_file_is_refused_unopened(
    site: Site, paths: dict[str, Path], user: str, name: str
) -> None:
    harness.readable(paths["text"].parent)
    done = site.ask(f"--netns={paths[name]}", user=user)
    assert one_line(done) == (
        f"{paths[name]} is no network namespace (valid: a file as /proc/PID/ns/net or below "
        "/run/netns)"
    )


def test_no_file_but_a_namespace_is_opened(
    site: Site, paths: dict[str, Path], tampered: Tampered, directory: Path
) -> None:
    log = directory / "log"
    before = tampered(f"{harness.OPEN}:error=EIO:when=1000+", log=str(log))
    site.ask(f"--netns={paths['fifo']}", before=before)
    opened = [line for line in log.read_text(encoding="utf-8").splitlines() if "/fifo" in line]
    assert opened
    assert all("O_PATH" in line for line in opened)


def test_what_there_is_not(site: Site, paths: dict[str, Path]) -> None:
    for name, message in (
        (str(paths["gone"]), f"Network namespace {paths['gone']}: {says('ENOENT')}"),
        ("4194999", f"Network namespace 4194999: {NO_PROCESS}"),
        ("0", f"Network namespace 0: {NO_PROCESS}"),
    ):
        assert one_line(site.ask(f"--netns={name}")) == message
    line = one_line(site.ask("--netns=nowhere"))
    assert line.startswith('unknown network namespace "nowhere" (valid: ')
    assert "lab-" in line
    line = one_line(site.ask("--netns=nowhere", before=private("mount -t tmpfs none /run/netns")))
    assert line == (
        'unknown network namespace "nowhere" (there is none below /run/netns; valid: all, a path, '
        "a process id)"
    )
    for name in ("", "..", "99999999999"):
        line = one_line(site.ask(f"--netns={name}"))
        assert line.startswith(f'--netns: "{name}" is no network namespace (valid: all, a name')


def test_one_without_processes_is_found_whatever_its_name_is_made_of(site: Site) -> None:
    name = os.fsdecode(b"lab-%d-\xfc" % os.getpid())
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        with namespaces.inside(name):
            held = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
        assert site.groups("netns", "--netns=all")[f"lab-{os.getpid()}-\ufffd"] == 4
        for server in held:
            server.close()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_one_with_a_name_of_digits_is_asked_for_by_its_path(site: Site) -> None:
    made = Path(f"/run/netns/{site.db}0000")
    script = f"touch {made} && mount --bind /run/netns/{site.host.pair.b} {made}"
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(made.unlink, missing_ok=True)
        done = site.ask(f"--netns={made}", "--format=json", before=private(script))
        assert json.loads(done.stdout)["total"] == 9


HIDDEN = "Not every process can be seen, so that network namespaces could be left out: "
GROUP = 54321
WITHOUT_PTRACE = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]


@pytest.mark.parametrize(
    ("rights", "options", "needed"),
    [
        ([], "hidepid=2,gid=54321", None),
        ([], "hidepid=ptraceable", None),
        (WITHOUT_PTRACE, "hidepid=2", None),
        (WITHOUT_PTRACE, "hidepid=2,gid=54321", "CAP_SYS_PTRACE or the group 54321 is needed"),
        (WITHOUT_PTRACE, "hidepid=ptraceable", "CAP_SYS_PTRACE is needed"),
        (become(namespaces.NOBODY), "hidepid=1", "CAP_SYS_PTRACE or the group 0 is needed"),
        (become(namespaces.NOBODY), "hidepid=2", "CAP_SYS_PTRACE or the group 0 is needed"),
        (become(namespaces.NOBODY), "hidepid=ptraceable", "CAP_SYS_PTRACE is needed"),
        (become(GROUP), "hidepid=2,gid=54321", None),
        (become(GROUP), "hidepid=ptraceable,gid=54321", "CAP_SYS_PTRACE is needed"),
        # Ambient capabilities, as a systemd unit gives them.
        (
            become(GROUP, "--inh-caps=+sys_ptrace", "--ambient-caps=+sys_ptrace"),
            "hidepid=ptraceable",
            None,
        ),
        # Root of a user namespace has every capability there, and belongs to the group 0.
        (
            [*become(GROUP), "unshare", "--user", "--map-root-user"],
            "hidepid=2",
            "the host's user namespace is needed",
        ),
        (
            [*become(GROUP), "unshare", "--user", "--map-root-user"],
            "hidepid=ptraceable",
            "the host's user namespace is needed",
        ),
    ],
)
def test_processes_are_hidden_by_the_options_of_proc_and_shown_by_rights(
    site: Site, rights: list[str], options: str, needed: str | None
) -> None:
    """Whoever asks: it is not the user id that decides."""
    # Nothing hides process 1 of a PID namespace of its own.
    own = ["unshare", "--pid", "--fork", "--mount-proc"]
    before = [*own, *private(f"mount -t proc -o {options} proc /proc"), *rights]
    done = site.ask("--netns=all", "--conn-status=listen", before=before)
    if needed is None:
        assert (done.returncode, done.stderr) == (0, ""), done
        return
    line = one_line(done)
    assert line.startswith(f"{HIDDEN}/proc is mounted with rw,"), line
    assert f" ({needed}): {says('EACCES')}" in line


# What goes wrong.


@pytest.mark.parametrize("code", ["EMFILE", "ENFILE", "ENOMEM", "EIO", "EINVAL"])
def test_a_namespace_that_cannot_be_entered_for_another_reason_is_unknown(
    site: Site, tampered: Tampered, code: str
) -> None:
    for name in ("all", site.host.pair.b):
        line = one_line(site.ask(f"--netns={name}", before=tampered(f"setns:error={code}")))
        assert says(code) in reworded(line) or "is no network namespace" in line


NO_PORT = (
    "No port is left for outgoing connections: all of ip_local_port_range are in "
    "ip_local_reserved_ports or listened on"
)


def test_trouble_in_one_namespace_is_its_own(site: Site) -> None:
    """Any user may make one whose ports are all reserved."""
    measure = ["--measure=ephemeral-ports", f"--remote-port={PORT}"]
    with hoarder(site.plain) as pid:
        told = f"; 1 network namespace could not be read: process:hoarder: {NO_PORT}"
        for key, mark, code in ((f"{PORT}=0.0001", " [CRITICAL]", 2), (f"{PORT}=90", "", 3)):
            done = site.ask(*measure, "--netns=all", "-c", key)
            assert (done.returncode, done.stderr) == (code, ""), done
            label = f"127.0.0.1:{PORT} in {CONTAINER}: 0.02% (5 of 28232)"
            assert f"{label}{mark}" in done.stdout
            assert told in done.stdout
        report = json.loads(site.ask(*measure, "--netns=all", "--format=json").stdout)
        assert (report["state"], report["netns"]["unseen"]) == (3, 1)
        # Who asks for it by name gets an error.
        for asked in ([str(pid)], [str(site.web), str(pid)]):
            done = site.ask(*measure, *(f"--netns={one}" for one in asked), "-c", f"{PORT}=0.0001")
            assert one_line(done) == f"Network namespace {pid}: {NO_PORT}"
        # Other measures have no trouble.
        assert site.ask("--netns=all").returncode == 0


@pytest.mark.parametrize("measure", ["ephemeral-ports", "accept-queue"])
def test_an_alert_here_stands_where_others_may_not_be_entered(site: Site, measure: str) -> None:
    asked = [f"--measure={measure}", "--netns=all"]
    with namespaces.inside(site.ns), socket.create_server(("127.0.0.1", PORT)) as server:
        held = [socket.create_connection(server.getsockname()[:2]) for _ in range(3)]
        done = site.ask(*asked, "-c", f"{PORT}=0.001", user="nobody")
        assert done.returncode == 2
        label = rf"127\.0\.0\.1:{PORT} in {site.ns}"
        assert re.search(rf"{label}: \S+ \([^)]*\) \[CRITICAL\]", done.stdout)
        done = site.ask(*asked, "-c", f"{PORT}=90", user="nobody")
        assert done.returncode == 3
        assert re.search(r"; \d+ network namespaces? could not be read: [^:]+", done.stdout)
        for client in held:
            client.close()


def test_an_alert_stands_where_others_take_all_the_time(site: Site, tampered: Tampered) -> None:
    before = tampered("setns:delay_enter=1000000")
    with contextlib.ExitStack() as others, namespaces.inside(site.ns):
        for _ in range(3):
            others.enter_context(inhabitant(None))
        for _ in range(3):
            others.enter_context(dweller("slow", site.plain))
        others.enter_context(socket.create_server(("127.0.0.1", PORT)))
        options = ["--netns=all", "--timeout=4", "-c", "total=0"]
        done = site.ask(*options, before=before)
        assert (done.returncode, done.stderr) == (2, ""), done
        assert re.search(
            r"; \d+ network namespaces could not be read: no time was left", done.stdout
        )
        done = site.ask(*options[:2], before=before)
        assert done.returncode == 3


@pytest.mark.parametrize("user", USERS)
def test_many_namespaces_do_not_use_up_the_open_files(site: Site, user: str) -> None:
    few = ["prlimit", "--nofile=24:24"]
    with contextlib.ExitStack() as others:
        for _ in range(15):
            others.enter_context(dweller("many", site.plain, 2))
        ports = ["--local-port=9000-9001", "--group-by=netns", "--top=999"]
        for options in (ports, [*ports, "--lengthy"]):
            done = site.ask("--netns=all", *options, user=user, before=few)
            assert (done.returncode, done.stderr) == (0, ""), done
            assert len(re.findall(r"process:many \(\d+\): 2\b", done.stdout)) == 15


def test_errors_have_at_most_200_bytes_of_a_path(site: Site, directory: Path) -> None:
    for name in (f"/{'x/' * 2000}", f"{directory}/{'y' * 240}/{'z' * 240}"):
        line = one_line(site.ask(f"--netns={name}"))
        assert line.startswith(("Network namespace /", "/"))
        assert len(line) < 300


@pytest.mark.parametrize("code", ["EIO", *shares.slow("EMFILE", "ENFILE", "ENOMEM")])
@pytest.mark.parametrize("call", [harness.OPEN, "?newfstatat,?stat,?statx,?fstat", "getdents64"])
def test_no_error_leaves_a_namespace_out(
    site: Site, tampered: Tampered, call: str, code: str
) -> None:
    """Whichever call it is that fails: the right answer or none."""
    asked = ["--group-by=netns", f"--local-port={PORT}", "--format=json"]
    right = {CONTAINER: 6, site.host.pair.b: 4}
    assert site.groups("netns", *site.both, asked[1]) == right
    before = site.alone()
    failed = 0
    for number in (*range(1, 12), 20, 40, 80):
        tampering = tampered(f"{call}:error={code}:when={number}")
        for options in (site.both, ["--netns=all"]):
            done = site.ask(*asked, *options, before=[*before, *tampering])
            if done.returncode != 0:
                assert done.returncode in (3, 127), done
                failed += 1
                continue
            groups = json.loads(done.stdout)["groups"]
            found = {group["label"]: group["count"] for group in groups}
            if options != site.both:
                # Somebody else's namespace may have the port, too.
                found = {label: count for label, count in found.items() if label in right}
            assert found == right, (number, options, done)
    assert failed


def test_no_thread_no_other_namespace(site: Site) -> None:
    user = 200_000 + os.getpid()
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    line = one_line(site.ask(f"--netns={site.db}", before=["prlimit", "--nproc=1", *become]))
    assert line.startswith("starting a thread: ")


def test_the_deadline_holds_over_all_of_them(site: Site) -> None:
    done = site.ask("--netns=all", "--timeout=0.0001")
    assert one_line(done) == "Timeout: no answer within 0.0001 s"


@pytest.mark.parametrize("user", USERS)
@shares.number("seconds", 1, 10)
def test_while_namespaces_come_and_go_the_others_are_all_counted(
    site: Site, user: str, seconds: int
) -> None:
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            subprocess.run(["unshare", "--net", "sleep", "0.003"], check=True)
            name = f"lab-{os.getpid()}-passing"
            subprocess.run(["ip", "netns", "add", name], check=True)
            subprocess.run(["ip", "netns", "exec", name, "true"], check=True)
            subprocess.run(["ip", "netns", "del", name], check=True)

    passing = [threading.Thread(target=come_and_go)]
    for thread in passing:
        thread.start()
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = site.groups("netns", "--netns=all", user=user)
            assert found[CONTAINER] == 11
            assert found[site.host.pair.b if user == "root" else "process:db"] == 9
    finally:
        stop.set()
        for thread in passing:
            thread.join()


@shares.number("times", 50, 200)
def test_a_process_that_moves_is_not_taken_for_its_namespace(site: Site, times: int) -> None:
    """Read by who may not enter: what is counted is the namespace that it was found in, or none."""
    script = f"""
import ctypes, os, time
libc = ctypes.CDLL(None)
names = ["{site.host.pair.a}", "{site.host.pair.b}"]
there = [os.open(f"/run/netns/{{name}}", os.O_RDONLY) for name in names]
libc.setns(there[0], 0x40000000)
print(flush=True)
while True:
    for fd in there:
        libc.setns(fd, 0x40000000)
        time.sleep(0.0005)
"""
    mover = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    try:
        assert mover.stdout is not None
        mover.stdout.readline()
        right = 0
        for _ in range(times):
            done = site.ask(f"--netns={mover.pid}", "--format=json", user="nobody")
            report = json.loads(done.stdout)
            # Who is always on the way is found in neither.
            gone = report.get("message") == f"The network namespace {mover.pid} is gone"
            assert gone or report.get("total") in (11, 9), done
            right += not gone
        assert right
    finally:
        mover.kill()
        mover.communicate()
