"""The demonstration: a server leaks connections among others that do not, and the check says so.

With NETWORK_CONNECTIONS_WRITE_DOCS=1 it writes docs/leak.txt, which docs/evidence/leak.md shows;
otherwise it sees that a run still gives what is written there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import harness
import page
import pytest
from harness import Command
from lab import namespaces, oracles, owners
from lab.owners import Answer, Host, private

PAGE = harness.ROOT / "docs" / "leak.txt"
OPTIONS = ["--conn-status=close_wait", "--critical=100", "--lengthy"]
HOST, CLIENT, BACKEND = "192.0.2.1", "192.0.2.2", "192.0.2.3"
HALF_CLOSED = harness.stuck("half-closed")
USERS = {"leaky": 2001, "nginx": 2002, "postgres": 2003}


@pytest.fixture(scope="module")
def host(nobodys: Mapping[str, Command]) -> Iterator[Host]:
    """Return a host whose server never closes what its clients and its backend have closed."""
    if reason := owners.missing():
        pytest.skip(reason)
    with owners.host(nobodys["native"].argv) as made:
        with namespaces.inside(made.ns):
            ports = Path("/proc/sys/net/ipv4/ip_local_port_range")
            ports.write_text("32768 60999", encoding="ascii")
        address = [f"{BACKEND}/24", "dev", "lab"]
        namespaces.run(None, ["ip", "-n", made.pair.b, "addr", "add", *address])
        client, backend = (made.start(name, ns=made.pair.b) for name in ("client", "backend"))
        server = {
            name: made.start(name, made.cgroup("system.slice", f"{name}.service"), uid)
            for name, uid in USERS.items()
        }
        for name, port, clients, left in (
            ("leaky", 8080, 412, 412),
            ("nginx", 8443, 60, 3),
            ("postgres", 5432, 25, 1),
        ):
            server[name].do("listen", HOST, port)
            client.do("connect", HOST, port, clients, CLIENT)
            server[name].do("accept", port, clients)
            client.do("shut", port, left)
        backend.do("listen", BACKEND, 443)
        server["leaky"].do("connect", BACKEND, 443, 400)
        backend.do("accept", 443, 400)
        backend.do("shut", 443)
        # Packets cross the veth in their own time.
        deadline = time.monotonic() + 10
        while oracles.counts(oracles.read_proc_net(made.ns)).get("tcp_CLOSE_WAIT") != 816:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield made


@pytest.fixture(scope="module")
def answers(host: Host, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    """Return what the check answers, by prompt and command line."""
    accounts = tmp_path_factory.mktemp("etc") / "passwd"
    users = "".join(f"{name}:x:{uid}:{uid}::/:/bin/false\n" for name, uid in USERS.items())
    accounts.write_text(f"root:x:0:0::/root:/bin/sh\n{users}", encoding="ascii")
    before = private(f"mount --bind {accounts} /etc/passwd; chmod 644 /etc/passwd")
    answers = {}
    for user, prompt, by in (("nobody", "$", "unit"), ("root", "#", "process")):
        options = [f"--group-by={by}", *OPTIONS]
        answer = host.ask(*options, user=user, before=before)
        answers[f"{user}{prompt} network-connections {' '.join(options)}"] = answer
    return answers


def test_nobody_learns_the_unit_the_user_and_the_peers(answers: Mapping[str, Answer]) -> None:
    answer, _ = answers.values()
    assert (answer.stderr, answer.returncode) == ("", 2)
    first = answer.stdout.partition("\n")[0]
    assert first == "leaky.service: 812 [CRITICAL], nginx.service: 3, postgres.service: 1"
    assert_owner(answer, "leaky.service", "(other users' processes)")
    assert_peers(answer, "leaky.service")


def test_root_learns_the_process_too(host: Host, answers: Mapping[str, Answer]) -> None:
    _, answer = answers.values()
    assert (answer.stderr, answer.returncode) == ("", 2)
    first = answer.stdout.partition("\n")[0]
    process = r"leaky \((\d+)\)"
    others = r"nginx \(\d+\): 3, postgres \(\d+\): 1"
    match = re.fullmatch(rf"{process}: 812 \[CRITICAL\], {others}", first)
    assert match is not None
    assert Path(f"/proc/{match[1]}/comm").read_text(encoding="ascii") == "leaky\n"
    label = f"leaky ({match[1]})"
    assert_owner(answer, label, label)
    assert_peers(answer, label)


def assert_owner(answer: Answer, label: str, process: str) -> None:
    rows = harness.rows(harness.Done(*answer), label)
    # Those of its clients, and those to its backend.
    assert harness.columns(rows, "Connections", "Process", "Unit", "User", "Local port") == [
        ["412", process, "leaky.service", "leaky", "8080"],
        ["400", process, "leaky.service", "leaky", "-"],
    ]
    assert_stuck(rows)


def assert_peers(answer: Answer, label: str) -> None:
    rows = harness.rows(harness.Done(*answer), label, "peer")
    ends = ("Local port", "Remote address", "Remote port")
    assert harness.columns(rows, "Connections", *ends, "Ephemeral ports in use") == [
        ["412", "8080", CLIENT, "-", "-"],
        # The share of its ports is that of all connections to the backend.
        ["400", "-", BACKEND, "443", "400 of 28232 (1.42%)"],
    ]
    assert_stuck(rows)


def assert_stuck(rows: Sequence[Mapping[str, str]]) -> None:
    for row in rows:
        assert re.fullmatch(f"{harness.NOT_STUCK}|{HALF_CLOSED}", row["Stuck for"]), row


def test_the_page_shows_what_a_run_gives(answers: Mapping[str, Answer]) -> None:
    text = "\n".join(f"{command}\n{answer.stdout}" for command, answer in answers.items())
    page.rewrite(PAGE, lambda _: text, comparable)


def test_the_evidence_shows_the_page() -> None:
    def change(evidence: str) -> str:
        leak = PAGE.read_text(encoding="utf-8")
        begin, end = "<!-- leak -->\n", "<!-- /leak -->"
        before, rest = evidence.split(begin)
        _, after = rest.split(end)
        return f"{before}{begin}```text\n{leak}```\n{end}{after}"

    page.rewrite(harness.ROOT / "docs" / "evidence" / "leak.md", change)


def comparable(text: str) -> str:
    """Return a text without what differs from run to run: ids, times, shares, what they take up."""
    text = re.sub(r"\(\d+\)", "(PID)", text)
    # Of less than a second nothing is said.
    text = re.sub(HALF_CLOSED, harness.NOT_STUCK, text)
    text = re.sub(r"\d+ of \d+ \([\d.]+%\)", "SHARE", text)
    return re.sub(r"( |-)\1+", r"\1", text)
