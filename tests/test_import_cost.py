"""An ordinary check imports nothing that it does not need: most of its cost is its start."""

from __future__ import annotations

import subprocess
import sys

import pytest
from harness import PATIENCE, SCRIPTS, Command, connections, install, python

HEAVY = {"argparse", "json", "logging", "re", "socket", "subprocess", "typing", "dataclasses"}

MAIN = """
import sys
from network_connections import plugin
sys.argv = ["network-connections", *sys.argv[1:]]
code = plugin.main()
print(code, *sys.modules, sep="\\n")
"""
API = """
import sys
import network_connections
network_connections.count_connections()
result = network_connections.check(warning="@0:", statuses=["listen"])
print(result.state, *sys.modules, sep="\\n")
"""
IMPORT = """
import sys
import network_connections
print(0, *sys.modules, sep="\\n")
"""


def test_this_interpreter_starts_without_them() -> None:
    done = python("import sys; print(*sys.modules)")
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.parametrize(
    ("script", "args"),
    [(IMPORT, []), (API, []), (MAIN, []), (MAIN, ["-w", "5", "--conn-type=sctp"]), (MAIN, ["-h"])],
    ids=["import", "API", "command", "usage error", "help"],
)
def test_no_heavy_module(script: str, args: list[str]) -> None:
    done = python(script, *args)
    assert done.returncode == 0
    modules = set(done.stdout.split("\n"))
    assert "network_connections._core" in modules
    assert not HEAVY & modules


@pytest.mark.parametrize("way", SCRIPTS)
def test_no_heavy_module_behind_the_script(
    way: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    command: Command = install(way, tmp_path_factory.mktemp("script"))
    test = command.fixture(connections({"tcp_LISTEN": 1}))
    line = [sys.executable, "-X", "importtime", *command.argv, test]
    done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == "tcp LISTEN: 1|'tcp_LISTEN'=1\n"
    modules = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "network_connections._core" in modules
    assert not HEAVY & modules


def test_the_heavy_ones_are_found_where_they_are() -> None:
    done = python(MAIN.replace("import sys", "import sys, argparse, logging, json", 1))
    assert {"argparse", "logging", "json", "re"} <= HEAVY & set(done.stdout.split("\n"))
