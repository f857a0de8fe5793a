"""What counts by state cost Prometheus: node_exporter's tcpstat beside the check, in one run.

`python benches/exporter.py NODE_EXPORTER [SOCKETS]`, as root: NODE_EXPORTER is its command. With a
million sockets it writes the table of docs/evidence/node-exporter.md.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import sockets
from measure import ROOT

NATIVE = str(ROOT / "target" / "release" / "network-connections")
ROUNDS = 5
PAGE = ROOT / "docs" / "evidence" / "node-exporter.md"
_PORT = 9100
_MANY = 1_000_000
_TICKS = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def exporter(command: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run node_exporter until the block ends."""
    line = [command, f"--web.listen-address=127.0.0.1:{_PORT}", *options]
    with subprocess.Popen(line, stderr=subprocess.DEVNULL) as process:
        while True:
            try:
                scrape()
                break
            except OSError:
                time.sleep(0.1)
        yield process
        process.terminate()


def scrape() -> bytes:
    """Return what node_exporter says."""
    with urllib.request.urlopen(f"http://127.0.0.1:{_PORT}/metrics", timeout=600) as answer:
        text: bytes = answer.read()
        return text


def seconds(process: subprocess.Popen[bytes]) -> float:
    """Return the CPU time that a process has taken."""
    _, _, fields = Path(f"/proc/{process.pid}/stat").read_text("ascii").rpartition(") ")
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / _TICKS


def a_scrape(command: str, *options: str) -> float:
    """Return the CPU time of a scrape, as a mean."""
    with exporter(command, *options) as process:
        before = seconds(process)
        for _ in range(ROUNDS):
            text = scrape()
        if (b"node_tcp_connection_states" in text) != ("--collector.tcpstat" in options):
            raise RuntimeError("tcpstat is not as it was asked for")
        return (seconds(process) - before) / ROUNDS


def a_check(*options: str) -> float:
    """Return the CPU time of a check with its start, as a median."""
    times = []
    for _ in range(ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        line = [NATIVE, "--format=prometheus", "--name=all", *options]
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(times)


def main() -> None:
    """Print the times, and how many times a check's they are."""
    command = sys.argv[1]
    number = int(sys.argv[2]) if len(sys.argv) > 2 else _MANY
    sockets.Namespace()
    with tempfile.TemporaryDirectory() as textfiles, sockets.Sockets("established", number):
        textfile = f"--collector.textfile.directory={textfiles}"
        without = a_scrape(command, textfile)
        counted = a_scrape(command, textfile, "--collector.tcpstat")
        check = a_check()
        counters = a_check("--source=counters")
        published = Path(textfiles, "network_connections_all.prom")
        line = [NATIVE, "--format=prometheus", "--name=all"]
        published.write_bytes(subprocess.run(line, check=True, stdout=subprocess.PIPE).stdout)
        read = a_scrape(command, textfile)
    named = subprocess.run([command, "--version"], check=True, capture_output=True, text=True)
    version = re.search(r"version (\S+)", named.stdout + named.stderr)
    rows = (
        ("a scrape with `--collector.tcpstat`", counted),
        ("a scrape without", without),
        ("a scrape without, of this check's textfile too", read),
        ("a check, start included", check),
        ("a check with `--source=counters`", counters),
    )
    table = (
        f"With {number:,} established sockets, node_exporter {version[1] if version else '?'} and "
        f"Linux {platform.release().partition('-')[0]} ({platform.machine()}):\n\n"
        "| | CPU seconds |\n|---|---|\n"
        + "".join(f"| {what} | {seconds:.2f} |\n" for what, seconds in rows)
        + f"\ntcpstat alone takes {(counted - without) / check:.1f} times what a check takes.\n"
    )
    print(table)
    if number == _MANY:
        part = re.compile(r"(<!-- exporter -->\n).*?(<!-- end -->\n)", re.DOTALL)
        page = part.sub(lambda match: f"{match[1]}{table}{match[2]}", PAGE.read_text("utf-8"))
        PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
