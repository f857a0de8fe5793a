"""Whole machines that QEMU emulates: a kernel of Debian, and a Debian unpacked into its memory.

Kernels and file systems are made once, in the user's cache, and need root and a mirror of Debian.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MIRROR = "http://deb.debian.org/debian"
# Hooks that make /bin, /lib and the like links into /usr.
MERGED = Path("/usr/share/mmdebstrap/hooks/merged-usr")
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PACKAGES = (
    "iproute2",
    "kmod",
    "libcap2-bin",
    "mount",
    "nftables",
    "procps",
    "python3",
    "python3-psutil",
    "strace",
)
# The modules that the tests use; all others would only be unpacked.
MODULES = ("/kernel/net/", "/kernel/lib/", "/kernel/crypto/", "/drivers/net/veth.ko")
LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt", "var/cache")
QEMU = (
    *("-accel", "tcg,thread=multi", "-smp", "2", "-m", "2048"),
    *("-nographic", "-no-reboot", "-nic", "none"),
)


# Kernels and file systems that the cache lacks are made by one thread; the others wait for it.
MAKING = threading.Lock()


@dataclass(frozen=True)
class Architecture:
    """The processor of a machine."""

    name: str
    """As Debian has it."""
    shown: str
    triple: str
    """As Rust has it, for a static command."""
    kernel: str
    """A package that always depends on the kernel of its suite."""
    qemu: tuple[str, ...]
    """The emulator, and the machine to be."""
    words: str
    """For the kernel's command line: its console, and what it must not test."""


AMD64 = Architecture(
    "amd64",
    "x86_64",
    "x86_64-unknown-linux-musl",
    "linux-image-cloud-amd64",
    # Page tables of five levels would be walked more slowly.
    ("qemu-system-x86_64", "-cpu", "max,la57=off"),
    # On a busy host the kernel takes a late timer for a broken one.
    "console=ttyS0 no_timer_check",
)
ARM64 = Architecture(
    "arm64",
    "64-bit ARM",
    "aarch64-unknown-linux-musl",
    "linux-image-cloud-arm64",
    ("qemu-system-aarch64", "-M", "virt", "-cpu", "max,pauth-impdef=on"),
    "console=ttyAMA0",
)
S390X = Architecture(
    "s390x",
    "IBM Z (big-endian)",
    "s390x-unknown-linux-musl",
    "linux-image-s390x",
    ("qemu-system-s390x", "-M", "s390-ccw-virtio", "-cpu", "max"),
    "console=ttysclp0",
)
ARMHF = Architecture(
    "armhf",
    "32-bit ARM",
    "armv7-unknown-linux-musleabihf",
    "linux-image-armmp",
    # The kernel has no addresses above 4 GiB.
    ("qemu-system-arm", "-M", "virt,highmem=off", "-cpu", "max"),
    "console=ttyAMA0",
)


@dataclass(frozen=True)
class Machine:
    """A machine with a kernel of Debian."""

    name: str
    suite: str
    """The suite of Debian that the kernel is of."""
    architecture: Architecture = AMD64


MACHINES = (
    Machine("5.10", "bullseye"),
    Machine("6.1", "bookworm"),
    Machine("6.12", "trixie"),
    Machine("newest", "sid"),
    Machine("6.1-s390x", "bookworm", S390X),
    Machine("6.1-arm64", "bookworm", ARM64),
    Machine("6.1-armhf", "bookworm", ARMHF),
)


def missing(wanted: Iterable[Machine]) -> str:
    """Why these machines cannot be booted here; empty if they can."""
    emulators = dict.fromkeys(machine.architecture.qemu[0] for machine in wanted)
    needed = (*emulators, "mmdebstrap", "cpio", "depmod", "dpkg-deb")
    absent = [name for name in needed if shutil.which(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    if os.geteuid() != 0:
        return "the file system of a machine needs root"
    return "" if KEYS.exists() else f"no {KEYS}"


def cache() -> Path:
    """Return the directory where kernels and file systems stay: outside the clone."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = base / "network-connections" / "kernels"
    path.mkdir(parents=True, exist_ok=True)
    return path


def kernel(machine: Machine) -> Path:
    """Return a directory with the kernel of a machine and an archive of its modules.

    It is downloaded once: remove the directory where the suite has a newer one.
    """
    path = cache() / machine.name
    with MAKING, tempfile.TemporaryDirectory(dir=path.parent) as name:
        if path.exists():
            return path
        directory = Path(name)
        tree, made = directory / "tree", directory / "made"
        for deb in _debs(machine, directory):
            subprocess.run(["dpkg-deb", "-x", deb, tree], check=True)
        made.mkdir()
        # In /boot, or from 7.0 on beside the modules.
        for file, kept in (("vmlinuz", "kernel"), ("config", "config")):
            places = (f"boot/{file}-*", f"usr/lib/modules/*/{file}")
            (found,) = [path for place in places for path in tree.glob(place)]
            shutil.copy(found, made / kept)
        _modules(tree, directory / "root")
        archive(directory / "root", made / "modules.cpio")
        made.rename(path)
    return path


def release(machine: Machine) -> str:
    """Return what `uname -r` says there."""
    found = re.search(r"Linux/\S+ (\S+) Kernel", (kernel(machine) / "config").read_text())
    return found[1] if found else machine.suite


def _debs(machine: Machine, directory: Path) -> Iterator[Path]:
    """Download what the package of a kernel depends on of the kernel."""
    sources = directory / "sources.list"
    sources.write_text(f"deb [signed-by={KEYS}] {MIRROR} {machine.suite} main\n", encoding="utf-8")
    for name in ("lists/partial", "cache/archives/partial"):
        (directory / name).mkdir(parents=True)
    settings = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": directory / "lists",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": directory / "cache",
        "APT::Architecture": machine.architecture.name,
        "APT::Architectures": machine.architecture.name,
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        # The catalogues of programs and the like are ten times the list of packages.
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "Acquire::IndexTargets::deb::CNF::DefaultEnabled": "false",
    }
    options = [f"-o{name}={value}" for name, value in settings.items()]
    subprocess.run(["apt-get", "-qq", *options, "update"], check=True)
    wanted, known = [machine.architecture.kernel], set()
    while wanted:
        package = wanted.pop()
        line = ["apt-cache", *options, "depends", "--no-recommends", "--no-suggests", package]
        said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
        found = re.findall(r"^ *Depends: (linux-(?:base|binary|image|modules)-\d\S+)$", said, re.M)
        wanted += [name for name in found if name not in known]
        known.update(found)
    line = ["apt-get", "-qq", *options, "download", *sorted(known)]
    subprocess.run(line, check=True, cwd=directory)
    yield from directory.glob("*.deb")


def _modules(tree: Path, root: Path) -> None:
    """Copy the modules that the tests use, and say what depends on what."""
    (versions,) = [*tree.glob("lib/modules/*"), *tree.glob("usr/lib/modules/*")]
    # /lib is a link in the file system that these are put into.
    copied = root / "usr" / "lib" / "modules" / versions.name
    for path in versions.rglob("*"):
        inside = f"/{path.relative_to(versions)}"
        listed = inside.startswith("/modules.")
        if path.is_file() and (listed or any(part in inside for part in MODULES)):
            (copied / inside[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copied / inside[1:])
    (root / "lib").symlink_to("usr/lib")
    subprocess.run(["depmod", "-b", root, versions.name], check=True)
    # The file system has this link.
    (root / "lib").unlink()


def base(architecture: Architecture) -> Path:
    """Return the archive of a Debian for this architecture."""
    path = cache() / f"base-{architecture.name}.cpio"
    with MAKING:
        if path.exists():
            return path
        with tempfile.TemporaryDirectory(dir=path.parent) as name:
            root, part = Path(name, "root"), Path(name, "part")
            # Another processor's programs cannot be run here to configure themselves.
            own = architecture is AMD64
            variant = "minbase" if own else "extract"
            packages = PACKAGES if own else ("?essential", *PACKAGES)
            line = ["mmdebstrap", "--quiet", f"--variant={variant}", "--mode=root"]
            line += [f"--architectures={architecture.name}", f"--keyring={KEYS}"]
            line += [f"--include={one}" for one in packages]
            line += [] if own else [f"--hook-dir={MERGED}"]
            subprocess.run([*line, "bookworm", str(root), MIRROR], check=True)
            if not own:
                for file in ("passwd", "group"):
                    given = root / "usr" / "share" / "base-passwd" / f"{file}.master"
                    shutil.copy(given, root / "etc" / file)
                _compile(root)
            archive(root, part, LEFT_OUT)
            part.rename(path)
    return path


def _compile(root: Path) -> None:
    """Compile Python's modules, as their package does where it is configured.

    If this Python has another version, each machine compiles the modules that it uses.
    """
    modules = root / "usr" / "lib" / f"python3.{sys.version_info[1]}"
    if modules.exists():
        line = [sys.executable, "-m", "compileall", "-q", "-s", str(root), "-p", "/"]
        subprocess.run([*line, str(modules)], check=True)


def archive(root: Path, path: Path, left_out: Iterable[str] = ()) -> None:
    """Put a directory into an archive as the kernel unpacks it at its start."""
    names = "\0".join(_names(root, tuple(left_out)))
    line = ["cpio", "--quiet", "--null", "--create", "--format=newc"]
    with path.open("wb") as file:
        subprocess.run(line, input=names.encode(), stdout=file, cwd=root, check=True)
    # Archives may follow each other, from a multiple of four bytes on.
    with path.open("ab") as file:
        file.write(b"\0" * (-file.tell() % 512))


def _names(root: Path, left_out: tuple[str, ...]) -> Iterator[str]:
    for directory, below, files in os.walk(root):
        inside = Path(directory).relative_to(root)
        below[:] = [name for name in below if str(inside / name) not in left_out]
        if str(inside) != ".":
            yield str(inside)
        # Of what is mounted there nothing is wanted, and a link to a directory is a file here.
        yield from (str(inside / name) for name in files)
        yield from (
            str(inside / name)
            for name in below
            if stat.S_ISLNK((root / inside / name).lstat().st_mode)
        )


@dataclass(frozen=True)
class Boot:
    """The output of a machine from its start to its end."""

    output: str
    ended: bool
    """Whether it came to its end by itself."""


def boot(
    machine: Machine,
    project: Path,
    words: str = "",
    patience: float = 3600,
    debian: Path | None = None,
) -> Boot:
    """Boot a machine with `project`, an archive whose /init runs, and words for its kernel.

    `debian` is the archive of another Debian than `base()`.
    """
    made = kernel(machine)
    with tempfile.TemporaryDirectory(prefix="network-connections-") as name:
        initrd = Path(name, "initrd")
        with initrd.open("wb") as file:
            for part in (debian or base(machine.architecture), made / "modules.cpio", project):
                with part.open("rb") as source:
                    shutil.copyfileobj(source, file)
        own = machine.architecture
        append = f"{own.words} rdinit=/init panic=-1 mitigations=off quiet loglevel=1 {words}"
        line = [*own.qemu, *QEMU, "-kernel", str(made / "kernel")]
        line += ["-initrd", str(initrd), "-append", append]
        return _watched(line, patience, f"{machine.name} {words}".strip())


def _watched(line: list[str], patience: float, shown: str) -> Boot:
    output = io.StringIO()
    with subprocess.Popen(
        line,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        hung = threading.Event()

        def end() -> None:
            hung.set()
            process.send_signal(signal.SIGKILL)

        clock = threading.Timer(patience, end)
        clock.start()
        try:
            assert process.stdout is not None
            for text in process.stdout:
                print(f"{shown}: {text}", end="", flush=True)
                output.write(text.replace("\r", ""))
        finally:
            clock.cancel()
            process.kill()
    return Boot(output.getvalue(), not hung.is_set())


def settings(machine: Machine, names: Iterable[str]) -> Mapping[str, str]:
    """Return how options of a kernel are set: "y", "m" or "n"."""
    text = (kernel(machine) / "config").read_text(encoding="utf-8")
    found = dict(re.findall(r"^CONFIG_(\w+)=(\S+)$", text, re.M))
    return {name: found.get(name, "n") for name in names}
