"""The Python API: what it returns, what it raises, and that it never holds anybody up."""

from __future__ import annotations

import contextlib
import copy
import errno
import logging
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import harness
import network_connections
import pytest
from conftest import Place, Tampered
from harness import SILENT, Command, Done, python
from lab.names import SOURCES, TYPES, Source
from lab.namespaces import inside
from network_connections import CheckResult, check, connections, count_connections
from network_connections._core import options

LOGGER = "network_connections"
VALID_TYPES = f"valid: {', '.join(TYPES)}, unix, all"


@pytest.fixture
def counts(place: Place) -> Iterator[dict[str, int]]:
    """Run the test among known sockets."""
    with inside(place.ns):
        yield place.counts


@pytest.mark.parametrize(
    ("types", "statuses", "groups"),
    [
        (None, None, ["tcp_LISTEN", "udp_NONE", "tcp6_LISTEN", "udp6_NONE"]),
        ("all", "all", ["tcp_LISTEN", "udp_NONE", "tcp6_LISTEN", "udp6_NONE"]),
        ("ALL", None, ["tcp_LISTEN", "udp_NONE", "tcp6_LISTEN", "udp6_NONE"]),
        (["udp6", "All"], None, ["tcp_LISTEN", "udp_NONE", "tcp6_LISTEN", "udp6_NONE"]),
        ("tcp", None, ["tcp_LISTEN"]),
        ("Tcp6", "listen", ["tcp6_LISTEN"]),
        (("udp", "UDP6"), "None", ["udp_NONE", "udp6_NONE"]),
        ({"udp6"}, ["none", "LISTEN"], ["udp6_NONE"]),
        (iter(["tcp", "tcp", "udp"]), ("Listen",), ["tcp_LISTEN"]),
        ((name for name in ["tcp6", "tcp"]), None, ["tcp_LISTEN", "tcp6_LISTEN"]),
        ("udp", "listen", []),
        (None, ["established", "time_wait", "idle", "bound", "delete_tcb"], []),
    ],
)
def test_counts_what_is_chosen_in_display_order(
    types: object,
    statuses: object,
    groups: list[str],
    counts: dict[str, int],
) -> None:
    # An iterator can be read only once.
    types = [*types] if isinstance(types, Iterator) else types
    chosen: dict[str, Any] = {"types": types, "statuses": statuses}
    expected = [(group, counts[group]) for group in groups]
    assert [*count_connections(*chosen.values()).items()] == expected
    assert [*count_connections(**chosen).items()] == expected
    assert [*check(*chosen.values()).counts.items()] == expected


def test_an_iterator_of_names_will_do(counts: dict[str, int]) -> None:
    names: Iterator[Any] = (name for name in ["tcp6", "tcp"])
    assert [*count_connections(names)] == ["tcp_LISTEN", "tcp6_LISTEN"]
    assert not [*names]


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_counts_the_same(source: Source, counts: dict[str, int]) -> None:
    assert [*count_connections(source=source).items()] == [*counts.items()]
    assert [*check(source=source).counts.items()] == [*counts.items()]


@pytest.mark.parametrize("function", [count_connections, check])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"types": "sctp"}, f'unknown type "sctp" ({VALID_TYPES})'),
        ({"types": ["tcp", ""]}, f'unknown type "" ({VALID_TYPES})'),
        ({"types": "tcp,udp"}, f'unknown type "tcp,udp", did you mean "tcp"? ({VALID_TYPES})'),
        ({"types": []}, f"no type is given ({VALID_TYPES})"),
        ({"types": {}}, f"no type is given ({VALID_TYPES})"),
        (
            {"statuses": ["listen", "up"]},
            'unknown status "up" (valid: established, syn_sent, syn_recv, fin_wait1, fin_wait2, '
            "time_wait, close, close_wait, last_ack, listen, closing, none, idle, bound, "
            "delete_tcb, all)",
        ),
        ({"statuses": ()}, "no status is given (valid: established,"),
        ({"local_port": []}, "local_port: no value is given"),
        ({"remote_address": ()}, "remote_address: no value is given"),
        ({"source": "kernel"}, 'unknown source "kernel" (valid: auto, netlink, procfs'),
        ({"source": "netstat2"}, "netstat2 does not exist on this system (valid: auto, netlink,"),
        ({"timeout": 0}, 'timeout: "0" is not a positive number of seconds'),
        ({"timeout": -1.5}, 'timeout: "-1.5" is not'),
        ({"timeout": float("nan")}, 'timeout: "nan" is not'),
        ({"timeout": float("inf")}, 'timeout: "inf" is not'),
    ],
    ids=str,
)
def test_a_bad_argument_is_a_value_error_that_says_what_is_right(
    function: Callable[..., object], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"(?i){re.escape(message)}"):
        function(**arguments)


@pytest.mark.parametrize("function", [count_connections, check])
@pytest.mark.parametrize(
    "arguments",
    [{"types": 5}, {"types": [5]}, {"statuses": [None]}, {"timeout": "x"}],
    ids=str,
)
def test_an_argument_of_another_type_is_refused(
    function: Callable[..., object], arguments: dict[str, Any]
) -> None:
    with pytest.raises((TypeError, ValueError)):
        function(**arguments)


@pytest.mark.parametrize("function", [count_connections, check])
@pytest.mark.parametrize("name", ["ports", "strict", "test", "conn_type"])
def test_an_unknown_keyword_is_a_type_error(function: Callable[..., object], name: str) -> None:
    with pytest.raises(TypeError, match=name):
        function(**{name: None})


@pytest.mark.parametrize(
    ("function", "name", "hint"),
    [
        (check, "conn_type", 'did you mean "types"?'),
        (check, "status", 'did you mean "statuses"?'),
        (count_connections, "grup_by", 'did you mean "group_by"?'),
        (count_connections, "no_perfdata", '"no_perfdata"'),
        (count_connections, "warning", "(check() has it)"),
        (connections, "zero", "(count_connections() has it)"),
        (check, "nonsense", '"nonsense"'),
    ],
)
def test_an_unknown_keyword_names_the_nearest(
    function: Callable[..., object], name: str, hint: str
) -> None:
    with pytest.raises(TypeError) as caught:
        function(**{name: None})
    assert str(caught.value).startswith(f'unexpected keyword argument "{name}"')
    assert str(caught.value).endswith(hint)


@pytest.mark.parametrize(
    ("keyword", "name", "group"),
    [
        ("types", "TCP4", "tcp_LISTEN"),
        ("types", "udp4", "udp_NONE"),
        ("types", "UDP-6", "udp6_NONE"),
        ("statuses", "Listen", "tcp_LISTEN"),
    ],
)
def test_names_have_several_spellings(
    keyword: str, name: str, group: str, counts: dict[str, int]
) -> None:
    asked: dict[str, Any] = {keyword: name}
    assert group in count_connections(**asked)
    for spelling in ("FIN_WAIT_1", "fin_wait_2", "time-wait", "SynSent"):
        asked = {"statuses": spelling, "types": "tcp"}
        assert count_connections(**asked) == {}
    asked = {"group_by": "LOCAL_PORT"}
    assert sum(count_connections(**asked).values()) == sum(counts.values())


@pytest.mark.parametrize("name", ["warning", "critical", "always_ok", "perfdata", "top"])
def test_counting_refuses_what_only_judging_needs(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        count_connections(**{name: 1})  # type: ignore[arg-type]


def test_an_iterable_that_fails_says_so() -> None:
    def names() -> Iterator[Any]:
        yield "tcp"
        raise LookupError

    with pytest.raises(LookupError):
        count_connections(names())


def test_an_iterable_that_cannot_be_read_says_why() -> None:
    class Names:
        def __iter__(self) -> Iterator[Any]:
            raise LookupError("no names")

    with pytest.raises(LookupError, match="no names"):
        count_connections(Names())


@pytest.mark.parametrize("ports", [True, [443, False]], ids=str)
def test_a_bool_is_no_port(ports: bool | list[int]) -> None:
    message = "^local_port: a value is a str, a number, a Range, an address or a path, not bool$"
    with pytest.raises(ValueError, match=message):
        count_connections(local_port=ports)


KEYWORDS: dict[str, dict[str, Any]] = {
    option["keyword"]: option for option in options() if option["keyword"]
}
SWITCHES = [name for name, option in KEYWORDS.items() if option["action"] == "store_true"]
VALUES = [name for name in KEYWORDS if name not in SWITCHES]


def bytes_path() -> os.DirEntry[bytes]:
    """Return a path that is bytes."""
    with os.scandir(b"/") as entries:
        return next(entries)


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize(
    "value", [b"443", bytearray(b"1"), memoryview(b""), bytes_path()], ids=type
)
def test_bytes_are_no_value(name: str, value: object) -> None:
    given: list[Any] = [value]
    if KEYWORDS[name]["action"] == "append":
        given += [[value], (1, value)]
    for one in given:
        with pytest.raises(
            ValueError, match=f"^{name}: a value is a str, .*, not {type(value).__name__}$"
        ):
            check(**{name: one})


@pytest.mark.parametrize("value", ["False", "", "no", 0, 1, b"", [], {}, float("nan")], ids=str)
def test_a_switch_is_a_bool(value: object) -> None:
    functions: dict[str, Callable[..., object]] = dict.fromkeys(SWITCHES, check)
    functions["processes"] = connections
    assert len(functions) > 4
    for name, function in functions.items():
        given: dict[str, Any] = {name: value}
        kind = type(value).__name__
        with pytest.raises(ValueError, match=f"^{name}: a switch is True or False, not {kind}$"):
            function(**given)


def test_a_switch_that_is_none_is_the_default(counts: dict[str, int]) -> None:
    nothing: dict[str, Any] = dict.fromkeys(SWITCHES)
    assert check(critical=0, **nothing) == check(critical=0)
    also: Any = None
    assert connections(processes=also) == connections()


@pytest.mark.parametrize(
    ("options", "args"),
    [
        ({}, []),
        ({"types": "tcp", "warning": 2}, ["--conn-type=tcp", "-w2"]),
        ({"critical": "@3", "warning": "@1"}, ["-c@3", "-w@1"]),
        ({"critical": 0, "always_ok": True}, ["-c0", "--always-ok"]),
        ({"warning": 0, "perfdata": False}, ["-w0", "--no-perfdata"]),
        ({"types": ["udp"], "statuses": "listen"}, ["--conn-type=udp", "--conn-status=listen"]),
        ({"source": "procfs"}, ["--source=procfs"]),
    ],
)
def test_a_result_is_what_the_command_prints(
    options: dict[str, Any], args: list[str], counts: dict[str, int], native: Command
) -> None:
    result = check(**options)
    # A child is born in the namespace of the thread that starts it.
    assert native.run(*args) == Done(f"{result}\n", "", result.state)
    assert str(result) == "|".join(filter(None, [result.message, result.perfdata]))


def test_a_result_has_what_was_found(counts: dict[str, int]) -> None:
    result = check(warning=2, critical="@1")
    assert result.state == 2
    assert result.message == (
        "tcp LISTEN: 3 [WARNING], udp NONE: 2, tcp6 LISTEN: 1 [CRITICAL], udp6 NONE: 1 [CRITICAL]"
    )
    assert result.perfdata == "'tcp_LISTEN'=3 'udp_NONE'=2 'tcp6_LISTEN'=1 'udp6_NONE'=1"
    assert [*result.counts.items()] == [*counts.items()]


def test_always_ok_and_no_perfdata(counts: dict[str, int]) -> None:
    result = check("tcp", critical=0, always_ok=True, perfdata=False)
    assert result.state == 0
    assert result.message == "tcp LISTEN: 3 [CRITICAL] (always ok)"
    assert result.perfdata == ""
    assert result.counts == {"tcp_LISTEN": 3}


@pytest.fixture
def result(counts: dict[str, int]) -> CheckResult:
    return check(warning=2)


def test_a_result_is_frozen(result: CheckResult) -> None:
    for name in ("state", "message", "perfdata", "counts", "other"):
        with pytest.raises(AttributeError):
            setattr(result, name, getattr(result, name, None))
        with pytest.raises(AttributeError):
            delattr(result, name)
    before = result.counts
    result.counts["tcp_LISTEN"] = 0
    assert result.counts == before


def test_a_result_can_be_copied(result: CheckResult) -> None:
    pickled = [pickle.loads(pickle.dumps(result, protocol)) for protocol in range(2, 6)]  # noqa: S301
    for copied in (copy.copy(result), copy.deepcopy(result), *pickled):
        assert isinstance(copied, CheckResult)
        assert copied == result
        assert hash(copied) == hash(result)
        for name in ("state", "message", "perfdata"):
            assert getattr(copied, name) == getattr(result, name)
        assert [*copied.counts.items()] == [*result.counts.items()]
        assert str(copied) == str(result)


def test_results_differ(result: CheckResult) -> None:
    make, arguments = result.__reduce__()
    assert make(*arguments) == result
    for at, other in enumerate((2, "", "", {})):
        assert make(*arguments[:at], other, *arguments[at + 1 :]) != result


def test_groups_have_what_was_judged(counts: dict[str, int]) -> None:
    found = check(warning=2, critical="@1").groups
    assert all(isinstance(one, network_connections.Group) for one in found)
    assert [(one.label, one.found, one.state) for one in found] == [
        ("tcp_LISTEN", counts["tcp_LISTEN"], 1),
        ("udp_NONE", counts["udp_NONE"], 0),
        ("tcp6_LISTEN", counts["tcp6_LISTEN"], 2),
        ("udp6_NONE", counts["udp6_NONE"], 2),
    ]
    assert {(one.measure, one.unit, one.limit) for one in found} == {
        ("connections", "connections", None)
    }
    assert all(one.value == one.found for one in found)
    queues = check("tcp", measure="accept-queue").groups
    assert queues
    assert {(one.measure, one.unit) for one in queues} == {("accept-queue", "%")}
    assert all(one.limit and one.value == 100 * one.found / one.limit for one in queues)
    together = check(measure="exhaustion").groups
    assert "accept-queue" in {one.measure for one in together}


def test_a_result_can_be_made(result: CheckResult) -> None:
    made = CheckResult(2, "message")
    assert (made.state, made.message, made.perfdata, str(made)) == (2, "message", "", "message")
    assert (made.counts, made.groups, made.to_json(), made.to_prometheus()) == ({}, (), "", "")
    group = network_connections.Group("tcp", "stuck", 12, "s", None, 1, 2)
    made = CheckResult(2, "message", counts={"tcp": 1}, groups=[group])
    assert made.groups == (group,)
    assert pickle.loads(pickle.dumps(made)).groups == made.groups  # noqa: S301
    parts = (result.state, result.message, result.perfdata, result.counts)
    assert CheckResult(*parts) == result


def test_repr_shows_what_was_found(result: CheckResult) -> None:
    shown = repr(result)
    assert "CheckResult" in shown
    assert f"state={result.state}" in shown
    assert f"message={result.message!r}" in shown
    assert f"counts={result.counts!r}" in shown


# A kernel that does not answer, or will not.


def test_the_deadline_is_a_timeout_error(tampered: Tampered) -> None:
    script = """
import network_connections
for function in (network_connections.count_connections, network_connections.check):
    try:
        print(function(timeout=0.3))
    except TimeoutError as error:
        print(error)
"""
    answer = "Timeout: no answer within 0.3 s\n"
    assert python(script, before=tampered(SILENT)) == Done(answer * 2, "", 0)


@pytest.mark.parametrize("name", ["EPERM", "EACCES", "EAFNOSUPPORT", "EPROTONOSUPPORT", "EMFILE"])
def test_a_refusal_is_an_os_error_with_its_number(name: str, tampered: Tampered) -> None:
    script = """
import network_connections
for function in (network_connections.count_connections, network_connections.check):
    try:
        print(function(source="netlink"))
    except OSError as error:
        print(error.errno, error.strerror, isinstance(error, PermissionError))
"""
    done = python(script, before=tampered(f"socket:error={name}"))
    number = getattr(errno, name)
    line = f"{number} Cannot count TCP connections: netlink: socket: {os.strerror(number)}"
    denied = name in ("EPERM", "EACCES")
    expected = re.escape(line) + rf"[^\n]* {denied}\n"
    assert (done.stderr, done.returncode) == ("", 0)
    assert re.fullmatch(f"({expected}){{2}}", done.stdout), done.stdout


def test_ctrl_c_interrupts_an_unanswered_call(tampered: Tampered, tmp_path: Path) -> None:
    script = """
import signal
import network_connections
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    network_connections.count_connections(timeout=30)
except KeyboardInterrupt:
    print("interrupted")
"""
    started = time.monotonic()
    with unanswered([sys.executable, "-I", "-c", script], tampered, tmp_path) as (process, pid):
        os.kill(pid, signal.SIGINT)
        output, _ = process.communicate(timeout=harness.PATIENCE)
    assert (output, process.returncode) == ("interrupted\n", 0)
    assert time.monotonic() - started < 20


def test_another_signal_does_not_end_an_unanswered_call(tampered: Tampered, tmp_path: Path) -> None:
    script = """
import signal
import network_connections
signal.signal(signal.SIGUSR1, lambda *_: print("signal"))
try:
    network_connections.count_connections(timeout=1)
except TimeoutError:
    print("timeout")
"""
    with unanswered([sys.executable, "-I", "-c", script], tampered, tmp_path) as (process, pid):
        os.kill(pid, signal.SIGUSR1)
        output, _ = process.communicate(timeout=harness.PATIENCE)
    assert (output, process.returncode) == ("signal\ntimeout\n", 0)


def test_ctrl_c_ends_the_command(
    python_command: Command, tampered: Tampered, tmp_path: Path
) -> None:
    line = [os.fsdecode(word) for word in python_command.line("--timeout=30")]
    started = time.monotonic()
    with unanswered(line, tampered, tmp_path, python_command) as (process, pid):
        os.kill(pid, signal.SIGINT)
        output, errors = process.communicate(timeout=harness.PATIENCE)
    assert (output, errors, process.returncode) == ("Interrupted\n", "", 3)
    assert time.monotonic() - started < 20


@contextlib.contextmanager
def unanswered(
    line: list[str], tampered: Tampered, tmp_path: Path, command: Command | None = None
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a command line until it waits for an answer that never comes."""
    log = tmp_path / "strace.log"
    process = subprocess.Popen(
        [*tampered(SILENT, log=str(log)), *line],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=command.environment() if command else None,
        # Nobody in front may have switched it off.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with process:
        try:
            deadline = time.monotonic() + harness.PATIENCE
            while not log.exists() or "INJECTED" not in log.read_text():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield process, int(log.read_text().split()[0])
        finally:
            process.kill()


def test_other_threads_go_on_while_the_kernel_works(tampered: Tampered) -> None:
    work = """
try:
    network_connections.count_connections(timeout=1)
except TimeoutError:
    print(steps - before > 5)
"""
    script = harness.MEANWHILE.replace("WORK\n", work)
    assert python(script, before=tampered(SILENT)) == Done("True\n", "", 0)


def test_many_threads_count_at_once(place: Place) -> None:
    def work(number: int) -> list[tuple[str, int]]:
        with inside(place.ns):
            source = SOURCES[number % 3]
            return [*count_connections(source=source, timeout=harness.PATIENCE).items()]

    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(work, range(200))]
    assert answers == [[*place.counts.items()]] * 200


def test_a_thread_counts_in_its_own_namespace(place: Place, one_listener: Place) -> None:
    # Both threads are there at the same time.
    barrier = threading.Barrier(2)

    def work(where: Place) -> dict[str, int]:
        with inside(where.ns):
            barrier.wait(harness.PATIENCE)
            found = {**count_connections(source="netlink")}
            assert count_connections(source="procfs") == found
            barrier.wait(harness.PATIENCE)
            return found

    with ThreadPoolExecutor(2) as pool:
        assert [*pool.map(work, (place, one_listener))] == [place.counts, one_listener.counts]


# Logging.


def test_records_say_which_source_answered(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, LOGGER):
        count_connections(source="netlink")
        network, caplog.handler.records = caplog.text, []
        count_connections(source="procfs")
    for record in caplog.records:
        assert record.name.startswith(f"{LOGGER}.")
    messages = [record.getMessage() for record in caplog.records]
    assert "TCP: procfs answered" in messages
    assert "UDP: procfs answered" in messages
    assert any(re.fullmatch(r"tcp: \d+ rows in /proc/\S+/net/tcp", text) for text in messages)
    assert "TCP: netlink answered" in network
    assert re.search(r"TCP: complete after \d+ datagrams", network)


def test_a_level_that_is_changed_takes_effect_in_every_thread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def records() -> int:
        before = len(caplog.records)
        count_connections()
        return len(caplog.records) - before

    with ThreadPoolExecutor(1) as pool:
        for level in (logging.WARNING, logging.DEBUG, logging.ERROR, logging.DEBUG):
            # Changed here, whoever counts.
            with caplog.at_level(level, LOGGER):
                assert (records() > 0) == (level == logging.DEBUG)
                assert (pool.submit(records).result() > 0) == (level == logging.DEBUG)


def test_a_fallback_is_a_warning_with_its_cause(tampered: Tampered) -> None:
    script = """
import logging, sys
import network_connections
logging.basicConfig(format="%(levelname)s %(name)s %(message)s", stream=sys.stdout)
network_connections.count_connections()
"""
    done = python(script, before=tampered(harness.NO_SOCKETS))
    assert (done.stderr, done.returncode) == ("", 0)
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    for protocol, line in zip(("TCP", "UDP"), lines):
        begin = rf"WARNING {LOGGER}\.\S+ {protocol}: netlink did not answer: socket: "
        assert re.match(begin + "Operation not permitted", line), line


def test_logging_that_is_imported_later_gets_records_and_one_that_is_not_stays_out() -> None:
    script = """
import sys
import network_connections
network_connections.count_connections()
print("logging" in sys.modules)
import logging
logging.basicConfig(format="%(name)s", stream=sys.stdout, level="DEBUG")
network_connections.check()
"""
    done = python(script)
    assert (done.stderr, done.returncode) == ("", 0)
    first, *names = done.stdout.splitlines()
    assert first == "False"
    assert names
    assert all(name.startswith(f"{LOGGER}.") for name in names)


def test_a_daemon_thread_hands_over_the_same_records(tampered: Tampered) -> None:
    script = """
import logging, sys, threading
import network_connections
form = "%(levelname)s %(name)s %(message)s %(threadName)s"
logging.basicConfig(format=form, stream=sys.stdout, level="DEBUG")
for daemon in (False, True):
    count = network_connections.count_connections
    one = threading.Thread(target=count, args=("tcp",), name="one", daemon=daemon)
    one.start()
    one.join()
"""
    done = python(script, before=tampered(harness.NO_SOCKETS))
    assert (done.stderr, done.returncode) == ("", 0)
    # How many rows there are may differ.
    lines = re.sub(r"\d+", "N", done.stdout).splitlines()
    assert len(lines) > 3
    assert lines[: len(lines) // 2] == lines[len(lines) // 2 :]
    assert lines[0].startswith(f"WARNING {LOGGER}.")


def test_a_handler_that_raises_raises_here(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            raise LookupError

    logger = logging.getLogger(LOGGER)
    handler = Failing()
    logger.addHandler(handler)
    try:
        with caplog.at_level(logging.DEBUG, LOGGER), pytest.raises(LookupError):
            count_connections()
    finally:
        logger.removeHandler(handler)


def test_what_is_public() -> None:
    public = set(network_connections.__all__)
    assert {"CheckResult", "Range", "__version__", "check", "count_connections"} <= public
    assert all(getattr(network_connections, name, None) is not None for name in public)
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", network_connections.__version__)
