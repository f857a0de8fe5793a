"""Threshold ranges mean what they mean to the reference, whose library is asked each time."""

from __future__ import annotations

import copy
import math
import pickle
import re
from decimal import Decimal
from fractions import Fraction

import harness
import network_connections
import pytest
import shares
from conftest import Place
from harness import Command, Done
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from lab.namespaces import inside
from lib.base import match_range
from network_connections import Range

NUMBERS = st.one_of(
    st.integers(-(10**25), 10**25),
    st.integers(-100, 100),
    st.floats(allow_nan=False),
    st.sampled_from([0, -0.0, 0.5, math.inf, -math.inf]),
)
BOUNDS = st.one_of(
    st.sampled_from(["", "~", "0", "5", "5.", ".5", "10%", "+3", "-1", "1e1", "2.5E-1", "1e999"]),
    st.integers(-(10**25), 10**25).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(allow_nan=False, allow_infinity=False).map("{:.17f}".format),
    st.text("0123456789.+-eE% ~", max_size=6),
    st.sampled_from(["inf", "nan", "infinity", "0x10", "1_000", "1,5", "none", "1e", "e1", "5%%"]),
)
BLANKS = st.text(" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f", max_size=2)
RANGES = st.one_of(
    st.builds(
        "{}{}{}{}{}{}{}{}{}".format,
        st.sampled_from(["", "", "\\", "\\\\"]),
        st.sampled_from(["", "", "@", "@@", "@\\"]),
        BLANKS,
        BOUNDS,
        BLANKS,
        st.sampled_from([":", ":", "", "::"]),
        BLANKS,
        BOUNDS,
        BLANKS,
    ),
    st.text("0123456789 .:@~%+-eE\\", max_size=10),
    st.sampled_from(["", "none", "NONE", "nOnE", "\\none", " none", "@none", "none:", "None "]),
)


@shares.number("examples", 300, 2000)
def test_as_the_reference(examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(RANGES, NUMBERS)
    @example("10%:3", 0)
    @example("1234567:1", 0)
    @example("1e999:10", 0)
    @example("12345678901234567890", 12345678901234567891)
    @example("@~:", 0)
    @example("9007199254740993:", 9007199254740992)
    def as_the_reference(text: str, value: float) -> None:
        # To the library an empty range begins at 0; here it matches everything. No count tells.
        assume(text.strip("\\") or value >= 0)
        parsed, answer = match_range(value, text)
        if parsed:
            assert (value in Range(text)) == answer
        else:
            with pytest.raises(ValueError, match=f"^{re.escape(answer)}$"):
                Range(text)

    as_the_reference()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", "Range format incorrect"),
        ("inf", "Range format incorrect"),
        ("@@5", "Range format incorrect"),
        ("5:~", "Range format incorrect"),
        ("~", "Range format incorrect"),
        ("1:2:3", "Not using range definition correctly"),
        ("20:10", "Start 20 must not be greater than end 10"),
        ("1234567:1", "Start 1.23457e+06 must not be greater than end 1"),
        ("1e999:10", "Start inf must not be greater than end 10"),
    ],
)
@pytest.mark.parametrize("option", ["--warning", "--critical"])
def test_a_bad_range_is_refused_before_anything_is_counted(
    option: str, text: str, message: str, command: Command
) -> None:
    # A fixture that was read would be a mistake of its own.
    broken = command.fixture("broken")
    valid = {"20:10": "(valid: 10:20)", "1234567:1": "(valid: 1:1234567)"}
    line = f'{message}: {option} "{text}" {valid.get(text, harness.RANGES)}\n'
    assert command.run(broken, f"{option}={text}") == Done(line, "", 3)


def test_where_both_are_bad_the_critical_one_is_named(command: Command) -> None:
    done = command.run("--warning=abc", "--critical=20:10")
    message = 'Start 20 must not be greater than end 10: --critical "20:10"'
    assert done == Done(f"{message} (valid: 10:20)\n", "", 3)


# Ranges by what they mean, each in several spellings.
SPELLINGS = [
    ["10", "0:10", ":10", " 1e1% ", "-0:10.0", "\\+0:+10"],
    ["@10", "@0:10", "@:10", "@ 1e1% "],
    ["10:", "10.:", "1e1 :", "10:1e999"],
    ["~:10", " ~ :10%"],
    ["10:20", "10.0:2e1"],
    ["@10:20", "\\@10:20"],
    ["", "none", "NONE", "~:", "\\"],
    [":", "0:"],
    ["@", "@:", "@0:"],
]


@pytest.mark.parametrize("spellings", SPELLINGS, ids=lambda spellings: spellings[0])
def test_equal_by_meaning(spellings: list[str]) -> None:
    first = Range(spellings[0])
    for text in spellings:
        assert Range(text) == first
        assert not Range(text) != first  # noqa: SIM202
        assert hash(Range(text)) == hash(first)
        assert str(Range(text)) == text
    others = {Range(text) for texts in SPELLINGS if texts is not spellings for text in texts}
    assert first not in others
    assert len(others) == len(SPELLINGS) - 1


def test_equal_to_nothing_else() -> None:
    assert Range("10") != "10"
    assert Range("10") != 10
    assert Range("") is not None
    assert Range("") != None  # noqa: E711


@given(RANGES)
def test_repr_evaluates_and_copies_are_equal(text: str) -> None:
    assume(match_range(0, text)[0])
    made = Range(text)
    pickled = [pickle.loads(pickle.dumps(made, protocol)) for protocol in range(2, 6)]  # noqa: S301
    for copied in (eval(repr(made)), copy.copy(made), copy.deepcopy(made), *pickled):  # noqa: S307
        assert isinstance(copied, Range)
        assert copied == made
        assert str(copied) == str(made) == text


def test_frozen() -> None:
    with pytest.raises(AttributeError):
        Range("10").text = "20"  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["10", "@10", "none", "~:", "10:20", "@10:20", "@~:"])
def test_nan_is_never_fine(text: str) -> None:
    assert math.nan not in Range(text)


@pytest.mark.parametrize("text", ["5", "@5", "5:", "~:5", "@~:5", "none", "1e308:"])
@pytest.mark.parametrize("huge", [10**400, Fraction(10**400, 3), Decimal("1e400")], ids=type)
def test_a_number_beyond_every_float_is_infinite(text: str, huge: float) -> None:
    for value, as_float in ((huge, math.inf), (-huge, -math.inf)):
        assert (value in Range(text)) is (as_float in Range(text))


@pytest.mark.parametrize("value", ["5", None, [5], b"5", 5j])
def test_only_a_number_can_be_in_a_range(value: object) -> None:
    with pytest.raises(TypeError):
        value in Range("10")  # type: ignore[operator]  # noqa: B015


@pytest.mark.parametrize("text", [10, None, b"10"])
def test_a_range_is_made_of_text(text: str) -> None:
    with pytest.raises(TypeError):
        Range(text)


@pytest.mark.parametrize(
    ("threshold", "fine"),
    [
        ("3", True),
        ("2", False),
        (3, True),
        (2, False),
        (3.0, True),
        (2.99, False),
        (0, False),
        (1e30, True),
        (10**400, True),
        (Range("3"), True),
        (Range("@1:3"), False),
        (Range("none"), True),
        ("", True),
        (None, True),
    ],
)
def test_a_threshold_is_a_text_a_number_or_a_range(
    threshold: Range | str | float | None, fine: bool, place: Place
) -> None:
    with inside(place.ns):
        warned = network_connections.check("tcp", warning=threshold)
        critical = network_connections.check("tcp", critical=threshold)
    assert warned.counts == critical.counts == {"tcp_LISTEN": 3}
    assert (warned.state, critical.state) == ((0, 0) if fine else (1, 2))


@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        ("20:10", "Start 20 must not be greater than end 10"),
        (-1, "Start 0 must not be greater than end -1"),
        (math.nan, "Range format incorrect"),
        (math.inf, "Range format incorrect"),
    ],
)
def test_a_threshold_that_is_none_is_a_value_error(threshold: str | float, message: str) -> None:
    for option in ("warning", "critical"):
        valid = "(valid: 10:20)" if threshold == "20:10" else harness.RANGES
        line = f'{message}: {option} "{threshold}" {valid}'
        with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
            network_connections.check(**{option: threshold})  # type: ignore[arg-type]


@pytest.mark.parametrize("threshold", [[], b"10", object(), ("10",)])
def test_a_threshold_of_another_type_is_refused(threshold: object) -> None:
    for option in ("warning", "critical"):
        with pytest.raises((TypeError, ValueError)):
            network_connections.check(**{option: threshold})  # type: ignore[arg-type]
