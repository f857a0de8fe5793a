"""A real Zabbix agent executes the check; the template's items are read out of its answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from integrations.daemons import INTEGRATIONS, wait_for
from integrations.machines import Machine
from integrations.prometheus import actor, install, version
from integrations.where import Row

WHERE = [
    Row(
        "Zabbix agent",
        lambda: version("zabbix-agent"),
        "`UserParameter`, asked by zabbix_get; the paths of the template, read out of the answer",
    )
]

PLACE = INTEGRATIONS / "zabbix"
CONFIGURED = "/etc/zabbix/zabbix_agentd.conf.d/network-connections.conf"
PARAMETERS = (PLACE / "network-connections.conf").read_text(encoding="utf-8")
TEMPLATE = json.loads((PLACE / "network-connections.json").read_text(encoding="utf-8"))
KEYS = re.findall(r"^UserParameter=([\w.]+),", PARAMETERS, re.MULTILINE)
EXHAUSTION, KEY = KEYS
# A machine does not see the limits of its host.
NO_LIMITS = "-w host-limits=~: -c host-limits=~:"
MEASURES = ("open-files", "accept-queue", "syn-queue", "receive-buffer", "ephemeral-ports")


@pytest.fixture(scope="module")
def agent(monitored: Machine) -> Iterator[Machine]:
    """Return the machine with an agent that knows the parameter."""
    install(monitored)
    configure(monitored)
    yield monitored


def configure(machine: Machine, arguments: str = "") -> None:
    machine.write(CONFIGURED, PARAMETERS.replace(" 2>", f" {arguments} 2>"))
    machine.do("systemctl reset-failed zabbix-agent; systemctl restart zabbix-agent")
    up = "zabbix_get -s 127.0.0.1 -k agent.ping"
    wait_for(lambda: machine.do(up, check=False) == "1\n" or None, "the agent")


def get(machine: Machine, key: str = KEY) -> str:
    return machine.do(f"zabbix_get -s 127.0.0.1 -k '{key}'")


def test_the_agent_answers(agent: Machine) -> None:
    with actor(agent) as web:
        web.do("listen", "127.0.0.1", 80)
        web.do("connect", "127.0.0.1", 80, 7)
        web.do("shut", 80, 2)
        answer = get(agent)
    values = {name: read(answer, path) for name, path in paths().items()}
    assert (values["state"], values["connections[CLOSE_WAIT]"]) == (0, 2)
    assert values["connections[FIN_WAIT2]"] == 2
    counts = [number for name, number in values.items() if name.startswith("connections")]
    assert values["selected"] == sum(counts) > 15
    assert values["message"].startswith("ESTABLISHED: ")


@pytest.mark.parametrize(
    ("state", "arguments"), [(1, "-w total=0"), (2, "-c total=0"), (3, "--mistyped")]
)
def test_states_arrive(agent: Machine, state: int, arguments: str) -> None:
    configure(agent, arguments)
    answer = get(agent)
    assert read(answer, paths()["state"]) == state
    assert ("mistyped" in read(answer, paths()["message"])) == (state == 3)


def test_the_server_gives_no_arguments(agent: Machine) -> None:
    assert get(agent, f"{KEY}[--version]").startswith("ZBX_NOTSUPPORTED")


def test_what_runs_out_has_items_of_its_own(agent: Machine) -> None:
    configure(agent, NO_LIMITS)
    with actor(agent) as web:
        web.do("listen", "127.0.0.1", 80, 5)
        web.do("connect", "127.0.0.1", 80, 6)
        answer = get(agent, EXHAUSTION)
    values = {name: read(answer, path) for name, path in paths(EXHAUSTION).items()}
    assert values["state"] == 2, answer
    first, *tables = values["message"].splitlines()
    assert first.startswith("accept-queue 127.0.0.1:80: 120% (6 of 5) [CRITICAL], ")
    assert any("127.0.0.1:80" in line for line in tables)
    assert tables[-1] == "What to do: docs/exhaustion.md#accept-queue"
    assert values["percent[accept-queue]"] == 120
    assert 0 < values["percent[open-files]"] < 80
    percents = {f"percent[{measure}]" for measure in (*MEASURES, "host-limits")}
    assert set(values) == {"state", "message", "stuck", *percents}
    assert read(get(agent, EXHAUSTION), "$.state") == 0


def test_limits_that_a_machine_does_not_see_are_unknown(agent: Machine) -> None:
    configure(agent)
    answer = get(agent, EXHAUSTION)
    assert read(answer, "$.state") == 3
    assert "; not seen: tcp-memory" in read(answer, "$.message")


def paths(key: str = KEY) -> dict[str, str]:
    """Return how the template's items are read out of the answer to `key`, by their own keys."""
    (template,) = TEMPLATE["zabbix_export"]["templates"]
    found = {}
    for item in template["items"]:
        if item.get("master_item", {}).get("key") == key:
            (step,) = item["preprocessing"]
            assert step["type"] == "JSONPATH"
            (found[item["key"].removeprefix(f"{key}.")],) = step["parameters"]
    return found


def read(answer: str, path: str) -> Any:  # noqa: ANN401 - as JSON has it
    """Read what a path of the kinds that are in the template leads to."""
    report = json.loads(answer)
    if group := re.fullmatch(r"\$\.groups\[\?\(@\.label=='(\w+)'\)\]\.count\.first\(\)", path):
        return next(found["count"] for found in report["groups"] if found["label"] == group[1])
    if of := re.fullmatch(r"\$\.groups\[\?\(@\.measure=='([\w-]+)'\)\]\.(\w+)\.max\(\)", path):
        groups = (group for group in report["groups"] if group["measure"] == of[1])
        return max((group[of[2]] for group in groups if of[2] in group), default=None)
    return report[path.removeprefix("$.")]


def test_the_template_is_of_one_piece() -> None:
    export = TEMPLATE["zabbix_export"]
    assert export["version"] == "6.0"
    text = json.dumps(export)
    uuids = re.findall(r'"uuid": "([0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15})"', text)
    assert len(uuids) == len(set(uuids)) == text.count('"uuid"')
    (template,) = export["templates"]
    keys = {item["key"] for item in template["items"]}
    masters = [item["key"] for item in template["items"] if "master_item" not in item]
    assert masters == KEYS
    assert all(paths(key) for key in masters)
    for asked in re.findall(rf"/{template['template']}/([\w.]+)", text):
        assert asked in keys
