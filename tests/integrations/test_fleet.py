"""What docs/permissions.md says of hardened units, and docs/evidence/sizing.md of volume, holds."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import harness
import pytest
from harness import Done
from lib.base import match_range
from network_connections import _core

from integrations import daemons, machines
from integrations.machines import Machine
from integrations.where import Row

WHERE = [
    Row(
        "systemd",
        lambda: machines.version("systemd"),
        "the check as a unit with `RestrictAddressFamilies` without AF_NETLINK, with "
        "`ProtectProc=invisible` and `ProcSubset=pid`, and with `PrivateNetwork`",
    )
]

SIZING = harness.ROOT / "docs" / "evidence" / "sizing.md"
LONG = harness.ROOT / "docs" / "evidence" / "exact-rules.md"
FOLDER = daemons.INTEGRATIONS / "linuxfabrik" / "network-connections"
USERS = ["root", "nobody"]


@pytest.fixture(scope="module")
def host(machine: Machine) -> Iterator[Machine]:
    """Return a machine with 3 listeners, both ends of 5 connections and 2 UDP sockets."""
    with machine.actor("held.service") as held:
        for address, port in (("127.0.0.1", 7001), ("127.0.0.1", 7002), ("::1", 7003)):
            held.do("listen", address, port)
        held.do("connect", "127.0.0.1", 7001, 5)
        held.do("accept", 7001, 5)
        held.do("udp", "127.0.0.1", 1)
        held.do("udp", "::1", 1)
        yield machine


COUNTS = {"tcp_ESTABLISHED": 10, "tcp_LISTEN": 2, "tcp6_LISTEN": 1, "udp_NONE": 1, "udp6_NONE": 1}


@pytest.fixture(params=machines.COMMANDS)
def command(request: pytest.FixtureRequest) -> list[str]:
    return machines.COMMANDS[request.param]


def run(host: Machine, argv: list[str], *settings: str) -> Done:
    done = host.run(argv, *settings, check=False)
    assert done.stderr == ""
    return Done(done.stdout, done.stderr, done.returncode)


def counts(done: Done) -> tuple[str, dict[str, int]]:
    """Return the source of a report, and its groups."""
    assert done.returncode == 0, done
    report = json.loads(done.stdout)
    return report["source"], {group["label"]: group["count"] for group in report["groups"]}


NO_NETLINK = "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"


@pytest.mark.parametrize("user", USERS)
def test_without_netlink_the_counts_are_the_same(
    host: Machine, command: list[str], user: str
) -> None:
    line = [*command, "--format=json"]
    assert counts(run(host, line, f"User={user}")) == ("netlink", COUNTS)
    assert counts(run(host, line, f"User={user}", NO_NETLINK)) == ("procfs", COUNTS)


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ("--source=netlink", "netlink: socket: Address family not supported by protocol"),
        ("--group-by=unit", "procfs: the cgroups of sockets are not known here"),
    ],
)
def test_what_needs_netlink_says_so(
    host: Machine, command: list[str], options: str, cause: str
) -> None:
    done = run(host, [*command, options], "User=nobody", NO_NETLINK)
    assert done.returncode == 3
    assert cause in done.stdout


def test_procfs_asks_for_no_socket(host: Machine, command: list[str]) -> None:
    # Who asks for one is killed: systemd-run has no exit code of it. Without a home Python itself
    # looks for its user's.
    settings = ("SystemCallFilter=~socket", "Environment=HOME=/root")
    assert run(host, command, *settings) == Done("", "", 255)
    done = run(host, [*command, "--source=procfs"], *settings)
    assert (done.returncode, done.stdout.count("|")) == (0, 1)


@pytest.mark.parametrize("source", ["netlink", "procfs"])
def test_with_the_least_of_proc_the_counts_are_the_same(
    host: Machine, command: list[str], source: str
) -> None:
    settings = ("User=nobody", "ProtectProc=invisible", "ProcSubset=pid")
    done = run(host, [*command, f"--source={source}", "--format=json"], *settings)
    assert counts(done) == (source, COUNTS)


def test_processes_of_others_need_root(host: Machine, command: list[str]) -> None:
    line = [*command, "--group-by=process"]
    rights = "CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE and the host's PID namespace are needed"
    denied = f"(other users' processes): 15; some processes cannot be seen ({rights})|"
    assert run(host, line, "User=nobody").stdout.startswith(denied)
    assert re.match(r"held \(\d+\): 15\|", run(host, line).stdout)


def test_a_private_network_has_no_sockets(host: Machine, command: list[str]) -> None:
    done = run(host, command, "PrivateNetwork=yes")
    nothing = 'No connections of type "all" in status "all" found.\n'
    assert (done.returncode, done.stdout) == (0, nothing)
    line = [*command, "--no-match-severity=crit"]
    assert run(host, line, "PrivateNetwork=yes").returncode == 2


# Rollback, and volume.


def test_the_reference_refuses_keys() -> None:
    assert match_range(5, "5000,CLOSE_WAIT=100") == (False, "Range format incorrect")


def volumes() -> dict[str, tuple[int, int]]:
    rows = re.findall(r"^\| .*?`(.*?)`.*? \| (\d+) \| (\d+) \|$", SIZING.read_text("utf-8"), re.M)
    return {options: (int(metrics), int(size)) for options, metrics, size in rows}


def test_the_number_of_series_is_as_documented(host: Machine, command: list[str]) -> None:
    rows = re.findall(r"^\| `.*? (--name.*?)`.*? \| (\d+) \|$", SIZING.read_text("utf-8"), re.M)
    assert len(rows) == 7
    for options, number in rows:
        done = run(host, [*command, "--format=prometheus", *options.split()])
        assert len(re.findall(r"^[^#]", done.stdout, re.M)) == int(number), options


def test_the_longest_ordinary_line() -> None:
    program = FOLDER / "network-connections"
    output, _, _ = _core.run(program, ["--zero", "--test=stdout/web-server,,0"])
    assert f"has {len(output) - 1} bytes" in " ".join(LONG.read_text("utf-8").split())


def test_perfdata_volume_is_as_documented() -> None:
    assert len(volumes()) == 4
    program = FOLDER / "network-connections"
    for options, documented in volumes().items():
        words = options.split()[1:]
        output, _, code = _core.run(program, [*words, "--test=stdout/web-server,,0"])
        assert code == 0
        _, _, perfdata = output.rstrip("\n").rpartition("|")
        assert documented == (len(perfdata.split()), len(perfdata)), options


# As root, by the line for sudoers.


@pytest.mark.parametrize("way", ["native", "wheel"])
def test_what_sudo_runs_trusts_no_directory_of_its_caller(
    plugins: dict[str, Path], way: str, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    for module in ("argparse", "encodings", "network_connections", "re", "sitecustomize"):
        (tmp_path / f"{module}.py").write_text(f"open({str(mark)!r}, 'w')\n", encoding="utf-8")
    fixtures = tmp_path / "unit-test"
    fixtures.mkdir()
    (fixtures / "one").write_text("[]", encoding="utf-8")
    for option, code, part in (
        ("--local-port=1", 0, "No connections"),
        ("--test=one", 3, "Fixture is not a JSON list of connections"),
        ("--test=/etc/passwd", 3, "Fixture is not a JSON list of connections"),
        ("--netns=/etc/passwd", 3, "/etc/passwd is no network namespace"),
    ):
        # The environment as sudo leaves it.
        environment = {"PATH": "/usr/bin:/bin", "HOME": "/root", "SUDO_USER": "nagios"}
        done = subprocess.run(
            [plugins[way] / daemons.CHECK, "--strict", option],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=environment,
        )
        assert done.stdout.startswith(part), done
        assert (done.stderr, done.returncode) == ("", code)
    assert not mark.exists()
