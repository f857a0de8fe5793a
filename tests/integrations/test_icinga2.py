"""Icinga 2 reads the configuration, executes the check and has its result."""

from __future__ import annotations

import itertools
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import harness
import page
import pytest
from lab import servers
from lab.namespaces import Pair
from network_connections import _core

from integrations import daemons, icinga, sockets
from integrations.daemons import INTEGRATIONS
from integrations.icinga import CONFIGURATION, PROGRAMS, Fleet, Node, Result
from integrations.options import complete
from integrations.where import Row

WHERE = [
    Row(
        "Icinga 2",
        lambda: daemons.version_of("icinga2-bin"),
        "the configuration validates; states, output and performance data by the REST API; options "
        "arrive as set; variables of a wrong kind; the example apply rules; an agent executes the "
        "check on its host and the master has the result",
    )
]

COMMAND = f"{daemons.PLUGINS}/{daemons.CHECK}"
# What the daemons listen on, on both hosts.
ICINGA = 5665

numbers = itertools.count()


@pytest.fixture(scope="module")
def fleet(hosts: Pair, plugins: dict[str, Path]) -> Iterator[Fleet]:
    """Return a master and an agent; on the master's host 3 sockets listen, on the agent's one."""
    daemons.require(*PROGRAMS, "/usr/bin/sudo")
    with ExitStack() as stack:
        made = stack.enter_context(icinga.fleet(hosts, plugins))
        stack.enter_context(sockets.listener(hosts.a, 7001))
        stack.enter_context(sockets.listener(hosts.a, 7001, "::1"))
        stack.enter_context(sockets.listener(hosts.a, 7003))
        stack.enter_context(sockets.listener(hosts.b, 7001))
        yield made


def check(node: Node, host: str = "master", /, **options: object) -> Result:
    """Have a new service of a host checked there, with a variable for each of the `options`."""
    service = f"{host}!test-{next(numbers)}"
    attributes: dict[str, object] = {"command_endpoint": host} if host == "agent" else {}
    variables = {f"network_connections_{name}": value for name, value in options.items()}
    node.add(service, vars=variables, **attributes)
    # What a master finds wrong is its result at first, and then the agent's.
    return node.check(service, source="agent" if host == "agent" else "master")


def arguments(result: Result) -> list[str]:
    """Return the options of an executed command, each with its value.

    Icinga sorts more than a few of them as it likes, but for what has an order of its own.
    """
    assert result.command[:2] == [COMMAND, "--strict"]
    return sorted(re.split(" (?=--)", " ".join(result.command[1:])))


# The configuration.


Validate = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def validate(hosts: Pair, plugins: dict[str, Path]) -> Iterator[Validate]:
    """Return what has a daemon validate the configuration with more services in it."""
    daemons.require(*PROGRAMS)

    def run(services: str) -> subprocess.CompletedProcess[str]:
        command = (CONFIGURATION / "network-connections.conf").read_text(encoding="utf-8")
        examples = (CONFIGURATION / "examples.conf").read_text(encoding="utf-8")
        files = {
            "etc/zones.d/global-templates/network-connections.conf": command,
            "etc/zones.d/master/all.conf": icinga.HOSTS + examples + services,
        }
        icinga.prepare(path / "master", "master", files)
        shown = icinga.shown(path / "master", plugins["native"])
        start = "/usr/lib/icinga2/prepare-dirs /usr/lib/icinga2/icinga2 && exec icinga2 daemon -C"
        line = daemons.within(hosts.a, daemons.private(["sh", "-c", start], shown))
        return subprocess.run(line, capture_output=True, text=True, check=False, cwd="/")

    with daemons.directory() as path:
        icinga.prepare(path / "master", "master", {})
        icinga.certify([path / "master"])
        yield run


def test_the_configuration_validates(validate: Validate) -> None:
    done = validate("")
    assert done.returncode == 0, done.stdout
    assert "Instantiated 13 Services." in done.stdout
    assert "warning" not in done.stdout.replace("/warning", "")


def test_the_configuration_for_windows_validates(validate: Validate) -> None:
    """With a host of its own; Windows itself was not there."""
    host = """
object Host "windows" {
  check_command = "dummy"
  vars.network_connections_windows = true
}
"""
    text = (INTEGRATIONS / "windows" / "icinga2.conf").read_text(encoding="utf-8")
    done = validate(text + host)
    assert done.returncode == 0, done.stdout
    assert "Instantiated 15 Services." in done.stdout
    assert "warning" not in done.stdout.replace("/warning", "")


def test_what_is_no_configuration_is_refused(validate: Validate) -> None:
    done = validate(
        'object Service "x" { host_name = "master"; check_command = "network-connection" }'
    )
    assert done.returncode == 1
    assert "network-connection' of type 'CheckCommand' does not exist" in done.stdout


def test_every_option_is_there(fleet: Fleet) -> None:
    attributes = fleet.master.attributes("checkcommands", "network-connections")
    assert attributes
    assert attributes["command"] == [COMMAND]
    arguments = attributes["arguments"]
    options = [option for option in _core.options() if not option["hidden"]]
    table = {option["names"][-1]: option for option in options if not option["for_people"]}
    assert arguments.keys() == table.keys()
    # Whoever sets it would get the state 0 for ever.
    assert "--list" not in arguments
    for long, argument in arguments.items():
        assert argument["description"].startswith(table[long]["help"])
    strict = arguments["--strict"]
    assert strict["order"] == -1
    # A function.
    assert "value" not in strict
    assert not isinstance(strict["set_if"], str)


# What the daemon executes, and what comes back.


@pytest.mark.parametrize(
    ("options", "state", "output", "perfdata"),
    [
        ({}, 0, "tcp LISTEN: 2, tcp6 LISTEN: 1", ["tcp_LISTEN=2", "tcp6_LISTEN=1"]),
        (
            {"warning": 1},
            1,
            "tcp LISTEN: 2 [WARNING], tcp6 LISTEN: 1",
            ["tcp_LISTEN=2", "tcp6_LISTEN=1"],
        ),
        (
            {"warning": "0", "critical": "1,total=2"},
            2,
            "total: 3 [CRITICAL], tcp LISTEN: 2 [CRITICAL], tcp6 LISTEN: 1 [WARNING]",
            ["total=3", "tcp_LISTEN=2", "tcp6_LISTEN=1"],
        ),
        (
            {"warning": "many"},
            3,
            f'Range format incorrect: --warning "many" {harness.RANGES}',
            [],
        ),
        (
            {"local_port": 7009, "no_match_severity": "unknown"},
            3,
            'No connections in status "listen" at port 7009 found. [UNKNOWN]',
            [],
        ),
    ],
    ids=["ok", "warning", "critical", "unknown", "nothing"],
)
def test_states(
    fleet: Fleet, options: dict[str, object], state: int, output: str, perfdata: list[str]
) -> None:
    selection = {"conn_status": "listen", "local_port": ["7001", "7003-7009"]}
    result = check(fleet.master, **{**selection, **options})
    assert (result.state, result.output, result.perfdata) == (state, output, perfdata)
    assert result.source == "master"


def test_options_arrive_as_set(fleet: Fleet) -> None:
    values: dict[str, object] = {
        "always_ok": True,
        "conn_status": ["listen", "close_wait"],
        "conn_type": "tcp",
        "critical": "~:9999999",
        "format": "plugin",
        "group_by": "status",
        "lengthy": False,
        "local_address": ["127.0.0.1", "::1", "192.0.2.0/24"],
        "local_port": [7001, "7003-7009"],
        "measure": "connections",
        "name": 'web "1"',
        "netns": ["/proc/self/ns/net", "/proc/thread-self/ns/net"],
        "no_match_severity": "crit",
        "no_perfdata": 1,
        "remote_address": "0.0.0.0/8",
        "remote_port": 0,
        "source": "netlink",
        "timeout": 2.5,
        "top": 3,
        "warning": "@10:20",
        "zero": "true",
    }
    every = complete(values)
    # That one is always there.
    del every["strict"]
    line = "--strict"
    for name, value in every.items():
        long = f"--{name.replace('_', '-')}"
        for word in value if isinstance(value, list) else [value]:
            if word in (True, "true"):
                line += f" {long}"
            elif word is not False:
                line += f" {long} {f'{word:.6f}' if isinstance(word, float) else word}"
    result = check(fleet.master, **every)
    assert arguments(result) == sorted(re.split(" (?=--)", line))
    assert result.state == 0


def test_without_variables_nothing_is_added(fleet: Fleet) -> None:
    result = check(fleet.master)
    assert result.command == [COMMAND, "--strict"]
    assert result.state == 0
    assert check(fleet.master, conn_type=[], zero=False).command == [COMMAND, "--strict"]


def test_variables_of_the_host_count(fleet: Fleet) -> None:
    host = {"check_command": "dummy", "vars": {"network_connections_conn_type": ["udp", "udp6"]}}
    assert fleet.master.ask("PUT", "/v1/objects/hosts/other", {"attrs": host})
    command = check(fleet.master, "other").command
    assert command == [COMMAND, "--strict", "--conn-type", "udp", "--conn-type", "udp6"]
    # The service's own come first.
    command = check(fleet.master, "other", conn_type="tcp").command
    assert command == [COMMAND, "--strict", "--conn-type", "tcp"]


def test_lengthy_output_is_whole(fleet: Fleet) -> None:
    result = check(fleet.master, conn_status="listen", local_port=7001, warning=0, lengthy=True)
    assert result.first == "tcp LISTEN: 1 [WARNING], tcp6 LISTEN: 1 [WARNING]"
    assert "tcp6 LISTEN, by owner:\n" in result.output
    assert "(other users' processes)" in result.output
    assert result.perfdata == ["tcp_LISTEN=1", "tcp6_LISTEN=1"]


# Bad input.

WRONG = [
    ("warning", ["5", "10"], 'a string or a number, not ["5","10"]'),
    ("warning", [], "a string or a number, not []"),
    ("critical", {"tcp": 5}, 'a string or a number, not {"tcp":5}'),
    ("timeout", True, "a string or a number, not true"),
    ("conn_type", {"tcp": True}, 'an array, a string or a number, not {"tcp":true}'),
    ("conn_type", ["tcp", ["udp"]], 'an array, a string or a number, not ["tcp",["udp"]]'),
    ("conn_status", True, "an array, a string or a number, not true"),
    ("zero", "yes", 'true or false, not "yes"'),
    ("no_perfdata", ["true"], 'true or false, not ["true"]'),
    ("lengthy", 2, "true or false, not 2"),
]


@pytest.mark.parametrize("host", ["master", "agent"])
@pytest.mark.parametrize(("name", "value", "problem"), WRONG)
def test_variables_of_a_wrong_kind(
    fleet: Fleet, host: str, name: str, value: object, problem: str
) -> None:
    result = check(fleet.master, host, **{name: value})
    assert result.state == 3
    assert result.first == f"Error: network_connections_{name} must be {problem}"


@pytest.mark.parametrize("host", ["master", "agent"])
def test_variables_that_are_of_no_option(fleet: Fleet, host: str) -> None:
    result = check(fleet.master, host, warn=5)
    assert result.state == 3
    problem = "Error: network_connections_warn is not the variable of any option (there are: "
    assert result.first.startswith(f"{problem}network_connections_always_ok, ")
    assert result.first.endswith(", network_connections_zero)")


def test_wrong_variables_of_the_host(fleet: Fleet) -> None:
    variables = {
        # A host may have others, for its apply rules.
        "network_connections_peers": {"x": 1},
        "network_connections_top": {"x": 1},
    }
    attributes = {"check_command": "dummy", "vars": variables}
    assert fleet.master.ask("PUT", "/v1/objects/hosts/wrong", {"attrs": attributes})
    result = check(fleet.master, "wrong")
    assert result.state == 3
    assert result.first.startswith("Error: network_connections_top must be a string or a number")


@pytest.mark.parametrize("host", ["master", "agent"])
@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"conn_type": ["tcp", "sctp"]}, '--conn-type: invalid value "sctp"'),
        ({"top": "few"}, '--top: "few" is not a whole number'),
        ({"local_port": "https"}, '--local-port: "https"'),
        ({"group_by": "process", "zero": True}, "--zero: "),
    ],
)
def test_wrong_values(fleet: Fleet, host: str, options: dict[str, object], cause: str) -> None:
    result = check(fleet.master, host, **options)
    assert result.state == 3
    assert any(line.startswith(cause) for line in result.output.split("\n"))
    assert result.perfdata == []


@pytest.mark.parametrize("host", ["master", "agent"])
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"warning": ""}, "network_connections_warning is empty, or refers to a variable"),
        ({"critical": "$nothing$"}, "network_connections_critical is empty, or refers to a var"),
        ({"critical": "$address$"}, "network_connections_critical is empty, or refers to a var"),
        ({"conn_type": ["tcp", ""]}, "network_connections_conn_type is empty, or refers to a var"),
        ({"warning": "5,total=$nothing$"}, "Non-optional macro 'nothing' used in argument '--war"),
        ({"local_port": ["$nothing$", 7001]}, "Non-optional macro 'nothing' used in argument '--"),
    ],
)
def test_what_has_no_value_is_not_left_out(
    fleet: Fleet, host: str, options: dict[str, object], problem: str
) -> None:
    """Icinga itself leaves it out, so that an alarm would never come."""
    result = check(fleet.master, host, **options)
    assert result.state == 3
    # An agent makes the macro an empty text, which the command refuses.
    refused = ('--warning: "total" has no range', '--local-port: "" is no port')
    assert result.first.startswith((f"Error: {problem}", *refused))


@pytest.mark.parametrize("host", ["master", "agent"])
def test_what_is_set_by_another_variable_and_what_is_taken_back(fleet: Fleet, host: str) -> None:
    result = check(fleet.master, host, name="on $host.name$ for 5$$", warning="@$service.state_id$")
    assert result.command[1:] == ["--strict", "--name", f"on {host} for 5$", "--warning", "@3"]
    # As a service takes back what its template has set.
    for name in ("warning", "critical", "top", "conn_type", "netns", "lengthy"):
        result = check(fleet.master, host, **{name: None})
        assert (result.command, result.state) == ([COMMAND, "--strict"], 0)
    result = check(fleet.master, host, warning=" ")
    assert result.state == 3
    assert result.first.startswith("--warning: an empty range never alerts")


def test_the_cause_is_the_first_line(fleet: Fleet) -> None:
    result = check(fleet.master, conn_type="sctp")
    assert result.first.startswith('--conn-type: invalid value "sctp"')


def test_the_command_is_missing(fleet: Fleet, plugins: dict[str, Path]) -> None:
    command = plugins["wheel"] / daemons.CHECK
    target = command.readlink() if hasattr(command, "readlink") else Path()
    command.unlink()
    try:
        result = check(fleet.master)
    finally:
        command.symlink_to(target)
    assert result.state == 3
    assert result.first == f"execvpe({COMMAND}) failed: No such file or directory"


# The examples.


def test_hosts_get_the_services_of_their_rules(fleet: Fleet) -> None:
    services = fleet.master.ask("GET", "/v1/objects/services?attrs=name")["results"]
    assert {service["name"] for service in services if "!test-" not in service["name"]} == {
        "agent!network-connections",
        "agent!network-connections-close-wait",
        "agent!network-connections-exhaustion",
        "master!network-connections",
        "master!network-connections-close-wait",
        "master!network-connections-containers",
        "master!network-connections-exhaustion",
        "master!network-connections-listen-gone",
        "master!network-connections-listen-here",
        "master!network-connections-listeners",
        "master!network-connections-peer-database",
        "master!network-connections-peer-idle",
        # One for every host.
        "plain!network-connections-exhaustion",
    }


@pytest.mark.parametrize("host", ["master", "agent"])
def test_overall(fleet: Fleet, host: str) -> None:
    result = fleet.master.check(f"{host}!network-connections")
    assert (result.state, result.source) == (0, host)
    total, *groups = result.perfdata
    numbers = [int(group.split("=")[1]) for group in groups]
    assert total == f"total={sum(numbers)}"
    assert any(group.startswith("tcp_LISTEN=") for group in groups)


def test_a_vanished_listener(fleet: Fleet) -> None:
    result = fleet.master.check("master!network-connections-listen-here")
    assert (result.state, result.output) == (0, "total: 2, tcp LISTEN: 1, tcp6 LISTEN: 1")
    assert result.perfdata == ["total=2", "tcp_LISTEN=1", "tcp6_LISTEN=1"]
    result = fleet.master.check("master!network-connections-listen-gone")
    nobody = 'total: 0 [CRITICAL], No connections in status "listen" at port 7002 found.'
    expected = (2, nobody, ["total=0"])
    assert (result.state, result.output, result.perfdata) == expected


def test_a_list_of_listeners_that_are_expected(fleet: Fleet) -> None:
    hosts, service = fleet.hosts, "master!network-connections-listeners"
    with sockets.listener(hosts.a, 9443, hosts.a4):
        result = fleet.master.check(service)
        assert (result.state, "not expected" in result.output) == (0, False), result.output
        limits = "0,5665=0:,9443=1:,10.0.0.0/8:5432=0:"
        expected = {f"--critical {limits}", "--local-address !127.0.0.0/8", "--local-address !::1"}
        assert expected <= {*arguments(result)}
        with sockets.listener(hosts.a, 6379, hosts.a4):
            result = fleet.master.check(service)
    assert result.state == 2
    assert f"{hosts.a4}:6379: 1 (not expected) [CRITICAL]" in result.first
    # The table says who listens there.
    assert "python" in result.output or "(other users' processes)" in result.output
    result = fleet.master.check(service)
    assert (result.state, "9443: 0 [CRITICAL]" in result.first) == (2, True), result.output


def test_a_leak_by_unit(fleet: Fleet) -> None:
    hosts = fleet.hosts
    service = "agent!network-connections-close-wait"
    result = fleet.master.check(service)
    assert (result.state, result.perfdata) == (0, ["groups=0", "largest=0", "total=0"])
    with sockets.leaking(hosts.b, hosts.a, hosts.a4, 7080, 60):
        result = fleet.master.check(service)
    assert result.source == "agent"
    assert result.command[:2] == [COMMAND, "--strict"]
    assert result.state == 1
    assert result.first.endswith(": 60 [WARNING]")
    assert hosts.a4 in result.output
    assert result.perfdata == ["groups=1", "largest=60", "total=60"]


# A node as Debian installs it, and what the documentation has of one.

SINGLE = page.section("A single server")
# Reads the results: a single server itself needs no API. The daemons of the fleet would share its
# port.
API = """
object ApiListener "api" { bind_port = 5675 }
object ApiUser "test" { password = "test"; permissions = [ "*" ] }
"""
# With the places of the package and of Icinga in a mount namespace, as the page says it.
COPY = """
set -e
mkdir -p /usr/share/network-connections
mount -t tmpfs tmpfs /usr/share/network-connections
cp -r "$INTEGRATIONS/icinga2" /usr/share/network-connections/
"""


@pytest.fixture
def single(hosts: Pair, plugins: dict[str, Path]) -> Iterator[Callable[[str], list[str]]]:
    """Return what makes the command line that runs a script where Debian's node has its files."""
    daemons.require(*PROGRAMS)
    with daemons.directory() as path:
        directory = path / "single"
        shutil.copytree("/etc/icinga2", directory / "etc")
        for place in ("lib/certs", "log", "cache", "spool", "sudoers"):
            (directory / place).mkdir(parents=True)
        copy, check_it = page.blocks(SINGLE, "sh")
        assert check_it == "icinga2 daemon -C && systemctl reload icinga2\n"
        shown = icinga.shown(directory, plugins["native"])

        def line(script: str) -> list[str]:
            return daemons.within(hosts.a, daemons.private(["sh", "-c", script], shown))

        environment = {"INTEGRATIONS": str(INTEGRATIONS), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        subprocess.run(line(COPY + copy), check=True, env=environment, cwd="/")
        configuration = directory / "etc/conf.d/hosts.conf"
        text = configuration.read_text(encoding="utf-8")
        opening = "object Host NodeName {\n"
        assert opening in text
        (lines,) = page.blocks(SINGLE, "icinga2")
        configuration.write_text(text.replace(opening, opening + lines), encoding="utf-8")
        icinga.certify([directory])
        daemons.owned(directory)
        shutil.chown(directory / "sudoers", "root", "root")
        yield line


START = "/usr/lib/icinga2/prepare-dirs /usr/lib/icinga2/icinga2 && exec icinga2 daemon"


def test_a_single_server_validates(single: Callable[[str], list[str]]) -> None:
    line = single(f"{START} -C")
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stdout
    assert "Finished validating the configuration file(s)." in done.stdout
    assert "critical/" not in done.stdout
    assert "warning/" not in done.stdout


def test_a_single_server_checks_itself(hosts: Pair, single: Callable[[str], list[str]]) -> None:
    line = single(f"{START} -D NodeName=single")
    (directory,) = (Path(word) for word in line if word.endswith("/single/etc"))
    directory = directory.parent
    (directory / "etc/features-enabled/api.conf").write_text(API, encoding="utf-8")
    log = directory / "output"
    with sockets.listener(hosts.a, 22), daemons.running(hosts.a, line, log) as daemon:
        node = Node("single", hosts.a, directory, 5675)
        daemons.wait_for(
            lambda: node.attributes("zones", "single"), "the API", daemon=daemon, log=log
        )
        services = node.ask("GET", "/v1/objects/services?attrs=name")["results"]
        assert {one["name"] for one in services if "!network-" in one["name"]} == {
            "single!network-connections",
            "single!network-connections-close-wait",
            "single!network-connections-containers",
            "single!network-connections-exhaustion",
            "single!network-connections-listen-ssh",
            "single!network-connections-listeners",
            "single!network-connections-peer-database",
        }
        assert {
            f"single!network-connections{end}" for end in re.findall("`(-[a-z-]+)`", SINGLE)
        } == {one["name"] for one in services if "!network-connections-" in one["name"]}
        listeners = node.check("single!network-connections-listen-ssh")
        assert (listeners.state, listeners.output) == (0, "total: 1, tcp LISTEN: 1")
        # The address of the page leads nowhere.
        for name, state in (
            ("", 0),
            ("-close-wait", 0),
            ("-peer-database", 3),
        ):
            result = node.check(f"single!network-connections{name}")
            assert (result.state, result.source) == (state, "single"), result
            assert result.command[:2] == [COMMAND, "--strict"]
        result = node.check("single!network-connections-exhaustion")
        assert sorted(result.command[1:]) == ["--lengthy", "--measure", "--strict", "exhaustion"]
        # A namespace does not show the limits of the host.
        assert "; not seen: tcp-memory, udp-memory, orphans " in result.first
        assert result.source == "single"


def test_containers_are_looked_into(fleet: Fleet) -> None:
    service = "master!network-connections-containers"
    fleet.master.change(service, {"vars.network_connections_timeout": 50})
    with sockets.leaking(fleet.hosts.b, fleet.hosts.a, fleet.hosts.a4, 7080, 60):
        result = fleet.master.check(service)
    assert result.state == 1
    # The label is a process: the agent cannot reach the mounts, which only process 1 sees.
    unseen = r"; up to \d+ network namespaces? not seen.*"
    assert re.fullmatch(rf"\S+: 60 \[WARNING\](, \S+: \d+)*({unseen})?", result.first)


@pytest.mark.parametrize(
    ("peer", "port", "state", "mark"),
    [("database", 5432, 3, " [UNKNOWN]"), ("idle", 5433, 0, "")],
)
def test_a_peer_without_a_connection(
    fleet: Fleet, peer: str, port: int, state: int, mark: str
) -> None:
    result = fleet.master.check(f"master!network-connections-peer-{peer}")
    message = f"No destinations to 127.0.0.1 port {port} found.{mark}"
    assert (result.state, result.first) == (state, message)


def test_exhaustion_towards_a_peer(fleet: Fleet) -> None:
    ns = fleet.hosts.a
    service = "master!network-connections-peer-database"
    servers.ports(ns, 40000, 40099)
    try:
        for number, state, mark in ((8, 0, ""), (71, 1, " [WARNING]"), (91, 2, " [CRITICAL]")):
            with servers.sockets() as held:
                held.listen(ns, "127.0.0.1", 5432, 100)
                for _ in range(number):
                    held.connect(ns, ("127.0.0.1", 5432))
                result = fleet.master.check(service)
            first = f"127.0.0.1:5432: {number}% ({number} of 100){mark}"
            assert (result.state, result.first) == (state, first)
            assert f"\n{number} " in result.output
            assert " ! ESTABLISHED" in result.output
            assert result.perfdata == [f"fullest={number}%;70;90;0;100", "destinations=1"]
    finally:
        servers.ports(ns, 32768, 60999)


# Everything that runs out.

# The processes of other tests fill their tables of files on purpose, and a namespace does not show
# the limits of the host.
QUIET = "open-files=~:,host-limits=~:"


@pytest.fixture
def exhaustion(fleet: Fleet, request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the service of a host that watches what runs out, without what is the host's."""
    service = f"{request.param}!network-connections-exhaustion"
    for name in ("warning", "critical"):
        fleet.master.change(service, {f"vars.network_connections_{name}": QUIET})
    yield service
    for name in ("warning", "critical"):
        fleet.master.change(service, {f"vars.network_connections_{name}": None})


EVERYWHERE = pytest.mark.parametrize("exhaustion", ["master", "agent"], indirect=True)
ON_THE_AGENT = pytest.mark.parametrize("exhaustion", ["agent"], indirect=True)
SERIES = [
    *("open-files", "accept-queue", "syn-queue", "receive-buffer", "ephemeral-ports"),
    *("time-wait", "conntrack", "files"),
    *(f"stuck {kind}" for kind in ("half-closed", "unread", "silent-peer", "peer-not-reading")),
]


def series(result: Result) -> dict[str, str]:
    """Return the performance data by name."""
    found = (entry.rpartition("=") for entry in result.perfdata)
    return {name.strip("'"): values for name, _, values in found}


@EVERYWHERE
def test_nothing_runs_out(fleet: Fleet, exhaustion: str) -> None:
    result = fleet.master.check(exhaustion)
    assert (result.state, result.source) == (0, exhaustion.partition("!")[0])
    assert " runs out: open-files at most " in result.first
    assert [name for name in SERIES if name in series(result)] == [*series(result)]
    assert series(result)["accept-queue"] == "0%;70;100;0;100"


@EVERYWHERE
def test_a_queue_that_nobody_empties(fleet: Fleet, exhaustion: str) -> None:
    hosts = fleet.hosts
    here, there = (hosts.a, hosts.b) if exhaustion.startswith("master") else (hosts.b, hosts.a)
    address = hosts.a4 if here == hosts.a else hosts.b4
    with servers.sockets() as held:
        held.listen(here, address, 7085, 5)
        assert fleet.master.check(exhaustion).state == 0
        for number, state, shown in (
            (4, 1, "80% (4 of 5) [WARNING]"),
            (2, 2, "120% (6 of 5) [CRITICAL]"),
            (1, 2, "120% (6 of 5, 1 dropped) [CRITICAL]"),
        ):
            held.crowd(there, here, (address, 7085), number)
            result = fleet.master.check(exhaustion)
            assert result.state == state
            assert result.first.startswith(f"accept-queue {address}:7085: {shown}, ")
        assert re.search(rf"^{address}:7085 .* ! 6 +! 5 +! 1$", result.output, re.M)
        assert "\nWhat to do: docs/exhaustion.md#accept-queue" in result.output
        assert series(result)["accept-queue"] == "120%;70;100;0;100"
    assert fleet.master.check(exhaustion).state == 0


@ON_THE_AGENT
def test_several_at_once(fleet: Fleet, exhaustion: str) -> None:
    hosts = fleet.hosts
    # A connection stays in SYN_RECV until its client sends data.
    defer = (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 600)
    with servers.sockets() as held:
        held.listen(hosts.b, hosts.b4, 7086, 16, options=[defer])
        for _ in range(12):
            held.connect(hosts.a, (hosts.b4, 7086))
        held.bind(hosts.b, hosts.b4, 7087, 8192)
        client = held.make(hosts.a, hosts.b4, kind=socket.SOCK_DGRAM)
        for _ in range(20):
            client.sendto(bytes(1000), (hosts.b4, 7087))
        result = fleet.master.check(exhaustion)
    assert (result.state, result.source) == (2, "agent")
    assert re.match(rf"receive-buffer {hosts.b4}:7087: .* dropped\) \[CRITICAL\], ", result.first)
    assert f", syn-queue {hosts.b4}:7086: 75% (12 of 16) [WARNING], " in result.first
    for measure in ("syn-queue", "receive-buffer"):
        assert f"\nWhat to do: docs/exhaustion.md#{measure}" in result.output


# The agent.


def test_the_agent_executes_and_the_master_has_the_result(fleet: Fleet) -> None:
    selection = {"conn_status": "listen", "local_port": ["7001", "7003-7009"]}
    ours = check(fleet.master, **selection)
    result = check(fleet.master, "agent", **selection, warning="~:0")
    # Other sockets than on the master's host.
    assert ours.output == "tcp LISTEN: 2, tcp6 LISTEN: 1"
    assert (result.state, result.output) == (1, "tcp LISTEN: 1 [WARNING]")
    assert result.perfdata == ["tcp_LISTEN=1"]
    assert result.source == "agent"
    line = "--strict --conn-status listen --local-port 7001 --local-port 7003-7009 --warning ~:0"
    assert result.command == [COMMAND, *line.split()]
    # The agent has the command from the master, and no service of its own.
    assert fleet.agent.attributes("checkcommands", "network-connections-sudo")
    assert fleet.agent.ask("GET", "/v1/objects/services")["results"] == []


def test_what_reaches_the_agent_is_sent_as_set(fleet: Fleet) -> None:
    options = {"always_ok": True, "zero": True, "conn_type": ["tcp", "udp"], "top": 1}
    result = check(fleet.master, "agent", **options, critical="~:0")
    line = "--strict --always-ok --conn-type tcp --conn-type udp --critical ~:0 --top 1 --zero"
    assert arguments(result) == sorted(re.split(" (?=--)", line))
    assert result.state == 0
    assert "[CRITICAL]" in result.output
    assert "(always ok)" in result.output
    assert "udp_NONE=0" in result.perfdata


def test_every_check_of_the_daemons_port_is_the_same(fleet: Fleet) -> None:
    for host in ("master", "agent"):
        result = check(
            fleet.master, host, local_port=ICINGA, conn_status="listen", group_by="status"
        )
        assert (result.state, result.output) == (0, "LISTEN: 1")


def test_an_ordinary_check_leaves_no_warning_in_the_log(fleet: Fleet) -> None:
    logs = [node.directory / "output" for node in (fleet.master, fleet.agent)]
    before = [log.stat().st_size for log in logs]
    for host in ("master", "agent"):
        check(fleet.master, host, conn_type=["tcp"], warning=5000, zero=True)
    for log, size in zip(logs, before):
        assert b"warning/" not in log.read_bytes()[size:]
