"""Programs by every name that they have, and sockets that no descriptor of a process shows."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import harness
import pytest
from conftest import Tampered
from harness import OPEN, Command
from lab import namespaces, owners
from lab.owners import NAMELESS, Actor, Answer, Host
from lab.servers import wait_for

pytestmark = pytest.mark.skipif(bool(owners.missing()), reason=owners.missing() or "-")

PYTHON = Path(os.path.realpath(sys.executable)).name
OTHERS = "(other users' processes)"
WAITING = "(not accepted)"


@pytest.fixture
def host(nobodys: Mapping[str, Command]) -> Iterator[Host]:
    with owners.host([*nobodys["native"].argv, "--timeout=60"]) as made:
        yield made


def groups(done: Answer) -> dict[str, int]:
    report = json.loads(done.stdout)
    return {group["label"]: group["count"] for group in report["groups"]}


def asked(host: Host, by: str, *options: str, user: str = "root") -> dict[str, int]:
    return groups(host.ask(f"--group-by={by}", "--format=json", *options, user=user))


def states(host: Host, by: str, keys: Mapping[str, int], *options: str) -> None:
    """Each of these keys, with the limit 5, leads to this exit code."""
    for key, code in keys.items():
        done = host.ask(f"--group-by={by}", "-c", f"{key}=5", *options)
        assert (done.returncode, done.stderr) == (code, ""), (key, done)


# Names.


def test_a_program_is_known_by_its_file_whatever_its_main_thread_is_called(host: Host) -> None:
    node = host.start("node")
    node.do("rename_thread", "MainThread")
    node.do("udp", "127.0.0.1", 20)
    assert asked(host, "process") == {f"{PYTHON}/MainThread ({node.pid})": 20}
    assert asked(host, "program") == {PYTHON: 20}
    for by in ("process", "program"):
        keys = ("MainThread", "mainthread", PYTHON, "node", f"node ({node.pid})")
        others = {"other": 0, f"node ({node.pid}0)": 0, "nod": 0}
        states(host, by, {**dict.fromkeys(keys, 2), **others})


@pytest.mark.parametrize(
    ("title", "name", "keys"),
    [
        ("postgres_exporter: worker 1", "postgres_exporter", ["postgres_exporter"]),
        ("gunicorn: worker [shop]", "sleep", ["gunicorn", "sleep"]),
        ("/opt/shop/bin/shopd", "sleep", ["shopd", "sleep"]),
    ],
)
def test_a_title_is_a_name_of_its_program(
    host: Host, directory: Path, title: str, name: str, keys: list[str]
) -> None:
    program = directory / name
    shutil.copy(shutil.which("sleep") or "", program)
    started = host.start("parent")
    started.do("udp", "127.0.0.1", 20)
    pid = started.do("run", "bash", "-c", f"exec -a '{title}' '{program}' 100")
    started.do("let_go")
    wait_for(lambda: Path(f"/proc/{pid}/exe").resolve() == program)
    assert asked(host, "process") == {f"{name} ({pid})": 20}
    assert asked(host, "program") == {name: 20}
    for by in ("process", "program"):
        states(host, by, {**dict.fromkeys(keys, 2), "worker": 0, "bash": 0})


def test_a_script_is_a_program_by_its_whole_name(host: Host, directory: Path) -> None:
    script = directory / "very_long_script_name.py"
    script.write_text(f"#!{os.path.realpath(sys.executable)}\nimport time\ntime.sleep(100)\n")
    script.chmod(0o755)
    started = host.start("parent")
    started.do("udp", "127.0.0.1", 20)
    pid = started.do("run", script)
    started.do("let_go")
    comm = Path(f"/proc/{pid}/comm")
    wait_for(lambda: comm.read_text() == "very_long_scrip\n")
    assert asked(host, "process") == {f"very_long_script_name.py ({pid})": 20}
    assert asked(host, "program") == {"very_long_script_name.py": 20}
    keys = ("very_long_script_name.py", "very_long_scrip", PYTHON)
    for by in ("process", "program"):
        states(host, by, {**dict.fromkeys(keys, 2), "very_long_script_other.py": 0})


def test_a_program_is_the_sum_of_its_processes(host: Host) -> None:
    for number in range(3):
        host.start("postgres", uid=NAMELESS).do("udp", "127.0.0.1", 2 + number)
    host.start("nginx").do("udp", "127.0.0.1", 4)
    own = host.start("postgres", uid=namespaces.NOBODY)
    own.do("udp", "127.0.0.1", 3)
    assert asked(host, "program") == {"postgres": 12, "nginx": 4}
    # No single process is above the limit.
    states(host, "process", {"postgres": 0})
    states(host, "program", {"postgres": 2, "nginx": 0})
    # Processes of other users may run any program.
    assert asked(host, "program", user="nobody") == {OTHERS: 13, "postgres": 3}
    done = host.ask("--group-by=program", "-c", "postgres=5", user="nobody")
    assert "postgres: 3 to 16 [UNKNOWN]" in done.stdout
    assert done.returncode == 3
    done = host.ask("--group-by=program", "-c", "postgres=2", user="nobody")
    assert done.returncode == 2


def test_a_socket_of_several_programs_is_counted_once(host: Host) -> None:
    shared = host.start("first")
    shared.do("udp", "127.0.0.1", 7)
    shared.do("run", "sleep", "100")
    assert asked(host, "program") == {"first +1": 7}
    states(host, "program", {"first": 2, "sleep": 2, "first +1": 2, "other": 0})


# Connections that wait to be accepted.


def hung(host: Host, address: str, name: str = "webapp", uid: int = 1) -> Actor:
    """Start a server that accepts nothing: 30 of its clients have left, 7 wait."""
    server = host.start(name, host.cgroup(f"{name}.service"), uid=uid)
    server.do("listen", address, 8080)
    fill(host, "::1" if ":" in address else "127.0.0.1")
    return server


def fill(host: Host, address: str) -> None:
    client = host.start("client")
    client.do("connect", address, 8080, 37)
    client.do("shut", 8080, 30)
    closed = ["ss", "-Htan", "state", "close-wait"]
    wait_for(lambda: namespaces.run(host.ns, closed).stdout.count("\n") == 30)


@pytest.mark.parametrize("source", ["netlink", "procfs"])
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::"])  # noqa: S104
def test_connections_of_a_hung_server_are_its_own(host: Host, address: str, source: str) -> None:
    web = hung(host, address)
    options = ["--conn-status=close_wait", f"--source={source}"]
    user = pwd.getpwuid(1).pw_name
    for by, label in (
        ("process", f"webapp ({web.pid})"),
        ("program", "webapp"),
        ("user", user),
    ):
        assert asked(host, by, *options) == {label: 30}
        states(host, by, {label.split()[0]: 2}, *options)
    assert asked(host, "process", *options, user="nobody") == {OTHERS: 30}
    both = ["--conn-status=close_wait", "--conn-status=established", "--local-port=8080"]
    assert asked(host, "program", *both) == {"webapp": 37}
    if source == "netlink":
        assert asked(host, "unit", *options) == {"webapp.service": 30}
        done = host.ask("--conn-status=close_wait", "--lengthy", "-w20")
        kind = "tcp6" if ":" in address else "tcp"
        (row,) = harness.rows(harness.Done(*done), f"{kind} CLOSE WAIT")
        assert row["Connections"] == "30"
        owner = [f"webapp ({web.pid}), not accepted", "webapp.service", user]
        assert [row[name] for name in ("Process", "Unit", "User")] == owner
        # The port of the listener, which nobody takes them from.
        assert row["Local port"] == "8080"
        assert re.fullmatch(f"{harness.NOT_STUCK}|{harness.stuck('half-closed')}", row["Stuck for"])


def test_a_dual_stack_listener_has_the_connections_of_both_families(host: Host) -> None:
    web = host.start("webapp")
    web.do("listen", "::", 8080)
    fill(host, "127.0.0.1")
    assert asked(host, "process", "--conn-status=close_wait") == {f"webapp ({web.pid})": 30}


def test_a_connection_waits_at_the_listener_of_its_address(host: Host) -> None:
    other = host.start("other")
    other.do("listen", "127.0.0.2", 8080)
    web = hung(host, "127.0.0.1")
    closed = ["--conn-status=close_wait"]
    assert asked(host, "process", *closed) == {f"webapp ({web.pid})": 30}
    states(host, "process", {"other": 0, "webapp": 2}, *closed)


def test_of_several_listeners_of_one_address_any_may_have_a_connection(host: Host) -> None:
    for name in ("haproxy", "haproxy", "varnish"):
        server = host.start(name)
        server.do("share", "127.0.0.1", 8080)
    fill(host, "127.0.0.1")
    closed = ["--conn-status=close_wait"]
    for by in ("process", "program"):
        assert asked(host, by, *closed) == {WAITING: 30}
        states(host, by, {"haproxy": 3, "varnish": 3, "nginx": 0}, *closed)
    done = host.ask("--group-by=program", "-c", "haproxy=30", *closed)
    assert done.returncode == 0
    done = host.ask("--group-by=program", "-w", "varnish=5", "-c", "total=20", *closed)
    assert done.returncode == 2


def test_several_listeners_of_one_program_are_that_program(host: Host) -> None:
    for _ in range(3):
        host.start("nginx").do("share", "127.0.0.1", 8080)
    fill(host, "127.0.0.1")
    closed = ["--conn-status=close_wait"]
    assert asked(host, "program", *closed) == {"nginx": 30}
    assert asked(host, "process", *closed) == {WAITING: 30}
    states(host, "program", {"nginx": 2, "varnish": 0}, *closed)
    states(host, "process", {"nginx": 3}, *closed)


def test_connections_wait_in_the_namespace_of_their_listener(host: Host) -> None:
    web = hung(host, "127.0.0.1")
    there = host.start("elsewhere", ns=host.pair.b)
    there.do("listen", "127.0.0.1", 8080)
    there.do("connect", "127.0.0.1", 8080, 9)
    for pid, label, number in ((web.pid, "webapp", 37), (there.pid, "elsewhere", 9)):
        options = [f"--netns={pid}", "--conn-status=established", "--conn-status=close_wait"]
        counts = asked(host, "program", *options, "--local-port=8080")
        assert counts == {label: number}


# Sockets that an io_uring keeps.


def test_sockets_of_a_ring_belong_to_its_process(host: Host) -> None:
    web = host.start("web")
    web.do("udp", "127.0.0.1", 20)
    web.do("hand_to_ring")
    other = host.start("other")
    other.do("udp", "127.0.0.1", 3)
    expected = {f"web ({web.pid})": 20, f"other ({other.pid})": 3}
    assert asked(host, "process") == expected
    states(host, "process", {"web": 2, "other": 0})
    assert asked(host, "process", user="nobody") == {OTHERS: 23}
    web.do("udp", "127.0.0.1", 5)
    assert asked(host, "process") == {**expected, f"web ({web.pid})": 25}


def test_a_ring_that_cannot_be_read_may_have_any_socket(host: Host, tampered: Tampered) -> None:
    web = host.start("web")
    web.do("udp", "127.0.0.1", 20)
    web.do("hand_to_ring")
    (ring,) = (
        link
        for link in Path(f"/proc/{web.pid}/fd").iterdir()
        if str(link.readlink()) == "anon_inode:[io_uring]"
    )
    before = tampered(f"{OPEN}:error=EACCES", only=f"/proc/{web.pid}/fdinfo/{ring.name}")
    done = host.ask("--group-by=process", "-c", "web=5", before=before)
    assert "web: 0 to 20 [UNKNOWN]" in done.stdout
    assert done.returncode == 3
