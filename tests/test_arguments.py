"""Arguments are read as argparse reads them; what cannot be read is said in one line."""

from __future__ import annotations

import argparse
import random
import re
import sys
from pathlib import Path

import harness
import pytest
import reference
import shares
from harness import Command, Done, connections, sources
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lab.names import LOWER, TYPES
from network_connections import _core, plugin

# A different count for every group: the answer shows what was selected, and how it was judged.
FOUND = ["ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "LISTEN", "NONE"]
GROUPS = [f"{kind}_{status}" for kind in TYPES for status in FOUND]
FIXTURES: dict[str, dict[str, int]] = {
    "first": {group: number for number, group in enumerate(GROUPS, 1)},
    "second": {"udp_NONE": 7, "tcp6_DELETE_TCB": 5},
    "[]": {},  # not a file: the text itself
}

WORDS = ["stray", "", "-", " ", "a b", "-x y", "=", "é", "-5", "-.5", "-7.25", "--"]
WORDS += ["5", "@5", "10:20", "~:30", "1:2:3", "20:10", "abc", "none", " 4 : 4 ", "\\@9%"]
UNKNOWN = ["-x", "-x5", "-é", "--url=https://192.0.2.1/", "--lengthier=3", "--xyz", "-=", "---"]
UNKNOWN += ["-5.", "-1:5", "-1e5", "--5", "--=", "--=5"]
if sys.version_info >= (3, 14):
    # Since 3.14 argparse takes for a number what only begins like one; the reference did not.
    UNKNOWN = [word for word in UNKNOWN if not re.match(r"-\.?\d", word)]
COMBINED = ["-hV", "-Vh", "-hw5", "-hw", "-hx", "-Vc=5", "-h=", "-hh"]
VALUES = {
    "--conn-status": [*LOWER, "all", "bound", "LISTEN", ""],
    "--conn-type": [*TYPES, "all", "sctp", ""],
    "--critical": WORDS[8:],
    "--warning": WORDS[8:],
    "--test": ["first", "second", "second,,0", " first , , ", "[]", "nowhere", ""],
    "--source": ["auto", "netlink", "procfs", "netstat2", "AUTO"],
    "--timeout": ["5", "0.5", "1e3", " 8 ", "+9.", "0", "-1", "nan", "inf", "x", ""],
}
for _, added in reference.ADDED:
    name = f"--{added['dest'].lower().replace('_', '-')}"
    if added["action"] != "store_true":
        VALUES.setdefault(
            name, [*(added["choices"] or ["5", "192.0.2.0/24", "1000-1005"]), "-5", ""]
        )
SHORT = {"--help": "-h", "--version": "-V", "--critical": "-c", "--warning": "-w"}


def line(rng: random.Random, options: list[str], mistakes: float) -> list[str]:
    """Return a command line of these options with a share of mistakes."""
    args = ["--test=first"]
    for _ in range(rng.randrange(7)):
        if rng.random() < mistakes:
            args.append(rng.choice([*WORDS, *UNKNOWN, *COMBINED]))
            continue
        long = rng.choice(options)
        # What ends the reading at once is rare.
        if long in ("--help", "--version") and rng.random() < 0.9:
            continue
        name = long if rng.random() < 0.7 else long[: rng.randrange(3, len(long) + 1)]
        joint = ["=", None]
        if long in SHORT and rng.random() < 0.5:
            name, joint = SHORT[long], ["=", "", None]
        if long not in VALUES and rng.random() < 0.95:
            args.append(name)
            continue
        value = rng.choice([*VALUES.get(long, WORDS), "-5"])
        chosen = rng.choice(joint)
        # argparse fails with a traceback at a separator that is attached.
        if chosen is None or value == "--":
            args += [name, value]
        else:
            args.append(f"{name}{chosen}{value}")
    return args


KNOWN = [names[-1] for names, _ in reference.REFERENCE]
ALL = KNOWN + [names[-1] for names, _ in reference.ADDED]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("arguments")
    (directory / "unit-test").mkdir()
    for name in ("first", "second"):
        (directory / "unit-test" / name).write_text(connections(FIXTURES[name]))
    (directory / "program").touch()
    return directory / "program"


def run(program: Path, args: list[str]) -> str:
    """Return exit code and output, without how long it took."""
    stdout, _, returncode = _core.run(program, args)
    return f"{returncode} " + re.sub(
        r"(duration\W+|duration_seconds(?:{.*})? )[\d.e-]+", "", stdout
    )


def differs(program: Path, parser: argparse.ArgumentParser, args: list[str]) -> str:
    """Return how the answer differs from that to the line that argparse makes of it."""
    clear = reference.spelled_out(parser, args)
    found = run(program, args)
    if clear is None:
        return "" if found.startswith("3 ") else f"{args} must be refused, not {found}"
    expected = run(program, clear)
    return "" if found == expected else f"{args} is {clear}: {expected}, not {found}"


@shares.number("lines", 500, 4000)
def test_thousands_of_command_lines_of_the_reference(program: Path, lines: int) -> None:
    rng = random.Random(7)
    parser = reference.reference_parser()
    wrong = []
    readable = 0
    for number in range(lines):
        args = line(rng, KNOWN, mistakes=0.3 if number % 2 else 0.05)
        code, expected = reference.answer(args, FIXTURES, parser)
        stdout, _, returncode = _core.run(program, args)
        stdout = harness.as_the_reference(stdout)
        if returncode != code or stdout != (expected or stdout):
            wrong.append((args, code, expected, returncode, stdout))
        readable += expected is not None
    assert not wrong[:3]
    assert lines / 4 < readable < lines * 7 / 8


@shares.number("lines", 500, 4000)
def test_thousands_of_command_lines_of_all_options(program: Path, lines: int) -> None:
    rng = random.Random(8)
    parser = reference.parser(typed=False)
    wrong = []
    readable = 0
    for number in range(lines):
        args = line(rng, ALL, mistakes=0.3 if number % 2 else 0.05)
        if difference := differs(program, parser, args):
            wrong.append(difference)
        readable += reference.spelled_out(parser, args) is not None
    assert not wrong[:3]
    assert lines / 4 < readable < lines * 7 / 8


@shares.number("examples", 60, 500)
def test_any_words(program: Path, examples: int) -> None:
    parser = reference.parser(typed=False)

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(
            st.text("-=wchV5 .:@atso", max_size=6).filter(lambda arg: not arg.endswith("=--"))
            | st.sampled_from(
                [*ALL, *SHORT.values(), *WORDS, *UNKNOWN, *COMBINED, "tcp", "listen"]
            ),
            max_size=6,
        )
    )
    def any_words(args: list[str]) -> None:
        if sys.version_info >= (3, 14):
            args = [arg for arg in args if not re.match(r"-\.?\d", arg)]
        assert not differs(program, parser, ["--test=first", *args])

    any_words()


@shares.number("lines", 200, 1000)
def test_parse_args_reads_the_same_values(monkeypatch: pytest.MonkeyPatch, lines: int) -> None:
    rng = random.Random(9)
    parser = reference.parser(typed=True)
    readable = 0
    for _ in range(lines):
        args = line(rng, ALL, mistakes=0.1)
        monkeypatch.setattr(sys, "argv", ["network-connections", *args])
        expected = reference.read(parser, args)
        if expected is None:
            with pytest.raises(reference.REFUSED):
                plugin.parse_args()
        else:
            found = vars(plugin.parse_args())
            # As text, for one of the timeouts is NaN.
            assert repr(sorted(found.items())) == repr(sorted(expected[0].items())), args
            readable += 1
    assert readable > lines / 5


@pytest.mark.parametrize("options", [names for names, _ in reference.REFERENCE])
def test_an_abbreviation_of_the_reference_keeps_its_meaning(
    options: tuple[str, ...], program: Path
) -> None:
    parser = reference.reference_parser()
    long = options[-1]
    for end in range(3, len(long) + 1):
        for rest in ([], ["5"], ["tcp"], ["listen"], ["second"]):
            args = ["--test=first", long[:end], *rest]
            code, expected = reference.answer(args, FIXTURES, parser)
            stdout, _, returncode = _core.run(program, args)
            stdout = harness.as_the_reference(stdout)
            assert (returncode, stdout) == (code, expected or stdout), args


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        (["--t", "second"], ["--test", "second"]),
        (["--no"], ["--no-perfdata"]),
        (["--a"], ["--always-ok"]),
        (["--w", "5"], ["--warning", "5"]),
        (["--cr", "5"], ["--critical", "5"]),
        (["--conn-s", "listen"], ["--conn-status", "listen"]),
    ],
)
def test_abbreviations_mean(args: list[str], meant: list[str], program: Path) -> None:
    answer = _core.run(program, ["--test=first", *args])
    assert answer == _core.run(program, ["--test=first", *meant])
    assert answer != _core.run(program, ["--test=first"])


def test_strays_are_ignored(command: Command) -> None:
    test = command.fixture(connections({"tcp_LISTEN": 2}))
    done = command.run("stray", "-x", test, "--lengthier=3", "--xyz", "--", "-w", "1")
    assert (done.returncode, done.stdout) == (0, "tcp LISTEN: 2|'tcp_LISTEN'=2\n")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["stray"], "stray"),
        (["-"], "-"),
        ([""], '""'),
        (["-x"], "-x"),
        (["-x5"], "-x5"),
        (["--lengthier=3"], "--lengthier=3"),
        (["--conn-types=tcp"], "--conn-types=tcp"),
        (["--port=443"], '"--port=443", did you mean "--local-port" or "--remote-port"?'),
        (["-p", "443"], '"-p", did you mean "--local-port" or "--remote-port"?'),
        (["-H", "localhost"], '"-H", the check counts the connections of the host that it runs on'),
        (["-local-port=443"], '"-local-port=443", did you mean "--local-port"?'),
        (["--quiet"], '"--quiet" (see --help'),
        (["-w", "1", "2"], '"2"'),
        (["--", "-w", "1"], '"-w"'),
    ],
)
def test_strict_names_what_is_stray(args: list[str], named: str, command: Command) -> None:
    test = command.fixture(connections({"tcp_LISTEN": 2}))
    done = command.run(test, "--strict", *args)
    assert_usage_error(done, named)
    assert "tcp LISTEN" not in done.stdout


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--conn-type=sctp"], ["--conn-type", '"sctp"', "all, tcp, tcp6, udp, udp6"]),
        (["--conn-type=TPC"], ["--conn-type", '"TPC"', "all, tcp, tcp6, udp, udp6"]),
        (["--conn-type="], ["--conn-type", '""', "all, tcp, tcp6, udp, udp6"]),
        (["--conn-status", "bound"], ["--conn-status", '"bound"', *LOWER, "all"]),
        (["-w"], ["--warning needs a value (valid: for example --warning=10)"]),
        (["--crit"], ["--critical"]),
        (["-w", "--no"], ["--warning needs a value (valid: for example --warning=10)"]),
        (["-w", "-1:5"], ["--warning", '"-1:5" begins like an option', "--warning=VALUE"]),
        (["-c", "--", "5"], ["--critical"]),
        (["--conn-t"], ["--conn-type needs a value (choose from all, tcp, tcp6, udp, udp6, unix)"]),
        (["--timeout"], ["--timeout needs a value (valid: for example --timeout=8)"]),
        (["--local-port"], ["--local-port=443"]),
        (["--netns"], ["--netns=all"]),
        (["--group-by=process,user"], ["--group-by", '"process,user", give one value (choose']),
        (["--c=5"], ["--c", "--critical", "--conn-status", "--conn-type"]),
        (["--conn", "tcp"], ["--conn", "--conn-status", "--conn-type"]),
        (["--s"], ["--s", "--source", "--strict"]),
        (["--always=x"], ["--always-ok", '"x"']),
        (["-h5"], ["--help", '"5"']),
        (["--conn-type=a\nb\x1b[31m"], ["--conn-type"]),
        (["--conn-type=a|b"], ["a!b"]),
        (["--conn-type=<b>é</b>"], ["&lt;b>é"]),
        ([b"--conn-type=\xff"], ["--conn-type"]),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None,
)
def test_a_usage_error_is_one_line_and_the_usage(
    args: list[str | bytes], named: list[str], command: Command
) -> None:
    assert_usage_error(command.run(*args), *named)


def test_a_source_of_other_systems_is_a_usage_error(command: Command) -> None:
    there = sources(command)
    for source in {"netlink", "procfs", "netstat2"}.difference(there):
        done = command.run("--source", source)
        assert_usage_error(done, "--source", f'"{source}"', ", ".join(["auto", *there]))


def assert_usage_error(done: Done, *named: str) -> None:
    assert done.returncode == 3
    assert re.fullmatch(r"[^\n\r\x1b|]+\n", done.stdout), done.stdout
    for name in named:
        assert name in done.stdout
    assert done.stderr.startswith("usage: network-connections [-h] ")
    assert done.stderr.endswith("]\n")
    assert max(map(len, done.stderr.splitlines())) <= 80


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["--hel"], ["-hV"], ["-w5", "-h", "-w"]])
def test_help(args: list[str], command: Command) -> None:
    done = command.run(*args)
    assert (done.returncode, done.stderr) == (3, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("usage: network-connections [-h] ")
    assert max(map(len, lines)) <= 80
    for names, option in reference.REFERENCE + reference.ADDED:
        explained = re.search(rf"^  {', '.join(names)}\b", done.stdout, re.MULTILINE)
        assert bool(explained) == (option.get("dest") != "TEST"), names
    for default in ("Default: all.", "Default: auto.", "Default: 8."):
        assert default in " ".join(done.stdout.split())


def test_the_help_has_its_options_in_sections_and_three_examples(command: Command) -> None:
    lines = command.run("--help").stdout.splitlines()
    sections = [line for line in lines if re.fullmatch(r"[A-Z][a-z ]+:", line)]
    assert sections == [
        "Select connections:",
        "Group:",
        "Judge:",
        "Show:",
        "Advanced:",
        "Examples:",
    ]
    examples = [line.split() for line in lines if line.startswith("    network-connections --")]
    assert len(examples) == 3
    for _, *options in examples:
        assert command.run("--strict", *options).returncode in (0, 1, 2)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--conn-type", "TCP"),
        ("--conn-status", "FIN_WAIT1"),
        ("--group-by", "Status"),
        ("--measure", "Connections"),
        ("--format", "JSON"),
        ("--no-match-severity", "WARN"),
        ("--source", "Auto"),
    ],
)
def test_names_are_taken_in_any_case(command: Command, option: str, value: str) -> None:
    runs = [command.run(f"{option}={name}") for name in (value, value.lower())]
    timeless = [re.sub(r'"duration":[^,]+', "", done.stdout) for done in runs]
    assert timeless[0] == timeless[1]
    assert runs[0].returncode == runs[1].returncode < 3


@pytest.mark.parametrize(
    ("option", "value", "name"),
    [
        ("--conn-type", "TCP4", "tcp"),
        ("--conn-type", "udp4", "udp"),
        ("--conn-status", "FIN_WAIT_1", "fin_wait1"),
        ("--conn-status", "fin_wait_2", "fin_wait2"),
        ("--conn-status", "time-wait", "time_wait"),
        ("--group-by", "local_port", "local-port"),
    ],
)
def test_names_have_several_spellings(
    command: Command, option: str, value: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [command.run(f"{option}={each}") for each in (value, name)]
    assert runs[0] == runs[1]
    assert runs[0].returncode < 3
    read = []
    for each in (value, name):
        monkeypatch.setattr(sys, "argv", ["network-connections", f"{option}={each}"])
        read.append(plugin.parse_args())
    assert read[0] == read[1]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--local-port", "80,443"),
        ("--conn-type", "tcp,tcp6"),
        ("--conn-status", "listen, close_wait"),
        ("--remote-address", "192.0.2.1,192.0.2.2"),
    ],
)
def test_a_list_of_values_is_told_to_be_given_one_by_one(
    command: Command, option: str, value: str
) -> None:
    line = command.run(f"{option}={value}")
    assert line.returncode == 3
    assert "give the option again for each value" in line.stdout


def test_what_is_ignored_is_said_on_a_terminal_alone(command: Command) -> None:
    args = ("--local-prot=443", "stray")
    assert command.run(*args).stderr == ""
    shown, code = harness.on_a_terminal(command, *args)
    assert code == 0
    # A terminal may break a line anywhere.
    shown = shown.replace(" ", "")
    assert 'option"--local-prot=443",didyoumean"--local-port"?' in shown
    assert 'Ignored,--strictrefusesit:word"stray"' in shown


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (
            ["-w", "10%"],
            'Accepted, --strict refuses it: --warning: "10%" is in percent, but connections are '
            'counted (valid: "10")',
        ),
        (
            ["-w", "100", "-c", "50"],
            'Accepted, --strict refuses it: --warning: "100" is never reached before the critical '
            'range "50" (valid: --critical=RANGE, wider than 100)',
        ),
        (["-w", ""], "Accepted, --strict refuses it: --warning: an empty range never alerts"),
        (["-w", "9999", "-w", "8888"], '--warning: the last value counts, "9999" does not'),
        (
            ["--conn-type=udp", "--conn-status=listen"],
            'Accepted, --strict refuses it: --conn-status: "listen" is never the status of type '
            '"udp" (valid: --conn-status=none)',
        ),
    ],
)
def test_what_strict_would_refuse_is_said_on_a_terminal(
    command: Command, args: list[str], told: str
) -> None:
    assert command.run(*args).stderr == ""
    shown, code = harness.on_a_terminal(command, *args)
    assert code == 0
    assert told.replace(" ", "") in shown.replace(" ", "")


@pytest.mark.parametrize("args", [["--version"], ["-V"], ["--v"], ["-Vh"], ["-V", "--conn-type"]])
def test_version(args: list[str], command: Command) -> None:
    done = command.run(*args)
    there = ", ".join(sources(command))
    version = f"network-connections {plugin.__version__} (sources: {there})\n"
    assert done == Done(version, "", 3)
