"""Writes the collection's Grafana panels and the settings of Icinga Web that name them.

Into integrations/linuxfabrik, or into the directory given as argument. The data source is InfluxDB
as Icinga's InfluxdbWriter fills it: a measurement for each command, the metric's name as a tag.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import basket
from basket import CHECK, FOLDER

TITLE = basket.title(CHECK)
# At most 40 characters, says Grafana.
UID = CHECK
PANELS = (
    ("TCP over IPv4", "/^tcp_/", "short"),
    ("TCP over IPv6", "/^tcp6_/", "short"),
    ("UDP", "/^udp6?_/", "short"),
    ("Fullest queue or port range", "/^fullest$/", "percent"),
)
QUERY = (
    'SELECT mean("value") FROM "$command" WHERE "hostname" = \'$hostname\' AND '
    '"service" = \'$service\' AND "metric" =~ METRICS AND $timeFilter '
    'GROUP BY time($__interval), "metric" fill(null)'
)
# The three that every service has data for; the fourth is for services with a measure.
SHOWN = "1,2,3"
COMMAND = "SHOW MEASUREMENTS WITH MEASUREMENT =~ /^cmd-check-network-connections/"
HOST = 'SHOW TAG VALUES FROM "$command" WITH KEY = "hostname"'
SERVICE = 'SHOW TAG VALUES FROM "$command" WITH KEY = "service" WHERE hostname = \'$hostname\''


def panel(number: int, title: str, metrics: str, unit: str) -> dict[str, Any]:
    """Return a panel with a curve for every metric of that name."""
    query = QUERY.replace("METRICS", metrics)
    place = {"h": 8, "w": 12, "x": 12 * ((number - 1) % 2), "y": 8 * ((number - 1) // 2)}
    return {
        "id": number,
        "title": f"{TITLE}: {title}",
        "type": "timeseries",
        "gridPos": place,
        "fieldConfig": {"defaults": {"decimals": 0, "min": 0, "unit": unit}, "overrides": []},
        "options": {
            "legend": {
                "calcs": ["min", "mean", "max", "last"],
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": True,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {
                "refId": "A",
                "alias": "$tag_metric",
                "query": query,
                "rawQuery": True,
                "resultFormat": "time_series",
            }
        ],
    }


def dashboard() -> dict[str, Any]:
    """Return the dashboard, as Grizzly has it."""

    def variable(name: str, label: str, query: str) -> dict[str, Any]:
        return {
            "name": name,
            "label": label,
            "query": query,
            "refresh": 1,
            "sort": 1,
            "type": "query",
        }

    return {
        "apiVersion": "grizzly.grafana.com/v1alpha1",
        "kind": "Dashboard",
        "metadata": {"folder": "linuxfabrik-monitoring-plugins", "name": CHECK},
        "spec": {
            "uid": UID,
            "title": TITLE,
            "tags": ["Linuxfabrik", CHECK],
            "schemaVersion": 39,
            "editable": True,
            "refresh": "1m",
            "time": {"from": "now-7d", "to": "now"},
            "timezone": "browser",
            "templating": {
                "list": [
                    variable("command", "Command", COMMAND),
                    variable("hostname", "Host", HOST),
                    variable("service", "Service", SERVICE),
                ]
            },
            "panels": [panel(number, *one) for number, one in enumerate(PANELS, 1)],
        },
    }


def settings() -> str:
    """Return what Icinga Web's module Grafana shows of a service, by its command."""
    lines = f'dashboard = "{TITLE}"\ndashboarduid = "{UID}"\npanelId = "{SHOWN}"\n'
    lines += 'orgId = ""\nrepeatable = "no"\n'
    return "\n".join(f"[{command}]\n{lines}" for command in basket.basket()["Command"])


def main() -> None:
    """Write both."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    for place, text in (
        # JSON is YAML.
        (f"grafana/{CHECK}.yml", f"{json.dumps(dashboard(), indent=2)}\n"),
        (f"icingaweb2-module-grafana/{CHECK}.ini", settings()),
    ):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
