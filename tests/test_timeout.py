"""One deadline holds for the whole run: past it the answer is UNKNOWN, in one line."""

from __future__ import annotations

import pytest
from conftest import Place, Tampered
from harness import SILENT, Command, Done, connections, one_line


@pytest.mark.parametrize(
    "text",
    ["0", "-1", "-0.0", "nan", "inf", "-inf", "1e999", "x", "", " ", "8s", "1,5"],
)
def test_what_is_no_positive_number_is_refused(text: str, command: Command) -> None:
    # A fixture that was read would be a mistake of its own.
    line = one_line(command.run(f"--timeout={text}", command.fixture("broken")))
    assert line.startswith(f'--timeout: "{text}" is not a positive number of seconds')


@pytest.mark.parametrize("text", ["8", "0.5", ".5", "5.", "+8", "1e3", " 8 ", "1000000000"])
def test_a_positive_number_is_taken(text: str, command: Command) -> None:
    test = command.fixture(connections({"tcp_LISTEN": 1}))
    done = command.run(f"--timeout={text}", test)
    assert done == Done("tcp LISTEN: 1|'tcp_LISTEN'=1\n", "", 0)


def test_the_last_one_counts(command: Command) -> None:
    test = command.fixture(connections({"tcp_LISTEN": 1}))
    assert command.run("--timeout=x", "--timeout=5", test).returncode == 0
    assert command.run("--timeout=5", "--timeout=x", test).returncode == 3


@pytest.mark.parametrize("source", ["auto", "netlink"])
def test_a_kernel_that_never_answers(source: str, command: Command, tampered: Tampered) -> None:
    # After the deadline no other source is asked, though it would answer.
    args = ["--timeout=0.2", f"--source={source}", "-w@0:", "--always-ok"]
    line = one_line(command.run(*args, before=tampered(SILENT)))
    assert line == "Timeout: no answer within 0.2 s"


def test_a_source_that_is_not_silent(command: Command, place: Place, tampered: Tampered) -> None:
    args = ["--conn-type=tcp", "--timeout=8", "--source=procfs"]
    done = command.run(*args, before=[*place.before, *tampered(SILENT)])
    assert done == Done("tcp LISTEN: 3|'tcp_LISTEN'=3\n", "", 0)
