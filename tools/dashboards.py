"""Writes the dashboards of integrations/grafana, or into the directory given as argument."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DatasourceVariable,
    QueryVariable,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel as Timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueColorMode, BigValueTextMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PLACE = Path(__file__).resolve().parents[1] / "integrations" / "grafana"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT, HALF, WHOLE = 8, 12, 24
STATES = ValueMap(
    {
        "0": ValueMappingResult(text="OK", color="green"),
        "1": ValueMappingResult(text="WARNING", color="yellow"),
        "2": ValueMappingResult(text="CRITICAL", color="red"),
        "3": ValueMappingResult(text="UNKNOWN", color="purple"),
    }
)
ONE = 'job="$job", instance="$instance"'
HOST = f'{ONE}, check=~"$check"'
FLEET = 'job=~"$job", instance=~"$instance"'
MEASURES = "network_connections_exhaustion_state"
FILES = 'file=~".*/network_connections(_.*)?[.]prom"'


def fullest(hosts: str) -> tuple[tuple[str, str], ...]:
    """Return a query for the fullest of each measure in percent, and what its curve is called."""
    name = "network_connections"

    def of(metric: str, limit: str = "") -> str:
        used = f"{name}_{metric}{{{hosts}}}"
        return f"max({used} / {name}_{limit}{{{hosts}}})" if limit else f"max({used})"

    return (
        (of("open_files_fullest_ratio"), "open-files"),
        (of("accept_queue_connections", "accept_queue_limit"), "accept-queue"),
        (of("syn_queue_connections", "syn_queue_limit"), "syn-queue"),
        (of("receive_buffer_fullest_ratio"), "receive-buffer"),
        (of("ephemeral_ports_used_ratio"), "ephemeral-ports"),
        (of("host_limit_used_ratio"), "host-limits"),
    )


def age(hosts: str) -> str:
    """Return the query for how old the files of these hosts are."""
    return (
        f"node_time_seconds{{{hosts}}} - on (job, instance) group_right ()"
        f" node_textfile_mtime_seconds{{{hosts}, {FILES}}}"
    )


def series(title: str, description: str, *queries: tuple[str, str], unit: str = "") -> Timeseries:
    """Return a panel of curves: each query, and what its curves are called."""
    panel = (
        Timeseries()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .height(HEIGHT)
        .span(HALF)
        .min(0)
        .unit(unit or "short")
        .legend(VizLegendOptions().show_legend(True).calcs(["lastNotNull", "max"]))
    )
    for (expr, legend), ref in zip(queries, "ABCDEF"):
        panel.with_target(Dataquery().expr(expr).legend_format(legend).range().ref_id(ref))
    return panel


def levels(*steps: tuple[float, str]) -> ThresholdsConfig:
    """Return where a value takes which colour."""
    first = Threshold(value=None, color="green")
    further = [Threshold(value=value, color=color) for value, color in steps]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([first, *further])


def stat(title: str, description: str, expr: str, legend: str) -> Stat:
    """Return a panel of numbers, one for each series."""
    return (
        Stat()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .height(5)
        .span(WHOLE)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        .color_mode(BigValueColorMode.BACKGROUND)
        .text_mode(BigValueTextMode.VALUE_AND_NAME)
        .with_target(Dataquery().expr(expr).legend_format(legend).instant().ref_id("A"))
    )


def table(title: str, description: str, expr: str) -> Table:
    """Return a panel with a row for each series of now."""
    query = Dataquery().expr(expr).instant().format(PromQueryFormat.TABLE).ref_id("A")
    panel = Table().title(title).description(description).datasource(SOURCE)
    return panel.height(HEIGHT).span(HALF).with_target(query)


def variable(name: str, query: str, *, several: bool) -> QueryVariable:
    """Return a variable with the values of a label."""
    made = (
        QueryVariable(name)
        .query(f"label_values({query}, {name})")
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )
    return made.multi(True).include_all(True).all_value(".*") if several else made


def page(title: str, uid: str, description: str) -> Dashboard:
    """Return a dashboard with nothing on it."""
    return (
        Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["network-connections"])
        .time("now-6h", "now")
        .refresh("1m")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(DatasourceVariable("datasource").label("data source").type("prometheus"))
    )


def host() -> Dashboard:
    """Return the dashboard of one host."""
    state = "network_connections_check_state"
    return (
        page(
            "Network connections: host",
            "network-connections-host",
            "Results of the checks of one host. Remedies for alerts: docs/incidents.md.",
        )
        .with_variable(variable("job", state, several=False))
        .with_variable(variable("instance", f'{state}{{job="$job"}}', several=False))
        .with_variable(
            variable("check", f'{state}{{job="$job", instance="$instance"}}', several=True)
        )
        .with_panel(
            stat(
                "What runs out",
                "The state of each measure of --measure=exhaustion. Remedies: docs/exhaustion.md.",
                f"{MEASURES}{{{HOST}}}",
                "{{measure}}",
            )
            .mappings([STATES])
            .thresholds(levels())
        )
        .with_panel(
            series(
                "How full",
                "The fullest of each measure, of its limit.",
                *fullest(HOST),
                unit="percentunit",
            )
        )
        .with_panel(
            series(
                "Stuck connections",
                "By kind, of every age. Many of one program, and for long, are an alert.",
                (f"network_connections_stuck{{{HOST}}}", "{{kind}}"),
            )
        )
        .with_panel(
            stat(
                "State",
                "What each check says of its own thresholds.",
                f"{state}{{{HOST}}}",
                "{{check}}",
            )
            .mappings([STATES])
            .thresholds(levels())
        )
        .with_panel(
            series(
                "Connections",
                "By state, of checks that count by it.",
                (
                    f"sum by (check, state) (network_connections{{{HOST}}}) > 0",
                    "{{check}} {{state}}",
                ),
            )
        )
        .with_panel(
            series(
                "CLOSE_WAIT and TIME_WAIT",
                "Connections that a process here does not close, and ports that rest.",
                *(
                    (
                        f'sum by (check) (network_connections{{{HOST}, state="{name}"}})',
                        f"{{{{check}}}} {name}",
                    )
                    for name in ("CLOSE_WAIT", "TIME_WAIT")
                ),
            )
        )
        .with_panel(
            series(
                "Selected",
                "All that a check looks at, and the largest of its groups.",
                (f"network_connections_selected{{{HOST}}}", "{{check}}"),
                (f"network_connections_largest{{{HOST}}}", "{{check}} largest"),
            )
        )
        .with_panel(
            series(
                "Groups",
                "How many ports, peers, units or others there are.",
                (f"network_connections_groups{{{HOST}}}", "{{check}}"),
            )
        )
        .with_panel(
            series(
                "Ephemeral ports in use",
                "Towards the fullest destination.",
                (f"network_connections_ephemeral_ports_used_ratio{{{HOST}}}", "{{check}}"),
                unit="percentunit",
            )
        )
        .with_panel(
            series(
                "Destinations",
                "Addresses and ports that this host has connections to.",
                (f"network_connections_ephemeral_ports_destinations{{{HOST}}}", "{{check}}"),
            )
        )
        .with_panel(
            series(
                "Accept queues",
                "Connections that wait to be accepted, of those that may.",
                (
                    f"network_connections_accept_queue_connections{{{HOST}}}"
                    f" / network_connections_accept_queue_limit{{{HOST}}}",
                    "{{listener}}",
                ),
                unit="percentunit",
            )
        )
        .with_panel(
            series(
                "SYN queues",
                "Connections whose handshake is not finished, of the listener's backlog.",
                (
                    f"network_connections_syn_queue_connections{{{HOST}}}"
                    f" / network_connections_syn_queue_limit{{{HOST}}}",
                    "{{listener}}",
                ),
                unit="percentunit",
            )
        )
        .with_panel(
            series(
                "Open files",
                "Of the fullest process, and of the programs that thresholds name, of their limit.",
                (f"network_connections_open_files_fullest_ratio{{{HOST}}}", "fullest"),
                (f"network_connections_open_files_ratio{{{HOST}}}", "{{program}}{{unit}}"),
                unit="percentunit",
            )
        )
        .with_panel(
            series(
                "Limits of the host",
                "What the kernel limits for all programs, in use.",
                (f"network_connections_host_limit_used_ratio{{{HOST}}}", "{{limit}}"),
                unit="percentunit",
            )
        )
        .with_panel(
            series(
                "UDP receive buffers",
                "Memory of packets that nobody has read, of the limit.",
                (
                    f"network_connections_receive_buffer_bytes{{{HOST}}}"
                    f" / network_connections_receive_buffer_limit_bytes{{{HOST}}}",
                    "{{socket}}",
                ),
                unit="percentunit",
            )
        )
        .with_panel(
            series(
                "Dropped UDP packets",
                "A second, by socket.",
                (
                    f"rate(network_connections_receive_buffer_drops_total{{{HOST}}}[5m])",
                    "{{socket}}",
                ),
                unit="cps",
            )
        )
        .with_panel(
            series(
                "Dropped connections",
                "A second, by listener.",
                (
                    f"rate(network_connections_accept_queue_drops_total{{{HOST}}}[5m])",
                    "{{listener}}",
                ),
                unit="cps",
            )
        )
        .with_panel(
            series(
                "Longest stuck",
                "Seconds, by kind.",
                (f"network_connections_stuck_seconds{{{HOST}}}", "{{kind}}"),
                unit="s",
            )
        )
        .with_panel(
            series(
                "Network namespaces",
                "Of checks with --netns. A doubtful one may have been seen through a process.",
                *(
                    (f"network_connections_netns_{kind}{{{HOST}}}", f"{{{{check}}}} {kind}")
                    for kind in ("seen", "unseen", "doubtful")
                ),
            )
        )
        .with_panel(
            series(
                "Age of what is shown",
                "Time since a check has published, by the host's clock.",
                (age(ONE), "{{file}}"),
                unit="s",
            )
        )
        .with_panel(
            series(
                "Duration of checks",
                "Without their start.",
                (f"network_connections_check_duration_seconds{{{HOST}}}", "{{check}}"),
                unit="s",
            )
        )
    )


def fleet() -> Dashboard:
    """Return the dashboard of all hosts."""
    state = "network_connections_check_state"
    wait = 'topk(10, sum by (instance, check) (network_connections{{{}, state="{}"}}))'
    queue = (
        f"network_connections_accept_queue_connections{{{FLEET}}}"
        f" / network_connections_accept_queue_limit{{{FLEET}}}"
    )
    requests = (
        f"network_connections_syn_queue_connections{{{FLEET}}}"
        f" / network_connections_syn_queue_limit{{{FLEET}}}"
    )
    drops = f"rate(network_connections_accept_queue_drops_total{{{FLEET}}}[5m])"
    lost = f"rate(network_connections_receive_buffer_drops_total{{{FLEET}}}[5m])"
    return (
        page(
            "Network connections: fleet",
            "network-connections-fleet",
            "Hosts in alert. Remedies for alerts: docs/incidents.md.",
        )
        .with_variable(variable("job", state, several=True))
        .with_variable(variable("instance", f'{state}{{job=~"$job"}}', several=True))
        .with_panel(
            table(
                "What runs out",
                "Measures of --measure=exhaustion that are not OK, with their state.",
                f"{MEASURES}{{{FLEET}}} > 0",
            ).mappings([STATES])
        )
        .with_panel(
            table(
                "Alerts",
                "Of the rules beside this dashboard, firing and pending.",
                f'ALERTS{{alertname=~"NetworkConnections.*", {FLEET}}}',
            )
        )
        .with_panel(
            stat(
                "Checks by state",
                "0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.",
                f'count_values("state", {state}{{{FLEET}}})',
                "state {{state}}",
            ).thresholds(levels())
        )
        .with_panel(
            table(
                "Checks that are not OK", "With their state.", f"{state}{{{FLEET}}} > 0"
            ).mappings([STATES])
        )
        .with_panel(
            series(
                "CLOSE_WAIT",
                "The hosts with most: processes that do not close their connections.",
                (wait.format(FLEET, "CLOSE_WAIT"), "{{instance}} {{check}}"),
            )
        )
        .with_panel(
            series(
                "TIME_WAIT",
                "The hosts with most: ports that rest.",
                (wait.format(FLEET, "TIME_WAIT"), "{{instance}} {{check}}"),
            )
        )
        .with_panel(
            series(
                "Ephemeral ports in use",
                "The hosts with most, each towards its fullest destination.",
                (
                    f"topk(10, network_connections_ephemeral_ports_used_ratio{{{FLEET}}})",
                    "{{instance}} {{check}}",
                ),
                unit="percentunit",
            )
        )
        .with_panel(
            series(
                "Accept queues",
                "The fullest.",
                (f"topk(10, {queue})", "{{instance}} {{listener}}"),
                unit="percentunit",
            )
        )
        .with_panel(
            series(
                "SYN queues",
                "The fullest.",
                (f"topk(10, {requests})", "{{instance}} {{listener}}"),
                unit="percentunit",
            )
        )
        .with_panel(
            series(
                "Limits of the host",
                "The fullest.",
                (
                    f"topk(10, network_connections_host_limit_used_ratio{{{FLEET}}})",
                    "{{instance}} {{limit}}",
                ),
                unit="percentunit",
            )
        )
        .with_panel(
            series(
                "Dropped UDP packets",
                "A second: the sockets with most.",
                (f"topk(10, {lost})", "{{instance}} {{socket}}"),
                unit="cps",
            )
        )
        .with_panel(
            series(
                "Dropped connections",
                "A second: the listeners with most.",
                (f"topk(10, {drops})", "{{instance}} {{listener}}"),
                unit="cps",
            )
        )
        .with_panel(
            series(
                "Age of what is shown",
                "The oldest files, by the clocks of their hosts.",
                (f"topk(10, {age(FLEET)})", "{{instance}} {{file}}"),
                unit="s",
            )
        )
    )


def main() -> None:
    """Write both."""
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else PLACE
    for made in (host(), fleet()):
        built = made.build()
        text = json.dumps(built, cls=JSONEncoder, indent=2, ensure_ascii=False, sort_keys=True)
        (place / f"{built.uid}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
