"""AppArmor confines the check by the project's profile: the answers of a check without a profile.

Run by `make test-kernels` in a machine with AppArmor. The kernel denies nothing. What was asked is
written to a file, for the page.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import harness
import pytest
from harness import Command, Done
from lab import namespaces

from kernels.configured import COUNTS, GROUPS, sockets
from kernels.policies import CHECK, WITH_RIGHTS

__all__ = ["sockets"]

SEEN = Path("/run/seen")
# The fixture says that nothing but the native command runs.
pytestmark = pytest.mark.usefixtures("nobodys")

# The profile does not apply to this path.
UNCONFINED = "/usr/local/bin/check_network_connections"
USERS = {"root": "", "nobody": "", "nobody, by the copy with rights": WITH_RIGHTS}
OTHERS = (
    "--group-by=program",
    "--group-by=netns",
    "--group-by=remote-address",
    "--lengthy",
    "--netns=all --group-by=unit",
    "--netns=all --lengthy",
    "--measure=open-files --lengthy",
    "--measure=exhaustion --lengthy",
)
ASKED = ("--source=auto", "--source=netlink", "--source=procfs", *GROUPS, *OTHERS)
DENIED = re.compile(r'apparmor="DENIED" (.*)')


@pytest.fixture(scope="module", autouse=True)
def others(sockets: None) -> Iterator[None]:
    """Let there be other network namespaces, and a process that has the most files by far."""
    with contextlib.ExitStack() as held:
        held.enter_context(namespaces.pair())
        for _ in range(500):
            held.enter_context(Path(__file__).open(encoding="utf-8"))
        yield


def denied() -> list[str]:
    """Return what the kernel has denied since the last call."""
    # A thread of the kernel writes it.
    time.sleep(0.3)
    line = ["dmesg", "--read-clear"]
    text = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    return DENIED.findall(text)


def ask(program: str, user: str, options: Sequence[str]) -> Done:
    before = namespaces.command(None, [], user.partition(",")[0])
    return Command("native", (program,), Path("/")).run("--timeout=100", *options, before=before)


def alike(done: Done) -> tuple[str, str, int]:
    """Return an answer without the numbers and names that change from one run to the next."""
    return re.sub(r"\d+(\.\d+)?", "N", done.stdout), done.stderr, done.returncode


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("asked", ASKED)
def test_answers(asked: str, user: str) -> None:
    options = [*asked.split(), "--format=json"]
    without = ask(f"{UNCONFINED}{USERS[user]}", user, options)
    denied()
    done = ask(f"{CHECK}{USERS[user]}", user, options)
    assert denied() == []
    given = json.loads(done.stdout)
    assert alike(done) == alike(without)
    if given["state"] != 3 and asked not in OTHERS and asked != "--netns=all":
        found = {group["label"]: group["count"] for group in given["groups"]}
        for label, count in GROUPS.get(asked, COUNTS).items():
            assert count in (None, found[label]), given
    # Without rights some have no answer.
    assert given["state"] != 3 or user == "nobody", given
    with SEEN.open("a", encoding="utf-8") as file:
        file.write(f"seen: {json.dumps({'asked': asked, 'user': user})}\n")


def test_other_files_are_refused() -> None:
    """The profile holds: a network namespace is not entered where it does not name the file."""
    place = Path("/run/elsewhere")
    place.touch()
    with namespaces.pair() as made:
        subprocess.run(["mount", "--bind", f"/run/netns/{made.a}", place], check=True)
        try:
            denied()
            assert ask(UNCONFINED, "root", [f"--netns={place}"]).returncode == 0
            assert denied() == []
            harness.one_line(ask(CHECK, "root", [f"--netns={place}"]))
            assert f'name="{place}"' in "".join(denied())
        finally:
            subprocess.run(["umount", place], check=True)
