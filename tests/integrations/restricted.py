"""Runs a command as a systemd unit with RestrictAddressFamilies runs it, without systemd.

Usage: restricted.py refuse|kill COMMAND [ARGUMENT...]. The filter that systemd installs refuses the
socket with EAFNOSUPPORT; "kill" shows that none is asked for.

Source: seccomp(2), linux/filter.h, linux/seccomp.h.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

AF_NETLINK = 16
# The architecture's number in linux/audit.h, and its number of socket(2).
ARCHITECTURES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}

_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_KILL_PROCESS = 0x80000000
_LOAD, _JUMP_UNLESS_EQUAL, _RETURN = 0x20, 0x15, 0x06


class Filter(ctypes.Structure):
    """The kernel's `struct sock_fprog`."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def program(action: int) -> bytes:
    """Return a filter that takes the `action` on sockets of AF_NETLINK."""
    architecture, socket = ARCHITECTURES[platform.machine()]
    # Offsets in struct seccomp_data: arch 4, nr 0, the first argument 16.
    steps = [
        (_LOAD, 0, 4),
        (_JUMP_UNLESS_EQUAL, 5, architecture),
        (_LOAD, 0, 0),
        (_JUMP_UNLESS_EQUAL, 3, socket),
        (_LOAD, 0, 16),
        (_JUMP_UNLESS_EQUAL, 1, AF_NETLINK),
        (_RETURN, 0, action),
        (_RETURN, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", code, 0, skip, value) for code, skip, value in steps)


def restrict(action: int) -> None:
    """Install the filter in this process, for good."""
    code = program(action)
    buffer = ctypes.create_string_buffer(code, len(code))
    described = Filter(len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(described), 0, 0),
    ):
        if libc.prctl(*call) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    restrict({"refuse": _ERRNO | errno.EAFNOSUPPORT, "kill": _KILL_PROCESS}[sys.argv[1]])
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - the test's own command
