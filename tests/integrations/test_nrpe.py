"""What comes back over NRPE is what the command printed, byte for byte."""

from __future__ import annotations

import contextlib
import re
import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import harness
import pytest
from lab import namespaces, servers
from lab.namespaces import Pair

from integrations import daemons, nrpe, sockets
from integrations.nrpe import CONFIGURATION, PROGRAMS, Answer, Nrpe
from integrations.where import Row

WHERE = [
    Row(
        "NRPE",
        lambda: daemons.version_of("nagios-nrpe-server"),
        "the command definitions; output and exit code are those of the command itself, byte for "
        "byte; longer outputs than its packets",
    )
]

# What NRPE's own connections are not part of, so that every run counts the same.
QUIET = "--local-port 7000-7999"
MANY = "--conn-type udp6 --group-by local-address --top 100000"

# More than fit into a packet, with the sum in alert state.
TOO_MANY = f"{MANY} --warning 10,total=1000"

# Options, and the exit code.
CASES = {
    "ok": (QUIET, 0),
    "warning": (f"{QUIET} --warning 1", 1),
    "critical": (f"{QUIET} --warning 1 --critical 2,total=5", 2),
    "always_ok": (f"{QUIET} --critical 0 --always-ok", 0),
    "no_perfdata": (f"{QUIET} --no-perfdata", 0),
    "nothing": ("--local-port 9", 0),
    "nothing_is_unknown": ("--local-port 9 --no-match-severity unknown", 3),
    "every_group": (f"{QUIET} --zero", 0),
    "lengthy": (f"{QUIET} --warning 1 --lengthy", 1),
    "lengthy_unit": (f"{QUIET} --group-by unit --warning 1 --lengthy", 1),
    "json": (f"{QUIET} --format json", 0),
    "prometheus": (f"{QUIET} --format prometheus", 0),
    "help": ("--help", 3),
    "version": ("--version", 3),
    "usage": ("--top few", 3),
    "unknown_option": ("--nonsense 1", 3),
    "wrong_choice": ("--conn-type sctp", 3),
    "wrong_range": ("--warning many", 3),
    "many": (f"{MANY} --local-address 2001:db8:1::/48", 0),
}
# Bytes of output: of one packet of version 4, and of version 2 or 3.
LIMIT = 65_504
OLD_LIMIT = 1_023


@pytest.fixture(scope="module")
def connections(hosts: Pair) -> Iterator[None]:
    """Hold 2 listeners and 20 connections on the host, 10 of them closed by the peer."""
    daemons.require()
    with contextlib.ExitStack() as stack:
        stack.enter_context(sockets.listener(hosts.b, 7001, hosts.b4))
        stack.enter_context(sockets.established(hosts.a, hosts.b, hosts.b4, 7002, 10))
        leak = sockets.established(hosts.b, hosts.a, hosts.a4, 8080, 10, closed=True, first=7100)
        stack.enter_context(leak)
        yield


@pytest.fixture(scope="module")
def addresses(hosts: Pair) -> Iterator[None]:
    """Hold UDP sockets on more addresses than fit into a packet, a fifth of them in a /48."""
    last = [0x5000 + number for number in range(1800)]
    with sockets.udp(
        hosts.b, [f"2001:db8:{1 if n % 5 == 0 else 2}::ffff:2222:4444:{n:x}" for n in last]
    ):
        yield


@pytest.fixture(scope="module")
def server(hosts: Pair, plugins: dict[str, Path]) -> Iterator[Nrpe]:
    daemons.require(*PROGRAMS)
    lines = [
        f"command[{way}_{name}]={plugins[way] / daemons.CHECK} --strict {options}"
        for way in ("native", "wheel")
        for name, (options, _) in {**CASES, "too_many": (TOO_MANY, 1)}.items()
    ]
    lines.append(f"command[missing]={daemons.PLUGINS}/not_there")
    files = {
        "nrpe.d/network-connections.cfg": CONFIGURATION.read_text(encoding="utf-8"),
        "nrpe.d/test.cfg": "".join(f"{line}\n" for line in lines),
    }
    with nrpe.serving(hosts, plugins["wheel"], files) as made:
        yield made


def direct(hosts: Pair, line: list[str]) -> Answer:
    """Run a command on the monitored host as NRPE's user."""
    line = daemons.within(hosts.b, line, daemons.USER)
    done = subprocess.run(line, capture_output=True, check=False, cwd="/")
    return Answer(done.stdout, done.returncode)


def untimed(answer: Answer) -> Answer:
    """Return an answer without how long it took, and without how long connections are stuck."""
    output = re.sub(rb'("duration":|_duration_seconds )[0-9.e-]+', rb"\1", answer.output)
    # Of less than a second nothing is said. The line below the header is as long as the longest.
    stuck = rb" ! (\d+( to \d+)? s, half-closed|-)(?=$|\|)|(?<=-\+-)-+$"
    output = re.sub(stuck, b"", output, flags=re.MULTILINE)
    assert output != answer.output
    return Answer(output, answer.code)


@pytest.mark.usefixtures("connections", "addresses")
@pytest.mark.parametrize("way", ["native", "wheel"])
@pytest.mark.parametrize("name", CASES)
def test_the_same_bytes(server: Nrpe, plugins: dict[str, Path], way: str, name: str) -> None:
    options, code = CASES[name]
    line = [str(plugins[way] / daemons.CHECK), "--strict", *shlex.split(options)]
    expected = direct(server.hosts, line)
    assert expected.code == code
    assert len(expected.output) > {"many": 10_000, "help": 2_000}.get(name, 10)
    assert expected.output.count(b"\n") > (10 if name.startswith(("lengthy", "help")) else 0)
    answer = server.ask(f"{way}_{name}")
    if name in ("json", "prometheus") or name.startswith("lengthy"):
        answer, expected = untimed(answer), untimed(expected)
    assert answer == expected


@pytest.mark.usefixtures("addresses")
@pytest.mark.parametrize(
    ("options", "limit"), [([], LIMIT), (["-3"], OLD_LIMIT), (["-2"], OLD_LIMIT)]
)
def test_a_buffer_too_small(
    server: Nrpe, plugins: dict[str, Path], options: list[str], limit: int
) -> None:
    line = [str(plugins["native"] / daemons.CHECK), "--strict", *shlex.split(TOO_MANY)]
    whole = direct(server.hosts, line)
    assert len(whole.output) > LIMIT
    # The state is right; the performance data, which come last, are lost.
    assert server.ask("native_too_many", *options) == Answer(whole.output[:limit] + b"\n", 1)
    assert b"|" not in whole.output[:limit]


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("name", ["ok", "warning", "critical", "every_group", "usage"])
def test_one_line_fits_into_the_packets_of_old(server: Nrpe, name: str) -> None:
    assert server.ask(f"native_{name}", "-2") == server.ask(f"native_{name}")


def test_the_limits_are_as_documented() -> None:
    page = (harness.ROOT / "docs" / "evidence" / "exact-rules.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| version .* \| ([\d,]+) \|$", page, re.MULTILINE) == [
        f"{LIMIT:,}",
        f"{OLD_LIMIT:,}",
    ]


def test_each_check_leaves_a_socket_behind(server: Nrpe) -> None:
    line = ["ss", "-Htan", "state", "time-wait", "dport = :5666"]
    # Those of earlier checks go after a minute.
    before = set(namespaces.run(server.hosts.a, line).stdout.splitlines())
    for _ in range(5):
        server.ask("native_ok")
    assert set(namespaces.run(server.hosts.a, line).stdout.splitlines()) - before


def test_the_command_is_missing(server: Nrpe) -> None:
    assert server.ask("missing") == Answer(b"NRPE: Unable to read output\n", 3)


# The configuration file.


def shipped() -> dict[str, str]:
    return nrpe.commands(CONFIGURATION.read_text(encoding="utf-8"))


def commented() -> dict[str, str]:
    text = CONFIGURATION.read_text(encoding="utf-8")
    return nrpe.commands(text.replace("\n#command[", "\ncommand["))


def test_what_is_active_takes_no_arguments() -> None:
    assert len(shipped()) == 7
    assert not [line for line in shipped().values() if "$" in line]
    assert {name for name, line in commented().items() if "$ARG1$" in line} == {
        "check_network_connections_limits",
        "check_network_connections_args",
    }
    assert all(" --strict " in line for line in commented().values())


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_commands(server: Nrpe, plugins: dict[str, Path], name: str) -> None:
    answer = server.ask(name)
    line = shlex.split(shipped()[name])
    assert line[0] == f"{daemons.PLUGINS}/{daemons.CHECK}"
    expected = direct(server.hosts, [str(plugins["wheel"] / daemons.CHECK), *line[1:]])
    if name.endswith("netns"):
        # Others of this machine are among them.
        assert answer.code == expected.code == 0
        assert b"host: " in expected.output
        assert b"|'groups'=" in answer.output
    elif name == "check_network_connections":
        # The connection by which it is asked for is one more.
        assert answer.code == expected.code == 0
        assert b"tcp ESTABLISHED: 11," in answer.output
        assert b"tcp ESTABLISHED: 10," in expected.output
    elif name.endswith("exhaustion"):
        # Processes start and end between the two. A namespace does not show the limits of the host.
        for shown in (b"; not seen: tcp-memory", b"|'open-files'=", b" 'stuck unread'=0;10;100;0"):
            assert shown in answer.output
            assert shown in expected.output
        assert answer.code == expected.code != 0
    else:
        if name.endswith("close_wait"):
            answer, expected = untimed(answer), untimed(expected)
        assert answer == expected
        # Nobody listens there, the address of the example leads nowhere, and nobody expects NRPE's
        # listener.
        assert answer.code == {"https": 2, "database": 3, "listeners": 2}.get(
            name.rpartition("_")[2], 0
        )


def exhausted(server: Nrpe, measure: str) -> tuple[int, bytes]:
    """Return the state of what runs out, and what is said of a measure."""
    answer = server.ask("check_network_connections_exhaustion")
    first, _, rest = answer.output.partition(b"\n")
    (found,) = re.findall(rb"(?:^|, )%s (.*?\])," % measure.encode(), first)
    assert b"\nWhat to do: docs/exhaustion.md#%s" % measure.encode() in rest
    return answer.code, found


def test_a_queue_that_nobody_empties(server: Nrpe) -> None:
    hosts = server.hosts
    with servers.sockets() as held:
        held.listen(hosts.b, hosts.b4, 9005, 5)
        for number, code, shown in (
            (4, 1, b"80% (4 of 5) [WARNING]"),
            (3, 2, b"120% (6 of 5, 1 dropped) [CRITICAL]"),
        ):
            held.crowd(hosts.a, hosts.b, (hosts.b4, 9005), number)
            state, found = exhausted(server, "accept-queue")
            assert found == b"%s:9005: %s" % (hosts.b4.encode(), shown)
            # The processes of other tests fill their tables of files on purpose.
            assert state in (code, 2)


def test_requests_and_packets_that_fill_their_places(server: Nrpe) -> None:
    hosts = server.hosts
    # A connection stays in SYN_RECV until its client sends data.
    defer = (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 600)
    with servers.sockets() as held:
        held.listen(hosts.b, hosts.b4, 9006, 16, options=[defer])
        for _ in range(12):
            held.connect(hosts.a, (hosts.b4, 9006))
        held.bind(hosts.b, hosts.b4, 9007, 8192)
        client = held.make(hosts.a, hosts.b4, kind=socket.SOCK_DGRAM)
        for _ in range(20):
            client.sendto(bytes(1000), (hosts.b4, 9007))
        _, found = exhausted(server, "syn-queue")
        assert found == b"%s:9006: 75%% (12 of 16) [WARNING]" % hosts.b4.encode()
        state, found = exhausted(server, "receive-buffer")
        assert state == 2
        assert re.fullmatch(rb".*:9007: .* dropped\) \[CRITICAL\]", found)


def test_ports_that_run_out(server: Nrpe) -> None:
    hosts = server.hosts
    database = ["addr", "add", "192.0.2.20/24", "dev", "lab"]
    namespaces.run(None, ["ip", "-n", hosts.a, *database])
    servers.ports(hosts.b, 40000, 40099)
    try:
        with servers.sockets() as held:
            held.listen(hosts.a, "192.0.2.20", 5432, 100)
            total = 0
            for more, code, mark in ((50, 0, ""), (25, 1, " [WARNING]"), (25, 2, " [CRITICAL]")):
                for _ in range(more):
                    held.connect(hosts.b, ("192.0.2.20", 5432))
                total += more
                shown = f"192.0.2.20:5432: {total}% ({total} of 100){mark}\n"
                answer = server.ask("check_network_connections_database")
                assert answer.code == code
                assert answer.output.startswith(shown.encode())
        assert b"|'fullest'=100%;70;90;0;100 'destinations'=1\n" in answer.output
    finally:
        servers.ports(hosts.b, 32768, 60999)
        namespaces.run(None, ["ip", "-n", hosts.a, "addr", "del", *database[2:]])


# What NRPE refuses in arguments, unless its configuration says otherwise.
NASTY = "|`&><'\\[]{};\r\n"


def with_arguments(plugins: dict[str, Path], name: str, arguments: list[str]) -> list[str]:
    """Return what NRPE executes where it is built with arguments, which Debian's is not."""
    assert not any(char in argument for argument in arguments for char in NASTY)
    assert not any("$(" in argument for argument in arguments)
    line = commented()[f"check_network_connections_{name}"]
    line = line.replace(str(daemons.PLUGINS), str(plugins["native"]))
    for number in (1, 2):
        argument = arguments[number - 1] if number <= len(arguments) else ""
        line = line.replace(f"$ARG{number}$", argument)
    return ["sh", "-c", line]


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize(
    ("name", "arguments", "code", "part"),
    [
        ("limits", ["~:5", "@10:20"], 2, b"tcp CLOSE WAIT: 10 [CRITICAL]"),
        ("limits", ["5000", "10000"], 0, b"tcp CLOSE WAIT: 10,"),
        ("limits", ["5000,CLOSE_WAIT=9", "none"], 1, b"tcp CLOSE WAIT: 10 [WARNING]"),
        ("limits", ["many", "few"], 3, b"Range format incorrect"),
        ("args", ["--conn-status close_wait --warning 9"], 1, b"tcp CLOSE WAIT: 10 [WARNING]"),
        ("args", ["close_wait"], 3, b'Unknown word "close_wait"'),
        # The shell looks for no files: their names are nothing that the server may learn.
        ("args", ["/etc/nag*"], 3, b'Unknown word "/etc/nag*"'),
    ],
)
def test_commands_with_arguments(
    hosts: Pair, plugins: dict[str, Path], name: str, arguments: list[str], code: int, part: bytes
) -> None:
    answer = direct(hosts, with_arguments(plugins, name, arguments))
    assert answer.code == code
    assert part in answer.output


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize(
    "arguments",
    [
        ['" --always-ok --critical "', "0"],
        ["0", '" --always-ok "'],
        ['" --netns=/run/netns/host --critical "', "0"],
        ["5 --always-ok", "0"],
        ["0", "0 --always-ok"],
        ["--always-ok", "0"],
        ["0", "--always-ok"],
        ["0", "--", "--always-ok"],
        ["$HOME", "0"],
        ["*", "0"],
        ["#", "0"],
        ["!!", "0"],
        ["5\t--always-ok", "0"],
    ],
)
def test_limits_are_limits_and_nothing_else(
    hosts: Pair, plugins: dict[str, Path], arguments: list[str]
) -> None:
    answer = direct(hosts, with_arguments(plugins, "limits", arguments))
    # An alert, or no limit at all.
    assert answer.code in (2, 3), answer
    assert answer.code == 2 or b"Range format incorrect" in answer.output
    assert answer.output.count(b"\n") == 1
    assert b"always ok" not in answer.output


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("way", ["native", "wheel"])
@pytest.mark.parametrize("arguments", [[], ["5"], ["", "5"], ["5", ""], [" ", " "], ["5", "\t"]])
def test_limits_that_are_missing_or_empty_are_refused(
    hosts: Pair, plugins: dict[str, Path], way: str, arguments: list[str]
) -> None:
    line = with_arguments({"native": plugins[way]}, "limits", arguments)
    answer = direct(hosts, line)
    assert answer.code == 3
    assert b": an empty range never alerts (valid: " in answer.output
    assert answer.output.count(b"\n") == 1
