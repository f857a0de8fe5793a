"""What the tests need besides Rust and Python, and the Debian packages that have it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

# Seconds after which a wait for anything is a failure. Emulated machines are slow.
PATIENCE = int(os.environ.get("NETWORK_CONNECTIONS_PATIENCE", "60"))

# A path is looked for as it is, anything else on PATH.
PACKAGES = {
    "bash": "bash",
    "cc": "gcc",
    "conmon": "conmon",
    "fish": "fish",
    "groff": "groff",
    "ip": "iproute2",
    "iptables": "iptables",
    "lintian": "lintian",
    "mandoc": "mandoc",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "podman": "podman",
    "promtool": "prometheus",
    "rpm": "rpm",
    "rpmlint": "rpmlint",
    "runc": "runc",
    "setcap": "libcap2-bin",
    "setpriv": "util-linux",
    "ss": "iproute2",
    "strace": "strace",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
    "zsh": "zsh",
    "/run/nscd": "nscd",
    "/usr/bin/openssl": "openssl",
    "/usr/bin/sudo": "sudo",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/lib/icinga2/prepare-dirs": "icinga2-common",
    "/usr/lib/nagios/plugins/check_nrpe": "nagios-nrpe-plugin",
    "/usr/sbin/icinga2": "icinga2-bin",
    "/usr/sbin/nagios4": "nagios4-core",
    "/usr/sbin/nrpe": "nagios-nrpe-server",
    "/var/lib/extrausers": "libnss-extrausers",
}


def lacking(*needed: str) -> str:
    """Why nothing can be done here that needs these; empty if they are all here."""
    absent = [name for name in needed if not (Path(name).exists() if "/" in name else _found(name))]
    if not absent:
        return ""
    packages = sorted({PACKAGES[name] for name in absent})
    return f"not installed: {', '.join(absent)} (Debian: {' '.join(packages)})"


def _found(command: str) -> bool:
    return shutil.which(command) is not None


def packages(reasons: Iterable[str]) -> list[str]:
    """Return the packages that such reasons name."""
    named = [re.findall(r"\(Debian: ([^)]+)\)", reason) for reason in reasons]
    return sorted({package for found in named for names in found for package in names.split()})
