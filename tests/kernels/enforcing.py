"""SELinux enforces Debian's policy: the same answer as elsewhere, or UNKNOWN and the reason.

Run by `make test-kernels` in a machine with SELinux: without the module of the packages, and with
it. With it the check has a domain of its own, every answer is whole, and the kernel denies nothing.
What was seen is written to a file, for the page.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import harness
import pytest
from asking import USERS
from harness import Command
from lab import namespaces

from kernels.configured import COUNTS, GROUPS, TCP, sockets

__all__ = ["sockets"]

SEEN = Path("/run/seen")
MODULE = os.environ.get("NETWORK_CONNECTIONS_MODULE") == "1"
PLUGINS = "/usr/lib/nagios/plugins"
CHECK = Command("native", (f"{PLUGINS}/check_network_connections",), Path("/"))
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
ASKED = ("--source=auto", "--source=procfs", *GROUPS)
HINT = "(SELinux? see docs/permissions.md)"
DENIED = re.compile(r"avc: +denied +\{ ([^}]+) \}.* scontext=\S+:(\S+):s0 .* tclass=(\w+)")


def denied() -> list[str]:
    """Return what the kernel has denied since the last call: the domain, rights, and the class."""
    # A thread of the kernel writes it.
    time.sleep(0.3)
    line = ["dmesg", "--read-clear"]
    text = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    found = [(domain, right, what) for right, domain, what in DENIED.findall(text)]
    # The tests themselves are of this domain, which is permissive.
    return sorted({" ".join(one) for one in found if one[0] != "kernel_t"})


# The fixture says that nothing but the native command runs.
@pytest.mark.usefixtures("nobodys")
@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("asked", ASKED)
def test_answers(asked: str, domain: str, user: str) -> None:
    denied()
    before = namespaces.command(None, [*AS_NRPE, *DOMAINS[domain]], user)
    done = CHECK.run("--format=json", "--timeout=100", asked, before=before)
    given = json.loads(done.stdout)
    assert done.returncode == given["state"]
    refused = denied()
    seen = {
        "asked": asked,
        "domain": domain,
        "user": user,
        "answer": harness.reworded(given["message"]) if given["state"] == 3 else "",
        "denied": refused,
    }
    with SEEN.open("a", encoding="utf-8") as file:
        file.write(f"seen: {json.dumps(seen)}\n")
    if MODULE:
        assert given["state"] != 3, given["message"]
        assert refused == []
    elif given["state"] == 3:
        # SELinux is the only one here that refuses.
        assert HINT in given["message"] or "ermission denied" not in given["message"]
        return
    found = {group["label"]: group["count"] for group in given["groups"]}
    for label, count in GROUPS.get(asked, COUNTS).items():
        if MODULE or label in found:
            assert count in (None, found[label]), given
        else:
            assert label in given["message"] or "unix" in given["message"], given
    if asked.startswith("--group-by="):
        assert sum(found.values()) == sum(COUNTS.values())
    if MODULE:
        assert found or asked in ("--measure=stuck", "--measure=exhaustion"), given
        assert TCP not in GROUPS.get(asked, {}) or TCP in found
