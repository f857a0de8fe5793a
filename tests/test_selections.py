"""Selections, groups, thresholds and formats: what is asked for is what is counted and judged."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import ipaddress
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import harness
import model
import pytest
import shares
from asking import SOURCES, USERS, WAYS, Asker, asker, one_by_one, shown
from conftest import Place
from harness import Command, Done
from lab import oracles
from lab.names import STATUSES, TYPES
from lab.states import StateLab
from lab.tools import lacking
from model import GROUPS, SMALL, Question
from prometheus_client.parser import text_string_to_metric_families

# Nothing is bound to it here.
ANY = "0.0.0.0"  # noqa: S104

# What the lab has, what it has not, both ends of what there is, and alternatives.
PORTS: tuple[tuple[str, ...], ...] = (
    ("9010",),
    ("9001",),
    ("9003",),
    ("0",),
    ("65535",),
    ("443",),
    ("9100-9114",),
    ("9114-9300",),
    ("20000-21999",),
    ("1-65535",),
    ("0-65535",),
    ("9003", "9001-9002", "9003"),
    ("443", "9010", "32768-65535"),
)
ADDRESSES: tuple[tuple[str, ...], ...] = (
    ("192.0.2.1",),
    ("192.0.2.2",),
    ("192.0.2.2/32",),
    ("192.0.2.0/24",),
    ("192.0.2.2/31",),
    ("198.51.100.0/24",),
    (ANY,),
    ("0.0.0.0/0",),
    ("2001:db8::1",),
    ("2001:db8::2/128",),
    ("2001:db8::/32",),
    ("2001:db8::/127",),
    ("2001:db9::/32",),
    ("::",),
    ("::/0",),
    ("::/1",),
    ("::ffff:192.0.2.2",),
    ("::ffff:0:0/96",),
    ("2001:db8::1", "192.0.2.1"),
    ("10.0.0.0/8", ANY, "::"),
    ("10.0.0.0/8", "172.16.0.0/12", "2001:db8::2", "192.0.2.2"),
)
OPTIONS = {
    "local_port": PORTS,
    "remote_port": PORTS,
    "local_address": ADDRESSES,
    "remote_address": ADDRESSES,
}


def one_option() -> list[Question]:
    """Every value of every selection option; each time in another grouping."""
    asked = [Question(group_by=group) for group in GROUPS]
    for option, values in OPTIONS.items():
        for value in values:
            fields: dict[str, Any] = {option: value, "group_by": GROUPS[len(asked) % len(GROUPS)]}
            asked.append(Question(**fields))
    return asked


def combinations(number: int) -> list[Question]:
    """Return any options together, with thresholds that fit them."""
    chance = random.Random(4)
    return [_combination(chance) for _ in range(number)]


def _combination(chance: random.Random) -> Question:
    fields: dict[str, Any] = {"group_by": chance.choice(GROUPS)}
    if chance.random() < 0.4:
        fields["types"] = tuple(chance.sample(TYPES, chance.randint(1, 3)))
    if chance.random() < 0.4:
        statuses = chance.sample(STATUSES, chance.randint(3, 9))
        fields["statuses"] = tuple(status.lower() for status in statuses)
    for option, values in OPTIONS.items():
        if chance.random() < 0.4:
            fields[option] = tuple(word for value in chance.sample(values, 3) for word in value)
    asked = Question(**fields)
    for severity in ("warning", "critical"):
        if chance.random() < 0.6:
            fields[severity] = _thresholds(chance, asked)
    if chance.random() < 0.5:
        fields["top"] = chance.choice((1, 2, 3, 50))
    fields["zero"] = asked.group_by in SMALL and chance.random() < 0.4
    fields["no_match_severity"] = chance.choice(model.SEVERITIES)
    fields["always_ok"] = chance.random() < 0.1
    fields["perfdata"] = chance.random() < 0.9
    return Question(**fields)


def _thresholds(chance: random.Random, asked: Question) -> str:
    ranges = ("0", "2", "5", "9", "12:", "@0", "@10:20", "3:18", "~:11", "100")
    entries = [chance.choice(ranges)] if chance.random() < 0.5 else []
    keys = ["total", *_keys(asked)]
    for key in chance.sample(keys, min(len(keys), chance.randint(0, 4))):
        spelled = chance.choice((key, key.lower(), key.upper()))
        entries.append(f"{spelled}={chance.choice(ranges)}")
    chance.shuffle(entries)
    return ",".join(entries) or "7"


def _keys(asked: Question) -> list[str]:
    """Keys that a threshold for this question may have."""
    labels = list(model.answer(dataclasses.replace(asked, zero=True), ()).counts)
    if asked.group_by == "type-status":
        halves = [half for label in labels for half in label.split("_", 1)]
        return [*labels, *dict.fromkeys(halves)]
    if asked.group_by in SMALL:
        return labels
    ports = ("0", "9001", "9003", "9010", "9030", "9100", "20001", "21000")
    addresses = ("192.0.2.1", "::ffff:192.0.2.2", ANY, "::", "2001:db8::1", "2001:DB8::2")
    keys = ports if asked.group_by.endswith("port") else addresses
    return [key for key in keys if _is_key(asked, key)]


def _is_key(asked: Question, text: str) -> bool:
    with contextlib.suppress(model.RefusedError):
        model.understood(asked, text)
        return True
    return False


QUESTIONS = [*one_option(), *combinations(120)]


@pytest.fixture(scope="module", params=USERS)
def someone(
    request: pytest.FixtureRequest, lab: StateLab, nobodys: Mapping[str, Command]
) -> Iterator[Asker]:
    with asker(lab.ns, request.param, nobodys) as made:
        yield made


@pytest.fixture(scope="module")
def anywhere(place: Place, nobodys: Mapping[str, Command]) -> Iterator[Asker]:
    """Let root ask where it does not matter what sockets there are."""
    with asker(str(place.ns), "root", nobodys) as made:
        yield made


@pytest.fixture(scope="module")
def root(lab: StateLab, nobodys: Mapping[str, Command]) -> Iterator[Asker]:
    with asker(lab.ns, "root", nobodys) as made:
        yield made


@pytest.mark.parametrize("source", SOURCES)
@shares.every(5)
def test_the_api_answers_every_question(
    lab: StateLab, someone: Asker, source: str, share: slice
) -> None:
    questions = [dataclasses.replace(asked, source=source) for asked in QUESTIONS[share]]

    def ask(asked: Question) -> list[Any]:
        functions = ("check", "count_connections")
        return someone.api([(function, asked.keywords(function)) for function in functions])

    for asked, sockets, (checked, counts) in one_by_one(lab, someone.user, questions, ask):
        expected = model.answer(asked, sockets)
        assert "error" not in checked, (asked, checked)
        # No threshold names a group there.
        plain = model.answer(dataclasses.replace(asked, warning=None, critical=None), sockets)
        assert list(counts.items()) == list(plain.counts.items()), asked
        assert list(checked["counts"].items()) == list(expected.counts.items()), asked
        assert checked["state"] == expected.state, asked
        assert checked["message"] == expected.message, asked
        assert checked["perfdata"] == expected.perfdata, asked
        assert checked["text"] == expected.line, asked
        _assert_json(checked["json"], asked, expected)
        _assert_prometheus(checked["prometheus"], asked, expected)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("way", WAYS)
@shares.every(7)
def test_the_command_answers_every_question(
    lab: StateLab, someone: Asker, way: str, source: str, share: slice
) -> None:
    questions = [dataclasses.replace(asked, source=source) for asked in QUESTIONS[share]]
    if way == "python":  # the same command line with a slower start
        questions = questions[SOURCES.index(source) :: 2]

    def ask(asked: Question) -> Done:
        return someone.run(way, *asked.arguments())

    for asked, sockets, done in one_by_one(lab, someone.user, questions, ask):
        expected = model.answer(asked, sockets)
        assert (done.stdout, done.stderr) == (f"{expected.line}\n", ""), asked
        assert done.returncode == expected.state, asked


def test_the_questions_find_something_and_alert(lab: StateLab) -> None:
    ((_, sockets, _),) = one_by_one(lab, "root", [None], lambda _: None)
    answers = [model.answer(asked, sockets) for asked in QUESTIONS]
    assert collections.Counter(answer.state for answer in answers).keys() == {0, 1, 2, 3}
    assert sum(answer.total > 0 for answer in answers) > len(answers) / 2
    assert sum("more" in answer.message for answer in answers) > 10


# ss, by filters of its own


def _ss(ns: str, asked: Question, user: str) -> list[oracles.Row]:
    """Let ss select: the kernel filters for it, and then it filters once more."""
    rows = []
    for kind in TYPES:
        clauses = [
            clause
            for option, end in (("local_port", "sport"), ("remote_port", "dport"))
            if (clause := [_ss_port(end, ports) for ports in getattr(asked, option)])
        ]
        for option, end in (("local_address", "src"), ("remote_address", "dst")):
            if networks := getattr(asked, option):
                forms = [(net, form) for net in networks if (form := _ss_network(kind, net))]
                clauses.append([[end, form, *_ss_mapped(end, net)] for net, form in forms])
        if any(not clause for clause in clauses):
            continue  # only addresses of the other family
        rows += oracles.read_ss(ns, _all_of(clauses), user, [kind])
    return rows


def _ss_port(end: str, ports: str) -> list[str]:
    first, _, last = ports.partition("-")
    return [end, ">=", f":{first}", "and", end, "<=", f":{last or first}"]


def _ss_network(kind: str, text: str) -> str | None:
    network = ipaddress.ip_network(text)
    if kind.endswith("6"):
        if network.version == 4:
            return f"[::ffff:{network.network_address}/{96 + network.prefixlen}]"
        return f"[{network}]"
    return str(network) if network.version == 4 else None


def _ss_mapped(end: str, text: str) -> list[str]:
    """Return the condition that takes the addresses of IPv4 away from a network around them."""
    network = ipaddress.ip_network(text)
    around = network.version == 6 and network.supernet_of(model.MAPPED) and network != model.MAPPED
    return ["and", "not", end, f"[{model.MAPPED}]"] if around else []


def _all_of(clauses: Sequence[Sequence[Sequence[str]]]) -> list[str]:
    words: list[str] = []
    for clause in clauses:
        words += ["and"] if words else []
        words.append("(")
        for number, condition in enumerate(clause):
            words += ["or"] if number else []
            words += ["(", *condition, ")"]
        words.append(")")
    return words


@pytest.mark.parametrize("user", USERS)
@shares.every(5)
def test_ss_selects_the_same(
    lab: StateLab, nobodys: Mapping[str, Command], user: str, share: slice
) -> None:
    questions = [*one_option(), *combinations(30)][share]
    questions = [
        Question(**{option: getattr(asked, option) for option in OPTIONS}) for asked in questions
    ]
    with asker(lab.ns, user, nobodys) as someone:

        def ask(asked: Question) -> tuple[Any, list[oracles.Row]]:
            call = ("count_connections", asked.keywords("count_connections"))
            return someone.api([call]), _ss(lab.ns, asked, user)

        for asked, sockets, ((counts,), rows) in one_by_one(lab, user, questions, ask):
            assert counts == oracles.counts(rows), asked
            assert shown(rows) == model.selected(asked, sockets), asked


# Formats


def _assert_json(text: str, asked: Question, expected: model.Answer) -> None:
    assert "\n" not in text
    answer = json.loads(text)
    duration = answer.pop("duration")
    assert isinstance(duration, float)
    assert duration > 0
    assert answer.pop("schema") == 1
    assert answer == {
        "state": expected.state,
        "message": expected.message,
        "groups": [
            {name: value for name, value in dataclasses.asdict(group).items() if value is not False}
            for group in expected.groups
        ],
        "total": expected.total,
        "total_state": expected.total_state,
        "thresholds": {"warning": asked.warning, "critical": asked.critical},
        "source": asked.source,
    }, asked


def _samples(text: str) -> dict[tuple[str, ...], float]:
    """Read the text exposition format; every series may be there once."""
    samples = [
        sample for family in text_string_to_metric_families(text) for sample in family.samples
    ]
    named = {
        (sample.name, *(f"{key}={value}" for key, value in sorted(sample.labels.items()))): (
            sample.value
        )
        for sample in samples
    }
    assert len(named) == len(samples)
    return named


def _assert_prometheus(text: str, asked: Question, expected: model.Answer) -> None:
    samples = _samples(f"{text}\n")
    assert samples.pop(("network_connections_check_duration_seconds",)) > 0
    wanted: dict[tuple[str, ...], float] = {
        ("network_connections_selected",): expected.total,
        ("network_connections_check_state",): expected.state,
        ("network_connections_check_source_info", f"source={asked.source}"): 1,
    }
    if asked.group_by in SMALL:
        for label, count in expected.series.items():
            kind, _, status = label.partition("_")
            labels = {
                "type": [f"type={label}"],
                "status": [f"state={label}"],
                "type-status": [f"state={status}", f"type={kind}"],
            }[asked.group_by]
            wanted[("network_connections", *labels)] = count
    else:
        wanted["network_connections_groups",] = sum(group.count > 0 for group in expected.groups)
        largest = max((group.count for group in expected.groups), default=0)
        wanted["network_connections_largest",] = largest
    assert samples == wanted, asked


@pytest.mark.parametrize("way", WAYS)
@shares.every(4)
def test_the_command_prints_both_formats(
    lab: StateLab, root: Asker, way: str, share: slice
) -> None:
    few = QUESTIONS[::5][share]
    questions = [dataclasses.replace(asked, source="netlink") for asked in few]

    def ask(asked: Question) -> list[Done]:
        formats = ("json", "prometheus")
        return [root.run(way, *asked.arguments(), f"--format={name}") for name in formats]

    for asked, sockets, (as_json, as_prometheus) in one_by_one(lab, "root", questions, ask):
        expected = model.answer(asked, sockets)
        for done in (as_json, as_prometheus):
            assert (done.stderr, done.returncode) == ("", expected.state), asked
            assert done.stdout.endswith("\n"), asked
        _assert_json(as_json.stdout[:-1], asked, expected)
        _assert_prometheus(as_prometheus.stdout, asked, expected)


@pytest.mark.parametrize("way", WAYS)
def test_what_cannot_be_counted_is_unknown_in_both_formats(anywhere: Asker, way: str) -> None:
    done = anywhere.run(way, "--format=json", "-w=1:0")
    assert (done.stderr, done.returncode) == ("", 3)
    answer = json.loads(done.stdout)
    assert answer.keys() == {"schema", "state", "message"}
    assert answer["state"] == 3
    assert "1 must not be greater than end 0" in answer["message"]
    done = anywhere.run(way, "--format=prometheus", "-w=1:0")
    assert (done.stderr, done.returncode) == ("", 3)
    assert _samples(done.stdout) == {("network_connections_check_state",): 3}
    assert "1 must not be greater than end 0" in done.stdout


@pytest.mark.parametrize("way", WAYS)
def test_every_series_has_the_name(anywhere: Asker, way: str) -> None:
    for args in (["--group-by=status"], ["--group-by=user"], ["-w=1:0"]):
        named = anywhere.run(way, "--format=prometheus", '--name=web "1"\\\n', *args).stdout
        unnamed = anywhere.run(way, "--format=prometheus", *args).stdout
        names = [
            tuple(label for label in labels if not label.startswith("check="))
            for labels in _samples(named)
            if 'check=web "1"\\?' in labels
        ]
        assert names == list(_samples(unnamed)), named
        # Who sees the end has seen it all.
        assert named.splitlines()[-1].startswith("network_connections_check_state{")


MEASURES = [
    [f"--measure={name}"]
    for name in ("accept-queue", "syn-queue", "receive-buffer", "ephemeral-ports", "host-limits")
]


@pytest.mark.skipif(bool(lacking("promtool")), reason=lacking("promtool") or "-")
@pytest.mark.parametrize(
    "args",
    [["-c5"], ["-w=1:0"], ["--name=web"], *([f"--group-by={g}"] for g in GROUPS), *MEASURES],
)
def test_promtool_finds_no_fault(root: Asker, args: list[str]) -> None:
    done = root.run("native", "--format=prometheus", *args)
    assert harness.promtool(done.stdout) == Done("", "", 0)


# What a person reads


def test_a_mapped_peer_is_in_the_group_of_its_ipv4_address(lab: StateLab, root: Asker) -> None:
    keywords: dict[str, Any] = {"statuses": "established", "group_by": "remote-address"}
    both, mapped = root.api(
        [
            ("count_connections", keywords),
            ("count_connections", {**keywords, "types": "tcp6"}),
        ]
    )
    tcp, tcp6 = (lab.expected[kind, "ESTABLISHED"] for kind in ("tcp", "tcp6"))
    assert both == {"192.0.2.2": tcp + 1, "2001:db8::2": tcp6 - 1}
    assert mapped == {"2001:db8::2": tcp6 - 1, "192.0.2.2": 1}


@pytest.mark.parametrize("way", WAYS)
def test_a_group_that_alerts_is_never_left_out(root: Asker, way: str) -> None:
    small = root.run(way, "--group-by=local-port", "--top=1", "-c", "9100=0")
    assert re.match(r"9100: 2 \[CRITICAL\], and \d+ more\|'groups'=\d+ ", small.stdout)
    assert small.returncode == 2
    # Twelve ports have two listeners or more; all are critical, so they fill the places.
    many = root.run(way, "--group-by=local-port", "--conn-status=listen", "-w1", "--top=30")
    assert many.stdout.count("[WARNING]") == len(re.findall(r"\d+: [2-9]", many.stdout)) == 18
    few = root.run(way, "--group-by=local-port", "--conn-status=listen", "-w1")
    assert few.stdout.count("[WARNING]") == 10
    assert re.search(r", and 9 more\|'groups'=19 'largest'=6 'total'=41\n", few.stdout)
    worst = root.run(way, "--group-by=local-port", "--conn-status=listen", "-w=1,9011=0", "-c5")
    first = worst.stdout.split(", ")
    assert first[0] == "9030: 6 [CRITICAL]"
    assert sum("[WARNING]" in part for part in first) == 9


@pytest.mark.parametrize("way", WAYS)
def test_none_left_is_judged(root: Asker, way: str) -> None:
    recipe = ["--conn-status=listen", "--local-port=443", "-c", "total=1:"]
    gone = root.run(way, *recipe)
    assert gone.stdout == (
        "total: 0 [CRITICAL], No connections in status \"listen\" at port 443 found.|'total'=0\n"
    )
    assert gone.returncode == 2
    there = root.run(way, *(word.replace("443", "9010") for word in recipe))
    assert there.stdout == (
        "total: 2, tcp LISTEN: 1, tcp6 LISTEN: 1|'total'=2 'tcp_LISTEN'=1 'tcp6_LISTEN'=1\n"
    )
    assert there.returncode == 0
    for code, severity in enumerate(model.SEVERITIES):
        nothing = root.run(way, "--local-port=443", f"--no-match-severity={severity}")
        assert nothing.returncode == code
        mark = f" [{model.STATES[code]}]" if code else ""
        assert nothing.stdout == f"No connections at port 443 found.{mark}\n"


@pytest.mark.parametrize("way", WAYS)
def test_zero_reports_and_judges_what_is_not_there(root: Asker, way: str) -> None:
    zero = ["--zero", "--local-port=443", "--conn-type=tcp", "--conn-status=listen"]
    done = root.run(way, *zero, "--conn-type=udp", "--conn-status=none", "-c", "LISTEN=1:")
    assert done.stdout == ("tcp LISTEN: 0 [CRITICAL], udp NONE: 0|'tcp_LISTEN'=0 'udp_NONE'=0\n")
    assert done.returncode == 2
    # Zeros are no match.
    done = root.run(way, *zero, "--no-match-severity=crit")
    nothing = 'No connections of type "tcp" in status "listen" at port 443 found. [CRITICAL]'
    assert done.stdout == f"tcp LISTEN: 0, {nothing}|'tcp_LISTEN'=0\n"
    assert done.returncode == 2


# Bad input: the arguments, what the line must name, and what the keyword of the API is.
BAD: tuple[tuple[tuple[str, ...], tuple[str, ...], dict[str, Any] | None], ...] = (
    (("--local-port=65536",), ("--local-port", "65536", "0 to 65535"), {"local_port": "65536"}),
    (("--local-port=65536",), ("65536", "0 to 65535"), {"local_port": 65536}),
    (("--remote-port=-1",), ("--remote-port", "-1", "0 to 65535"), {"remote_port": "-1"}),
    (("--remote-port=http",), ("--remote-port", "http"), {"remote_port": ["80", "http"]}),
    (("--local-port=8099-8000",), ("--local-port", "8099-8000"), {"local_port": "8099-8000"}),
    (("--local-port=",), ("--local-port", '""'), {"local_port": ""}),
    (("--local-port=1-2-3",), ("--local-port", "1-2-3"), {"local_port": "1-2-3"}),
    (("--local-address=192.0.2",), ("--local-address", "192.0.2"), {"local_address": "192.0.2"}),
    (("--remote-address=db1",), ("--remote-address", "db1"), {"remote_address": "db1"}),
    (
        ("--remote-address=192.0.2.0/33",),
        ("--remote-address", "192.0.2.0/33", "32"),
        {"remote_address": "192.0.2.0/33"},
    ),
    (
        ("--remote-address=2001:db8::/129",),
        ("--remote-address", "2001:db8::/129", "128"),
        {"remote_address": "2001:db8::/129"},
    ),
    (
        ("--remote-address=192.0.2.7/24",),
        ("--remote-address", "192.0.2.7/24", "192.0.2.0/24"),
        {"remote_address": "192.0.2.7/24"},
    ),
    (
        ("--local-address=2001:db8::1/32",),
        ("--local-address", "2001:db8::1/32", "2001:db8::/32"),
        {"local_address": "2001:db8::1/32"},
    ),
    (("--group-by=peer",), ("--group-by", "peer", "remote-port"), {"group_by": "peer"}),
    (("--top=0",), ("--top", "0"), {"top": 0}),
    (("--top=-1",), ("--top", "-1"), {"top": -1}),
    (("--top=many",), ("--top", "many"), None),
    (("-c", "LISTEN="), ("--critical", "LISTEN"), {"critical": "LISTEN="}),
    (("-c", "=5"), ("--critical", '"=5" has no key'), {"critical": "=5"}),
    (("-w", "5,LISTEN=7,6"), ("--warning", "5", "6"), {"warning": "5,LISTEN=7,6"}),
    (("-w", "LISTEN=7,"), ("--warning", "LISTEN=7,"), {"warning": "LISTEN=7,"}),
    (("-w", "LISTEN=1:0"), ("--warning", "LISTEN=1:0"), {"warning": "LISTEN=1:0"}),
    (("-w", "CLOSEWAIT=5"), ("--warning", "CLOSEWAIT", "CLOSE_WAIT"), {"warning": "CLOSEWAIT=5"}),
    (
        ("--conn-type=tcp", "-c", "udp_NONE=5"),
        ("--critical", "udp_NONE"),
        {"types": "tcp", "critical": "udp_NONE=5"},
    ),
    (
        ("--group-by=local-port", "--local-port=80", "-c", "443=5"),
        ("--critical", "443"),
        {"group_by": "local-port", "local_port": 80, "critical": "443=5"},
    ),
    (
        ("--local-address=192.0.2.1:443",),
        ("--local-address", "has a port, and ports have options of their own (valid: 192.0.2.1)"),
        {"local_address": "192.0.2.1:443"},
    ),
    (("-c", "LISTEN=x"), ("--critical", '"LISTEN=x": ', "KEY=10)"), {"critical": "LISTEN=x"}),
    (("-c", "LISTEN=9:5"), ("--critical", "(valid: 5:9)"), {"critical": "LISTEN=9:5"}),
    (("-c", "LISTEN>5"), ("--critical", 'mean "LISTEN=5"?', "KEY=10)"), {"critical": "LISTEN>5"}),
    (
        ("-c", "LISTEN=5;TIME_WAIT=7"),
        ("--critical", "separate entries by commas"),
        {"critical": "LISTEN=5;TIME_WAIT=7"},
    ),
    (
        ("-c", "443=5"),
        ("--critical", '"443"', "by type-status", "=local-port or remote-port)"),
        {"critical": "443=5"},
    ),
    (
        ("-c", "192.0.2.1=5"),
        ("--critical", '"192.0.2.1"', "=local-address or remote-address)"),
        {"critical": "192.0.2.1=5"},
    ),
    (
        ("-c", "nginx.service=5"),
        ("--critical", '"nginx.service"', "=unit)"),
        {"critical": "nginx.service=5"},
    ),
    (
        ("--group-by=remote-address", "-c", "LISTEN=5"),
        ("--critical", "LISTEN", "=type-status or status)"),
        {"group_by": "remote-address", "critical": "LISTEN=5"},
    ),
    (
        ("--group-by=remote-address", "--zero"),
        ("--zero", "remote-address"),
        {"group_by": "remote-address", "zero": True},
    ),
    (
        ("--no-match-severity=critical",),
        ("--no-match-severity", "critical", "crit"),
        {"no_match_severity": "critical"},
    ),
    (("--format=xml",), ("--format", "xml", "prometheus"), None),
)


@pytest.mark.parametrize(("args", "named", "keywords"), BAD, ids=[" ".join(b[0]) for b in BAD])
def test_bad_input_is_named(
    anywhere: Asker,
    args: tuple[str, ...],
    named: tuple[str, ...],
    keywords: dict[str, Any] | None,
) -> None:
    for way in WAYS:
        done = anywhere.run(way, *args)
        assert done.returncode == 3
        assert re.fullmatch(r"[^\n]+\n", done.stdout)
        assert all(word in done.stdout for word in named), done.stdout
        assert not done.stderr or done.stderr.startswith("usage: ")
    if keywords is not None:
        (answer,) = anywhere.api([("check", keywords)])
        assert answer["error"] == "ValueError"
        # It knows its own keyword, or speaks of the option.
        assert all(word in answer["text"] for word in named[1:]), answer


@pytest.mark.parametrize(
    ("kind", "status", "valid"),
    [
        ("udp", "listen", "none"),
        ("udp6", "time_wait", "none"),
        ("tcp", "none", "established, syn_sent, syn_recv"),
    ],
)
def test_strict_refuses_a_status_that_the_type_never_has(
    native: Command, kind: str, status: str, valid: str
) -> None:
    args = (f"--conn-type={kind}", f"--conn-status={status}")
    line = f'No connections of type "{kind}" in status "{status}" found.'
    assert harness.Done(f"{line}\n", "", 0) == native.run(*args)
    line = harness.one_line(native.run("--strict", *args))
    problem = f'--conn-status: "{status}" is never the status of type "{kind}"'
    assert line.startswith(f"{problem} (valid: --conn-status={valid}")
    assert native.run("--strict", *args, "--conn-type=all", "--conn-status=all").returncode == 0


@pytest.mark.parametrize(
    "option", ["--local-port=1", "--local-address=::1", "--group-by=local-port"]
)
def test_a_fixture_without_addresses_cannot_serve_them(command: Command, option: str) -> None:
    entries = [
        {"proto": "udp", "status": "NONE", "local": "[::1]:1"},
        {"proto": "tcp", "status": "LISTEN"},
    ]
    line = harness.one_line(command.run(option, command.fixture(json.dumps(entries))))
    assert line == "Fixture entry 2: missing field `local`"
