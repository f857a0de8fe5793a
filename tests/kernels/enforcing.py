"""SELinux enforces Debian's policy: the same answer as elsewhere, or UNKNOWN and the reason.

Run by `make test-kernels` in a machine with SELinux: without the module of the packages, and with
it, also by sudo and by a copy with rights of its own. With it the check has a domain of its own,
every answer is whole, and the kernel denies nothing. What was seen is written to a file, for the
page.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import harness
import pytest
from harness import Command, says
from lab import namespaces

from kernels.configured import COUNTS, GROUPS, TCP, sockets
from kernels.policies import CHECK, PLUGINS, WITH_RIGHTS

__all__ = ["sockets"]

SEEN = Path("/run/seen")
# Names that /etc/selinux/config knows the policies by.
WITHOUT, WITH, SUDO = "debian", "module", "sudo"
POLICY = os.environ.get("NETWORK_CONNECTIONS_POLICY", WITHOUT)
MODULE = POLICY != WITHOUT
BY_SUDO, BY_RIGHTS = "nobody, by sudo", "nobody, by the copy with rights"
# As NRPE starts its commands: the pipe is its own.
NRPE = 'out=$("$@" 2>&1); code=$?; printf "%s\\n" "$out"; exit $code'
AS_NRPE = ["runcon", "--user=system_u", "--role=system_r", "--type=nrpe_t"]
AS_NRPE += ["/usr/sbin/nrpe", "-c", NRPE, "nrpe"]
# Shells whose files have the types of plugins: a script around the check is of their domain.
# Others, such as nagios_admin_plugin_t, may start no program.
PLUGIN_DOMAINS = ("services", "system")
DOMAINS: dict[str, list[str]] = {
    "nrpe_t": [],
    **{
        f"nagios_{name}_plugin_t": [f"{PLUGINS}/{name}", "-c", '"$@"', name]
        for name in PLUGIN_DOMAINS
    },
}
# The users, and the domains that start the check for each.
USERS = {
    WITHOUT: {"root": [*DOMAINS], "nobody": [*DOMAINS]},
    WITH: {"root": [*DOMAINS], "nobody": [*DOMAINS], BY_RIGHTS: ["nrpe_t"]},
    SUDO: {BY_SUDO: ["nrpe_t"]},
}
ASKED = ("--source=auto", "--source=procfs", *GROUPS)
FILES = "--measure=open-files --lengthy"
# Asked with the module alone.
LENGTHY = ("--group-by=program", "--lengthy", "--netns=all --lengthy --group-by=unit", FILES)
REFUSED, HINT = says("EACCES"), "(SELinux? see docs/permissions.md)"
DENIED = re.compile(
    r"avc: +denied +\{ ([^}]+) \}.* scontext=\S+:(\S+):s0 .* tclass=(\w+) permissive=([01])"
)


def denied() -> list[str]:
    """Return what the kernel has denied since the last call: the domain, rights, and the class."""
    # A thread of the kernel writes it.
    time.sleep(0.3)
    line = ["dmesg", "--read-clear"]
    text = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    # The tests themselves are of this domain, and their sudo of NRPE's: both are permissive.
    mine = [one for one in DENIED.findall(text) if one[3] == "0" and one[1] != "kernel_t"]
    return sorted({f"{domain} {right} {what}" for right, domain, what, _ in mine})


@pytest.fixture(scope="module", autouse=True)
def others(sockets: None) -> Iterator[None]:
    """Hold the most files of all processes, and sockets that no table has."""
    with contextlib.ExitStack() as held:
        for _ in range(500):
            held.enter_context(Path(__file__).open(encoding="utf-8"))
        for family, kind in (
            (socket.AF_INET, socket.SOCK_STREAM),
            (socket.AF_UNIX, socket.SOCK_DGRAM),
            (socket.AF_NETLINK, socket.SOCK_RAW),
            (socket.AF_PACKET, socket.SOCK_RAW),
        ):
            held.enter_context(socket.socket(family, kind))
        yield


# The fixture says that nothing but the native command runs.
@pytest.mark.usefixtures("nobodys")
@pytest.mark.parametrize(
    ("user", "domain"),
    [(user, domain) for user, domains in USERS[POLICY].items() for domain in domains],
)
@pytest.mark.parametrize("asked", [*ASKED, *(LENGTHY if MODULE else ())])
def test_answers(asked: str, domain: str, user: str) -> None:
    denied()
    before = [*AS_NRPE, *DOMAINS[domain], *(["/usr/bin/sudo"] if user == BY_SUDO else [])]
    before = namespaces.command(None, before, user.partition(",")[0])
    check = Command("native", (CHECK + (WITH_RIGHTS if user == BY_RIGHTS else ""),), Path("/"))
    done = check.run("--format=json", "--timeout=100", *asked.split(), before=before)
    given = json.loads(done.stdout)
    assert done.returncode == given["state"]
    refused = denied()
    message = harness.reworded(given["message"])
    seen = {
        "asked": asked,
        "domain": domain,
        "user": user,
        "answer": message if given["state"] == 3 else "",
        "denied": refused,
    }
    with SEEN.open("a", encoding="utf-8") as file:
        file.write(f"seen: {json.dumps(seen)}\n")
    if MODULE:
        assert given["state"] != 3, message
        assert refused == []
    # SELinux is the only one here that refuses.
    assert message.count(REFUSED) == message.count(f"{REFUSED} {HINT}"), message
    if given["state"] == 3:
        return
    found = {group["label"]: group["count"] for group in given["groups"]}
    expected = {} if asked in LENGTHY else GROUPS.get(asked, COUNTS)
    for label, count in expected.items():
        if MODULE or label in found:
            assert count in (None, found[label]), given
        else:
            assert label in given["message"] or "unix" in given["message"], given
    if asked == FILES and user != "nobody":
        # How many are in no state.
        (row,) = re.findall(r"^\d+ +! python3 .*", message, re.M)
        assert int(row.split("!")[-2]) > 0
    if asked == "--group-by=unit" and MODULE:
        assert [*found] == ["lab.service"]
    if asked.startswith("--group-by="):
        assert sum(found.values()) == sum(COUNTS.values())
    if MODULE:
        assert found or asked in ("--measure=stuck", "--measure=exhaustion"), given
        assert TCP not in GROUPS.get(asked, {}) or TCP in found
