from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from os import PathLike
from typing import Any, final

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
_Address = (
    str | IPv4Address | IPv4Network | IPv6Address | IPv6Network
)
_Addresses = _Address | Iterable[_Address]
_Threshold = Range | str | float

def count_connections(
    types: str | Iterable[str] | None = None,
    statuses: str | Iterable[str] | None = None,
    *,
    local_port: _Ports | None = None,
    remote_port: _Ports | None = None,
    local_address: _Addresses | None = None,
    remote_address: _Addresses | None = None,
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
        group_by: ``"type-status"``, ``"type"``, ``"status"``, ``"local-port"``,
            ``"remote-port"``, ``"local-address"`` or ``"remote-address"``.
        zero: Whether selected types and statuses without sockets are there as 0.
        source: ``"auto"`` for the best source that answers completely, or the only one to ask:
            ``"netlink"`` or ``"procfs"`` (Linux), ``"netstat2"`` (other systems).
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
    local_port: _Ports | None = None,
    remote_port: _Ports | None = None,
    local_address: _Addresses | None = None,
    remote_address: _Addresses | None = None,
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
        top: How many groups the message names at most; by default all types and statuses, and
            10 of other groups.
        no_match_severity: The state where nothing is found: ``"ok"``, ``"warn"``, ``"crit"`` or
            ``"unknown"``.

    Raises:
        ValueError: An argument is not valid; the message says what would be.
        OSError: No source answered; the message names each one's cause, ``errno`` the first.
        TimeoutError: The timeout passed.
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

def options() -> list[
    tuple[list[str], str, str, list[str] | None, str | None, bool, str, bool]
]:
    """Return the option table; for :mod:`network_connections.plugin`.

    Each row holds names, destination, argparse action, choices, default, whether it is hidden,
    help, and whether the reference plugin has it.
    """
