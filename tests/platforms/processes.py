"""Windows: whose the sockets are, and the ports of outgoing connections, as Wine tells them.

Wine tells the process of a socket where a Unix process of a Windows program has a file descriptor
of it, so real sockets in every state are handed to such programs. The namespace of these sockets is
not that of the other tests, and Wine goes on to see the one it was started in: that is why these
tests are run on their own, by `make test-windows`.
"""

from __future__ import annotations

import collections
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import pytest
from harness import Command, Done
from lab import namespaces, states
from lab.names import TYPES
from lab.oracles import read_proc_net
from lab.states import PLAN, StateLab

HERE = harness.ROOT / "target" / "release" / "network-connections"
EXAMPLES = harness.NATIVE.parent / "examples"
WINEPREFIX = Path(harness.RUNNER[0]).parent / "wineprefix" if harness.RUNNER else Path()
SYSTEM = WINEPREFIX / "drive_c" / "windows" / "system32"
# One with a space, one beyond ASCII, one that Linux would cut short, one in capitals.
NAMES = ("Web Server.exe", "dienst-\u00e4.exe", "a-name-of-more-than-15.exe", "UPPER.EXE")
KERNEL = "(kernel)"
# `MIB_TCP_STATE` in tcpmib.h.
STATES = dict(
    enumerate(
        (
            *("NONE", "CLOSE", "LISTEN", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT1"),
            *("FIN_WAIT2", "CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT"),
        )
    )
)

pytestmark = pytest.mark.skipif(not harness.WINDOWS, reason="only for Windows")


@dataclass(frozen=True)
class Held:
    """Sockets in every state, and the programs that have those of this process."""

    lab: StateLab
    programs: Mapping[str, int]
    """Their process ids, by name."""
    inodes: Mapping[int, str]
    """The program of each socket."""

    def label(self, name: str) -> str:
        """Return how a program is shown."""
        return f"{name} ({self.programs[name]})"


def line(*words: str | Path) -> list[str]:
    return [*harness.RUNNER, *map(str, words)]


def wine(*words: str | Path) -> bytes:
    """Run a program to its end, and return what it prints."""
    return subprocess.run(line(*words), capture_output=True, check=True).stdout


@contextmanager
def running(command: list[str], *, pass_fds: tuple[int, ...] = ()) -> Iterator[str]:
    """Run a program until the block ends; yield the first line that it prints."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=pass_fds
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().decode().strip()
        process.stdin.close()
        process.wait(harness.PATIENCE)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """Hand the sockets of a lab, in turn, to programs with different names."""
    if reason := states.missing():
        pytest.skip(reason)
    place = tmp_path_factory.mktemp("programs")
    with states.state_lab() as lab, ExitStack() as stack:
        subprocess.run(line("--stop"), check=False)
        stack.callback(subprocess.run, line("--stop"), check=False)
        # It is Wine's services that look at the network.
        stack.enter_context(running(namespaces.command(lab.ns, line("cmd.exe"))))
        programs, inodes = {}, {}
        for number, name in enumerate(NAMES):
            given = lab.held[number :: len(NAMES)]
            shutil.copy(EXAMPLES / "says.exe", place / name)
            waiting = line(place / name, "wait")
            fds = tuple(socket.fileno() for socket in given)
            programs[name] = int(stack.enter_context(running(waiting, pass_fds=fds)))
            inodes.update({os.fstat(fd).st_ino: name for fd in fds})
        yield Held(lab, programs, inodes)


@pytest.fixture
def fresh(held: Held) -> Held:
    """Return the same with all the time left that sockets have."""
    held.lab.refresh()
    return held


def said() -> Counter[tuple[str, str, str]]:
    """Return how many sockets there are of a type, in a state and of a process, as Wine says."""
    answer = json.loads(wine(EXAMPLES / "says.exe"))
    found: Counter[tuple[str, str, str]] = Counter()
    for row in answer["sockets"]:
        pid = row["pid"]
        label = f"{answer['names'][str(pid)]} ({pid})" if pid else KERNEL
        found[row["type"], STATES[row["state"]], label] += 1
    return found


def report(done: Done) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(done.stdout)
    assert done.stderr == ""
    return answer


def groups(native: Command, *options: str) -> dict[str, int]:
    done = native.run("--format=json", *options)
    return {group["label"]: group["count"] for group in report(done)["groups"]}


def pairs() -> list[tuple[str, str]]:
    return [
        (kind, status)
        for kind in TYPES
        for status in PLAN
        if (status == "NONE") == (kind[:3] == "udp")
    ]


@pytest.mark.parametrize(("kind", "status"), pairs())
def test_every_socket_has_its_process(native: Command, fresh: Held, kind: str, status: str) -> None:
    select = (f"--conn-type={kind}", f"--conn-status={status.lower()}")
    found = groups(native, "--group-by=process", *select)
    expected = {
        label: number
        for (t, state, label), number in said().items()
        if (t, state) == (kind, status)
    }
    assert found == expected
    assert sum(found.values()) == fresh.lab.counts[f"{kind}_{status}"]
    # Of TCP over IPv6 Wine 8 tells no process: there only its own word is compared with.
    if kind != "tcp6":
        rows = [
            row for row in read_proc_net(fresh.lab.ns) if (row.type, row.status) == (kind, status)
        ]
        names = [fresh.inodes.get(row.inode) for row in rows]
        assert found == Counter(fresh.label(name) if name else KERNEL for name in names)


def test_all_sockets_of_a_process_are_one_group(native: Command, fresh: Held) -> None:
    expected: Counter[str] = Counter()
    for (_, _, label), number in said().items():
        expected[label] += number
    found = groups(native, "--group-by=process")
    assert found == expected
    assert {fresh.label(name) for name in NAMES} < found.keys()


@pytest.mark.parametrize("key", ["Web Server.exe", "web server", "WEB SERVER.EXE", "ID", "id"])
def test_a_key_is_a_name_with_or_without_its_ending(native: Command, fresh: Held, key: str) -> None:
    of = {"ID": "WEB SERVER.EXE ({})", "id": "web server ({})"}.get(key, key)
    of = of.format(fresh.programs["Web Server.exe"])
    done = native.run("--group-by=process", "--format=json", f"--critical={of}=0")
    states = {group["label"]: group["state"] for group in report(done)["groups"]}
    assert {label for label, state in states.items() if state == 2} == {
        fresh.label("Web Server.exe")
    }
    assert done.returncode == 2


@pytest.mark.parametrize("key", ["a-name-of-more-", "UPPER.", "nobody", "dienst"])
def test_a_key_of_nobody_is_nobody(native: Command, fresh: Held, key: str) -> None:
    assert fresh
    done = native.run("--group-by=process", "--format=json", f"--critical={key}=1:")
    critical = [group for group in report(done)["groups"] if group["state"] == 2]
    assert [(group["label"], group["count"]) for group in critical] == [(key, 0)]


def test_the_tables_name_the_processes(native: Command, fresh: Held) -> None:
    done = native.run("--lengthy", "--conn-type=tcp", "--conn-status=listen", "--warning=1")
    rows = harness.rows(done, "tcp LISTEN")
    expected = {
        label: number
        for (t, state, label), number in said().items()
        if (t, state) == ("tcp", "LISTEN")
    }
    # A row for each port, as many as a table has.
    shown = collections.Counter[str]()
    for row in rows:
        shown[row["Process"]] += int(row["Connections"])
        assert row["Local port"] != "-"
    assert shown.total() >= len(rows) == 10
    assert all(number <= expected[label] for label, number in shown.items())
    assert fresh.label("UPPER.EXE") in expected
    # Times are told by netlink alone.
    for row in rows:
        assert (row["Unit"], row["User"], row["Stuck for"]) == ("-", "-", harness.NOT_STUCK)


# What netsh prints: of Windows in English, and in German by an old console.

ENGLISH = """\r
Protocol tcp Dynamic Port Range\r
---------------------------------\r
Start Port      : {first}\r
Number of Ports : {count}\r
\r
"""
GERMAN = """\r
Dynamischer Portbereich f\x81r Protokoll tcp\r
---------------------------------\r
Startport              : {first}\r
Anzahl der Ports       : {count}\r
\r
"""
EXCLUDED = """\r
Protocol tcp Port Exclusion Ranges\r
\r
Start Port    End Port      \r
----------    --------      \r
{rows}\r
* - Administered port exclusions.\r
"""


class Netsh:
    """The stand-in for netsh, by what it prints."""

    def says(
        self,
        family: str,
        first: int,
        last: int,
        *excluded: tuple[int, int],
        text: str = ENGLISH,
    ) -> None:
        """Have it print these ports of a family."""
        rows = "".join(f"{a:>10}  {b:>10}     *\r\n" for a, b in excluded)
        self.prints(family, "dynamicport", text.format(first=first, count=last - first + 1))
        self.prints(family, "excludedportrange", EXCLUDED.format(rows=rows))

    def prints(self, family: str, table: str, text: str) -> None:
        """Have it print this."""
        file = SYSTEM / f"interface-{family}-show-{table}-tcp"
        file.write_bytes(text.encode("latin-1"))


@pytest.fixture
def netsh(monkeypatch: pytest.MonkeyPatch) -> Iterator[Netsh]:
    """Put the stand-in where Wine has a netsh that says nothing."""
    path, kept = SYSTEM / "netsh.exe", SYSTEM / "netsh.exe.kept"
    monkeypatch.setenv("WINEDLLOVERRIDES", "netsh.exe=n")
    if not kept.exists():
        path.rename(kept)
    shutil.copy(EXAMPLES / "netsh.exe", path)
    try:
        yield Netsh()
    finally:
        kept.replace(path)
        for file in SYSTEM.glob("interface-*-show-*"):
            file.unlink()


def here(held: Held, *options: str) -> Done:
    """Run the command of this machine among the same sockets."""
    done = namespaces.run(held.lab.ns, [str(HERE), *options], check=False)
    return Done(done.stdout, done.stderr, done.returncode)


@pytest.fixture
def ports(held: Held) -> Iterator[tuple[int, int]]:
    """Set the ports of the namespace, with some reserved; return the first and the last."""
    settings = {
        "ip_local_port_range": "20000 60999",
        "ip_local_reserved_ports": "25000,30000-30999",
    }
    with namespaces.inside(held.lab.ns):
        paths = {Path("/proc/sys/net/ipv4", name): text for name, text in settings.items()}
        before = {path: path.read_text(encoding="ascii") for path in paths}
        for path, text in paths.items():
            path.write_text(text, encoding="ascii")
    yield 20000, 60999
    with namespaces.inside(held.lab.ns):
        for path, text in before.items():
            path.write_text(text, encoding="ascii")


# Below the default range: no socket of the lab has one of these ports.
RESERVED = ((25000, 25000), (30000, 30999))
MEASURE = "--measure=ephemeral-ports"


@pytest.mark.parametrize("text", [ENGLISH, GERMAN], ids=["english", "german"])
@pytest.mark.parametrize(
    "options",
    [[], ["--warning=0.01"], ["--conn-type=tcp6"]],
    ids=str,
)
def test_ephemeral_ports_are_those_of_the_dynamic_range(
    native: Command,
    fresh: Held,
    ports: tuple[int, int],
    netsh: Netsh,
    text: str,
    options: list[str],
) -> None:
    for family in ("ipv4", "ipv6"):
        netsh.says(family, *ports, *RESERVED, text=text)
    assert native.run(MEASURE, *options) == here(fresh, MEASURE, *alike(options))


def alike(options: list[str]) -> list[str]:
    """Return options with which Linux reads what Windows lists: no UDP, and no bound sockets."""
    types = [] if any("conn-type" in option for option in options) else ["tcp", "tcp6"]
    return [*options, *(f"--conn-type={one}" for one in types), "--source=procfs"]


def test_the_tables_tell_how_many_ports_are_in_use(
    native: Command, fresh: Held, ports: tuple[int, int], netsh: Netsh
) -> None:
    for family in ("ipv4", "ipv6"):
        netsh.says(family, *ports, *RESERVED)
    options = ("--lengthy", "--warning=1", "--conn-status=established")
    # Whose they are is another matter: there are other processes here.
    there, expected = (
        harness.rows(done, "tcp ESTABLISHED", "peer")
        for done in (native.run(*options), here(fresh, *options))
    )
    # Times are told by netlink alone.
    assert there == [{**row, "Stuck for": harness.NOT_STUCK} for row in expected]
    assert any(" of 39999 (" in row["Ephemeral ports in use"] for row in expected), expected
    # Where all is fine nobody pays for four programs.
    fine = native.run("--lengthy", "--conn-status=established").stdout
    assert "by peer:" in fine
    assert " of 39999 (" not in fine


def test_each_family_has_its_own_range(
    native: Command, fresh: Held, ports: tuple[int, int], netsh: Netsh
) -> None:
    netsh.says("ipv4", *ports, *RESERVED)
    # More, and none of them reserved.
    netsh.says("ipv6", 20000, 65535)

    def parts(done: Done) -> dict[str, tuple[int, int]]:
        found = report(done)["groups"]
        return {group["label"]: (group["count"], group["of"]) for group in found}

    there = parts(native.run(MEASURE, "--format=json"))
    expected = parts(here(fresh, MEASURE, *alike(["--format=json"])))
    assert {label.startswith("[") for label in expected} == {True, False}
    assert there.keys() == expected.keys()
    for label, (used, of) in expected.items():
        wide = label.startswith("[")
        assert there[label] == (used, of + 65535 - 60999 + 1001 if wide else of), label


@pytest.mark.parametrize(
    ("family", "table", "text"),
    [
        ("ipv4", "dynamicport", ""),
        ("ipv6", "dynamicport", "The system cannot find the file specified."),
        ("ipv4", "excludedportrange", ""),
        ("ipv6", "excludedportrange", EXCLUDED.format(rows="  50000\r\n")),
        ("ipv6", "excludedportrange", None),
    ],
)
def test_ports_that_netsh_does_not_tell_are_not_guessed(
    native: Command, fresh: Held, netsh: Netsh, family: str, table: str, text: str | None
) -> None:
    assert fresh
    for one in ("ipv4", "ipv6"):
        netsh.says(one, 49152, 65535)
    if text is None:
        (SYSTEM / f"interface-{family}-show-{table}-tcp").unlink()
    else:
        netsh.prints(family, table, text)
    line = harness.one_line(native.run(MEASURE))
    assert line.startswith(
        "The ports for outgoing connections cannot be read here (netsh interface"
    )


def test_no_port_is_left(native: Command, fresh: Held, netsh: Netsh) -> None:
    assert fresh
    netsh.says("ipv4", 49152, 65535, (49152, 65535))
    netsh.says("ipv6", 49152, 65535)
    line = harness.one_line(native.run(MEASURE))
    assert line.startswith(
        "No port is left for outgoing connections: all of the dynamic port range"
    )


def test_a_netsh_that_hangs_is_not_waited_for(native: Command, fresh: Held, netsh: Netsh) -> None:
    assert fresh
    netsh.says("ipv4", 49152, 65535)
    netsh.says("ipv6", 49152, 65535)
    netsh.prints("ipv6", "excludedportrange", "hang")
    line = harness.one_line(native.run(MEASURE, "--timeout=2"))
    assert line == "Timeout: no answer within 2 s"
    # An alert is one all the same.
    done = native.run("--lengthy", "--warning=1", "--conn-status=established", "--timeout=5")
    assert (done.returncode, done.stderr) == (1, "")
    rows = harness.rows(done, "tcp ESTABLISHED", "peer")
    assert {row["Ephemeral ports in use"] for row in rows} == {"-"}
