"""The packages as a site installs them, where nobody has ever seen the sources."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import harness
import page
import pytest
from lab.tools import lacking

from integrations import host, machines, where
from integrations.daemons import directory, version_of
from integrations.machines import INSIDE, Machine

PACKAGES = (
    *machines.PACKAGES,
    *("bash-completion", "libcap2-bin", "nagios-nrpe-plugin", "nagios-nrpe-server", "rpm"),
)
# The releases whose systemd is the oldest that is looked after, and the newest.
OTHERS = ("bullseye", "trixie")
WHERE = [
    *(
        where.Row(
            "systemd, with apt and dpkg",
            functools.partial(machines.version, "systemd", PACKAGES, suite),
            f"the packages in a booted {suite}, with their units",
        )
        for suite in OTHERS
    ),
    where.Row(
        "apt and dpkg",
        lambda: machines.version("apt", PACKAGES),
        "the package in a booted Debian: installed, upgraded, downgraded, removed and purged; "
        "the user nagios, NRPE and the units for Prometheus; lintian",
    ),
    where.Row(
        "rpm",
        lambda: version_of("rpm"),
        "the package in an empty root: installed, verified, upgraded, erased; in a booted Debian, "
        "with an enabled timer; rpmlint",
    ),
]
BUILD = [sys.executable, str(harness.ROOT / "tools" / "packages.py"), "x86_64"]
STATIC = "target/x86_64-unknown-linux-musl/release/network-connections"
BEFORE = "0.0.1"
SELINUX = "-selinux"
README = (harness.ROOT / "README.md").read_text(encoding="utf-8")
PLUGIN = "/usr/lib/nagios/plugins/check_network_connections"
UNIT = "network-connections@all"
SCRIPTS_OF_PAGES = [
    block
    for path in (harness.ROOT / "docs").rglob("*.md")
    for block in page.blocks(path.read_text(encoding="utf-8"), "sh")
]


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """Return a directory with the packages of this version and of one before."""
    if reason := lacking("lintian", "rpm", "rpmlint"):
        pytest.skip(reason)
    with directory() as path:
        for release in ([], ["--release", BEFORE]):
            subprocess.run([*BUILD, "--output", path, *release], check=True, capture_output=True)
        harness.readable(path)
        yield path


def package(made: Path, suffix: str, before: bool = False) -> Path:
    """Return one of them."""
    (found,) = (path for path in _both(made, suffix, before) if SELINUX not in path.name)
    return found


def policy(made: Path, suffix: str, before: bool = False) -> Path:
    """Return one of those of the policy module."""
    (found,) = (path for path in _both(made, suffix, before) if SELINUX in path.name)
    return found


def _both(made: Path, suffix: str, before: bool) -> Iterator[Path]:
    return (path for path in made.glob(f"*.{suffix}") if (BEFORE in path.name) == before)


def test_the_same_commit_makes_the_same_bytes(made: Path) -> None:
    with directory() as again:
        subprocess.run([*BUILD, "--output", again], check=True, capture_output=True)
        assert len([*again.iterdir()]) == 4
        for path in again.iterdir():
            assert path.read_bytes() == (made / path.name).read_bytes(), path.name


def test_lintian_and_rpmlint_find_no_fault(made: Path) -> None:
    debs, rpms = ([str(of(made, suffix)) for of in (package, policy)] for suffix in ("deb", "rpm"))
    line = ["lintian", "--allow-root", "--fail-on=error,warning", "--tag-display-limit=0", *debs]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0), done
    configuration = harness.ROOT / "tools" / "rpmlint.toml"
    line = ["rpmlint", f"--config={configuration}", *rpms]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert "0 errors, 0 warnings" in done.stdout, done


def test_the_pages_and_the_tests_of_the_rules_are_in_them(made: Path) -> None:
    pages = {f"docs/{path.name}" for path in (harness.ROOT / "docs").glob("*.md")} | {"README.md"}
    lists = (
        ["dpkg-deb", "--fsys-tarfile", str(package(made, "deb"))],
        ["rpm", "--query", "--package", "--list", str(package(made, "rpm"))],
    )
    for line in lists:
        listed = subprocess.run(line, capture_output=True, check=True).stdout
        if "rpm" not in line:
            line = ["tar", "--list"]
            listed = subprocess.run(line, input=listed, capture_output=True, check=True).stdout
        names = {name.lstrip("./") for name in listed.decode().splitlines()}
        doc, share = "usr/share/doc/network-connections/", "usr/share/network-connections/"
        assert {f"{doc}{page}.gz" for page in pages} <= names
        assert f"{share}prometheus/rules/network-connections.yml" in names
        assert f"{share}prometheus/rules-test.yml" in names


def test_the_packages_name_no_invented_address_and_have_the_page_of_the_rules(made: Path) -> None:
    rules = (harness.ROOT / "integrations/prometheus/rules/network-connections.yml").read_text()
    pages = set(re.findall(r"runbook_url: ([^#\s]+)#", rules))
    assert len(pages) == 3
    deb, rpm = (str(package(made, suffix)) for suffix in ("deb", "rpm"))
    for described, listed in (
        (["dpkg-deb", "--info", deb], ["dpkg-deb", "--contents", deb]),
        (["rpm", "--query", "--info", "--package", rpm], ["rpm", "-qlp", rpm]),
    ):
        text = subprocess.run(described, capture_output=True, text=True, check=True).stdout
        assert ".invalid" not in text
        text = subprocess.run(listed, capture_output=True, text=True, check=True).stdout
        assert all(one in text for one in pages)


def test_nothing_of_the_machine_that_built_it_is_in_the_command() -> None:
    # It looks there itself.
    binary = (harness.ROOT / STATIC).read_bytes().replace(b"/proc/1/root/", b"")
    home = os.environ.get("CARGO_HOME", str(Path.home()))
    for trace in (f"{home}/", f"{harness.ROOT}/"):
        assert trace.encode() not in binary, trace


@pytest.fixture(scope="module", params=["", *OTHERS])
def fresh(made: Path, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Return a booted Debian of each release, which has the packages below its tools."""
    if reason := machines.missing(PACKAGES, request.param):
        pytest.skip(reason)
    with host.apart() as apart:
        for before in (False, True):
            shutil.copy(package(made, "deb", before), apart.tools)
        with machines.booted(apart, packages=PACKAGES, suite=request.param) as machine:
            yield machine


def install(machine: Machine, path: Path, *options: str) -> None:
    """Install a package as README.md says, asking nothing."""
    line = f"apt install ./{path.name}"
    assert BEFORE in line or f"`{line}`" in README
    machine.do(f"cd {INSIDE} && {line} --yes {' '.join(options)} </dev/null 2>&1")


# What a package may leave is nothing; logs and lists of apt's own are not of it.
FILES = (
    "find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /opt "
    "-o -path /var/tmp -o -path /var/log -o -path /var/cache -o -path /var/lib/dpkg "
    "-o -path /var/lib/apt -o -path /var/lib/systemd -o -path /root \\) -prune -o -print | sort"
)


def test_installed_used_upgraded_and_gone(fresh: Machine, made: Path) -> None:
    new, old = package(made, "deb"), package(made, "deb", before=True)
    before = fresh.do(FILES)
    install(fresh, old)
    assert fresh.do("dpkg-query -W -f '${Version}' network-connections") == BEFORE
    install(fresh, new)
    version = fresh.do("network-connections --version || true").split()[1]
    assert fresh.do("dpkg-query -W -f '${Version}' network-connections") == version
    assert fresh.do("dpkg --verify network-connections") == ""
    assert fresh.do("readlink -e /usr/bin/network-connections") == f"{PLUGIN}\n"

    # As the monitoring's own user, by both names, and in a pipe of NRPE's.
    as_nagios = "setpriv --reuid=nagios --regid=nagios --clear-groups"
    for command in ("network-connections", PLUGIN):
        done = fresh.do(f"{as_nagios} {command} --group-by=type --format=json")
        assert json.loads(done)["state"] == 0
    fresh.do("cp /usr/share/network-connections/nrpe/*.cfg /etc/nagios/nrpe.d/")
    fresh.do("systemctl restart nagios-nrpe-server")
    asked = "/usr/lib/nagios/plugins/check_nrpe -H 127.0.0.1 -c check_network_connections"
    answer = fresh.do(f"for i in $(seq 50); do {asked} && break; sleep 0.2; done")
    assert "tcp_LISTEN" in answer

    # Installed is not enabled.
    assert fresh.do("systemctl is-enabled network-connections@.timer", check=False) in (
        "disabled\n",
        "indirect\n",
    )
    assert fresh.do("systemctl list-units --all --plain --no-legend 'network-connections@*'") == ""
    (enable,) = (text for text in SCRIPTS_OF_PAGES if "systemctl enable" in text)
    fresh.do(f"{enable}systemctl start {UNIT}.service")
    published = "/var/lib/network-connections/node-exporter/network_connections_all.prom"
    assert 'network_connections_check_state{check="all"} 0' in fresh.do(f"cat {published}")

    # What a host without systemd has in its place, as cron runs it.
    fresh.do(f"rm {published}")
    (script,) = (text for text in SCRIPTS_OF_PAGES if "network_connections_$name.prom" in text)
    fresh.write("/usr/local/sbin/publish-network-connections", script)
    fresh.do("chmod 755 /usr/local/sbin/publish-network-connections")
    fresh.do("env -i PATH=/usr/bin:/bin sh -c /usr/local/sbin/publish-network-connections")
    assert 'network_connections_check_state{check="all"} 0' in fresh.do(f"cat {published}")
    fresh.do("rm /usr/local/sbin/publish-network-connections")

    # An enabled timer goes on over upgrades, and back.
    install(fresh, old, "--allow-downgrades")
    assert fresh.do("dpkg-query -W -f '${Version}' network-connections") == BEFORE
    assert fresh.do(f"systemctl is-active {UNIT}.timer") == "active\n"
    install(fresh, new)

    # What the site wrote is the site's to remove.
    fresh.do(f"systemctl disable --now {UNIT}.timer 2>&1")
    fresh.do(f"rm -r /etc/network-connections {published}")
    fresh.do("rm /etc/nagios/nrpe.d/network-connections.cfg")
    fresh.do("apt-get remove --quiet --yes network-connections </dev/null 2>&1")
    assert fresh.do(FILES) == before
    install(fresh, new)
    fresh.do("apt-get purge --quiet --yes network-connections </dev/null 2>&1")
    assert fresh.do(FILES) == before


TIMERS = (f"{UNIT}.timer", "network-connections@close-wait.timer")
TEXTFILES = "/var/lib/network-connections"
SCRIPTS = harness.ROOT / "tools" / "packaging"


def enable(machine: Machine) -> None:
    for timer in TIMERS:
        machine.do(f"systemctl enable --now {timer}")
    assert machine.do("find /etc/systemd -name 'network-connections@*' | wc -l") == "2\n"


def active(machine: Machine) -> list[str]:
    """Return whether each timer is active."""
    return machine.do(f"systemctl is-active {' '.join(TIMERS)}", check=False).split()


def test_an_enabled_timer_stops_and_goes_with_its_package(fresh: Machine, made: Path) -> None:
    new, old = package(made, "deb"), package(made, "deb", before=True)
    before = fresh.do(FILES)
    install(fresh, old)
    enable(fresh)
    fresh.write(f"{TEXTFILES}/node-exporter/network_connections_all.prom", "")
    # The units of another release are others.
    unit = "/usr/lib/systemd/system/network-connections@.timer"
    fresh.do(f"sed -i 's/^Description=.*/Description=before/' {unit}; systemctl daemon-reload")
    show = f"systemctl show --value --property=Description {TIMERS[0]}"
    assert fresh.do(show) == "before\n"
    install(fresh, new)
    assert "network connections" in fresh.do(show)
    assert active(fresh) == ["active", "active"]

    fresh.do("apt-get remove --quiet --yes network-connections </dev/null 2>&1")
    assert active(fresh) == ["inactive", "inactive"]
    state = f"systemctl show --value --property=LoadState {TIMERS[0]}"
    assert fresh.do(state) == "not-found\n"
    assert fresh.do(f"find {TEXTFILES} -type f 2>/dev/null", check=False) == ""
    fresh.do(f"rm -rf {TEXTFILES}")
    assert fresh.do(FILES) == before
    # What the site has enabled is not enabled by another installation.
    install(fresh, new)
    assert active(fresh) == ["inactive", "inactive"]
    fresh.do("apt-get purge --quiet --yes network-connections </dev/null 2>&1")
    assert fresh.do(FILES) == before


def test_an_enabled_timer_stops_and_goes_with_its_rpm(fresh: Machine, made: Path) -> None:
    new, old = package(made, "rpm"), package(made, "rpm", before=True)
    for path in (new, old):
        shutil.copy(path, fresh.host.tools)
    fresh.do("rpm --initdb")
    # Nothing of a Debian is known to rpm, and the rpm of some wants to be told so.
    forced = fresh.do("rpm --help | grep -o -e --force-debian || true").strip()
    rpm = f"rpm --nodeps {forced}"
    fresh.do(f"{rpm} --install {INSIDE}/{old.name}; systemctl daemon-reload")
    enable(fresh)
    fresh.do(f"{rpm} --upgrade {INSIDE}/{new.name}")
    assert active(fresh) == ["active", "active"]
    fresh.do(f"{rpm} --erase network-connections; systemctl daemon-reload")
    assert active(fresh) == ["inactive", "inactive"]
    assert fresh.do("find /etc/systemd -name 'network-connections@*'") == ""


def test_processes_without_sudo(fresh: Machine, made: Path) -> None:
    """As docs/permissions.md says."""
    install(fresh, package(made, "deb"))
    held = "import socket, time; s = socket.create_server(('127.0.0.1', 7000)); time.sleep(1000)"
    fresh.do(f'systemd-run --quiet --unit=holder python3 -c "{held}"')
    copy = f"{PLUGIN}_with_rights"
    fresh.do(f"install -Z -g nagios -m 750 /usr/bin/network-connections {copy}")
    fresh.do(f"setcap cap_sys_ptrace,cap_dac_read_search,cap_sys_admin=ep {copy}")
    wait = "for i in $(seq 50); do ss -Htln 'sport = 7000' | grep -q . && break; sleep 0.1; done"
    fresh.do(wait)

    def ask(command: str, user: str = "nagios") -> str:
        # By way of another program: setpriv still has root's rights when it starts one.
        become = f"setpriv --reuid={user} --regid={user} --init-groups env"
        asked = "--local-port=7000 --group-by=process"
        return fresh.do(f"{become} {command} {asked} 2>&1", check=False)

    assert ask(PLUGIN).startswith("(other users' processes): 1")
    assert ask(copy).startswith("python3 (")
    assert "ermission denied" in ask(copy, user="daemon")
    fresh.do(f"systemctl stop holder; rm {copy}")
    fresh.do("apt-get purge --quiet --yes network-connections </dev/null 2>&1")


def test_nothing_asks_and_what_runs_as_root_is_known(made: Path) -> None:
    deb = package(made, "deb")
    before, after = (SCRIPTS / f"{name}.sh" for name in ("before-removal", "after-change"))
    scripts = {"prerm": before, "postinst": after, "postrm": after}
    with directory() as path:
        subprocess.run(["dpkg-deb", "--raw-extract", deb, path / "x"], check=True)
        control = path / "x" / "DEBIAN"
        names = {entry.name for entry in control.iterdir()}
        assert names == {"control", "md5sums", *scripts}
        for name, script in scripts.items():
            assert (control / name).read_text("utf-8") == script.read_text("utf-8")
        for entry in (path / "x").rglob("*"):
            # Links lead to what is in the package, and nobody but root may write.
            assert not entry.stat().st_mode & 0o6022, entry
    line = ["rpm", "--query", "--package", str(package(made, "rpm"))]
    asked = [*line, "--scripts", "--triggers", "--filetriggers", "--requires"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    head = "preuninstall scriptlet (using /bin/sh):\n"
    assert told.startswith(f"{head}{before.read_text('utf-8')}")
    rest = told[len(head) + len(before.read_text("utf-8")) :]
    assert all(line.startswith("rpmlib(") for line in rest.split()[::3]), rest


def test_links_in_the_rpm_have_the_permissions_of_links(made: Path) -> None:
    rpm = str(package(made, "rpm"))
    line = ["rpm", "--query", "--package", "--list", "--verbose", rpm]
    listed = subprocess.run(line, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {entry[:10] for entry in listed if " -> " in entry} == {"lrwxrwxrwx"}
    # The digests are those of what it has.
    subprocess.run(["rpm", "--checksig", "--nosignature", rpm], check=True)


# The directories that Red Hat's package "filesystem" has.
FILESYSTEM = (
    *("usr/bin", "usr/lib", "usr/lib64", "usr/share/doc", "usr/share/licenses"),
    *("usr/share/man/man1", "var/lib"),
)


def test_rpm_in_an_empty_root(made: Path) -> None:
    new, old = package(made, "rpm"), package(made, "rpm", before=True)
    with directory() as root:
        rpm = ["rpm", f"--root={root}"]

        def do(*words: str | Path) -> str:
            done = subprocess.run([*rpm, *words], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done
            return done.stdout

        def files() -> set[str]:
            return {
                str(path.relative_to(root))
                for path in root.rglob("*")
                if not path.is_relative_to(root / "var/lib/rpm")
            }

        def erase() -> None:
            # There is no shell.
            do("--erase", "--noscripts", "network-connections")

        for name in FILESYSTEM:
            (root / name).mkdir(parents=True)
        do("--initdb")
        before = files()
        assert f"`rpm --install {new.name}`" in README
        do("--install", new)
        erase()
        assert files() == before
        do("--install", old)
        assert do("--query", "network-connections") == f"network-connections-{BEFORE}-1.x86_64\n"
        do("--upgrade", "--noscripts", new)
        assert do("--verify", "network-connections") == ""
        plugin = root / "usr/lib64/nagios/plugins/check_network_connections"
        command = root / "usr/bin/network-connections"
        # SELinux goes by the label of the file.
        assert (plugin.is_symlink(), command.is_symlink()) == (False, True)
        assert command.resolve() == plugin
        done = subprocess.run([plugin, "--version"], capture_output=True, text=True, check=False)
        assert f"-{done.stdout.split()[1]}-" in do("--query", "network-connections")
        do("--upgrade", "--noscripts", "--oldpackage", old)
        erase()
        assert files() == before


POLICY_PACKAGES = (
    *machines.PACKAGES,
    *("policycoreutils", "rpm", "selinux-policy-default", "selinux-utils"),
)


# A policy is built within seconds of a processor that nobody else wants.
BUILDS = 10 * harness.PATIENCE


@pytest.fixture(scope="module")
def labelled(made: Path) -> Iterator[Machine]:
    """Return a booted Debian with a policy of SELinux, which its kernel does not enforce."""
    if reason := machines.missing(POLICY_PACKAGES):
        pytest.skip(reason)
    with host.apart() as apart:
        for path in made.iterdir():
            shutil.copy(path, apart.tools)
        with machines.booted(apart, packages=POLICY_PACKAGES) as machine:
            machine.do("rpm --initdb")
            yield machine


@pytest.mark.parametrize("suffix", ["deb", "rpm"])
def test_the_policy_module_comes_and_goes_with_its_package(
    suffix: str, labelled: Machine, made: Path
) -> None:
    def label(place: str = PLUGIN) -> str:
        return labelled.do(f"matchpathcon -n {place}").split(":")[2]

    def modules() -> str:
        return labelled.do("semodule --list=full | grep network-connections || true")

    new, old = (f"{INSIDE}/{policy(made, suffix, before).name}" for before in (False, True))
    # Nothing of a Debian is known to rpm.
    rpm = "rpm --nodeps --force-debian"
    if suffix == "deb":
        main = f"{INSIDE}/{package(made, 'deb').name}"
        install, upgrade = f"dpkg --install {main} {old}", f"dpkg --install {new}"
        erase = "dpkg --purge network-connections-selinux"
    else:
        install, upgrade = f"{rpm} --install {old}", f"{rpm} --upgrade {new}"
        erase = f"{rpm} --erase network-connections-selinux"
    before = labelled.do("cat /etc/selinux/default/policy/policy.* | sha256sum")
    assert label() == "bin_t"
    for step in (install, upgrade):
        labelled.do(f"{step} 2>&1", seconds=BUILDS)
        assert modules().split()[:3] == ["200", "network-connections", "cil"]
        assert label() == "network_connections_exec_t"
        assert label(PLUGIN.replace("lib", "lib64", 1)) == "network_connections_exec_t"
        assert label("/usr/bin/network-connections") == "bin_t"
    labelled.do(f"{erase} 2>&1", seconds=BUILDS)
    assert (modules(), label()) == ("", "bin_t")
    assert labelled.do("cat /etc/selinux/default/policy/policy.* | sha256sum") == before


def test_licences_of_what_is_linked_are_there(made: Path) -> None:
    with directory() as path:
        subprocess.run(["dpkg-deb", "--extract", package(made, "deb"), path], check=True)
        text = (path / "usr/share/doc/network-connections/third-party-licenses").read_text("utf-8")
    for crate in ("rustix", "serde_json", "nix", "unicode-width"):
        assert f"\n{crate} " in text
    assert "Permission is hereby granted" in text
