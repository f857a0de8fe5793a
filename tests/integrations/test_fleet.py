"""What docs/fleet.md says of rights, of hardened units and of volume holds."""

from __future__ import annotations

import json
import platform
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import harness
import pytest
from lab.namespaces import Pair
from lib.base import match_range
from network_connections import _core

from integrations import daemons, restricted, sockets
from integrations.where import Row

WHERE = [
    Row(
        "Hardened service (systemd's seccomp filter and mounts, without systemd)",
        lambda: f"Linux {'.'.join(platform.release().split('.')[:2])}",
        "`RestrictAddressFamilies` without AF_NETLINK, `ProtectProc=invisible` with "
        "`ProcSubset=pid`, and `PrivateNetwork`",
    )
]

PAGE = harness.ROOT / "docs" / "fleet.md"
FOLDER = daemons.INTEGRATIONS / "linuxfabrik" / "network-connections"


@pytest.fixture(scope="module")
def host(hosts: Pair) -> Iterator[str]:
    """Return a host with 3 listeners, 5 connections and 2 UDP sockets."""
    with ExitStack() as stack:
        for port, address in ((7001, "127.0.0.1"), (7002, "127.0.0.1"), (7001, "::1")):
            stack.enter_context(sockets.listener(hosts.b, port, address))
        stack.enter_context(sockets.established(hosts.b, hosts.a, hosts.a4, 8080, 5))
        stack.enter_context(sockets.udp(hosts.b, ["127.0.0.1", "::1"]))
        yield hosts.b


COUNTS = {"tcp_ESTABLISHED": 5, "tcp_LISTEN": 2, "tcp6_LISTEN": 1, "udp_NONE": 1, "udp6_NONE": 1}

Done = subprocess.CompletedProcess


@pytest.fixture(params=["native", "wheel"])
def command(request: pytest.FixtureRequest, plugins: dict[str, Path]) -> str:
    return str(plugins[request.param] / daemons.CHECK)


def run(host: str, line: list[str], user: str | None = "nobody") -> Done[str]:
    line = ["nsenter", f"--net=/var/run/netns/{host}", *line]
    become = list(harness.NOBODY) if user == "nobody" else []
    done = subprocess.run(
        [*line[:2], *become, *line[2:]], capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.stderr == ""
    return done


def limited(action: str, line: list[str]) -> list[str]:
    if platform.machine() not in restricted.ARCHITECTURES:
        pytest.skip(f"no system call numbers for {platform.machine()}")
    return [daemons.everybodys_python(), "-I", restricted.__file__, action, *line]


# RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6.


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_without_netlink_the_counts_are_the_same(host: str, command: str, user: str) -> None:
    done = run(host, limited("refuse", [command, "--format=json"]), user)
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert {group["label"]: group["count"] for group in report["groups"]} == COUNTS
    assert report["source"] == "procfs"


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ("--source=netlink", "netlink: socket: Address family not supported by protocol"),
        ("--group-by=unit", "procfs: the cgroups of sockets are not known here"),
    ],
)
def test_what_needs_netlink_says_so(host: str, command: str, options: str, cause: str) -> None:
    done = run(host, limited("refuse", [command, options]))
    assert done.returncode == 3
    assert cause in done.stdout


def test_procfs_asks_for_no_socket(host: str, command: str) -> None:
    assert run(host, limited("kill", [command])).returncode < 0
    done = run(host, limited("kill", [command, "--source=procfs"]))
    assert (done.returncode, done.stdout.count("|")) == (0, 1)


# ProtectProc=invisible and ProcSubset=pid, PrivateNetwork=yes.

HIDDEN = 'mount -t proc -o hidepid=invisible,subset=pid proc /proc && exec "$@"'


@pytest.mark.parametrize("source", ["netlink", "procfs"])
def test_with_the_least_of_proc_the_counts_are_the_same(
    host: str, command: str, source: str
) -> None:
    become = [*harness.NOBODY, command, f"--source={source}", "--format=json"]
    done = run(host, ["unshare", "--mount", "sh", "-c", HIDDEN, "sh", *become], "root")
    assert done.returncode == 0, done.stdout
    groups = json.loads(done.stdout)["groups"]
    assert {group["label"]: group["count"] for group in groups} == COUNTS


def test_processes_of_others_need_root(host: str, command: str) -> None:
    # The files of all processes of this machine are looked through, not only of the host's.
    line = [command, "--group-by=process", "--timeout=50"]
    assert run(host, line).stdout.startswith("(other users' processes): 10")
    assert "(other" not in run(host, line, "root").stdout


def test_a_private_network_has_no_sockets(host: str, command: str) -> None:
    done = run(host, ["unshare", "--net", command], "root")
    nothing = 'No connections of type "all" in status "all" found.\n'
    assert (done.returncode, done.stdout) == (0, nothing)
    line = [command, "--no-match-severity=crit"]
    assert run(host, ["unshare", "--net", *line], "root").returncode == 2


# Rollback, and volume.


def test_the_reference_refuses_keys() -> None:
    assert match_range(5, "5000,CLOSE_WAIT=100") == (False, "Range format incorrect")


def volumes() -> dict[str, tuple[int, int]]:
    rows = re.findall(r"^\| .*?`(.*?)`.*? \| (\d+) \| (\d+) \|$", PAGE.read_text("utf-8"), re.M)
    return {options: (int(metrics), int(size)) for options, metrics, size in rows}


def test_the_longest_ordinary_line() -> None:
    program = FOLDER / "network-connections"
    output, _, _ = _core.run(program, ["--zero", "--test=stdout/web-server,,0"])
    assert f"has {len(output) - 1} bytes" in " ".join(PAGE.read_text("utf-8").split())


def test_perfdata_volume_is_as_documented() -> None:
    assert len(volumes()) == 4
    program = FOLDER / "network-connections"
    for options, documented in volumes().items():
        words = options.split()[1:]
        output, _, code = _core.run(program, [*words, "--test=stdout/web-server,,0"])
        assert code == 0
        _, _, perfdata = output.rstrip("\n").rpartition("|")
        assert documented == (len(perfdata.split()), len(perfdata)), options
