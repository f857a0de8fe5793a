"""What the benchmarks need on a machine, where that is, and how the machine describes itself."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from measure import BENCHES, BUILT, ROOT

_MUSL = "x86_64-unknown-linux-musl"
# What tools/toolchain.sh has set up.
_ZIG = ROOT / os.environ.get("TOOLCHAINS", "target/toolchains") / "zig" / "bin" / "python"

PLACES = {
    "python": sys.executable,
    "wheel": str(Path(sys.executable).with_name("network-connections")),
    "native": str(ROOT / "target" / "release" / "network-connections"),
    "static": str(ROOT / "target" / _MUSL / "release" / "network-connections"),
    "benches": str(BENCHES),
    "built": str(BUILT),
}
"""What the placeholders in command lines stand for."""

_PEERS = BENCHES / "peers"
_PROGRAMS = ("cc", "cargo", "ip", "netstat", "setpriv", "ss", "unshare", "wc")
_BUILDS = (PLACES["wheel"], PLACES["native"])
# What namespaces alone need not.
_STATIC = (str(_ZIG), PLACES["static"])
_PACKAGES = ("matplotlib", "network_connections", "psutil")


def missing(*, static: bool) -> str:
    """Say what keeps the benchmarks from running; nothing if they can."""
    if os.geteuid() != 0:
        return "the benchmarks need root, for network namespaces"
    programs = (*_PROGRAMS, *_BUILDS, *(_STATIC if static else ()))
    absent = [program for program in programs if shutil.which(program) is None]
    absent += [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def build_floor() -> None:
    """Build what every scenario needs."""
    BUILT.mkdir(parents=True, exist_ok=True)
    for name in ("floor", "launch", "links"):
        _compile(["cc"], name, f"{name}.c")


def build_peers() -> None:
    """Build what else is measured beside the check."""
    zig = (str(_ZIG), "-m", "ziglang", "cc", "-target", "x86_64-linux-musl", "-static", "-s")
    _compile(zig, "static-floor", "floor.c")
    # Not --locked: the crate's own dependencies may have changed since.
    cargo = ["cargo", "build", "--quiet", "--release"]
    places = ["--manifest-path", str(_PEERS / "Cargo.toml"), "--target-dir", str(BUILT)]
    subprocess.run([*cargo, *places], check=True, env=_with_libclang())


def _compile(compiler: Sequence[str], name: str, source: str) -> None:
    line = [*compiler, "-O2", "-o", str(BUILT / name), str(BENCHES / source)]
    subprocess.run(line, check=True)


def _with_libclang() -> dict[str, str]:
    """Return an environment in which netstat2's bindgen finds libclang: PyPI's will do."""
    environment = dict(os.environ)
    found = next(Path(sys.prefix).glob("lib/python3*/site-packages/clang/native"), None)
    if found and not environment.get("LIBCLANG_PATH"):
        environment["LIBCLANG_PATH"] = str(found)
        environment["BINDGEN_EXTRA_CLANG_ARGS"] = f"-I{_says('cc', '-print-file-name=include')}"
    return environment


def describe() -> dict[str, str]:
    """Return what the figures depend on."""
    memory = _field("/proc/meminfo", "MemTotal").split()
    return {
        "Kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Processor": f"{os.cpu_count()} x {_field('/proc/cpuinfo', 'model name')}",
        "Memory": f"{int(memory[0]) / 1024 / 1024:.0f} GiB",
        "TCP hash table": f"{_buckets()} buckets",
        "Python": platform.python_version(),
        "Rust": _says("rustc", "--version"),
        "psutil": importlib.metadata.version("psutil"),
        "netstat2": _locked("netstat2"),
        "ss": _says("ss", "--version"),
        "netstat": _says("netstat", "--version"),
    }


def _buckets() -> str:
    # Since Linux 6.2.
    path = Path("/proc/sys/net/ipv4/tcp_ehash_entries")
    return f"{int(path.read_text(encoding='ascii')):,}" if path.exists() else "?"


def _says(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0].strip()


def _field(path: str, name: str) -> str:
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "?")


def _locked(crate: str) -> str:
    text = (_PEERS / "Cargo.lock").read_text(encoding="utf-8")
    found = re.search(rf'^name = "{crate}"\nversion = "(.*)"', text, re.MULTILINE)
    return found[1] if found else "?"
