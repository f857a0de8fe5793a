"""An answer that cannot be delivered is UNKNOWN; nothing is complained about on standard error."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import harness
import pytest
from harness import PATIENCE, Command, Done, connections

ANSWER = "tcp LISTEN: 3|'tcp_LISTEN'=3\n"


@pytest.fixture(params=["report", "failure", "usage error", "help"])
def args(request: pytest.FixtureRequest) -> Callable[[Command], list[str]]:
    """Return the arguments for an answer of every kind."""
    return {
        "report": lambda command: [command.fixture(connections({"tcp_LISTEN": 3}))],
        "failure": lambda command: [command.fixture("broken")],
        "usage error": lambda _: ["--conn-type=sctp"],
        "help": lambda _: ["--help"],
    }[request.param]


def run(command: Command, args: list[str], **streams: int | IO[Any]) -> tuple[str, str, int]:
    """Run a command with these streams, and return what comes through the others."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    line = command.line(*args)
    process = subprocess.Popen(line, env=command.environment(), text=True, **pipes)
    with process:
        stdout, stderr = process.communicate(timeout=PATIENCE)
    return stdout, stderr, process.returncode


def test_a_full_device(command: Command, args: Callable[[Command], list[str]]) -> None:
    with Path("/dev/full").open("w") as full:
        _, stderr, code = run(command, args(command), stdout=full)
    assert code == 3
    assert only_usage(stderr)


def test_a_reader_that_is_gone(command: Command, args: Callable[[Command], list[str]]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        _, stderr, code = run(command, args(command), stdout=writer)
    finally:
        os.close(writer)
    assert code == 3
    assert only_usage(stderr)


def only_usage(stderr: str) -> bool:
    """Whether there is nothing, or the usage of a usage error."""
    return bool(re.fullmatch(r"(usage: [^\n]+\]\n( +\[[^\n]+\]\n)*)?", stderr))


def closed(descriptor: int, command: Command, *args: str) -> Done:
    """Run a command with a stream that was closed before it started."""
    return command.run(*args, before=["sh", "-c", f'exec "$@" {descriptor}>&-', "sh"])


def test_a_stdout_that_was_closed_before_the_start(
    command: Command, args: Callable[[Command], list[str]]
) -> None:
    if command.way == "native" and harness.WINDOWS:
        pytest.skip("the runtime has opened something else in its place by then")
    done = closed(1, command, *args(command))
    assert (done.stdout, done.returncode) == ("", 3)
    assert only_usage(done.stderr)


def test_a_stdout_that_is_thrown_away_has_the_state(command: Command) -> None:
    test = command.fixture(connections({"tcp_LISTEN": 3}))
    for mode in ("w", "r+"):
        with Path(os.devnull).open(mode) as nothing:
            _, stderr, code = run(command, [test, "-w1"], stdout=nothing)
        assert (stderr, code) == ("", 1)


@pytest.mark.skipif(harness.WINDOWS, reason="Windows opens it for writing too")
def test_a_stdout_that_can_only_be_read(command: Command) -> None:
    test = command.fixture(connections({"tcp_LISTEN": 3}))
    with Path(os.devnull).open() as nothing:
        _, stderr, code = run(command, [test, "-w1"], stdout=nothing)
    assert (stderr, code) == ("", 3)


@pytest.mark.skipif(harness.WINDOWS, reason="Windows has no such limit")
def test_memory_that_ends_is_unknown(native: Command) -> None:
    """With a line: of the check on standard output, or of the runtime on standard error."""
    test = native.fixture(harness.peers(60_000))
    ended = 0
    for kib in range(4_000, 40_000, 1_000):
        before = ["sh", "-c", f'ulimit -v {kib}; exec "$@"', "sh"]
        args = (test, "--group-by=remote-address", "--lengthy")
        done = native.run(*args, before=before, env={"RUST_BACKTRACE": "0"})
        if done.returncode == 127 or "error while loading" in done.stderr:
            # The loader of the system had no room for the program.
            continue
        if done.stderr:
            assert re.match(r"memory allocation of \d+ bytes failed\n", done.stderr)
            assert (done.stdout, done.returncode) == ("", 3), kib
            ended += 1
        elif done.returncode == 3:
            assert done.stdout == "Out of memory\n", kib
            ended += 1
        else:
            assert done.stdout.startswith("10."), kib
            assert done.returncode == 0, kib
    assert ended > 0


def test_a_stdin_that_was_closed_before_the_start(command: Command) -> None:
    test = command.fixture(connections({"tcp_LISTEN": 3}))
    assert closed(0, command, test) == Done(ANSWER, "", 0)


@pytest.mark.parametrize("device", ["closed", "/dev/full"])
def test_a_stderr_that_takes_nothing_spoils_nothing(device: str, command: Command) -> None:
    test = command.fixture(connections({"tcp_LISTEN": 3}))
    for args, stdout, code in ((["-w1"], "tcp LISTEN: 3 [WARNING]|", 1), (["-w"], "--warning", 3)):
        if device == "closed":
            done = closed(2, command, test, *args)
            answer = done.stdout, done.returncode
        else:
            with Path(device).open("w") as full:
                line, _, returncode = run(command, [test, *args], stderr=full)
            answer = line, returncode
        assert answer[0].startswith(stdout)
        assert answer[1] == code


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "utf-16"},
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"LC_ALL": "xx_XX.invalid"},
        {"PYTHONUNBUFFERED": "1"},
    ],
    ids=str,
)
def test_text_is_utf_8_everywhere(env: dict[str, str], command: Command) -> None:
    test = command.fixture('[{"proto": "é→😀", "status": "LISTEN"}]')
    done = command.run(test, env=env)
    assert (done.stderr, done.returncode) == ("", 3)
    assert done.stdout.startswith('Fixture entry 1: unknown type "é→😀" (valid: tcp,')
    test = command.fixture(connections({"tcp_LISTEN": 3}), "é.json")
    assert command.run(test, env=env) == Done(ANSWER, "", 0)


def test_an_argument_that_is_no_text_is_answered(command: Command) -> None:
    done = command.run(b"--test=\xff\xfe")
    assert (done.stderr, done.returncode) == ("", 3)
    assert done.stdout.startswith("Fixture is not a JSON list of connections: ")


@pytest.mark.skipif(harness.WINDOWS, reason="Windows has no command lines of that length")
def test_many_arguments(command: Command) -> None:
    test = command.fixture(connections({"tcp_LISTEN": 3}))
    assert command.run(test, *["stray"] * 20_000) == Done(ANSWER, "", 0)
    long = command.run(f"--conn-type={'x' * 100_000}")
    assert long.returncode == 3
    assert long.stdout.count("\n") == 1
