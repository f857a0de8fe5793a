"""Takes a picture of an alert in Icinga Web: docs/icinga-alert.png.

    python tools/screenshot.py

It boots a machine (tests/integrations/machines.py) with Debian's Icinga 2, Icinga DB, Icinga Web
and Chromium. A service in the machine leaks connections. Icinga runs the check that examples.conf
has for them until the alert is hard, and Chromium opens the page of the alert. So the picture shows
nothing of the host.
"""

from __future__ import annotations

import base64
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from integrations.daemons import INTEGRATIONS, wait_for  # noqa: E402
from integrations.director import Director  # noqa: E402
from integrations.machines import Machine  # noqa: E402

from integrations import host, machines  # noqa: E402

PICTURE = ROOT / "docs" / "icinga-alert.png"
# Every clone has the picture: it stays small.
LIMIT = 150_000
WIDTH = 1040
PACKAGES = (
    *machines.PACKAGES,
    *("chromium-driver", "fonts-liberation", "icinga2-bin", "icinga2-common", "icingacli"),
    *("icingadb", "icingadb-web", "icingaweb2", "mariadb-server", "php-cli", "php-curl"),
    *("php-intl", "php-mysql", "python3-selenium", "redis-server"),
)
# The name of the machine in Icinga.
HOST = "web1"
SERVICE = "network-connections-close-wait"
URL = f"http://127.0.0.1/icingadb/service?name={SERVICE}&host.name={HOST}"

_WEB = "/etc/icingaweb2"
_FILES = {
    f"{_WEB}/authentication.ini": '[external]\nbackend = "external"\n',
    f"{_WEB}/roles.ini": '[administrators]\nusers = "admin"\npermissions = "*"\n',
    f"{_WEB}/config.ini": """
[global]
config_backend = "none"
[logging]
log = "file"
file = "/var/log/icingaweb2.log"
level = "ERROR"
""",
    f"{_WEB}/resources.ini": """
[icingadb]
type = "db"
db = "mysql"
host = "localhost"
dbname = "icingadb"
username = "icingadb"
password = "icingadb"
charset = "utf8mb4"
""",
    f"{_WEB}/modules/icingadb/config.ini": '[icingadb]\nresource = "icingadb"\n',
    f"{_WEB}/modules/icingadb/redis.ini": '[redis1]\nhost = "127.0.0.1"\nport = 6379\n',
    "/etc/icingadb/config.yml": """
database: {host: localhost, database: icingadb, user: icingadb, password: icingadb}
redis: {host: 127.0.0.1, port: 6379}
""",
    "/etc/icinga2/constants.conf": f"""
const NodeName = "{HOST}"
const ZoneName = "{HOST}"
const PluginDir = "/usr/lib/nagios/plugins"
""",
    "/etc/icinga2/icinga2.conf": """
include "constants.conf"
include <itl>
include "network-connections.conf"
include "examples.conf"
object CheckerComponent "checker" { }
object ApiListener "api" { }
object ApiUser "test" { password = "test"; permissions = [ "*" ] }
object Endpoint NodeName { }
object Zone NodeName { endpoints = [ NodeName ] }
object IcingaDB "icingadb" { host = "127.0.0.1"; port = 6379 }
object Host NodeName {
  check_command = "dummy"
  vars.network_connections_counts = true
}
""",
    "/run/icingadb.sql": """
CREATE DATABASE icingadb;
GRANT ALL ON icingadb.* TO icingadb@localhost IDENTIFIED BY 'icingadb';
""",
}
# In the order in which they need each other.
_SETUP = f"""
echo '127.0.0.1 localhost {HOST}' > /etc/hosts
mkdir -p /usr/lib/nagios/plugins {_WEB}/enabledModules
cp {machines.COMMANDS["native"][0]} /usr/lib/nagios/plugins/check_network_connections
ln -s /usr/share/icingaweb2/modules/icingadb {_WEB}/enabledModules/
systemctl start mariadb redis-server
mysql < /run/icingadb.sql
mysql icingadb < /usr/share/icingadb/schema/mysql/schema.sql
systemd-run --pipe --wait --quiet icinga2 api setup --cn {HOST}
chown -R nagios:nagios /etc/icinga2 /var/lib/icinga2
systemctl restart icinga2 icingadb
systemd-run --quiet --unit=web --setenv=REMOTE_USER=admin --setenv=PHP_CLI_SERVER_WORKERS=4 \
    icingacli web serve --listen=127.0.0.1:80
"""
# A link to the clients, which have a network of their own.
_LINK = """
clients=$(systemctl show --property=MainPID --value clients.service)
ip link add lab type veth peer name lab netns "$clients"
ip address add 192.0.2.1/24 dev lab
ip link set lab up
for number in 2 3; do
    nsenter --target="$clients" --net ip address add 192.0.2.$number/24 dev lab
done
nsenter --target="$clients" --net ip link set lab up
"""


# Opens the page, unfolds the output as a person does, and prints the picture down to its end.
_BROWSE = """
import sys
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait
url, width = sys.argv[1], int(sys.argv[2])
options = webdriver.ChromeOptions()
for switch in ("headless=new", "no-sandbox", "hide-scrollbars", f"window-size={width},1000"):
    options.add_argument(f"--{switch}")
with webdriver.Chrome(options=options) as browser:
    size = {"width": width, "height": 1000, "deviceScaleFactor": 2, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(url)

    def found(css):
        return WebDriverWait(browser, 20).until(lambda _: browser.find_element("css selector", css))

    # The menu gets the number of problems after the page is there.
    found("#menu .badge")
    fold = found("[id^=check-output-] + .collapsible-control > button")
    fold.click()
    browser.execute_script("document.activeElement.blur()")
    end = fold.rect["y"] + fold.rect["height"]
    clip = {"x": 0, "y": 0, "width": width, "height": end, "scale": 1}
    print(browser.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip})["data"])
"""


def main() -> None:
    """Take the picture."""
    if reason := machines.missing(PACKAGES):
        sys.exit(reason)
    with host.apart() as apart, machines.booted(apart, packages=PACKAGES) as machine:
        install(machine)
        with leak(machine):
            alert(machine)
            taken = photograph(machine)
    if len(taken) > LIMIT:
        sys.exit(f"the picture has {len(taken)} bytes, more than {LIMIT}")
    PICTURE.write_bytes(taken)


def install(machine: Machine) -> None:
    """Set up Icinga, its web interface and the check."""
    for path, text in _FILES.items():
        machine.write(path, text)
    for name in ("network-connections.conf", "examples.conf"):
        text = (INTEGRATIONS / "icinga2" / name).read_text(encoding="utf-8")
        machine.write(f"/etc/icinga2/{name}", text)
    machine.do(_SETUP)


@contextlib.contextmanager
def leak(machine: Machine) -> Iterator[None]:
    """Let a service keep what its clients and its backend have closed, beside others."""
    with contextlib.ExitStack() as stack:
        clients = stack.enter_context(machine.actor("clients.service", "PrivateNetwork=yes"))
        machine.do(_LINK)
        for name, port, count, left in (
            ("leaky", 8080, 412, 412),
            ("nginx", 8443, 60, 3),
            ("postgres", 5432, 25, 1),
        ):
            machine.do(f"useradd --system {name}")
            server = stack.enter_context(machine.actor(f"{name}.service", f"User={name}"))
            server.do("listen", "192.0.2.1", port)
            clients.do("connect", "192.0.2.1", port, count, "192.0.2.2")
            server.do("accept", port, count)
            clients.do("shut", port, left)
            if name == "leaky":
                clients.do("listen", "192.0.2.3", 443)
                server.do("connect", "192.0.2.3", 443, 400)
                clients.do("accept", 443, 400)
                clients.do("shut", 443)
        yield


def alert(machine: Machine) -> None:
    """Have Icinga check until the alert is hard, and wait until the database has it."""
    icinga = Director(machine)
    path = f"/v1/objects/services/{HOST}!{SERVICE}"
    body = {"type": "Service", "service": f"{HOST}!{SERVICE}", "force": True}
    wait_for(lambda: icinga.ask(path), "Icinga")

    def hard() -> bool | None:
        icinga.ask("/v1/actions/reschedule-check", body)
        (found,) = icinga.ask(path)
        state = found["attrs"]["state"], found["attrs"]["state_type"]
        return True if state == (2, 1) else None

    wait_for(hard, "the alert")
    query = (
        "SELECT 1 FROM service_state s JOIN service ON service.id = s.service_id"  # noqa: S608  (ours)
        f" WHERE name = '{SERVICE}' AND hard_state = 2"
    )
    wait_for(lambda: machine.do("mysql icingadb", query) or None, "the alert in the database")


def photograph(machine: Machine) -> bytes:
    """Return what Chromium shows of the alert."""
    machine.write("/run/browse.py", _BROWSE)
    return base64.b64decode(machine.do(f"python3 /run/browse.py '{URL}' {WIDTH}"))


if __name__ == "__main__":
    main()
