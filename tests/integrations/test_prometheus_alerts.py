"""From a leak to a webhook: node_exporter, Prometheus, Alertmanager, the rules and dashboards."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness
import pytest
from page import anchor

from integrations.daemons import INTEGRATIONS, require, wait_for
from integrations.machines import Machine
from integrations.prometheus import (
    HOST,
    PLACE,
    RULES,
    SERVICE,
    TIMER,
    Hook,
    actor,
    configure,
    drop_in,
    fetch,
    file,
    hook,
    install,
    units,
    version,
)
from integrations.where import Row

WHERE = [
    Row(
        "prometheus",
        lambda: version("prometheus"),
        "`promtool` tests each rule; a leak made on purpose, a listener that goes, a file that "
        "gets old; every query of both dashboards has data",
    ),
    Row(
        "prometheus-alertmanager",
        lambda: version("prometheus-alertmanager"),
        "the alert arrives at a webhook, names the host, and resolves",
    ),
]

SERVER = "http://localhost:9090/api/v1"
HOOK_PORT = 9999
GRAFANA = INTEGRATIONS / "grafana"
DASHBOARDS = sorted(GRAFANA.glob("*.json"))
# What is asked for on the host: all that there are metrics for, and one that is in alert state.
CHECKS = {
    "all": "",
    "limits": "-w total=0",
    "networks": "--netns=all --group-by=netns",
    # A program has a series of its own where a threshold names it. A machine does not see the
    # limits of its host.
    "exhaustion": "--measure=exhaustion -w open-files:systemd=99,host-limits=~: -c host-limits=~:",
    # A measure alone, for which the rules have levels.
    "queues": "--measure=accept-queue",
}

MEASURES = (
    *("open-files", "accept-queue", "syn-queue", "receive-buffer", "ephemeral-ports"),
    *("host-limits", "stuck"),
)

PROMETHEUS = f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [/etc/prometheus/rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['localhost:9093']}}]}}]}}
scrape_configs: [{{job_name: node, static_configs: [{{targets: ['{HOST}:9100']}}]}}]
"""
ALERTMANAGER = f"""
route: {{receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 1s}}
receivers: [{{name: hook, webhook_configs: [{{url: 'http://localhost:{HOOK_PORT}/'}}]}}]
"""
OFTEN = "[Timer]\nOnCalendar=\nOnCalendar=*:*:*\nRandomizedDelaySec=0\n"


@pytest.fixture(scope="module")
def watched(monitored: Machine) -> Iterator[Machine]:
    """Return the machine with timers that run, and a Prometheus that scrapes and judges."""
    install(monitored)
    for name, arguments in CHECKS.items():
        configure(monitored, name, arguments)
    # As they are, but nobody waits so long here.
    rules = re.sub(r"for: \d+m", "for: 1s", RULES.read_text(encoding="utf-8"))
    rules = re.sub(r"\[(\d+)m:1m\]", r"[\1s:1s]", rules).replace("[1h:1m]", "[60s:1s]")
    monitored.write("/etc/prometheus/rules.yml", rules)
    monitored.write("/etc/prometheus/prometheus.yml", PROMETHEUS)
    monitored.write("/etc/prometheus/alertmanager.yml", ALERTMANAGER)
    # There is no other one, and no address that one could reach it by.
    monitored.write("/etc/default/prometheus-alertmanager", "ARGS=--cluster.listen-address=\n")
    with drop_in(monitored, TIMER.format(""), OFTEN):
        monitored.do(f"systemctl enable --now {units([*CHECKS], TIMER)} 2>/dev/null")
        monitored.do("systemctl restart prometheus prometheus-alertmanager")
        wait_for(
            lambda: len(ask(monitored, "network_connections_check_state")) == len(CHECKS) or None,
            "all",
        )
        yield monitored
        monitored.do(f"systemctl disable --now {units([*CHECKS], TIMER)} 2>/dev/null")


@pytest.fixture(scope="module")
def told(watched: Machine) -> Iterator[Hook]:
    """Return what Alertmanager tells."""
    with hook(watched, HOOK_PORT) as made:
        yield made


def ask(machine: Machine, *queries: str) -> list[Any]:
    """Return what Prometheus answers: the series of the first query, or of each of several."""
    urls = [f"{SERVER}/query?{urllib.parse.urlencode({'query': query})}" for query in queries]
    try:
        answers = [json.loads(text) for text in fetch(machine, *urls)]
    except AssertionError as error:
        if "Connection refused" in str(error) or "503" in str(error):
            return []
        raise
    results = [answer["data"]["result"] for answer in answers]
    first: list[Any] = results[0]
    return first if len(queries) == 1 else results


# The rules.


def test_promtool_tests_the_rules() -> None:
    require("promtool")
    for line in (["check", "rules", str(RULES)], ["test", "rules", str(PLACE / "rules-test.yml")]):
        done = subprocess.run(["promtool", *line], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_says_what_to_do(watched: Machine) -> None:
    (text,) = fetch(watched, f"{SERVER}/rules?type=alert")
    rules = [rule for group in json.loads(text)["data"]["groups"] for rule in group["rules"]]
    assert len(rules) == RULES.read_text(encoding="utf-8").count("- alert: ")
    assert {rule["health"] for rule in rules} == {"ok"}
    tests = (PLACE / "rules-test.yml").read_text(encoding="utf-8")
    for rule in rules:
        name, severity = rule["name"], rule["labels"]["severity"]
        assert severity in ("warning", "critical")
        assert {"summary", "description", "runbook_url"} == set(rule["annotations"])
        path, _, wanted = rule["annotations"]["runbook_url"].partition("#")
        found = re.fullmatch(r".*/(docs/(?:exhaustion|incidents|limits)\.md)(?:\.gz)?", path)
        assert found is not None
        page = (harness.ROOT / found[1]).read_text(encoding="utf-8")
        # The section of that anchor names the rule, in its heading or below it.
        parts = re.split(r"^##+ ", page, flags=re.MULTILINE)
        sections = {anchor(part.partition("\n")[0]): part for part in parts}
        if "exhaustion.md" in path:
            # The page names the rule, and has a section for each measure.
            assert name in parts[0]
            assert wanted == "{{ $labels.measure }}"
            assert {*MEASURES} <= {*sections}
        else:
            assert name in sections[wanted]
            assert "```" in sections[wanted]
        # Fires, does not fire, resolves.
        (tested,) = re.findall(rf"- name: {name}, {severity}\n(.*?)(?=\n\n|\Z)", tests, re.DOTALL)
        assert tested.count("exp_alerts: []") >= 2
        assert f"severity: {severity}" in tested


def annotated(alert: dict[str, Any]) -> str:
    """Return what an alert says, which its templates have been filled into."""
    said = " ".join(alert["annotations"].values())
    assert "{{" not in said
    assert "<no value>" not in said
    assert "error" not in said
    return said


# From end to end.


def test_a_leak_is_told_and_resolves(watched: Machine, told: Hook) -> None:
    with actor(watched) as web:
        web.do("listen", "127.0.0.1", 8080)
        web.do("connect", "127.0.0.1", 8080, 1100)
        web.do("shut", 8080)
        alert = told.wait("NetworkConnectionsCloseWaitHigh", "firing", check="all")
        assert alert["labels"] == {
            "alertname": "NetworkConnectionsCloseWaitHigh",
            "check": "all",
            "instance": f"{HOST}:9100",
            "job": "node",
            "severity": "critical",
            "state": "CLOSE_WAIT",
        }
        assert f"1.1k connections in CLOSE_WAIT on {HOST}:9100" in annotated(alert)
    told.wait("NetworkConnectionsCloseWaitHigh", "resolved", check="all")


def test_what_runs_out_is_told_once_and_resolves(watched: Machine, told: Hook) -> None:
    names = "NetworkConnections(Exhaustion|Threshold|AcceptQueueFull)"
    firing = f'ALERTS{{alertname=~"{names}", alertstate="firing", check="exhaustion"}}'
    with actor(watched) as web:
        web.do("listen", "127.0.0.1", 8090, 5)
        web.do("connect", "127.0.0.1", 8090, 6)
        alert = told.wait("NetworkConnectionsExhaustion", "firing", severity="critical")
        assert alert["labels"] == {
            "alertname": "NetworkConnectionsExhaustion",
            "check": "exhaustion",
            "instance": f"{HOST}:9100",
            "job": "node",
            "measure": "accept-queue",
            "severity": "critical",
        }
        assert f"accept-queue on {HOST}:9100: CRITICAL" in annotated(alert)
        assert alert["annotations"]["runbook_url"].endswith("/exhaustion.md.gz#accept-queue")
        # Rules with levels are silent about this check, and alert for a check of a measure alone.
        assert {found["metric"]["alertname"] for found in ask(watched, firing)} == {
            "NetworkConnectionsExhaustion"
        }
        full = told.wait("NetworkConnectionsAcceptQueueFull", "firing", check="queues")
        assert "127.0.0.1:8090" in annotated(full)
    told.wait("NetworkConnectionsExhaustion", "resolved", severity="critical")


def test_a_listener_that_goes_and_comes_back(watched: Machine, told: Hook) -> None:
    # On loopback, listeners are left out.
    listener = "0.0.0.0:8443"
    seen = f'network_connections_accept_queue_limit{{listener="{listener}"}}'
    with actor(watched) as web:
        web.do("listen", "0.0.0.0", 8443)  # noqa: S104
        wait_for(lambda: ask(watched, seen) or None, "the listener")
    gone = {"check": "exhaustion", "listener": listener}
    alert = told.wait("NetworkConnectionsListenerGone", "firing", **gone)
    assert f"Nobody listens on {listener} on {HOST}:9100" in annotated(alert)
    with actor(watched) as web:
        web.do("listen", "0.0.0.0", 8443)  # noqa: S104
        told.wait("NetworkConnectionsListenerGone", "resolved", listener=listener)


def test_what_cannot_publish_is_told(watched: Machine, told: Hook) -> None:
    check = "exhaustion"
    timer, path = TIMER.format(check), file(check)
    # Not while it publishes.
    watched.do(f"systemctl stop {timer}; systemctl stop {SERVICE.format(check)}")
    watched.do(f"touch -d '10 min ago' {path}")
    alert = told.wait("NetworkConnectionsStale", "firing", file=path)
    assert f"{path} on {HOST}:9100 is old" in annotated(alert)
    watched.do(f"rm {path}")
    told.wait("NetworkConnectionsStale", "resolved", file=path)
    annotated(told.wait("NetworkConnectionsMissing", "firing", check=check))
    try:
        configure(watched, check, "--mistyped")
        watched.do(f"systemctl start {timer}")
        told.wait("NetworkConnectionsMissing", "resolved", check=check)
        annotated(told.wait("NetworkConnectionsUnknown", "firing", check=check))
    finally:
        configure(watched, check, CHECKS[check])
    told.wait("NetworkConnectionsUnknown", "resolved", check=check)


# The dashboards.


@pytest.mark.skipif(sys.version_info < (3, 11), reason="grafana-foundation-sdk needs Python 3.11")
def test_the_script_writes_the_dashboards(tmp_path: Path) -> None:
    script = harness.ROOT / "tools" / "dashboards.py"
    subprocess.run([sys.executable, script, tmp_path], check=True)
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_text(encoding="utf-8") for path in DASHBOARDS}
    assert len(written) == 2


def filled(text: str) -> str:
    """Return a query as Grafana asks it where one host, or all, are chosen."""
    for name, chosen in (("job", "node"), ("instance", f"{HOST}:9100"), ("check", ".*")):
        text = text.replace(f"${name}", chosen)
    return text


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: str(path.stem))
def test_every_query_has_data(watched: Machine, path: Path) -> None:
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    queries = {
        filled(target["expr"]): f"{panel['title']}: {target['expr']}"
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }
    assert len(queries) >= len(dashboard["panels"]) >= 9
    without = [*queries]

    def all_have() -> bool | None:
        # A rate takes two values.
        results = ask(watched, *without)
        without[:] = [query for query, found in zip(without, results) if not found]
        return None if without else True

    with actor(watched) as web:
        web.do("listen", "127.0.0.1", 8081, 2)
        # As many as can wait, for the panel of what is not OK.
        web.do("connect", "127.0.0.1", 8081, 3)
        web.do("udp_at", "127.0.0.1", 514)
        try:
            wait_for(all_have, "data", seconds=20)
        except AssertionError:
            raise AssertionError([queries[query] for query in without]) from None


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: str(path.stem))
def test_every_variable_has_values(watched: Machine, path: Path) -> None:
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    asked = set()
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            query = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
            assert query is not None
            values = {series["metric"][query[2]] for series in ask(watched, filled(query[1]))}
            expected = {"job": {"node"}, "instance": {f"{HOST}:9100"}, "check": set(CHECKS)}
            assert values == expected[variable["name"]]
            asked.add(variable["name"])
    assert {"job", "instance"} <= asked
    assert dashboard["schemaVersion"] >= 41
