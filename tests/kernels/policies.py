"""The Debian of the machines where a policy confines the check: SELinux's, or AppArmor's."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kernels import machines

ROOT = Path(__file__).resolve().parents[2]
# The kernel of the Debian that the policies are of.
KERNEL = "6.1"
PACKAGES = (
    *machines.PACKAGES,
    "apparmor",
    "policycoreutils",
    "selinux-policy-default",
    "selinux-utils",
    "sudo",
)
LEFT_OUT = (*machines.LEFT_OUT, "var/lib/selinux")
PLUGINS = "/usr/lib/nagios/plugins"
CHECK = f"{PLUGINS}/check_network_connections"
# The copy of docs/permissions.md, and its rights.
WITH_RIGHTS = "_with_rights"
RIGHTS = "cap_sys_ptrace,cap_dac_read_search,cap_sys_admin=ep"


def debian() -> Path:
    """Return the root directory of that Debian: never write to it."""
    path = machines.cache() / "policies"
    with machines.MAKING, tempfile.TemporaryDirectory(dir=path.parent) as name:
        if not path.exists():
            root = Path(name, "root")
            line = ["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root"]
            line += [f"--include={','.join(PACKAGES)}", f"--keyring={machines.KEYS}"]
            subprocess.run([*line, "bookworm", str(root), machines.MIRROR], check=True)
            root.rename(path)
    return path


def release() -> str:
    """Return what `uname -r` says there."""
    (found,) = (one for one in machines.MACHINES if one.name == KERNEL)
    return machines.release(found)


def begun() -> Iterator[str]:
    """Yield the first commands of a machine."""
    # The kernel keeps back no denial.
    yield "echo 0 >/proc/sys/kernel/printk_ratelimit"
    # The sockets of the tests are of a unit.
    unit = "/sys/fs/cgroup/system.slice/lab.service"
    yield f"mkdir -p {unit}; echo $$ >{unit}/cgroup.procs"
    yield f"mkdir -p {PLUGINS}"


def installed(path: str) -> Iterator[str]:
    """Yield what installs the check, and the copy that has rights of its own."""
    yield f'cp "$NETWORK_CONNECTIONS_NATIVE" {path}'
    yield f"install --group=nogroup --mode=750 {path} {path}{WITH_RIGHTS}"
    yield f"setcap {RIGHTS} {path}{WITH_RIGHTS}"
