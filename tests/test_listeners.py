"""Listeners that nobody expected: what is allowed is a list of keys, and the rest is named."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import harness
import pytest
from harness import Command
from lab import owners
from lab.owners import Answer, Host

pytestmark = pytest.mark.skipif(bool(owners.missing()), reason=owners.missing() or "-")

LISTENING = ("--conn-status=listen", "--group-by=local-endpoint", "--no-perfdata")
OUTSIDE = ("--local-address=^127.0.0.0/8", "--local-address=!::1")
USERS = ("root", "nobody")


@pytest.fixture
def host(nobodys: Mapping[str, Command]) -> Iterator[Host]:
    with owners.host([*nobodys["native"].argv, "--timeout=60", "--strict"]) as made:
        yield made


def listening(host: Host, unit: str, *ends: tuple[str, int]) -> owners.Actor:
    """Start a program of a unit that listens on these ends."""
    program = host.start(unit, host.cgroup("system.slice", f"{unit}.service"))
    for address, port in ends:
        program.do("listen", address, port)
    return program


def said(answer: Answer) -> tuple[str, int]:
    """Return the first line and the state."""
    assert answer.stderr == ""
    return answer.stdout.partition("\n")[0], answer.returncode


@pytest.mark.parametrize("user", USERS)
def test_a_listener_that_no_key_allows_is_named(host: Host, user: str) -> None:
    ask = (*LISTENING, *OUTSIDE, "-c", "0,22=0:,192.0.2.0/24:8000-8099=0:")
    listening(host, "sshd", ("192.0.2.1", 22))
    listening(host, "app", ("192.0.2.1", 8080), ("127.0.0.1", 9000))
    fine = "192.0.2.1:22: 1, 192.0.2.1:8080: 1"
    assert said(host.ask(*ask, user=user)) == (fine, 0)
    # Others reach this one.
    listening(host, "redis", ("0.0.0.0", 6379))  # noqa: S104
    wrong = f"0.0.0.0:6379: 1 (not expected) [CRITICAL], {fine}"
    assert said(host.ask(*ask, user=user)) == (wrong, 2)
    report = json.loads(host.ask(*ask, "--format=json", user=user).stdout)
    assert [group["label"] for group in report["groups"] if group.get("unexpected")] == [
        "0.0.0.0:6379"
    ]
    # A warning is said the same way, and a range that is not 0 is a limit.
    warned = host.ask(*ask[:-2], "-w", "0,22=0:", user=user)
    assert said(warned)[0].count(" (not expected) [WARNING]") == 2
    limited = host.ask(*ask[:-2], "-w", "0", user=user)
    assert "not expected" not in limited.stdout


def test_the_table_names_process_unit_and_user(host: Host) -> None:
    redis = listening(host, "redis", ("192.0.2.1", 6379))
    done = host.ask(*LISTENING, "--lengthy", "-c", "0,22=0:")
    assert said(done) == ("192.0.2.1:6379: 1 (not expected) [CRITICAL]", 2)
    (row,) = harness.rows(harness.Done(*_parts(done)), "192.0.2.1:6379", "owner")
    assert f"({redis.pid})" in row["Process"]
    assert row["Unit"].endswith("redis.service")
    assert row["User"] == "root"


def _parts(answer: Answer) -> tuple[str, str, int]:
    return answer.stdout, answer.stderr, answer.returncode


@pytest.mark.parametrize("user", USERS)
def test_a_unit_that_may_not_listen_on_a_port(host: Host, user: str) -> None:
    """The wrong one has taken the port, or both share it."""
    selected = ("--conn-status=listen", "--local-port=443", "--no-perfdata")
    ask = (*selected, "--group-by=unit", "-c", "0,nginx=1:")
    right = listening(host, "nginx", ("192.0.2.1", 443))
    assert said(host.ask(*ask, user=user)) == ("nginx.service: 1", 0)
    listening(host, "other", ("127.0.0.1", 443))
    wrong = "other.service: 1 (not expected) [CRITICAL]"
    line, state = said(host.ask(*ask, user=user))
    assert (state, wrong in line) == (2, True), line
    right.do("stop_listening", 443)
    assert said(host.ask(*ask, user=user)) == (f"{wrong}, nginx: 0 [CRITICAL]", 2)


@pytest.mark.parametrize("user", USERS)
def test_a_listener_that_is_gone(host: Host, user: str) -> None:
    ask = (*LISTENING, "-c", "0,22=1:,443=1:")
    listening(host, "sshd", ("192.0.2.1", 22))
    web = listening(host, "nginx", ("192.0.2.1", 443))
    assert host.ask(*ask, user=user).returncode == 0
    web.do("stop_listening", 443)
    assert said(host.ask(*ask, user=user)) == ("192.0.2.1:22: 1, 443: 0 [CRITICAL]", 2)


@pytest.mark.parametrize(
    ("keys", "state"),
    [
        ("192.0.2.1=0:", 0),
        ("192.0.2.0/24=0:", 0),
        ("192.0.2.1:443=0:", 0),
        ("1-1000=0:", 0),
        ("0.0.0.0/0=0:,192.0.2.0/24=0", 2),
        ("192.0.2.0/24=0,192.0.2.1=0:", 0),
        ("192.0.2.0/24=0,443=0:", 2),
        ("192.0.2.0/24=0,192.0.2.0/24:443=0:", 0),
        ("1-1000=0:,400-500=0", 2),
        ("400-500=0,443=0:", 0),
        ("2001:db8::/32=0:", 2),
        ("198.51.100.0/24=0:", 2),
    ],
)
def test_the_closest_key_wins(host: Host, keys: str, state: int) -> None:
    listening(host, "nginx", ("192.0.2.1", 443))
    for ordered in (keys, ",".join(reversed(keys.split(",")))):
        line, code = said(host.ask(*LISTENING, "-c", f"0,{ordered}"))
        assert code == state, (ordered, line)


def test_networks_and_ranges_of_ports_are_keys_of_other_groups(host: Host) -> None:
    program = listening(host, "dns")
    for last in range(3):
        program.do("udp_at", "192.0.2.1", 8000 + last)
    for by, label, keys in (
        ("local-port", "8001", {"8000-8099": 2, "8001": 2, "8002-8099,8001": 2, "9000-9999": 0}),
        ("local-address", "192.0.2.1", {"192.0.0.0/16": 2, "10.0.0.0/8": 0, "192.0.2.1": 2}),
        ("local-network", "192.0.2.0/24", {"192.0.0.0/16": 2, "192.0.2.0/24": 2, "10.0.0.0/8": 0}),
    ):
        for key, state in keys.items():
            first, _, second = key.partition(",")
            limits = f"{first}=0" + (f",{second}=0" if second else "")
            done = host.ask(f"--group-by={by}", "-c", limits)
            assert done.returncode == state, (by, key, done)
            assert (f"{label}: " in done.stdout) and "not expected" not in done.stdout
    refused = host.ask("--group-by=remote-network", "-c", "192.0.2.0/25=5")
    assert refused.returncode == 3
    assert '"192.0.2.0/25" is the key of no group' in refused.stdout


def test_other_namespaces_are_said_in_the_tables_alone(host: Host, native: Command) -> None:
    """A host says that there are more; a namespace that somebody has chosen does not."""
    listening(host, "sshd", ("192.0.2.1", 22))
    done = host.ask(*LISTENING, "--lengthy")
    assert "network namespaces" not in done.stdout
    assert "netns_unasked" not in json.loads(host.ask("--format=json").stdout)
    report = json.loads(native.run("--format=json", "--no-perfdata").stdout)
    # The host of the tests may itself be such a namespace.
    if "netns_unasked" in report:
        assert report["netns_unasked"] >= 1
        assert "network namespaces" not in native.run("--no-perfdata").stdout
