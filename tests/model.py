"""What the check must answer, worked out from the sockets that there are.

Written from docs/thresholds.md alone: it knows nothing of the implementation. Ranges are read by
the library of the reference.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import ipaddress
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

from asking import Shown
from lab.names import FOREIGN, STATUSES, TYPES
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
    direction: str | None = None
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
    # Whether only a key names it.
    unmatched: bool = False
    # Whether it is in alert state though no key names it, where nothing else may be there.
    unexpected: bool = False


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
    ends = {(socket.type, *socket.local) for socket in sockets if socket.status == "LISTEN"}
    return [
        socket
        for socket in sockets
        if _chosen(socket.type, question.types)
        and _chosen(socket.status, question.statuses)
        and _ported(socket.local[1], question.local_port)
        and _ported(socket.remote[1], question.remote_port)
        and _addressed(socket.local[0], question.local_address)
        and _addressed(socket.remote[0], question.remote_address)
        and question.direction in (None, _direction(socket, ends))
    ]


def _direction(socket: Shown, ends: set[tuple[str, str, int]]) -> str:
    if socket.status == "LISTEN" or not socket.remote[1]:
        return "neither"
    if socket.status in ("SYN_SENT", "SYN_RECV"):
        return "out" if socket.status == "SYN_SENT" else "in"
    host, port = socket.local
    any_host = "::" if socket.type == "tcp6" else "0.0.0.0"  # noqa: S104
    incoming = {(socket.type, host, port), (socket.type, any_host, port)} & ends
    return "in" if incoming else "out"


class RefusedError(Exception):
    """What is asked cannot be."""


@dataclass(frozen=True)
class Key:
    """What the key of a threshold means: one group by its label, or all of a type or state."""

    label: str
    broad: bool = False

    def means(self, group: str) -> bool:
        """Whether it means the group of this label."""
        return self.label in group.split("_", 1) if self.broad else self.label == group


TOTAL = Key("total")

# Keys and their ranges in the order given; a range without a key is for the rest.
Ranges = Sequence[tuple[Optional[Key], str]]


def answer(question: Question, sockets: Sequence[Shown]) -> Answer:
    """Return what must be answered where these are all sockets."""
    limits = [(2, _ranges(question, question.critical)), (1, _ranges(question, question.warning))]

    def judged(count: int, range_in: Callable[[Ranges], str | None]) -> int:
        for state, ranges in limits:
            found = range_in(ranges)
            if found is not None and not match_range(count, found)[1]:
                return state
        return 0

    found = selected(question, sockets)
    counts = collections.Counter(_label(question.group_by, socket) for socket in found)
    expected = _expected(question)
    if question.zero:
        counts.update(dict.fromkeys(expected, 0))
    groups = []
    for label in sorted(counts, key=lambda label: (-counts[label], _rank(question, label))):
        state = judged(counts[label], lambda own, of=label: _range_of(own, of))  # type: ignore[misc]
        groups.append(_group(label, counts[label], state, limits))
    keys = [key for _, ranges in limits for key, _ in ranges if key is not None]
    # What a key names and nobody found has no connections, which is said where it is not fine.
    for key in dict.fromkeys(keys):
        if key != TOTAL and not any(key.means(label) for label in counts):

            def range_in(ranges: Ranges, key: Key = key) -> str | None:
                return _own_range(ranges, key) if key.broad else _range_of(ranges, key.label)

            if state := judged(0, range_in):
                groups.append(Group(key.label, 0, state, unmatched=True))
    total = len(found)
    total_state = judged(total, lambda own: _own_range(own, TOTAL)) if TOTAL in keys else None
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
        state=max((_excused(question, state) for state in states), key=severity),
        message=_message(question, groups, total, total_state),
        perfdata=_perfdata(question, groups, total, total_state) if question.perfdata else "",
    )


def _group(label: str, count: int, state: int, limits: Sequence[tuple[int, Ranges]]) -> Group:
    """Return a group that was found; where a range is 0 and has keys, others are not expected."""
    ranges = [own for severity, own in limits if severity == state]
    keys = [key for own in ranges for key, _ in own if key not in (None, TOTAL)]
    zero = any((None, "0") in own for own in ranges)
    forbidden = zero and bool(keys) and not any(key.means(label) for key in keys if key)
    return Group(label, count, state, unexpected=forbidden)


def _ranges(question: Question, text: str | None) -> Ranges:
    """Return what a threshold means."""
    ranges: list[tuple[Key | None, str]] = []
    for entry in (text or "").split(",") if text and "=" in text else filter(None, [text]):
        name, equals, spec = entry.rpartition("=")
        ranges.append((understood(question, name.strip()) if equals else None, spec))
    if sum(key is None for key, _ in ranges) > 1:
        raise RefusedError("two ranges for the rest")
    for key, spec in ranges:
        # It has every count. It may be an exception from another range, but not of the total.
        others = [other for other, _ in ranges if other not in (TOTAL, key)]
        if key is not None and spec == "0:" and (key == TOTAL or not others):
            raise RefusedError(spec)
    return ranges


def understood(question: Question, text: str) -> Key:
    """Return what a key means where this is asked."""
    if text.lower() == "total":
        return TOTAL
    if question.group_by in SMALL:
        possible = [*pairs(question)]
        exact = [_small(question.group_by, *pair) for pair in possible]
        halves = [name for pair in possible for name in pair if question.group_by == "type-status"]
        for names, broad in ((exact, False), (halves, True)):
            for name in names:
                if name.lower() == text.lower():
                    return Key(name, broad)
        raise RefusedError(text)
    # Nothing can be a key that no socket has which could be selected.
    option = question.group_by.replace("-", "_")
    chosen: dict[str, Any] = {option: getattr(question, option)}
    narrow = Question(question.types, question.statuses, **chosen)
    found = selected(narrow, [*_with_end(question, text)])
    if not found:
        raise RefusedError(text)
    return Key(_label(question.group_by, found[0]))


def _with_end(question: Question, text: str) -> Iterator[Shown]:
    """Return every socket that has this port or this address at both ends."""
    for kind, status in pairs(question):
        if question.group_by.endswith("port"):
            if not (text.isascii() and text.isdigit() and int(text) <= 65535):
                raise RefusedError(text)
            end = ("::" if kind.endswith("6") else "0.0.0.0", int(text))  # noqa: S104
        else:
            try:
                address = canonical(text)
            except ValueError:
                raise RefusedError(text) from None
            # An IPv4 peer may be one of an IPv6 socket, not the other way round.
            if address.version == 6 and not kind.endswith("6"):
                continue
            mapped = address.version == 4 and kind.endswith("6")
            end = (f"::ffff:{address}" if mapped else str(address), 0)
        yield Shown(kind, status, end, end)


def pairs(question: Question) -> Iterator[tuple[str, str]]:
    """Return the types and states of which a selected connection can be."""
    for kind, status in itertools.product(TYPES, (*STATUSES, *FOREIGN)):
        chosen = _chosen(kind, question.types) and _chosen(status, question.statuses)
        if chosen and kind.startswith("udp") == (status == "NONE"):
            yield kind, status


def _range_of(ranges: Ranges, group: str) -> str | None:
    """Return the range of a group: of the closest key, then of the last one given."""
    for fits in (
        lambda key: key is not None and key != TOTAL and not key.broad and key.means(group),
        lambda key: key is not None and key.broad and key.means(group),
        lambda key: key is None,
    ):
        found = [text for key, text in ranges if fits(key)]
        if found:
            return found[-1]
    return None


def _own_range(ranges: Ranges, wanted: Key) -> str | None:
    """Return the range of a key itself."""
    return [None, *(text for key, text in ranges if key == wanted)][-1]


def severity(state: int) -> int:
    """How bad a state is: what is known to be wrong is worse than what is not known."""
    return (0, 2, 3, 1)[state]


def _excused(question: Question, state: int) -> int:
    """Return what is left of a state where the thresholds are not to be heard."""
    return 0 if question.always_ok and state in (1, 2) else state


def _divided(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the alternatives, and what is taken away from them, without its mark."""
    none_of = [word[1:] for word in words if word[0] in "!^"]
    return [word for word in words if word[0] not in "!^"], none_of


def _among(words: Sequence[str], holds: Callable[[str], bool]) -> bool:
    any_of, none_of = _divided(words)
    return (not any_of or any(map(holds, any_of))) and not any(map(holds, none_of))


def _chosen(name: str, chosen: Sequence[str]) -> bool:
    return _among(chosen, lambda word: word.lower() in ("all", name.lower()))


def _ported(port: int, ranges: Sequence[str]) -> bool:
    def within(text: str) -> bool:
        first, _, last = text.partition("-")
        return int(first) <= port <= int(last or first)

    return _among(ranges, within)


def _addressed(host: str, networks: Sequence[str]) -> bool:
    return _among(networks, lambda network: _inside(host, network))


MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


@functools.cache
def _inside(host: str, text: str) -> bool:
    # An IPv4-mapped address is one of IPv4: an IPv6 network has it only if it has nothing else.
    address, network = ipaddress.ip_address(host), ipaddress.ip_network(text)
    if network.version == 4:
        return canonical(host) in network
    return address in network and (address not in MAPPED or network.prefixlen >= MAPPED.prefixlen)


@functools.cache
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


def _rank(question: Question, label: str) -> tuple[int, int]:
    """Where a group stands among those of the same size."""
    group_by, statuses = question.group_by, (*STATUSES, *FOREIGN)
    if group_by == "type-status":
        kind, _, status = label.partition("_")
        return TYPES.index(kind), statuses.index(status)
    if group_by in SMALL:
        return (TYPES if group_by == "type" else statuses).index(label), 0
    if group_by.endswith("port"):
        return int(label), 0
    address = ipaddress.ip_address(label)
    return address.version, int(address)


def _expected(question: Question) -> list[str]:
    if question.group_by not in SMALL:
        return []
    own = [pair for pair in pairs(question) if pair[1] not in FOREIGN]
    return [_small(question.group_by, *pair) for pair in own]


def _mark(state: int | None) -> str:
    return f" [{STATES[state]}]" if state else ""


def _message(
    question: Question, groups: Sequence[Group], total: int, total_state: int | None
) -> str:
    parts = [] if total_state is None else [f"total: {total}{_mark(total_state)}"]
    small = question.group_by in SMALL
    top = question.top or (len(groups) if small else 10)
    # The worst stay, of those the largest; printed in the order they had.
    kept = sorted(range(len(groups)), key=lambda at: (-severity(groups[at].state), at))[:top]
    for group in (groups[at] for at in sorted(kept)):
        label = group.label.replace("_", " ") if small else group.label
        # An address that ends with a colon would run into the next one.
        label = f"[{label}]" if label.endswith(":") else label
        unexpected = " (not expected)" if group.unexpected else ""
        parts.append(f"{label}: {group.count}{unexpected}{_mark(group.state)}")
    if len(groups) > len(kept):
        parts.append(f"and {len(groups) - len(kept)} more")
    if not groups or not (total or question.no_match_severity == "ok"):
        mark = _mark(SEVERITIES.index(question.no_match_severity))
        way = {None: "", "in": "incoming ", "out": "outgoing "}[question.direction]
        parts.append(f"No {way}connections{_kinds(question)}{_ends(question)} found.{mark}")
    return ", ".join(parts) + (" (always ok)" if question.always_ok else "")


def _end(value: str) -> str:
    """Return a port, ports, an address or a network in its shortest form."""
    if "." not in value and ":" not in value:
        first, _, last = value.partition("-")
        return first if last in ("", first) else value
    network = ipaddress.ip_network(value)
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    address = f"::ffff:{mapped}" if mapped else str(network.network_address)
    is_one = network.prefixlen == network.max_prefixlen
    return address if is_one else f"{address}/{network.prefixlen}"


def _kinds(question: Question) -> str:
    """Return the types and states of a message: as the reference, unless there is more to say."""
    chosen = [
        ",".join(word.lower().replace("^", "!") for word in words)
        for words in (question.types, question.statuses)
    ]
    if not _ends(question) and not question.direction:
        chosen = [words or "all" for words in chosen]
    kinds = (("of type", chosen[0]), ("in status", chosen[1]))
    return "".join(f' {name} "{words}"' for name, words in kinds if words)


def _ends(question: Question) -> str:
    """Return the selected ports and addresses as a message has them."""
    text = ""
    for word, side in (("at", "local"), ("to", "remote")):
        parts = []
        for kind in ("address", "port"):
            value = getattr(question, f"{side}_{kind}")
            any_of, none_of = _divided(value if isinstance(value, (list, tuple)) else [value])
            some, others = _some(any_of), _some(none_of)
            name = "port " if kind == "port" and some else ""
            if some or others:
                but = f" but {'not ' if some else ''}{others}" if others else ""
                parts.append(f"{name}{some or f'any {kind}'}{but}")
        text += f" {word} {' '.join(parts)}" if parts else ""
    return text


def _some(values: Sequence[str]) -> str:
    labels = [_end(str(value)) for value in values[:3]]
    return ", ".join([*labels, "..."] if len(values) > 3 else labels)


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
