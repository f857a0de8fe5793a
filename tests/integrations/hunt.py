"""Looks for false alarms of `--measure=exhaustion`, and for faults that it misses: `make hunt`.

It boots a machine (machines.py) with ordinary programs of Debian (programs.py). They are used and
then idle, they are busy for ten minutes (load.py), and then faults come, one by one and in pairs
(faults.py). The check is asked all the while, by root and by nobody. The page
docs/evidence/exhaustion.md has the results of the last run. It takes half an hour, as root, with
mmdebstrap and systemd-container.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import harness  # noqa: E402

from integrations import faults, host, load, machines, where  # noqa: E402
from integrations.machines import COMMANDS, PYTHON, Machine  # noqa: E402
from integrations.programs import PACKAGES, PROGRAMS, SETUP, Program  # noqa: E402

PAGE = ROOT / "docs" / "evidence" / "exhaustion.md"
# Other work on the host may slow it down, which is no alert.
MEASURE = ("--measure=exhaustion", "--netns=all", "--timeout=60")
USERS = {"root": (), "nobody": ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")}
OUTSIDE = ("tcp-memory", "udp-memory", "orphans", "files")


@dataclass(frozen=True)
class Times:
    """How long each part takes, in seconds."""

    used: float
    busy: float


TIMES = Times(used=120, busy=480)
QUICK = Times(used=20, busy=0)


# The thresholds, and what the answers have of them.


class Row(NamedTuple):
    """A built-in threshold, as --help has it."""

    measure: str
    key: str
    seconds: int
    warning: int

    @property
    def name(self) -> str:
        """Its key in -w and -c."""
        return f"{self.measure}:{self.key}" if self.key else self.measure

    @property
    def limit(self) -> str:
        """WARNING with its unit."""
        after = f", {self.seconds} s" if self.seconds else ""
        return f"{self.warning}{after}" if self.seconds else f"{self.warning}%"


def thresholds() -> list[Row]:
    """Return the built-in thresholds."""
    help_text = subprocess.run(
        [harness.NATIVE, "--help"], capture_output=True, text=True, check=False
    ).stdout
    row = r"^  ([a-z-]+):?([a-z-]*)(?:, more than (\d+) s)? +(\d+)%? +(?:\d+%?|-)$"
    found = re.findall(row, help_text.split("Built-in thresholds")[1], re.MULTILINE)
    assert found
    return [Row(name, key, int(wait or 0), int(most)) for name, key, wait, most in found]


class Fullest(NamedTuple):
    """The highest number of a row, and whose it was."""

    value: float
    label: str


@dataclass
class Log:
    """All answers: how many, the fullest numbers, and the alerts."""

    rows: list[Row]
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    fullest: dict[tuple[str, str], Fullest] = field(default_factory=dict)
    high: Counter[tuple[str, str]] = field(default_factory=Counter)
    alerts: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def row(self, group: dict[str, Any]) -> Row | None:
        """Return the threshold of a group."""
        for row in self.rows:
            of_measure = row.measure == group["measure"]
            if of_measure and (not row.key or re.search(rf"\b{row.key}\b", group["label"])):
                return row
        return None

    def add(self, part: str, user: str, report: dict[str, Any]) -> None:
        """Remember an answer."""
        self.asked[part, user] += 1
        groups = report.get("groups", [])
        for group in groups:
            self.add_group(part, user, group)
        if report["state"] != 0 and not any(group["state"] for group in groups):
            self.alerts[part, user, f"{report['state']}: {report['message']}"] += 1

    def add_group(self, part: str, user: str, group: dict[str, Any]) -> None:
        """Remember a group."""
        row, label = self.row(group), group["label"]
        if group["state"] != 0:
            number = f"{group['value']} {group['unit']}"
            self.alerts[part, user, f"{group['measure']} {label}: {number}"] += 1
        value = group["value"]
        if row is None or value is None:
            return
        known = self.fullest.get((user, row.name))
        if known is None or value > known.value:
            self.fullest[user, row.name] = Fullest(value, label)
        if value > row.warning / 2:
            # A process has another id each time.
            self.high[row.name, _short(label)] += 1


def asking(machine: Machine, user: str, *options: str) -> list[str]:
    """Return the command line that asks in the machine."""
    return machine.line([*USERS[user], *COMMANDS["native"], *MEASURE, *options])


def ask(machine: Machine, user: str) -> dict[str, Any]:
    """Return an answer as JSON."""
    line = asking(machine, user, "--format=json")
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.stderr == "", done
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def look(machine: Machine, log: Log, part: str, seconds: float) -> None:
    """Ask by turns as each user, once a second."""
    end = time.monotonic() + seconds
    users = itertools.cycle(USERS)
    while time.monotonic() < end:
        user = next(users)
        log.add(part, user, ask(machine, user))
        # The machine sees no limits of the host.
        outside = [machine.host.check, "--measure=host-limits", "--format=json"]
        done = subprocess.run(outside, capture_output=True, text=True, check=False)
        for group in json.loads(done.stdout)["groups"]:
            if group["label"] in OUTSIDE:
                value = group["percent"]
                known = {**group, "measure": "host-limits", "value": value, "unit": "%", "state": 0}
                log.add_group(part, "root", known)
        time.sleep(1)


# Programs that are used.


@dataclass
class Used:
    """How a program fared."""

    program: Program
    version: str
    state: str = ""
    used: int = 0
    failed: int = 0


def run(machine: Machine, script: str, seconds: float = 20) -> subprocess.CompletedProcess[str]:
    """Run a script of the shell in the machine, which fails at the first error."""
    line = machine.line(["timeout", str(seconds), "sh", "-ec", script])
    return subprocess.run(
        line,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def started(machine: Machine) -> list[Used]:
    """Set all programs up, and start them."""
    machine.do(SETUP)
    made = [Used(program, machines.version(program.package, PACKAGES)) for program in PROGRAMS]
    for one in made:
        done = run(machine, one.program.setup or ":", 60)
        if done.returncode:
            say(f"{one.program.unit}: setup: {done.stderr.strip()}")
    machine.do("systemctl daemon-reload; systemctl reset-failed", check=False)
    for one in made:
        # Those without a setup have been started by the boot.
        restart = f"systemctl restart {one.program.unit}"
        begin = f"systemctl is-active -q {one.program.unit} || "
        done = run(machine, restart if one.program.setup else begin + restart, 90)
        state = run(machine, f"systemctl is-active {one.program.unit}")
        one.state = state.stdout.strip()
        if one.state != "active":
            say(f"{one.program.unit}: {one.state}: {done.stderr.strip()}")
    return made


def use(machine: Machine, programs: Sequence[Used], seconds: float) -> None:
    """Use one program after the other, again and again."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for one in programs:
            if one.state == "active":
                done = run(machine, one.program.use)
                one.used += 1
                one.failed += done.returncode != 0
                if done.returncode != 0 and one.used == 1:
                    say(f"{one.program.unit}: {done.returncode} {done.stderr[-200:]}")


# Load, and faults.

_NAMESPACES = f"""
for name in shop till web; do ip netns add $name; ip -n $name link set lo up; done
ip netns add {faults.SILENT}
ip link add near type veth peer name far netns {faults.SILENT}
ip address add {faults.NEAR}/24 dev near; ip link set near up
ip -n {faults.SILENT} link set far up
mac=$(ip -n {faults.SILENT} -br link show far | awk '{{print $3}}')
ip neighbour replace {faults.FAR} lladdr $mac nud permanent dev near
ip link add here type veth peer name there netns web
ip address add 198.51.100.1/24 dev here; ip link set here up
ip -n web address add 198.51.100.2/24 dev there; ip -n web link set there up
nsenter --net=/run/netns/shop sysctl -qw net.ipv4.ip_local_port_range='40000 40099'
cp -L {PYTHON} /usr/local/bin/bad-reader
"""
_PGBENCH = ("runuser", "-u", "postgres", "--", "/usr/lib/postgresql/15/bin/pgbench")


@contextlib.contextmanager
def unit(
    machine: Machine, name: str, argv: Sequence[str], *, notifies: bool = False
) -> Iterator[None]:
    """Run a service in the machine."""
    kind = ["--service-type=notify", "--property=NotifyAccess=all"] if notifies else []
    start = ["systemd-run", "--quiet", "--collect", f"--unit={name}", *kind, *argv]
    subprocess.run(machine.line(start), check=True)
    try:
        yield
    finally:
        stop = ["systemctl", "kill", "--signal=KILL", f"{name}.service"]
        subprocess.run(machine.line(stop), check=False, capture_output=True)
        wait = ["sh", "-c", f"while systemctl is-active -q {name}; do sleep 0.05; done"]
        subprocess.run(machine.line(wait), check=True)


@contextlib.contextmanager
def busy(machine: Machine) -> Iterator[None]:
    """Keep the servers of the machine busy."""
    machine.write("/srv/load.py", Path(load.__file__).read_text(encoding="utf-8"))
    machine.do(f"cd /; {' '.join(_PGBENCH)} -qi postgres 2>&1")
    with contextlib.ExitStack() as running:
        served = ["nsenter", "--net=/run/netns/web", PYTHON, "-m", "http.server", "-d", "/etc/apt"]
        running.enter_context(unit(machine, "served", served))
        bench = [*_PGBENCH, "--client=10", "--rate=200", "--time=36000", "--no-vacuum", "postgres"]
        running.enter_context(unit(machine, "load-pgbench", bench))
        time.sleep(2)
        for kind in load.KINDS:
            script = [PYTHON, "/srv/load.py", kind]
            running.enter_context(unit(machine, f"load-{kind}", script))
        yield


class Fault(NamedTuple):
    """A fault, its program, its alerts by measure and the beginning of the label, and its owner."""

    program: str
    alerts: tuple[tuple[str, str], ...]
    owner: str
    inside: str = ""
    seconds: int = 0


FAULTS: dict[Callable[[], None], Fault] = {
    faults.accept_queue: Fault("bad-accept", (("accept-queue", "127.0.0.1:8201"),), "bad-accept"),
    faults.unix_queue: Fault("bad-unix", (("accept-queue", "@bad-unix"),), "bad-unix"),
    faults.syn_queue: Fault("bad-syn", (("syn-queue", "127.0.0.1:8202"),), "bad-syn"),
    faults.receive_buffer: Fault("bad-udp", (("receive-buffer", "127.0.0.1:5140"),), "bad-udp"),
    faults.ephemeral_ports: Fault(
        "bad-ports", (("ephemeral-ports", "127.0.0.1:5432"),), "bad-ports", "shop"
    ),
    faults.time_wait: Fault(
        "bad-closer", (("host-limits", "time-wait"),), "net.ipv4.tcp_max_tw_buckets", "till"
    ),
    faults.open_files: Fault("bad-files", (("open-files", "bad-files ("),), "bad-files"),
    faults.half_closed: Fault(
        "bad-closing", (("stuck", "bad-closing half-closed"),), "bad-closing", seconds=600
    ),
    faults.unread: Fault("bad-unread", (("stuck", "bad-unread unread"),), "bad-unread", seconds=60),
    faults.silent_peer: Fault(
        "bad-silent", (("stuck", "bad-silent silent-peer"),), "bad-silent", seconds=120
    ),
    faults.peer_not_reading: Fault(
        "bad-sender",
        (("stuck", "bad-sender peer-not-reading"), ("stuck", "bad-reader unread")),
        "bad-sender",
        seconds=120,
    ),
}
AT_ONCE = [made for made, fault in FAULTS.items() if not fault.seconds]
SLOW = [made for made, fault in FAULTS.items() if fault.seconds]

Made = Callable[[], None]


@contextlib.contextmanager
def injected(machine: Machine, made: Made) -> Iterator[float]:
    """Make a fault, and return when it was there; it ends with the block."""
    fault = FAULTS[made]
    enter = ["nsenter", f"--net=/run/netns/{fault.inside}"] if fault.inside else []
    argv = [*enter, f"/usr/local/bin/{fault.program}", "/srv/faults.py", made.__name__]
    buckets = "nsenter --net=/run/netns/till sysctl -qw net.ipv4.tcp_max_tw_buckets="
    if made is faults.time_wait:
        machine.do(f"{buckets}20")
    try:
        with unit(machine, fault.program, argv, notifies=True):
            yield time.monotonic()
    finally:
        if made is faults.time_wait:
            machine.do(f"{buckets}65536")


@dataclass
class Seen:
    """What a run said about faults."""

    faults: tuple[Made, ...]
    missing: list[str]
    others: list[str]
    owners: list[str]
    nobody: list[str]

    @property
    def is_right(self) -> bool:
        """Whether all alerts were there, with their owners, and no other."""
        return not (self.missing or self.others or self.owners)


def judged(machine: Machine, *made: Made, ripening: Sequence[Made] = ()) -> Seen:
    """Ask once, and compare the alerts with these faults; others may have come about meanwhile."""
    report = ask(machine, "root")
    alerts = [group for group in report["groups"] if group["state"] != 0]
    wanted = [alert for one in made for alert in FAULTS[one].alerts]
    allowed = [*wanted, *(alert for one in ripening for alert in FAULTS[one].alerts)]

    def is_one(group: dict[str, Any], alert: tuple[str, str]) -> bool:
        return group["measure"] == alert[0] and str(group["label"]).startswith(alert[1])

    missing = [" ".join(one) for one in wanted if not any(is_one(group, one) for group in alerts)]
    others = [
        f"{group['measure']} {group['label']}"
        for group in alerts
        if not any(is_one(group, one) for one in allowed)
    ]
    lengthy = subprocess.run(
        asking(machine, "root", "--lengthy"), capture_output=True, text=True, check=False
    ).stdout
    tables = lengthy.partition("\n")[2]
    owners = [FAULTS[one].owner for one in made if FAULTS[one].owner not in tables]
    there = [group for group in ask(machine, "nobody")["groups"] if group["state"] != 0]
    nobody = [f"{group['measure']} {group['label']}" for group in there]
    seen = Seen(made, missing, others, owners, nobody)
    names = " + ".join(one.__name__ for one in made)
    say(f"{names}: {'right' if seen.is_right else seen}")
    return seen


class Still:
    """A fault that goes on until it is told to end."""

    def __init__(self, machine: Machine, made: Made) -> None:
        """Start it."""
        self.made = made
        self._machine = machine
        self._stack = contextlib.ExitStack()
        self._since = self._stack.enter_context(injected(machine, made))

    def alerts(self, before: float = 0) -> None:
        """Wait until it has to alert, or until so many seconds before."""
        until = self._since + FAULTS[self.made].seconds + 3 - before
        time.sleep(max(0.0, until - time.monotonic()))

    def alone(self, ripening: Sequence[Made] = ()) -> Iterator[Seen]:
        """Return what is said about it alone, and beside every fault that alerts at once."""
        yield judged(self._machine, self.made, ripening=ripening)
        for other in AT_ONCE:
            with injected(self._machine, other):
                yield judged(self._machine, self.made, other, ripening=ripening)

    def end(self) -> None:
        """End it."""
        self._stack.close()


def at_once(machine: Machine, ripening: Sequence[Made] = ()) -> Iterator[Seen]:
    """Make the faults that alert at once, alone and in pairs."""
    for made in AT_ONCE:
        with injected(machine, made):
            yield judged(machine, made, ripening=ripening)
    for one, other in itertools.combinations(AT_ONCE, 2):
        with injected(machine, one), injected(machine, other):
            yield judged(machine, one, other, ripening=ripening)


def every_fault(machine: Machine, held: dict[Made, Still]) -> Iterator[Seen]:
    """Make every fault alone and beside others: the kinds of stuck connections take their time."""
    later = [faults.silent_peer, faults.peer_not_reading]
    for made in (faults.half_closed, faults.unread):
        held[made].alerts()
    yield judged(machine, faults.half_closed, faults.unread, ripening=later)
    held[faults.unread].end()
    yield from held[faults.half_closed].alone(ripening=later)
    held[faults.unread] = Still(machine, faults.unread)
    for made in SLOW:
        held[made].alerts()
    yield judged(machine, *SLOW)
    for made in (faults.half_closed, *later):
        held[made].end()
    yield from held[faults.unread].alone()
    held[faults.unread].end()
    for made in later:
        held[made] = Still(machine, made)
    yield from at_once(machine, ripening=later)
    for made in later:
        held[made].alerts()
        yield from held[made].alone(ripening=later)
        held[made].end()


def hunted(machine: Machine, log: Log, times: Times) -> tuple[list[Used], list[Seen]]:
    """Do it all; return how the programs fared, and what was said about the faults."""
    say(f"starting {len(PROGRAMS)} programs")
    programs = started(machine)
    machine.write("/srv/faults.py", Path(faults.__file__).read_text(encoding="utf-8"))
    machine.do(_NAMESPACES)
    for fault in FAULTS.values():
        machine.do(f"cp -L {PYTHON} /usr/local/bin/{fault.program}")
    user = threading.Thread(target=use, args=(machine, programs, times.used), daemon=True)
    pool = unit(machine, "pool", [PYTHON, "/srv/faults.py", "pool"], notifies=True)
    seen: list[Seen] = []
    with busy(machine), pool:
        say("using them")
        user.start()
        look(machine, log, "used", times.used)
        user.join()
        say("leaving those alone that are not busy")
        if times is QUICK:
            seen += at_once(machine)
        else:
            # It alerts two minutes after the last answer that is to have no alert.
            held = {faults.half_closed: Still(machine, faults.half_closed)}
            look(machine, log, "busy", times.busy)
            held[faults.half_closed].alerts(before=60)
            for made in (faults.unread, faults.silent_peer, faults.peer_not_reading):
                held[made] = Still(machine, made)
            seen += every_fault(machine, held)
    return programs, seen


# The page.

_PAGE = """# Everything that runs out: false alarms, and faults under load

Written by `make hunt`: `--measure=exhaustion --netns=all`, as root and as nobody by turns, in a
machine that systemd has booted, with {number} programs of Debian. {system}.

## False alarms

The machine was busy for ten minutes: in each second nginx had up to 100 new connections, Unbound
500 questions, rsyslog 10 bursts of 100 datagrams, PostgreSQL 200 transactions of 10 clients, and a
server in another network namespace 50 new connections. A client kept 20 connections to each of
nginx, PostgreSQL and Postfix, which these closed after 5 to 20 s, PostgreSQL and Postfix with a
last word that the client did not read. All programs were used one after the other in the first
{used:.0f} s, and the others were idle afterwards.

| Part | As root | As nobody | Alerts |
|---|---|---|---|
{parts}

{alerts}

| Key | WARNING | Fullest, root | Fullest, nobody | Of WARNING |
|---|---|---|---|---|
{rows}

tcp-memory, udp-memory, orphans and files are of the whole host: they were asked outside the
machine, among all that runs there.

{high}

| Program | Version | Uses | Failed |
|---|---|---|---|
{programs}

## Faults under load

Each fault was made beside the load of the busy part, alone and in pairs. The first run afterwards
(for stuck connections: after their seconds) is right if it has an alert for each fault, no alert of
anything that was not made, and the owner in its tables. The user nobody sees no sockets of other
network namespaces, and has the unit where a program cannot be seen.

| Fault | Alert | Alone | In pairs | Alert as nobody |
|---|---|---|---|---|
{faults}

{wrong}
"""


def page(log: Log, programs: Sequence[Used], seen: Sequence[Seen], times: Times) -> str:
    """Return the page."""
    parts = [
        f"| {part} | {log.asked[part, 'root']} runs | {log.asked[part, 'nobody']} runs | "
        f"{sum(number for (of, *_), number in log.alerts.items() if of == part)} |"
        for part in ("used", "busy")
    ]
    alerts = [
        f"- {part}, {user}: {text} ({number} times)"
        for (part, user, text), number in log.alerts.items()
    ]
    rows = [_row(log, row) for row in log.rows]
    high = [f"- {key}: {label} ({number} times)" for (key, label), number in log.high.items()]
    above = "\n".join(["Above half of its WARNING:", "", *high])
    running = [one for one in programs if one.state == "active"]
    listed = [
        f"| {one.program.package} | {one.version} | {one.used} | {one.failed} |" for one in running
    ]
    idle = [one.program.package for one in programs if one.state != "active"]
    listed += [f"| {name} | did not start in this machine | - | - |" for name in idle]
    wrong = [f"- {_names(one.faults)}: {one}" for one in seen if not one.is_right]
    return _PAGE.format(
        number=len(running),
        system=where.system(),
        used=times.used,
        parts="\n".join(parts),
        alerts="\n".join(alerts) or "Never an alert.",
        rows="\n".join(rows),
        high=above if high else "Nothing was above half of its WARNING.",
        programs="\n".join(listed),
        faults="\n".join(_fault(made, seen) for made in FAULTS),
        wrong="\n".join(wrong) or f"All {len(seen)} runs were right.",
    )


def _row(log: Log, row: Row) -> str:
    unit_of = "" if row.seconds else "%"

    def cell(user: str) -> str:
        found = log.fullest.get((user, row.name))
        if found is None and row.measure == "host-limits":
            return "not seen"
        if found is None or not found.value:
            return f"0{unit_of}"
        name = f" ({_short(found.label)})" if _short(found.label) != row.key else ""
        return f"{found.value:.{0 if row.seconds else 2}f}{unit_of}{name}"

    most = [found.value for user in USERS if (found := log.fullest.get((user, row.name)))]
    part = 100 * max(most, default=0.0) / row.warning
    return f"| `{row.name}` | {row.limit} | {cell('root')} | {cell('nobody')} | {part:.0f}% |"


def _short(label: str) -> str:
    """Return a label without the id of a process and without the machine's own namespace."""
    return re.sub(r" \(\d+\)$| in init\.scope$", "", label)


def _names(made: Sequence[Made]) -> str:
    return " + ".join(one.__name__.replace("_", " ") for one in made)


def _fault(made: Made, seen: Sequence[Seen]) -> str:
    fault = FAULTS[made]
    alone = [one for one in seen if one.faults == (made,)]
    pairs = [one for one in seen if made in one.faults and len(one.faults) > 1]
    right = sum(one.is_right for one in pairs)
    first = "no" if any(not one.is_right for one in alone) else "yes" if alone else "-"
    nobody = sorted({_short(text) for one in alone for text in one.nobody}) or ["-"]
    alerts = ", ".join(f"{name} {label.strip(' (')}" for name, label in fault.alerts)
    cells = (_names([made]), alerts, first, f"{right} of {len(pairs)}", ", ".join(nobody))
    return f"| {' | '.join(cells)} |"


_start = time.monotonic()


def say(text: str) -> None:
    """Show how far it is."""
    print(f"{time.monotonic() - _start:5.0f} s  {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Hunt, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a try of two minutes, on no page")
    options = parser.parse_args()
    if reason := machines.missing(PACKAGES):
        print(reason, file=sys.stderr)
        return 1
    times = QUICK if options.quick else TIMES
    log = Log(thresholds())
    with host.apart() as apart, machines.booted(apart, "hunt", PACKAGES, 300) as machine:
        programs, seen = hunted(machine, log, times)
    text = page(log, programs, seen, times)
    if options.quick:
        print(text)
    else:
        PAGE.write_text(text, encoding="utf-8")
    return 0 if not log.alerts and all(one.is_right for one in seen) else 1


if __name__ == "__main__":
    sys.exit(main())
