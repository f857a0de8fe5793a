"""A type checker takes every right use of the API, and refuses every wrong one."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from pathlib import Path

from harness import PATIENCE

HEAD = """\
import ipaddress
import pathlib
from typing import Any

import network_connections as nc
from network_connections import psutil

result = nc.check()
one = nc.Connection("tcp", "LISTEN", "::", 1)
table = nc.connections_table()
"""

RIGHT = """\
nc.count_connections()
nc.count_connections("tcp")
nc.count_connections(types=["tcp", "udp6"])
nc.count_connections(statuses="close_wait")
nc.count_connections("tcp6", ("LISTEN", "established"))
nc.count_connections(group_by="remote-address")
nc.count_connections(local_port=443)
nc.count_connections(local_port=["8000-8099", 443])
nc.count_connections(remote_address=ipaddress.ip_network("192.0.2.0/24"))
nc.count_connections(netns=pathlib.Path("/proc/1/ns/net"))
nc.count_connections(source="procfs", timeout=2)
nc.count_connections(stuck="unread:60", zero=True)
nc.check(warning=10, critical="CLOSE_WAIT=20")
nc.check(warning=nc.Range("10:20"), always_ok=True)
nc.check(measure="accept-queue", top=3)
nc.check(no_match_severity="crit", perfdata=False)
nc.check(types=None, statuses=None)
nc.connections(processes=True)
nc.connections_table("tcp", local_port="443")
number: int = result.counts["tcp_LISTEN"] + result.state
value: float = result.groups[0].value
limit: "int | None" = result.groups[0].limit
text: str = result.to_json() + str(result)
made = nc.CheckResult(2, "message", groups=[nc.Group("tcp", "stuck", 1, "s", None, 1, 0)])
name: "str | None" = one.processes[0].name if one.processes else None
address: "str | None" = one.remote_address
inside: bool = 15 in nc.Range("10:20")
column: memoryview = table.columns["uid"]
words: "list[str | None]" = table.texts("status")
pids: "set[int | None]" = {c.pid for c in psutil.net_connections("inet6") if c.laddr}
"""

WRONG = """\
nc.count_connections("tcp4")
nc.count_connections(types="sctp")
nc.count_connections(types=["tcp", "icmp"])
nc.count_connections(types=5)
nc.count_connections(types=b"tcp")
nc.count_connections(statuses="LISTENING")
nc.count_connections(statuses=["fin_wait_1"])
nc.count_connections(group_by="remote_address")
nc.count_connections(group_by=["type"])
nc.count_connections(source="kernel")
nc.count_connections(timeout="8")
nc.count_connections(zero="yes")
nc.count_connections(local_port=4.5)
nc.count_connections(warning=10)
nc.count_connections("tcp", "listen", "type")
nc.check(measure="queue")
nc.check(no_match_severity="warning")
nc.check(conn_type="tcp")
nc.check(critical=[10])
nc.check(top="3")
nc.check(perfdata=None)
nc.connections(group_by="type")
nc.connections_table(processes=True)
nc.Connection("tcp4", "LISTEN", "::", 1)
nc.Range(10)
nc.CheckResult("2")
result.state = 3
result.lines
psutil.net_connections("unix")
psutil.net_connections()[0].laddr.host
"""


def wrong_lines(file: Path) -> set[int]:
    """Return the numbers of the wrong lines, of a file that has both kinds."""
    file.write_text(HEAD + RIGHT + WRONG, encoding="utf-8")
    first = (HEAD + RIGHT).count("\n") + 1
    return {*range(first, first + WRONG.count("\n"))}


def test_there_are_thirty_of_each() -> None:
    assert [text.count("\n") for text in (RIGHT, WRONG)] == [30, 30]


def test_right_uses_run() -> None:
    names: dict[str, object] = {}
    exec(HEAD, names)  # noqa: S102 - it is above
    for line in RIGHT.splitlines():
        # Not everybody may enter the namespace of process 1.
        with contextlib.suppress(PermissionError):
            exec(line, names)  # noqa: S102


def test_mypy(tmp_path: Path) -> None:
    file = tmp_path / "uses.py"
    wrong = wrong_lines(file)
    line = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file="]
    done = subprocess.run(
        [*line, str(file)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=tmp_path,
        check=False,
    )
    found = re.findall(r"uses\.py:(\d+): error:", done.stdout)
    assert {int(number) for number in found} == wrong, done.stdout + done.stderr
