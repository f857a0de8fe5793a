"""Whatever is found and whatever is asked, the states are those that the documentation says."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import model
import pytest
import shares
from asking import Shown
from harness import Command, connections, one_line
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from lab.names import FOREIGN, STATUSES, TYPES
from model import GROUPS, SMALL, Question
from network_connections import _core

ADDRESSES = ("192.0.2.1", "192.0.2.2", "::ffff:192.0.2.2", "2001:db8::1", "fe80::1", "::")
PORTS = (0, 22, 443, 65535)
# A fixture may have states that no connection of this system can have.
PAIRS = [*model.pairs(Question())]


def entry(socket: Shown) -> dict[str, str]:
    """Return a socket as a fixture has it."""
    ends = {
        name: f"{address}:{port}"
        for name, (address, port) in (("local", socket.local), ("remote", socket.remote))
    }
    return {"proto": socket.type, "status": socket.status, **ends}


@st.composite
def sockets_of(draw: st.DrawFn) -> Shown:
    """Draw a socket."""
    kind, status = draw(st.sampled_from(PAIRS))
    v6 = kind.endswith("6")
    address = st.sampled_from([one for one in ADDRESSES if (":" in one) == v6])
    port = st.sampled_from(PORTS)
    return Shown(kind, status, (draw(address), draw(port)), (draw(address), draw(port)))


@st.composite
def ranges(draw: st.DrawFn) -> str:
    """Draw a Nagios range: the values of an interval are fine, or all others."""
    low, high = sorted(draw(st.tuples(st.integers(0, 8), st.integers(0, 8))))
    interval = draw(st.sampled_from([f"{low}", f"{low}:", f"~:{high}", f"{low}:{high}"]))
    return draw(st.sampled_from(["", "@"])) + interval


@st.composite
def situations(draw: st.DrawFn) -> tuple[Question, list[Shown]]:
    """Draw what is asked, and what there is."""
    few = draw(st.lists(sockets_of(), max_size=5))
    sockets = [socket for socket in few for _ in range(draw(st.integers(1, 3)))]
    by = draw(st.sampled_from(["type-status"] * 3 + [*GROUPS]))
    types = draw(st.lists(st.sampled_from(TYPES), max_size=2, unique=True))
    statuses = draw(st.one_of(st.just([]), st.lists(st.sampled_from(STATUSES), max_size=6)))
    found = [*model.answer(Question(group_by=by), sockets).counts] or ["total"]
    possible = {
        "type-status": [*TYPES, *STATUSES, *FOREIGN, *("_".join(pair) for pair in PAIRS)],
        "type": TYPES,
        "status": (*STATUSES, *FOREIGN),
    }.get(by, [*map(str, PORTS), "80"] if by.endswith("port") else [*ADDRESSES, "192.0.2.9"])
    seen = [part for socket in sockets for part in (socket.type, socket.status)]
    key = st.one_of(
        st.sampled_from(found),
        st.sampled_from(possible),
        st.sampled_from((seen if by == "type-status" else []) or ["total"]),
        st.just("total"),
    )
    wrong = st.sampled_from(["", " ", "bogus", "65536", "444-443", "tcp_", "udp_LISTEN", "1.2.3"])
    key = st.one_of(*[key] * 40, wrong) if draw(st.booleans()) else key
    key = st.builds(lambda text, change: change(text), key, st.sampled_from([str, str.lower]))
    keyed = st.lists(st.builds("{}={}".format, key, ranges()), max_size=4)
    plain = st.one_of(st.none(), st.none(), ranges())

    def thresholds() -> str | None:
        made = draw(keyed)
        if (rest := draw(plain)) is not None:
            made.insert(draw(st.integers(0, len(made))), rest)
        return ",".join(made) or None

    return (
        Question(
            tuple(types),
            tuple(status.lower() for status in statuses),
            group_by=by,
            zero=by in SMALL and draw(st.booleans()),
            critical=thresholds(),
            warning=thresholds(),
            no_match_severity=draw(st.sampled_from(model.SEVERITIES)),
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


def run(beside: Path, asked: Question, sockets: Sequence[Shown]) -> tuple[dict[str, object], int]:
    """Run the command on these sockets; what it says as JSON, and its exit code."""
    fixture = beside / "unit-test" / "fixture.json"
    fixture.write_text(json.dumps([*map(entry, sockets)]), encoding="utf-8")
    arguments = ["--test=fixture.json,,0", "--format=json", *asked.arguments()]
    stdout, stderr, code = _core.run(os.fspath(beside / "program"), arguments)
    assert stderr == ""
    said = json.loads(stdout)
    assert isinstance(said, dict)
    return said, code


@shares.number("examples", 60, 500)
def test_states_are_what_the_documentation_says(beside: Path, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(situations())
    def states(situation: tuple[Question, list[Shown]]) -> None:
        asked, sockets = situation
        # A type in a state that it is never in selects nothing, and no key means anything.
        assume([*model.pairs(asked)])
        said, code = run(beside, asked, sockets)
        assert said["state"] == code
        try:
            expected = model.answer(asked, sockets)
        except model.RefusedError:
            assert (code, "groups" in said) == (3, False), said
            return
        assert isinstance(said.get("groups"), list), said
        groups = {group["label"]: (group["count"], group["state"]) for group in said["groups"]}  # type: ignore[attr-defined]
        assert len(groups) == len(said["groups"])  # type: ignore[arg-type]
        # Never better; and where everything can be seen, no worse either.
        assert model.severity(code) >= model.severity(expected.state)
        wanted = {group.label: (group.count, group.state) for group in expected.groups}
        assert (code, groups) == (expected.state, wanted)
        assert said["total_state"] == expected.total_state

    states()


@pytest.mark.parametrize("text", ["", " ", "\\", "none", "1e999", "-1e999:"])
def test_the_range_of_a_key_has_a_finite_bound(native: Command, text: str) -> None:
    """A range that matches everything would never fire."""
    done = native.run("--test=[]", f"--critical=LISTEN={text}")
    assert done.returncode == 3
    assert "LISTEN" in one_line(done)
    # Without a key the reference takes it for no threshold, or for an infinite one.
    if not text.startswith("-"):
        assert native.run("--test=[]", f"--critical={text}").returncode == 0


@pytest.mark.parametrize(
    ("text", "meant"), [(">50", "50"), ("<50", "50:"), ("10-20", "10:20"), ("1k", "1000")]
)
def test_a_range_in_another_notation_is_answered_with_the_one_that_is_meant(
    native: Command, text: str, meant: str
) -> None:
    line = one_line(native.run(f"--critical={text}"))
    given = f'Range format incorrect: --critical "{text}"'
    assert line.startswith(f'{given}, did you mean "{meant}"? (valid: ')
    line = one_line(native.run(f"--critical=LISTEN={text}"))
    given = f'--critical: "LISTEN={text}": Range format incorrect'
    assert line.startswith(f'{given}, did you mean "{meant}"? (valid: ')


@pytest.mark.parametrize("text", ["0:", "~:", ":", "-3:", "@-5:-1", "@1.5:1.8", "0:1e300"])
def test_a_key_whose_range_has_every_number_is_refused(native: Command, text: str) -> None:
    for key in ("LISTEN", "total"):
        line = one_line(native.run("--test=[]", f"--critical={key}={text}"))
        assert line == (
            f'--critical: "{key}={text}" never alerts: it has every number '
            "(valid: for example 10, 1: or @0)"
        )
    # It may be an exception from another range.
    option = native.fixture(connections({"tcp_LISTEN": 3}))
    assert native.run(option, f"--critical=2,LISTEN={text}").returncode == 0
    # Without a key the reference takes it.
    assert native.run(option, f"--critical={text}").returncode == 0
    done = native.run(option, "--strict", f"--critical={text}")
    assert done.returncode == (0 if text == "~:" else 3)


@pytest.mark.parametrize("text", ["", " ", "\t ", "\\"])
@pytest.mark.parametrize("option", ["--warning", "--critical"])
def test_strict_refuses_an_empty_threshold(command: Command, option: str, text: str) -> None:
    """An argument or a variable of the monitoring system without a value looks like that."""
    line = f"{option}: an empty range never alerts (valid: for example 10, or none for no limit)"
    found = command.fixture(connections({"tcp_LISTEN": 3}))
    for spelled in ([option, text], [f"{option}={text}"], [option[1:3], text]):
        done = command.run(found, "--strict", *spelled)
        assert (one_line(done), done.returncode) == (line, 3)
        # The other threshold makes up for nothing.
        other = "--critical" if option == "--warning" else "--warning"
        assert one_line(command.run(found, "--strict", *spelled, f"{other}=2")) == line
        # As the reference has it.
        assert command.run(found, *spelled).returncode == 0
    assert command.run(found, "--strict", option, "none").returncode == 0
    # A measure is no check of the reference.
    for measure in ("accept-queue", "syn-queue", "receive-buffer", "ephemeral-ports"):
        assert one_line(command.run(f"--measure={measure}", option, text)) == line


@pytest.mark.parametrize("text", ["1:", "10:20", "@0", "@0:5"])
def test_strict_refuses_a_range_that_has_no_alert_where_nothing_is_found(
    native: Command, text: str
) -> None:
    nothing = ("--test=[]", "--strict", f"--critical={text}")
    line = one_line(native.run(*nothing))
    assert line.startswith(f'--critical: "{text}" has no alert where nothing is found')
    assert f'(valid: "total={text}", ' in line
    # Without --strict it is as in the reference: nothing is judged.
    assert native.run("--test=[]", f"--critical={text}").returncode == 0
    for option, code in (("--zero", 2), ("--no-match-severity=crit", 2)):
        assert native.run(*nothing, option).returncode == code
    assert native.run("--test=[]", "--strict", f"--critical=total={text}").returncode == 2
    assert native.run("--test=[]", "--strict", f"--critical=LISTEN={text}").returncode == 2


def test_strict_refuses_percent_signs_behind_counts(native: Command) -> None:
    for option in ("--warning", "--critical"):
        given = f"{option}=LISTEN=10%"
        assert native.run("--test=[]", given).returncode == 0
        assert one_line(native.run("--test=[]", "--strict", given)) == (
            f'{option}: "LISTEN=10%" is in percent, but connections are counted '
            '(valid: "LISTEN=10")'
        )


@pytest.mark.parametrize(
    ("warning", "critical", "hidden"),
    [
        ("100", "50", True),
        ("5:", "10:", True),
        ("50", "100", False),
        ("50", "50", False),
        ("10:", "5:", False),
        ("@10:20", "5", False),
        ("100,LISTEN=5", "50", False),
    ],
)
def test_a_warning_that_never_comes_is_refused_by_strict(
    native: Command, warning: str, critical: str, hidden: bool
) -> None:
    args = (f"--warning={warning}", f"--critical={critical}")
    assert native.run(*args).returncode != 3
    done = native.run("--strict", "--zero", *args)
    assert (done.returncode == 3) == hidden
    message = (
        f'--warning: "{warning}" is never reached before the critical range "{critical}" '
        f"(valid: --critical=RANGE, wider than {warning})"
    )
    assert done.stdout.startswith(message) == hidden
