"""`--measure=exhaustion`: every measure of what runs out, with built-in thresholds."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import harness
import network_connections
import pytest
import shares
from asking import WAYS, asker
from conftest import Tampered
from harness import Command, Done, says
from lab import namespaces, owners, servers
from lab.namespaces import Pair
from lab.owners import after, private
from lab.servers import Sockets, wait_for

pytestmark = [
    pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing() or "-"),
    # A place is in Linux.
    pytest.mark.usefixtures("place"),
]

MEASURE = "--measure=exhaustion"
# The processes of other tests fill their tables of files on purpose.
NO_FILES = ("-w=open-files=~:", "-c=open-files=~:")
FIRST, LAST = 40000, 40099
# The longest output, in bytes.
LIMIT = 8000
TIME_WAIT = "net/ipv4/tcp_max_tw_buckets"
DEFER = (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 600)
NO_PORT = [(socket.IPPROTO_IP, servers.IP_BIND_ADDRESS_NO_PORT, 1)]
UNSEEN = (
    "not seen: tcp-memory, udp-memory, orphans "
    "(numbers of the whole host, whose limits only its own network namespace has)"
)
_numbers = itertools.count()


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Return two hosts; `a` has 100 ports to give."""
    with namespaces.pair() as made:
        servers.ports(made.a, FIRST, LAST)
        yield made


@pytest.fixture
def made() -> Iterator[Sockets]:
    with servers.sockets() as held:
        yield held


def ask(native: Command, ns: str | None, *options: str, before: Sequence[str] = ()) -> Done:
    given = [option[:3] for option in options]
    quiet = [option for option in NO_FILES if option[:3] not in given]
    with namespaces.inside(ns):
        return native.run(MEASURE, *quiet, *options, before=before)


def report(done: Done) -> dict[str, Any]:
    """Return a report as JSON."""
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["state"] == done.returncode
    return found


def alerts(done: Done) -> list[dict[str, Any]]:
    """Return the groups of a JSON report that alert."""
    return [group for group in report(done)["groups"] if group["state"] != 0]


def message(done: Done) -> str:
    """Return the first line without its performance data."""
    assert done.stderr == ""
    return done.stdout.splitlines()[0].split("|")[0]


# Each fault in `a`, its measure, the label of its group, and its state.


def full_accept_queue(pair: Pair, made: Sockets) -> str:
    made.listen(pair.a, pair.a4, 8001, 4)
    assert len(made.crowd(pair.b, pair.a, (pair.a4, 8001), 6)) == 5
    return f"accept-queue {pair.a4}:8001: 125% (5 of 4, "


def full_unix_queue(pair: Pair, made: Sockets) -> str:
    name = f"exhausted-{next(_numbers)}"
    del made
    with namespaces.inside(pair.a):
        server = socket.socket(socket.AF_UNIX)
        server.bind(f"\0{name}")
        server.listen(3)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        for client in clients:
            client.connect(f"\0{name}")
    _held.extend([server, *clients])
    return f"accept-queue @{name}: 133.33% (4 of 3) [CRITICAL]"


def full_syn_queue(pair: Pair, made: Sockets) -> str:
    made.listen(pair.a, pair.a4, 8002, 16, options=[DEFER])
    for _ in range(15):
        made.connect(pair.b, (pair.a4, 8002))
    ss = ["ss", "-HtnO", "state", "syn-recv"]
    wait_for(lambda: namespaces.run(pair.a, ss).stdout.count(":8002") == 15)
    return f"syn-queue {pair.a4}:8002: 93.75% (15 of 16) [CRITICAL]"


def full_receive_buffer(pair: Pair, made: Sockets) -> str:
    made.bind(pair.a, pair.a4, 5140, 65536)
    sender = made.make(pair.b, pair.a4, kind=socket.SOCK_DGRAM)

    def dropped() -> bool:
        for _ in range(100):
            sender.sendto(b"x" * 1000, (pair.a4, 5140))
        listed = namespaces.run(pair.a, ["ss", "-HlunmO"]).stdout
        return bool(re.search(r",d[1-9]", listed))

    wait_for(dropped)
    return f"receive-buffer {pair.a4}:5140: "


def no_ephemeral_ports(pair: Pair, made: Sockets) -> str:
    made.listen(pair.b, pair.b4, 5432, 4000)
    for _ in range(97):
        made.connect(pair.a, (pair.b4, 5432), pair.a4, NO_PORT)
    return f"ephemeral-ports {pair.b4}:5432: 97% (97 of 100) [CRITICAL]"


def many_in_time_wait(pair: Pair, made: Sockets) -> str:
    del made
    namespaces.sysctl(pair.a, TIME_WAIT, 20)
    with servers.sockets() as others:
        server = others.listen(pair.a, "127.0.0.1", 8003, 20)
        clients = [others.connect(pair.a, ("127.0.0.1", 8003)) for _ in range(18)]
        accepted = [server.accept()[0] for _ in clients]
        for client in clients:
            client.close()
        for other in accepted:
            assert other.recv(1) == b""
            other.close()
    counter = ["grep", "^TCP:", "/proc/net/sockstat"]
    wait_for(lambda: " tw 18 " in namespaces.run(pair.a, counter).stdout)
    return "host-limits time-wait: 90% (18 of 20) [WARNING]"


Fault = Callable[[Pair, Sockets], str]
FAULTS: dict[str, Fault] = {
    "accept queue": full_accept_queue,
    "unix": full_unix_queue,
    "SYN queue": full_syn_queue,
    "receive buffer": full_receive_buffer,
    "ephemeral ports": no_ephemeral_ports,
    "TIME_WAIT": many_in_time_wait,
}
_held: list[socket.socket] = []


@pytest.fixture(autouse=True)
def let_go() -> Iterator[None]:
    yield
    while _held:
        _held.pop().close()


def test_where_nothing_is_wrong_one_line_says_what_was_looked_at(
    pair: Pair, made: Sockets, native: Command
) -> None:
    made.listen(pair.a, pair.a4, 8000, 16)
    made.bind(pair.a, pair.a4, 5140)
    done = ask(native, pair.a)
    assert done.stdout.count("\n") == 1
    assert message(done).startswith("Of what could be asked, nothing runs out: open-files at most ")
    for part in (
        "accept-queue 0% (1 listener)",
        "syn-queue 0% (1 listener)",
        "receive-buffer 0% (1 socket)",
        "ephemeral-ports 0 destinations",
        "host-limits at most ",
        "stuck 0 connections",
    ):
        assert part in message(done)
    assert message(done).endswith(f"; {UNSEEN}")
    assert done.returncode == 0


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_alerts(pair: Pair, made: Sockets, native: Command, name: str) -> None:
    expected = FAULTS[name](pair, made)
    done = ask(native, pair.a)
    assert message(done).startswith(expected)
    state = 1 if name == "TIME_WAIT" else 2
    assert done.returncode == state
    (alert,) = alerts(ask(native, pair.a, "--format=json"))
    assert f"{alert['measure']} {alert['label']}: " in expected
    assert (alert["state"], alert["unit"], alert["value"]) == (state, "%", alert["percent"])
    assert alert["limit"] == alert["of"]
    # Its owner, and nothing of others.
    tables = ask(native, pair.a, "--lengthy").stdout
    titles = re.findall(r"^(.*), by (?:owner|peer):$", tables, re.MULTILINE)
    assert tables.count("What to do: ") == 1
    assert f"\n\nWhat to do: docs/exhaustion.md#{alert['measure']}|" in tables
    if alert["measure"] == "host-limits":
        assert "net.ipv4.tcp_max_tw_buckets" in tables
        assert titles == []
    else:
        assert titles == [f"{alert['measure']} {alert['label']}"]
        assert Path("/proc/self/comm").read_text(encoding="utf-8").strip() in tables


PAIRS = [*itertools.combinations(FAULTS, 2)]


@shares.every(5)
def test_every_two_faults_alert_both(native: Command, share: slice) -> None:
    for one, other in PAIRS[share]:
        with namespaces.pair() as pair, servers.sockets() as made:
            servers.ports(pair.a, FIRST, LAST)
            expected = [FAULTS[name](pair, made) for name in (one, other)]
            done = ask(native, pair.a)
            for text in expected:
                assert text in message(done), (one, other)
            assert (done.returncode, len(alerts(ask(native, pair.a, "--format=json")))) == (2, 2)
            # CRITICAL before WARNING.
            assert message(done).index("CRITICAL") < message(done).find("WARNING") % 100_000
            while _held:
                _held.pop().close()


def test_the_worst_comes_first_and_the_rest_is_counted(
    pair: Pair, made: Sockets, native: Command
) -> None:
    for name in ("TIME_WAIT", "SYN queue", "unix"):
        FAULTS[name](pair, made)
    done = ask(native, pair.a)
    order = ["accept-queue @", "syn-queue ", "host-limits time-wait", " more fine"]
    places = [message(done).index(text) for text in order]
    assert places == sorted(places)
    assert "and 2 more" in message(ask(native, pair.a, "--top=1"))
    done = ask(native, pair.a, "--always-ok")
    assert done.returncode == 0
    assert "[CRITICAL]" in message(done)


# Open files.

PROGRAM = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
kept = []
while len(os.listdir("/proc/self/fd")) - 1 < 97:
    kept.append(os.open("/dev/null", os.O_RDONLY))
print("full", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def program(
    path: Path, script: str, *arguments: str, unit: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a script as a program of this name, in the cgroup of a unit; it says when it is ready."""
    shutil.copy(Path(sys.executable).resolve(), path)
    enter = [] if unit is None else after(f"echo $$ >'{unit}/cgroup.procs'")
    line = [*enter, str(path), "-I", "-S", "-c", script, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(line, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_a_process_without_files_alerts_by_name(
    pair: Pair, native: Command, tmp_path: Path
) -> None:
    with program(tmp_path / "hoarder", PROGRAM) as process:
        # The thresholds of this program alone.
        given = ("-w=open-files=~:,open-files:hoarder=80", "-c=open-files=~:,open-files:hoarder=95")
        done = ask(native, pair.a, *given)
        expected = f"open-files hoarder ({process.pid}): 97% (97 of 100) [CRITICAL]"
        assert message(done).startswith(expected)
        assert done.returncode == 2
        # The built-in ones find it, too.
        groups = alerts(native.run(MEASURE, "--format=json"))
        own = [group for group in groups if group["label"] == f"hoarder ({process.pid})"]
        (found,) = own
        assert (found["measure"], found["value"], found["limit"]) == ("open-files", 97, 100)
        tables = ask(native, pair.a, *given, "--lengthy").stdout
        assert f"\nopen-files hoarder ({process.pid}), by process:\n" in tables


LOCKED_IN = """
import os, resource, sys
kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(10)]
resource.setrlimit(resource.RLIMIT_NOFILE, (1, 1))
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_process_that_wants_no_further_files_is_no_fault(
    pair: Pair, native: Command, tmp_path: Path
) -> None:
    with program(tmp_path / "locked", LOCKED_IN) as process:
        given = ("-w=open-files=~:,open-files:locked=80", "-c=open-files=~:,open-files:locked=95")
        assert f"locked ({process.pid})" not in ask(native, pair.a, *given).stdout
        groups = report(native.run(MEASURE, "--format=json"))["groups"]
        assert f"locked ({process.pid})" not in [group["label"] for group in groups]
        # The measure alone has it.
        assert f"locked ({process.pid})" in native.run("--measure=open-files").stdout


def test_a_limit_below_the_number_of_open_files_is_a_fault(native: Command, tmp_path: Path) -> None:
    with program(tmp_path / "lowered", LOCKED_IN.replace("(1, 1)", "(8, 8)")) as process:
        groups = alerts(native.run(MEASURE, "--format=json"))
        (found,) = [group for group in groups if group["label"] == f"lowered ({process.pid})"]
        assert (found["measure"], found["limit"], found["state"]) == ("open-files", 8, 2)


# Keys.


def test_keys_change_the_thresholds_of_a_measure_and_of_a_group(
    pair: Pair, made: Sockets, native: Command
) -> None:
    FAULTS["SYN queue"](pair, made)
    for options, state in (
        ((), 2),
        (("-c=open-files=~:,syn-queue=99",), 1),
        (("-c=open-files=~:,syn-queue:8002=99", "-w=open-files=~:,syn-queue=99"), 0),
        (("-c=open-files=~:,syn-queue:8003=99",), 2),
        (("-c=open-files=~:,syn-queue=~:", "-w=open-files=~:,syn-queue=~:"), 0),
        (("-c=open-files=~:,syn-queue=99", f"--local-port={8000}-8002"), 1),
        # Another port.
        (("--local-port=443",), 0),
    ):
        assert ask(native, pair.a, *options).returncode == state, options


def test_a_selection_is_for_the_measures_that_have_it(
    pair: Pair, made: Sockets, native: Command
) -> None:
    FAULTS["accept queue"](pair, made)
    FAULTS["ephemeral ports"](pair, made)
    done = ask(native, pair.a, "--local-port=8001")
    assert message(done).startswith(f"accept-queue {pair.a4}:8001")
    assert "not asked: ephemeral-ports (it has no local ports)" in message(done)
    assert "ephemeral-ports 10" not in message(done)
    done = ask(native, pair.a, f"--remote-address={pair.b4}")
    assert message(done).startswith(f"ephemeral-ports {pair.b4}:5432")
    assert "accept-queue, syn-queue, receive-buffer (it has no remote addresses)" in message(done)
    assert ask(native, pair.a, f"--local-address={pair.b4}").returncode == 0


def test_a_namespace_is_asked_for(pair: Pair, made: Sockets, native: Command) -> None:
    FAULTS["accept queue"](pair, made)
    FAULTS["TIME_WAIT"](pair, made)
    done = ask(native, None, f"--netns={pair.a}", f"--netns={pair.b}")
    assert f"accept-queue {pair.a4}:8001 in {pair.a}: 125% (5 of 4" in message(done)
    assert f"host-limits time-wait in {pair.a}: 90% (18 of 20) [WARNING]" in message(done)
    assert done.returncode == 2


REFUSED: dict[tuple[str, ...], str] = {
    ("-w=80",): '--warning: "80" would compare seconds with percent',
    ("-c=open-files=90,80",): '--critical: "80" would compare seconds with percent',
    ("-w=open-file=80",): 'no measure of exhaustion, did you mean "open-files"?',
    ("-w=conntrack=80",): 'did you mean "host-limits:conntrack"?',
    ("-w=host-limits:conntrak=80",): '"conntrak" is the key of no group',
    ("-w=stuck:half=80",): '"half" is the key of no group',
    ("-w=accept-queue:web=80",): '"web" is the key of no group',
    ("--group-by=unit",): "--group-by: has no meaning where measures are measured",
    ("--stuck=300",): "--stuck: has no meaning where measures are measured",
    ("--source=netlink",): "--source: has no meaning where measures are measured",
    ("--list",): "--measure: a list has connections, and no measures",
}


@pytest.mark.parametrize("options", REFUSED, ids=" ".join)
def test_other_options_are_refused(native: Command, options: tuple[str, ...]) -> None:
    done = native.run(MEASURE, *options)
    assert REFUSED[options] in done.stdout
    assert done.returncode == 3


def test_the_help_and_the_page_have_the_thresholds(native: Command) -> None:
    text = native.run("--help").stdout
    page = (harness.ROOT / "docs" / "exhaustion.md").read_text(encoding="utf-8")
    row = r"^  ([a-z:-]+)(?:, more than (\d+) s)? +(\d+%?) +(\d+%?|-)$"
    rows = re.findall(row, text.split("Built-in thresholds")[1], re.MULTILINE)
    assert len(rows) == 15
    for key, seconds, warning, critical in rows:
        (line,) = re.findall(rf"^\| .*`{key}`.*$", page, re.MULTILINE)
        assert f" | {warning}, {critical} | " in line
        assert not seconds or f" {seconds} s |" in line


def test_every_measure_has_a_section(native: Command) -> None:
    """The one that an alert names: with a table above it, with what to do, and with a link."""
    page = (harness.ROOT / "docs" / "exhaustion.md").read_text(encoding="utf-8")
    _, *sections = re.split(r"^## ", page, flags=re.MULTILINE)
    names = [section.partition("\n")[0] for section in sections]
    with namespaces.pair() as pair:
        measures = report(ask(native, pair.a, "--format=json"))["measures"]
    assert names == [measure["measure"] for measure in measures]
    for section in sections:
        assert re.search(r"\]\((incidents|limits)\.md#", section)


def test_each_alert_names_its_section_below_its_tables(
    pair: Pair, made: Sockets, native: Command
) -> None:
    for fault in FAULTS.values():
        fault(pair, made)
    done = ask(native, pair.a, "--lengthy")
    below = done.stdout.split("|'open-files'")[0].split("\n", 1)[1]
    # A measure has one line, below the tables of all its alerts.
    found = re.findall(r"^(?:([a-z-]+) .*, by (?:owner|peer):|What to do: .*#(.*))$", below, re.M)
    parts = [title or f"to do: {section}" for title, section in found]
    assert [*dict.fromkeys(parts)] == [
        *("accept-queue", "to do: accept-queue", "syn-queue", "to do: syn-queue"),
        *("receive-buffer", "to do: receive-buffer"),
        *("ephemeral-ports", "to do: ephemeral-ports", "to do: host-limits"),
    ]
    assert len(done.stdout) <= LIMIT
    assert parts[-1] == "to do: host-limits"
    assert "What to do" not in ask(native, pair.a).stdout
    quiet = ask(native, pair.b, "--lengthy").stdout
    assert "What to do" not in quiet


def test_many_alerts_leave_room_for_the_section(pair: Pair, made: Sockets, native: Command) -> None:
    for port in range(9000, 9060):
        made.listen(pair.a, pair.a4, port, 1)
        made.crowd(pair.b, pair.a, (pair.a4, port), 2)
    done = ask(native, pair.a, "--lengthy", "--top=60")
    assert " groups\n\nWhat to do: docs/exhaustion.md#accept-queue|" in done.stdout
    assert len(done.stdout) <= LIMIT


# A part of the answer that cannot be asked for.


def test_without_netlink_the_rest_is_judged_and_the_part_is_named(
    pair: Pair, made: Sockets, native: Command, tampered: Tampered
) -> None:
    before = tampered(harness.NO_SOCKETS)
    FAULTS["ephemeral ports"](pair, made)
    made.listen(pair.a, pair.a4, 8000, 16)
    made.bind(pair.a, pair.a4, 5140)
    done = ask(native, pair.a, before=before)
    assert message(done).startswith(f"ephemeral-ports {pair.b4}:5432: 97% (97 of 100) [CRITICAL]")
    denied = re.escape(says("EPERM"))
    for measures in ("accept-queue", "syn-queue", "receive-buffer", "stuck"):
        assert re.search(rf"not asked: [a-z, -]*{measures}.*?{denied}", message(done)), measures
    assert done.returncode == 2
    given = "-c=open-files=~:,ephemeral-ports=~:"
    quiet = (given, given.replace("-c", "-w"))
    for options, state in (
        (quiet, 0),
        ((*quiet, "--strict"), 3),
        ((quiet[0], f"{quiet[1]},accept-queue=80"), 3),
        ((quiet[0], f"{quiet[1]},accept-queue:80=80"), 3),
        ((quiet[0], f"{quiet[1]},accept-queue=~:"), 0),
    ):
        done = ask(native, pair.a, *options, before=before)
        assert done.returncode == state, options
        assert ("[UNKNOWN]" in message(done)) == (state == 3)
        assert "not asked: " in message(done)
    found = report(ask(native, pair.a, "--format=json", before=before))
    asked = {one["measure"]: one["asked"] for one in found["measures"]}
    assert [name for name in asked if not asked[name]] == [
        *("accept-queue", "syn-queue", "receive-buffer", "stuck")
    ]
    page = ask(native, pair.a, "--format=prometheus", before=before).stdout
    assert "_syn_queue" not in page
    assert "'syn-queue'" not in ask(native, pair.a, before=before).stdout


def test_an_answer_that_is_cut_short_is_unknown(
    pair: Pair, made: Sockets, native: Command, tampered: Tampered
) -> None:
    """Nothing is missing here: something went wrong."""
    made.listen(pair.a, pair.a4, 8000, 16)
    done = ask(native, pair.a, before=tampered("recvfrom:error=ENOBUFS"))
    assert re.search(r"accept-queue \[UNKNOWN\].*" + re.escape(says("ENOBUFS")), message(done))
    assert done.returncode == 3


def test_limits_that_are_not_seen_are_named(pair: Pair, native: Command) -> None:
    for options, state in (
        ((), 0),
        (("--strict",), 3),
        (("-w=open-files=~:,host-limits=90",), 3),
        (("-w=open-files=~:,host-limits:orphans=90",), 3),
        (("-w=open-files=~:,host-limits:time-wait=90",), 0),
        (("-w=open-files=~:,host-limits=~:", "-c=open-files=~:,host-limits=~:", "--strict"), 0),
    ):
        done = ask(native, pair.a, *options)
        assert done.returncode == state, (options, done)
        assert UNSEEN in message(done)


def test_processes_that_are_not_seen_are_named(pair: Pair, nobodys: Mapping[str, Command]) -> None:
    before = private("mount -t proc -o hidepid=2 proc /proc")
    note = "open-files: processes may not be seen: /proc is mounted with "
    with asker(pair.a, "nobody", nobodys) as someone:
        for options, state in (
            ((), 0),
            (("--strict",), 3),
            (("-w=open-files=80",), 3),
            (("-c=open-files:nginx=80",), 3),
            (("-w=open-files=~:", "-c=open-files=~:"), 0),
        ):
            done = someone.run("native", MEASURE, *options, before=before)
            assert (done.returncode, note in message(done)) == (state, True), (options, done)
        done = someone.run("native", MEASURE, "-c=open-files:nginx=80", before=before)
        assert "open-files nginx: not seen [UNKNOWN]" in message(done)


def test_unix_listeners_that_are_not_seen_are_named(
    pair: Pair, native: Command, tampered: Tampered
) -> None:
    # The sixth request is the one for unix sockets, after those for TCP and UDP.
    before = tampered("sendto:error=ENOENT:when=6")
    done = ask(native, pair.a, before=before)
    assert "accept-queue: unix listeners not seen: " in message(done)
    assert done.returncode == 0
    done = ask(native, pair.a, "-w=open-files=~:,accept-queue:@x=50", before=before)
    assert "unix listeners not seen" in message(done)
    assert done.returncode == 3


@pytest.mark.parametrize("user", ["root", "nobody"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_and_user_sees_the_same(
    pair: Pair, made: Sockets, nobodys: Mapping[str, Command], way: str, user: str
) -> None:
    expected = FAULTS["accept queue"](pair, made)
    with asker(pair.a, user, nobodys) as someone:
        done = someone.run(way, MEASURE, *NO_FILES)
        assert message(done).startswith(expected)
        assert done.returncode == 2


# One pass.


def test_one_pass_serves_all_measures(
    pair: Pair, made: Sockets, native: Command, tmp_path: Path
) -> None:
    made.listen(pair.a, pair.a4, 8000, 16)
    log = tmp_path / "log"
    traced = ["strace", "-f", "-e", "trace=sendto,?open,openat,getdents64", "-o", str(log)]
    if harness.no_strace():
        pytest.skip(harness.no_strace())
    done = ask(native, pair.a, before=traced)
    assert done.returncode == 0
    calls = log.read_text(encoding="utf-8").splitlines()
    requests = [call for call in calls if "sendto(" in call]
    # TCP: the listeners, the sockets in no connection, and all others. UDP: each family. Unix.
    kinds = [re.findall(r"TCPDIAG_GETSOCK|IPPROTO_UDP|AF_UNIX", call)[0] for call in requests]
    assert kinds == ["TCPDIAG_GETSOCK"] * 3 + ["IPPROTO_UDP"] * 2 + ["AF_UNIX"]
    opened = [
        found[1] for call in calls if (found := re.search(r'open(?:at)?\(.*?"([^"]+)"', call))
    ]
    # One handle to look from, and one to list the processes.
    assert opened.count("/proc") <= 2
    limits = [path for path in opened if re.fullmatch(r"(/proc/)?\d+/limits", path)]
    assert len(limits) == len(set(limits)) > 0
    for setting in ("ip_local_port_range", "ip_local_reserved_ports"):
        assert sum(setting in path for path in opened) == 1


def test_each_namespace_is_visited_once(pair: Pair, native: Command, tmp_path: Path) -> None:
    if harness.no_strace():
        pytest.skip(harness.no_strace())

    def visits(measure: str) -> int:
        log = tmp_path / "log"
        traced = ["strace", "-f", "-e", "trace=setns", "-o", str(log)]
        both = (f"--netns={pair.a}", f"--netns={pair.b}")
        assert native.run(measure, *both, before=traced).stderr == ""
        return log.read_text(encoding="utf-8").count("setns(")

    assert visits(MEASURE) == visits("--measure=accept-queue") > 1


# Formats.


def test_performance_data_is_a_fixed_set(pair: Pair, made: Sockets, native: Command) -> None:
    def series(done: Done) -> dict[str, str]:
        found = re.findall(r"'([^']+)'=(\S+)", done.stdout.splitlines()[-1].split("|")[1])
        return dict(found)

    before = series(ask(native, pair.a))
    names = ["open-files", "accept-queue", "syn-queue", "receive-buffer", "ephemeral-ports"]
    kinds = ("half-closed", "unread", "silent-peer", "peer-not-reading")
    stuck = [f"stuck {kind}" for kind in kinds]
    assert [*before][:5] == names
    assert [*before][-4:] == stuck
    assert {"time-wait", "files"} <= {*before}
    assert before["stuck half-closed"] == "0;20;200;0"
    assert before["accept-queue"] == "0%;70;100;0;100"
    for fault in FAULTS.values():
        fault(pair, made)
    after = series(ask(native, pair.a))
    assert [*after] == [*before]
    assert after["syn-queue"] == "93.75%;70;90;0;100"
    assert after["time-wait"] == "90%;80;;0;100"
    changed = ask(native, pair.a, "-w=open-files=~:,syn-queue=50,stuck=5")
    assert series(changed)["syn-queue"] == "93.75%;50;90;0;100"
    assert series(changed)["stuck unread"] == "0;5;100;0"
    assert "|" not in ask(native, pair.a, "--no-perfdata").stdout


# Series that are of no measure alone.
OF_CHECKS = re.compile(r"_check_|_selected|_netns_|_unix_listeners_seen|_open_files|_host_limit")


def test_series_are_those_of_the_single_measures(
    pair: Pair, made: Sockets, native: Command
) -> None:
    for fault in FAULTS.values():
        fault(pair, made)
    page = ask(native, pair.a, "--format=prometheus").stdout
    assert harness.is_fine(page)
    lines = page.splitlines()
    heads = [line for line in lines if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads))
    assert lines[-1] == "network_connections_check_state 2"
    for measure in ("accept-queue", "syn-queue", "receive-buffer", "ephemeral-ports", "stuck"):
        with namespaces.inside(pair.a):
            single = native.run(f"--measure={measure}", "--format=prometheus").stdout
        own = [line for line in single.splitlines() if not OF_CHECKS.search(line)]
        if measure == "stuck":
            # Its times go on.
            own = [line.rpartition(" ")[0] for line in own]
        assert own
        for line in own:
            assert any(known.startswith(line) for known in lines), line
    for name in ("_open_files_fullest_ratio", "_host_limit_used_ratio", "_unix_listeners_seen"):
        assert f"# TYPE network_connections{name} gauge" in heads


def test_each_measure_has_its_state_as_a_series(
    pair: Pair, made: Sockets, native: Command, tampered: Tampered
) -> None:
    def series(kind: str, *options: str, before: Sequence[str] = ()) -> dict[str, int]:
        page = ask(native, pair.a, "--format=prometheus", *options, before=before).stdout
        row = rf'^network_connections_exhaustion_{kind}{{measure="(.*)"}} (\d)$'
        return {name: int(value) for name, value in re.findall(row, page, re.MULTILINE)}

    FAULTS["SYN queue"](pair, made)
    FAULTS["TIME_WAIT"](pair, made)
    states = series("state")
    assert [*states] == [*series("read")]
    assert {name for name, state in states.items() if state == 0} == {
        *("open-files", "accept-queue", "receive-buffer", "ephemeral-ports", "stuck")
    }
    assert (states["syn-queue"], states["host-limits"]) == (2, 1)
    # The limits of the host are not all there.
    assert [name for name, read in series("read").items() if not read] == ["host-limits"]
    # The exit code is not what is wrong.
    assert series("state", "--always-ok") == states
    FAULTS["ephemeral ports"](pair, made)
    made.bind(pair.a, pair.a4, 5140)
    before = tampered(harness.NO_SOCKETS)
    unread = {"accept-queue", "syn-queue", "receive-buffer", "stuck"}
    assert {name for name, read in series("read", before=before).items() if not read} >= unread
    assert not unread & {*series("state", before=before)}
    assert {series("state", "--strict", before=before)[name] for name in unread} == {3}


def test_the_python_module_asks_too(pair: Pair, made: Sockets) -> None:
    FAULTS["accept queue"](pair, made)
    quiet = "open-files=~:"
    with namespaces.inside(pair.a):
        result = network_connections.check(measure="exhaustion", warning=quiet, critical=quiet)
    assert result.state == 2
    assert result.counts[f"accept-queue {pair.a4}:8001"] == 5
    with pytest.raises(ValueError, match="would compare seconds with percent"):
        network_connections.check(measure="exhaustion", warning="80")


# Stuck connections: a number that has been stuck for long enough.

SERVER = """
import socket, sys
server = socket.create_server((sys.argv[1], 8080), backlog=64)
print("listens", flush=True)
kept = [server.accept()[0] for _ in range(int(sys.argv[2]))]
print("accepted", flush=True)
sys.stdin.read()
"""
# The rule for data that is not read: more than 10 connections for more than a minute.
MANY, SECONDS = 12, 60
POOL = """
import socket, sys
kept = [socket.create_connection((sys.argv[1], 8082)) for _ in range(int(sys.argv[2]))]
print("connected", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_many_stuck_connections_alert_by_number(
    native: Command, nobodys: Mapping[str, Command], tmp_path: Path
) -> None:
    with namespaces.pair() as pair, contextlib.ExitStack() as held:
        unit = None
        if not owners.missing():
            unit = held.enter_context(owners.cgroups()) / "shop.service"
            unit.mkdir()
        with namespaces.inside(pair.a):
            line = (tmp_path / "webapp", SERVER, pair.a4, str(MANY))
            server = held.enter_context(program(*line, unit=unit))
            other = held.enter_context(
                program(tmp_path / "sparse", SERVER.replace("8080", "8081"), pair.a4, "2")
            )
        clients = []
        with namespaces.inside(pair.b):
            for port, number in ((8080, MANY), (8081, 2)):
                clients += [socket.create_connection((pair.a4, port)) for _ in range(number)]
        for process in (server, other):
            assert process.stdout is not None
            assert process.stdout.readline() == "accepted\n"
        for client in clients:
            held.enter_context(client)
            client.send(b"x")
        # A client that has given up has asked for something, too.
        clients[0].close()
        # No fault: idle connections of a pool, which their server has closed with a last word.
        with servers.sockets() as made:
            other_end = made.listen(pair.b, pair.b4, 8082, MANY)
            with namespaces.inside(pair.a):
                held.enter_context(program(tmp_path / "pool", POOL, pair.b4, str(MANY)))
            for _ in range(MANY):
                with other_end.accept()[0] as one:
                    one.send(b"421 idle for too long")
        begun = time.monotonic()
        assert ask(native, pair.a).returncode == 0
        time.sleep(max(0, begun + SECONDS + 1 - time.monotonic()))
        done = ask(native, pair.a)
        pattern = (
            rf"stuck webapp unread: {MANY} for more than {SECONDS} s "
            rf"\(longest \d+ s, at port 8080\) \[WARNING\], \d+ more fine"
        )
        assert re.match(pattern, message(done))
        assert done.returncode == 1
        # Whoever does not see the process sees its unit, or that it is somebody else's.
        with asker(pair.a, "nobody", nobodys) as someone:
            done = someone.run("native", MEASURE, *NO_FILES)
        known = r"(?!webapp)\S.*?" if unit is None else r"shop\.service"
        assert re.match(pattern.replace("webapp", known), message(done))
        assert done.returncode == 1
        (alert,) = alerts(ask(native, pair.a, "--format=json"))
        assert (alert["measure"], alert["label"]) == ("stuck", "webapp unread")
        assert (alert["value"], alert["unit"], alert["limit"]) == (MANY, "connections", None)
        assert (alert["longer_than"], alert["local_port"]) == (SECONDS, 8080)
        rows = ask(native, pair.a, "--lengthy").stdout
        assert "\nstuck unread, by owner:\n" in rows
        assert f"webapp ({server.pid})" in rows
        for key, state in (("stuck:unread=~:", 0), ("stuck:unread=11", 1), ("stuck=~:", 0)):
            given = (f"-w=open-files=~:,{key}",)
            assert ask(native, pair.a, *given).returncode == state, key
        given = (f"-c=open-files=~:,stuck:unread={MANY - 1}",)
        assert ask(native, pair.a, *given).returncode == 2
