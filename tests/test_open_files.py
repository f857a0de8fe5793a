"""`--measure=open-files`: the open files of processes and of the host, against `/proc/PID/fd`."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import harness
import pytest
import shares
from asking import USERS, WAYS
from conftest import Tampered
from harness import STATIC, Command, Done, one_line, reworded, says
from lab import namespaces, owners
from lab.owners import private
from lab.tools import lacking

pytestmark = [
    pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing() or "-"),
    # Processes with limits are in Linux.
    pytest.mark.usefixtures("place"),
]

MEASURE = "--measure=open-files"
KERNEL = tuple(map(int, re.findall(r"\d+", platform.release())[:2]))
SIZES_ARE_TOLD = KERNEL >= (6, 2)
_numbers = itertools.count()

# What every process here has: its end, and steps that it is asked to do, one in each line.
STEPS = """
import ctypes, json, os, resource, signal, socket, struct, sys, threading
kept = []
libc = ctypes.CDLL(None, use_errno=True)

def limit(soft):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

def files(number):
    kept.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(number))

def sockets(number, kind=socket.SOCK_STREAM):
    kept.extend(socket.socket(socket.AF_INET, kind) for _ in range(number))

def full():
    try:
        while True:
            kept.append(os.open("/dev/null", os.O_RDONLY) if len(kept) % 2 else socket.socket())
    except OSError as error:
        return error.errno

def pair():
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        return client, server.accept()[0]

def apart(number):
    # A thread with a table of its own.
    ready = threading.Event()
    def work():
        assert libc.unshare(0x400) == 0
        files(number)
        ready.set()
        threading.Event().wait()
    threading.Thread(target=work, daemon=True).start()
    ready.wait()

def leave(number):
    # The first thread ends, and another one goes on.
    def work():
        files(number)
        print("null", flush=True)
        threading.Event().wait()
    threading.Thread(target=work, daemon=True).start()
    libc.pthread_exit(None)

signal.signal(signal.SIGINT, signal.SIG_DFL)
print("null", flush=True)
for line in sys.stdin:
    print(json.dumps(eval(line)), flush=True)
"""


def _files(process: Path) -> int:
    return sum(1 for _ in (process / "fd").iterdir())


class Process:
    """A process that opens files as it is told."""

    def __init__(self, path: Path, before: Sequence[str] = ()) -> None:
        """Start it under the name of a file."""
        self._process = subprocess.Popen(
            [*before, str(path), "-I", "-c", STEPS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.name = path.name
        self._answer()

    def _answer(self) -> Any:  # noqa: ANN401 - each step has its own
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the step failed"
        return json.loads(line)

    def do(self, step: str) -> Any:  # noqa: ANN401
        """Let it do a step."""
        assert self._process.stdin is not None
        self._process.stdin.write(step + "\n")
        self._process.stdin.flush()
        return self._answer()

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    @property
    def label(self) -> str:
        """How it is shown."""
        return f"{self.name} ({self.pid})"

    @property
    def open(self) -> int:
        """How many files it has open."""
        return _files(Path(f"/proc/{self.pid}"))

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


class Processes:
    """Processes of a program that no other test has."""

    def __init__(self, directory: Path, ending: contextlib.ExitStack) -> None:
        """Start them from a directory that everybody may read."""
        self._directory, self._ending = directory, ending

    def program(self) -> Path:
        """Return a program of a new name."""
        path = self._directory / f"leaky{os.getpid()}-{next(_numbers)}"
        path.symlink_to(os.path.realpath(sys.executable))
        return path

    def start(self, program: Path | None = None, before: Sequence[str] = ()) -> Process:
        """Start a process."""
        process = Process(program or self.program(), before)
        self._ending.callback(process.end)
        return process


@pytest.fixture
def processes(directory: Path) -> Iterator[Processes]:
    directory.chmod(0o755)
    with contextlib.ExitStack() as ending:
        yield Processes(directory, ending)


AS_NOBODY = namespaces.command(None, [], "nobody")


def as_user(user: str) -> list[str]:
    """Return what to put in front of a command line to run it as this user."""
    return AS_NOBODY if user == "nobody" else []


def ask(command: Command, *options: str, user: str = "root", before: Sequence[str] = ()) -> Done:
    done = command.run(MEASURE, *options, before=[*before, *as_user(user)])
    assert done.stderr == ""
    return done


def groups(
    command: Command, *options: str, user: str = "root", before: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Return the groups of a JSON report by label."""
    done = ask(command, "--format=json", *options, user=user, before=before)
    listed: list[dict[str, Any]] = json.loads(done.stdout)["groups"]
    assert len({one["label"] for one in listed}) == len(listed), done
    return {one["label"]: one for one in listed}


@pytest.mark.skipif(not SIZES_ARE_TOLD, reason="this kernel tells nobody the open files of others")
@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("way", WAYS)
def test_a_full_process_is_at_100_percent(
    processes: Processes, native: Command, user: str, way: str, directory: Path
) -> None:
    command = native if way == "native" else harness.install(harness.MODULE, directory / "module")
    process = processes.start()
    process.do("limit(64)")
    process.do("files(20)")
    found = groups(command, user=user)[process.label]
    assert (found["count"], found["of"]) == (process.open, 64)
    assert found["percent"] == pytest.approx(100 * process.open / 64)
    # EMFILE: one more cannot be opened.
    assert os.strerror(process.do("full()")) == "Too many open files"
    assert process.open == 64
    done = ask(command, "-w", "80", "-c", "95", user=user)
    assert f"{process.label}: 100% (64 of 64) [CRITICAL]" in done.stdout
    assert (done.returncode, "'fullest'=100%;80;95;0;100 " in done.stdout) == (2, True)
    assert "not seen" not in done.stdout


@pytest.mark.parametrize(("limit", "percent"), [(10, 100), (1, 1000), (0, 2000)])
def test_a_limit_that_was_lowered_is_exceeded(
    processes: Processes, native: Command, limit: int, percent: int
) -> None:
    process = processes.start()
    process.do(f"files({10 - process.open})")
    process.do(f"limit({limit})")
    assert process.open == 10
    done = ask(native, "-c", f"{process.name}=95")
    state = " [CRITICAL]"
    assert f"{process.label}: {percent}% (10 of {limit}){state}" in done.stdout
    assert done.returncode == 2


def test_the_fullest_process_of_a_program_and_unit_is_judged(
    processes: Processes, native: Command
) -> None:
    program = processes.program()
    one, other = processes.start(program), processes.start(program)
    one.do("limit(50)")
    one.do(f"files({40 - one.open})")
    other.do(f"files({100 - other.open})")
    assert (one.open, other.open) == (40, 100)
    found = groups(native, "--group-by=program")[program.name]
    assert (found["count"], found["of"], found["percent"]) == (40, 50, 80)
    for options, key, code in (
        (["--group-by=program"], program.name, 1),
        (["--group-by=process"], program.name, 1),
        (["--group-by=process"], one.label, 1),
        (["--group-by=process"], other.label, 0),
    ):
        done = ask(native, *options, "-w", f"{key}=79")
        assert done.returncode == code, done
    if owners.missing():
        return
    with owners.cgroups() as base:
        unit = base / f"{program.name}.service"
        unit.mkdir()
        for process in (one, other):
            (unit / "cgroup.procs").write_text(str(process.pid))
        assert groups(native, "--group-by=unit")[unit.name]["percent"] == 80
        done = ask(native, "--group-by=unit", "-w", f"{program.name}=79", "--lengthy")
        assert f"{unit.name}: 80% (40 of 50) [WARNING]" in done.stdout
        shown = harness.rows(done, unit.name, "process")
        assert harness.columns(shown, "Open", "Process", "Unit", "User", "Limit") == [
            ["40", one.label, unit.name, "root", "50"],
            ["100", other.label, unit.name, "root", str(_limit())],
        ]


@pytest.mark.skipif(bool(owners.missing()), reason=owners.missing() or "-")
@pytest.mark.parametrize("user", USERS)
def test_a_unit_outside_a_cgroup_namespace_is_as_full_as_its_fullest_process(
    processes: Processes, native: Command, user: str
) -> None:
    if user == "nobody" and not SIZES_ARE_TOLD:
        pytest.skip("this kernel tells nobody the open files of others")
    process, other = processes.start(), processes.start()
    process.do("limit(50)")
    process.do(f"files({40 - process.open})")
    other.do(f"files({100 - other.open})")
    mount = owners.cgroup2()
    with owners.cgroups() as base:
        for name in ("pod", "out.service"):
            (base / name).mkdir()
        for one in (process, other):
            (base / "out.service/cgroup.procs").write_text(str(one.pid))
        before = [
            *owners.after(f"echo $$ > {base}/pod/cgroup.procs"),
            *("unshare", "--cgroup"),
            *private(f"umount --lazy {mount}; mount -t cgroup2 none {mount}"),
        ]
        options = ["--group-by=unit", "--top=1000"]
        # Others here may fill more of their limit.
        found = groups(native, *options, user=user, before=before)["(outside)"]
        assert found["percent"] >= 80
        for threshold, code in (
            ("out.service=79", 3),
            ("absent=79", 3),
            ("out.service=200000", 0),
            ("200000", 0),
        ):
            done = ask(native, *options, "-c", threshold, user=user, before=before)
            assert done.returncode == code, done
            needed = "; some units cannot be seen (the host's cgroup namespace is needed"
            assert needed in done.stdout
            if code == 3:
                key = threshold.split("=")[0]
                shown = rf"\b{re.escape(key)}: 0% to [\d.]+% \(0 to \d+ of \d+\) \[UNKNOWN\]"
                assert re.search(shown, done.stdout)


def _limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@pytest.mark.skipif(not SIZES_ARE_TOLD, reason="this kernel does not tell the sizes of tables")
@pytest.mark.parametrize("user", USERS)
def test_a_thread_may_have_the_fullest_table(
    processes: Processes, native: Command, user: str
) -> None:
    apart, left = processes.start(), processes.start()
    before = apart.open
    apart.do("apart(30)")
    left.do("leave(20)")
    tables = [_files(path) for path in Path(f"/proc/{apart.pid}/task").iterdir()]
    assert sorted(tables) == [before, before + 30]
    found = groups(native, user=user)
    assert found[apart.label]["count"] == before + 30
    # Its first thread has ended, and has no files any more.
    with contextlib.suppress(OSError):
        assert left.open == 0
    assert found[left.label]["count"] == before + 20
    if user == "root":
        done = ask(native, "--lengthy", "-w", f"{apart.name}=0")
        (row,) = harness.rows(done, apart.label, "process")
        assert int(row["Other files"]) == before + 30


SHOWN = ("Open", "Sockets in a state", "Sockets in no state", "Other files")


@pytest.mark.parametrize("user", USERS)
def test_leaked_sockets_are_in_no_state(processes: Processes, native: Command, user: str) -> None:
    """No table of sockets shows them."""
    process = processes.start(before=as_user(user))
    others = process.open
    in_state = without = 0
    for step, more_in_state, more_without in (
        # Never bound.
        ("sockets(7)", 0, 7),
        ("sockets(3, socket.SOCK_DGRAM)", 0, 3),
        # Bound, and neither listening nor connected: a state of UDP only.
        ("kept.append(socket.socket()) or kept[-1].bind(('127.0.0.1', 0))", 0, 1),
        (
            "kept.append(socket.socket(type=socket.SOCK_DGRAM)) or kept[-1].bind(('127.0.0.1', 0))",
            1,
            0,
        ),
        ("kept.append(socket.create_server(('127.0.0.1', 0)))", 1, 0),
        ("kept.extend(pair())", 2, 0),
        # Reset by the peer, which is gone.
        (
            "[kept.append(a) or b.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, "
            "struct.pack('ii', 1, 0)) or b.close() for a, b in [pair()]]",
            0,
            1,
        ),
        # Closed at both ends, and still held by a copy of the descriptor.
        (
            "[kept.extend([a.dup(), b.dup()]) or b.shutdown(2) or a.shutdown(2) or a.close() or "
            "b.close() for a, b in [pair()]]",
            0,
            1,
        ),
    ):
        process.do(step)
        in_state += more_in_state
        without += more_without
        found = _row(native, process, user)
        if "shutdown" in step:
            # The end that closed first is in TIME_WAIT, which belongs to nobody.
            assert found["Sockets in no state"] == str(without + 1)
            without += 1
        numbers = (process.open, in_state, without, others)
        assert [found[name] for name in SHOWN] == [str(number) for number in numbers], step
    process.do("kept.extend(socket.socketpair())")
    assert _row(native, process, user)["Other files"] == str(others + 2)
    # Who may not read the files of a process knows their number.
    if user == "root" and SIZES_ARE_TOLD:
        found = _row(native, process, "nobody")
        assert [found[name] for name in SHOWN] == [str(process.open), "-", "-", "-"]


def _row(native: Command, process: Process, user: str) -> dict[str, str]:
    done = ask(native, "--lengthy", "-w", f"{process.name}=0", user=user)
    (row,) = harness.rows(done, process.label, "process")
    if user == "nobody":
        # Others here may have namespaces that nobody may look into.
        return {name: re.sub(r"^(at least|up to) ", "", cell) for name, cell in row.items()}
    return row


@pytest.mark.parametrize("user", USERS)
def test_the_host_tells_how_many_sockets_are_in_no_state(
    processes: Processes, native: Command, user: str
) -> None:
    """Others may leak sockets too, and run in namespaces that they have just made."""
    process = processes.start()

    def of_host() -> int | None:
        done = ask(native, "--lengthy", user=user)
        found = re.search(r"\n\nTCP sockets of the host in no state: (\d+)\|", done.stdout)
        return int(found[1]) if found else None

    def patiently() -> int | None:
        # Where a namespace could not be read, there is no number. It may be gone by the next look.
        numbers = (of_host() for _ in range(20 if user == "root" else 1))
        return next((number for number in numbers if number is not None), None)

    before = patiently()
    process.do("sockets(2000)")
    after = patiently()
    if before is not None and after is not None:
        assert 1500 <= after - before <= 2500
    if user == "root":
        assert after is not None


def test_the_host_has_a_group_of_its_own(native: Command) -> None:
    used, _, most = map(int, Path("/proc/sys/fs/file-nr").read_text(encoding="ascii").split())
    for options in ([], ["--group-by=program"], ["--group-by=unit"]):
        found = groups(native, *options)
        if most >= 2**63 - 1:
            assert "host" not in found
            continue
        assert (found["host"]["of"], abs(found["host"]["count"] - used) < 20_000) == (most, True)
        done = ask(native, *options, "-w", "host=0", "--lengthy")
        assert f" of {most}) [WARNING]" in done.stdout
        shown = [int(row["Open"]) for row in harness.rows(done, "host", "process")]
        assert shown == sorted(shown, reverse=True) != []


FILE_NR = "/proc/sys/fs/file-nr"


def _unseen_host(processes: Processes, native: Command, before: list[str], reason: str) -> None:
    """Ask where the number of the host cannot be read, and that of a process can."""
    process = processes.start()
    process.do("limit(64)")
    process.do("full()")
    note = f"; host not seen: {reason}|"
    for options, code, expected in (
        (["-w", "host=50"], 3, "host: not seen [UNKNOWN]"),
        (["-w", "200000"], 3, "host: not seen [UNKNOWN]"),
        (["-w", f"{process.name}=101"], 0, ""),
        (["-w", f"{process.name}=99"], 1, f"{process.label}: 100% (64 of 64) [WARNING]"),
    ):
        done = ask(native, *options, before=before)
        assert (done.returncode, expected in done.stdout) == (code, True), done
        assert note in (reworded(done.stdout) if STATIC else done.stdout)


@pytest.mark.parametrize("code", ["EACCES", "EIO"])
@pytest.mark.parametrize("call", [harness.OPEN, "read"])
def test_a_number_of_the_host_that_cannot_be_read_is_unknown_with_the_reason(
    processes: Processes, native: Command, tampered: Tampered, call: str, code: str
) -> None:
    reason = f"{FILE_NR}: {says(code)}"
    before = tampered(f"{call}:error={code}", only=FILE_NR)
    _unseen_host(processes, native, before, reason)


def test_a_file_in_place_of_the_kernels_is_no_number_of_the_host(
    processes: Processes, native: Command, directory: Path
) -> None:
    text = directory / "setting"
    text.write_text("1 0 100000\n", encoding="ascii")
    before = private(f"mount --bind {text} {FILE_NR}")
    _unseen_host(processes, native, before, f"{FILE_NR} is not the kernel's")


def test_a_proc_without_settings_does_not_tell_the_number_of_the_host(
    processes: Processes, native: Command
) -> None:
    before = _private_proc("subset=pid")
    _unseen_host(processes, native, before, f"/proc/sys: {says('ENOENT')}")


@pytest.mark.parametrize("code", ["ENOENT", "EACCES"])
def test_tables_of_threads_are_not_left_out_for_lack_of_the_own_table(
    native: Command, tampered: Tampered, code: str
) -> None:
    done = native.run(
        MEASURE, before=tampered(f"?newfstatat,?statx:error={code}", only="/proc/self/fd")
    )
    assert one_line(done) == f"/proc/self/fd: {says(code)}"


def test_a_program_may_be_called_host(processes: Processes, native: Command) -> None:
    most = int(Path("/proc/sys/fs/file-nr").read_text(encoding="ascii").split()[2])
    program = processes.program().with_name("host")
    program.symlink_to(os.path.realpath(sys.executable))
    processes.start(program).do("limit(64)")
    done = ask(native, "--group-by=program", "--top=1000")
    assert re.search(r"\bhost: [\d.]+% \(\d+ of 64\)", done.stdout)
    assert (f" of {most})" in done.stdout) is (most < 2**63 - 1)


def _private_proc(options: str) -> list[str]:
    return private(f"mount -t proc -o {options} proc /proc")


@pytest.mark.parametrize("hidepid", ["1", "2"])
def test_hidden_processes_are_unknown_where_a_threshold_could_be_met(
    processes: Processes, native: Command, hidepid: str
) -> None:
    process = processes.start(before=AS_NOBODY)
    process.do("limit(40)")
    process.do(f"files({30 - process.open})")
    before = _private_proc(f"hidepid={hidepid}")
    note = r"(\d+ processes not seen|processes may not be seen): /proc is mounted with \S*hidepid"
    for options, code, expected in (
        ([], 0, ""),
        (["-w", "80"], 3, "(other users' processes): "),
        (["-w", "80"], 3, "not seen [UNKNOWN]"),
        # What is certain stays certain.
        (["-w", "70"], 1, f"{process.label}: 75% (30 of 40) [WARNING]"),
        (["-w", f"{process.label}=80"], 0, ""),
        # A hidden process may have this name.
        (["-w", "nginx=80"], 3, "nginx: not seen [UNKNOWN]"),
        (["-w", f"{process.name}=80", "--group-by=program"], 3, ": at least 75% (30 of 40) [UNKN"),
        (["-w", "nginx=80", "--group-by=unit"], 3, "nginx: not seen [UNKNOWN]"),
    ):
        done = ask(native, *options, user="nobody", before=before)
        assert (done.returncode, expected in done.stdout) == (code, True), (options, done)
        found = re.search(note, done.stdout)
        assert found is not None, done
        assert found[0].startswith("processes may") is (hidepid == "2")
        assert "CAP_SYS_PTRACE or the group 0 is needed" in done.stdout
        # Nothing is hidden from root.
        done = ask(native, *options, before=before)
        assert ("UNKNOWN" in done.stdout, "not be seen" in done.stdout) == (False, False)


@pytest.mark.parametrize("user", USERS)
def test_a_container_judges_its_own_processes(
    processes: Processes, native: Command, user: str
) -> None:
    outside = processes.start()
    outside.do("limit(64)")
    outside.do("full()")
    apart = ["unshare", "--pid", "--fork", "--mount-proc"]
    done = ask(native, "-w", "80", user=user, before=apart)
    assert (done.returncode, outside.name in done.stdout) == (0, False)
    assert re.search(r"\(1\): [\d.]+% \(\d+ of \d+\)", done.stdout)
    assert "not seen" not in done.stdout
    # The number of the host counts there, too.
    most = Path("/proc/sys/fs/file-nr").read_text(encoding="ascii").split()[2]
    assert (f" of {most})" in done.stdout) is (int(most) < 2**63 - 1)
    # A sum of the whole host cannot be compared with a part of it.
    done = ask(native, "--lengthy", user=user, before=apart)
    assert "TCP sockets of the host" not in done.stdout


# A size of 0, as before Linux 6.2: the beginning of a `struct stat`.
WITHOUT_SIZES = [
    *("--quiet=path-resolution", "-P", "/proc/self/fd", "-e", "trace=newfstatat"),
    *("-e", "inject=newfstatat:poke_exit=@arg3=" + "00" * 56),
]


@pytest.mark.skipif(bool(lacking("strace")), reason=lacking("strace") or "-")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the structure is that of x86_64")
def test_an_older_kernel_tells_bounds(
    processes: Processes, native: Command, tampered: Tampered, directory: Path
) -> None:
    before = ["strace", "-f", "-o", str(directory / "log"), *WITHOUT_SIZES]
    process, left = processes.start(), processes.start()
    process.do("limit(200)")
    process.do(f"files({100 - process.open})")
    left.do("limit(100)")
    left.do("leave(20)")
    # Root lists the files.
    found = groups(native, before=before)
    assert (found[process.label]["count"], found[process.label]["of"]) == (100, 200)
    assert 20 < found[left.label]["count"] < 40
    done = ask(native, "-w", f"{process.name}=49", before=before)
    assert f"{process.label}: 50% (100 of 200) [WARNING]" in done.stdout
    assert "upper bound" not in done.stdout
    # Others know how many places the table has.
    places = re.search(r"FDSize:\t(\d+)", Path(f"/proc/{process.pid}/status").read_text())
    assert places is not None
    assert places[1] == "128" or places[1] == "256"
    bound = f"0% to {100 * int(places[1]) // 200}% (0 to {places[1]} of 200)"
    for threshold, state, code in (
        (f"{process.name}=127.9", " [UNKNOWN]" if places[1] == "256" else "", None),
        (f"{process.name}=49", " [UNKNOWN]", 3),
        (f"{process.name}=128", "", 0),
    ):
        done = ask(native, "--top=9999", "-w", threshold, user="nobody", before=before)
        assert f"{process.label}: {bound}{state}" in done.stdout, done
        assert code in (None, done.returncode)
        needed = "CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE are needed"
        note = rf"; of \d+ processes only an upper bound is told before Linux 6\.2 \({needed}\)"
        assert re.search(note, done.stdout)
    # Threads of the kernel have no files.
    assert "kthreadd" not in done.stdout
    shutil.rmtree(directory / "log", ignore_errors=True)


@pytest.mark.parametrize("number", [300, *shares.slow(10_000)])
def test_many_processes_are_all_judged(processes: Processes, native: Command, number: int) -> None:
    program = processes.program()
    process = processes.start(program)
    process.do("limit(64)")
    # A process group of its own, which ends at once.
    process.do("os.setpgid(0, 0)")
    process.do(f"[os.fork() or signal.pause() for _ in range({number})] and None")
    try:
        done = ask(native, "-c", f"{program.name}=95", "--timeout=60")
        assert done.returncode == 0
        shown = re.search(r"'processes'=(\d+)", done.stdout)
        assert shown is not None
        assert int(shown[1]) > number
        process.do("full()")
        done = ask(native, "-c", "95", "--top=1", "--timeout=60", user="nobody")
        if SIZES_ARE_TOLD:
            assert f"{process.label}: 100% (64 of 64) [CRITICAL]" in done.stdout
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def test_processes_that_end_meanwhile_are_no_error(native: Command) -> None:
    script = "while :; do for i in 1 2 3 4 5 6 7 8; do sleep 0.001 & done; wait; done"
    with subprocess.Popen(["sh", "-c", script]) as churn:
        try:
            for options in ([], ["--group-by=program"], ["--group-by=unit"], ["--lengthy"]):
                for user in USERS:
                    done = ask(native, "-c", "100000", *options, user=user)
                    assert (done.returncode, "not seen" in done.stdout) == (0, False), done
        finally:
            churn.kill()


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("--netns=all", "has no meaning where processes are measured"),
        ("--source=netlink", "has no meaning where processes are measured"),
        ("--conn-type=tcp", "has no meaning where processes are measured"),
        ("--conn-status=all", "has no meaning where processes are measured"),
        ("--local-port=443", "has no meaning where processes are measured"),
        ("--remote-address=192.0.2.1", "has no meaning where processes are measured"),
        ("--stuck=5", "has no meaning where processes are measured"),
        ("--zero", "has no meaning where processes are measured"),
        ("--group-by=user", "processes are not measured by user"),
        ("--group-by=type-status", "processes are not measured by type-status"),
        ("--list", "a list has connections, and no processes"),
        ("-c=total=5", '"total" is the key of no group that can be selected here'),
        ("-w=Total=5", "(valid: another name: percentages have no total)"),
    ],
)
def test_what_only_sockets_have_is_refused(native: Command, option: str, problem: str) -> None:
    line = one_line(native.run(MEASURE, option))
    assert problem in line


def test_a_fixture_has_no_open_files(native: Command) -> None:
    line = one_line(native.run(MEASURE, "--test=[]"))
    assert line == "Fixture has connections, which are all it can tell"


def test_prometheus_has_the_programs_of_keys_and_the_fullest(
    processes: Processes, native: Command
) -> None:
    program = processes.program()
    process, other = processes.start(program), processes.start(program)
    process.do("limit(50)")
    process.do(f"files({25 - process.open})")
    other.do("limit(100)")
    key = f"{program.name}=90,absent=90"
    page = ask(native, "--format=prometheus", "-w", key).stdout
    found = dict(re.findall(r'_open_files_ratio\{program="(.+?)"\} (\S+)', page))
    assert found == {"absent": "0", program.name: "0.5"}
    assert re.search(r"^network_connections_open_files_fullest_ratio [\d.]+$", page, re.MULTILINE)
    assert "_selected" not in page
    assert process.label not in page
    page = ask(native, "--format=prometheus", "--group-by=program").stdout
    assert "_open_files_ratio{" not in page
    if not lacking("promtool"):
        assert harness.promtool(page) == Done("", "", 0)
