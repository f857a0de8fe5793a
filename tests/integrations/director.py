"""A machine with Debian's Icinga Web, its Director, a database and Icinga 2, as a site has them."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import harness
import pytest

from integrations import host, machines
from integrations.daemons import INTEGRATIONS, wait_for
from integrations.icinga import Result
from integrations.machines import INSIDE, Machine

PACKAGES = (
    *machines.PACKAGES,
    *("icinga2-bin", "icinga2-common", "icingacli", "icingaweb2", "icingaweb2-module-director"),
    *("icingaweb2-module-monitoring", "mariadb-server", "php-cli", "php-curl", "php-intl"),
    *("php-mysql", "sudo"),
)
CHECK = "network-connections"
FOLDER = INTEGRATIONS / "linuxfabrik" / CHECK
BASKET = FOLDER / "icingaweb2-module-director" / f"{CHECK}.json"
# Where the collection has its plugins, on every Linux.
PLUGINS = "/usr/lib64/nagios/plugins"
# What it is called in the configuration of its own Icinga.
NODE = "master"
HOST = "web1"

_WEB = "/etc/icingaweb2"
_FILES = {
    f"{_WEB}/resources.ini": """
[director]
type = "db"
db = "mysql"
host = "localhost"
dbname = "director"
username = "director"
password = "director"
charset = "utf8"
""",
    f"{_WEB}/config.ini": """
[global]
config_backend = "none"
[logging]
log = "file"
file = "/var/log/icingaweb2.log"
level = "ERROR"
""",
    f"{_WEB}/modules/director/config.ini": """
[db]
resource = "director"
""",
    f"{_WEB}/modules/director/kickstart.ini": f"""
[config]
endpoint = "{NODE}"
host = "127.0.0.1"
username = "test"
password = "test"
""",
    "/etc/icinga2/icinga2.conf": f"""
const NodeName = "{NODE}"
const ZoneName = "{NODE}"
include <itl>
object CheckerComponent "checker" {{ }}
object ApiListener "api" {{ }}
object ApiUser "test" {{ password = "test"; permissions = [ "*" ] }}
object Endpoint "{NODE}" {{ }}
object Zone "{NODE}" {{ endpoints = [ "{NODE}" ] }}
object Zone "director-global" {{ global = true }}
""",
    # `api setup` keeps a copy of it, which Icinga cannot make across the file systems of a machine
    # that keeps nothing.
    "/etc/icinga2/constants.conf": f"""
const NodeName = "{NODE}"
const ZoneName = "{NODE}"
""",
    "/run/director.sql": """
CREATE DATABASE director CHARACTER SET utf8;
GRANT ALL ON director.* TO director@localhost IDENTIFIED BY 'director';
""",
}
# Prints what Icinga's API has to say of a path, or of what is sent there; null where it refuses.
_ASK = """
import base64, json, ssl, sys, urllib.error, urllib.request
body = sys.argv[2].encode() if sys.argv[2:] else None
headers = {"Authorization": "Basic " + base64.b64encode(b"test:test").decode()}
headers["Accept"] = "application/json"
request = urllib.request.Request("https://127.0.0.1:5665" + sys.argv[1], body, headers)
context = ssl._create_unverified_context()
try:
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        print(json.dumps(json.load(answer)["results"]))
except OSError:
    print("null")
"""
# In which order they need each other.
_SETUP = f"""
echo '127.0.0.1 localhost {NODE}' > /etc/hosts
systemctl start mariadb
mysql < /run/director.sql
systemd-run --pipe --wait --quiet icinga2 api setup --cn {NODE}
chown -R nagios:nagios /etc/icinga2 /var/lib/icinga2
systemctl restart icinga2
icingacli director migration run
"""


def version(package: str) -> str:
    """Return the version of a package in the machine."""
    return machines.version(package, PACKAGES)


def without_uuids(basket: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the collection's tools/basket-remove-uuids makes of a basket."""
    return {
        kind: {
            key: {name: value for name, value in entry.items() if name != "uuid"}
            for key, entry in objects.items()
        }
        for kind, objects in basket.items()
    }


@dataclass(frozen=True)
class Director:
    """The Director of a machine, by its command line, and the Icinga 2 that it deploys to."""

    machine: Machine

    def cli(self, *words: str, text: str = "", check: bool = True) -> str:
        """Run `icingacli director` with these words and return what it prints."""
        return self.machine.do(f"icingacli director {shlex.join(words)} 2>&1", text, check=check)

    def restore(self, basket: Mapping[str, Any]) -> str:
        """Restore a basket, and return what is said of it."""
        return self.cli("basket", "restore", text=json.dumps(basket), check=False)

    def create(self, kind: str, name: str, **properties: object) -> None:
        """Create an object."""
        self.cli(kind, "create", name, "--json", json.dumps(properties))

    def service(self, name: str, template: str, **variables: object) -> None:
        """Create a service of the host with variables."""
        self.create("service", name, host=HOST, imports=[template], vars=variables)

    def deploy(self) -> None:
        """Deploy what there is; the services are there when Icinga runs with it."""
        printed = self.cli("config", "deploy")
        assert "has been deployed" in printed, printed

    def query(self, sql: str) -> list[list[str]]:
        """Return the rows of a query to the Director's database."""
        printed = self.machine.do("mysql --batch --skip-column-names director", sql)
        return [row.split("\t") for row in printed.splitlines()]

    def fields(self, command: str) -> dict[str, str]:
        """Return the type of every field of a command, by its variable."""
        rows = self.query(
            "SELECT f.varname, f.datatype FROM icinga_command c"  # noqa: S608  (a name of ours)
            " JOIN icinga_command_field l ON l.command_id = c.id"
            " JOIN director_datafield f ON f.id = l.datafield_id"
            f" WHERE c.object_name = '{command}'"
        )
        return {name: kind.rsplit("DataType", 1)[1] for name, kind in rows}

    def ask(self, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Return the results of a request to Icinga's API, None where it was refused."""
        words = [path] if body is None else [path, json.dumps(body)]
        self.machine.write("/run/ask.py", _ASK)
        return json.loads(self.machine.do(f"python3 /run/ask.py {shlex.join(words)}"))

    def result(self, service: str) -> Result:
        """Have a service checked, and return the result."""
        name = f"{HOST}!{service}"
        path = f"/v1/objects/services/{name}"
        wait_for(lambda: self.ask(path), f"the deployed {service}")
        body = {"type": "Service", "service": name, "force": True}
        assert self.ask("/v1/actions/reschedule-check", body)

        def last() -> Result | None:
            (found,) = self.ask(path)
            return Result.of(found["attrs"])

        return wait_for(last, f"a result of {service}")


@contextlib.contextmanager
def bed() -> Iterator[Director]:
    """Boot a machine, and set up in it what a site has before the first basket."""
    if reason := machines.missing(PACKAGES):
        pytest.skip(reason)
    with host.apart() as apart, machines.booted(apart, packages=PACKAGES) as machine:
        made = Director(machine)
        for path, text in _FILES.items():
            machine.write(path, text)
        machine.do(_SETUP)
        wait_for(lambda: "ERROR" not in made.cli("kickstart", "run", check=False) or None, "Icinga")
        packages = "/usr/local/lib/python3.11/dist-packages"
        machine.do(
            f"mkdir -p {PLUGINS} {packages}; cp -r {INSIDE}/{harness.PACKAGE.name} {packages}"
        )
        machine.write(f"{PLUGINS}/{CHECK}", (FOLDER / CHECK).read_text(encoding="utf-8"))
        machine.do(f"chmod 755 {PLUGINS}/{CHECK}")
        # What the collection's own basket has, of which its templates are made.
        made.create("service", "tpl-service-generic", object_type="template")
        made.create("host", HOST, check_command="dummy")
        yield made
