"""A machine with Debian's Prometheus programs, and the check in it as a site installs it."""

from __future__ import annotations

import contextlib
import json
import queue
import re
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import harness
import pytest
from lab.owners import ACTOR, Actor, acting
from prometheus_client.parser import text_string_to_metric_families

from integrations import host, machines
from integrations.daemons import INTEGRATIONS
from integrations.machines import INSIDE, PYTHON, Machine

PACKAGES = (
    *machines.PACKAGES,
    *("prometheus", "prometheus-alertmanager", "prometheus-node-exporter", "zabbix-agent"),
    # It has zabbix_get.
    "zabbix-proxy-sqlite3",
)
PLACE = INTEGRATIONS / "prometheus"
PAGE = harness.ROOT / "docs" / "prometheus.md"
PERMISSIONS = harness.ROOT / "docs" / "permissions.md"
RULES = PLACE / "rules" / "network-connections.yml"
SERVICE = "network-connections@{}.service"
TIMER = "network-connections@{}.timer"
UNITS = "/etc/systemd/system"
COMMAND = "/usr/local/bin/network-connections"
TEXTFILES = "/var/lib/network-connections/node-exporter"
# The checks that the page sets up.
SHIPPED = ("exhaustion", "all")
# What the machine is called, by itself and in alerts.
HOST = "web1.example"
EXPORTER = "http://localhost:9100/metrics"

_FETCH = """
import json, sys, urllib.request
for url in json.load(sys.stdin):
    with urllib.request.urlopen(url, timeout=10) as answer:
        print(json.dumps(answer.read().decode()))
"""


def version(package: str) -> str:
    """Return the version of a package in the machine."""
    return machines.version(package, PACKAGES)


@contextlib.contextmanager
def monitored() -> Iterator[Machine]:
    """Boot a machine, and install the check and its units in it."""
    if reason := machines.missing(PACKAGES):
        pytest.skip(reason)
    with host.apart() as apart, machines.booted(apart, packages=PACKAGES) as made:
        for path in PLACE.iterdir():
            if path.is_file():
                made.write(f"/root/integrations/prometheus/{path.name}", path.read_text("utf-8"))
        install(made)
        made.write("/etc/hosts", f"127.0.0.1 localhost {HOST}\n")
        made.do(f"cd /root\n{block('sh', 'systemctl daemon-reload')}")
        made.do(block("sh", "systemctl enable"))
        # Tests start what they look at.
        made.do(f"systemctl disable --now {units(SHIPPED, TIMER)} 2>&1")
        made.do(f"systemctl stop {units(SHIPPED)}; rm -f {TEXTFILES}/*")
        made.do(block("sh", "ln -s"))
        made.write("/etc/default/prometheus-node-exporter", block("sh", "textfile.directory"))
        made.do("systemctl restart prometheus-node-exporter")
        yield made


def block(language: str, having: str) -> str:
    """Return the code of the pages in this language that has this text."""
    pages = "".join(page.read_text("utf-8") for page in (PAGE, PERMISSIONS))
    blocks = re.findall(rf"```{language}\n(.*?)```", pages, re.DOTALL)
    (found,) = [text for text in blocks if having in text]
    assert isinstance(found, str)
    return found


def install(machine: Machine, way: str = "native") -> None:
    """Put the check where its unit finds it."""
    script(machine, f'exec {" ".join(machines.COMMANDS[way])} "$@"')


def script(machine: Machine, text: str) -> None:
    """Put a script of the shell where the unit finds the check."""
    machine.do(f"cat > {COMMAND}.new; chmod 755 {COMMAND}.new", f"#!/bin/sh\n{text}\n")
    machine.do(f"mv {COMMAND}.new {COMMAND}")


def configure(machine: Machine, name: str, arguments: str = "") -> None:
    """Write the file of a check."""
    machine.write(f"/etc/network-connections/{name}.conf", f"ARGS={arguments}\n")


@contextlib.contextmanager
def drop_in(machine: Machine, unit: str, text: str) -> Iterator[None]:
    """Change a unit as `systemctl edit` does."""
    place = f"{UNITS}/{unit}.d"
    machine.write(f"{place}/site.conf", text)
    machine.do("systemctl daemon-reload")
    try:
        yield
    finally:
        machine.do(f"rm -r '{place}'; systemctl daemon-reload")


def start(machine: Machine, *names: str) -> bool:
    """Run checks as their units, all at once, and return whether systemd finds nothing wrong."""
    units = " ".join(f"'{SERVICE.format(name)}'" for name in names)
    machine.do(f"systemctl start {units}", check=False)
    failed = machine.do(f"systemctl is-failed {units}", check=False).split()
    machine.do(f"systemctl reset-failed {units}", check=False)
    return "failed" not in failed


def file(name: str) -> str:
    """Where a check publishes."""
    return f"{TEXTFILES}/network_connections_{name}.prom"


def published(machine: Machine, name: str) -> str:
    """Return what a check has published; empty if it has not."""
    return machine.do(f"cat '{file(name)}' 2>/dev/null", check=False)


def samples(text: str) -> dict[str, float]:
    """Read the text exposition format into values by series."""
    return {
        f"{sample.name}{json.dumps(sample.labels, sort_keys=True)}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, metric: str) -> float:
    """Return the value of a metric that has one series."""
    (found,) = (v for name, v in samples(text).items() if name.partition("{")[0] == metric)
    return found


def fetch(machine: Machine, *urls: str) -> list[str]:
    """Return what is at these addresses in the machine."""
    answers = machine.do(f"exec {PYTHON} -c '{_FETCH}'", json.dumps(urls))
    return [json.loads(line) for line in answers.splitlines()]


def exported(machine: Machine) -> str:
    """Return what node_exporter says."""
    (text,) = fetch(machine, EXPORTER)
    return text


@contextlib.contextmanager
def actor(machine: Machine) -> Iterator[Actor]:
    """Start a process there that does what it is told, outside of units."""
    line = machine.line(["env", f"--chdir={INSIDE}", PYTHON, *ACTOR])
    with acting(line) as made:
        yield made


_HOOK = """
import http.server, sys, threading

class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        print(body.decode().replace(chr(10), " "), flush=True)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass

server = http.server.HTTPServer(("localhost", int(sys.argv[1])), Hook)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
"""


class Hook:
    """What Alertmanager tells a webhook, alert by alert."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Read what arrives, line by line, until there is no more."""
        self._lines: queue.Queue[str] = queue.Queue()
        self._told: list[dict[str, Any]] = []

        def read() -> None:
            for line in lines:
                self._lines.put(line)

        threading.Thread(target=read, daemon=True).start()

    def wait(self, alert: str, status: str, **labels: str) -> dict[str, Any]:
        """Return, once, what it tells of an alert: they come in any order."""
        wanted = {"alertname": alert, **labels}.items()
        while True:
            for told in self._told:
                if told["status"] == status and wanted <= told["labels"].items():
                    self._told.remove(told)
                    return told
            self._told += json.loads(self._lines.get(timeout=harness.PATIENCE))["alerts"]


@contextlib.contextmanager
def hook(machine: Machine, port: int) -> Iterator[Hook]:
    """Listen in the machine to what Alertmanager tells."""
    line = machine.line([PYTHON, "-c", _HOOK, str(port)])
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as made:
        assert made.stdin is not None
        assert made.stdout is not None
        yield Hook(made.stdout)
        # It ends with its input.
        made.stdin.close()


def units(names: Sequence[str], unit: str = SERVICE) -> str:
    """Return the names of units of these checks."""
    return " ".join(unit.format(name) for name in names)
