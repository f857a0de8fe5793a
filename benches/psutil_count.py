"""The same count by psutil, the way the reference plugin does it: over all rows."""

import collections
import socket

import psutil

TYPES = {
    (socket.AF_INET, socket.SOCK_STREAM): "tcp",
    (socket.AF_INET6, socket.SOCK_STREAM): "tcp6",
    (socket.AF_INET, socket.SOCK_DGRAM): "udp",
    (socket.AF_INET6, socket.SOCK_DGRAM): "udp6",
}

counts = collections.Counter(
    (TYPES[row.family, row.type], row.status) for row in psutil.net_connections(kind="inet")
)
for (kind, status), number in counts.most_common():
    print(f"{kind} {status}: {number}")
