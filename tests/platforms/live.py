"""Real sockets, counted by a build for another platform as by the build for this one.

Run by `make test-platforms` and `make test-windows`, in a network namespace of their own; the
runner is told which build it is by the environment (see `harness.py`).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import harness
import network_connections
import pytest
from harness import Command, Done
from lab.names import TYPES
from lab.oracles import read_proc_net

HERE = harness.ROOT / "target" / "release"
SOCKETS = harness.ROOT / "target" / "debug" / "examples" / "sockets"
SOURCES = {"netstat2"} if harness.WINDOWS else {"netlink", "procfs"}


@contextmanager
def sockets(*line: str | Path) -> Iterator[dict[str, int]]:
    """Hold sockets in every state that two ends can be brought into; yield how many."""
    held = subprocess.Popen(
        [str(word) for word in line],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "RUST_BACKTRACE": "0"},
    )
    assert held.stdin is not None
    assert held.stdout is not None
    try:
        yield json.loads(held.stdout.readline())
    finally:
        held.stdin.close()
        held.wait(harness.PATIENCE)


@pytest.fixture(scope="module", params=["here", "there"] if harness.WINDOWS else ["here"])
def counts(request: pytest.FixtureRequest) -> Iterator[dict[str, int]]:
    """Make the sockets by a program for this platform, or for the other one."""
    there = harness.NATIVE.parent / "examples" / "sockets.exe"
    with sockets(*([*harness.RUNNER, there] if request.param == "there" else [SOCKETS])) as made:
        # A close is seen by the other end before its acknowledgement has come back.
        deadline = time.monotonic() + harness.PATIENCE
        while any(row.status == "FIN_WAIT1" for row in read_proc_net()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield made


def report(done: Done) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(done.stdout)
    assert "\r" not in done.stdout
    return answer


def groups(done: Done) -> dict[str, int]:
    return {group["label"]: group["count"] for group in report(done)["groups"]}


def test_every_state_is_counted(native: Command, counts: dict[str, int]) -> None:
    done = native.run("--format=json")
    # What waits out late segments is gone after a minute, or with the next test's sockets.
    waiting = {label for label in counts if label.endswith("TIME_WAIT")}
    found = groups(done)
    assert {label: found.get(label, 0) for label in counts.keys() - waiting} == {
        label: number for label, number in counts.items() if label not in waiting
    }
    assert found.keys() == counts.keys()
    for label in waiting:
        assert found[label] >= counts[label]
    assert set(report(done)["source"].split(", ")) <= SOURCES


OPTIONS = [
    [],
    *([f"--conn-type={kind}"] for kind in TYPES),
    *(
        [f"--conn-status={status}"]
        for status in ("established", "listen", "close_wait", "fin_wait2", "none", "syn_sent")
    ),
    ["--conn-type=tcp6", "--conn-status=established", "--conn-status=close_wait", "-w5", "-c9"],
    ["--group-by=type"],
    ["--group-by=status", "--zero"],
    ["--group-by=local-port", "--top=3"],
    ["--group-by=local-address"],
    ["--group-by=remote-address", "--conn-type=tcp", "--conn-type=tcp6"],
    ["--group-by=remote-port", "--conn-type=tcp", "--top=5"],
    ["--local-address=127.0.0.0/8"],
    ["--local-address=::1"],
    ["--remote-address=127.0.0.1", "--conn-type=tcp"],
    ["--local-port=1-1023"],
    ["--local-port=1024-65535", "--warning=total=10"],
]


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_selections_and_groups(native: Command, counts: dict[str, int], options: list[str]) -> None:
    assert counts
    here = subprocess.run(
        [str(HERE / "network-connections"), *options], capture_output=True, text=True, check=False
    )
    assert native.run(*options) == Done(here.stdout, here.stderr, here.returncode)


@pytest.mark.skipif(not harness.WINDOWS, reason="only for Windows")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--group-by=unit"], "the cgroups of sockets are not known here"),
        (["--group-by=user"], "the users of sockets are not known here"),
        (["--netns=all"], "This system has no network namespaces (Linux has them)"),
        (["--measure=accept-queue"], "the limits of accept queues are not known here"),
        (["--measure=syn-queue"], "the limits of SYN queues are not known here"),
        (["--measure=receive-buffer"], "the limits of receive buffers are not known here"),
        (["--measure=ephemeral-ports"], "The ports for outgoing connections cannot be read here"),
        (["--measure=open-files"], "This system has no limit of open files for each process"),
        (["--remote-port=53"], "this system does not tell the remote end of UDP sockets"),
        (["--group-by=remote-address", "--conn-type=udp"], "does not tell the remote end of UDP"),
    ],
    ids=str,
)
def test_what_this_system_cannot(
    native: Command, counts: dict[str, int], options: list[str], reason: str
) -> None:
    assert counts
    assert reason in harness.one_line(native.run(*options))


@pytest.mark.skipif(not harness.WINDOWS, reason="only for Windows")
def test_arguments_that_are_no_unicode(native: Command) -> None:
    helper = harness.NATIVE.parent / "examples" / "surrogates.exe"
    line = [*harness.RUNNER, str(helper), native.argv[-1], "--always-ok"]
    done = subprocess.run(line, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (3, b"")
    assert re.fullmatch(rb"Fixture is not a JSON list of connections: [^\r\n]+\n", done.stdout)


@pytest.mark.skipif(not harness.WINDOWS, reason="only for Windows")
def test_its_properties_and_its_manifest(native: Command) -> None:
    says = harness.NATIVE.parent / "examples" / "says.exe"
    line = [*harness.RUNNER, str(says), "properties", native.argv[-1]]
    found = json.loads(subprocess.run(line, capture_output=True, check=True).stdout)
    manifest = ElementTree.fromstring(found.pop("manifest"))  # noqa: S314 - our own
    version = network_connections.__version__
    assert found == {
        "FileDescription": "Monitoring check of TCP and UDP connections",
        "FileVersion": version,
        "OriginalFilename": "network-connections.exe",
        "version": [int(part) for part in version.split(".")],
    }
    levels = manifest.iter("{urn:schemas-microsoft-com:asm.v3}requestedExecutionLevel")
    assert [level.attrib["level"] for level in levels] == ["asInvoker"]


@pytest.mark.skipif(not harness.WINDOWS, reason="only for Windows")
def test_the_zip_has_the_command_and_what_its_pages_lead_to(
    native: Command, directory: Path
) -> None:
    places = [directory / name for name in ("one", "other")]
    tool = harness.ROOT / "tools" / "archive.py"
    for place in places:
        line = [sys.executable, str(tool), f"--output={place}"]
        subprocess.run(line, check=True, capture_output=True)
    (one,), (other,) = (list(place.iterdir()) for place in places)
    version = network_connections.__version__
    assert one.name == f"network-connections-{version}-x86_64-pc-windows-gnu.zip"
    assert one.read_bytes() == other.read_bytes()
    with zipfile.ZipFile(one) as archive:
        archive.extractall(directory)
    (folder,) = directory.glob("network-connections-*")
    line = [*harness.RUNNER, str(folder / "network-connections.exe"), "--version"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.stdout == native.run("--version").stdout
    assert "winsafe" in (folder / "third-party-licenses").read_text(encoding="utf-8")
    page = folder / "docs" / "windows.md"
    links = re.findall(r"\]\((?!https:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (page.parent / link).is_file(), link


# As many as one process may hold, twice, where it may hold 20,000 files.
MANY = 9_000
# Wine looks for the owner of every socket, for longer than anybody would wait.
PATIENT = 300


def test_a_table_that_grows_meanwhile(native: Command) -> None:
    """An answer has at least what was there all the time; Wine gives some calls up, and says so."""
    right = 0
    with sockets(SOCKETS, "50") as made, subprocess.Popen([SOCKETS, "1500", "10"]) as growing:
        while growing.poll() is None:
            done = patiently(native)
            if done.returncode == 3 and harness.WINDOWS:
                message = report(done)["message"]
                assert message.startswith("Cannot count TCP connections: netstat2: tcp: ")
                assert "(os error " in message
            else:
                assert groups(done)["tcp_ESTABLISHED"] >= made["tcp_ESTABLISHED"]
                right += 1
    assert right


def test_a_hundred_thousand_rows(native: Command) -> None:
    # The last test: what it leaves in TIME_WAIT takes Wine long, too.
    count = ("--conn-status=established", *(["--group-by=process"] if harness.WINDOWS else []))
    others = sum(groups(patiently(native, *count)).values())
    with ExitStack() as held:
        made = [held.enter_context(sockets(SOCKETS, str(MANY))) for _ in range(6)]
        expected = sum(counts["tcp_ESTABLISHED"] for counts in made)
        found = sum(groups(patiently(native, *count)).values())
        hasty = native.run("--conn-type=tcp", "--timeout=0.001")
    assert expected > 100_000
    assert found - others == expected
    assert harness.one_line(hasty) == "Timeout: no answer within 0.001 s"


def patiently(native: Command, *options: str) -> Done:
    done = subprocess.run(
        native.line("--format=json", "--conn-type=tcp", f"--timeout={PATIENT}", *options),
        capture_output=True,
        text=True,
        env=native.environment(),
        timeout=PATIENT,
        check=False,
    )
    return Done(done.stdout, done.stderr, done.returncode)
