"""Clients that keep servers busy, run in a machine: python3 load.py KIND."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable

HERE = "127.0.0.1"
# A question for the address of web.example.
_QUESTION = b"\0\1\1\0\0\1\0\0\0\0\0\0\3web\7example\0\0\1\0\1"
_REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def http(address: str = HERE, port: int = 80) -> None:
    """One request with a connection of its own."""
    with socket.create_connection((address, port), 20) as made:
        made.sendall(_REQUEST)
        while made.recv(65536):
            pass


def there() -> None:
    """One request to a server in another network namespace."""
    http("198.51.100.2", 8000)


def dns() -> None:
    """Ten questions."""
    with socket.socket(type=socket.SOCK_DGRAM) as made:
        made.settimeout(20)
        made.connect(("127.0.3.1", 53))
        for _ in range(10):
            made.send(_QUESTION)
            made.recv(4096)


def syslog() -> None:
    """A burst of a hundred lines."""
    with socket.socket(type=socket.SOCK_DGRAM) as made:
        for number in range(100):
            made.sendto(f"<13>hunt: line {number} of a burst".encode(), (HERE, 514))


# How often in a second each is done.
KINDS: dict[str, tuple[Callable[[], None], int]] = {
    "http": (http, 100),
    "there": (there, 50),
    "dns": (dns, 50),
    "syslog": (syslog, 10),
}

if __name__ == "__main__":
    once, rate = KINDS[sys.argv[1]]
    while True:
        begun = time.monotonic()
        once()
        time.sleep(max(0.0, begun + 1 / rate - time.monotonic()))
