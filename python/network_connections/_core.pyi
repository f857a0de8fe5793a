from collections.abc import Iterable, Sequence
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
    """The outcome of :func:`check`: frozen and picklable; ``str()`` is the command's line."""

    def __new__(
        cls, state: int, message: str, perfdata: str, counts: dict[str, int]
    ) -> CheckResult: ...
    @property
    def state(self) -> int:
        """0 OK, 1 WARNING or 2 CRITICAL, which is the command's exit code; 0 with ``always_ok``."""
    @property
    def message(self) -> str:
        """What was found, without performance data."""
    @property
    def perfdata(self) -> str:
        """Nagios performance data; empty where there is none."""
    @property
    def counts(self) -> dict[str, int]:
        """Sockets per group in display order, as :func:`count_connections` gives them; a copy."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, tuple[int, str, str, dict[str, int]]]: ...

def count_connections(
    types: str | Iterable[str] | None = None,
    statuses: str | Iterable[str] | None = None,
    *,
    source: str = "auto",
    timeout: float = 8.0,
) -> dict[str, int]:
    """Count this host's sockets per type and status.

    Needs no privileges and releases the GIL while the kernel works.

    Args:
        types: One or more of ``tcp``, ``tcp6``, ``udp``, ``udp6``, in any case; ``"all"`` or None
            for all of them.
        statuses: One or more of psutil's names (``established``, ``time_wait``, ...; UDP sockets
            are ``none``), in any case; ``"all"`` or None for all of them.
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
    warning: Range | str | float | None = None,
    critical: Range | str | float | None = None,
    always_ok: bool = False,
    perfdata: bool = True,
    source: str = "auto",
    timeout: float = 8.0,
) -> CheckResult:
    """Count this host's sockets and judge every group by the thresholds.

    Never exits the process and never returns a guess.

    Args:
        types: As for :func:`count_connections`.
        statuses: As for :func:`count_connections`.
        warning: The state is WARNING where a group's count lies outside this range.
        critical: The state is CRITICAL where a group's count lies outside this range.
        always_ok: Make the state OK whatever was found.
        perfdata: Whether the result has performance data.
        source: As for :func:`count_connections`.
        timeout: As for :func:`count_connections`.

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
