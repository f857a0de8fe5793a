"""A kernel configured otherwise: the same answer as everywhere, or UNKNOWN and the reason.

Run by `make test-kernels` in machines where nothing else has sockets. Each UNKNOWN is written to a
file, for the page.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness
import pytest
from asking import USERS
from harness import Command
from lab import namespaces

UNKNOWN = Path("/run/unknown")
TCP, UNIX = "127.0.0.1:8001", "/run/queue"
COUNTS = {"tcp_ESTABLISHED": 4, "tcp_LISTEN": 1, "udp_NONE": 1}
# The labels that must be among the groups of an answer, and their numbers.
GROUPS: dict[str, dict[str, int | None]] = {
    "--measure=accept-queue": {TCP: 2, UNIX: 1},
    "--measure=syn-queue": {TCP: 0},
    "--measure=receive-buffer": {"127.0.0.1:8002": None},
    "--measure=ephemeral-ports": {TCP: 2},
    "--measure=open-files": {},
    "--measure=host-limits": {"files": None, "orphans": None},
    "--measure=stuck": {},
    "--measure=exhaustion": {},
    "--group-by=unit": {},
    "--group-by=process": {},
    "--group-by=user": {},
    "--netns=all": dict(COUNTS),
}


@pytest.fixture(scope="module", autouse=True)
def sockets() -> Iterator[None]:
    """Let two connections and one of a unix socket wait, and a datagram."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 8001))
        listener.listen(4)
        for _ in range(2):
            client = held.enter_context(socket.socket())
            client.connect(("127.0.0.1", 8001))
        receiver = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        receiver.bind(("127.0.0.1", 8002))
        # Of a user without a name.
        os.fchown(receiver.fileno(), 12345, -1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"-" * 1000, ("127.0.0.1", 8002))
        queue = held.enter_context(socket.socket(socket.AF_UNIX))
        queue.bind(UNIX)
        held.callback(Path(UNIX).unlink)
        Path(UNIX).chmod(0o666)
        queue.listen(4)
        held.enter_context(socket.socket(socket.AF_UNIX)).connect(UNIX)
        yield


def answer(nobodys: dict[str, Command], user: str, *options: str) -> dict[str, Any]:
    """Ask as this user; keep the reason where the answer is UNKNOWN."""
    before = namespaces.command(None, [], user)
    done = nobodys["native"].run("--format=json", "--timeout=100", *options, before=before)
    given: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == given["state"]
    if given["state"] == 3:
        assert given["message"]
        with UNKNOWN.open("a", encoding="utf-8") as file:
            file.write(
                f"unknown: {user}: {' '.join(options)}: {harness.reworded(given['message'])}\n"
            )
    return given


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("source", ["auto", "netlink", "procfs"])
def test_counts(nobodys: dict[str, Command], source: str, user: str) -> None:
    given = answer(nobodys, user, f"--source={source}")
    found = {group["label"]: group["count"] for group in given.get("groups", [])}
    assert found == COUNTS or (given["state"] == 3 and source != "auto")


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("asked", GROUPS)
def test_answers(nobodys: dict[str, Command], asked: str, user: str) -> None:
    given = answer(nobodys, user, asked)
    if given["state"] == 3:
        return
    found = {group["label"]: group["count"] for group in given["groups"]}
    for label, count in GROUPS[asked].items():
        if label in found:
            assert count in (None, found[label]), given
        elif label == UNIX:
            # An answer that is one of a part says so.
            assert not given["unix_listeners_seen"], given
            assert "unix" in given["message"], given
        else:
            assert label in given["message"], given
    if asked in ("--group-by=unit", "--group-by=process", "--group-by=user"):
        assert sum(found.values()) == sum(COUNTS.values())
