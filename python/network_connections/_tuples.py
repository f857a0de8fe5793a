"""Named tuples of the API, imported when the first one is made."""

from typing import NamedTuple, Optional


class Process(NamedTuple):
    """A process that has a connection."""

    pid: int
    name: str


class Group(NamedTuple):
    """A group of :attr:`CheckResult.groups`: what was judged, and how.

    Attributes:
        label: Its name, as in ``CheckResult.counts``.
        measure: The measure; "exhaustion" has the groups of several.
        value: The number that is judged.
        unit: The unit of that number: "connections", "%" of the limit, or "s", seconds.
        limit: The limit that "%" is of; None where there is none.
        found: The connections, or what the measure counts instead.
        state: 0 OK, 1 WARNING, 2 CRITICAL or 3 UNKNOWN.
    """

    label: str
    measure: str
    value: float
    unit: str
    limit: Optional[int]
    found: int
    state: int
