"""A machine with AppArmor and the project's profile, for `make test-kernels`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from kernels import machines, policies
from kernels.confined import SEEN, UNCONFINED
from kernels.policies import ROOT

NAME = "apparmor"
WHAT = "`confined`"
WORDS = "security=apparmor apparmor=1"
PROFILE = ROOT / "integrations" / "apparmor" / "network-connections"
PAGE = ROOT / "docs" / "evidence" / "apparmor.md"
TESTS = "tests/kernels/confined.py"


def base(directory: Path) -> Path:
    """Return an archive of a Debian with AppArmor's parser."""
    made = directory / "debian.cpio"
    machines.archive(policies.debian(), made, policies.LEFT_OUT)
    return made


def script(pytest_line: str) -> Iterator[str]:
    """Yield what the machine runs; `pytest_line` runs the tests."""
    yield "mount -t securityfs securityfs /sys/kernel/security"
    yield from policies.begun()
    for path in (policies.CHECK, UNCONFINED):
        yield from policies.installed(path)
    profile = f"/etc/apparmor.d/{PROFILE.name}"
    yield f"cat >{profile} <<'END'\n{PROFILE.read_text(encoding='utf-8')}END"
    yield f"apparmor_parser --replace {profile}"
    yield f"{pytest_line}; cat {SEEN}"


INTRODUCTION = """# AppArmor

Written by `make test-kernels KERNELS=apparmor` with `NETWORK_CONNECTIONS_WRITE_DOCS=1`: Linux
{version}, Debian's `apparmor`, the profile `integrations/apparmor/network-connections`, enforced.

Each question was put to the check, and to a copy outside of the profile. The answers are the
same, and the kernel denies nothing ({questions} questions). It was asked by {users}, for:

{asked}

Network namespaces that are mounted elsewhere than below `/run/netns` and `/run/docker/netns` are
refused to `--netns=PATH`.
"""


def write_page(output: str) -> None:
    """Write docs/evidence/apparmor.md, from what the machine has printed."""
    seen = [json.loads(text) for text in re.findall(r"^seen: (.+)", output, re.M)]
    text = INTRODUCTION.format(
        version=policies.release(),
        questions=len(seen),
        users="; ".join(dict.fromkeys(one["user"] for one in seen)),
        asked="\n".join(f"- `{asked}`" for asked in dict.fromkeys(one["asked"] for one in seen)),
    )
    PAGE.write_text(text, encoding="utf-8")
