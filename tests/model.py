"""What the check must answer, worked out from the sockets that an oracle shows."""

from __future__ import annotations

import collections
import dataclasses
import ipaddress
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Union

from asking import Shown
from lab.names import STATUSES, TYPES
from lib.base import match_range

SMALL = ("type-status", "type", "status")
GROUPS = (*SMALL, "local-port", "remote-port", "local-address", "remote-address")
STATES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
SEVERITIES = ("ok", "warn", "crit", "unknown")

_Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


@dataclass(frozen=True)
class Question:
    """What is asked; the fields are options and keywords of the same name."""

    types: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    local_port: tuple[str, ...] = ()
    remote_port: tuple[str, ...] = ()
    local_address: tuple[str, ...] = ()
    remote_address: tuple[str, ...] = ()
    group_by: str = "type-status"
    zero: bool = False
    warning: str | None = None
    critical: str | None = None
    top: int | None = None
    no_match_severity: str = "ok"
    always_ok: bool = False
    perfdata: bool = True
    source: str = "auto"

    def arguments(self) -> list[str]:
        """Return it as a command's arguments."""
        arguments = []
        for name, value in self.keywords("check").items():
            option = {"types": "conn-type", "statuses": "conn-status"}.get(name, name)
            option = f"--{option.replace('_', '-')}"
            if name == "perfdata":
                arguments.append("--no-perfdata")
            elif value is True:
                arguments.append(option)
            else:
                values = value if isinstance(value, list) else [value]
                arguments += [f"{option}={one}" for one in values]
        return arguments

    def keywords(self, function: str) -> dict[str, Any]:
        """Return it as keywords of `check` or, as far as that has them, `count_connections`."""
        known = [field.name for field in dataclasses.fields(self)]
        if function == "count_connections":
            for name in ("warning", "critical", "top", "no_match_severity", "always_ok"):
                known.remove(name)
            known.remove("perfdata")
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name in known
            if (value := getattr(self, name)) != getattr(Question, name)
        }


@dataclass(frozen=True)
class Group:
    """One group, counted and judged: the state is an exit code."""

    label: str
    count: int
    state: int


@dataclass(frozen=True)
class Answer:
    """What the check must answer."""

    groups: list[Group]
    series: dict[str, int]
    total: int
    total_state: int | None
    state: int
    message: str
    perfdata: str

    @property
    def counts(self) -> dict[str, int]:
        """The groups as the API gives them; their order matters."""
        return {group.label: group.count for group in self.groups}

    @property
    def line(self) -> str:
        """What the command prints."""
        return f"{self.message}|{self.perfdata}" if self.perfdata else self.message


def selected(question: Question, sockets: Sequence[Shown]) -> list[Shown]:
    """Return the sockets that are asked about."""
    return [
        socket
        for socket in sockets
        if _chosen(socket.type, question.types)
        and _chosen(socket.status, question.statuses)
        and _ported(socket.local[1], question.local_port)
        and _ported(socket.remote[1], question.remote_port)
        and _addressed(socket.local[0], question.local_address)
        and _addressed(socket.remote[0], question.remote_address)
    ]


def answer(question: Question, sockets: Sequence[Shown]) -> Answer:
    """Return what must be answered where these are all sockets."""
    found = selected(question, sockets)
    counts = collections.Counter(_label(question.group_by, socket) for socket in found)
    expected = _expected(question)
    if question.zero:
        counts.update(dict.fromkeys(expected, 0))
    labels = sorted(counts, key=lambda label: (-counts[label], _rank(question.group_by, label)))
    groups = [
        Group(label, counts[label], _judged(question, label, counts[label])) for label in labels
    ]
    # What a threshold names and nobody found has no connections; said only if that is not fine.
    groups += [group for group in _unfound(question, labels) if group.state]
    total = len(found)
    asked = any("total=" in (text or "").lower() for text in (question.warning, question.critical))
    total_state = _judged(question, "total", total) if asked else None
    states = [group.state for group in groups]
    if total_state is not None:
        states.append(total_state)
    if not total:
        states.append(SEVERITIES.index(question.no_match_severity))
    return Answer(
        groups=groups,
        series={**dict.fromkeys(expected, 0), **counts},
        total=total,
        total_state=total_state,
        state=0 if question.always_ok else max(states, key=_severity),
        message=_message(question, groups, total, total_state),
        perfdata=_perfdata(question, groups, total, total_state) if question.perfdata else "",
    )


def _unfound(question: Question, found: Sequence[str]) -> list[Group]:
    """Return the groups, or the kinds of groups, of the keys that meet none that was found."""
    unfound: dict[str, Group] = {}
    for text in (question.critical, question.warning):
        keys = [entry.rpartition("=")[0].strip() for entry in (text or "").split(",")]
        for key in (key for key in keys if key and key.lower() != "total"):
            if any(_specificity(key, question.group_by, label) for label in found):
                continue
            label = _named(key, question.group_by)
            broad = question.group_by == "type-status" and label in (*TYPES, *STATUSES)
            judge = _judged_alone if broad else _judged
            unfound.setdefault(label, Group(label, 0, judge(question, label, 0)))
    return list(unfound.values())


def _named(key: str, group_by: str) -> str:
    """Return what a key is called where it is printed."""
    if group_by.endswith("address"):
        return str(canonical(key))
    if group_by.endswith("port"):
        return str(int(key))
    names = [*TYPES, *STATUSES, *(f"{kind}_{status}" for kind in TYPES for status in STATUSES)]
    return next(name for name in names if name.lower() == key.lower())


def _judged_alone(question: Question, key: str, count: int) -> int:
    """Judge a key by nothing but its own ranges, the last one given."""
    for state, text in ((2, question.critical), (1, question.warning)):
        entries = [entry.rpartition("=") for entry in (text or "").split(",")]
        specs = [spec for name, _, spec in entries if name.strip().lower() == key.lower()]
        if specs and not match_range(count, specs[-1])[1]:
            return state
    return 0


def _severity(state: int) -> int:
    # What is known to be wrong is worse than what is not known.
    return (0, 2, 3, 1)[state]


def _chosen(name: str, chosen: Sequence[str]) -> bool:
    words = {word.lower() for word in chosen}
    return not words or "all" in words or name.lower() in words


def _ported(port: int, ranges: Sequence[str]) -> bool:
    def within(text: str) -> bool:
        first, _, last = text.partition("-")
        return int(first) <= port <= int(last or first)

    return not ranges or any(map(within, ranges))


def _addressed(host: str, networks: Sequence[str]) -> bool:
    address = ipaddress.ip_address(host)
    # An IPv4 network also has the IPv4-mapped addresses, an IPv6 one only has its own.
    forms = {address, canonical(host)}
    return not networks or any(
        form in ipaddress.ip_network(network) for network in networks for form in forms
    )


def canonical(host: str) -> _Address:
    """Return an address, an IPv4-mapped one as its IPv4 address."""
    address = ipaddress.ip_address(host)
    return getattr(address, "ipv4_mapped", None) or address


def _label(group_by: str, socket: Shown) -> str:
    if group_by in ("local-port", "remote-port"):
        return str((socket.local if group_by == "local-port" else socket.remote)[1])
    if group_by in ("local-address", "remote-address"):
        return str(canonical((socket.local if group_by == "local-address" else socket.remote)[0]))
    return _small(group_by, socket.type, socket.status)


def _small(group_by: str, kind: str, status: str) -> str:
    return {"type": kind, "status": status, "type-status": f"{kind}_{status}"}[group_by]


def _rank(group_by: str, label: str) -> tuple[int, int]:
    """Where a group stands among those of the same size."""
    if group_by == "type-status":
        kind, _, status = label.partition("_")
        return TYPES.index(kind), STATUSES.index(status)
    if group_by in SMALL:
        return (TYPES if group_by == "type" else STATUSES).index(label), 0
    if group_by.endswith("port"):
        return int(label), 0
    address = ipaddress.ip_address(label)
    return address.version, int(address)


def _expected(question: Question) -> list[str]:
    if question.group_by not in SMALL:
        return []
    return [
        _small(question.group_by, kind, status)
        for kind, status in itertools.product(TYPES, STATUSES)
        if kind.startswith("udp") == (status == "NONE")
        and _chosen(kind, question.types)
        and _chosen(status, question.statuses)
    ]


def _judged(question: Question, label: str, count: int) -> int:
    for state, text in ((2, question.critical), (1, question.warning)):
        spec = _range(text, question.group_by, label)
        if spec is not None and not match_range(count, spec)[1]:
            return state
    return 0


def _range(text: str | None, group_by: str, label: str) -> str | None:
    """Find the range that holds for a group or the total: the most specific, then the last."""
    best = None
    rank = -1
    for entry in (text or "").split(",") if text and "=" in text else []:
        key, _, spec = entry.rpartition("=")
        fits = _specificity(key.strip(), group_by, label)
        if fits is not None and fits >= rank:
            best, rank = spec, fits
    plain = None if text and "=" in text else text
    return best if best is not None or label == "total" else plain


def _specificity(key: str, group_by: str, label: str) -> int | None:
    if not key:
        return None if label == "total" else 0
    if "total" in (key.lower(), label):
        return 2 if key.lower() == label else None
    if group_by.endswith("address"):
        return 2 if str(canonical(key)) == label else None
    if key.lower() == label.lower():
        return 2
    kind, _, status = label.lower().partition("_")
    return 1 if group_by == "type-status" and key.lower() in (kind, status) else None


def _mark(state: int | None) -> str:
    return f" [{STATES[state]}]" if state else ""


def _message(
    question: Question, groups: Sequence[Group], total: int, total_state: int | None
) -> str:
    parts = [] if total_state is None else [f"total: {total}{_mark(total_state)}"]
    small = question.group_by in SMALL
    top = question.top or (len(groups) if small else 10)
    # The worst stay, of those the largest; printed in the order they had.
    kept = sorted(range(len(groups)), key=lambda at: (-_severity(groups[at].state), at))[:top]
    for group in (groups[at] for at in sorted(kept)):
        label = group.label.replace("_", " ") if small else group.label
        parts.append(f"{label}: {group.count}{_mark(group.state)}")
    if len(groups) > len(kept):
        parts.append(f"and {len(groups) - len(kept)} more")
    if not groups or not (total or question.no_match_severity == "ok"):
        chosen = [",".join(words) or "all" for words in (question.types, question.statuses)]
        mark = _mark(SEVERITIES.index(question.no_match_severity))
        parts.append(f'No connections of type "{chosen[0]}" in status "{chosen[1]}" found.{mark}')
    return ", ".join(parts) + (" (always ok)" if question.always_ok else "")


def _perfdata(
    question: Question, groups: Sequence[Group], total: int, total_state: int | None
) -> str:
    if question.group_by in SMALL:
        metrics = [(group.label, group.count) for group in groups]
        if total_state is not None:
            metrics.insert(0, ("total", total))
    else:
        largest = groups[0].count if groups else 0
        found = sum(group.count > 0 for group in groups)
        metrics = [("groups", found), ("largest", largest), ("total", total)]
    return " ".join(f"'{label}'={number}" for label, number in metrics)
