"""`--test` reads nothing but files below `unit-test`, and whatever is in them gets an answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import harness
import pytest
from harness import Command, Done, connections, one_line
from lab.names import TYPES

SECRET = connections({"tcp_LISTEN": 7})
READ = Done("tcp LISTEN: 7|'tcp_LISTEN'=7\n", "", 0)


def assert_not_read(command: Command, name: str, cwd: Path | None = None) -> None:
    line = one_line(command.run(f"--test={name},,0", cwd=cwd))
    assert line.startswith("Fixture is not a JSON list of connections: ")
    assert "LISTEN" not in line


@pytest.fixture
def secret(command: Command) -> Path:
    """Return a file that could be read, but lies beside `unit-test`."""
    path = command.beside / "secret.json"
    path.write_text(SECRET)
    return path


@pytest.mark.parametrize("name", ["plain.json", "below/plain.json", "a b/é.json", "./plain.json"])
def test_a_file_below_unit_test_is_read(name: str, command: Command) -> None:
    assert command.run(command.fixture(SECRET, name)) == READ


def test_a_path_that_stays_inside_is_read(command: Command) -> None:
    command.fixture(SECRET, "below/plain.json")
    for name in ("below/../below/plain.json", "../unit-test/below/plain.json"):
        assert command.run(f"--test={name}") == READ
    absolute = command.unit_test.resolve() / "below" / "plain.json"
    assert command.run(f"--test={absolute}") == READ


def test_anything_else_is_the_text_itself(command: Command) -> None:
    done = command.run("--test=[]")
    assert done == Done('No connections of type "all" in status "all" found.\n', "", 0)


@pytest.mark.parametrize(
    "name", ["../secret.json", "below/../../secret.json", "missing.json", "", ".", "..", "below"]
)
def test_what_lies_outside_is_not_read(name: str, command: Command, secret: Path) -> None:
    command.fixture(SECRET, "below/plain.json")
    assert_not_read(command, name)


def test_an_absolute_path_is_not_read(command: Command, secret: Path) -> None:
    assert_not_read(command, str(secret))
    assert_not_read(command, "/etc/passwd")


def test_a_link_out_of_it_is_not_read(command: Command, secret: Path) -> None:
    (command.unit_test / "link.json").symlink_to(secret)
    (command.unit_test / "relative.json").symlink_to("../secret.json")
    (command.unit_test / "up").symlink_to("..")
    for name in ("link.json", "relative.json", "up/secret.json"):
        assert (command.unit_test / name).read_text() == SECRET
        assert_not_read(command, name)


def test_a_link_inside_is_read(command: Command) -> None:
    command.fixture(SECRET, "below/plain.json")
    (command.unit_test / "link.json").symlink_to("below/plain.json")
    (command.unit_test / "links").symlink_to("below")
    for name in ("link.json", "links/plain.json"):
        assert command.run(f"--test={name}") == READ


def test_broken_links_are_not_read(command: Command) -> None:
    (command.unit_test / "nowhere").symlink_to("missing")
    (command.unit_test / "round").symlink_to("round")
    for name in ("nowhere", "round"):
        assert_not_read(command, name)


@pytest.mark.skipif(harness.WINDOWS, reason="Wine takes links of Unix for what they lead to")
def test_a_linked_directory_is_not_unit_test(command: Command, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "plain.json").write_text(SECRET)
    command.unit_test.rmdir()
    command.unit_test.symlink_to(elsewhere)
    assert_not_read(command, "plain.json")


@pytest.mark.parametrize("instead", [None, "file"])
def test_without_unit_test_nothing_is_read(
    instead: str | None, command: Command, secret: Path
) -> None:
    command.unit_test.rmdir()
    if instead:
        command.unit_test.write_text(SECRET)
    for name in ("plain.json", "secret.json", "../secret.json", str(secret)):
        assert_not_read(command, name)


@pytest.mark.parametrize("kind", ["FIFO", "device", "directory"])
def test_only_a_regular_file_is_read(kind: str, command: Command) -> None:
    path = command.unit_test / "special"
    if kind == "FIFO":
        os.mkfifo(path)  # nobody writes into it: who opens it waits for ever
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    assert_not_read(command, "special")


def test_the_working_directory_does_not_matter(command: Command, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "unit-test").mkdir(parents=True)
    (other / "unit-test" / "plain.json").write_text(SECRET)
    assert_not_read(command, "plain.json", cwd=other)
    command.fixture(SECRET, "plain.json")
    (other / "unit-test" / "plain.json").write_text("[]")
    assert command.run("--test=plain.json", cwd=other) == READ


@pytest.mark.skipif(harness.RUNNER != (), reason="Wine or QEMU would get the name")
def test_a_forged_name_does_not_move_the_directory(native: Command, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "unit-test").mkdir(parents=True)
    (other / "unit-test" / "plain.json").write_text(SECRET)
    forged = str(other / "network-connections")
    Path(forged).touch()
    done = native.run("--test=plain.json", argv0=forged, cwd=other)
    assert one_line(done).startswith("Fixture is not a JSON list of connections: ")
    native.fixture(SECRET, "own.json")
    assert native.run("--test=own.json", argv0=forged, cwd=other) == READ


def test_a_linked_command_keeps_its_directory(command: Command, tmp_path: Path) -> None:
    if command.way == harness.MODULE:
        other = tmp_path / "other"
        other.mkdir()
        (other / harness.PACKAGE.name).symlink_to(command.beside)
        linked = Command(command.way, command.argv, other, {"PYTHONPATH": str(other)})
    else:
        other = tmp_path / "other"
        other.mkdir()
        (other / "linked").symlink_to(command.argv[-1])
        line = (*command.argv[:-1], str(other / "linked"))
        linked = Command(command.way, line, other)
    (other / "unit-test").mkdir()
    (other / "unit-test" / "plain.json").write_text(SECRET)
    assert_not_read(linked, "plain.json")
    command.fixture(SECRET, "own.json")
    assert linked.run("--test=own.json") == READ


def test_a_return_code_that_is_no_number_is_refused(command: Command) -> None:
    command.fixture(SECRET, "plain.json")
    assert command.run("--test=plain.json,,") == READ
    assert command.run("--test= plain.json , x , 2 ") == READ
    assert '"x"' in one_line(command.run("--test=plain.json,,x"))


# What is in a fixture.

FINE = '{"proto": "tcp", "status": "LISTEN"}'
NO_LIST = "Fixture is not a JSON list of connections: "
KNOWN = ", ".join(TYPES)
DEEP = 200_000


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("", [NO_LIST]),
        ("broken", [NO_LIST]),
        ("{}", [NO_LIST]),
        ("null", [NO_LIST]),
        ("5", [NO_LIST]),
        ('"[]"', [NO_LIST]),
        ("\ufeff[]", [NO_LIST]),
        (f"[{FINE}] x", [NO_LIST]),
        (b"\xff\xfe", [NO_LIST]),
        (b"\0", [NO_LIST]),
        ("[", ["entry 1"]),
        (f"[{FINE}", ["entry 2"]),
        (f"[{FINE},]", ["entry 2"]),
        (f"[{FINE}, {FINE} {FINE}]", ["entry 3"]),
        (f"[{FINE}, 5]", ["entry 2", "5"]),
        (f"[{FINE}, null]", ["entry 2", "null"]),
        (f'[{FINE}, "tcp"]', ["entry 2", '"tcp"']),
        (f'[{FINE}, ["tcp", "LISTEN"]]', ["entry 2", "sequence"]),
        (f"[{FINE}, {{}}]", ["entry 2", "`proto`"]),
        (f'[{FINE}, {{"proto": "tcp"}}]', ["entry 2", "`status`"]),
        (f'[{FINE}, {{"status": "LISTEN"}}]', ["entry 2", "`proto`"]),
        (f'[{FINE}, {{"proto": "sctp", "status": "LISTEN"}}]', ["entry 2", '"sctp"', KNOWN]),
        (f'[{FINE}, {{"proto": "unix", "status": "LISTEN"}}]', ["entry 2", '"unix"', KNOWN]),
        (f'[{FINE}, {{"proto": "TCP", "status": "LISTEN"}}]', ["entry 2", '"TCP"', KNOWN]),
        (f'[{FINE}, {{"proto": "", "status": "LISTEN"}}]', ["entry 2", '""', KNOWN]),
        (f'[{FINE}, {{"proto": "tcp", "status": "UP"}}]', ["entry 2", '"UP"', "ESTABLISHED, "]),
        (f'[{FINE}, {{"proto": "tcp", "status": "listen"}}]', ["entry 2", '"listen"', "LISTEN"]),
        (f'[{FINE}, {{"proto": 6, "status": "LISTEN"}}]', ["entry 2", "6"]),
        (f'[{FINE}, {{"proto": null, "status": "LISTEN"}}]', ["entry 2", "null"]),
        (f'[{FINE}, {{"proto": "tcp", "status": ["LISTEN"]}}]', ["entry 2", "sequence"]),
        (f'[{FINE}, {{"proto": "tcp", "status": {{}}}}]', ["entry 2", "map"]),
        (f'[{FINE}, {{"proto": "tcp", "status": true}}]', ["entry 2", "true"]),
        (f'[{FINE}, {{"proto": "a|<b>\\n", "status": "LISTEN"}}]', ["entry 2", "a!&lt;b>"]),
        (f'[{FINE}, {{"proto": "tcp\\u0000", "status": "LISTEN"}}]', ["entry 2", "tcp"]),
        (f'[{FINE}, {{"proto": "\\ud800", "status": "LISTEN"}}]', ["entry 2"]),
        (b'[{"proto": "t\xffcp", "status": "LISTEN"}]', ["entry 1"]),
        (b'[{"proto": "tcp", "\xff": "LISTEN"}]', ["entry 1"]),
        ("[" * DEEP, ["entry 1"]),
        (f"[{FINE}, " + '{"proto": ' * DEEP, ["entry 2"]),
        (f"[{FINE}, " + '{"x": ' * DEEP, ["entry 2"]),
        (f'[{FINE}, {{"proto": "{"x" * 100_000}", "status": "LISTEN"}}]', ["entry 2", KNOWN]),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, (str, bytes)) else None,
)
def test_a_bad_fixture_is_one_line_that_names_the_entry(
    content: str | bytes, named: list[str], command: Command
) -> None:
    line = one_line(command.run(command.fixture(content)))
    assert "|" not in line
    for name in named:
        assert name in line


def test_every_entry_counts(command: Command) -> None:
    entries = [json.loads(FINE)] * 3 + [{"status": "NONE", "proto": "udp", "pid": None, "x": [1]}]
    done = command.run(command.fixture(json.dumps(entries)))
    assert done == Done("tcp LISTEN: 3, udp NONE: 1|'tcp_LISTEN'=3 'udp_NONE'=1\n", "", 0)


def test_of_a_repeated_key_the_last_counts(command: Command) -> None:
    twice = '[{"proto": "tcp", "status": "NONE", "proto": "udp"}]'
    assert command.run(command.fixture(twice)) == Done("udp NONE: 1|'udp_NONE'=1\n", "", 0)


def test_equal_counts_are_in_the_order_of_appearance(command: Command) -> None:
    groups = ["udp6_NONE", "tcp_TIME_WAIT", "tcp6_LISTEN", "tcp_ESTABLISHED"]
    done = command.run(command.fixture(connections(dict.fromkeys(groups, 1))))
    assert done.stdout.endswith("|" + " ".join(f"'{group}'=1" for group in groups) + "\n")


def test_a_deep_value_of_no_meaning_is_passed_over(command: Command) -> None:
    deep = f'[{{"x": {"[" * DEEP}{"]" * DEEP}, "proto": "tcp", "status": "LISTEN"}}]'
    assert command.run(command.fixture(deep)) == Done("tcp LISTEN: 1|'tcp_LISTEN'=1\n", "", 0)


BIG = 50_000_000 // (len(FINE) + 1)


@pytest.fixture(scope="module")
def big() -> Iterator[Path]:
    """Return a fixture of 50 MB."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(f"[{','.join([FINE] * BIG)}]")
        file.flush()
        assert file.tell() > 49_000_000
        yield Path(file.name)


# A process begins with the peak of the one that starts it: this one stays small.
_PEAK = """
import os, resource, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status = os.waitpid(pid, 0)
print(os.WEXITSTATUS(status), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.skipif(harness.RUNNER != (), reason="the memory would be mostly that of Wine or QEMU")
def test_a_big_fixture_takes_little_memory(native: Command, big: Path) -> None:
    os.link(big, native.unit_test / "big.json")
    line = [sys.executable, "-I", "-S", "-c", _PEAK, *native.argv, "--test=big.json"]
    done = subprocess.run(
        [*line, "--timeout=60"],
        capture_output=True,
        text=True,
        timeout=harness.PATIENCE,
        check=True,
    )
    answer, peak = done.stdout.splitlines()
    assert answer == f"tcp LISTEN: {BIG}|'tcp_LISTEN'={BIG}"
    code, kilobytes = map(int, peak.split())
    assert code == 0
    assert kilobytes < 60_000


def test_a_big_fixture_gets_the_right_answer(command: Command, big: Path) -> None:
    os.link(big, command.unit_test / "big.json")
    done = command.run("--test=big.json", "--timeout=60")
    assert done == Done(f"tcp LISTEN: {BIG}|'tcp_LISTEN'={BIG}\n", "", 0)


def test_a_big_fixture_that_is_broken_at_its_end(native: Command) -> None:
    test = native.fixture(f'[{f"{FINE}," * BIG} {{"proto": "tcp"}}]')
    assert f"entry {BIG + 1}: " in one_line(native.run(test, "--timeout=60"))
