"""When a call fails or the surroundings are odd: right counts from elsewhere, or the cause.

docs/evidence/reliability.md holds what these tests find.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import errno
import functools
import itertools
import json
import platform
import re
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import harness
import model
import page
import pytest
import shares
from asking import USERS, Asker, Shown, asker, one_by_one, shown
from conftest import Place
from harness import Command, Done
from lab import namespaces, oracles, owners
from lab.names import TYPES
from lab.states import StateLab
from lab.tools import lacking

pytestmark = pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing() or "-")
needs_strace = pytest.mark.skipif(bool(harness.no_strace()), reason=harness.no_strace() or "-")

ERRORS = (
    "ENOENT",
    "EAFNOSUPPORT",
    "EPROTONOSUPPORT",
    "EOPNOTSUPP",
    "EPERM",
    "EACCES",
    "EINTR",
    "ENOBUFS",
    "EMFILE",
    "ENOMEM",
    "EIO",
)
WAYS = ("native", "python", "api")
NO_TCP6 = "looking for `tcp` where `tcp6` is missing"
AGAIN = ("`sendto`", "`recvfrom`", "`poll`", "`read`")
HEAD = ("fault", "source asked", "outcome")


@pytest.fixture(scope="module")
def users(lab: StateLab, nobodys: Mapping[str, Command]) -> Iterator[dict[str, Asker]]:
    with _users(lab.ns, nobodys) as made:
        yield made


@pytest.fixture(scope="module")
def anywhere(place: Place, nobodys: Mapping[str, Command]) -> Iterator[dict[str, Asker]]:
    """Let users ask where it does not matter what sockets there are."""
    with _users(str(place.ns), nobodys) as made:
        yield made


@contextlib.contextmanager
def _users(ns: str, nobodys: Mapping[str, Command]) -> Iterator[dict[str, Asker]]:
    with contextlib.ExitStack() as stack:
        yield {user: stack.enter_context(asker(ns, user, nobodys)) for user in USERS}


# What came of a run, in the words of the page


def outcome(done: Done, sockets: Sequence[Shown]) -> str:
    """Say what came of a run with --format=json, where nothing but these is right."""
    assert done.stderr == "", done
    assert re.fullmatch(r"[^\n]+\n", done.stdout), done
    answer = json.loads(done.stdout)
    assert answer["state"] == done.returncode, done
    if done.returncode == 3:
        assert answer.keys() <= {"schema", "state", "message", "error", "errno"}, done
        # A call that is refused every time is refused for the file of SELinux, too: by the static
        # command, which opens all files by one call.
        message = answer["message"].replace(" (SELinux? see docs/permissions.md)", "")
        return f"UNKNOWN: `{harness.reworded(message)}`"
    assert done.returncode == 0, done
    counts = {group["label"]: group["count"] for group in answer["groups"]}
    for hidden in ((), ("tcp6",), ("udp6",), ("tcp6", "udp6")):
        types = tuple(kind for kind in TYPES if kind not in hidden)
        if counts == model.answer(model.Question(types), sockets).counts:
            but = f" but none of {' and '.join(hidden)}" if hidden else ""
            return f"right counts{but}, from {answer['source']}"
    raise AssertionError(f"neither right nor UNKNOWN: {done}")


# Calls that fail


@dataclass(frozen=True)
class Fault:
    """A system call that fails, at one or all of its places in a run."""

    call: str
    place: str
    error: str
    asked: str
    # What fails besides.
    besides: tuple[str, ...] = ()
    way: str = "native"

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the command is asked."""
        # What is always interrupted is tried again and again.
        endless = self.place == "every time" and self.error == "EINTR" and self.call in AGAIN
        return (f"--source={self.asked}", "--format=json", f"--timeout={1 if endless else 30}")


def run(someone: Asker, fault: Fault) -> Done:
    name, numbers = _calls(someone, fault)[fault.call]
    at = {"first": 0, "second": 1, "last": -1, "every time": 0}[fault.place]
    when = f"{numbers[at]}{'+' if fault.place == 'every time' else ''}"
    injection = f"{name}:error={fault.error}:when={when}"
    return someone.run(
        fault.way, *fault.arguments, before=harness.tampered(*fault.besides, injection)
    )


def _calls(someone: Asker, fault: Fault) -> Mapping[str, tuple[str, list[int]]]:
    """Find the sources' calls in a run without this fault, and where each is among its like."""
    key = (someone, fault.way, fault.asked, fault.besides)
    # How many bytes the tables have is not the same for long.
    return _traced(*key) if fault.call == "`read`" else _known(*key)


def _traced(
    someone: Asker, way: str, asked: str, besides: tuple[str, ...]
) -> dict[str, tuple[str, list[int]]]:
    calls = "socket,connect,sendto,recvfrom,?poll,ppoll,?open,openat,fstatfs,read,?newfstatat"
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as log:
        strace = ["strace", "-f", "-qq", "-o", log.name, "-e", f"trace={calls}"]
        strace += [word for besides_this in besides for word in ("-e", f"inject={besides_this}")]
        someone.run(way, f"--source={asked}", "--format=json", before=strace)
        lines = log.read().splitlines()
    seen: collections.Counter[str] = collections.Counter()
    tables: set[str] = set()
    found: dict[str, tuple[str, list[int]]] = {}
    for line in lines:
        called = re.match(r"\d+ +(\w+)\((.*)\) += (-?\w+)", line)
        if called is None:
            continue
        name, arguments, result = called.groups()
        seen[name] += 1
        what = _what(name, arguments, tables)
        if what is not None:
            found.setdefault(what, (name, []))[1].append(seen[name])
        if name == "openat":
            (tables.add if what else tables.discard)(result)
    return found


_known = functools.cache(_traced)


def _what(name: str, arguments: str, tables: set[str]) -> str | None:
    """Name a call of the sources as the page does; None for a call of somebody else."""
    if '"/proc/thread-self/net"' in arguments:
        return "opening the directory"
    table = re.match(r'\d+, "((?:tcp|udp)6?)", ', arguments)
    if table is not None:
        return f"opening `{table[1]}`" if name == "openat" else NO_TCP6
    ours = {
        "socket": "AF_NETLINK" in arguments,
        "connect": "AF_NETLINK" in arguments,
        "sendto": "idiag_" in arguments or "sdiag_" in arguments,
        "recvfrom": "MSG_TRUNC|MSG_DONTWAIT" in arguments,
        "poll": "POLLIN" in arguments,
        "ppoll": "POLLIN" in arguments,
        "fstatfs": arguments.split(",")[0] in tables,
        "read": arguments.split(",")[0] in tables,
    }
    return f"`{name.replace('ppoll', 'poll')}`" if ours.get(name) else None


def _rows(results: Mapping[Fault, str]) -> list[tuple[str, str, str]]:
    """Put faults that only differ in their error number, and end alike, into one row."""
    alike: dict[tuple[str, str, str, str], list[str]] = {}
    for fault, result in results.items():
        text = result.replace(harness.says(fault.error), "…")
        alike.setdefault((fault.call, fault.place, fault.asked, text), []).append(fault.error)
    return _merged(
        (f"{call}, {place}: {_named(errors)}", asked, text)
        for (call, place, asked, text), errors in alike.items()
    )


def _merged(rows: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Put sources that end alike into one row."""
    asked: dict[tuple[str, str], list[str]] = {}
    for fault, source, text in rows:
        asked.setdefault((fault, text), []).append(source)
    return [(fault, ", ".join(sources), text) for (fault, text), sources in asked.items()]


def _named(errors: Sequence[str]) -> str:
    others = [error for error in ERRORS if error not in errors]
    if len(others) > 2:
        return ", ".join(errors)
    return "any error" + (f" but {' and '.join(others)}" if others else "")


def _results(lab: StateLab, someone: Asker, faults: Sequence[Fault]) -> dict[Fault, str]:
    def ask(fault: Fault) -> Done:
        return run(someone, fault)

    return {
        fault: outcome(done, sockets)
        for fault, sockets, done in one_by_one(lab, someone.user, faults, ask)
    }


# How messages name the calls.
NETLINK = {"`socket`": "socket", "`connect`": "connect", "`sendto`": "send", "`recvfrom`": "recv"}
# The calls that are made once, for both protocols.
ONCE = ("`socket`", "`connect`")
TIMEOUT = "UNKNOWN: `Timeout: no answer within 1 s`"
NO_DATA_YET = "recvfrom:error=EAGAIN:when=1"
SOURCELESS = "socket:error=EACCES"


def netlink_faults() -> list[Fault]:
    faults = []
    for call in NETLINK:
        # Nothing is asked or heard before the first of the others succeeds.
        often = ("EINTR",) if call in AGAIN else ERRORS
        second = ["second"] if call == "`recvfrom`" else []
        for place in ("first", *second, "last", "every time"):
            faults += [
                Fault(call, place, error, asked)
                for asked in ("auto", "netlink")
                for error in (often if place == "every time" else ERRORS)
            ]
    for asked in ("auto", "netlink"):
        faults += [Fault("`poll`", "first", error, asked, (NO_DATA_YET,)) for error in ERRORS]
    return faults


def procfs_faults(root: Asker) -> list[Fault]:
    places = {
        "opening the directory": ("first", "last", "every time"),
        "opening `tcp`": ("first",),
        "opening `tcp6`": ("first",),
        "opening `udp`": ("first",),
        "opening `udp6`": ("first",),
        "`fstatfs`": ("first", "last"),
        "`read`": ("first", "second", "last"),
    }
    faults = [
        Fault(call, place, error, "procfs")
        for call, those in places.items()
        for place in those
        for error in ERRORS
    ]
    faults.append(Fault("`read`", "every time", "EINTR", "procfs"))
    name, (number,) = _known(root, "native", "procfs", ())["opening `tcp6`"]
    no_tcp6 = f"{name}:error=ENOENT:when={number}"
    faults += [Fault(NO_TCP6, "first", error, "procfs", (no_tcp6,)) for error in ERRORS]
    # Netlink is refused, and then this fails as well.
    for call, those in places.items():
        for place in those:
            if call != "opening the directory" or place == "every time":
                faults.append(Fault(call, place, "EIO", "auto", (SOURCELESS,)))
    return faults


@needs_strace
@shares.every(7)
def test_netlink_calls_that_fail(lab: StateLab, users: Mapping[str, Asker], share: slice) -> None:
    results = _results(lab, users["root"], netlink_faults()[share])
    for fault, text in results.items():
        interrupted = fault.error == "EINTR" and fault.call in AGAIN
        if interrupted and fault.place == "every time":
            assert text == TIMEOUT, fault
        elif interrupted:
            assert text == "right counts, from netlink", fault
        elif fault.asked == "auto":
            # The first two are for TCP, the last is for UDP. One socket serves both.
            sources = {"last": "netlink, procfs", "every time": "procfs"}
            once = fault.call in ONCE and fault.place == "last"
            source = "procfs, netlink" if once else sources.get(fault.place, "procfs, netlink")
            assert text == f"right counts, from {source}", fault
        else:
            call = NETLINK.get(fault.call, "poll")
            assert f" connections: netlink: {call}: {harness.says(fault.error)}`" in text, fault
    if share == shares.ALL:
        page.keep("calls, netlink", f"\n{page.table(HEAD, _rows(results))}\n")


@needs_strace
@shares.every(5)
def test_procfs_calls_that_fail(lab: StateLab, users: Mapping[str, Asker], share: slice) -> None:
    results = _results(lab, users["root"], procfs_faults(users["root"])[share])
    for fault, text in results.items():
        cause = f"procfs: /proc/thread-self/net.*: {re.escape(harness.says(fault.error))}`"
        if fault.besides == (SOURCELESS,):
            refused = re.escape(f"netlink: socket: {harness.says('EACCES')}")
            assert re.fullmatch(f"UNKNOWN: `.* connections: {refused}; {cause}", text), fault
        elif fault.error == "EINTR" and fault.call in AGAIN:
            again = fault.place == "every time"
            assert text == (TIMEOUT if again else "right counts, from procfs"), fault
        elif fault.call == "opening the directory" and fault.place != "every time":
            # It is tried again by another name.
            assert text == "right counts, from procfs", fault
        elif fault.error == "ENOENT" and fault.call in ("opening `tcp6`", "opening `udp6`"):
            # This is what a kernel without IPv6 says.
            table = fault.call.split("`")[1]
            assert text == f"right counts but none of {table}, from procfs", fault
        elif fault.call == NO_TCP6:
            assert f"/tcp6: {harness.says('ENOENT')}`" in text, fault
        else:
            assert re.fullmatch(f"UNKNOWN: `.* connections: {cause}", text), fault
    if share == shares.ALL:
        page.keep("calls, procfs", f"\n{page.table(HEAD, _rows(results))}\n")


@needs_strace
@shares.every(6)
def test_python_and_the_api_take_faults_as_the_native_command_does(
    lab: StateLab, users: Mapping[str, Asker], share: slice
) -> None:
    faults = [
        fault
        for fault in (*netlink_faults(), *procfs_faults(users["root"]))
        if fault.error == "EIO" and fault.call != NO_TCP6
    ]
    faults = [dataclasses.replace(fault, way=way) for fault in faults[share] for way in WAYS]
    alike = collections.defaultdict(set)
    for fault, text in _results(lab, users["root"], faults).items():
        alike[dataclasses.replace(fault, way="")].add(text)
    assert all(len(texts) == 1 for texts in alike.values()), alike


# Owners

OWNER_ERRORS = ("EMFILE", "ENFILE", "ENOMEM", "EIO", "EACCES", "ENOENT", "ESRCH", "EINTR")
# Not every architecture has each of these.
CALLS = {
    "opening": harness.OPEN,
    "listing": "getdents64",
    "following a link in": "?readlink,readlinkat",
    "following": "?readlink,readlinkat",
    "reading": "read",
    "`stat` of": "?stat,?newfstatat,?fstat,?statx",
    "`statfs` of": "?statfs,?statfs64",
}
PROCESS_FILES = {
    "/proc/self/ns/pid": ("following",),
    "/proc": ("opening", "listing"),
    "/proc/PID/fd": ("opening", "listing", "following a link in"),
    "/proc/PID/comm": ("opening", "reading"),
    "/proc/PID/cmdline": ("opening", "reading"),
    "/proc/PID/exe": ("following",),
    "/proc/PID/task": ("`stat` of", "opening", "listing"),
    "/proc/PID/task/TID/fd": ("opening", "listing", "following a link in"),
}
UNIT_FILES = {
    "/proc/self/mountinfo": ("opening", "reading"),
    "MOUNT": ("`statfs` of", "opening", "`stat` of", "listing"),
    "CGROUP": ("opening", "listing"),
}
NONE_NAMED = (
    "(no process)",
    "(other users' processes)",
    "(processes not read)",
    "(gone)",
    "(outside)",
)


@dataclass(frozen=True)
class Owner:
    """A process with sockets, all of one unit, and the files that say so."""

    label: str
    unit: str
    count: int
    files: Mapping[str, str]

    def named(self, text: str) -> str:
        """Replace the files in a text by their names on the page."""
        for name, file in sorted(self.files.items(), key=lambda pair: -len(pair[1])):
            text = text.replace(file, name)
        return text


@contextlib.contextmanager
def _owner(host: owners.Host, name: str, count: int, *, ended: bool) -> Iterator[Owner]:
    cgroup = host.cgroup(f"{name}.slice", f"{name}.service")
    held = host.start(name, cgroup)
    held.do("udp", "127.0.0.1", count)
    if ended:
        held.do("end_first_thread")
    process = f"/proc/{held.pid}"
    files = {
        f"/proc/PID/{file}": f"{process}/{file}"
        for file in ("fd", "comm", "cmdline", "exe", "task")
    }
    for thread in Path(f"{process}/task").iterdir():
        files["/proc/PID/task/TID/fd"] = f"{thread}/fd"
    files |= {"CGROUP": str(cgroup.parent), "MOUNT": str(owners.cgroup2())}
    yield Owner(f"{name} ({held.pid})", f"{name}.service", count, files)


def owners_outcome(done: owners.Answer, asked: str, owner: Owner, *others: Owner) -> str:
    """Say what came of a look-up, where nothing but these is right. An alert always comes."""
    assert done.stderr == "", done
    if done.returncode == 3:
        assert re.fullmatch(r"[^\n]+\n", done.stdout), done
        message = done.stdout[:-1]
        if asked != "--lengthy":
            message = json.loads(message)["message"]
        return f"UNKNOWN: `{harness.reworded(owner.named(message))}`"
    if asked == "--lengthy":
        assert done.returncode == 2, done
        message, _, below = done.stdout.partition("|")[0].partition("\n")
        if missing := re.search("; (details are missing: .*)", message):
            assert not below, done
            return f"the alert; `{harness.reworded(owner.named(missing[1]))}`"
        rows = re.findall(r"^(\d+) +! (.+?) +! (.+?) +! (.+?)$", done.stdout, re.MULTILINE)
        assert sum(int(count) for count, *_ in rows) == owner.count + sum(o.count for o in others)
        named = {label: int(count) for count, *two, _ in rows for label in two}
        right = {label: o.count for o in (owner, *others) for label in (o.label, o.unit)}
    else:
        assert done.returncode == 0, done
        groups = json.loads(done.stdout)["groups"]
        named = {group["label"]: group["count"] for group in groups if "unmatched" not in group}
        right = {o.label if "process" in asked else o.unit: o.count for o in (owner, *others)}
    if named == right:
        return "right"
    for label, count in named.items():
        assert label in (*NONE_NAMED, "-") or right.get(label) == count, done
    return "none named"


def _failing(host: owners.Host, injection: str, only: str, *options: str) -> owners.Answer:
    """Let a call for a file fail, which it must come to."""
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as log:
        if only.startswith("/proc/self/") and injection.startswith("read:"):
            # What is open there has the number of the process in its path.
            file = only.replace("self", "$$")
            script = f'exec strace -D -P "{file}" "$@"'
            before = ["sh", "-c", script, "sh", *harness.tampered(injection, log=log.name)[1:]]
        else:
            before = harness.tampered(injection, log=log.name, only=only)
        done = host.ask(*options, before=before)
        assert "(INJECTED)" in log.read(), (injection, only, options)
    return done


@needs_strace
@pytest.mark.skipif(bool(owners.missing()), reason=owners.missing() or "-")
@shares.every(5)
def test_looking_up_owners_that_fails(nobodys: Mapping[str, Command], share: slice) -> None:
    results: dict[tuple[str, str, str], dict[str, str]] = {}
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(owners.host([*nobodys["native"].argv, "--timeout=60"]))
        # A name that may have been cut short, so that the command line is read too.
        whole = stack.enter_context(_owner(host, "exactly_fifteen", 21, ended=False))
        ended = stack.enter_context(_owner(host, "ended", 4, ended=True))
        asked_of = {"--group-by=process": PROCESS_FILES, "--group-by=unit": UNIT_FILES}
        # Who is in the units of the sockets is looked at first, and that is enough here.
        asked_of["--lengthy"] = {**PROCESS_FILES, **UNIT_FILES}
        del asked_of["--lengthy"]["/proc"]
        # A key asks for everybody who has a socket.
        json_options: tuple[str, ...] = ("--format=json", "-c", "nobody=1000000")
        options = dict.fromkeys(asked_of, json_options)
        options["--lengthy"] = ("-c", "24")
        for asked in asked_of:
            done = host.ask(asked, *options[asked])
            assert owners_outcome(done, asked, whole, ended) == "right"
        faults = [
            (asked, name, call, error)
            for asked, files in asked_of.items()
            for name, calls in files.items()
            for call, error in itertools.product(calls, OWNER_ERRORS)
        ]
        for asked, name, call, error in faults[share]:
            owner, other = (ended, whole) if "/task" in name else (whole, ended)
            only = owner.files.get(name, name)
            if (name, call) == ("CGROUP", "opening"):
                # A directory is opened by its name in its parent.
                only = Path(only).name
            when = ":when=1" if error == "EINTR" else ""
            injection = f"{CALLS[call]}:error={error}{when}"
            done = _failing(host, injection, only, asked, *options[asked])
            text = owners_outcome(done, asked, owner, other)
            kind = text.replace(harness.says(error), "…")
            results.setdefault((f"{call} `{name}`", asked, kind), {})[error] = text
    for (file, asked, _), texts in results.items():
        for error, text in texts.items():
            if error == "EINTR":
                assert text == "right", (file, asked)
            elif error in ("EACCES", "ENOENT", "ESRCH"):
                said = text.startswith(("UNKNOWN: ", "the alert; "))
                assert said or text in ("right", "none named"), (file, asked)
            elif text == "right":
                # They say only whether any process may be hidden.
                assert "`/proc/self/" in file
            elif (file, error) == ("opening `CGROUP`", "EMFILE"):
                # Others may have made more directories in each other than a process may have open.
                assert text == "none named"
            elif asked != "--lengthy" or text != "none named":
                assert harness.says(error) in text, (file, asked, error)
    rows = _merged(
        (f"{file}: {_all_but(texts)}", f"`{asked}`", text)
        for (file, asked, text), texts in results.items()
    )
    if share == shares.ALL:
        page.keep("calls, owners", f"\n{page.table(('fault', 'asked', 'outcome'), rows)}\n")


def _all_but(errors: Iterable[str]) -> str:
    others = [error for error in OWNER_ERRORS if error not in errors]
    if not others:
        return "any error"
    return ", ".join(errors) if len(others) > 3 else f"any error but {' and '.join(others)}"


# Surroundings that are odd

_SECCOMP = """
import ctypes, os, struct, sys

# linux/filter.h: allow everything but socket(AF_NETLINK, ...), which fails with an errno.
architecture, number, code = map(int, sys.argv[1:4])
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
program = [
    (LOAD, 0, 0, 4), (EQUAL, 0, 4, architecture),
    (LOAD, 0, 0, 0), (EQUAL, 0, 2, number),
    (LOAD, 0, 0, 16), (EQUAL, 1, 0, 16),
    (RETURN, 0, 0, 0x7FFF0000),
    (RETURN, 0, 0, 0x00050000 | code),
]
filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filters", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
made = Program(len(program), ctypes.addressof(filters))
if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(made), 0, 0) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[4], sys.argv[4:])
"""
# The number of the architecture (linux/audit.h) and of the call socket.
_SOCKET = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}


def seccomp(name: str) -> list[str]:
    """Forbid netlink sockets: this in front of a command line."""
    numbers = [*_SOCKET[platform.machine()], getattr(errno, name)]
    return [sys.executable, "-c", _SECCOMP, *map(str, numbers)]


def mounted(script: str) -> list[str]:
    """Change what is mounted, for one command only: this in front of its command line."""
    return ["unshare", "--mount", "sh", "-ec", f'{script}\nexec "$@"', "sh"]


EMPTY = "mount -t tmpfs none /proc"
COPIES = f"""
copies=$(mktemp -d); cp /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6 "$copies"
{EMPTY}; mkdir -p /proc/thread-self/net; cp "$copies"/* /proc/thread-self/net; rm -r "$copies"
"""
# Only what is in the directory counts, so another one takes its place.
WITHOUT = """
mount -t tmpfs none /mnt
for table in {tables}; do : > /mnt/$table; mount --bind /proc/$$/net/$table /mnt/$table; done
mount --rbind /mnt /proc/$$/task/$$/net
"""


@dataclass(frozen=True)
class Surroundings:
    """What a run of the check finds, and what must come of it for each source asked."""

    what: str
    before: Sequence[str]
    outcomes: Mapping[str, str]
    arguments: tuple[str, ...] = ()


NO_NET = f"/proc/thread-self/net: {harness.says('ENOENT')}"
NOT_OURS = "/proc/thread-self/net/tcp is not the kernel's"
FROM_NETLINK = "right counts, from netlink"
FROM_PROCFS = "right counts, from procfs"
EITHER = {"auto": FROM_NETLINK, "netlink": FROM_NETLINK, "procfs": FROM_PROCFS}


def unknown(*causes: str) -> str:
    return f"UNKNOWN: `Cannot count TCP connections: {'; '.join(causes)}`"


def surroundings() -> list[Surroundings]:
    def without_netlink(name: str) -> dict[str, str]:
        refused = unknown(f"netlink: socket: {harness.says(name)}")
        return {"auto": FROM_PROCFS, "netlink": refused, "procfs": FROM_PROCFS}

    def without_procfs(cause: str) -> dict[str, str]:
        return {**EITHER, "procfs": unknown(f"procfs: {cause}")}

    refused = f"netlink: socket: {harness.says('EAFNOSUPPORT')}"
    no_ipv6 = "right counts but none of tcp6 and udp6, from procfs"
    return [
        Surroundings("none", [], EITHER),
        *(
            Surroundings(f"seccomp forbids netlink: {name}", seccomp(name), without_netlink(name))
            for name in ("EAFNOSUPPORT", "EPERM", "EACCES")
        ),
        Surroundings("`/proc` is not mounted", mounted("umount -l /proc"), without_procfs(NO_NET)),
        Surroundings("`/proc` is an empty tmpfs", mounted(EMPTY), without_procfs(NO_NET)),
        Surroundings("`/proc` is a tmpfs with tables", mounted(COPIES), without_procfs(NOT_OURS)),
        Surroundings(
            "`/proc` is mounted with hidepid=2",
            mounted("mount -t proc -o hidepid=2 none /proc"),
            EITHER,
        ),
        Surroundings(
            "`/proc` is mounted with subset=pid",
            mounted("mount -t proc -o subset=pid none /proc"),
            EITHER,
        ),
        Surroundings(
            "`tcp6` and `udp6` are missing, as without IPv6 in the kernel",
            mounted(WITHOUT.format(tables="tcp udp")),
            {"procfs": no_ipv6},
        ),
        Surroundings(
            "all tables are missing",
            mounted(WITHOUT.format(tables="")),
            without_procfs(f"/proc/thread-self/net/tcp: {harness.says('ENOENT')}"),
        ),
        Surroundings(
            "seccomp forbids netlink, and `/proc` is not mounted",
            [*mounted("umount -l /proc"), *seccomp("EAFNOSUPPORT")],
            {
                "auto": unknown(refused, f"procfs: {NO_NET}"),
                "netlink": unknown(refused),
                "procfs": unknown(f"procfs: {NO_NET}"),
            },
        ),
        Surroundings(
            "seccomp forbids netlink, and `/proc` is a tmpfs with tables",
            [*mounted(COPIES), *seccomp("EPERM")],
            {"auto": unknown(f"netlink: socket: {harness.says('EPERM')}", f"procfs: {NOT_OURS}")},
        ),
    ]


@pytest.mark.skipif(
    platform.machine() not in _SOCKET, reason="no numbers for seccomp on this architecture"
)
@pytest.mark.skipif(bool(lacking("unshare")), reason=lacking("unshare") or "-")
@shares.every(7)
def test_surroundings_that_are_odd(lab: StateLab, users: Mapping[str, Asker], share: slice) -> None:
    rows: dict[tuple[str, str, str], None] = {}
    questions = [
        (odd, asked, user, way)
        for odd in surroundings()
        for asked in odd.outcomes
        for user in USERS
        for way in WAYS
    ]

    def ask(question: tuple[Surroundings, str, str, str]) -> Done:
        odd, asked, user, way = question
        arguments = (f"--source={asked}", "--format=json", "--timeout=30")
        return users[user].run(way, *arguments, before=odd.before)

    for (odd, asked, user, way), sockets, done in one_by_one(lab, "root", questions[share], ask):
        text = outcome(done, sockets)
        assert text == odd.outcomes[asked], (odd.what, asked, user, way)
        rows[odd.what, asked, text] = None
    if share == shares.ALL:
        page.keep("surroundings", f"\n{page.table(HEAD, _merged(rows))}\n")


@needs_strace
def test_a_kernel_that_never_answers(anywhere: Mapping[str, Asker]) -> None:
    def ask(question: tuple[str, str]) -> Done:
        asked, way = question
        arguments = (f"--source={asked}", "--format=json", "--timeout=1")
        return anywhere["root"].run(way, *arguments, before=harness.tampered(harness.SILENT))

    sources = ("auto", "netlink")
    questions = [*itertools.product(sources, WAYS)]
    # Each of them waits.
    with ThreadPoolExecutor(len(questions)) as pool:
        for (_, way), done in zip(questions, pool.map(ask, questions)):
            assert outcome(done, ()) == TIMEOUT
            if way == "api":
                assert json.loads(done.stdout)["error"] == "TimeoutError"
    rows = [(asked, TIMEOUT) for asked in sources]
    page.keep("silence", f"\n{page.table(HEAD[1:], rows)}\n")


@pytest.mark.parametrize("way", WAYS)
def test_the_line_names_both_causes(anywhere: Mapping[str, Asker], way: str) -> None:
    before = [*mounted("umount -l /proc"), *seccomp("EPERM")]
    line = unknown(f"netlink: socket: {harness.says('EPERM')}", f"procfs: {NO_NET}")
    for user in USERS:
        if way == "api":
            done = anywhere[user].run(way, "--format=json", before=before)
            answer = json.loads(done.stdout)
            assert (answer["error"], answer["errno"]) == ("PermissionError", errno.EPERM)
            said = answer["message"]
        else:
            said = harness.one_line(anywhere[user].run(way, before=before))
        assert f"UNKNOWN: `{said}`" == line


def test_ipv6_switched_off(nobodys: Mapping[str, Command]) -> None:
    with namespaces.pair() as made, contextlib.ExitStack() as sockets:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::")):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with namespaces.inside(made.a):
                    own = sockets.enter_context(socket.socket(family, kind))
                own.bind((host, 0))
                if kind == socket.SOCK_STREAM:
                    own.listen()
        for interface in ("all", "default", "lo"):
            namespaces.sysctl(made.a, f"net/ipv6/conf/{interface}/disable_ipv6", 1)
        seen = shown(oracles.read_proc_net(made.a))
        assert shown(oracles.read_ss(made.a)) == seen
        assert len(seen) == 4
        for user in USERS:
            with asker(made.a, user, nobodys) as someone:
                for asked, right in EITHER.items():
                    for way in WAYS:
                        done = someone.run(way, f"--source={asked}", "--format=json")
                        assert outcome(done, seen) == right
    page.keep("ipv6", f"\n{page.table(HEAD[1:], list(EITHER.items()))}\n")
