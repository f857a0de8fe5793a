"""A machine with SELinux, which enforces Debian's policy, for `make test-kernels`.

Its Debian has two policies: as it comes, and with the module of the packages.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from page import table

from kernels import machines
from kernels.enforcing import PLUGIN_DOMAINS, PLUGINS, SEEN

ROOT = Path(__file__).resolve().parents[2]
NAME = "selinux"
# The kernel of the Debian that the policy is of.
KERNEL = "6.1"
WORDS = "security=selinux selinux=1 enforcing=0"
PACKAGES = (*machines.PACKAGES, "policycoreutils", "selinux-policy-default", "selinux-utils")
MODULE = ROOT / "integrations" / "selinux" / "network-connections.cil"
PAGE = ROOT / "docs" / "evidence" / "selinux.md"
# Names that /etc/selinux/config knows the policies by.
WITHOUT, WITH = "default", "module"
TESTS = "tests/kernels/enforcing.py"


def debian() -> Path:
    """Return the root directory of a Debian with its policy: never write to it."""
    path = machines.cache() / NAME
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as name:
            root = Path(name, "root")
            line = ["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root"]
            line += [f"--include={','.join(PACKAGES)}", f"--keyring={machines.KEYS}"]
            subprocess.run([*line, "bookworm", str(root), machines.MIRROR], check=True)
            root.rename(path)
    return path


def base(directory: Path) -> Path:
    """Return an archive of that Debian with both policies."""
    root, made = directory / "debian", directory / "debian.cpio"
    subprocess.run(["cp", "--archive", debian(), root], check=True)
    policies = root / "etc" / "selinux"
    for module in (Path(__file__).with_name("machine.cil"), MODULE):
        if module == MODULE:
            shutil.copytree(policies / WITHOUT, policies / "kept", symlinks=True)
        shutil.copy(module, root)
        line = ["chroot", str(root), "semodule", "--noreload", "--install", f"/{module.name}"]
        subprocess.run(line, check=True)
    (policies / WITHOUT).rename(policies / WITH)
    (policies / "kept").rename(policies / WITHOUT)
    machines.archive(root, made, (*machines.LEFT_OUT, "var/lib/selinux"))
    return made


def script(pytest_line: str) -> Iterator[str]:
    """Yield what the machine runs; `pytest_line` runs the tests."""
    yield "mount -t selinuxfs selinuxfs /sys/fs/selinux"
    # Every denial is told.
    yield "echo 0 >/proc/sys/kernel/printk_ratelimit"
    yield "load_policy -i; restorecon -RF /usr /etc /bin /run /dev"
    yield f"mkdir -p {PLUGINS}; restorecon -R /usr/lib/nagios"
    yield f'cp "$NETWORK_CONNECTIONS_NATIVE" {PLUGINS}/check_network_connections'
    yield "cp /bin/dash /usr/sbin/nrpe; restorecon -F /usr/sbin/nrpe"
    for module, policy in enumerate((WITHOUT, WITH)):
        yield f"echo SELINUXTYPE={policy} >/etc/selinux/config; load_policy"
        yield f"restorecon -RFv {PLUGINS}"
        for name in PLUGIN_DOMAINS:
            file = f"{PLUGINS}/{name}"
            yield f"cp /bin/dash {file}; chcon -t nagios_{name}_plugin_exec_t {file}"
        yield "echo 1 >/sys/fs/selinux/enforce"
        yield f"export NETWORK_CONNECTIONS_MODULE={module}; {pytest_line}"
        yield f"echo 0 >/sys/fs/selinux/enforce; cat {SEEN}; rm {SEEN}; echo next"


INTRODUCTION = """# SELinux

Written by `make test-kernels KERNELS=selinux` with `NETWORK_CONNECTIONS_WRITE_DOCS=1`: Linux
{version}, Debian's policy, enforcing. NRPE's domain starts the check, and so do scripts whose
files have the types of plugins, as root and as nobody.

With the module of `network-connections-selinux` every answer is the one of a machine without
SELinux, and nothing is denied ({with_module} questions). Without it, "answered" means that the
answer is not UNKNOWN; it says what it could not see.
"""


def write_page(output: str) -> None:
    """Write docs/evidence/selinux.md, from what the machine has printed."""
    parts = output.split("\nnext\n")
    without, with_module = ([*_seen(part)] for part in parts[:2])
    rows = [_row(asked, domain, group) for (asked, domain), group in _grouped(without)]
    text = INTRODUCTION.format(version=machines.release(_machine()), with_module=len(with_module))
    headings = ["Asked", "Domain", "Answer", "Denied"]
    PAGE.write_text(f"{text}\n{table(headings, rows)}", encoding="utf-8")


def _machine() -> machines.Machine:
    (found,) = (one for one in machines.MACHINES if one.name == KERNEL)
    return found


Seen = dict[str, "str | list[str]"]


def _seen(output: str) -> Iterator[Seen]:
    for text in re.findall(r"^seen: (.+)", output, re.M):
        yield json.loads(text)


def _grouped(seen: Iterable[Seen]) -> Iterator[tuple[tuple[str, str], Sequence[Seen]]]:
    keys: dict[tuple[str, str], list[Seen]] = {}
    for one in seen:
        keys.setdefault((str(one["asked"]), str(one["domain"])), []).append(one)
    yield from keys.items()


def _row(asked: str, domain: str, seen: Sequence[Seen]) -> list[str]:
    answers: dict[str, list[str]] = {}
    for one in seen:
        answers.setdefault(str(one["answer"] or "answered"), []).append(str(one["user"]))
    told = [
        answer if len(answers) == 1 else f"{' and '.join(users)}: {answer}"
        for answer, users in answers.items()
    ]
    denied = {str(what) for one in seen for what in one["denied"]}
    return [f"`{asked}`", f"`{domain}`", "; ".join(told), ", ".join(sorted(denied)) or "nothing"]
