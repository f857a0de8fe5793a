from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from os import PathLike
from typing import Any, final

__all__ = [
    "DESCRIPTION",
    "CheckResult",
    "Connection",
    "Range",
    "SocketSummary",
    "__version__",
    "check",
    "connections",
    "count_connections",
    "options",
    "records",
    "run",
    "socket_summary",
]

DESCRIPTION: str
__version__: str

@final
class Range:
    """A Nagios threshold range: the values that are fine.

    ``10`` is 0 to 10, ``10:`` is 10 or more, ``~:10`` is 10 or less, ``10:20`` is 10 to 20 with
    both ends, ``@10:20`` everything but that. Empty and ``none`` match everything. Two ranges are
    equal where they mean the same; ``str()`` gives the text as it was given.

    Source: Monitoring Plugins guidelines, "Threshold and ranges".

    Raises:
        ValueError: ``text`` is not a range; the message is the reference plugin's.
    """

    def __new__(cls, text: str) -> Range: ...
    def __contains__(self, value: float, /) -> bool:
        """Whether ``value`` is fine; NaN never is."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, tuple[str]]: ...

@final
class CheckResult:
    """The outcome of :func:`check`: frozen and picklable; ``str()`` is the command's line.

    Equal to another with the same state, message, performance data and counts.
    """

    def __new__(
        cls,
        state: int,
        message: str,
        perfdata: str,
        counts: dict[str, int],
        json: str,
        prometheus: str,
    ) -> CheckResult: ...
    @property
    def state(self) -> int:
        """0 OK, 1 WARNING, 2 CRITICAL or, by ``no_match_severity``, 3: the command's exit code."""
    @property
    def message(self) -> str:
        """What was found, without performance data."""
    @property
    def perfdata(self) -> str:
        """Nagios performance data; empty where there is none."""
    @property
    def counts(self) -> dict[str, int]:
        """Sockets per group in display order, as :func:`count_connections` gives them; a copy."""
    def to_json(self) -> str:
        """Return the result as one JSON object in one line; docs/usage.md has its schema."""
    def to_prometheus(self) -> str:
        """Return the result in the Prometheus text exposition format."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, tuple[int, str, str, dict[str, int], str, str]]: ...

_Ports = str | int | Iterable[str | int]
_Address = str | IPv4Address | IPv4Network | IPv6Address | IPv6Network
_Addresses = _Address | Iterable[_Address]
_Namespace = str | int | PathLike[str]
_Netns = _Namespace | Iterable[_Namespace]
_Threshold = Range | str | float

def count_connections(
    types: str | Iterable[str] | None = None,
    statuses: str | Iterable[str] | None = None,
    *,
    local_port: _Ports | None = None,
    remote_port: _Ports | None = None,
    local_address: _Addresses | None = None,
    remote_address: _Addresses | None = None,
    netns: _Netns | None = None,
    group_by: str = "type-status",
    zero: bool = False,
    source: str = "auto",
    timeout: float = 8.0,
) -> dict[str, int]:
    """Count this host's sockets per group.

    Needs no privileges and releases the GIL while the kernel works. Every keyword is the command's
    option of that name, and None leaves its default; values of one keyword are alternatives, and
    all keywords must hold.

    Args:
        types: One or more of ``tcp``, ``tcp6``, ``udp``, ``udp6``, in any case; ``"all"`` or None
            for all of them.
        statuses: One or more of psutil's names (``established``, ``time_wait``, ...; UDP sockets
            are ``none``), in any case; ``"all"`` or None for all of them.
        local_port: One or more ports or ranges: ``443``, ``"8000-8099"``.
        remote_port: One or more ports or ranges.
        local_address: One or more addresses or networks: ``"192.0.2.7"``, ``"2001:db8::/32"``.
        remote_address: One or more addresses or networks. An IPv4 network has the IPv4-mapped
            peers of IPv6 sockets too.
        netns: One or more network namespaces to look into instead of the own one: a name below
            ``/run/netns``, a path as in ``"/proc/1/ns/net"``, the id of a process, or ``"all"`` for
            every one that can be seen (Linux).
        group_by: ``"type-status"``, ``"type"``, ``"status"``, ``"local-port"``,
            ``"remote-port"``, ``"local-address"``, ``"remote-address"``, ``"local-endpoint"``,
            ``"remote-endpoint"``, ``"user"``, ``"unit"``, ``"process"`` or ``"netns"``. What nobody
            owns is ``(kernel)``.
        zero: Whether selected types and statuses without sockets are there as 0.
        source: ``"auto"`` for the best source that answers completely, or the only one to ask:
            ``"netlink"`` or ``"procfs"`` (Linux), ``"netstat2"`` (Windows).
        timeout: Seconds the whole run may take.

    Returns:
        Sockets per group, the largest first: ``{"tcp_ESTABLISHED": 19, "udp_NONE": 16}``.

    Raises:
        ValueError: An argument is not valid; the message says what would be.
        OSError: No source answered; the message names each one's cause, ``errno`` the first.
        TimeoutError: The timeout passed.
    """

def check(
    types: str | Iterable[str] | None = None,
    statuses: str | Iterable[str] | None = None,
    *,
    warning: _Threshold | None = None,
    critical: _Threshold | None = None,
    always_ok: bool = False,
    perfdata: bool = True,
    lengthy: bool = False,
    local_port: _Ports | None = None,
    remote_port: _Ports | None = None,
    local_address: _Addresses | None = None,
    remote_address: _Addresses | None = None,
    netns: _Netns | None = None,
    measure: str = "connections",
    group_by: str = "type-status",
    top: int | None = None,
    zero: bool = False,
    no_match_severity: str = "ok",
    source: str = "auto",
    timeout: float = 8.0,
) -> CheckResult:
    """Count this host's sockets and judge every group by the thresholds.

    Never exits the process and never returns a guess. Arguments that are not listed here are those
    of :func:`count_connections`.

    Args:
        types: As for :func:`count_connections`.
        statuses: As for :func:`count_connections`.
        warning: The state is WARNING where a group's count lies outside this range, or outside
            that of its key: ``"5000,CLOSE_WAIT=100,total=30000"``.
        critical: The state is CRITICAL where a count lies outside this range.
        always_ok: Make the state OK whatever was found.
        perfdata: Whether the result has performance data.
        lengthy: Whether the message goes on with tables of who has the connections of each group
            in alert state, and of their peers. Reads ``/proc/PID/fd``.
        measure: ``"connections"`` counts them. ``"accept-queue"`` judges the queue of each
            listener, in percent of its limit, ``"ephemeral-ports"`` the ports in use towards each
            destination, in percent of those that this host has; then ``counts`` has the waiting
            connections, or the ports in use.
        top: How many groups the message names at most; by default all types and statuses, and
            10 of other groups.
        no_match_severity: The state where nothing is found: ``"ok"``, ``"warn"``, ``"crit"`` or
            ``"unknown"``.

    Raises:
        ValueError: An argument is not valid; the message says what would be.
        OSError: No source answered; the message names each one's cause, ``errno`` the first.
        TimeoutError: The timeout passed.
    """

@final
class Connection:
    """One connection, as ``ss -antup`` shows it: frozen, hashable and picklable.

    A field that its source does not report is None: procfs reports no units, and netstat2 (Windows)
    no users, units, queues and inode numbers, nor the remote end of UDP sockets.
    """

    def __new__(
        cls,
        type: str,  # noqa: A002 - the field's name everywhere
        status: str,
        local_address: str,
        local_port: int,
        remote_address: str | None = None,
        remote_port: int | None = None,
        recv_queue: int | None = None,
        send_queue: int | None = None,
        inode: int | None = None,
        uid: int | None = None,
        user: str | None = None,
        unit: str | None = None,
        processes: Sequence[tuple[int, str]] | None = None,
        netns: str | None = None,
    ) -> Connection: ...
    @property
    def type(self) -> str:
        """``tcp``, ``tcp6``, ``udp`` or ``udp6``."""
    @property
    def status(self) -> str:
        """The state by psutil's name, for example ``ESTABLISHED``; of UDP sockets ``NONE``."""
    @property
    def local_address(self) -> str:
        """The local IP address; ``0.0.0.0`` or ``::`` where the socket is bound to none.

        A link-local one has its interface where the source tells it: ``fe80::1%eth0``.
        """
    @property
    def local_port(self) -> int:
        """The local port."""
    @property
    def remote_address(self) -> str | None:
        """The remote IP address; ``0.0.0.0`` or ``::`` where the socket is not connected.

        A link-local one has its interface where the source tells it: ``fe80::1%eth0``.
        """
    @property
    def remote_port(self) -> int | None:
        """The remote port; 0 where the socket is not connected."""
    @property
    def recv_queue(self) -> int | None:
        """Bytes that wait to be read; of a listening socket connections to be accepted."""
    @property
    def send_queue(self) -> int | None:
        """Bytes that wait to be acknowledged; of a listening socket how many may wait (netlink)."""
    @property
    def inode(self) -> int | None:
        """The socket's inode number; 0 where no process has it."""
    @property
    def uid(self) -> int | None:
        """The id of the user who made the socket; None where nobody owns it, as in TIME_WAIT."""
    @property
    def user(self) -> str | None:
        """The name of that user; None where it has none."""
    @property
    def unit(self) -> str | None:
        """The systemd unit or container in whose cgroup the socket was made (netlink)."""
    @property
    def processes(self) -> tuple[tuple[int, str], ...] | None:
        """Ids and names of the processes that have it, the lowest first; None if not asked for.

        Empty where none has it, or where only its user and root may see it.
        """
    @property
    def netns(self) -> str | None:
        """Its network namespace, named as by ``group_by="netns"``; None if none was asked for."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]: ...

def connections(
    types: str | Iterable[str] | None = None,
    statuses: str | Iterable[str] | None = None,
    *,
    processes: bool = False,
    local_port: _Ports | None = None,
    remote_port: _Ports | None = None,
    local_address: _Addresses | None = None,
    remote_address: _Addresses | None = None,
    netns: _Netns | None = None,
    source: str = "auto",
    timeout: float = 8.0,
) -> list[Connection]:
    """Return this host's connections themselves, in the kernel's order.

    To count them, :func:`count_connections` is faster and needs no memory. Arguments that are not
    listed here are those of :func:`count_connections`.

    Args:
        types: As for :func:`count_connections`.
        statuses: As for :func:`count_connections`.
        processes: Whether to look up the processes too, which reads all of ``/proc/PID/fd``;
            without root only the caller's own can be seen.

    Raises:
        ValueError: An argument is not valid; the message says what would be.
        OSError: No source answered; the message names each one's cause, ``errno`` the first.
        TimeoutError: The timeout passed.
    """

@final
class SocketSummary:
    """The kernel's own sums of sockets, as ``ss -s`` shows them: frozen, hashable and picklable.

    Source: ``/proc/net/sockstat``, ``sockstat6`` and ``snmp``, proc_net(5).
    """

    def __new__(
        cls,
        sockets: int,
        tcp: int,
        tcp_established: int,
        tcp_closed: int,
        tcp_orphaned: int,
        tcp_time_wait: int,
        tcp4: int,
        tcp6: int,
        udp4: int,
        udp6: int,
        raw4: int,
        raw6: int,
        frag4: int,
        frag6: int,
    ) -> SocketSummary: ...
    @property
    def sockets(self) -> int:
        """Sockets of every kind, UNIX ones included."""
    @property
    def tcp(self) -> int:
        """TCP sockets, those in TIME_WAIT included."""
    @property
    def tcp_established(self) -> int:
        """TCP sockets in ESTABLISHED or CLOSE_WAIT (tcpCurrEstab, RFC 4022)."""
    @property
    def tcp_closed(self) -> int:
        """TCP sockets neither bound nor connected, and those in TIME_WAIT: as ``ss`` counts."""
    @property
    def tcp_orphaned(self) -> int:
        """TCP sockets that no process has any more."""
    @property
    def tcp_time_wait(self) -> int:
        """TCP sockets in TIME_WAIT."""
    @property
    def tcp4(self) -> int:
        """TCP sockets over IPv4 in use."""
    @property
    def tcp6(self) -> int:
        """TCP sockets over IPv6 in use."""
    @property
    def udp4(self) -> int:
        """UDP sockets over IPv4 in use."""
    @property
    def udp6(self) -> int:
        """UDP sockets over IPv6 in use."""
    @property
    def raw4(self) -> int:
        """Raw sockets over IPv4 in use."""
    @property
    def raw6(self) -> int:
        """Raw sockets over IPv6 in use."""
    @property
    def frag4(self) -> int:
        """IPv4 datagrams that are being put together."""
    @property
    def frag6(self) -> int:
        """IPv6 datagrams that are being put together."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]: ...

def socket_summary() -> SocketSummary:
    """Return the kernel's own sums of sockets, which cost nothing to ask for.

    Raises:
        ValueError: This system has none (all but Linux).
        OSError: ``/proc`` cannot be read.
    """

def run(
    program: str | PathLike[str], arguments: Sequence[str | PathLike[str]]
) -> tuple[str, str, int]:
    """Run the command line; for :mod:`network_connections.plugin`.

    Args:
        program: The file that is running, beside which fixtures are looked for.
        arguments: Those after the program's name.

    Returns:
        What belongs on standard output and on standard error, and the exit code.
    """

def records() -> list[tuple[str, int, str, int, str]]:
    """Take the log records that calls in this thread have left: name, level, file, line, text."""

def options() -> list[dict[str, Any]]:
    """Return the option table, a dictionary an option; for :mod:`network_connections.plugin`.

    Its keys: ``names``, ``dest``, ``action`` (argparse's), ``value`` (what it looks like),
    ``choices``, ``default``, ``hidden``, ``reference`` (whether the reference plugin has it),
    ``keyword``, ``function`` (the function of the API that has it, with all that follow), ``help``.
    """
