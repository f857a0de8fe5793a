"""`connections_table()` has what `connections()` has, in columns that numpy can read."""

from __future__ import annotations

import ipaddress
import math
import subprocess
import sys
from typing import Any

import pytest
from harness import PATIENCE
from lab import namespaces
from lab.names import Source
from lab.namespaces import inside
from lab.owners import OwnedLab
from network_connections import ConnectionTable, connections, connections_table

NUMBERS = ("recv_queue", "send_queue", "inode", "uid", "drops", "remote_port", "retransmits")
SECONDS = ("last_sent", "last_received", "stuck", "stuck_most")
NAMES = ("type", "status", "stuck_kind", "timer", "unit", "netns")
ADDRESSES = ("local_address", "remote_address")


def rows(table: ConnectionTable) -> list[dict[str, Any]]:
    """Return the fields of each connection, as `connections()` has them."""
    found: dict[str, list[Any]] = {"local_port": table.columns["local_port"].tolist()}
    for name in NUMBERS:
        found[name] = [None if one == -1 else one for one in table.columns[name].tolist()]
    for name in SECONDS:
        found[name] = [None if math.isnan(one) else one for one in table.columns[name].tolist()]
    for name in (*NAMES, *ADDRESSES):
        found[name] = table.texts(name)
    found["user"] = [None if one is None else table.users.get(one) for one in found["uid"]]
    return [dict(zip(found, values)) for values in zip(*found.values())]


# The clock goes on between two calls.
TIMES = {"last_sent", "last_received", "stuck", "stuck_most"}


@pytest.mark.parametrize("source", ["netlink", "procfs"])
@pytest.mark.parametrize("named", [False, True], ids=["own", "named"])
def test_every_field(owned: OwnedLab, source: Source, named: bool) -> None:
    for _ in range(20):
        owned.states.refresh()
        asked: dict[str, Any] = {"source": source, "timeout": 60}
        if named:
            asked["netns"] = owned.ns
        with inside(owned.ns):
            before = connections(**asked)
            table = connections_table(**asked)
            after = connections(**asked)
        fields = [name for name in rows(table)[0] if name not in TIMES]

        def shown(found: list[Any], fields: list[str] = fields) -> list[tuple[Any, ...]]:
            return [tuple(getattr(one, name) for name in fields) for one in found]

        found = rows(table)
        wanted = sorted(map(repr, shown(before)))
        columns = sorted(repr(tuple(one[name] for name in fields)) for one in found)
        # Other tests may change the host's cgroups meanwhile: names change that were not found.
        if wanted == columns == sorted(map(repr, shown(after))):
            break
    assert columns == wanted
    assert len(table) == len(before) > 1
    assert named is all(one["netns"] is not None for one in found)
    for name in TIMES:
        known = [one for one in before if getattr(one, name) is not None]
        assert len([one for one in found if one[name] is not None]) == len(known)


def test_addresses_are_bytes(owned: OwnedLab) -> None:
    with inside(owned.ns):
        table = connections_table(timeout=60)
    for name in ADDRESSES:
        column = table.columns[name]
        assert column.shape == (len(table), 16)
        for octets, text, kind in zip(column.tolist(), table.texts(name), table.texts("type")):
            ip: Any = ipaddress.IPv6Address(bytes(octets))
            if kind in ("tcp", "udp"):
                ip = ip.ipv4_mapped
            assert ip == ipaddress.ip_address(str(text).partition("%")[0])


def test_columns_are_read_only_buffers_of_one_length() -> None:
    table = connections_table("tcp")
    assert table.columns.keys() == {*NUMBERS, *SECONDS, *NAMES, *ADDRESSES, "local_port"}
    for name, column in table.columns.items():
        assert column.readonly
        assert column.c_contiguous
        assert column.nbytes == len(table) * column.itemsize * (16 if name in ADDRESSES else 1)


def test_nothing_is_no_row() -> None:
    table = connections_table(remote_port=0, statuses="established")
    assert len(table) == 0
    assert repr(table) == "<ConnectionTable of 0>"
    assert all(column.nbytes == 0 for column in table.columns.values())
    assert all(table.texts(name) == [] for name in (*NAMES, *ADDRESSES))


@pytest.mark.parametrize("name", ["uid", "local_adress", ""])
def test_a_column_without_texts(name: str) -> None:
    with pytest.raises(KeyError, match="is no column of names or addresses"):
        connections_table("tcp").texts(name)


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="sctp"):
        connections_table("sctp")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r'"group_by" \(count_connections\(\) has it\)'):
        connections_table(group_by="type")  # type: ignore[call-arg]


def test_asyncio_goes_on_meanwhile(owned: OwnedLab) -> None:
    script = """
import asyncio
from network_connections import connections_table, count_connections

async def main():
    counts, table = await asyncio.gather(
        asyncio.to_thread(count_connections, "udp"), asyncio.to_thread(connections_table, "udp")
    )
    print(sum(counts.values()) == len(table) > 0)

asyncio.run(main())
"""
    line = namespaces.command(owned.ns, [sys.executable, "-I", "-c", script])
    done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == "True\n"
