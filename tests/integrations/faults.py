"""A program with a fault, run in a machine: python3 faults.py FAULT.

It says to systemd when the fault is there. Its sockets and files stay until it is stopped.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = "127.0.0.1"
# The address of the host in the namespace of the peer that falls silent, and of that peer.
NEAR, FAR = "192.0.2.1", "192.0.2.2"
SILENT = "gone"
# linux/in.h; Python has no name for it.
_IP_BIND_ADDRESS_NO_PORT = 24
_PATIENCE = 20.0
_kept: list[Any] = []


def _listen(address: str, port: int, backlog: int, *options: tuple[int, int, int]) -> socket.socket:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for option in options:
        server.setsockopt(*option)
    server.bind((address, port))
    server.listen(backlog)
    _kept.append(server)
    return server


def _clients(port: int, number: int) -> list[socket.socket]:
    """Ask for connections, and wait for nothing."""
    made = []
    for _ in range(number):
        client = socket.socket()
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect((HERE, port))
        made.append(client)
    _kept.append(made)
    return made


def _connected(port: int, number: int) -> list[tuple[socket.socket, socket.socket]]:
    """Return connections: the client's end and the server's."""
    server = _listen(HERE, port, 100)
    made = []
    for _ in range(number):
        client = socket.create_connection((HERE, port))
        made.append((client, server.accept()[0]))
    _kept.append(made)
    return made


def _wait(number: int, ready: list[socket.socket]) -> None:
    """Wait until so many of the connections have come about."""
    poll = select.poll()
    for one in ready:
        poll.register(one, select.POLLOUT)
    end = time.monotonic() + _PATIENCE
    while len(poll.poll(100)) < number:
        assert time.monotonic() < end


def accept_queue() -> None:
    """Five connections wait for a program that accepts none, of which four may."""
    _listen(HERE, 8201, 4)
    _wait(5, _clients(8201, 5))


def unix_queue() -> None:
    """The same with a unix socket."""
    server = socket.socket(socket.AF_UNIX)
    server.bind("\0bad-unix")
    server.listen(3)
    _kept.append(server)
    for _ in range(4):
        client = socket.socket(socket.AF_UNIX)
        client.connect("\0bad-unix")
        _kept.append(client)


def syn_queue() -> None:
    """Fifteen requests without data at a server that waits for data, of which sixteen may wait."""
    _listen(HERE, 8202, 16, (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 600))
    _wait(15, _clients(8202, 15))


def receive_buffer() -> None:
    """A program that reads no datagrams."""
    receiver = socket.socket(type=socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    receiver.bind((HERE, 5140))
    sender = socket.socket(type=socket.SOCK_DGRAM)
    for _ in range(300):
        sender.sendto(b"x" * 1000, (HERE, 5140))
    _kept.append(receiver)


def ephemeral_ports() -> None:
    """97 of 100 ports are taken towards one destination."""
    _listen(HERE, 5432, 200)
    for _ in range(97):
        client = socket.socket()
        client.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        client.bind((HERE, 0))
        client.connect((HERE, 5432))
        _kept.append(client)


def time_wait() -> None:
    """18 connections in TIME_WAIT, where 20 may be."""
    for client, server in _connected(8203, 18):
        client.close()
        assert server.recv(1) == b""
        server.close()


def open_files() -> None:
    """97 open files, where 100 may be."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    while len(list(Path("/proc/self/fd").iterdir())) - 1 < 97:
        _kept.append(os.open("/dev/null", os.O_RDONLY))


def half_closed() -> None:
    """25 connections that the peer has closed, and the program has not."""
    for client, server in _connected(8204, 25):
        client.shutdown(socket.SHUT_WR)
        assert server.recv(1) == b""


def unread() -> None:
    """12 connections whose data is not read."""
    for client, _ in _connected(8205, 12):
        client.sendall(b"x")


# The connections end with their program, without a word to the network that has lost its address.
_FAR = f"""
import socket, struct, sys
kept = [socket.create_connection(({NEAR!r}, 8206)) for _ in range(12)]
for one in kept:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
sys.stdin.read()
"""


def silent_peer() -> None:
    """12 connections to a host that is gone."""
    ip = ["ip", "-netns", SILENT]
    subprocess.run([*ip, "address", "replace", f"{FAR}/24", "dev", "far"], check=True)
    server = _listen(NEAR, 8206, 100)
    # In its namespace, under the name of Python.
    line = ["nsenter", f"--net=/run/netns/{SILENT}", "/usr/bin/python3", "-c", _FAR]
    _kept.append(subprocess.Popen(line, stdin=subprocess.PIPE))
    accepted = [server.accept()[0] for _ in range(12)]
    for one in accepted:
        # They end with this program, and do not go on without it.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    subprocess.run([*ip, "address", "flush", "dev", "far"], check=True)
    for one in accepted:
        one.sendall(b"x")
    _kept.append(accepted)


def peer_not_reading() -> None:
    """12 connections whose other end, a program of another name, reads nothing."""
    server = _listen(HERE, 8207, 100)
    reader = "import socket, sys\n"
    reader += f"kept = [socket.create_connection(({HERE!r}, 8207)) for _ in range(12)]\n"
    line = ["/usr/local/bin/bad-reader", "-c", f"{reader}sys.stdin.read()"]
    _kept.append(subprocess.Popen(line, stdin=subprocess.PIPE))
    for _ in range(12):
        one, _ = server.accept()
        one.setblocking(False)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            try:
                one.send(b"x" * 65536)
            except BlockingIOError:
                time.sleep(0.05)
        _kept.append(one)


def pool() -> None:
    """No fault: a client that keeps 20 idle connections to each of some servers.

    The servers close them, some with a last word; the client would notice at the next use.
    """
    startup = struct.pack("!I", 196608) + b"user\0postgres\0database\0postgres\0\0"
    startup = struct.pack("!I", len(startup) + 4) + startup
    for port, first in ((80, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), (5432, startup), (25, b"")):
        for _ in range(20):
            client = socket.create_connection((HERE, port))
            client.sendall(first)
            time.sleep(0.1)
            client.recv(65536)
            _kept.append(client)


def ready() -> None:
    """Say to systemd that everything is there (sd_notify(3))."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    ready()
    signal.pause()
