"""`--measure=accept-queue` of unix listeners: as `ss -xl` shows them, by everybody."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import struct
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import harness
import pytest
import shares
from asking import USERS, WAYS, Asker, asker
from conftest import Tampered
from harness import Command, Done, one_line, says
from lab import namespaces, owners, servers
from lab.namespaces import Pair

pytestmark = [
    pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing() or "-"),
    pytest.mark.usefixtures("place"),
]

MEASURE = "--measure=accept-queue"
ONLY = "--conn-type=unix"
KINDS = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET}


class Fill(NamedTuple):
    """An accept queue."""

    waiting: int
    of: int

    @property
    def percent(self) -> float:
        """How full it is; with a limit of 0 one that waits is above it."""
        return 100 * self.waiting / (self.of or 0.5)


class Unix:
    """Unix sockets of this process in namespaces; made by `unix()`."""

    def __init__(self, held: contextlib.ExitStack) -> None:
        """Hold sockets in this stack."""
        self._held = held

    def make(self, ns: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """Return a socket of a namespace."""
        with namespaces.inside(ns):
            return self._held.enter_context(socket.socket(socket.AF_UNIX, kind))

    def listen(
        self, ns: str, name: str | bytes, backlog: int, kind: int = socket.SOCK_STREAM
    ) -> socket.socket:
        """Return a listener."""
        made = self.make(ns, kind)
        made.bind(name)
        made.listen(backlog)
        return made

    def crowd(self, ns: str, name: str | bytes, count: int, kind: int = socket.SOCK_STREAM) -> int:
        """Return how many of so many tries have found room."""
        found = 0
        for _ in range(count):
            client = self.make(ns, kind)
            client.setblocking(False)
            # EAGAIN: what nginx says of a full queue.
            with contextlib.suppress(BlockingIOError):
                client.connect(name)
                found += 1
        return found


@contextlib.contextmanager
def unix() -> Iterator[Unix]:
    """Close all sockets in the end."""
    with contextlib.ExitStack() as held:
        yield Unix(held)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with namespaces.pair() as made:
        yield made


@pytest.fixture
def short() -> Iterator[str]:
    """Return a directory whose path is short: that of a socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="u") as made:
        Path(made).chmod(0o755)
        yield made


def ask(native: Command, ns: str, *options: str | bytes, before: list[str] | None = None) -> Done:
    with namespaces.inside(ns):
        return native.run(MEASURE, *options, before=before or [])


def groups(done: Done) -> dict[str, dict[str, Any]]:
    """Return the groups of a JSON report by their labels."""
    assert done.stderr == ""
    return {group["label"]: group for group in json.loads(done.stdout)["groups"]}


def found(done: Done) -> dict[str, Fill]:
    """Return the queues of a JSON report, by listener."""
    queues = {}
    for label, group in groups(done).items():
        queues[label] = queue = Fill(group["count"], group["of"])
        assert group["percent"] == pytest.approx(queue.percent)
    return queues


def by_ss(ns: str) -> dict[str, Fill]:
    """Read the unix listeners with `ss`; names without blanks."""
    listed = {}
    for line in namespaces.run(ns, ["ss", "-Hxln"]).stdout.splitlines():
        kind, state, waiting, limit, name, *_ = line.split()
        if state == "LISTEN" and kind in ("u_str", "u_seq"):
            listed[name] = Fill(int(waiting), int(limit))
    return listed


def name_in(short: str, form: str) -> tuple[str, str]:
    """Return the name to bind, and the label."""
    if form == "path":
        return f"{short}/fpm.sock", f"{short}/fpm.sock"
    name = f"lab{Path(short).name}"
    return f"\0{name}", f"@{name}"


@pytest.mark.parametrize("backlog", [5, *shares.slow(0, 1, 128)])
@pytest.mark.parametrize("form", ["path", "abstract"])
@pytest.mark.parametrize("kind", KINDS)
def test_queue_and_limit_are_those_of_ss(
    pair: Pair, native: Command, short: str, kind: str, form: str, backlog: int
) -> None:
    """The kernel lets one more wait than the limit says, and then connect() fails."""
    name, label = name_in(short, form)
    protocol = KINDS[kind]
    with unix() as made:
        server = made.listen(pair.a, name, backlog, protocol)

        def check(waiting: int) -> Fill:
            expected = Fill(waiting, backlog)
            assert by_ss(pair.a) == {label: expected}
            assert found(ask(native, pair.a, "--format=json")) == {label: expected}
            percent = f"{expected.percent:.2f}".rstrip("0").rstrip(".")
            message = f"{label}: {percent}% ({waiting} of {backlog})"
            assert ask(native, pair.a, "--no-perfdata").stdout == f"{message}\n"
            return expected

        check(0)
        half = (backlog + 1) // 2
        assert made.crowd(pair.a, name, half, protocol) == half
        check(half)
        rest = backlog + 1 - half
        assert made.crowd(pair.a, name, rest, protocol) == rest
        assert check(backlog + 1).percent > 100
        assert ask(native, pair.a, "-c=100").returncode == 2
        # Beyond the limit nobody finds room, and the number stays.
        assert made.crowd(pair.a, name, 3, protocol) == 0
        check(backlog + 1)
        server.accept()[0].close()
        if backlog:
            check(backlog)
            assert ask(native, pair.a, "-c=100").returncode == 0
        assert made.crowd(pair.a, name, 2, protocol) == 1


def test_the_limit_is_what_the_host_allows(pair: Pair, native: Command) -> None:
    """As docs/incidents.md says: at most net.core.somaxconn."""
    before = namespaces.run(pair.a, ["cat", "/proc/sys/net/core/somaxconn"]).stdout
    namespaces.sysctl(pair.a, "net/core/somaxconn", 3)
    try:
        with unix() as made:
            made.listen(pair.a, "\0fpm", 128)
            assert found(ask(native, pair.a, "--format=json")) == {"@fpm": Fill(0, 3)}
    finally:
        namespaces.sysctl(pair.a, "net/core/somaxconn", int(before))


def test_of_two_sockets_of_one_path_the_fullest_counts(
    pair: Pair, native: Command, short: str
) -> None:
    """As of a service that was started anew while the old one still runs."""
    name = f"{short}/fpm.sock"
    with unix() as made:
        made.listen(pair.a, name, 5)
        assert made.crowd(pair.a, name, 6) == 6
        Path(name).unlink()
        made.listen(pair.a, name, 100)
        assert made.crowd(pair.a, name, 7) == 7
        done = ask(native, pair.a)
        perfdata = "'fullest'=120%;;;0;100 'listeners'=1"
        assert done.stdout == f"{name}: 120% (6 of 5)|{perfdata}\n"
        done = ask(native, pair.a, "--format=prometheus")
        assert done.stdout.count(f'{{listener="{name}"}}') == 2
        # The tables have both.
        done = ask(native, pair.a, "--lengthy", "--timeout=60")
        cells = harness.columns(harness.rows(done, name), "Queue", "Limit")
        assert sorted(cells) == [["6", "5"], ["7", "100"]]


HOSTILE = {
    b"a\nCRITICAL - all is lost|x=1": "a?CRITICAL - all is lost!x=1",
    b"a=5,b=6": "a=5,b=6",
    b"a'b\"c\\d": "a'b\"c\\d",
    b"\xff\xfe": "\ufffd\ufffd",
    b"\x1b[31mred": "?[31mred",
    "a\u202eb".encode(): "a?b",
    b"<b>": "&lt;b>",
    b"in blue in host": "in blue in host",
    b" ": " ",
    b"x" * 60: "x" * 60,
}


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("form", ["path", "abstract"])
def test_names_are_bytes_of_whoever_bound_them(
    pair: Pair, native: Command, short: str, form: str, name: bytes
) -> None:
    path = os.fsencode(short) + b"/" + name if form == "path" else b"\0" + name
    begin = f"{short}/" if form == "path" else "@"
    with unix() as made:
        made.listen(pair.a, path, 5)
        made.crowd(pair.a, path, 3)
        done = ask(native, pair.a)
        perfdata = "'fullest'=60%;;;0;100 'listeners'=1"
        assert done == Done(f"{begin}{HOSTILE[name]}: 60% (3 of 5)|{perfdata}\n", "", 0)
        (label,) = groups(ask(native, pair.a, "--format=json"))
        assert label.startswith(begin)
        assert len(label.splitlines()) == 1
        # As it is printed it is a key, unless the list of keys ends in it.
        if "," not in label and label == label.strip():
            assert ask(native, pair.a, f"-c={label}=59").returncode == 2
            assert ask(native, pair.a, f"-c=59,{label}=60").returncode == 0
        assert harness.is_fine(ask(native, pair.a, "--format=prometheus").stdout)
        ask_table = ask(native, pair.a, "--lengthy", "--timeout=60", "--no-perfdata")
        assert ask_table.stdout.count("|") == 0


def test_a_file_name_does_not_look_like_another_listener(
    pair: Pair, native: Command, short: str
) -> None:
    """Everybody may bind such a name, full, beside the listener that it imitates."""
    home = Path.cwd()
    with unix() as made, servers.sockets() as tcp:
        tcp.listen(pair.a, "127.0.0.1", 8000, 5)
        made.listen(pair.a, "\0fpm", 5)
        os.chdir(short)
        try:
            for name in ("127.0.0.1:8000", "@fpm"):
                made.listen(pair.a, name, 0)
                assert made.crowd(pair.a, name, 1) == 1
        finally:
            os.chdir(home)
        assert found(ask(native, pair.a, "--format=json")) == {
            "./127.0.0.1:8000": Fill(1, 0),
            "./@fpm": Fill(1, 0),
            "127.0.0.1:8000": Fill(0, 5),
            "@fpm": Fill(0, 5),
        }
        assert ask(native, pair.a, "-c=8000=50,@fpm=50").returncode == 0
        assert ask(native, pair.a, "-c=./@fpm=50").returncode == 2


def test_names_without_a_character_and_without_a_choice(pair: Pair, native: Command) -> None:
    with unix() as made:
        made.listen(pair.a, "\0", 5)
        # The kernel chooses one.
        server = made.make(pair.a)
        server.bind("")
        server.listen(7)
        chosen = "@" + bytes(server.getsockname())[1:].decode()
        assert re.fullmatch("@[0-9a-f]{5}", chosen)
        assert found(ask(native, pair.a, "--format=json")) == {"@": Fill(0, 5), chosen: Fill(0, 7)}
        made.listen(pair.a, "\0a\0b\0", 9)
        done = found(ask(native, pair.a, "--format=json"))
        assert done["@a@b@"] == Fill(0, 9)


def test_types_select_them(pair: Pair, native: Command) -> None:
    with unix() as made, servers.sockets() as tcp:
        tcp.listen(pair.a, pair.a4, 8000, 5)
        tcp.listen(pair.a, pair.a6, 8000, 5)
        made.listen(pair.a, "\0fpm", 5)
        # Sockets that do not listen are no listeners.
        made.make(pair.a).bind("\0bound")
        made.make(pair.a, socket.SOCK_DGRAM).bind("\0datagrams")
        four, six, local = f"{pair.a4}:8000", f"[{pair.a6}]:8000", "@fpm"
        for options, labels in (
            ((), {four, six, local}),
            (("--conn-type=all",), {four, six, local}),
            (("--conn-type=unix",), {local}),
            (("--conn-type=UNIX", "--conn-type=tcp"), {four, local}),
            (("--conn-type=tcp",), {four}),
            (("--conn-type=tcp6",), {six}),
            # They have neither ports nor addresses.
            (("--local-port=8000",), {four, six}),
            (("--local-address=::/0",), {six}),
            (("--source=netlink",), {four, six, local}),
        ):
            done = ask(native, pair.a, "--format=json", *options)
            assert set(found(done)) == labels, options
        # Of equal ones those of the network come first.
        done = ask(native, pair.a, "--top=1")
        assert done.stdout.startswith(f"{four}: 0% (0 of 5), and 2 more|")
    done = ask(native, pair.a, ONLY, "--no-match-severity=crit")
    assert done.stdout.startswith("No unix listeners found. [CRITICAL]|")


def test_with_another_measure_they_are_refused(pair: Pair, native: Command) -> None:
    reason = (
        "--conn-type: of unix sockets only the accept queues are read "
        "(valid: --measure=accept-queue)"
    )
    for options in ((), ("--measure=ephemeral-ports",), ("--measure=stuck",), ("--stuck=5",)):
        with namespaces.inside(pair.a):
            assert one_line(native.run(ONLY, *options)) == reason
            assert one_line(native.run(ONLY, "--conn-type=tcp", *options)) == reason
            assert native.run("--conn-type=all", *options).returncode == 0
    line = one_line(ask(native, pair.a, ONLY, "--local-port=80"))
    assert "unix listeners have neither addresses nor ports" in line
    line = one_line(ask(native, pair.a, "--conn-type=tcp", "-c=/run/fpm.sock=5"))
    assert line.startswith('--critical: "/run/fpm.sock" is the key of no group')
    with namespaces.inside(pair.a):
        line = one_line(native.run("--group-by=local-endpoint", "-c=/run/fpm.sock=5"))
    assert '"/run/fpm.sock" is the key of no group' in line


@pytest.mark.parametrize(
    ("options", "state"),
    [
        (["-c={path}=80"], 2),
        (["-c={path}=120"], 0),
        (["-w=50", "-c={path}=80"], 2),
        (["-w=50", "-c={path}=120"], 1),
        (["-c=50,{path}=120"], 0),
        (["-c=@shop=19"], 2),
        (["-c=@shop=20"], 0),
        (["-c=@shop=1:"], 0),
        (["-c={path}.old=1:"], 2),
        (["-c={path}.old=80"], 0),
        # A path is as it is: upper and lower case are two.
        (["-c=@SHOP=19"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_thresholds(
    pair: Pair, native: Command, short: str, options: list[str], state: int
) -> None:
    path = f"{short}/fpm.sock"
    with unix() as made:
        made.listen(pair.a, path, 5)
        made.crowd(pair.a, path, 6)
        made.listen(pair.a, "\0shop", 5)
        made.crowd(pair.a, "\0shop", 1)
        done = ask(native, pair.a, *(option.format(path=path) for option in options))
        assert (done.stderr, done.returncode) == ("", state), done.stdout
        assert done.stdout.startswith(f"{path}: 120% (6 of 5)")


def test_a_key_that_matches_nothing_is_shown_with_the_nearest(
    pair: Pair, native: Command, short: str
) -> None:
    with unix() as made:
        made.listen(pair.a, f"{short}/fpm.sock", 5)
        done = ask(native, pair.a, f"-c={short}/fmp.sock=80")
        assert f"{short}/fmp.sock: 0 (nearest: {short}/fpm.sock)" in done.stdout


# By everybody, in every way.


@pytest.fixture(scope="module")
def site() -> Iterator[Pair]:
    """Return namespaces in which abstract names listen: those are of a namespace each."""
    with namespaces.pair() as made, unix() as held:
        for ns, waiting, of in ((made.a, 3, 5), (made.b, 2, 1)):
            held.listen(ns, "\0fpm", of)
            assert held.crowd(ns, "\0fpm", waiting) == waiting
        yield made


@pytest.fixture(scope="module", params=USERS)
def someone(
    request: pytest.FixtureRequest, site: Pair, nobodys: Mapping[str, Command]
) -> Iterator[Asker]:
    with asker(site.a, request.param, nobodys) as made:
        yield made


MESSAGE = "@fpm: 60% (3 of 5)"
PERFDATA = "'fullest'=60%;;;0;100 'listeners'=1"


@pytest.mark.parametrize("way", WAYS)
def test_everybody_sees_them(someone: Asker, way: str) -> None:
    for options in ((), (ONLY,)):
        assert someone.run(way, MEASURE, *options) == Done(f"{MESSAGE}|{PERFDATA}\n", "", 0)
    seen = someone.run(way, MEASURE, "--format=prometheus").stdout
    assert "\nnetwork_connections_unix_listeners_seen 1\n" in seen
    assert json.loads(someone.run(way, MEASURE, "--format=json").stdout)["unix_listeners_seen"]
    done = someone.run(way, MEASURE, "--format=prometheus")
    prefix = "network_connections_accept_queue"
    samples = re.findall(rf'^{prefix}_(\w+)\{{listener="@fpm"\}} (\d+)$', done.stdout, re.M)
    # The kernel counts no drops of unix sockets.
    assert samples == [("connections", "3"), ("limit", "5")]
    report = json.loads(someone.run(way, MEASURE, "--format=json", ONLY).stdout)
    assert report["source"] == "netlink"
    (group,) = report["groups"]
    assert group["drops"] is None


def test_the_api_has_them_too(someone: Asker) -> None:
    measure = {"measure": "accept-queue"}
    plain, only, refused = someone.api(
        [
            ("check", measure),
            ("check", {**measure, "types": "unix", "critical": "@fpm=50"}),
            ("count_connections", {"types": "unix"}),
        ]
    )
    assert (plain["state"], plain["message"], plain["perfdata"]) == (0, MESSAGE, PERFDATA)
    assert plain["counts"] == {"@fpm": 3}
    assert (only["state"], only["counts"]) == (2, {"@fpm": 3})
    assert refused["error"] == "ValueError"


@pytest.mark.parametrize("way", WAYS)
def test_lengthy_says_whose_listeners_they_are(someone: Asker, way: str) -> None:
    done = someone.run(way, MEASURE, "--lengthy", "--timeout=60")
    (row,) = harness.rows(done, "@fpm")
    assert [row[name] for name in ("Listener", "Queue", "Limit", "Drops")] == [
        "@fpm",
        "3",
        "5",
        "-",
    ]
    if someone.user == "root":
        assert f"({os.getpid()})" in row["Process"]
    else:
        assert row["Process"] == "(other users' processes)"


@pytest.mark.skipif(bool(owners.missing()), reason=owners.missing() or "-")
def test_lengthy_has_the_units_of_the_processes_and_the_user_of_the_socket(
    nobodys: Mapping[str, Command],
) -> None:
    """The kernel tells the user to everybody; no kernel tells the cgroup of a unix socket."""
    check = [*nobodys["native"].argv, "--timeout=60", MEASURE, ONLY, "-c@web=1:,@api=1:,@old=1:"]
    with owners.host(check) as host:
        unit, other = host.cgroup("web.service"), host.cgroup("new.service")
        web = host.start("web", unit, 1)
        web.do("listen_unix", "\0web", 5)
        web.do("fork", 2)
        api = host.start("api", host.cgroup("plain"))
        api.do("listen_unix", "\0api", 7)
        # A worker that another unit has taken over.
        old = host.start("old", host.cgroup("old.service"))
        old.do("listen_unix", "\0old", 9)
        (worker,) = old.do("fork", 1)
        (other / "cgroup.procs").write_text(str(worker), encoding="ascii")
        plain = f"/{host.base.name}/plain"
        expected = {
            "@web": [f"web ({web.pid}) +2", "web.service", "daemon", "0", "5", "-"],
            "@api": [f"api ({api.pid})", plain, "root", "0", "7", "-"],
            "@old": [f"old ({old.pid}) +1", "old.service +1", "root", "0", "9", "-"],
        }
        for user in ("root", "nobody"):
            done = Done(*host.ask("--lengthy", user=user))
            assert (done.stderr, done.returncode) == ("", 2)
            for name, row in expected.items():
                if user == "nobody":
                    row[:2] = ["(other users' processes)", "-"]
                assert harness.table(done, name) == [HEADER, [name, *row]]


HEADER = ["Listener", "Process", "Unit", "User", "Queue", "Limit", "Drops"]


def test_listeners_are_told_apart_by_their_namespace(native: Command, site: Pair) -> None:
    both = [f"--netns={site.a}", f"--netns={site.b}"]
    ours, theirs = (f"@fpm in {ns}" for ns in (site.a, site.b))

    def run(*options: str) -> Done:
        return ask(native, site.a, *both, *options)

    assert found(run("--format=json")) == {theirs: Fill(2, 1), ours: Fill(3, 5)}
    assert f"{theirs}: 200% (2 of 1), {ours}: 60% (3 of 5)" in run().stdout
    assert by_ss(site.a) == {"@fpm": Fill(3, 5)}
    assert by_ss(site.b) == {"@fpm": Fill(2, 1)}
    for option, state in (
        ("@fpm=100", 2),
        (f"@fpm in {site.a}=60", 0),
        (f"@fpm in {site.a}=59", 2),
        (f"@fpm in {site.a.upper()}=59", 2),
        (f"@fpm=60,@fpm in {site.b}=200", 0),
        (f"@fpm=60,@fpm in {site.b}=100", 2),
        (f"@fpm in {site.b}=200,@fpm=60", 0),
    ):
        assert run(f"--critical={option}").returncode == state, option


# What goes wrong.


def request(family: int) -> str:
    """Return a request for listeners in hexadecimal, as strace writes it over another."""
    payload = struct.pack("=BBHIIIII", family, 0, 0, 1 << 10, 0, 0x11, 0, 0)
    header = struct.pack("=IHHII", 16 + len(payload), 20, 0x301, 1, 0)
    return (header + payload).hex()


# The second request: the first one is for TCP.
REFUSED = {
    "refused": ("sendto:error=EPERM:when=2", says("EPERM")),
    # As on a kernel without unix_diag: the family has no handler.
    "absent": (
        f"sendto:poke_enter=@arg2={request(44)}:when=2",
        "this kernel does not list unix sockets (the module unix_diag is missing)",
    ),
}


@pytest.mark.parametrize("way", REFUSED)
def test_without_unix_diag_the_others_are_judged(
    site: Pair, native: Command, tampered: Tampered, way: str
) -> None:
    injection, reason = REFUSED[way]
    with servers.sockets() as tcp:
        tcp.listen(site.a, site.a4, 8000, 5)
        before = tampered(injection)
        done = ask(native, site.a, before=before)
        assert done.returncode == 0
        message, perfdata = done.stdout[:-1].split("|")
        assert message.startswith(f"{site.a4}:8000: 0% (0 of 5); unix listeners not seen: ")
        assert reason in message
        assert perfdata == "'fullest'=0%;;;0;100 'listeners'=1 'drops'=0 'ListenDrops'=0c"
        # As other programs read it.
        report = json.loads(ask(native, site.a, "--format=json", before=before).stdout)
        assert report["unix_listeners_seen"] is False
        page = ask(native, site.a, "--format=prometheus", before=before).stdout
        assert "\nnetwork_connections_unix_listeners_seen 0\n" in page
        assert harness.is_fine(page)
        # Where they are not asked for, nothing is said of them.
        done = ask(native, site.a, "--conn-type=tcp", "--format=json", before=before)
        assert done.returncode == 0
        assert "unix_listeners_seen" not in json.loads(done.stdout)
        done = ask(native, site.a, "--conn-type=tcp", "--format=prometheus", before=before)
        assert "unix_listeners" not in done.stdout
        # Where they are asked for there is no answer.
        for options in (("--conn-type=unix", "--conn-type=tcp"), ("-c=@fpm=50",), ("-w=@fpm=50",)):
            assert reason in one_line(ask(native, site.a, *options, before=before))
        alone = tampered(injection.replace("when=2", "when=1"))
        assert reason in one_line(ask(native, site.a, ONLY, before=alone))


@pytest.mark.parametrize("code", ["EMFILE", "ENOMEM", "EACCES"])
@pytest.mark.parametrize("call", ["socket", "sendto", "recvfrom"])
def test_no_error_gives_other_numbers(
    site: Pair, native: Command, tampered: Tampered, call: str, code: str
) -> None:
    for number in (1, 2, 3, 4):
        before = tampered(f"{call}:error={code}:when={number}")
        done = ask(native, site.a, ONLY, before=before)
        if done.returncode != 3:
            assert done == Done(f"{MESSAGE}|{PERFDATA}\n", "", 0), number
        else:
            assert says(code) in one_line(done)
