"""A machine with SELinux, which enforces Debian's policy, for `make test-kernels`.

Its Debian has three policies: as it comes, with the module of the packages, and with NRPE allowed
all that sudo does besides.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from page import table

from kernels import machines, policies
from kernels.enforcing import PLUGIN_DOMAINS, SEEN, SUDO, WITH, WITHOUT
from kernels.policies import ROOT

NAME = "selinux"
WHAT = "`enforcing`, without the module, with it, and with sudo"
WORDS = "security=selinux selinux=1 enforcing=0"
MODULE = ROOT / "integrations" / "selinux" / "network-connections.cil"
PAGE = ROOT / "docs" / "evidence" / "selinux.md"
TESTS = "tests/kernels/enforcing.py"


def base(directory: Path) -> Path:
    """Return an archive of a Debian with these policies."""
    root, made = directory / "debian", directory / "debian.cpio"
    subprocess.run(["cp", "--archive", policies.debian(), root], check=True)
    kept = root / "etc" / "selinux"
    here = Path(__file__).parent
    for name, module in {
        WITHOUT: here / "machine.cil",
        WITH: MODULE,
        SUDO: here / "machine-sudo.cil",
    }.items():
        shutil.copy(module, root)
        line = ["chroot", str(root), "semodule", "--noreload", "--install", f"/{module.name}"]
        subprocess.run(line, check=True)
        shutil.copytree(kept / "default", kept / name, symlinks=True)
    machines.archive(root, made, policies.LEFT_OUT)
    return made


def script(pytest_line: str) -> Iterator[str]:
    """Yield what the machine runs; `pytest_line` runs the tests."""
    yield "mount -t selinuxfs selinuxfs /sys/fs/selinux"
    yield f"echo SELINUXTYPE={WITHOUT} >/etc/selinux/config"
    yield "load_policy -i; restorecon -RF /usr /etc /bin /run /dev"
    yield from policies.begun()
    yield from policies.installed(policies.CHECK)
    yield "cp /bin/dash /usr/sbin/nrpe; restorecon -F /usr/sbin/nrpe"
    sudoers = f"nobody ALL = (root) NOPASSWD: {policies.CHECK}"
    yield f"echo '{sudoers}' >/etc/sudoers.d/nagios; restorecon -F /etc/sudoers.d/nagios"
    yield "echo 127.0.0.1 $(hostname) >/etc/hosts"
    for policy in (WITHOUT, WITH, SUDO):
        yield f"echo SELINUXTYPE={policy} >/etc/selinux/config; load_policy"
        yield f"restorecon -RFv {policies.PLUGINS}"
        for name in PLUGIN_DOMAINS:
            file = f"{policies.PLUGINS}/{name}"
            yield f"cp /bin/dash {file}; chcon -t nagios_{name}_plugin_exec_t {file}"
        yield "echo 1 >/sys/fs/selinux/enforce"
        yield f"export NETWORK_CONNECTIONS_POLICY={policy}; {pytest_line}"
        yield f"echo 0 >/sys/fs/selinux/enforce; cat {SEEN}; rm {SEEN}; echo next"


INTRODUCTION = """# SELinux

Written by `make test-kernels KERNELS=selinux` with `NETWORK_CONNECTIONS_WRITE_DOCS=1`: Linux
{version}, Debian's policy, enforcing. NRPE's domain starts the check, and so do scripts whose
files have the types of plugins, as root and as nobody.

With the module of `network-connections-selinux` every answer is the one of a machine without
SELinux, and nothing is denied ({with_module} questions, also by nobody with a copy that has rights
of its own). So it is by sudo ({by_sudo} questions), where NRPE's domain may do as it likes:
Debian's policy does not let it run sudo. Without the module, "answered" means that the answer is
not UNKNOWN; it says what it could not see.
"""


def write_page(output: str) -> None:
    """Write docs/evidence/selinux.md, from what the machine has printed."""
    parts = output.split("\nnext\n")
    without, with_module, by_sudo = ([*_seen(part)] for part in parts[:3])
    rows = [_row(asked, domain, group) for (asked, domain), group in _grouped(without)]
    text = INTRODUCTION.format(
        version=policies.release(), with_module=len(with_module), by_sudo=len(by_sudo)
    )
    headings = ["Asked", "Domain", "Answer", "Denied"]
    PAGE.write_text(f"{text}\n{table(headings, rows)}", encoding="utf-8")


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
