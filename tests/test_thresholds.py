"""Whatever is found and whatever is asked, the states are those that the documentation says.

The model is written from docs/usage.md alone and knows nothing of the implementation.
"""

from __future__ import annotations

import collections
import ipaddress
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from lab.names import STATUSES, TYPES
from network_connections import _core

# How bad a state is: what is known to be wrong is worse than what is not known.
SEVERITY = {0: 0, 3: 1, 1: 2, 2: 3}
NO_MATCH = {"ok": 0, "warn": 1, "crit": 2, "unknown": 3}

# A fixture may have states that no connection of this system can have.
FOREIGN = ("IDLE", "BOUND", "DELETE_TCB")
ADDRESSES = ("192.0.2.1", "192.0.2.2", "::ffff:192.0.2.2", "2001:db8::1", "fe80::1", "::")
PORTS = (0, 22, 443, 65535)


def statuses_of(kind: str) -> tuple[str, ...]:
    """Return the states that a socket of this type can have."""
    return ("NONE",) if kind.startswith("udp") else (*STATUSES[:-1], *FOREIGN)


PAIRS = tuple((kind, status) for kind in TYPES for status in statuses_of(kind))


@dataclass(frozen=True)
class Socket:
    """A recorded connection."""

    type: str
    status: str
    local: tuple[str, int]
    remote: tuple[str, int]

    def entry(self) -> dict[str, str]:
        """Return it as a fixture has it."""
        ends = {
            name: f"{address}:{port}"
            for name, (address, port) in (("local", self.local), ("remote", self.remote))
        }
        return {"proto": self.type, "status": self.status, **ends}


@dataclass(frozen=True)
class Range:
    """A Nagios range: the values from `low` to `high` are fine, or all others."""

    low: int | None
    high: int | None
    inverted: bool

    def text(self) -> str:
        """Return it as it is given."""
        low = "~" if self.low is None else str(self.low)
        text = f"{low}:" if self.high is None else f"{low}:{self.high}"
        if self.low == 0 and self.high is not None:
            text = str(self.high)
        return f"@{text}" if self.inverted else text

    def fine(self, value: int) -> bool:
        """Whether a value is fine."""
        inside = (self.low is None or self.low <= value) and (
            self.high is None or value <= self.high
        )
        return inside != self.inverted


# A key and its range; without a key it is for the rest.
Entry = tuple[Optional[str], Range]


@dataclass(frozen=True)
class Asked:
    """What is asked."""

    by: str
    types: tuple[str, ...]
    statuses: tuple[str, ...]
    critical: tuple[Entry, ...]
    warning: tuple[Entry, ...]
    zero: bool
    no_match: str

    def arguments(self) -> list[str]:
        """Return it as a command's arguments."""
        arguments = [f"--group-by={self.by}", f"--no-match-severity={self.no_match}"]
        arguments += [f"--conn-type={kind}" for kind in self.types]
        arguments += [f"--conn-status={status.lower()}" for status in self.statuses]
        for option, entries in (("critical", self.critical), ("warning", self.warning)):
            if entries:
                texts = [r.text() if key is None else f"{key}={r.text()}" for key, r in entries]
                arguments.append(f"--{option}={','.join(texts)}")
        return arguments + ["--zero"] * self.zero

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """What a selected connection can be."""
        return [
            (kind, status)
            for kind, status in PAIRS
            if kind in (self.types or TYPES) and status in (self.statuses or (*STATUSES, *FOREIGN))
        ]


@dataclass(frozen=True)
class Answer:
    """What must be answered: the state, and every group with its count and state."""

    state: int
    groups: dict[str, tuple[int, int]]
    total_state: int | None


class RefusedError(Exception):
    """What is asked cannot be."""


def canonical(address: str) -> str:
    """Return an address as it is shown: an IPv4-mapped one is its IPv4 address."""
    parsed = ipaddress.ip_address(address)
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def label(by: str, socket: Socket) -> str:
    """Return the label of a socket's group."""
    return {
        "type-status": f"{socket.type}_{socket.status}",
        "type": socket.type,
        "status": socket.status,
        "local-port": str(socket.local[1]),
        "remote-port": str(socket.remote[1]),
        "local-address": canonical(socket.local[0]),
        "remote-address": canonical(socket.remote[0]),
    }[by]


@dataclass(frozen=True)
class Key:
    """What a key means: one group by its label, or all of a type or state."""

    label: str
    broad: bool

    def means(self, group: str) -> bool:
        """Whether it means the group of this label."""
        kind, _, status = group.partition("_")
        return self.label in (kind, status) if self.broad else self.label == group


TOTAL = Key("total", broad=False)


def understood(text: str, asked: Asked) -> Key:
    """Return what a key means."""
    if text.lower() == "total":
        return TOTAL
    if asked.by.endswith("port"):
        if text.isascii() and text.isdigit() and int(text) <= 65535:
            return Key(str(int(text)), broad=False)
        raise RefusedError(text)
    if asked.by.endswith("address"):
        try:
            address = canonical(text)
        except ValueError:
            raise RefusedError(text) from None
        # An IPv4 peer may be one of an IPv6 socket, an IPv6 peer is never one of an IPv4 socket.
        if ":" in address and not any(kind.endswith("6") for kind, _ in asked.pairs):
            raise RefusedError(text)
        return Key(address, broad=False)
    exact = {
        "type-status": [f"{kind}_{status}" for kind, status in asked.pairs],
        "type": [kind for kind, _ in asked.pairs],
        "status": [status for _, status in asked.pairs],
    }[asked.by]
    whole = [name for pair in asked.pairs for name in pair] if asked.by == "type-status" else []
    for names, broad in ((exact, False), (whole, True)):
        for name in names:
            if name.lower() == text.lower():
                return Key(name, broad)
    raise RefusedError(text)


Ranges = Sequence[tuple[Optional[Key], Range]]


def read(entries: Sequence[Entry], asked: Asked) -> Ranges:
    """Return what entries mean."""
    if sum(key is None for key, _ in entries) > 1:
        raise RefusedError("two ranges for the rest")
    return [(None if key is None else understood(key, asked), r) for key, r in entries]


def range_of(ranges: Ranges, group: str) -> Range | None:
    """Return the range of a group: of the most specific key, then of the last one given."""
    for fits in (
        lambda key: key is not None and key != TOTAL and not key.broad and key.means(group),
        lambda key: key is not None and key.broad and key.means(group),
        lambda key: key is None,
    ):
        found = [r for key, r in ranges if fits(key)]
        if found:
            return found[-1]
    return None


def own_range(ranges: Ranges, wanted: Key) -> Range | None:
    """Return the range of a key itself."""
    return ([None, *(r for key, r in ranges if key == wanted)])[-1]


def answer(asked: Asked, sockets: Sequence[Socket]) -> Answer:
    """Return what the documentation says."""
    critical, warning = read(asked.critical, asked), read(asked.warning, asked)

    def state(count: int, range_in: Callable[[Ranges], Range | None]) -> int:
        for number, ranges in ((2, critical), (1, warning)):
            found = range_in(ranges)
            if found is not None and not found.fine(count):
                return number
        return 0

    selected = [socket for socket in sockets if (socket.type, socket.status) in asked.pairs]
    counts = collections.Counter(label(asked.by, socket) for socket in selected)
    if asked.zero:
        ordinary = [(kind, status) for kind, status in asked.pairs if status not in FOREIGN]
        for kind, status in ordinary:
            counts[label(asked.by, Socket(kind, status, ("::", 0), ("::", 0)))] += 0
    groups = {
        group: (count, state(count, lambda ranges, group=group: range_of(ranges, group)))  # type: ignore[misc]
        for group, count in counts.items()
    }
    # What a key names and nobody found has no connections, which is said where it is not fine.
    for key in [key for key, _ in (*critical, *warning) if key is not None and key != TOTAL]:
        if not any(key.means(group) for group in counts):

            def range_in(ranges: Ranges, key: Key = key) -> Range | None:
                return own_range(ranges, key) if key.broad else range_of(ranges, key.label)

            if missing := state(0, range_in):
                groups[key.label] = (0, missing)
    asks_total = any(key == TOTAL for key, _ in (*critical, *warning))
    total_state = (
        state(len(selected), lambda ranges: own_range(ranges, TOTAL)) if asks_total else None
    )
    states = [group_state for _, group_state in groups.values()]
    if total_state is not None:
        states.append(total_state)
    if not selected:
        states.append(NO_MATCH[asked.no_match])
    return Answer(max(states, key=SEVERITY.__getitem__, default=0), groups, total_state)


@st.composite
def sockets_of(draw: st.DrawFn) -> Socket:
    """Draw a socket."""
    kind, status = draw(st.sampled_from(PAIRS))
    v6 = kind.endswith("6")
    address = st.sampled_from([one for one in ADDRESSES if (":" in one) == v6])
    port = st.sampled_from(PORTS)
    return Socket(kind, status, (draw(address), draw(port)), (draw(address), draw(port)))


@st.composite
def situations(draw: st.DrawFn) -> tuple[Asked, list[Socket]]:
    """Draw what is asked, and what there is."""
    few = draw(st.lists(sockets_of(), max_size=5))
    sockets = [socket for socket in few for _ in range(draw(st.integers(1, 3)))]
    by = draw(
        st.sampled_from(
            ["type-status"] * 4
            + ["type", "status", "local-port", "remote-port", "local-address", "remote-address"]
        )
    )
    fixed = by in ("type-status", "type", "status")
    types = draw(st.lists(st.sampled_from(TYPES), max_size=2, unique=True))
    chosen = (*STATUSES, *FOREIGN)
    statuses = draw(st.one_of(st.just([]), st.lists(st.sampled_from(STATUSES), max_size=6)))
    found = [label(by, socket) for socket in sockets] or ["total"]
    possible = {
        "type-status": [*TYPES, *chosen, *(f"{kind}_{status}" for kind, status in PAIRS)],
        "type": TYPES,
        "status": chosen,
    }.get(by, [*map(str, PORTS), "80"] if by.endswith("port") else [*ADDRESSES, "192.0.2.9"])
    seen = [part for socket in sockets for part in (socket.type, socket.status)]
    key = st.one_of(
        st.sampled_from(found),
        st.sampled_from(possible),
        st.sampled_from((seen if by == "type-status" else []) or ["total"]),
        st.just("total"),
    )
    wrong = st.sampled_from(["", " ", "bogus", "65536", "443-444", "tcp_", "udp_LISTEN", "1.2.3"])
    key = st.one_of(*[key] * 40, wrong) if draw(st.booleans()) else key
    key = st.builds(lambda text, change: change(text), key, st.sampled_from([str, str.lower]))
    number = st.integers(0, 8)
    ranges = st.one_of(
        st.builds(Range, st.just(0), number, st.booleans()),
        st.builds(Range, number, st.none(), st.booleans()),
        st.builds(Range, st.none(), number, st.booleans()),
        st.builds(lambda a, b, i: Range(min(a, b), max(a, b), i), number, number, st.booleans()),
    )
    keyed = st.lists(st.tuples(key, ranges), max_size=4)
    plain = st.one_of(st.none(), st.none(), ranges)

    def entries() -> tuple[Entry, ...]:
        made: list[Entry] = [*draw(keyed)]
        if (rest := draw(plain)) is not None:
            made.insert(draw(st.integers(0, len(made))), (None, rest))
        return tuple(made)

    return (
        Asked(
            by,
            tuple(types),
            tuple(statuses),
            entries(),
            entries(),
            zero=fixed and draw(st.booleans()),
            no_match=draw(st.sampled_from([*NO_MATCH])),
        ),
        sockets,
    )


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where `unit-test` with its fixture is."""
    directory = tmp_path_factory.mktemp("thresholds")
    (directory / "unit-test").mkdir()
    (directory / "program").touch()
    return directory


def run(beside: Path, asked: Asked, sockets: Sequence[Socket]) -> tuple[dict[str, object], int]:
    """Run the command on these sockets; what it says as JSON, and its exit code."""
    fixture = beside / "unit-test" / "fixture.json"
    fixture.write_text(json.dumps([socket.entry() for socket in sockets]), encoding="utf-8")
    arguments = ["--test=fixture.json,,0", "--format=json", *asked.arguments()]
    stdout, stderr, code = _core.run(os.fspath(beside / "program"), arguments)
    assert stderr == ""
    said = json.loads(stdout)
    assert isinstance(said, dict)
    return said, code


@settings(
    max_examples=500,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(situation=situations())
def test_states_are_what_the_documentation_says(
    situation: tuple[Asked, list[Socket]], beside: Path
) -> None:
    asked, sockets = situation
    # A type in a state that it is never in selects nothing, and no key means anything.
    assume(asked.pairs)
    said, code = run(beside, asked, sockets)
    assert said["state"] == code
    try:
        expected = answer(asked, sockets)
    except RefusedError:
        event("refused")
        assert (code, "groups" in said) == (3, False), said
        return
    event(f"state {expected.state}")
    assert isinstance(said.get("groups"), list), said
    groups = {group["label"]: (group["count"], group["state"]) for group in said["groups"]}  # type: ignore[attr-defined]
    assert len(groups) == len(said["groups"])  # type: ignore[arg-type]
    # Never better; and where everything can be seen, no worse either.
    assert SEVERITY[code] >= SEVERITY[expected.state]
    assert (code, groups) == (expected.state, expected.groups)
    assert said["total_state"] == expected.total_state
