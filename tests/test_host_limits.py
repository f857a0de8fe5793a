"""`--measure=host-limits`: what the kernel limits for all programs, against `/proc`.

A namespace that the host's own first process is not in shows no limits of the whole host: those are
asked for where the tests run.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import harness
import pytest
from asking import TWO_OF_FOUR, Asker, asker
from conftest import Tampered
from harness import Command, Done, one_line, says
from lab import namespaces, owners, servers
from lab.namespaces import Pair
from lab.servers import wait_for
from lab.tools import lacking

pytestmark = [
    pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing() or "-"),
    # A place is in Linux.
    pytest.mark.usefixtures("place"),
]

MEASURE = "--measure=host-limits"
SYS = Path("/proc/sys")
ORPHANS = "net/ipv4/tcp_max_orphans"
TIME_WAIT = "net/ipv4/tcp_max_tw_buckets"
TRACKED = "net/netfilter/nf_conntrack_count"
MOST_TRACKED = "net/netfilter/nf_conntrack_max"
FILES = "fs/file-nr"
PORT = 8000
# The smallest buffer of a socket, in bytes.
SMALL = 2304

OF_HOST = "numbers of the whole host, whose limits only its own network namespace has"
NOT_SEEN = f"; not seen: tcp-memory, udp-memory, orphans ({OF_HOST})"
ELSEWHERE = "the tests run in a network namespace other than the host's"
on_the_host = pytest.mark.skipif(not Path(SYS, ORPHANS).exists(), reason=ELSEWHERE)


class Used(NamedTuple):
    """A number and its limit."""

    used: int
    of: int


def settings(ns: str | None, name: str) -> list[int]:
    """Read the numbers of a kernel setting in a namespace."""
    return [int(word) for word in namespaces.run(ns, ["cat", str(SYS / name)]).stdout.split()]


def counter(ns: str | None, row: str, field: str) -> int:
    """Read a number of /proc/net/sockstat in a namespace."""
    text = namespaces.run(ns, ["cat", "/proc/net/sockstat"]).stdout
    words = next(line.split() for line in text.splitlines() if line.startswith(row))
    return int(words[words.index(field) + 1])


def netstat(ns: str, name: str) -> int:
    """Read a counter of a namespace."""
    text = namespaces.run(ns, ["cat", "/proc/net/netstat"]).stdout
    names, values = (line.split() for line in text.splitlines()[:2])
    return int(dict(zip(names, values))[name])


def wait_for_message(pattern: str, again: Callable[[], object]) -> None:
    """Do something again until the kernel says so: it prints ten messages in five seconds."""

    def is_printed() -> bool:
        again()
        log = subprocess.run(["dmesg"], capture_output=True, text=True, check=False)
        # Some machines show it to nobody.
        return log.returncode != 0 or bool(re.search(pattern, log.stdout))

    wait_for(is_printed)


def of_proc(ns: str | None, limit: str) -> Used:
    """Read a limit as /proc shows it."""
    if limit == "tcp-memory":
        return Used(counter(ns, "TCP:", "mem"), settings(ns, "net/ipv4/tcp_mem")[2])
    if limit == "udp-memory":
        return Used(counter(ns, "UDP:", "mem"), settings(ns, "net/ipv4/udp_mem")[2])
    if limit == "orphans":
        return Used(counter(ns, "TCP:", "orphan"), *settings(ns, ORPHANS))
    if limit == "time-wait":
        return Used(counter(ns, "TCP:", "tw"), *settings(ns, TIME_WAIT))
    if limit == "conntrack":
        return Used(*settings(ns, TRACKED), *settings(ns, MOST_TRACKED))
    used, _, of = settings(ns, FILES)
    return Used(used, of)


def ask(native: Command, ns: str | None, *options: str, before: Sequence[str] = ()) -> Done:
    with namespaces.inside(ns):
        return native.run(MEASURE, *options, before=before)


def found(done: Done) -> dict[str, Used]:
    """Return the limits of a JSON report."""
    assert done.stderr == ""
    groups = json.loads(done.stdout)["groups"]
    for group in groups:
        assert group["percent"] == pytest.approx(100 * group["count"] / group["of"])
        assert group["drops"] is None
    return {group["label"]: Used(group["count"], group["of"]) for group in groups}


def steady(native: Command, ns: str | None, limit: str) -> Used:
    """Ask while a number stays the same, and compare it with /proc."""
    for _ in range(50):
        before = of_proc(ns, limit)
        shown = found(ask(native, ns, "--format=json"))[limit]
        if before == of_proc(ns, limit):
            assert shown == before
            return shown
    pytest.fail(f"{limit} never stays the same")


@pytest.fixture
def pair() -> Iterator[Pair]:
    with namespaces.pair() as made:
        yield made


# TIME_WAIT, of each namespace.


def wait_in(ns: str, count: int) -> None:
    """Leave so many sockets in TIME_WAIT in a namespace, or as many as it takes."""
    with servers.sockets() as made:
        server = made.listen(ns, "127.0.0.1", PORT, count)
        clients = [made.connect(ns, ("127.0.0.1", PORT)) for _ in range(count)]
        accepted = [server.accept()[0] for _ in clients]
        for client in clients:
            client.close()
        for other in accepted:
            assert other.recv(1) == b""
            other.close()
    ends = ["ss", "-HtanO", "state", "established", "state", "close-wait", "state", "last-ack"]
    wait_for(lambda: namespaces.run(ns, ends).stdout == "")


def overflows(ns: str) -> int:
    """Read how often a namespace had no room for a socket in TIME_WAIT."""
    return netstat(ns, "TCPTimeWaitOverflow")


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_time_wait_fills_up(pair: Pair, nobodys: Mapping[str, Command], user: str) -> None:
    namespaces.sysctl(pair.a, TIME_WAIT, 20)
    with asker(pair.a, user, nobodys) as someone:
        for count, shown, state in (
            (0, "0% (0 of 20)", 0),
            (15, "75% (15 of 20)", 0),
            (1, "80% (16 of 20) [WARNING]", 1),
            (30, "100% (20 of 20) [CRITICAL]", 2),
        ):
            full = overflows(pair.a)
            if count:
                wait_in(pair.a, count)
            assert of_proc(pair.a, "time-wait").of == 20
            done = someone.run("native", MEASURE, "-w", "time-wait=75", "-c", "time-wait=90")
            assert f"time-wait: {shown}" in done.stdout
            assert (done.returncode, done.stderr) == (state, "")
            # At 100 % the kernel has no room, and below it has.
            assert (overflows(pair.a) > full) == (state == 2)


def test_a_namespace_that_takes_none_is_full(pair: Pair, native: Command) -> None:
    namespaces.sysctl(pair.a, TIME_WAIT, 0)
    done = ask(native, pair.a, "-c", "time-wait=90")
    assert done.stdout.startswith("time-wait: 100% (0 of 0) [CRITICAL]")
    full = overflows(pair.a)
    wait_in(pair.a, 1)
    assert overflows(pair.a) > full


def test_the_fullest_namespace_is_named(pair: Pair, native: Command) -> None:
    namespaces.sysctl(pair.a, TIME_WAIT, 20)
    namespaces.sysctl(pair.b, TIME_WAIT, 100)
    wait_in(pair.a, 10)
    wait_in(pair.b, 40)
    both = (f"--netns={pair.a}", f"--netns={pair.b}")
    done = ask(native, None, *both, "--lengthy", "-w", "time-wait=45")
    assert f"time-wait in {pair.a}: 50% (10 of 20) [WARNING]" in done.stdout
    assert "'time-wait'=50%;45;;0;100" in done.stdout
    row = next(line for line in done.stdout.splitlines() if re.match("time-wait +!", line))
    assert [cell.strip() for cell in row.split("!")] == [
        *("time-wait", "10", "20", "50%", "net.ipv4.tcp_max_tw_buckets", pair.a)
    ]
    assert (done.returncode, done.stderr) == (1, "")
    page = ask(native, None, *both, "--format=prometheus").stdout
    assert 'network_connections_host_limit_used{limit="time-wait"} 10\n' in page
    # One namespace needs no name.
    alone = ask(native, None, both[1], "--lengthy").stdout
    assert "time-wait: 40% (40 of 100)" in alone
    assert pair.b not in alone


@on_the_host
def test_limits_of_the_host_are_read_where_other_namespaces_are_asked(
    pair: Pair, native: Command
) -> None:
    done = ask(native, None, f"--netns={pair.a}", "--format=json")
    limits = found(done)
    assert {"tcp-memory", "udp-memory", "orphans", "time-wait"} <= {*limits}
    assert limits["orphans"].of == settings(None, ORPHANS)[0]
    assert "not seen" not in json.loads(done.stdout)["message"]


# Tracked connections, of each namespace, under a limit that most kernels have once for all.

TRACKING = """
table inet lab {
  chain lab { type filter hook output priority 0; ct state new accept; }
}
"""


@contextlib.contextmanager
def most_tracked(ns: str, value: int) -> Iterator[None]:
    """Set the limit of tracked connections, for this namespace alone where the kernel can."""
    with namespaces.inside(ns):
        try:
            Path(SYS, MOST_TRACKED).write_text(str(value), encoding="ascii")
            own = True
        except PermissionError:
            own = False
    if own:
        yield
        return
    before = Path(SYS, MOST_TRACKED).read_text(encoding="ascii")
    Path(SYS, MOST_TRACKED).write_text(str(value), encoding="ascii")
    try:
        yield
    finally:
        Path(SYS, MOST_TRACKED).write_text(before, encoding="ascii")


def track(pair: Pair, count: int) -> int:
    """Send so many packets, each of another flow; return how many of them were dropped."""
    dropped = 0
    with namespaces.inside(pair.a):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender:
        for port in range(1024, 1024 + count):
            try:
                sender.sendto(b"", (pair.b4, port))
            except PermissionError:
                dropped += 1
    return dropped


@pytest.fixture
def tracking(pair: Pair) -> Pair:
    namespaces.run(pair.a, ["nft", "-f", "-"], stdin=TRACKING)
    return pair


needs_nft = pytest.mark.skipif(bool(lacking("nft")), reason=lacking("nft") or "-")


@on_the_host
@needs_nft
@pytest.mark.parametrize("user", ["root", "nobody"])
def test_the_table_of_tracked_connections_fills_up(
    tracking: Pair, nobodys: Mapping[str, Command], user: str
) -> None:
    # Room for what the host does meanwhile: the limit may be everybody's.
    most = 2000 + of_proc(None, "conntrack").used if Path(SYS, TRACKED).exists() else 2000
    with asker(tracking.a, user, nobodys) as someone, most_tracked(tracking.a, most):
        for count, state in ((0, 0), (most * 8 // 10, 1), (most + 500, 2)):
            dropped = track(tracking, count)
            done = someone.run(
                "native", MEASURE, "--format=json", "-w=conntrack=75", "-c=conntrack=90"
            )
            used, of = found(done)["conntrack"]
            assert (of, done.returncode) == (most, state)
            assert used == of_proc(tracking.a, "conntrack").used
            # At 100 % the kernel drops packets, and below it does not. A few end before the look.
            assert (used > 0.99 * of) == (dropped > 0) == (state == 2)
        message = r"nf_conntrack: table full.*, dropping packet"
        wait_for_message(message, lambda: track(tracking, most + 500))


@on_the_host
@needs_nft
def test_a_table_without_limit_is_no_group(tracking: Pair, native: Command) -> None:
    track(tracking, 10)
    with most_tracked(tracking.a, 0):
        done = ask(native, tracking.a, "-c=conntrack=0", "--lengthy")
    assert "conntrack" not in done.stdout
    assert done.returncode == 0


@pytest.mark.skipif(
    not Path("/proc/net/stat/nf_conntrack").exists(), reason="the kernel tracks no connections"
)
def test_a_hidden_limit_of_the_table_is_not_taken_for_none(
    pair: Pair, native: Command, tampered: Tampered
) -> None:
    """As older kernels hide it in the namespaces of unprivileged users."""
    before = tampered(f"{harness.OPEN}:error=ENOENT", only=str(SYS / MOST_TRACKED))
    done = ask(native, pair.a, "-w=75", before=before)
    assert (
        "conntrack (the kernel tracks connections, and does not show the limit here)" in done.stdout
    )
    assert (done.returncode, "conntrack:" in done.stdout) == (0, False)
    done = ask(native, pair.a, "-c=conntrack=90", before=before)
    assert "conntrack: not seen [UNKNOWN]" in done.stdout
    assert done.returncode == 3


# Orphans, memory and files, of the whole host.


class Orphanage:
    """Closed sockets whose peers take no more data, so that the kernel keeps them."""

    def __init__(self, pair: Pair, held: contextlib.ExitStack, buffer: int = 0) -> None:
        """Start the server of the peers, with buffers of so many bytes, or as they are."""
        self._ns, self._held, self._buffer = pair.a, held, buffer
        self._to = (pair.b4, PORT)
        with namespaces.inside(pair.b):
            self._server = held.enter_context(socket.socket())
        if buffer:
            self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._server.bind(self._to)
        self._server.listen(16)

    def add(self, count: int) -> None:
        """Make so many orphans more."""
        for _ in range(count):
            with namespaces.inside(self._ns):
                client = socket.socket()
            if self._buffer:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._buffer)
            client.settimeout(20)
            client.connect(self._to)
            peer = self._held.enter_context(self._server.accept()[0])
            # In the end it resets the orphan, so that none is left.
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    client.send(bytes(65536))
            client.close()


@on_the_host
def test_orphans_are_counted(pair: Pair, native: Command) -> None:
    before = of_proc(None, "orphans").used
    with contextlib.ExitStack() as held:
        # Small buffers: the kernel ends orphans where it has little memory.
        Orphanage(pair, held, 16_384).add(40)
        used, of = steady(native, None, "orphans")
        assert used >= 40
        assert of == settings(None, ORPHANS)[0]
        share = 100 * used / of
        low, high = share / 2, share * 2
        done = ask(native, None, f"-w=orphans={low:.6f}", f"-c=orphans={high:.6f}")
        assert (done.returncode, "[WARNING]" in done.stdout) == (1, True), (done, before)
        # The namespace that they are in does not show the limit.
        assert counter(pair.a, "TCP:", "orphan") >= 40
        done = ask(native, pair.a, "-c=0")
        assert "orphans:" not in done.stdout


def leave_unread(ns: str, held: contextlib.ExitStack) -> None:
    """Fill more receive buffers than the kernel leaves uncounted: up to 1 MiB of each processor."""
    with namespaces.inside(ns):
        sender = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    for number in range(16 * (os.cpu_count() or 1)):
        with namespaces.inside(ns):
            receiver = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        receiver.bind(("127.0.0.1", PORT + number))
        for _ in range(200):
            sender.sendto(bytes(1000), ("127.0.0.1", PORT + number))


def aborted(ns: str) -> int:
    """Read how many sockets of a namespace the kernel has ended for lack of orphans or memory."""
    return netstat(ns, "TCPAbortOnMemory")


@on_the_host
def test_orphans_fill_up(pair: Pair, native: Command) -> None:
    # The limit is everybody's. The kernel counts some orphans four times: so those that are there
    # already have room.
    of = 4 * of_proc(None, "orphans").used + 200
    before = Path(SYS, ORPHANS).read_text(encoding="ascii")
    with contextlib.ExitStack() as held:
        held.callback(Path(SYS, ORPHANS).write_text, before, encoding="ascii")
        Path(SYS, ORPHANS).write_text(str(of), encoding="ascii")
        orphans = Orphanage(pair, held, SMALL)
        orphans.add(of // 2 - of_proc(None, "orphans").used)
        half = steady(native, None, "orphans")
        assert half.of == of
        assert half.used == pytest.approx(of / 2, rel=0.1)
        assert ask(native, None, "-w=orphans=25", "-c=orphans=75").returncode == 1
        assert aborted(pair.a) == 0
        # The kernel adds up its counters ten times in a second.
        while aborted(pair.a) == 0:
            orphans.add(50)
        full = found(ask(native, None, "--format=json"))["orphans"]
        # Some of the first ones may have ended meanwhile.
        assert full.used >= of * 0.8
        assert ask(native, None, "-w=orphans=25", "-c=orphans=75").returncode == 2
        wait_for_message("too many orphaned sockets|Out of socket memory", lambda: orphans.add(50))


@on_the_host
@pytest.mark.parametrize("limit", ["tcp-memory", "udp-memory", "files"])
def test_numbers_of_the_host_are_those_of_proc(pair: Pair, native: Command, limit: str) -> None:
    with contextlib.ExitStack() as held:
        if limit == "udp-memory":
            leave_unread(pair.a, held)
        else:
            Orphanage(pair, held).add(16 * (os.cpu_count() or 1))
        if of_proc(None, limit).of == 2**63 - 1:
            # No limit, as systemd sets it.
            assert limit not in found(ask(native, None, "--format=json"))
            return
        # Other programs open files and sockets meanwhile, and so do those that read the numbers.
        slack = 200 if limit == "files" else 0
        for _ in range(50):
            before = of_proc(None, limit)
            used, of = found(ask(native, None, "--format=json"))[limit]
            after = of_proc(None, limit)
            low, high = sorted((before.used, after.used))
            if low - slack <= used <= high + slack:
                break
        else:
            pytest.fail(f"{limit} is never between the numbers before and after")
        assert of == before.of == after.of
        assert used > 0


# What a container does not see.


@pytest.mark.parametrize("key", ["tcp-memory", "udp-memory", "orphans"])
@pytest.mark.parametrize("user", ["root", "nobody"])
def test_another_namespace_does_not_show_the_limits_of_the_host(
    pair: Pair, nobodys: Mapping[str, Command], user: str, key: str
) -> None:
    with asker(pair.a, user, nobodys) as someone:
        done = someone.run("native", MEASURE, "-w=75")
        assert NOT_SEEN in done.stdout
        assert (done.returncode, f"{key}:" in done.stdout) == (0, False)
        for range_ in ("25", "10:"):
            done = someone.run("native", MEASURE, "-w=75", f"-c={key}={range_}")
            assert f"{key}: not seen [UNKNOWN]" in done.stdout
            assert NOT_SEEN in done.stdout
            assert f"'{key}'" not in done.stdout
            assert done.returncode == 3
        # An alert stands.
        namespaces.sysctl(pair.a, TIME_WAIT, 0)
        done = someone.run("native", MEASURE, f"-c=time-wait=90,{key}=25")
        assert (done.returncode, "[UNKNOWN]" in done.stdout) == (2, True)
        namespaces.sysctl(pair.a, TIME_WAIT, 100)


@pytest.mark.parametrize("net", ["own", "the host's"])
def test_a_container_does_not_show_the_files_of_the_host(native: Command, net: str) -> None:
    before = ["unshare", "--pid", "--fork", "--mount-proc", *(["--net"] if net == "own" else [])]
    done = native.run(MEASURE, "-w=75", before=before)
    unlimited = settings(None, FILES)[2] == 2**63 - 1
    assert (done.returncode, "files:" in done.stdout) == (0, False)
    assert ("files (a number of the whole host, and this is a container)" in done.stdout) == (
        not unlimited
    ) or unlimited
    if Path(SYS, ORPHANS).exists():
        # A container that shares the host's network sees its limits.
        assert ("orphans:" in done.stdout) == (net == "the host's")
    done = native.run(MEASURE, "-w=files=75", before=before)
    assert "files: not seen [UNKNOWN]" in done.stdout
    assert done.returncode == 3


def test_a_namespace_that_is_closed_to_nobody_is_no_answer(
    pair: Pair, nobodys: Mapping[str, Command]
) -> None:
    with (
        asker(pair.b, "nobody", nobodys) as someone,
        owners.actor(pair.a, uid=namespaces.NOBODY) as actor,
    ):
        done = someone.run("native", MEASURE, f"--netns={actor.pid}", "-w=75")
        assert done.returncode == 3
        assert "can be read only inside it" in one_line(done)


# What cannot be read.

READ = [
    "/proc/sys/net/ipv4/tcp_max_tw_buckets",
    "/proc/sys/net/netfilter/nf_conntrack_max",
    "/proc/sys/fs/file-nr",
]


@pytest.mark.parametrize("call", [harness.OPEN, "read"])
@pytest.mark.parametrize("code", ["EACCES", "EMFILE", "EIO"])
@pytest.mark.parametrize("path", READ)
def test_a_limit_that_cannot_be_read_is_no_answer(
    pair: Pair, native: Command, tampered: Tampered, path: str, code: str, call: str
) -> None:
    if not Path(path).exists():
        pytest.skip(f"the kernel has no {path}")
    done = ask(native, pair.a, before=tampered(f"{call}:error={code}", only=path))
    assert one_line(done) == f"{path}: {says(code)}"


@pytest.mark.parametrize("path", READ)
def test_a_file_in_place_of_the_kernels_is_no_answer(
    pair: Pair, native: Command, tmp_path: Path, path: str
) -> None:
    if not Path(path).exists():
        pytest.skip(f"the kernel has no {path}")
    text = tmp_path / "setting"
    text.write_text("1 0 100000\n", encoding="ascii")
    done = ask(native, pair.a, before=owners.private(f"mount --bind {text} {path}"))
    assert one_line(done) == f"{path} is not the kernel's"


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (
            "mount -t proc -o subset=pid proc /proc",
            # Linux 5.10 hides the tables of sockets there too, which are read first.
            r"/proc/(sys|thread-self/net/sockstat): No such file or directory \(os error 2\)",
        ),
        ("mount -t tmpfs none /proc/sys/net", "/proc/sys/net is not the kernel's"),
        ("mount -t tmpfs none /proc/sys", "/proc/sys is not the kernel's"),
    ],
)
def test_hidden_settings_are_not_taken_for_none(native: Command, script: str, problem: str) -> None:
    done = native.run(MEASURE, "-c=90", before=owners.private(script))
    assert re.fullmatch(problem, one_line(done))


def test_a_missing_number_of_files_is_not_taken_for_none(
    native: Command, tampered: Tampered
) -> None:
    before = tampered(f"{harness.OPEN}:error=ENOENT", only="/proc/sys/fs/file-nr")
    done = ask(native, None, "-c=files=90", before=before)
    assert "files: not seen [UNKNOWN]" in done.stdout
    assert done.returncode == 3


# What is asked, and what is printed.

REFUSED = {
    "--conn-type=tcp": "--conn-type: {no_meaning}",
    "--conn-status=listen": "--conn-status: {no_meaning}",
    "--local-port=443": "--local-port: {no_meaning}",
    "--remote-port=443": "--remote-port: {no_meaning}",
    "--local-address=::1": "--local-address: {no_meaning}",
    "--remote-address=::1": "--remote-address: {no_meaning}",
    "--stuck=60": "--stuck: {no_meaning}",
    "--zero": "--zero: {no_meaning}",
    "--group-by=user": "--group-by: limits are not measured by user (valid: --group-by=limit)",
    "--source=netlink": (
        "The source netlink does not tell the limits of the host (valid: auto, procfs)"
    ),
    "-w=orphan=25": (
        '--warning: "orphan" is the key of no group that can be selected here, did you mean '
        '"orphans"? (valid: tcp-memory, udp-memory, orphans, time-wait, conntrack, files)'
    ),
    "-c=total=25": (
        '--critical: "total" is the key of no group that can be selected here '
        "(valid: tcp-memory, udp-memory, orphans, time-wait, conntrack, files)"
    ),
}


@pytest.fixture(scope="module")
def someone(request: pytest.FixtureRequest, nobodys: Mapping[str, Command]) -> Iterator[Asker]:
    with namespaces.pair() as made, asker(made.a, request.param, nobodys) as asking:
        yield asking


@pytest.mark.parametrize("options", REFUSED)
@pytest.mark.parametrize(("someone", "way"), TWO_OF_FOUR, indirect=["someone"])
def test_what_has_no_meaning_is_one_line(someone: Asker, way: str, options: str) -> None:
    no_meaning = "has no meaning where limits are measured (valid: --measure=connections)"
    line = REFUSED[options].format(no_meaning=no_meaning)
    assert one_line(someone.run(way, MEASURE, options)) == line


def test_limits_are_no_groups_of_sockets(native: Command) -> None:
    assert one_line(native.run("--group-by=limit")) == (
        "--group-by: connections are not measured by limit (valid: --measure=host-limits)"
    )
    assert native.run(MEASURE, "--group-by=limit").returncode == 0
    line = one_line(native.run("--zero", "--group-by=limit"))
    assert "(valid: --measure=host-limits)" in line
    fixture = native.fixture(harness.connections({"tcp_LISTEN": 1}))
    assert one_line(native.run(MEASURE, fixture)) == (
        "Fixture has connections, which are all it can tell"
    )


def test_each_limit_has_a_metric_and_series(pair: Pair, native: Command) -> None:
    namespaces.sysctl(pair.a, TIME_WAIT, 40)
    wait_in(pair.a, 10)
    done = ask(native, pair.a, "-w=75,time-wait=20", "-c=time-wait=50")
    limits = found(ask(native, pair.a, "--format=json"))
    _, _, perfdata = done.stdout.strip().partition("|")
    fullest, number, *others = perfdata.split()
    assert (fullest, number) == ("'fullest'=25%;20;50;0;100", f"'limits'={len(limits)}")
    assert "'time-wait'=25%;20;50;0;100" in others
    assert {metric.split("=")[0] for metric in others} == {f"'{limit}'" for limit in limits}
    assert all(metric.endswith((";75;;0;100", ";20;50;0;100")) for metric in others)
    page = ask(native, pair.a, "--format=prometheus").stdout
    for series, value in (("_used_ratio", "0.25"), ("_used", "10"), ("", "40")):
        assert f'network_connections_host_limit{series}{{limit="time-wait"}} {value}\n' in page
    for limit in limits:
        assert page.count(f'{{limit="{limit}"}}') == 3


@pytest.mark.parametrize(("someone", "way"), TWO_OF_FOUR, indirect=["someone"])
def test_everybody_sees_the_same(someone: Asker, way: str) -> None:
    limit = settings(someone.ns, TIME_WAIT)[0]
    done = someone.run(way, MEASURE, "--format=json", "-w=75")
    assert found(done)["time-wait"] == Used(0, limit)
    assert json.loads(done.stdout)["source"] == "procfs"
    assert os.geteuid() == 0
