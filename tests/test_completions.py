"""The manual page has no mistakes, and the shells complete what they should."""

from __future__ import annotations

import functools
import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import harness
import pytest
from lab.tools import lacking


@functools.cache
def generated(*what: str) -> str:
    """Return what `make man completions` writes."""
    line = ["cargo", "run", "--quiet", "--example", "generate", "--", *what]
    return subprocess.run(
        line, cwd=harness.ROOT, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def needs(tool: str) -> None:
    if reason := lacking(tool):
        pytest.skip(reason)


@pytest.mark.parametrize(
    "line",
    [
        ["mandoc", "-T", "lint", "-W", "style"],
        ["groff", "-man", "-ww", "-z", "-Tutf8"],
    ],
    ids=lambda line: str(line[0]),
)
def test_the_manual_page_has_no_mistakes(line: list[str]) -> None:
    needs(line[0])
    page = generated("man", "2026-01-02")
    done = subprocess.run(line, input=page, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


# What the completed command line is run by.
ECHO = "network-connections() { printf '<%s>' got \"$@\"; echo; }"
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source {script}"),
    "zsh": (
        ["zsh", "-f", "-i"],
        "fpath=({directory} $fpath); autoload -Uz compinit; compinit -u -D; setopt no_beep",
    ),
}


class Shell:
    """An interactive shell on a terminal."""

    def __init__(self, argv: list[str]) -> None:
        """Start it."""
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.environ.update(PS1="$ ", TERM="dumb", INPUTRC="/dev/null", HISTFILE="/dev/null")
            os.execvp(argv[0], argv)  # noqa: S606

    def enter(self, line: str, until: str) -> str:
        """Type a line, and return all that is printed up to a line that begins with `until`."""
        answer = ""
        for number, part in enumerate(line.split("\t")):
            if number:
                os.write(self._terminal, b"\t")
                # The shell completes before more is typed.
                answer += self._printed()
            if part:
                os.write(self._terminal, part.encode())
                answer += self._printed(part)
        os.write(self._terminal, b"\n")
        end = time.monotonic() + harness.PATIENCE
        while f"\n{until}" not in answer.replace("\r", "") and time.monotonic() < end:
            answer += self._printed(until)
        return answer

    def _printed(self, until: str = "", quiet: float = 0.3) -> str:
        """Return what is printed: up to this text, or until nothing more comes."""
        answer = b""
        while not (until and until.encode() in answer):
            if not select.select([self._terminal], [], [], quiet)[0]:
                break
            try:
                answer += os.read(self._terminal, 4096)
            except OSError:
                break
        return answer.decode(errors="replace")

    def close(self) -> None:
        """End it."""
        os.close(self._terminal)
        os.kill(self._pid, 9)
        os.waitpid(self._pid, 0)


@pytest.fixture(scope="module", params=SHELLS)
def shell(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shell]:
    """Return a shell that has the completions, and a command that shows how it is called."""
    needs(request.param)
    argv, setup = SHELLS[request.param]
    directory = tmp_path_factory.mktemp(request.param)
    script = directory / "_network-connections"
    script.write_text(generated(request.param), encoding="utf-8")
    made = Shell(argv)
    try:
        for line in (
            ECHO,
            setup.replace("{script}", str(script)).replace("{directory}", str(directory)),
        ):
            made.enter(f"{line}; echo do''ne", "done")
        yield made
    finally:
        made.close()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("--conn-t\ttcp6\t", ["--conn-type=tcp6", "--conn-type tcp6"]),
        ("--form\tpro\t", ["--format=prometheus", "--format prometheus"]),
        ("--format=j\t", ["--format=json"]),
        ("--no-per\t", ["--no-perfdata"]),
        (
            "--conn-status fin_wait1 --group-by stat\t",
            ["--conn-status fin_wait1 --group-by status"],
        ),
        ("-w 5 --alw\t", ["-w 5 --always-ok"]),
    ],
)
def test_a_shell_completes(shell: Shell, typed: str, completed: list[str]) -> None:
    answer = shell.enter(f"network-connections {typed}", "<got>")
    expected = ["".join(f"<{word}>" for word in ["got", *line.split()]) for line in completed]
    assert any(line in answer for line in expected), answer


@pytest.mark.parametrize(
    ("typed", "completions"),
    [
        ("--conn-type tcp", {"tcp", "tcp6"}),
        ("--format=", {"--format=plugin", "--format=json", "--format=prometheus"}),
        ("--no-", {"--no-match-severity", "--no-perfdata"}),
        ("-w ", set()),
    ],
)
def test_fish_completes(typed: str, completions: set[str], tmp_path: Path) -> None:
    needs("fish")
    script = tmp_path / "network-connections.fish"
    script.write_text(generated("fish"), encoding="utf-8")
    ask = f"source {script}; complete -C 'network-connections {typed}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", ask],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    words = {line.split("\t")[0].removesuffix("=") for line in done.stdout.splitlines()}
    assert words == {word.removesuffix("=") for word in completions}, done


def test_the_scripts_are_free_of_mistakes(tmp_path: Path) -> None:
    for shell in ("bash", "zsh", "fish"):
        needs(shell)
        script = tmp_path / shell
        script.write_text(generated(shell), encoding="utf-8")
        done = subprocess.run([shell, "-n", str(script)], capture_output=True, check=False)
        assert (done.stderr, done.returncode) == (b"", 0), shell
