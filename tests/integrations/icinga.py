"""Icinga 2 as a fleet runs it: a master, and an agent that it has to execute checks."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lab import namespaces
from lab.namespaces import Pair

from integrations import daemons
from integrations.daemons import INTEGRATIONS, PLUGINS, owned, private, running, wait_for

DAEMON = "/usr/sbin/icinga2"
CONFIGURATION = INTEGRATIONS / "icinga2"
PROGRAMS = (DAEMON, "/usr/lib/icinga2/prepare-dirs", "/usr/bin/openssl")

_TOKEN = base64.b64encode(b"test:test").decode()
_START = "/usr/lib/icinga2/prepare-dirs /usr/lib/icinga2/icinga2 && exec icinga2 daemon"

# What the setup of a node writes; the services come from the API and from the examples.
_CONFIGURATION = """
const NodeName = "{name}"
const ZoneName = "{name}"
const PluginDir = "{plugins}"
include <itl>
object CheckerComponent "checker" {{ }}
object ApiListener "api" {{ {listener} }}
object ApiUser "test" {{ password = "test"; permissions = [ "*" ] }}
object Endpoint "master" {{ {master} }}
object Endpoint "agent" {{ {agent} }}
object Zone "master" {{ endpoints = [ "master" ] }}
object Zone "agent" {{ endpoints = [ "agent" ]; parent = "master" }}
object Zone "global-templates" {{ global = true }}
"""

HOSTS = """
template Host "quiet" { check_command = "dummy"; enable_active_checks = false }

object Host "master" {
  import "quiet"
  vars.network_connections = true
  vars.network_connections_counts = true
  vars.network_connections_peers["database"] = { address = "127.0.0.1", port = 5432 }
  vars.network_connections_peers["idle"] = { address = "127.0.0.1", port = 5433, no_match = "ok" }
  vars.network_connections_listeners["here"] = 7001
  vars.network_connections_listeners["gone"] = 7002
  vars.network_connections_allowed = [ 5665, "9443=1:", "10.0.0.0/8:5432" ]
  vars.network_connections_containers = true
}

object Host "agent" {
  import "quiet"
  vars.network_connections = true
  vars.network_connections_counts = true
}

object Host "plain" {
  import "quiet"
  vars.network_connections = true
}

object Host "unwatched" { import "quiet" }
"""


@dataclass(frozen=True)
class Result:
    """The result of a check, as the web interface gets it from the API."""

    state: int
    output: str
    perfdata: list[str]
    command: list[str]
    source: str

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> Result | None:
        """Return the last result in the attributes of a service, if there was one."""
        last = attributes["last_check_result"]
        return last and cls(
            state=int(last["state"]),
            output=last["output"],
            perfdata=last["performance_data"],
            command=last["command"] or [],
            source=last["check_source"],
        )

    @property
    def first(self) -> str:
        """The line that lists and notifications show."""
        return self.output.split("\n")[0]


@dataclass(frozen=True)
class Node:
    """An Icinga 2 daemon, by its REST API."""

    name: str
    ns: str
    directory: Path
    port: int = 5665

    def ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Send a request and return the answer; None where it was refused."""
        context = ssl.create_default_context()
        context.check_hostname = False
        # The certificate is a second old: it would not be valid yet where the clock is set back.
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=context, timeout=10
        )
        with contextlib.closing(connection):
            # The socket stays in the namespace where it is made.
            with namespaces.inside(self.ns):
                connection.connect()
            headers = {"Accept": "application/json", "Authorization": f"Basic {_TOKEN}"}
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, headers)
            response = connection.getresponse()
            answer = response.read()
        return json.loads(answer) if response.status == 200 else None

    def attributes(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return the attributes of an object, None where there is none or no daemon yet."""
        try:
            answer = self.ask("GET", f"/v1/objects/{kind}/{quote(name, safe='')}")
        except (OSError, http.client.HTTPException):
            return None
        return None if answer is None else answer["results"][0]["attrs"]

    def add(self, service: str, **attributes: object) -> None:
        """Add a service; `vars` and other attributes as in the configuration."""
        settled = {"check_command": "network-connections", "enable_active_checks": False}
        body = {"attrs": {**settled, **attributes}}
        assert self.ask("PUT", f"/v1/objects/services/{quote(service)}", body), service

    def change(self, service: str, attributes: Mapping[str, object]) -> None:
        """Change attributes of a service."""
        path = f"/v1/objects/services/{quote(service)}"
        assert self.ask("POST", path, {"attrs": attributes}), service

    def check(self, service: str, source: str = "") -> Result:
        """Have a service checked now, and return the result; that of the node `source`.

        While a check runs that was started before, Icinga starts no other: so it is asked again.
        """
        started = time.time()
        ask_next = started

        def result() -> Result | None:
            nonlocal ask_next
            if time.time() >= ask_next:
                when = {"force": True, "next_check": ask_next}
                body = {"type": "Service", "service": service, **when}
                assert self.ask("POST", "/v1/actions/reschedule-check", body)["results"], service
                ask_next += 5
            attributes = self.attributes("services", service)
            if not attributes or not (last := attributes["last_check_result"]):
                return None
            if last["execution_start"] < started or source not in last["check_source"]:
                return None
            return Result.of(attributes)

        return wait_for(result, f"a result of {service}", log=self.directory / "output")


@dataclass(frozen=True)
class Fleet:
    """A master in the namespace `hosts.a` and its agent in `hosts.b`."""

    hosts: Pair
    master: Node
    agent: Node


def certificate(directory: Path, name: str) -> Path:
    """Return where a node keeps a certificate."""
    return directory / "lib" / "certs" / f"{name}.crt"


def shown(directory: Path, plugins: Path) -> dict[Path, Path]:
    """Return which directories a node has for itself, and where it sees them."""
    places = {
        "etc": "/etc/icinga2",
        "lib": "/var/lib/icinga2",
        "log": "/var/log/icinga2",
        "cache": "/var/cache/icinga2",
        "spool": "/var/spool/icinga2",
        "sudoers": "/etc/sudoers.d",
    }
    return {
        **{directory / name: Path(place) for name, place in places.items()},
        plugins: PLUGINS,
    }


def prepare(directory: Path, name: str, files: Mapping[str, str]) -> None:
    """Set a node up: its configuration and what else lies in its directory."""
    is_agent = name == "agent"
    main = _CONFIGURATION.format(
        name=name,
        plugins=PLUGINS,
        listener="accept_commands = true; accept_config = true" if is_agent else "",
        # Each connects to the other, so that neither waits for the other's next try.
        master=f'host = "{Pair.a4}"' if is_agent else "",
        agent="" if is_agent else f'host = "{Pair.b4}"',
    )
    for path, text in {"etc/icinga2.conf": main, **files}.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text, encoding="utf-8")
    for place in ("lib/certs", "log", "cache", "spool"):
        (directory / place).mkdir(parents=True, exist_ok=True)
    sudoers = directory / "sudoers"
    sudoers.mkdir(exist_ok=True)
    owned(directory)
    for entry in (sudoers, *sudoers.iterdir()):
        shutil.chown(entry, "root", "root")
        entry.chmod(0o755 if entry.is_dir() else 0o440)


def certify(directories: Sequence[Path]) -> None:
    """Make a certificate authority, and a certificate for every node by the name of its place.

    What `icinga2 pki` does, with keys that take no seconds to make.
    """
    authority = certificate(directories[0], "ca")
    key = authority.with_suffix(".key")
    new = ["openssl", "req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt"]
    new.append("ec_paramgen_curve:P-256")
    sign = ["openssl", "x509", "-req", "-days", "2", "-extfile", "/dev/stdin"]

    def run(line: list[str], text: str = "") -> None:
        subprocess.run(line, input=text, text=True, check=True, capture_output=True)

    run([*new, "-x509", "-subj", "/CN=Icinga CA", "-keyout", str(key), "-out", str(authority)])
    for directory in directories:
        name = directory.name
        signed = certificate(directory, name)
        request = str(signed.with_suffix(".csr"))
        keys = ["-keyout", str(signed.with_suffix(".key")), "-out", request]
        run([*new, "-subj", f"/CN={name}", *keys])
        by = ["-CA", str(authority), "-CAkey", str(key), "-CAcreateserial"]
        run([*sign, *by, "-in", request, "-out", str(signed)], f"subjectAltName = DNS:{name}")
        if directory is not directories[0]:
            shutil.copy(authority, certificate(directory, "ca"))
        owned(directory / "lib")


@contextlib.contextmanager
def node(directory: Path, ns: str, plugins: Path) -> Iterator[Node]:
    """Run the node that has been set up in a directory by its name."""
    log = directory / "output"
    line = private(["sh", "-c", _START], shown(directory, plugins))
    with running(ns, line, log) as daemon:
        made = Node(directory.name, ns, directory)
        wait_for(
            lambda: made.attributes("zones", "master"),
            f"the API of {directory.name}",
            daemon=daemon,
            log=log,
        )
        yield made


@contextlib.contextmanager
def fleet(hosts: Pair, plugins: Mapping[str, Path]) -> Iterator[Fleet]:
    """Run a master, whose check is the wheel's, and an agent, whose check is the native one."""
    command = (CONFIGURATION / "network-connections.conf").read_text(encoding="utf-8")
    examples = (CONFIGURATION / "examples.conf").read_text(encoding="utf-8")
    allowed = f"nagios ALL = (root) NOPASSWD: {PLUGINS}/check_network_connections\n"
    with daemons.directory() as path, contextlib.ExitStack() as stack:
        directories = [path / "master", path / "agent"]
        prepare(
            directories[0],
            "master",
            {
                "etc/zones.d/global-templates/network-connections.conf": command,
                "etc/zones.d/master/hosts.conf": HOSTS,
                "etc/zones.d/master/network-connections-examples.conf": examples,
                "sudoers/network-connections": allowed,
            },
        )
        prepare(directories[1], "agent", {"sudoers/network-connections": allowed})
        certify(directories)
        made = Fleet(
            hosts,
            agent=stack.enter_context(node(directories[1], hosts.b, plugins["native"])),
            master=stack.enter_context(node(directories[0], hosts.a, plugins["wheel"])),
        )
        wait_for(
            lambda: made.agent.attributes("checkcommands", "network-connections"),
            "the agent to get the master's configuration",
            log=made.agent.directory / "output",
        )
        wait_for(
            lambda: (made.master.attributes("endpoints", "agent") or {})["connected"] or None,
            "the agent to be connected",
            log=made.master.directory / "output",
        )
        yield made
