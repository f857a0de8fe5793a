"""Three ways to list the sockets of a namespace, independent of each other and of the core."""

from __future__ import annotations

import collections
import json
import socket
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from .names import TYPES
from .namespaces import inside, run


class Row(NamedTuple):
    """One socket. `tx` of a LISTEN row is the queue's limit for ss, but 0 in /proc."""

    type: str
    status: str
    local: tuple[str, int]
    remote: tuple[str, int]
    uid: int
    inode: int
    rx: int
    tx: int


def counts(rows: Iterable[Row]) -> dict[str, int]:
    """How many rows of each group, such as {"tcp_ESTABLISHED": 3}."""
    return dict(collections.Counter(f"{row.type}_{row.status}" for row in rows))


# The numbers of include/net/tcp_states.h.
_PROC_STATUS = {
    0x01: "ESTABLISHED",
    0x02: "SYN_SENT",
    0x03: "SYN_RECV",
    0x04: "FIN_WAIT1",
    0x05: "FIN_WAIT2",
    0x06: "TIME_WAIT",
    0x07: "CLOSE",
    0x08: "CLOSE_WAIT",
    0x09: "LAST_ACK",
    0x0A: "LISTEN",
    0x0B: "CLOSING",
}


def read_proc_net(ns: str | None = None) -> list[Row]:
    """Read the sockets in /proc/net as the namespace `ns` shows it."""
    rows: list[Row] = []
    with inside(ns):
        for kind in TYPES:
            # /proc/net would be the namespace of the process's first thread.
            path = Path("/proc/thread-self/net", kind)
            try:
                text = path.read_text(encoding="ascii")
            except FileNotFoundError:
                if kind.endswith("6"):  # IPv6 is not in this kernel
                    continue
                raise
            rows += parse_proc_net(kind, text)
    return rows


def parse_proc_net(kind: str, text: str) -> list[Row]:
    """Parse the rows of one /proc/net file, given its name and its content."""
    rows = []
    for line in text.splitlines()[1:]:
        field = line.split()
        tx, rx = field[4].split(":")
        rows.append(
            Row(
                type=kind,
                status=_status(kind, _PROC_STATUS[int(field[3], 16)]),
                local=_proc_address(field[1]),
                remote=_proc_address(field[2]),
                uid=int(field[7]),
                inode=int(field[9]),
                rx=int(rx, 16),
                tx=int(tx, 16),
            )
        )
    return rows


def _proc_address(text: str) -> tuple[str, int]:
    # Printed as 32-bit words in the host's byte order, though the words hold network order.
    digits, port = text.split(":")
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words)), int(port, 16)


_SS_STATUS = {
    "ESTAB": "ESTABLISHED",
    "SYN-SENT": "SYN_SENT",
    "SYN-RECV": "SYN_RECV",
    "FIN-WAIT-1": "FIN_WAIT1",
    "FIN-WAIT-2": "FIN_WAIT2",
    "TIME-WAIT": "TIME_WAIT",
    "UNCONN": "CLOSE",
    "CLOSE-WAIT": "CLOSE_WAIT",
    "LAST-ACK": "LAST_ACK",
    "LISTEN": "LISTEN",
    "CLOSING": "CLOSING",
}

# Asked one by one: ss prints an IPv4-mapped socket of tcp6 in a way that leaves its family
# to be guessed, but only tells about one family when asked for one.
_SS_ASK = {"tcp": "-4t", "tcp6": "-6t", "udp": "-4u", "udp6": "-6u"}


def read_ss(
    ns: str | None = None,
    args: Sequence[str] = (),
    user: str | None = None,
    kinds: Sequence[str] = TYPES,
) -> list[Row]:
    """Read the sockets `ss` shows inside `ns`, as root or as "nobody".

    `args` may filter by address and port, but not by state: asked for one state, ss leaves
    out the column that names it. It refuses addresses of another family than that of the
    `kinds` asked for.
    """
    rows = []
    for kind in kinds:
        rows += parse_ss(kind, run(ns, ss(kind, *args), user=user).stdout)
    return rows


def ss(kind: str, *args: str) -> list[str]:
    """Return the command line that lists the sockets of one type."""
    return ["ss", "-Hane", _SS_ASK[kind], *args]


def parse_ss(kind: str, text: str) -> list[Row]:
    """Parse what that command line has printed."""
    rows = []
    for line in text.splitlines():
        state, rx, tx, local, remote, *rest = line.split()
        # ss leaves out a uid or inode that is 0.
        extra = dict(word.split(":", 1) for word in rest if ":" in word)
        rows.append(
            Row(
                type=kind,
                status=_status(kind, _SS_STATUS[state]),
                local=_ss_address(kind, local),
                remote=_ss_address(kind, remote),
                uid=int(extra.get("uid", 0)),
                inode=int(extra.get("ino", 0)),
                rx=int(rx),
                tx=int(tx),
            )
        )
    return rows


def _ss_address(kind: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.split("%")[0].strip("[]")  # without the interface it is bound to
    if host == "*":  # the wildcard of a socket that serves both families
        host = "::"
    return host, 0 if port == "*" else int(port)


def _status(kind: str, status: str) -> str:
    return "NONE" if kind.startswith("udp") else status


_PSUTIL = """
import collections, json, socket, psutil
names = {
    (socket.AF_INET, socket.SOCK_STREAM): "tcp", (socket.AF_INET6, socket.SOCK_STREAM): "tcp6",
    (socket.AF_INET, socket.SOCK_DGRAM): "udp", (socket.AF_INET6, socket.SOCK_DGRAM): "udp6",
}
print(json.dumps(collections.Counter(
    names[c.family, c.type] + "_" + getattr(c.status, "value", c.status)
    for c in psutil.net_connections("inet")
)))
"""


def read_psutil(ns: str | None, python: str, user: str | None = None) -> dict[str, int]:
    """Count what psutil shows inside `ns`, by an interpreter that has it.

    psutil merges rows that are equal in all it shows; only root sees enough to avoid that.
    """
    answer: dict[str, int] = json.loads(run(ns, [python, "-c", _PSUTIL], user=user).stdout)
    return answer
