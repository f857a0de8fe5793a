"""Nothing that a threshold asks for passes in silence: what is not there, or cannot be seen."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import harness
import pytest
from conftest import Place
from harness import Command, Done

# Holds sockets of TCP that nothing is done with: bound, so that they are in a dump.
HOLD = """
import ctypes, socket, sys
name, number = sys.argv[1], int(sys.argv[2])
ctypes.CDLL(None).prctl(15, name.encode())
held = []
for _ in range(number):
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(("127.0.0.1", int(sys.argv[3])))
    one.listen()
    held.append(one)
print("ready", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def holding(
    place: Place, name: str, number: int, port: int, before: Sequence[str] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Run a process of this name that listens on a port with so many sockets."""
    python = harness.nobodys_python() if "setpriv" in before else sys.executable
    line = [*place.before, *before, python, "-I", "-c", HOLD, name, str(number), str(port)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as held:
        assert held.stdout is not None
        assert held.stdin is not None
        assert held.stdout.readline() == "ready\n"
        yield held
        held.stdin.close()


def by(kind: str, *args: str) -> list[str]:
    return ["--local-port=7070-7071", f"--group-by={kind}", *args]


def asked(command: Command, place: Place, *args: str, before: Sequence[str] = ()) -> Done:
    done = command.run(*args, before=[*place.before, *before])
    assert done.stderr == ""
    return done


@pytest.fixture
def quiet(place: Place, native: Command) -> Iterator[Place]:
    """Return a place where nobody listens on the ports 7070 and 7071."""
    assert asked(native, place, "--local-port=7070-7071").stdout.startswith("No connections")
    yield place


# The key, what is printed of it, and its performance data.
@pytest.mark.parametrize(
    ("args", "part", "perfdata"),
    [
        (("-c", "tcp6_CLOSE_WAIT=1:"), "tcp6 CLOSE WAIT: 0 [CRITICAL]", "'tcp6_CLOSE_WAIT'=0"),
        (("-w", "tcp6_CLOSE_WAIT=1:"), "tcp6 CLOSE WAIT: 0 [WARNING]", "'tcp6_CLOSE_WAIT'=0"),
        (("-c", "close_wait=1:"), "CLOSE WAIT: 0 [CRITICAL]", "'CLOSE_WAIT'=0"),
        (("-c", "udp6=1:", "--conn-type=tcp", "--conn-type=udp6", "--local-port=1"),
         "udp6: 0 [CRITICAL]", "'udp6'=0"),
        (("--group-by=status", "-c", "close_wait=@0"), "CLOSE WAIT: 0 [CRITICAL]", "'CLOSE_WAIT'"),
        (("--group-by=local-port", "-c", "443=1:"), "443: 0 [CRITICAL]", ""),
        (("--group-by=remote-address", "-w", "192.0.2.7=1:"), "192.0.2.7: 0 [WARNING]", ""),
        (("--group-by=user", "-c", "nobody=1:"), "nobody: 0 [CRITICAL]", ""),
        (("--group-by=process", "-c", "no such process=1:"), "no such process: 0", ""),
    ],
)  # fmt: skip
def test_what_is_named_and_not_found_has_none(
    native: Command, place: Place, args: tuple[str, ...], part: str, perfdata: str
) -> None:
    done = asked(native, place, *args)
    message, _, metrics = done.stdout.strip().partition("|")
    assert part in message
    assert perfdata in metrics
    assert done.returncode in ((1,) if "WARNING" in part else (2, 3))
    # Where nothing is wrong with 0 nothing is said, unless the key may be mistyped.
    fine = [re.sub(r"=(1:|@0)$", "=0:5", arg) for arg in args]
    done = asked(native, place, *fine)
    of_names = {"--group-by=user", "--group-by=process"} & {*args}
    assert (part.partition(":")[0] + ": 0" in done.stdout) is bool(of_names)
    assert done.returncode == 0


def test_several_keys_that_name_nothing(native: Command, quiet: Place) -> None:
    done = asked(
        native, quiet, "--local-port=7070", "-c", "LISTEN=1:,tcp_LISTEN=1:", "-w", "tcp=1:"
    )
    assert done.stdout == (
        "LISTEN: 0 [CRITICAL], tcp LISTEN: 0 [CRITICAL], tcp: 0 [WARNING]"
        "|'LISTEN'=0 'tcp_LISTEN'=0 'tcp'=0\n"
    )
    assert done.returncode == 2


def test_json_and_prometheus_have_what_is_named(native: Command, quiet: Place) -> None:
    args = ["--local-port=7070", "-c", "LISTEN=1:", "--conn-type=tcp", "--conn-status=listen"]
    answer = json.loads(asked(native, quiet, *args, "--format=json").stdout)
    assert answer["groups"] == [{"label": "LISTEN", "count": 0, "state": 2, "unmatched": True}]
    assert (answer["state"], answer["total"]) == (2, 0)
    text = asked(native, quiet, *args, "--format=prometheus").stdout
    assert 'network_connections{type="tcp",state="LISTEN"} 0\n' in text
    assert "network_connections_check_state 2\n" in text


# Windows has the state DELETE_TCB.
OF_OTHERS = ["BOUND", "IDLE", "tcp_BOUND", *([] if harness.WINDOWS else ["DELETE_TCB"])]


@pytest.mark.parametrize("key", OF_OTHERS)
def test_states_of_other_systems_are_no_keys_here(native: Command, key: str) -> None:
    line = harness.one_line(native.run("-c", f"{key}=0"))
    assert f'"{key}" is the key of no group' in line
    assert key not in line.partition("valid:")[2]
    # A fixture may come from such a system.
    option = native.fixture(harness.connections({"tcp_BOUND": 1}))
    assert native.run(option, "-c", "BOUND=0").returncode == 2


@pytest.mark.parametrize("kind", ["type-status", "unit", "process", "user"])
@pytest.mark.parametrize("text", ["=5", " =5", "5,=6"])
def test_an_empty_key_is_refused(native: Command, kind: str, text: str) -> None:
    line = harness.one_line(native.run(f"--group-by={kind}", "-c", text))
    assert "has no key (valid: RANGE or KEY=RANGE)" in line


@pytest.mark.parametrize("zero", [(), ("--zero",)])
@pytest.mark.parametrize(
    ("severity", "state"), [("ok", 0), ("warn", 1), ("crit", 2), ("unknown", 3)]
)
def test_nothing_found_is_judged_with_zeros_too(
    native: Command, quiet: Place, zero: tuple[str, ...], severity: str, state: int
) -> None:
    args = ["--local-port=7070", f"--no-match-severity={severity}", *zero]
    done = asked(native, quiet, *args)
    assert done.returncode == state
    assert ("No connections" in done.stdout) is (state != 0 or not zero)


def test_a_shared_socket_is_matched_by_the_id_of_any_process(native: Command, quiet: Place) -> None:
    script = HOLD.replace('print("ready"', 'import os\nif os.fork():\n  print("ready"', 1)
    line = [*quiet.before, sys.executable, "-I", "-c", script, "sharer", "21", "7070"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as held:
        assert held.stdout is not None
        assert held.stdin is not None
        held.stdout.readline()
        answer = asked(native, quiet, *by("process")).stdout
        shown = re.match(r"\S+/sharer \((\d+)\) \+1: 21", answer)
        assert shown
        first = int(shown[1])
        children = Path(f"/proc/{first}/task/{first}/children").read_text(encoding="ascii").split()
        for key in (f"sharer ({first})", f"sharer ({children[0]})", "sharer", shown[0][:-4]):
            assert asked(native, quiet, *by("process", "-c", f"{key}=5")).returncode == 2, key
            assert asked(native, quiet, *by("process", "-c", f"{key}=21")).returncode == 0, key
        os.kill(int(children[0]), 9)
        held.stdin.close()


def test_a_name_that_the_kernel_cuts_is_matched_whole_and_cut(
    native: Command, quiet: Place
) -> None:
    called = ["bash", "-c", 'exec -a postgres_exporter "$@"', "-"]
    with holding(quiet, "postgres_exporter", 21, 7070, called) as held:
        shown = f"postgres_exporter ({held.pid}): 21|"
        assert asked(native, quiet, *by("process")).stdout.startswith(shown)
        for name in ("postgres_exporter", "postgres_export", "Postgres_Exporter"):
            for key in (name, f"{name} ({held.pid})"):
                assert asked(native, quiet, *by("process", "-c", f"{key}=5")).returncode == 2, key
                assert asked(native, quiet, *by("process", "-c", f"{key}=21")).returncode == 0, key


@pytest.mark.parametrize("way", ["native", "python"])
def test_processes_that_cannot_be_seen_are_not_fine(
    nobodys: dict[str, Command], way: str, quiet: Place
) -> None:
    def ask(*args: str) -> Done:
        return asked(nobodys[way], quiet, *by("process", *args), before=harness.NOBODY)

    rights = "CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE are needed"
    unseen = f"; some processes cannot be seen ({rights}; of very many threads"
    hidden, visible = ("hidden", 42, 7070), ("visible", 3, 7071, harness.NOBODY)
    with holding(quiet, *hidden), holding(quiet, *visible):
        done = ask("-c", "hidden=5")
        assert "hidden: 0 to 42 [UNKNOWN]" in done.stdout
        assert unseen in done.stdout
        assert done.returncode == 3
        # Without a threshold, too, the rights are named.
        done = ask()
        assert "(other users' processes): 42" in done.stdout
        assert f"; some processes cannot be seen ({rights})|" in done.stdout
        assert done.returncode == 0
        # Whatever is hidden, that is fine: it cannot be more.
        assert ask("-c", "hidden=42").returncode == 0
        assert ask("-c", "hidden=1:").returncode == 3
        # An alert that is certain stands, and is the worse one.
        done = ask("-c", "hidden=5,visible=2")
        assert "visible" in done.stdout
        assert "[CRITICAL]" in done.stdout
        assert done.returncode == 2
        assert ask("-c", "hidden=43:").returncode == 2
        # Another process of that name may be hidden.
        assert ask("-c", "visible=5").returncode == 3
        shown = re.search(r"visible \(\d+\)", ask().stdout)
        assert shown
        # Whose sockets can be seen, all can.
        assert ask("-c", f"{shown[0]}=5").returncode == 0
        # All of them are at most this many, and may be as many as that.
        assert ask("-c", "50").returncode == 0
        assert ask("-c", "10:").returncode == 2
        assert ask("-c", "@10:20").returncode == 3
        answer = json.loads(ask("-c", "hidden=5", "--format=json").stdout)
        (group,) = (one for one in answer["groups"] if one["label"] == "hidden")
        expected = {"label": "hidden", "count": 0, "most": 42, "state": 3, "unmatched": True}
        assert group == expected


def test_a_user_of_two_ids_is_one_group(native: Command, quiet: Place, tmp_path: Path) -> None:
    users = tmp_path / "passwd"
    users.write_text("root:x:0:0::/:/bin/sh\nroot:x:65533:0::/:/bin/sh\n", encoding="ascii")
    mounted = ["unshare", "-m", "sh", "-c", f'mount --bind {users} /etc/passwd && exec "$@"', "-"]
    other = ["setpriv", "--reuid=65533", "--regid=65534", "--clear-groups"]
    with holding(quiet, "other", 42, 7071, other), holding(quiet, "first", 9, 7070):
        args = ["--group-by=user", "--conn-status=listen"]
        done = asked(native, quiet, *args, before=mounted)
        total = int(done.stdout.rpartition("=")[2])
        assert done.stdout == f"root: {total}|'groups'=1 'largest'={total} 'total'={total}\n"
        assert total >= 51
        for key in ("root", "0", "65533"):
            assert asked(native, quiet, *args, "-c", f"{key}=50", before=mounted).returncode == 2


def test_thousands_of_tables_are_in_time(native: Command) -> None:
    option = native.fixture(harness.peers(60_000))
    args = ["--group-by=remote-address", "--lengthy", "--top=60000", "-c", "0"]
    done = native.run(option, *args, "--timeout=60")
    assert done.returncode == 2
    assert len(done.stdout) <= 8_000
    # What takes longer than it may says so.
    assert "Timeout" in harness.one_line(native.run(option, *args, "--timeout=0.001"))


@pytest.mark.parametrize("way", ["--format=json", "--format json", "--form=json"])
@pytest.mark.parametrize("wrong", ["--conn-type=sctp", "--strict --nonsense", "--top", "-c"])
def test_usage_errors_keep_the_format(native: Command, way: str, wrong: str) -> None:
    for args in ([*way.split(), *wrong.split()], [*wrong.split(), *way.split()]):
        done = native.run(*args)
        assert done.returncode == 3
        if args[0] in ("--top", "-c") and " " in way:
            continue
        answer = json.loads(done.stdout)
        assert (answer["state"], answer.keys()) == (3, {"schema", "state", "message"})
        assert done.stderr.startswith("usage: ")
    done = native.run("--format=prometheus", *wrong.split())
    assert "network_connections_check_state 3\n" in done.stdout
    # So does the name, wherever it stands.
    for args in (["--name=web", *wrong.split()], [*wrong.split(), "--name=web"]):
        done = native.run("--format=prometheus", *args)
        assert 'network_connections_check_state{check="web"} 3\n' in done.stdout
    # The last one counts, as elsewhere.
    done = native.run("--format=json", "--format=plugin", *wrong.split())
    assert not done.stdout.startswith("{")
    # After this word nothing is an option.
    assert not native.run("--conn-type=sctp", "--", "--format=json").stdout.startswith("{")


def test_users_of_another_namespace_are_not_fine(native: Command, quiet: Place) -> None:
    other = ["setpriv", "--reuid=65533", "--regid=65534", "--clear-groups"]
    with holding(quiet, "other", 42, 7071, other), holding(quiet, "first", 9, 7070):

        def ask(*args: str) -> Done:
            return asked(native, quiet, *by("user", *args), before=["unshare", "--map-root-user"])

        # There it is the one whom nobody can tell.
        assert ask().stdout.startswith("nobody: 42, root: 9|")
        done = ask("-c", "daemon=5")
        assert "daemon: 0 to 42 [UNKNOWN]" in done.stdout
        assert "; some users are not known (" in done.stdout
        assert done.returncode == 3
        assert ask("-c", "daemon=42").returncode == 0
        done = ask("-c", "root=20")
        assert "root: 9 to 51 [UNKNOWN]" in done.stdout
        assert done.returncode == 3
        # What is certain stands; an id is one of this namespace.
        assert ask("-c", "root=5").returncode == 2
        assert ask("-c", "0=20").returncode == 0
        assert ask("-c", "41").returncode == 2
        # An id that this namespace does not have may be among them, and any part of them.
        for user in ("33", "65533", "65534", "nobody"):
            done = ask("-c", f"{user}=41")
            assert "[UNKNOWN]" in done.stdout
            assert "; some users are not known (" in done.stdout
            assert done.returncode == 3
            assert ask("-c", f"{user}=1:").returncode == 3
            assert ask("-c", f"{user}=42").returncode == 0
            assert ask("-c", f"{user}=43:").returncode == 2
        assert ask("-c", "33=41", "--always-ok").returncode == 3


@pytest.mark.parametrize("way", ["native", "python"])
def test_always_ok_leaves_what_is_unknown(
    nobodys: dict[str, Command], way: str, quiet: Place
) -> None:
    """As its help says: it is about thresholds, and not about what cannot be counted."""

    def ask(*args: str) -> Done:
        options = by("process", "--always-ok", *args)
        return asked(nobodys[way], quiet, *options, before=harness.NOBODY)

    with holding(quiet, "hidden", 42, 7070), holding(quiet, "visible", 3, 7071, harness.NOBODY):
        done = ask("-c", "hidden=5")
        assert "hidden: 0 to 42 [UNKNOWN]" in done.stdout
        assert "(always ok)" in done.stdout
        assert done.returncode == 3
        # An alert is none any more, and does not hide that something is unknown.
        done = ask("-c", "visible=2", "-w", "hidden=5")
        assert "3 [CRITICAL]" in done.stdout
        assert done.returncode == 3
        for fine in (("-c", "50"), ("-c", "2", "-w", "1"), ("-c", "total=1")):
            assert ask(*fine).returncode == 0, fine
