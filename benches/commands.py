"""What is measured, and what is promised: the rows of the tables. A new one is one entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from measure import EMPTY, NETNS, SUM, Command, Results, Scenario

# Where options that look closer are measured.
_SOME = (10_000, 100_000, 1_000_000)

# Where the start matters, too.
_FROM_NONE = (0, *_SOME)

# Where the start and the end matter.
_ENDS = (0, 1_000_000)

# Every group alerts, and the exit code is 0.
_ALERT = ("--critical=0", "--always-ok")

# A loaded machine is no reason to fail.
_PATIENT = ("--timeout=600",)


def _with(*options: str, name: str, over: str = "wheel", each: bool = True) -> Command:
    """Return a row of the command with options that matter where there are many sockets."""
    return Command(
        name,
        f"`network-connections {' '.join(options)}`",
        ("{wheel}", *options, *_PATIENT),
        over=(over,),
        shows="{number}" if each else "",
        each=each,
        chart=False,
        ours=True,
        kinds=("established",),
        sizes=_SOME,
    )


def _floor(name: str, asked: str, what: str) -> Command:
    """Return the floor of a row that has the kernel leave everything out."""
    return Command(
        f"{name} floor",
        f"the same loop in C for a dump {what}",
        ("{built}/floor", asked),
        shows="",
        each=False,
        chart=False,
        kinds=("established",),
        sizes=_SOME,
    )


_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
_IN_EACH = "cd /run/netns && for name in *; do ip netns exec $name ss -Htuan; done"


def _netns(
    name: str, what: str, *argv: str, over: str = "", ours: bool = False, shows: str = ""
) -> Command:
    """Return a row of what looks into other network namespaces."""
    return Command(
        name,
        what,
        argv,
        over=(over,) if over else (),
        shows=SUM if ours else shows,
        each=False,
        chart=False,
        ours=ours,
        kinds=(NETNS,),
    )


COMMANDS = (
    Command(
        "python",
        "`python -c pass`",
        ("{python}", "-c", "pass"),
        shows="",
        each=False,
        chart=False,
    ),
    Command(
        "floor",
        "a bare receive loop in C that counts messages",
        ("{built}/floor",),
        harm=True,
    ),
    Command(
        "wheel",
        "`network-connections`, as the wheel installs it",
        ("{wheel}", *_PATIENT),
        over=("floor", "python"),
        ours=True,
        harm=True,
    ),
    Command(
        "native",
        "`network-connections`, without Python",
        ("{native}", *_PATIENT),
        over=("floor",),
        ours=True,
        harm=True,
    ),
    Command(
        "static floor",
        "the same loop in C, static",
        ("{built}/static-floor",),
        chart=False,
        kinds=("established",),
        sizes=_ENDS,
    ),
    Command(
        "static",
        "`network-connections`, without Python, static",
        ("{static}", *_PATIENT),
        over=("static floor",),
        chart=False,
        ours=True,
        kinds=("established",),
        sizes=_ENDS,
    ),
    Command(
        "API",
        "`count_connections()` in Python, per call",
        ("{python}", "{benches}/in_process.py", "count_connections", "{calls}"),
        over=("floor",),
        ours=True,
        in_process=True,
    ),
    Command(
        "crate",
        "`Check::count` in Rust, per call",
        ("{built}/release/count", "{calls}"),
        over=("floor",),
        chart=False,
        ours=True,
        in_process=True,
    ),
    _with("--source=counters", name="counters", over="floor"),
    _with("--measure=accept-queue", name="accept queues", each=False),
    _with("--measure=ephemeral-ports", name="ephemeral ports", each=False),
    _with("--conn-status=time_wait", name="time_wait", over="time_wait floor", each=False),
    _with("--remote-port=9", name="other port", over="other port floor", each=False),
    Command(
        "exhaustion",
        "`network-connections --measure=exhaustion`, without Python",
        # Who holds a million sockets has nearly no open file left.
        ("{native}", "--measure=exhaustion", "--always-ok", *_PATIENT),
        over=("times floor", "native"),
        shows="",
        chart=False,
        ours=True,
        kinds=("established",),
        sizes=_FROM_NONE,
    ),
    Command(
        "times floor",
        "the same loop in C for a dump with the times of TCP connections (`struct tcp_info`)",
        ("{built}/floor", "times"),
        shows="",
        chart=False,
        kinds=("established",),
        sizes=_FROM_NONE,
    ),
    _floor("counters", "rest", "of TCP that is not ESTABLISHED"),
    _floor("time_wait", "time_wait", "of what is in TIME_WAIT"),
    _floor("other port", "port", "of what has port 9 at the other end"),
    _with("--group-by=local-port", name="by local-port"),
    _with("--group-by=remote-port", name="by remote-port"),
    _with("--group-by=local-address", name="by local-address"),
    _with("--group-by=remote-address", name="by remote-address"),
    _with("--group-by=user", name="by user"),
    _with("--group-by=unit", name="by unit"),
    _with("--group-by=process", name="by process alone", over="links"),
    Command(
        "links",
        "a bare loop in C that follows every link in `/proc/PID/fd`",
        ("{built}/links",),
        shows="",
        chart=False,
        kinds=("established",),
        sizes=_SOME,
    ),
    _with("--group-by=process", "--lengthy", name="by process", over="ss -p"),
    _with("--lengthy", name="lengthy", each=False),
    _with("--lengthy", *_ALERT, name="lengthy alert", over="by process alone", each=False),
    _with(
        *("--group-by=process", "--lengthy", *_ALERT),
        name="by process, alert",
        over="by process alone",
        each=False,
    ),
    _with("--group-by=local-endpoint", name="by local-endpoint"),
    _with("--group-by=local-endpoint", "--format=json", name="by local-endpoint, JSON"),
    Command(
        "ss -p",
        "`ss -Htanp`",
        ("ss", "-Htanp"),
        over=("wheel",),
        shows="",
        chart=False,
        kinds=("established",),
        # Its time grows with the square of the number: a million takes a quarter of an hour.
        sizes=_SOME[:2],
    ),
    Command(
        "connections()",
        "`connections()` in Python, per call",
        ("{python}", "{benches}/in_process.py", "connections", "1"),
        over=("wheel",),
        chart=False,
        ours=True,
        in_process=True,
        kinds=("established",),
        sizes=_SOME,
    ),
    Command(
        "procfs",
        "`network-connections --source=procfs`",
        ("{wheel}", "--source=procfs", *_PATIENT),
        over=("wc", "wheel"),
        ours=True,
        harm=True,
    ),
    Command(
        "wc",
        "`wc -l /proc/net/tcp` (`udp` for UDP)",
        ("wc", "-l", "/proc/net/{tcp}"),
        over=("wheel",),
        shows="{lines}",
        harm=True,
    ),
    Command(
        "ss",
        "`ss -Htan` (`-Huan` for UDP)",
        ("ss", "-H{t}an"),
        over=("wheel",),
        shows="",
        harm=True,
    ),
    Command(
        "netstat2",
        "the netstat2 crate, without PIDs",
        ("{built}/release/netstat2",),
        over=("wheel",),
        harm=True,
    ),
    Command(
        "netstat2 PIDs",
        "the netstat2 crate, with PIDs",
        ("{built}/release/netstat2", "--pids"),
        over=("wheel",),
        harm=True,
    ),
    Command(
        "netstat",
        "`netstat -tan` (`-uan` for UDP) of net-tools",
        ("netstat", "-{t}an"),
        over=("wheel",),
        shows="",
        harm=True,
    ),
    Command(
        "psutil",
        "psutil, over all rows as the reference plugin does",
        ("{python}", "{benches}/psutil_count.py"),
        over=("wheel",),
        harm=True,
    ),
    _netns(
        "netns floor",
        "the loop in C in every namespace below `/run/netns`",
        *("{built}/floor", "/run/netns"),
        shows="{number}",
    ),
    _netns(
        "netns",
        "`network-connections --netns=all`, without Python",
        *("{native}", "--netns=all", *_PATIENT),
        over="netns floor",
        ours=True,
    ),
    _netns(
        "netns wheel",
        "`network-connections --netns=all`, as the wheel installs it",
        *("{wheel}", "--netns=all", *_PATIENT),
        over="netns floor",
        ours=True,
    ),
    _netns(
        "netns ss",
        "`ip netns exec NAME ss -Htuan` for every name",
        *("sh", "-c", _IN_EACH),
        over="netns",
    ),
    _netns(
        "nobody",
        "`network-connections --netns=all` of the user nobody, without Python",
        *(*_NOBODY, "{everybodys}", "--netns=all", *_PATIENT),
        over="nobody cat",
        ours=True,
    ),
    _netns(
        "nobody cat",
        "`cat /proc/PID/net/{tcp,tcp6,udp,udp6}` of a process in every namespace, as nobody",
        *(*_NOBODY, "sh", "-c", "exec cat {tables}"),
    ),
)

Value = Callable[[Results], "float | None"]

_MANY = Scenario("established", 1_000_000)
_FEW = Scenario("established", 10_000)
_NAMESPACES = Scenario(NETNS, 50)
_EMPTY_NAMESPACES = Scenario(NETNS, 0)


def cpu(name: str, *over: str, at: Scenario = _MANY, minus: str = "") -> Value:
    """CPU time of a command, less that of another, over that of others together."""

    def value(results: Results) -> float | None:
        measured = results.at(at)
        return measured.ratio(name, *over, minus=minus) if measured else None

    return value


def reached(value: Value, bound: Value) -> Value:
    """What a figure is of the one that nothing can surpass."""

    def part(results: Results) -> float | None:
        has, can_have = value(results), bound(results)
        return has / can_have if has is not None and can_have else None

    return part


def wall(name: str) -> Value:
    """Wall time in seconds at a million sockets."""

    def value(results: Results) -> float | None:
        run = results.median(name, _MANY)
        return run.wall if run else None

    return value


def peak(name: str) -> Value:
    """Peak memory in MB at a million sockets."""

    def value(results: Results) -> float | None:
        run = results.median(name, _MANY)
        return run.peak * 1024 / 1e6 if run else None

    return value


def memory(name: str) -> Value:
    """Peak memory in MiB at a million sockets minus that at none."""

    def value(results: Results) -> float | None:
        many, none = results.median(name, _MANY), results.median(name, EMPTY)
        return (many.peak - none.peak) / 1024 if many and none else None

    return value


def most(name: str) -> Value:
    """Peak memory in MiB, at none or a million sockets, whichever is more."""

    def value(results: Results) -> float | None:
        runs = [run for at in (EMPTY, _MANY) if (run := results.median(name, at))]
        return max(run.peak for run in runs) / 1024 if len(runs) == 2 else None

    return value


def growth(name: str) -> Value:
    """CPU time per socket at a million over that at 10,000, each without the time at none."""

    def value(results: Results) -> float | None:
        many, few = results.per_socket(name, _MANY), results.per_socket(name, _FEW)
        return many / few if many and few else None

    return value


@dataclass(frozen=True)
class Target:
    """What is promised of a figure."""

    what: str
    value: Value
    limit: float
    least: bool = False
    """Whether the figure must be at least the limit; else it must be at most that."""

    def met(self, value: float) -> bool:
        """Whether the promise is kept."""
        return value >= self.limit if self.least else value <= self.limit


TARGETS = (
    Target("API at 1M, CPU over floor", cpu("API", "floor"), 1.05),
    Target("crate at 1M, CPU over floor", cpu("crate", "floor"), 1.05),
    Target(
        "wheel minus python at 1M, CPU over floor",
        cpu("wheel", "floor", minus="python"),
        1.1,
    ),
    Target("psutil at 1M, CPU over wheel", cpu("psutil", "wheel"), 15, least=True),
    Target("ss at 1M, CPU over wheel", cpu("ss", "wheel"), 2, least=True),
    Target(
        "netstat2 at 1M, CPU over wheel, of what it is over floor",
        reached(cpu("netstat2", "wheel"), cpu("netstat2", "floor")),
        0.9,
        least=True,
    ),
    Target(
        "counters minus python at 1M ESTABLISHED, CPU over its floor",
        cpu("counters", "counters floor", minus="python"),
        1.15,
    ),
    Target(
        "accept queues at 1M, CPU minus python over wheel",
        cpu("accept queues", "wheel", minus="python"),
        0.02,
    ),
    Target("ephemeral ports at 1M, CPU over wheel", cpu("ephemeral ports", "wheel"), 1.1),
    Target("exhaustion at 0, CPU over native", cpu("exhaustion", "native", at=EMPTY), 3),
    Target("exhaustion at 1M, CPU over times floor", cpu("exhaustion", "times floor"), 1.3),
    Target("exhaustion, peak memory from 0 to 1M, MiB", most("exhaustion"), 32),
    Target(
        "by process alone at 1M, CPU over links and floor",
        cpu("by process alone", "links", "floor"),
        1.15,
    ),
    Target("by process alone at 1M, peak memory, MB", peak("by process alone"), 64),
    Target("lengthy at 1M, CPU over wheel", cpu("lengthy", "wheel"), 1.1),
    *(
        target
        for name in ("lengthy alert", "by process, alert")
        for target in (
            Target(f"{name} at 1M, CPU over by process alone", cpu(name, "by process alone"), 1.2),
            Target(f"{name} at 1M, peak memory, MB", peak(name), 64),
        )
    ),
    *(
        target
        for name, limit, most_peak in (
            ("by local-endpoint", 1.5, 128),
            ("by local-endpoint, JSON", 2.5, 192),
        )
        for target in (
            Target(f"{name} at 1M, CPU over wheel", cpu(name, "wheel"), limit),
            Target(f"{name} at 1M, peak memory, MB", peak(name), most_peak),
        )
    ),
    Target(
        "time_wait minus python at 1M ESTABLISHED, CPU over its floor",
        cpu("time_wait", "time_wait floor", minus="python"),
        1.15,
    ),
    Target(
        "other port minus python at 1M, CPU over its floor",
        cpu("other port", "other port floor", minus="python"),
        1.15,
    ),
    *(
        Target(f"by {kind} at 1M, CPU over wheel", cpu(f"by {kind}", "wheel"), limit)
        for kind, limit in (
            ("local-port", 1.1),
            ("remote-port", 1.1),
            ("local-address", 1.05),
            ("remote-address", 1.05),
            ("user", 1.15),
            ("unit", 1.15),
        )
    ),
    Target(
        "by process at 100k, CPU over ss -p",
        cpu("by process", "ss -p", at=Scenario("established", 100_000)),
        1,
    ),
    Target("connections() at 1M, seconds", wall("connections()"), 5),
    Target("connections() at 1M, peak memory, MB", peak("connections()"), 500),
    Target("procfs at 1M, CPU over wc", cpu("procfs", "wc"), 1.15),
    Target("wheel, peak memory at 1M minus that at 0, MiB", memory("wheel"), 1),
    Target("native, peak memory at 1M minus that at 0, MiB", memory("native"), 1),
    Target("API, CPU per socket at 1M over that at 10k", growth("API"), 1.5),
    Target("wheel at 0, CPU over python and floor", cpu("wheel", "python", "floor", at=EMPTY), 1.3),
    Target("native at 0, CPU over floor", cpu("native", "floor", at=EMPTY), 1.5),
    Target("static at 0, CPU over static floor", cpu("static", "static floor", at=EMPTY), 1.5),
    Target(
        "psutil at 0, CPU over static, of what it is over static floor",
        reached(
            cpu("psutil", "static", at=EMPTY),
            cpu("psutil", "static floor", at=EMPTY),
        ),
        0.67,
        least=True,
    ),
    Target("static, peak memory from 0 to 1M, MiB", most("static"), 4),
    Target("netns, CPU over netns floor", cpu("netns", "netns floor", at=_NAMESPACES), 1.3),
    Target(
        "netns, all empty, CPU over netns floor",
        cpu("netns", "netns floor", at=_EMPTY_NAMESPACES),
        1.3,
    ),
    Target("netns ss, CPU over netns", cpu("netns ss", "netns", at=_NAMESPACES), 2, least=True),
    Target("nobody, CPU over nobody cat", cpu("nobody", "nobody cat", at=_NAMESPACES), 1.3),
)
