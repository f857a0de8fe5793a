"""A real Icinga Director takes the basket, and what is set in it reaches the command line."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from network_connections import _core

from integrations import director
from integrations.director import CHECK, PLUGINS, Director
from integrations.options import complete
from integrations.where import Row

WHERE = [
    Row(
        "Icinga Director",
        lambda: director.version("icingaweb2-module-director"),
        "`basket restore`, after the reference's objects too; services made by `icingacli`, "
        "deployed to a running Icinga 2: states, performance data, every option on the command "
        "line",
    )
]

COMMAND, TEMPLATE = f"cmd-check-{CHECK}", f"tpl-service-{CHECK}"
# The options that the reference's basket has.
KNOWN = ("--conn-status", "--conn-type", "--critical", "--warning")
# The values of a service: each option once, several values where it takes them.
VALUES = complete(
    {
        "always_ok": True,
        "conn_status": ["listen", "close_wait"],
        "conn_type": ["tcp", "tcp6"],
        "critical": "~:5000,CLOSE_WAIT=100",
        "format": "json",
        "group_by": "local-port",
        "lengthy": True,
        "local_address": ["0.0.0.0/0", "::/0"],
        "local_port": ["1-1023", "8000-8099"],
        "measure": "connections",
        "name": 'it\'s "one" $$name$$',
        "netns": ["/proc/self/ns/net"],
        "no_match_severity": "warn",
        "no_perfdata": True,
        "remote_address": ["192.0.2.0/24", "2001:db8::/32"],
        "remote_port": ["443", "5432"],
        "source": "procfs",
        "strict": True,
        "timeout": "5",
        "top": "3",
        "warning": "@10:20",
        "zero": True,
    }
)


def basket() -> dict[str, Any]:
    """Return the basket as a Director of the version that Debian has takes it."""
    return director.without_uuids(json.loads(director.BASKET.read_text(encoding="utf-8")))


def reference() -> dict[str, Any]:
    """Return a basket with the objects, names and types of the reference's, and no others."""
    made = copy.deepcopy(basket())
    for kind, name in (("Command", COMMAND), ("ServiceTemplate", TEMPLATE)):
        del made[kind][f"{name}-sudo"]
    del made["ServiceTemplate"][f"{TEMPLATE}-exhaustion"]
    kept = {}
    for command in made["Command"].values():
        arguments = command["arguments"]
        names = [argument.get("value") for long, argument in arguments.items() if long in KNOWN]
        command["arguments"] = {long: arguments[long] for long in KNOWN if long in arguments}
        for field in list(command["fields"]):
            number = str(field["datafield_id"])
            if f"${made['Datafield'][number]['varname']}$" in names:
                kept[number] = {**made["Datafield"][number], "description": "As it was."}
            else:
                command["fields"].remove(field)
    made["Datafield"] = kept
    made["DataList"] = {name: entry for name, entry in made["DataList"].items() if "_conn_" in name}
    return made


@pytest.fixture(scope="module")
def site() -> Iterator[Director]:
    """Return a Director with the reference's basket, a service of it, and then with ours."""
    with director.bed() as made:
        assert "have been restored" in made.restore(reference())
        made.service(
            "before",
            TEMPLATE,
            network_connections_conn_type=["tcp"],
            network_connections_warning="7",
        )
        assert set(made.fields(COMMAND)) == {
            f"network_connections_{long[2:].replace('-', '_')}" for long in KNOWN
        }
        assert "have been restored" in made.restore(basket())
        made.service("ok", TEMPLATE)
        made.service("warning", TEMPLATE, network_connections_warning="0")
        made.service("critical", TEMPLATE, network_connections_critical="0")
        made.service("unknown", TEMPLATE, network_connections_critical="many")
        made.service(
            "every", TEMPLATE, **{f"network_connections_{name}": v for name, v in VALUES.items()}
        )
        made.service("queue", TEMPLATE, network_connections_measure="accept-queue")
        made.service("exhaustion", f"{TEMPLATE}-exhaustion")
        made.service("sudo", f"{TEMPLATE}-sudo", network_connections_group_by="process")
        made.machine.write(
            "/etc/sudoers.d/network-connections",
            f"nagios ALL = (root) NOPASSWD: {PLUGINS}/{CHECK}\n",
        )
        made.deploy()
        yield made


def test_services_keep_their_fields(site: Director) -> None:
    fields = site.fields(COMMAND)
    expected = {}
    for option in _core.options():
        if option["for_people"] or option["hidden"]:
            continue
        kind = {"store_true": "Boolean", "append": "Array", "store": "String"}[option["action"]]
        name = f"network_connections_{option['names'][-1][2:].replace('-', '_')}"
        expected[name] = "Datalist" if option["choices"] else kind
    assert fields == expected
    assert len(site.fields(f"{COMMAND}-windows")) == len(expected)
    result = site.result("before")
    assert result.command == [f"{PLUGINS}/{CHECK}", "--conn-type", "tcp", "--warning", "7"]


@pytest.mark.parametrize(("name", "state"), [("ok", 0), ("warning", 1), ("critical", 2)])
def test_states_arrive_with_performance_data(site: Director, name: str, state: int) -> None:
    result = site.result(name)
    assert result.state == state
    assert "tcp LISTEN: " in result.output
    assert any(entry.startswith("tcp_LISTEN=") for entry in result.perfdata)


def test_unknown_arrives(site: Director) -> None:
    result = site.result("unknown")
    assert result.state == 3
    assert result.output.startswith("Range format incorrect: --")


def test_every_option_reaches_the_command_line(site: Director) -> None:
    expected = {}
    for name, value in VALUES.items():
        values = value if isinstance(value, list) else [value]
        words = [] if value is True else [item.replace("$$", "$") for item in values]
        expected[f"--{name.replace('_', '-')}"] = words
    known = {option["names"][-1] for option in _core.options()}
    # In whatever order Icinga puts them.
    program, *words = site.result("every").command
    given: dict[str, list[str]] = {}
    long = ""
    for word in words:
        if word in known:
            long = word
            given.setdefault(long, [])
        else:
            given[long].append(word)
    assert (program, given) == (f"{PLUGINS}/{CHECK}", expected)


def test_a_measure_needs_no_other_field(site: Director) -> None:
    result = site.result("queue")
    assert result.command == [f"{PLUGINS}/{CHECK}", "--measure", "accept-queue"]
    assert result.state == 0


def test_everything_that_runs_out_needs_no_field(site: Director) -> None:
    result = site.result("exhaustion")
    program, *words = result.command
    assert program == f"{PLUGINS}/{CHECK}"
    assert sorted(words) == ["--lengthy", "--measure", "--strict", "exhaustion"]
    # A machine does not see the limits of its host, and says so.
    assert result.state == 3
    assert " runs out: open-files at most " in result.output
    assert "not seen: tcp-memory" in result.output
    assert any(entry.startswith("accept-queue=") for entry in result.perfdata)


def test_sudo(site: Director) -> None:
    result = site.result("sudo")
    line = ["/usr/bin/sudo", f"{PLUGINS}/{CHECK}", "--group-by", "process"]
    assert (result.state, result.command) == (0, line)
    # Which nobody but root sees.
    assert "icinga2" in result.output


def test_the_basket_can_be_restored_again(site: Director) -> None:
    before = site.query("SELECT COUNT(*) FROM director_datafield")
    assert "have been restored" in site.restore(basket())
    assert site.query("SELECT COUNT(*) FROM director_datafield") == before


def test_this_version_knows_no_ids_of_fields(site: Director) -> None:
    whole = json.loads(director.BASKET.read_text(encoding="utf-8"))
    assert 'invalid key "uuid"' in site.restore(whole)
