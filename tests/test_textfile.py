"""The recipe for node_exporter's textfile collector publishes every outcome, or lets it be seen."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import harness
import page
import pytest
from harness import Command, connections
from lab.tools import lacking

pytestmark = pytest.mark.skipif(harness.WINDOWS, reason="the recipe is for sh")

PAGES = sorted((harness.ROOT / "docs").rglob("*.md"))
NAME = "network_connections_all.prom"
STATE = 'network_connections_check_state{check="all"}'
MARK = "/network_connections_$name.prom"
OLD = "# what was published before\nnetwork_connections_check_state 0\n"
LONG_AGO = 1_000_000_000


@pytest.fixture(params=["sh", "bash"])
def shell(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if reason := lacking("bash"):
        pytest.skip(reason)
    return name


@dataclass(frozen=True)
class Host:
    """Where the recipe runs, and what it has published before."""

    shell: str
    recipe: str
    path: Path
    textfiles: Path

    def publish(self, check: str) -> int:
        """Run the recipe where `check` is what runs as `network-connections`."""
        command = self.path / "network-connections"
        command.write_text(f"#!/bin/sh\n{check}\n", encoding="utf-8")
        command.chmod(0o755)
        env = {**os.environ, "PATH": f"{self.path}:{os.environ['PATH']}"}
        done = subprocess.run(
            [self.shell, "-c", self.recipe],
            env=env,
            capture_output=True,
            timeout=harness.PATIENCE,
            check=False,
        )
        assert done.stdout == b""
        return done.returncode

    @property
    def published(self) -> str:
        """What node_exporter reads."""
        return (self.textfiles / NAME).read_text(encoding="utf-8")

    @property
    def is_old(self) -> bool:
        """Whether the file's time says that nothing has been published since."""
        return (self.textfiles / NAME).stat().st_mtime == LONG_AGO


def recipe(textfiles: Path) -> str:
    """Return the page's recipe for this directory."""
    (text,) = [
        block
        for one in PAGES
        for block in page.blocks(one.read_text("utf-8"), "sh")
        if MARK in block
    ]
    return text.replace("/var/lib/network-connections/node-exporter", shlex.quote(str(textfiles)))


@pytest.fixture
def host(shell: str, directory: Path) -> Host:
    textfiles = directory / "textfiles"
    textfiles.mkdir()
    path = directory / "bin"
    path.mkdir()
    publish_long_ago(textfiles)
    return Host(shell, recipe(textfiles), path, textfiles)


def publish_long_ago(textfiles: Path) -> None:
    (textfiles / NAME).write_text(OLD, encoding="utf-8")
    os.utime(textfiles / NAME, (LONG_AGO, LONG_AGO))


def check(command: Command, *options: str) -> str:
    """Return what runs the check on three listeners."""
    test = command.fixture(connections({"tcp_LISTEN": 3}))
    return f'exec {shlex.join(map(os.fsdecode, command.line(test)))} {shlex.join(options)} "$@"'


Outcome = Callable[[Command], str]


@pytest.mark.parametrize(
    ("state", "options"),
    [(0, []), (1, ["-w2"]), (2, ["-c2"]), (3, ["--test=broken"])],
    ids=["OK", "WARNING", "CRITICAL", "UNKNOWN"],
)
def test_every_outcome_is_published(
    state: int, options: list[str], native: Command, host: Host
) -> None:
    assert host.publish(check(native, *options)) == state
    lines = host.published.splitlines()
    assert f"{STATE} {state}" in lines
    assert ('network_connections{check="all",type="tcp",state="LISTEN"} 3' in lines) == (state != 3)
    assert [path.name for path in host.textfiles.iterdir()] == [NAME]
    assert not host.is_old


@pytest.mark.parametrize(
    "no_check",
    [
        lambda _: "exit 127",
        lambda _: "kill -KILL $$",
        # Killed in the middle of its answer.
        lambda command: f"({check(command)}) | head -n 3; kill -KILL $$",
    ],
    ids=["not there", "killed", "killed half-way"],
)
def test_what_is_no_answer_leaves_a_file_that_gets_old(
    no_check: Outcome, native: Command, host: Host
) -> None:
    assert host.publish(no_check(native)) == 3
    assert (host.published, host.is_old) == (OLD, True)


def test_a_mistyped_option_is_published(native: Command, host: Host) -> None:
    assert host.publish(check(native, "--mistyped")) == 3
    assert host.published.startswith('# Unknown option "--mistyped"')
    assert f"{STATE} 3" in host.published.splitlines()
    assert not host.is_old


@pytest.fixture
def full(host: Host) -> Host:
    """Return a host on whose disk there is no room left."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    if reason := lacking("unshare"):
        pytest.skip(reason)
    # Mounted in the shell's own mount namespace, and gone with it.
    fill = f"""
mount -t tmpfs -o size=64k none {host.textfiles}
cp -p {host.textfiles.parent / NAME} {host.textfiles}
cat /dev/zero > {host.textfiles}/more 2> /dev/null
{host.shell} -c "$1"
state=$?
cp -p {host.textfiles / NAME} {host.textfiles.parent}
exit "$state"
"""
    publish_long_ago(host.textfiles.parent)
    around = f"unshare --mount sh -c {shlex.quote(fill)} sh {shlex.quote(host.recipe)}"
    return Host(host.shell, around, host.path, host.textfiles.parent)


@pytest.mark.parametrize("options", [[], ["-w2"], ["-c2"]], ids=["OK", "WARNING", "CRITICAL"])
def test_a_full_disk_leaves_a_file_that_gets_old(
    options: list[str], native: Command, full: Host
) -> None:
    assert full.publish(check(native, *options)) == 3
    assert (full.published, full.is_old) == (OLD, True)


def test_cron_runs_the_script_that_the_page_names() -> None:
    (found,) = [one for one in PAGES if MARK in one.read_text("utf-8")]
    text = found.read_text("utf-8")
    (line,) = page.blocks(text, "crontab")
    *times, user, command = line.split()
    assert (times, user) == (["*"] * 5, "root")
    assert f"Save this script as `{command}`" in text
