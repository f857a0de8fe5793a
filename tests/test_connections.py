"""`connections()` is what ss shows, field by field, whoever asks and whatever is selected."""

from __future__ import annotations

import collections
import copy
import dataclasses
import json
import pickle
import pwd
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import model
import pytest
from asking import USERS, Shown, steady
from conftest import Tampered
from harness import NO_SOCKETS, PATIENCE, Command, python
from lab import namespaces
from lab.names import LOWER, TYPES
from lab.owners import NAMELESS, Owned, OwnedLab
from model import Question
from network_connections import Connection, Process, connections, count_connections

# In the order in which they are given to the type.
FIELDS = (
    *("type", "status", "local_address", "local_port", "remote_address", "remote_port"),
    *("recv_queue", "send_queue", "inode", "uid", "user", "unit", "processes"),
)
SOME = Connection("tcp", "CLOSE_WAIT", "192.0.2.1", 40000, "192.0.2.2", 443)
ALL = Connection(
    *("tcp6", "LISTEN", "::ffff:192.0.2.1", 80, "::", 0, 3, 128, 4711, 33, "www-data"),
    *("web.service", ((12, "web"), (13, "w\N{LATIN SMALL LETTER E WITH ACUTE}b"))),
)


def fields(connection: Connection) -> tuple[Any, ...]:
    return tuple(getattr(connection, name) for name in FIELDS)


# What they are.


def test_fields() -> None:
    assert fields(SOME) == (
        *("tcp", "CLOSE_WAIT", "192.0.2.1", 40000, "192.0.2.2", 443),
        *(None, None, None, None, None, None, None),
    )
    assert fields(ALL) == (
        *("tcp6", "LISTEN", "::ffff:192.0.2.1", 80, "::", 0, 3, 128, 4711, 33, "www-data"),
        *("web.service", ((12, "web"), (13, "w\N{LATIN SMALL LETTER E WITH ACUTE}b"))),
    )


@pytest.mark.parametrize("connection", [SOME, ALL], ids=["some", "all"])
def test_frozen(connection: Connection) -> None:
    for name in (*FIELDS, "another"):
        with pytest.raises(AttributeError):
            setattr(connection, name, 1)
        with pytest.raises(AttributeError):
            delattr(connection, name)


@pytest.mark.parametrize("connection", [SOME, ALL], ids=["some", "all"])
def test_equal_hashable_and_picklable(connection: Connection) -> None:
    copies = [pickle.loads(pickle.dumps(connection, n)) for n in range(2, 6)]  # noqa: S301
    copies += [copy.copy(connection), copy.deepcopy(connection), Connection(*fields(connection))]
    for other in copies:
        assert type(other) is Connection
        assert fields(other) == fields(connection)
        assert other == connection
        assert (other != connection) is False
        assert hash(other) == hash(connection)
    assert {*copies, connection} == {connection}


def test_a_process_is_a_named_tuple() -> None:
    assert ALL.processes is not None
    assert [(each.pid, each.name) for each in ALL.processes] == [*ALL.processes]
    assert type(ALL.processes[0]) is Process


OTHER = (
    *("tcp", "CLOSE", "::1", 81, "::1", 1, 4, 129, 4712, 34, "www", "web.scope"),
    ((12, "web"),),
)


def test_unequal() -> None:
    for name, other in zip(FIELDS, OTHER):
        assert Connection(**{**dict(zip(FIELDS, fields(ALL))), name: other}) != ALL
    assert fields(ALL) != ALL


@pytest.mark.parametrize("connection", [SOME, ALL], ids=["some", "all"])
def test_repr_can_be_evaluated(connection: Connection) -> None:
    names = {"Connection": Connection, "Process": Process}
    assert eval(repr(connection), names) == connection  # noqa: S307
    assert repr(connection).startswith("Connection(type='")


@pytest.mark.parametrize(
    "arguments",
    [
        ("sctp", "LISTEN", "::", 1),
        ("tcp", "LISTENING", "::", 1),
        ("tcp", "LISTEN", "localhost", 1),
        ("tcp", "LISTEN", "::", 1, "192.0.2.1/24", 1),
    ],
)
def test_what_is_no_connection(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"type|status|address"):
        Connection(*arguments)


@pytest.mark.parametrize("name", ["group_by", "zero", "warning", "lengthy", "another"])
def test_keywords_of_other_functions(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        connections(**{name: "user"})  # type: ignore[arg-type]


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="sctp"):
        connections("sctp")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="listening"):
        connections(statuses=["listening"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="timeout"):
        connections(timeout=0)
    with pytest.raises(TimeoutError):
        connections(timeout=1e-9)


# What they say.

# Answers a list of keywords with a list of connections for each, however busy the host is.
_ASK = """
import json, pickle, sys
from network_connections import connections
answers = [connections(**{"timeout": 60, **keywords}) for keywords in json.loads(sys.argv[1])]
sys.stdout.buffer.write(pickle.dumps(answers))
"""


def ask(
    owned: OwnedLab, user: str, nobodys: Mapping[str, Command], asked: Sequence[Mapping[str, Any]]
) -> list[list[Connection]]:
    """Ask as this user, in a process of its own."""
    command = nobodys["python"]
    line = [sys.executable if user == "root" else command.argv[0], "-c", _ASK, json.dumps(asked)]
    with namespaces.inside(owned.ns):
        done = subprocess.run(
            namespaces.command(None, line, user),
            capture_output=True,
            env=None if user == "root" else command.environment(),
            cwd=command.beside,
            timeout=PATIENCE,
            check=True,
        )
    answers: list[list[Connection]] = pickle.loads(done.stdout)  # noqa: S301
    return answers


def expected(owned: OwnedLab, socket: Owned, source: str) -> tuple[Any, ...]:
    """Return the fields of a socket that ss shows."""
    row = socket.row
    try:
        user = None if socket.uid is None else pwd.getpwuid(socket.uid).pw_name
    except KeyError:
        user = None
    return (
        row.type,
        row.status,
        *row.local,
        *row.remote,
        row.rx,
        # /proc does not show how many may wait.
        0 if row.status == "LISTEN" and source == "procfs" else row.tx,
        row.inode,
        socket.uid,
        user,
        None if source == "procfs" else owned.unit(socket.cgroup),
        socket.holders,
    )


@pytest.mark.parametrize("user", USERS)
def test_every_field_is_what_ss_says(
    owned: OwnedLab, nobodys: Mapping[str, Command], user: str
) -> None:
    sources = ("auto", "netlink", "procfs")
    keywords = [{"processes": True, "source": source} for source in sources]
    sockets, answers = steady(
        owned.states, owned.look(user), lambda: ask(owned, user, nobodys, keywords)
    )
    for source, found in zip(sources, answers):
        wanted = sorted((expected(owned, socket, source) for socket in sockets), key=repr)
        assert sorted(map(fields, found), key=repr) == wanted
        assert all(type(connection) is Connection for connection in found)
    # There is something of everything.
    (found, _, _) = answers
    assert {row.uid for row in found} >= {None, 0, 1, NAMELESS, namespaces.NOBODY}
    assert {row.user for row in found if row.uid == NAMELESS} == {None}
    assert {row.unit for row in found} >= {None, "web.service", "client.scope", "(gone)"}
    assert {row.recv_queue for row in found if row.status == "LISTEN"} >= {0, 1}
    assert any(row.recv_queue for row in found if row.status == "ESTABLISHED")
    assert any(row.send_queue for row in found if row.status == "LAST_ACK")
    assert {len(row.processes or ()) for row in found} == {0, 1} | (
        {3} if user == "root" else set()
    )
    assert any("nobodys" in dict(row.processes or ()).values() for row in found)


def test_processes_only_where_they_are_asked_for(owned: OwnedLab) -> None:
    owned.states.refresh()
    with namespaces.inside(owned.ns):
        without = connections("udp", timeout=60)
        also = connections("udp", processes=True, timeout=60)
    assert {connection.processes for connection in without} == {None}
    assert [fields(each)[:-1] for each in without] == [fields(each)[:-1] for each in also]
    assert all(connection.processes for connection in also)


QUESTIONS = [
    *(Question((kind,)) for kind in (*TYPES, "all")),
    *(Question(statuses=(status,)) for status in (*LOWER, "all")),
    Question(("tcp", "udp6"), ("listen", "none", "time_wait")),
    Question(("udp",), ("listen",)),
    Question(local_port=("9010",)),
    Question(local_port=("9100-9110", "8080", "1")),
    Question(remote_port=("9003",), statuses=("close_wait",)),
    Question(remote_port=("0",)),
    Question(local_address=("192.0.2.1",)),
    Question(local_address=("192.0.2.0/24", "2001:db8::/32")),
    Question(remote_address=("192.0.2.2",)),
    Question(remote_address=("::ffff:192.0.2.2",)),
    Question(remote_address=("2001:db8::2", "127.0.0.0/8"), types=("tcp6", "tcp")),
    Question(("tcp6",), ("established",), ("9010", "8081"), (), ("::/0",), ("::1",)),
]


def shown(each: Connection) -> Shown:
    assert each.remote_address is not None
    assert each.remote_port is not None
    local, remote = (each.local_address, each.local_port), (each.remote_address, each.remote_port)
    return Shown(each.type, each.status, local, remote)


@pytest.mark.parametrize("source", ["netlink", "procfs"])
def test_every_selection(owned: OwnedLab, nobodys: Mapping[str, Command], source: str) -> None:
    questions = [dataclasses.replace(asked, source=source) for asked in QUESTIONS]
    keywords = [asked.keywords("count_connections") for asked in questions]
    calls = [{"source": source}, *keywords]
    sockets, answers = steady(
        owned.states, owned.look("root"), lambda: ask(owned, "root", nobodys, calls)
    )
    everything, *selections = answers
    assert len(everything) == len(sockets)
    nonempty = 0
    for asked, found in zip(questions, selections):
        rows = list(map(shown, everything))
        kept = {id(row) for row in model.selected(asked, rows)}
        # In the order of all, whose fields they have.
        wanted = [each for each, row in zip(everything, rows) if id(row) in kept]
        assert sorted(map(fields, found), key=repr) == sorted(map(fields, wanted), key=repr), asked
        nonempty += bool(found)
    assert nonempty == len(questions) - 2  # UDP does not listen, and TCP is never in CLOSE


def test_as_many_as_are_counted(owned: OwnedLab) -> None:
    owned.states.refresh()
    with namespaces.inside(owned.ns):
        found, counts = connections(timeout=60), count_connections(timeout=60)
    assert collections.Counter(f"{c.type}_{c.status}" for c in found) == counts


def test_without_netlink_there_are_no_units(owned: OwnedLab, tampered: Tampered) -> None:
    script = (
        "from network_connections import connections\n"
        "found = connections(processes=True, timeout=60)\n"
        "print(len(found), {each.unit for each in found}, any(each.processes for each in found))"
    )
    with namespaces.inside(owned.ns):
        done = python(script, before=tampered(NO_SOCKETS))
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == f"{sum(owned.states.expected.values())} {{None}} True\n"
