"""Nagios 4 accepts the objects, runs the check here and over NRPE, and knows the result."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import harness
import pytest
from lab.namespaces import Pair

from integrations import daemons, nrpe, sockets
from integrations.daemons import INTEGRATIONS, owned
from integrations.where import Row

WHERE = [
    Row(
        "Nagios",
        lambda: daemons.version_of("nagios4-core"),
        "`nagios4 -v` accepts the objects; state, output and performance data of checks here and "
        "over NRPE in the status file of the running daemon",
    )
]

DAEMON = "/usr/sbin/nagios4"
CONFIGURATION = INTEGRATIONS / "nagios" / "network-connections.cfg"
BECOME = ["setpriv", f"--reuid={daemons.USER}", f"--regid={daemons.USER}", "--init-groups"]

MAIN = """
cfg_file={path}/network-connections.cfg
cfg_file={path}/site.cfg
resource_file={path}/resource.cfg
log_file={path}/var/nagios.log
status_file={path}/var/status.dat
status_update_interval=1
object_cache_file={path}/var/objects.cache
precached_object_file={path}/var/objects.precache
state_retention_file={path}/var/retention.dat
check_result_path={path}/var
temp_path={path}/var
temp_file={path}/var/nagios.tmp
lock_file={path}/var/nagios.pid
query_socket={path}/var/nagios.qh
command_file={path}/var/nagios.cmd
check_external_commands=0
use_syslog=0
check_workers=2
service_inter_check_delay_method=n
max_service_check_spread=1
process_performance_data=1
enable_notifications=0
illegal_macro_output_chars=`~$&|'"<>
"""

SITE = """
define timeperiod {{
    timeperiod_name 24x7
    alias           always
    sunday          00:00-24:00
    monday          00:00-24:00
    tuesday         00:00-24:00
    wednesday       00:00-24:00
    thursday        00:00-24:00
    friday          00:00-24:00
    saturday        00:00-24:00
}}

define command {{
    command_name    nobody-is-told
    command_line    /bin/true
}}

define contact {{
    contact_name                    operator
    host_notification_period        24x7
    service_notification_period     24x7
    host_notification_options       n
    service_notification_options    n
    host_notification_commands      nobody-is-told
    service_notification_commands   nobody-is-told
}}

define host {{
    host_name           server
    address             127.0.0.1
    hostgroups          {here}
    max_check_attempts  1
    check_period        24x7
    contacts            operator
}}

define host {{
    host_name           web1
    address             {address}
    hostgroups          {there}
    max_check_attempts  1
    check_period        24x7
    contacts            operator
}}
"""

HERE = tuple(f"network-connections{name}" for name in ("", "-counts", "-https", "-database"))
THERE = tuple(f"{name}-by-nrpe" for name in HERE)

SERVICE = """
define service {{
    use                     network-connections-service
    host_name               {host}
    service_description     {name}
    check_command           {command}
}}
"""

# Of the sockets below: 2 listeners on 7001, 1 on 7003.
QUIET = "--conn-status listen --local-port 7000-7999"
CASES = {
    "ok": QUIET,
    "warning": f"{QUIET} --warning 1",
    "critical": f"{QUIET} --warning 0 --critical 1,total=~:2",
    "unknown": f"{QUIET} --warning many",
    "nothing": "--local-port 9 --no-match-severity warn",
    "usage": "--conn-type sctp",
    "lengthy": f"{QUIET} --warning 1 --lengthy",
    "many": "--conn-type udp --group-by local-address --top 100000",
}


def configured(
    path: Path,
    hosts: Pair,
    plugins: Path,
    services: str,
    groups: tuple[Sequence[str], Sequence[str]] = (HERE, THERE),
) -> Path:
    """Write a configuration, and return its main file. The groups are those of each host."""
    owned(path / "var")
    commands = path / "plugins"
    commands.mkdir()
    shutil.copy(nrpe.CLIENT, commands)
    (commands / daemons.CHECK).symlink_to(plugins / daemons.CHECK)
    shutil.copy(CONFIGURATION, path)
    here, there = (",".join(names) for names in groups)
    for name, text in {
        "main.cfg": MAIN.format(path=path),
        "site.cfg": SITE.format(address=hosts.b4, here=here, there=there) + services,
        "resource.cfg": f"$USER1$={commands}\n",
    }.items():
        (path / name).write_text(text, encoding="utf-8")
    return path / "main.cfg"


def verified(hosts: Pair, main: Path) -> subprocess.CompletedProcess[str]:
    line = daemons.within(hosts.a, [*BECOME, DAEMON, "-v", str(main)])
    return subprocess.run(line, capture_output=True, text=True, check=False, cwd="/")


@pytest.mark.parametrize(
    ("groups", "services"),
    [
        ((HERE, THERE), 10),
        # A host has only the services that its groups name.
        ((HERE[:1], THERE[:1]), 2),
        ((HERE[:1], THERE[1:2]), 3),
    ],
)
def test_the_objects_are_accepted(
    hosts: Pair,
    plugins: dict[str, Path],
    groups: tuple[Sequence[str], Sequence[str]],
    services: int,
) -> None:
    daemons.require(DAEMON, *nrpe.PROGRAMS)
    with daemons.directory() as path:
        done = verified(hosts, configured(path, hosts, plugins["native"], "", groups))
    assert done.returncode == 0, done.stdout
    assert f"Checked {services} services." in done.stdout
    assert "Total Errors:   0" in done.stdout
    assert "Total Warnings: 0" in done.stdout


def test_a_mistake_is_refused(hosts: Pair, plugins: dict[str, Path]) -> None:
    daemons.require(DAEMON, *nrpe.PROGRAMS)
    services = SERVICE.format(host="server", name="x", command="check_network_connection")
    with daemons.directory() as path:
        done = verified(hosts, configured(path, hosts, plugins["native"], services))
    assert done.returncode == 1
    assert "Service check command 'check_network_connection'" in done.stdout


# The daemon.

Status = dict[tuple[str, str], dict[str, str]]


@pytest.fixture(scope="module")
def status(hosts: Pair, plugins: dict[str, Path]) -> Iterator[Status]:
    """Return what the status file says of each service, once all of them were checked."""
    daemons.require(DAEMON, *nrpe.PROGRAMS)
    services = "".join(
        SERVICE.format(host="server", name=name, command=f"check_network_connections!{options}")
        for name, options in CASES.items()
    )
    missing = "check_network_connections_by_nrpe!no_such_command"
    services += SERVICE.format(host="web1", name="missing", command=missing)
    files = {"nrpe.d/network-connections.cfg": nrpe.CONFIGURATION.read_text(encoding="utf-8")}
    with contextlib.ExitStack() as stack:
        for port, host in ((7001, "127.0.0.1"), (7001, "127.0.0.2"), (7003, "::1")):
            stack.enter_context(sockets.listener(hosts.a, port, host))
        stack.enter_context(
            sockets.udp(hosts.a, [f"127.1.{i // 200}.{i % 200}" for i in range(900)])
        )
        stack.enter_context(sockets.established(hosts.b, hosts.a, hosts.a4, 8080, 5, closed=True))
        stack.enter_context(nrpe.serving(hosts, plugins["native"], files))
        path = stack.enter_context(daemons.directory())
        main = configured(path, hosts, plugins["wheel"], services)
        log = path / "var" / "nagios.log"
        owned(path / "var")
        line = [*BECOME, DAEMON, str(main)]
        daemon = stack.enter_context(daemons.running(hosts.a, line, path / "output"))

        def ask() -> Status | None:
            found = parsed(path / "var" / "status.dat")
            checked = [entry["has_been_checked"] for entry in found.values()]
            return found if checked and set(checked) == {"1"} else None

        yield daemons.wait_for(ask, "all services to be checked", daemon=daemon, log=log)


def parsed(path: Path) -> Status:
    if not path.exists():
        return {}
    blocks = re.findall(r"^servicestatus \{\n(.*?)\n\t\}", path.read_text("utf-8"), re.M | re.S)
    entries = [dict(line.strip().split("=", 1) for line in block.split("\n")) for block in blocks]
    return {(entry["host_name"], entry["service_description"]): entry for entry in entries}


def of(status: Status, name: str, host: str = "server") -> tuple[int, str, str, str]:
    entry = status[host, name]
    output = (entry["plugin_output"], entry["long_plugin_output"], entry["performance_data"])
    return (int(entry["current_state"]), *output)


PERFDATA = "'tcp_LISTEN'=2 'tcp6_LISTEN'=1"


@pytest.mark.parametrize(
    ("name", "state", "output", "perfdata"),
    [
        ("ok", 0, "tcp LISTEN: 2, tcp6 LISTEN: 1", PERFDATA),
        ("warning", 1, "tcp LISTEN: 2 [WARNING], tcp6 LISTEN: 1", PERFDATA),
        (
            "critical",
            2,
            "total: 3 [CRITICAL], tcp LISTEN: 2 [CRITICAL], tcp6 LISTEN: 1 [WARNING]",
            f"'total'=3 {PERFDATA}",
        ),
        ("unknown", 3, f'Range format incorrect: --warning "many" {harness.RANGES}', ""),
        (
            "nothing",
            1,
            "No connections at port 9 found. [WARNING]",
            "",
        ),
        (
            "usage",
            3,
            '--conn-type: invalid value "sctp" (choose from all, tcp, tcp6, udp, udp6, unix)',
            "",
        ),
    ],
)
def test_states(status: Status, name: str, state: int, output: str, perfdata: str) -> None:
    assert of(status, name) == (state, output, "", perfdata)


def test_lengthy_output(status: Status) -> None:
    state, output, rest, perfdata = of(status, "lengthy")
    assert (state, output, perfdata) == (1, "tcp LISTEN: 2 [WARNING], tcp6 LISTEN: 1", PERFDATA)
    lines = rest.split("\\n")
    assert "tcp LISTEN, by owner:" in lines
    assert any("(other users' processes)" in line for line in lines)


def test_a_long_output_is_whole_or_cut(status: Status) -> None:
    state, output, _, perfdata = of(status, "many")
    assert state == 0
    if len(output) == 8192:
        # Nagios, when it is busy, has read no more (its issues 400 and 625).
        assert perfdata == ""
    else:
        assert output.count(": 1") == 900
        assert perfdata == "'groups'=900 'largest'=1 'total'=900"


def test_the_shipped_services(status: Status) -> None:
    shipped = {key: of(status, key[1], key[0]) for key in status if "network" in key[1]}
    for host in ("server", "web1"):
        state, output, _, perfdata = shipped.pop((host, "network-connections-exhaustion"))
        # A namespace does not show the limits of the host. Processes of other tests fill theirs.
        assert state == 3 or " [WARNING], " in output or " [CRITICAL], " in output
        assert " not seen: tcp-memory, udp-memory, orphans " in output
        assert "'accept-queue'=0%;70;100;0;100 'syn-queue'=0%;70;90;0;100 " in perfdata
    assert {key: found[0] for key, found in shipped.items()} == {
        (host, f"network-connections{name}"): state
        for host in ("server", "web1")
        for name, state in (
            ("", 0),
            ("-close-wait", 0),
            # The address of the example leads nowhere.
            ("-database", 3),
            # Nothing listens there.
            ("-https", 2),
        )
    }
    for host in ("server", "web1"):
        database = shipped[host, "network-connections-database"]
        assert database[1] == "No destinations to 192.0.2.20 port 5432 found. [UNKNOWN]"
    assert shipped["server", "network-connections-https"][1:] == (
        'total: 0 [CRITICAL], No connections in status "listen" at port 443 found.',
        "",
        "'total'=0",
    )


def test_over_nrpe_it_is_the_other_host(status: Status) -> None:
    _, output, rest, perfdata = of(status, "network-connections", "web1")
    assert "by owner:" in rest
    (number,) = re.findall(r"'tcp_CLOSE_WAIT'=(\d+)", perfdata)
    # For a moment there is one of NRPE's own for each of the other checks.
    assert 5 <= int(number) <= 7
    assert f"tcp CLOSE WAIT: {number}" in output
    _, output, _, perfdata = of(status, "network-connections-close-wait", "web1")
    assert 5 <= int(perfdata.rpartition("=")[2]) <= 7
    assert perfdata.startswith("'groups'=")


def test_a_command_that_nrpe_does_not_know(status: Status) -> None:
    state, output, *_ = of(status, "missing", "web1")
    assert (state, output) == (3, "NRPE: Command 'no_such_command' not defined")
