"""Makes the packages for Debian and for Red Hat's family, of the static commands that are built.

    python tools/packages.py [--output DIR] [--release VERSION] [--only deb|rpm] [ARCHITECTURE...]

Writes `network-connections_*.deb` and `network-connections-*.rpm`, by default into dist/ and for
every architecture; and those of `network-connections-selinux`, a policy module. Two runs over one
commit write the same bytes. `--release` gives them another version than that of Cargo.toml: tests
upgrade from it.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import format_datetime
from pathlib import Path, PurePosixPath
from typing import Any

import address

ROOT = address.ROOT
NAME = address.NAME
# Whoever publishes packages is whom their users ask.
MAINTAINER = os.environ.get("MAINTAINER") or address.maintainer()
SHARE = f"/usr/share/{NAME}"
DOC = address.DOC
TARGETS = {"x86_64": "x86_64-unknown-linux-musl", "aarch64": "aarch64-unknown-linux-musl"}
# What Go, Debian and so nfpm call them.
GOARCH = {"x86_64": "amd64", "aarch64": "arm64", "noarch": "all"}
SUMMARY = "monitoring check that counts TCP and UDP sockets"
DESCRIPTION = f"""\
{SUMMARY}
 Counts the sockets of a host by family and state and alerts on Nagios ranges,
 from one kernel dump and without root. Says which process, unit, user, peer or
 container has them, how full accept queues are, and how many ephemeral ports
 are left. For Icinga, Nagios, NRPE, Prometheus and Zabbix."""
SELINUX = f"{NAME}-selinux"
POLICY = """\
SELinux policy of the monitoring check network-connections
 A domain of its own for the check, with the rights that its questions need,
 where NRPE, Nagios, Icinga or a Zabbix agent starts it."""
# What the scripts of that package run is in these; Red Hat's first one requires the other.
NEEDED = {"deb": ["policycoreutils", "selinux-utils"], "rpm": ["policycoreutils"]}
LICENCES = ("COPYING", "COPYRIGHT", "LICENCE", "LICENSE")
# Of the format of rpm: the bytes before the first index, and tags.
LEAD, FILEMODES = 96, 1030
SHA1, SHA256, MD5 = 269, 273, 1004
NEWS = f"What is new is in {DOC}/CHANGELOG.md.gz."
# Whatever lintian finds that is meant, and why.
OVERRIDES = f"""\
# It runs on every release, and on hosts with any C library: nothing of the system's is linked.
{NAME}: statically-linked-binary [usr/lib/nagios/plugins/check_network_connections]
"""
# Nobody else can be asked: it is not published, and has no address that mail from outside reaches.
UNPUBLISHED = f"""\
# This package is not published: its users ask root of their own host.
{NAME}: bogus-mail-host Maintainer root@localhost
{NAME}: bogus-mail-host-in-debian-changelog root@localhost *
{NAME}: root-in-contact Maintainer *
"""


@dataclass(frozen=True)
class Kind:
    """What differs between the families."""

    packager: str
    plugins: str
    zsh: str

    @property
    def check(self) -> str:
        """The path of the plugin."""
        return f"{self.plugins}/check_{NAME.replace('-', '_')}"

    def file(self, version: str, architecture: str, name: str = NAME) -> str:
        """Return the name that the family gives the file of a package for an architecture."""
        if self.packager == "deb":
            return f"{name}_{version}_{GOARCH[architecture]}.deb"
        return f"{name}-{version}-1.{architecture}.rpm"


# The directories that belong to packages of the system itself. The package owns all others that it
# installs into, with other packages if need be: rpm leaves those that nobody owns.
SYSTEM = (
    *("/", "/usr", "/usr/bin", "/usr/lib", "/usr/lib64", "/usr/share", "/usr/share/doc"),
    *("/usr/share/licenses", "/usr/share/man", "/usr/share/man/man1", "/var", "/var/lib"),
)

KINDS = (
    Kind("deb", "/usr/lib/nagios/plugins", "/usr/share/zsh/vendor-completions"),
    Kind("rpm", "/usr/lib64/nagios/plugins", "/usr/share/zsh/site-functions"),
)


def main() -> None:
    """Make what is asked for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("architectures", nargs="*", choices=[[], *TARGETS])
    options.add_argument("--output", type=Path, default=ROOT / "dist", metavar="DIR")
    options.add_argument("--release", default="", metavar="VERSION")
    kinds = [kind.packager for kind in KINDS]
    options.add_argument("--only", choices=kinds, help="makes packages of one family")
    options.add_argument("--sbom", type=Path, metavar="FILE", help="goes into them too")
    asked = options.parse_args()
    asked.output.mkdir(parents=True, exist_ok=True)
    say("manual page and completions")
    subprocess.run(["make", "--silent", "man", "completions"], cwd=ROOT, check=True)
    release = asked.release or version()
    for kind in KINDS:
        if asked.only in (None, kind.packager):
            with tempfile.TemporaryDirectory() as stage:
                say(f"{kind.packager} for SELinux")
                contents = [*_policy(kind, release, Path(stage))]
                if kind.packager == "rpm":
                    contents += _directories(contents)
                print(make(kind, "noarch", release, contents, Path(stage), asked.output))
    for architecture in asked.architectures or TARGETS:
        with tempfile.TemporaryDirectory() as stage:
            for kind in KINDS:
                if asked.only not in (None, kind.packager):
                    continue
                say(f"{kind.packager} for {architecture}")
                contents = [*_contents(kind, architecture, release, Path(stage))]
                if asked.sbom:
                    contents.append(_documentation(kind, asked.sbom, DOC, "sbom.cdx.json"))
                if kind.packager == "rpm":
                    # In a deb all directories are listed anyway.
                    contents += _directories(contents)
                print(make(kind, architecture, release, contents, Path(stage), asked.output))


def say(step: str) -> None:
    """Tell what is being made: it takes a while."""
    print(f"{Path(__file__).name}: {step} ...", file=sys.stderr, flush=True)


def version() -> str:
    """Return the version of the crate, the only place that has it."""
    return str(address.package()["version"])


def make(
    kind: Kind,
    architecture: str,
    version: str,
    contents: list[dict[str, Any]],
    stage: Path,
    output: Path,
) -> Path:
    """Make a package, and return it."""
    mtime = date().isoformat()
    is_policy = architecture == "noarch"
    name, description = (SELINUX, POLICY) if is_policy else (NAME, DESCRIPTION)
    summary = description.partition("\n")[0]
    described = {
        "name": name,
        "arch": GOARCH[architecture],
        "version": version,
        "section": "admin" if is_policy else "net",
        "priority": "optional",
        "maintainer": MAINTAINER,
        **({"homepage": address.homepage()} if address.homepage() else {}),
        "description": description,
        **({"depends": [NAME, *NEEDED[kind.packager]]} if is_policy else {}),
        "license": "Unlicense",
        "mtime": mtime,
        "rpm": {
            "group": "Applications/System",
            "summary": summary[0].upper() + summary[1:],
            "buildhost": "localhost",
        },
        "scripts": _scripts(kind, is_policy),
        "contents": [
            {**entry, "file_info": {"mtime": mtime, "mode": 0o644, **entry.get("file_info", {})}}
            for entry in contents
        ],
    }
    if kind.packager == "rpm":
        changes = [{"note": NEWS}]
        entry = {
            "semver": f"{version}-1",
            "date": mtime,
            "packager": MAINTAINER,
            "changes": changes,
        }
        described["changelog"] = _written(stage / "changelog.yml", json.dumps([entry]))
    # JSON is YAML.
    config = _written(stage / f"{kind.packager}.yml", json.dumps(described))
    made = output / kind.file(version, architecture, name)
    nfpm = Path(sys.executable).with_name("nfpm")
    subprocess.run(
        [nfpm, "package", f"--config={config}", f"--packager={kind.packager}", f"--target={made}"],
        env={**os.environ, "SOURCE_DATE_EPOCH": str(int(date().timestamp()))},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    if kind.packager == "rpm":
        _permit_links(made)
    return made


def _permit_links(rpm: Path) -> None:
    """Give the links in an rpm the permissions that links have: nfpm gives them none."""
    data = bytearray(rpm.read_bytes())
    signature, end = _index(data, LEAD)
    start = end + -end % 8
    header, end = _index(data, start)
    place, number = header[FILEMODES]
    for at in range(place, place + 2 * number, 2):
        (mode,) = struct.unpack_from(">H", data, at)
        if stat.S_ISLNK(mode):
            struct.pack_into(">H", data, at, mode | 0o777)
    # Nothing is signed yet: the signature has digests only.
    digests = {
        SHA1: hashlib.sha1(data[start:end], usedforsecurity=False).hexdigest().encode(),
        SHA256: hashlib.sha256(data[start:end]).hexdigest().encode(),
        MD5: hashlib.md5(data[start:], usedforsecurity=False).digest(),
    }
    for tag, digest in digests.items():
        if tag in signature:
            place, _ = signature[tag]
            data[place : place + len(digest)] = digest
    rpm.write_bytes(data)


def _index(data: bytearray, start: int) -> tuple[dict[int, tuple[int, int]], int]:
    """Return where the values of each tag begin and how many they are; and where the index ends."""
    number, size = struct.unpack_from(">II", data, start + 8)
    values = start + 16 + 16 * number
    entries = struct.iter_unpack(">IIII", data[start + 16 : values])
    return {tag: (values + offset, count) for tag, _, offset, count in entries}, values + size


def _scripts(kind: Kind, is_policy: bool) -> dict[str, str]:
    """Return what the package manager runs, and when."""
    folder = ROOT / "tools" / "packaging"
    if is_policy:
        names = {"postinstall": "selinux-loads", "postremove": "selinux-removes"}
        return {when: str(folder / f"{name}.sh") for when, name in names.items()}
    scripts = {"preremove": str(folder / "before-removal.sh")}
    if kind.packager == "deb":
        after = str(folder / "after-change.sh")
        scripts |= {"postinstall": after, "postremove": after}
    return scripts


def _directories(contents: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Return the directories above these contents that the package owns, but are not among them."""
    places = [entry["dst"] for entry in contents]
    parents = {str(parent) for place in places for parent in PurePosixPath(place).parents}
    for path in sorted(parents):
        if path not in SYSTEM and path not in places:
            yield {"type": "dir", "dst": path, "file_info": {"mode": 0o755}}


def _file(source: Path | str, *places: str, mode: int = 0o644) -> dict[str, Any]:
    return {"src": str(source), "dst": "/".join(places), "file_info": {"mode": mode}}


def _documentation(kind: Kind, source: Path | str, *places: str) -> dict[str, Any]:
    return {**_file(source, *places), **({"type": "doc"} if kind.packager == "rpm" else {})}


def _contents(kind: Kind, architecture: str, version: str, stage: Path) -> Iterator[dict[str, Any]]:
    """What is installed where."""
    target = TARGETS[architecture]
    share = ROOT / "target" / "share"

    def packed(source: Path, *places: str) -> dict[str, Any]:
        copy = stage / f"{source.name}.gz"
        copy.write_bytes(gzip.compress(source.read_bytes(), mtime=0))
        return _documentation(kind, copy, *places, copy.name)

    # The file is there, and the link in /usr/bin: SELinux goes by the label of the file, and Red
    # Hat's policy has a label for the plugins.
    check = kind.check
    yield _file(ROOT / "target" / target / "release" / NAME, check, mode=0o755)
    yield {"type": "symlink", "src": check.replace("/usr/", "../", 1), "dst": f"/usr/bin/{NAME}"}
    yield packed(share / "man/man1" / f"{NAME}.1", "/usr/share/man/man1")
    page = f"/usr/share/man/man1/{Path(check).name}.1.gz"
    yield {"type": "symlink", "src": f"{NAME}.1.gz", "dst": page}
    yield packed(ROOT / "README.md", DOC)
    for path in sorted((ROOT / "docs").glob("*.md")):
        yield packed(path, DOC, "docs")
    bash = "bash-completion/completions"
    yield _file(share / bash / NAME, "/usr/share", bash, NAME)
    yield _file(share / "zsh/site-functions" / f"_{NAME}", kind.zsh, f"_{NAME}")
    fish = f"fish/vendor_completions.d/{NAME}.fish"
    yield _file(share / fish, "/usr/share", fish)

    yield packed(ROOT / "CHANGELOG.md", DOC)
    licences = _written(stage / "third-party", third_party(target))
    yield _documentation(kind, licences, DOC, "third-party-licenses")
    yield from _formalities(kind, NAME, version, stage, OVERRIDES)

    integrations = ROOT / "integrations"
    for place in ("apparmor", "grafana", "icinga2", "nagios", "nrpe", "prometheus/rules", "zabbix"):
        for path in sorted((integrations / place).iterdir()):
            yield _file(path, SHARE, place, path.name)
    yield _file(integrations / "prometheus" / "rules-test.yml", SHARE, "prometheus/rules-test.yml")
    # Root writes there and node_exporter reads it: every directory on the way belongs to root.
    textfiles = "/var/lib/network-connections"
    for place in (textfiles, f"{textfiles}/node-exporter"):
        yield {"type": "dir", "dst": place, "file_info": {"mode": 0o755}}
    publish = integrations / "prometheus" / "publish"
    yield _file(publish, "/usr/lib/network-connections/publish", mode=0o755)
    # Templates: nothing runs before somebody enables an instance.
    for unit in sorted((integrations / "prometheus").glob("*@.*")):
        yield _file(unit, "/usr/lib/systemd/system", unit.name)


def _policy(kind: Kind, version: str, stage: Path) -> Iterator[dict[str, Any]]:
    """What the package for SELinux installs where."""
    module = f"{NAME}.cil"
    source = ROOT / "integrations" / "selinux" / module
    yield _file(source, "/usr/share/selinux/packages", module)
    yield from _formalities(kind, SELINUX, version, stage)


def _formalities(
    kind: Kind, name: str, version: str, stage: Path, overrides: str = ""
) -> Iterator[dict[str, Any]]:
    """What the family wants of every package: its licence, and Debian its changes."""
    if kind.packager == "rpm":
        licence = _file(ROOT / "LICENSE", "/usr/share/licenses", name, "LICENSE")
        yield {**licence, "type": "license"}
        return
    doc = DOC.replace(NAME, name)
    when = format_datetime(date())
    entry = f"{name} ({version}) unstable; urgency=low\n\n  * {NEWS}\n\n -- {MAINTAINER}  {when}\n"
    changes = stage / "changelog.gz"
    changes.write_bytes(gzip.compress(entry.encode(), mtime=0))
    yield _file(changes, doc, changes.name)
    yield _file(ROOT / "LICENSE", doc, "copyright")
    if "root@localhost" in MAINTAINER:
        overrides += UNPUBLISHED.replace(f"{NAME}:", f"{name}:")
    if overrides:
        yield _file(_written(stage / "lintian", overrides), "/usr/share/lintian/overrides", name)


def third_party(target: str) -> str:
    """Return the licences of every crate that is linked into the command, as they have them."""
    metadata = _metadata("--filter-platform", target)
    known = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting, linked = [metadata["resolve"]["root"]], {}
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            package = known[dependency["pkg"]]
            # What runs while it is built is not in it.
            macro = any("proc-macro" in made["kind"] for made in package["targets"])
            used = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if used and not macro and package["id"] not in linked:
                linked[package["id"]] = package
                waiting.append(package["id"])
    parts = ["The command has parts of these crates, each under one of the licences after it.\n"]
    for package in sorted(linked.values(), key=lambda one: (one["name"], one["version"])):
        parts.append(f"{package['name']} {package['version']}: {package['license']}\n")
        for path in sorted(Path(package["manifest_path"]).parent.iterdir()):
            if path.is_file() and path.name.upper().startswith(LICENCES):
                parts.append(path.read_text(encoding="utf-8"))
    return f"\n{'-' * 78}\n\n".join(parts)


def _metadata(*options: str) -> dict[str, Any]:
    line = ["cargo", "metadata", "--format-version=1", "--locked", *options]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    metadata: dict[str, Any] = json.loads(done.stdout)
    return metadata


def date() -> datetime:
    """Return when the commit was made, so that whoever builds it builds the same."""
    line = ["git", "log", "-1", "--format=%ct"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    return datetime.fromtimestamp(int(done.stdout), timezone.utc)


def _written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


if __name__ == "__main__":
    main()
