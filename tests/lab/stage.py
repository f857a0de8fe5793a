"""A process that makes sockets, step by step: each line of its input is a step, and is answered.

It imports little, since tests start hundreds of it. lab/owners.py has the other end.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

_PATIENCE = 10.0
_CLONE_FILES = 0x400
# In include/uapi/asm-generic/unistd.h and include/uapi/linux/io_uring.h.
_IO_URING_SETUP = 425
_IO_URING_REGISTER = 427
_IORING_REGISTER_FILES = 2
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


def set_arguments(new: bytes) -> bytes:
    """Change the arguments that this process was started with; return the old ones."""
    # The fields 48 and 49, after the second one in parentheses, are where the arguments are.
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    old = ctypes.string_at(start, end - start)
    ctypes.memmove(start, new[: end - start - 1].ljust(end - start, b"\0"), end - start)
    return old


class _Stage:
    """The steps. A port stands for all connections that were opened with it."""

    def __init__(self) -> None:
        self.held: list[socket.socket] = []
        self.files: list[int] = []
        self.listeners: dict[int, socket.socket] = {}
        self.opened: dict[int, list[socket.socket]] = {}
        self.owner: int | None = None
        self.started: list[subprocess.Popen[bytes]] = []

    # Its identity.

    def number(self) -> int:
        """Return its own id, as it knows itself."""
        return os.getpid()

    def rename(self, name: str) -> None:
        """Have this name and run the program of this name, as others see it."""
        self.rename_thread(name)
        set_arguments(name.encode("latin-1") + b"\0-")

    def rename_thread(self, name: str) -> None:
        """Have this name, and run the same program as before."""
        Path("/proc/self/comm").write_bytes(name.encode("latin-1"))

    def enter(self, cgroup: str) -> None:
        Path(cgroup, "cgroup.procs").write_text("0", encoding="ascii")

    def become(self, uid: int) -> None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        # As if that user had started it, who may then look at it.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)

    def fork(self, count: int) -> list[int]:
        """Let that many children have all sockets too."""
        pids = []
        parent = os.getpid()
        for _ in range(count):
            pid = os.fork()
            if pid == 0:
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                # The parent may have ended before, which sends no signal.
                while os.getppid() == parent:
                    signal.pause()
                os._exit(0)
            pids.append(pid)
        return pids

    def run(self, *command: str) -> int:
        """Let a child have all sockets too, and become another program."""
        numbers = [made.fileno() for made in self.held]
        null = subprocess.DEVNULL
        made = subprocess.Popen(command, stdin=null, stdout=null, stderr=null, pass_fds=numbers)
        self.started.append(made)
        # The kernel closes the pipe that Popen waits for before it changes the name.
        name = Path("/proc/self/comm").read_bytes()
        while Path(f"/proc/{made.pid}/comm").read_bytes() == name:
            time.sleep(0.001)
        return made.pid

    def end_first_thread(self) -> None:
        """Go on in another thread, which answers once the first one is gone."""

        def go_on() -> None:
            status = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/status")
            while "State:\tZ" not in status.read_text(encoding="utf-8"):
                time.sleep(0.001)
            print("null", flush=True)
            _serve(self)

        threading.Thread(target=go_on).start()
        ctypes.CDLL(None).pthread_exit(None)

    # Its sockets.

    def own(self, uid: int) -> None:
        """Let further sockets be of this user."""
        self.owner = uid

    def listen(self, host: str, port: int, backlog: int = 4096) -> None:
        made = self._socket(host)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(backlog)
        self.listeners[port] = made

    def stop_listening(self, port: int) -> None:
        made = self.listeners.pop(port)
        self.held.remove(made)
        made.close()

    def listen_unix(self, name: str, backlog: int) -> None:
        """Listen at a unix socket, whose abstract name begins with a NUL."""
        made = socket.socket(socket.AF_UNIX)
        self.held.append(made)
        made.bind(name)
        made.listen(backlog)

    def share(self, host: str, port: int) -> None:
        """Listen at an address where other processes listen too."""
        made = self._socket(host)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
        made.listen(64)
        self.listeners[port] = made

    def accept(self, port: int, count: int) -> None:
        for _ in range(count):
            made, _ = self.listeners[port].accept()
            made.settimeout(_PATIENCE)
            self.held.append(made)
            self.opened.setdefault(port, []).append(made)

    def connect(
        self, host: str, port: int, count: int, source: str = "", source_port: int = 0
    ) -> None:
        for number in range(count):
            made = self._socket(host)
            if source:
                made.bind((source, source_port + number if source_port else 0))
            made.connect((host, port))
            self.opened.setdefault(port, []).append(made)

    def udp(self, host: str, count: int) -> None:
        for _ in range(count):
            self._socket(host, socket.SOCK_DGRAM).bind((host, 0))

    def udp_at(self, host: str, port: int) -> None:
        self._socket(host, socket.SOCK_DGRAM).bind((host, port))

    def udp_of_a_thread(self, host: str, count: int) -> None:
        """Let a thread have sockets that the others do not have."""
        made = threading.Event()

        def hold() -> None:
            if ctypes.CDLL(None).unshare(_CLONE_FILES) == 0:
                self.udp(host, count)
                made.set()
                threading.Event().wait()

        threading.Thread(target=hold).start()
        if not made.wait(_PATIENCE):
            raise OSError("no thread with a table of its own")

    def open_files(self, count: int) -> None:
        """Have descriptors that are no sockets."""
        self.files += [os.open(os.devnull, os.O_RDONLY) for _ in range(count)]

    def open_deep(self, directory: str) -> None:
        """Have a descriptor of a directory whose path is longer than the kernel prints."""
        here = os.open(directory, os.O_RDONLY)
        for _ in range(30):
            os.mkdir("x" * 200, dir_fd=here)
            below = os.open("x" * 200, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        self.files.append(here)

    def idle_threads(self, count: int) -> None:
        """Have threads that share all descriptors."""
        for _ in range(count):
            threading.Thread(target=threading.Event().wait).start()

    def udp_to(self, remotes: Sequence[tuple[str, int]], uids: int = 1) -> None:
        """Open a connected UDP socket to each of these, in turn of that many users."""
        first = self.owner or 0
        for number, (host, port) in enumerate(remotes):
            self.owner = first + number % uids
            self._socket(host, socket.SOCK_DGRAM).connect((host, port))
        self.owner = first

    def duplicate(self) -> None:
        """Have every socket twice."""
        self.held += [made.dup() for made in self.held]

    def let_go(self) -> None:
        """Have no socket any more."""
        while self.held:
            self.held.pop().close()

    def hand_to_ring(self) -> None:
        """Let an io_uring keep every socket, so that no descriptor shows one."""
        libc = ctypes.CDLL(None, use_errno=True)
        parameters = (ctypes.c_char * 120)()
        ring = libc.syscall(_IO_URING_SETUP, 4, parameters)
        numbers = (ctypes.c_int * len(self.held))(*(made.fileno() for made in self.held))
        asked = (_IO_URING_REGISTER, ring, _IORING_REGISTER_FILES, numbers, len(numbers))
        if ring < 0 or libc.syscall(*asked) != 0:
            raise OSError(ctypes.get_errno(), "no io_uring")
        self.files.append(ring)
        self.let_go()

    def send_off(self) -> None:
        """Let the newest socket be on its way to somebody, so that no process has it."""
        sent = self.held.pop()
        here, there = socket.socketpair()
        number = sent.fileno().to_bytes(4, sys.byteorder)
        here.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, number)])
        self.held += [here, there]
        sent.close()

    # Its connections: the first so many, or all.

    def send(self, port: int, size: int) -> None:
        for made in self.opened[port]:
            made.sendall(b"x" * size)

    def shut(self, port: int, count: int | None = None) -> None:
        for made in self.opened[port][:count]:
            made.shutdown(socket.SHUT_WR)

    def drain(self, port: int, count: int | None = None) -> None:
        """Read to the end."""
        for made in self.opened[port][:count]:
            while made.recv(4096):
                pass

    def close(self, port: int, count: int | None = None) -> None:
        for made in self.opened[port][:count]:
            self.opened[port].remove(made)
            self.held.remove(made)
            made.close()

    def leave(self, port: int, seconds: int = 0) -> None:
        """Close all connections, whose peers do not: orphans, for at most so many seconds."""
        for made in self.opened.pop(port):
            if seconds:
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_LINGER2, seconds)
            self.held.remove(made)
            made.close()

    def _socket(self, host: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
        made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
        if self.owner is not None:
            os.fchown(made.fileno(), self.owner, self.owner)
        made.settimeout(_PATIENCE)
        self.held.append(made)
        return made


def _main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _serve(_Stage())


def _serve(stage: _Stage) -> None:
    for line in sys.stdin:
        step, *arguments = json.loads(line)
        print(json.dumps(getattr(stage, step)(*arguments)), flush=True)


if __name__ == "__main__":
    _main()
