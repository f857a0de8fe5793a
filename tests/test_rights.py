"""Capabilities of the command's file: as many as the question needs are kept, and no more."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Command
from lab import namespaces, owners
from lab.tools import lacking

pytestmark = [
    pytest.mark.skipif(
        bool(namespaces.missing() or lacking("setcap", "strace")),
        reason=namespaces.missing() or lacking("setcap", "strace") or "-",
    ),
    # What runs a build for another system has no such rights.
    pytest.mark.usefixtures("tampered"),
]

# A PID namespace of its own, which shows none of the others' processes.
APART = ["unshare", "--pid", "--fork", "--mount-proc"]
ALL = {"CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN"}


@pytest.fixture
def granted(native: Command, directory: Path) -> Iterator[Path]:
    """Return a copy that the user nobody may run, with rights of its own."""
    copy = directory / "network-connections"
    shutil.copy(native.argv[0], copy)
    copy.chmod(0o755)
    directory.chmod(0o755)
    names = ",".join(name.lower() for name in ALL)
    subprocess.run(["setcap", f"{names}=ep", copy], check=True)
    yield copy


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ([], set()),
        (["--group-by=user"], set()),
        (["--group-by=unit"], {"CAP_DAC_READ_SEARCH"}),
        (["--group-by=netns"], {"CAP_SYS_PTRACE"}),
        (["--group-by=process"], {"CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"}),
        (["--lengthy"], {"CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"}),
        (["--measure=open-files"], {"CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"}),
        (["--measure=open-files", "--lengthy"], ALL),
        (["--netns=all"], ALL),
        (["--netns=all", "--lengthy"], ALL),
        (["--netns=all", "--lengthy", "--test=[]"], set()),
    ],
    # The order of a set is another one in every process.
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_not_needed_is_given_up_first(
    granted: Path, options: list[str], kept: set[str]
) -> None:
    log = granted.with_name("log")
    # By another user strace starts it with the rights of its file.
    strace = ["strace", "-u", "nobody", "-f", "-e", "trace=capset,socket,openat", "-o"]
    traced = [*strace, str(log), str(granted)]
    done = subprocess.run([*traced, *options], capture_output=True, check=False)
    assert done.returncode == 0, done
    lines = log.read_text(encoding="utf-8").splitlines()
    set_at = [number for number, line in enumerate(lines) if "capset(" in line]
    if kept == ALL:
        assert set_at == []
        return
    (number,) = set_at
    effective, permitted = re.findall(r"(?:effective|permitted)=(.+?), (?=\w+=)", lines[number])
    assert set(re.findall(r"CAP_\w+", effective)) == kept, lines[number]
    assert effective == permitted
    # Nothing of the system was asked before; libc looks for its own stack.
    before = [line for line in lines[:number] if "/proc/self/maps" not in line]
    assert not any("socket(" in line or '"/proc/' in line for line in before), before


def test_it_sees_what_root_sees(granted: Path) -> None:
    def ask(command: Path | str, user: str | None) -> str:
        asked = [str(command), "--group-by=process", "--conn-status=listen", "--no-perfdata"]
        line = namespaces.command(None, asked, user)
        return subprocess.run(line, capture_output=True, text=True, check=False).stdout

    # Where nobody else begins to listen meanwhile.
    here = ("127.0.0.1", 0)
    with namespaces.pair() as made, namespaces.inside(made.a), socket.create_server(here):
        assert ask(granted, "nobody") == ask(granted, None)
        assert f"({os.getpid()})" in ask(granted, "nobody")


def test_rights_of_the_file_open_a_directory_that_is_closed_to_its_user(
    granted: Path, directory: Path
) -> None:
    closed = directory / "closed"
    make = f"mkdir -m 700 {closed}; touch {closed}/ns; unshare --net={closed}/ns true"
    for command, output, code in (
        (str(granted), "No connections ", 0),
        # These are the rights that it lacks, and no others.
        ("", f"Network namespace {closed}/ns: CAP_DAC_READ_SEARCH is needed: ", 3),
    ):
        if not command:
            subprocess.run(["setcap", "cap_sys_ptrace,cap_sys_admin=ep", granted], check=True)
        asked = namespaces.command(None, [str(granted), f"--netns={closed}/ns"], "nobody")
        line = [*owners.private(make), *asked]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert done.stdout.startswith(output), done
        assert done.returncode == code
        shutil.rmtree(closed)


@pytest.mark.parametrize(
    ("before", "rights", "needed"),
    [
        ([], "cap_sys_ptrace", "CAP_DAC_READ_SEARCH is needed"),
        ([], "cap_dac_read_search", "CAP_SYS_PTRACE is needed"),
        (APART, "cap_sys_ptrace,cap_dac_read_search", "the host's PID namespace is needed"),
        (APART, "cap_sys_ptrace", "CAP_DAC_READ_SEARCH and the host's PID namespace are needed"),
    ],
)
def test_a_right_that_the_file_gives_is_not_named_as_missing(
    granted: Path, before: list[str], rights: str, needed: str
) -> None:
    subprocess.run(["setcap", f"{rights}=ep", granted], check=True)
    asked = [str(granted), "--group-by=process", "--critical=nothing=1:"]
    line = [*before, *namespaces.command(None, asked, "nobody")]
    here = ("127.0.0.1", 0)
    with namespaces.pair() as made, namespaces.inside(made.a), socket.create_server(here):
        done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert "nothing: 0 to 1 [UNKNOWN]" in done.stdout, done
    assert f"; some processes cannot be seen ({needed}; of very many" in done.stdout
    assert done.returncode == 3
