"""The systemd units that publish for node_exporter: every outcome, and nothing but whole ones."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from integrations import machines
from integrations.daemons import wait_for
from integrations.machines import Machine
from integrations.prometheus import (
    COMMAND,
    PAGE,
    SERVICE,
    TEXTFILES,
    TIMER,
    UNITS,
    actor,
    block,
    configure,
    drop_in,
    exported,
    file,
    install,
    published,
    samples,
    script,
    start,
    units,
    value,
    version,
)
from integrations.where import Row

WHERE = [
    Row(
        "systemd, the units for Prometheus",
        lambda: version("systemd"),
        "the file after every exit code, a kill, a full disk, a directory that is missing or "
        "read-only, and a check that hangs; rights; the timer",
    ),
    Row(
        "prometheus-node-exporter",
        lambda: version("prometheus-node-exporter"),
        "the textfiles of several checks, with and without `--name`",
    ),
]

WRITE = os.environ.get("NETWORK_CONNECTIONS_WRITE_DOCS") == "1"
# What the check has published before, long ago.
OLD = "\nnetwork_connections_check_state 0\n"
LONG_AGO = 1_000_000_000


@pytest.fixture
def old(monitored: Machine) -> Iterator[Machine]:
    """Return the machine with a file of long ago, and a check `web` that would renew it."""
    install(monitored)
    configure(monitored, "web")
    monitored.do(f"cat > {file('web')}; touch -d @{LONG_AGO} {file('web')}", OLD)
    yield monitored
    install(monitored)


def is_old(machine: Machine) -> bool:
    """Whether the file is the one of long ago, to the byte and to the second."""
    time = machine.do(f"stat -c %Y {file('web')}").strip()
    return (published(machine, "web"), time) == (OLD, str(LONG_AGO))


def test_systemd_finds_no_fault(monitored: Machine) -> None:
    paths = " ".join(f"{UNITS}/{unit.format('web')}" for unit in (SERVICE, TIMER))
    assert monitored.do(f"systemd-analyze verify {paths} 2>&1") == ""


def test_the_service_is_hardened(monitored: Machine) -> None:
    text = monitored.do(f"systemd-analyze security --no-pager {SERVICE.format('web')}")
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", text)
    assert found is not None
    assert float(found[1]) <= 2.0
    page = PAGE.read_text(encoding="utf-8")
    shown = re.sub(r"(exposure\slevel\sof\s)[\d.]+", rf"\g<1>{found[1]}", page)
    if WRITE:
        PAGE.write_text(shown, encoding="utf-8")
    else:
        assert shown == page


@pytest.mark.parametrize("way", machines.COMMANDS)
@pytest.mark.parametrize(
    ("state", "arguments"),
    [
        (0, ""),
        (1, "-w total=0"),
        (2, "-c total=0"),
        (3, "--timeout=0.000001"),
        (3, '--mistyped "two words"'),
        (3, "-w"),
    ],
)
def test_every_outcome_is_published(old: Machine, way: str, state: int, arguments: str) -> None:
    install(old, way)
    configure(old, "web", arguments)
    assert start(old, "web")
    text = published(old, "web")
    assert text.endswith(f'\nnetwork_connections_check_state{{check="web"}} {state}\n')
    assert all('"check": "web"' in name for name in samples(text))
    assert (value(text, "network_connections_selected") > 0) if state < 3 else True
    assert old.do(f"ls {TEXTFILES}; stat -c '%a %U' {file('web')}").splitlines()[-1] == "644 root"
    assert "tmp" not in old.do(f"ls {TEXTFILES}")


# What a script prints by printf.
ANSWER = OLD.replace("\n", "\\n")


@pytest.mark.parametrize(
    "check",
    [
        "kill -KILL $$",
        f"printf '{ANSWER[:-4]}'; kill -KILL $$",
        f"printf '{ANSWER[:-2]}'",
        f"printf '{ANSWER}and more\\n'",
        "exit 0",
        "echo Segmentation fault; exit 139",
    ],
    ids=["killed", "killed half-way", "cut short", "more", "silent", "no answer"],
)
def test_what_is_no_answer_leaves_the_old_file(old: Machine, check: str) -> None:
    script(old, check)
    assert not start(old, "web")
    assert is_old(old)
    install(old)
    assert start(old, "web")
    assert not is_old(old)


def test_a_command_that_is_not_there(old: Machine) -> None:
    old.do(f"rm {COMMAND}")
    assert not start(old, "web")
    assert is_old(old)


# The options that are meant, and what systemd makes no options of.
REFUSED = {
    "missing": None,
    "empty": "",
    "comments only": "# ARGS=-c total=0\n; ARGS=-c total=0\n",
    "mistyped": "ARG=-c total=0\n",
    "small letters": "args=-c total=0\n",
    "a byte order mark": "\ufeffARGS=-c total=0\n",
    "of a shell": "export ARGS=-c total=0\n",
    "a blank": "ARGS =-c total=0\n",
    "two lines": "ARGS=\nARGS=-c total=0\n",
    "a second line": "ARGS=\n-c total=0\n",
    "another variable": "ARGS=\nMORE=-c total=0\n",
    "no end of the line": "ARGS=\nMORE=1",
    "a comment that goes on": "# The limits: \\\nARGS=-c total=0\n",
    "not UTF-8": "ARGS=-c total=0 \udcff\n",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_options_that_cannot_be_used_are_unknown(old: Machine, text: str | None) -> None:
    path = "/etc/network-connections/web.conf"
    if text is None:
        old.do(f"rm {path}")
    else:
        octal = "".join(f"\\{byte:03o}" for byte in text.encode(errors="surrogateescape"))
        old.do(f"printf '{octal}' > {path}")
    assert not start(old, "web")
    reason, *page = published(old, "web").splitlines()
    assert reason.startswith(f"# {path}: "), reason
    # As the command itself says that it has no answer.
    failed = old.do(f"{COMMAND} --strict --format=prometheus --name=web --mistyped", check=False)
    assert page == failed.splitlines()[1:]
    assert page[-1] == 'network_connections_check_state{check="web"} 3'
    told = old.do(f"journalctl -q -o cat -u {SERVICE.format('web')} | grep -v '^Fail' | tail -n 9")
    assert reason.removeprefix("# ") in told.splitlines()
    assert sorted(old.do(f"ls {TEXTFILES} /run | grep network_con").split()) == [
        "network_connections_web.prom"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "ARGS=-c total=0\n",
        "# The limits.\n\n  \n  ARGS=-c total=0\n; No more.\n",
        "ARGS='-c total=0'\r\n",
        "ARGS=-c total=0",
        'ARGS=-c "total=0"\n',
    ],
)
def test_options_that_can_be_used(old: Machine, text: str) -> None:
    old.write("/etc/network-connections/web.conf", text)
    assert start(old, "web")
    assert value(published(old, "web"), "network_connections_check_state") == 2


def test_a_check_that_has_never_answered(old: Machine) -> None:
    script(old, "kill -KILL $$")
    old.do(f"rm {file('web')}")
    assert not start(old, "web")
    text = published(old, "web")
    assert text.startswith("# The check has not answered yet\n")
    assert value(text, "network_connections_check_state") == 3


@pytest.mark.parametrize("name", ["web server", "web-1", "web-1/über:a@b"])
def test_names_that_systemd_escapes(old: Machine, name: str) -> None:
    old.do(f"rm {file('web')}")
    escaped = old.do(f"systemd-escape '{name}'").strip()
    assert "\\" in escaped
    label = escaped.replace("\\", "\\\\")
    try:
        for arguments, state, succeeds in (("-c total=0", 2, True), ("\nmore", 3, False)):
            configure(old, name, arguments)
            assert start(old, escaped) == succeeds
            last = f'\nnetwork_connections_check_state{{check="{label}"}} {state}\n'
            assert published(old, escaped).endswith(last)
            assert last in exported(old)
    finally:
        old.do(f"rm -f '{file(escaped)}' '/etc/network-connections/{name}.conf'")


@pytest.mark.parametrize("name", ["*", "w?b", "[w]eb", "a\\b"])
def test_names_that_are_patterns_have_no_options_of_others(old: Machine, name: str) -> None:
    escaped = old.do(f"systemd-escape '{name}'").strip()
    configure(old, name, "-c total=0")
    try:
        assert not start(old, escaped)
        text = published(old, escaped)
        assert text.startswith(f"# /etc/network-connections/{name}.conf: a name may have none of")
        assert value(text, "network_connections_check_state") == 3
    finally:
        old.do(f"rm '{file(escaped)}' '/etc/network-connections/{name}.conf'")


@pytest.mark.parametrize("name", ["web-1", "a.b:c@d_e"])
def test_names_that_need_no_escape(old: Machine, name: str) -> None:
    old.do(f"rm {file('web')}")
    configure(old, name, "-c total=0")
    try:
        assert start(old, name)
        assert f'_check_state{{check="{name}"}} 2\n' in exported(old)
    finally:
        old.do(f"rm '{file(name)}' '/etc/network-connections/{name}.conf'")


def journal(machine: Machine) -> str:
    """Return what the unit told last."""
    return machine.do(f"journalctl -q -n 30 -o cat -u {SERVICE.format('web')}")


def in_directory(machine: Machine, path: str) -> bool:
    """Run the check where it publishes in this directory, and return whether it succeeds."""
    text = block("ini", "TEXTFILES").replace("/srv/textfiles", path)
    with drop_in(machine, SERVICE.format(""), text):
        return start(machine, "web")


@pytest.mark.parametrize(
    ("prepare", "path", "named"),
    [
        ("mkdir /srv/t; chown prometheus: /srv/t", "/srv/t", "/srv/t"),
        ("mkdir -p /srv/t/a/b; chown prometheus: /srv/t", "/srv/t/a/b", "/srv/t"),
        ("mkdir /srv/t; chgrp prometheus /srv/t; chmod g+w /srv/t", "/srv/t", "/srv/t"),
        ("mkdir -p /srv/t/a; chmod 1777 /srv/t", "/srv/t/a", "/srv/t"),
        ("mkdir -p /srv/r/a; ln -s r /srv/t", "/srv/t/a", "/srv/t"),
        ("mkdir -p /srv/r/a; ln -s r/a /srv/t", "/srv/t/", "/srv/t"),
        ("mkdir /srv/t; chmod 666 /srv/t; mkdir /srv/t/a", "/srv/t/../t/a", "/srv/t"),
        ("touch /srv/t", "/srv/t", "/srv/t"),
        ("true", "/srv/t", "/srv/t"),
        ("mkdir /tmp/t", "/tmp/t", "/tmp"),
        ("true", "/var/lib/prometheus/node-exporter", "/var/lib/prometheus"),
    ],
)
def test_root_writes_in_no_directory_of_others(
    old: Machine, prepare: str, path: str, named: str
) -> None:
    old.do(prepare)
    try:
        assert not in_directory(old, path)
        assert f"Nothing is published in {path}: {named} must be a directory" in journal(old)
        assert old.do("find /srv /tmp /var/lib/prometheus -name 'network_conn*'") == ""
        assert is_old(old)
    finally:
        old.do("rm -rf /srv/* /tmp/t")


def test_another_directory_of_root(old: Machine) -> None:
    old.do("mkdir /srv/textfiles")
    try:
        assert in_directory(old, "/srv/textfiles")
        text = old.do("cat /srv/textfiles/network_connections_web.prom")
        assert value(text, "network_connections_check_state") == 0
        assert is_old(old)
    finally:
        old.do("rm -r /srv/*")


def test_a_check_that_hangs(old: Machine) -> None:
    script(old, f"printf '{ANSWER}'; exec sleep 1000")
    with drop_in(old, SERVICE.format(""), "[Service]\nTimeoutStartSec=1s\n"):
        assert not start(old, "web")
    assert is_old(old)
    assert old.do("pgrep -f 'sleep 1000' || ps ax | grep -c '[s]leep 1000'", check=False) in (
        "",
        "0\n",
    )


def mounted(machine: Machine, options: str, before: str) -> bool:
    """Run the check where another file system has the directory, and say what comes of it."""
    machine.do(
        f"cp -p {file('web')} /run/old; mount -t tmpfs -o mode=755,{options} none {TEXTFILES};"
        f"cp -p /run/old {file('web')}; {before}"
    )
    try:
        succeeded = start(machine, "web")
        assert is_old(machine) is not succeeded
        return succeeded
    finally:
        machine.do(f"umount {TEXTFILES}")


# All of the disk.
FILL = f"cat /dev/zero > {TEXTFILES}/more 2> /dev/null || true"


@pytest.mark.parametrize("arguments", ["", "-w total=0", "-c total=0", "--mistyped"])
def test_a_full_disk_leaves_the_old_file(old: Machine, arguments: str) -> None:
    configure(old, "web", arguments)
    assert mounted(old, "size=64k", "true")
    assert not mounted(old, "size=64k", FILL)


def test_a_disk_with_room_for_a_part_leaves_the_old_file(old: Machine) -> None:
    configure(old, "web", "--measure=accept-queue")
    with actor(old) as many:
        for port in range(1000, 1060):
            many.do("listen", "127.0.0.1", port)
        assert mounted(old, "size=64k", "true")
        assert not mounted(old, "size=64k", f"{FILL}; truncate -s -4096 {TEXTFILES}/more")


def test_a_directory_that_cannot_be_written(old: Machine) -> None:
    assert not mounted(old, "size=64k", f"mount -o remount,ro {TEXTFILES}")


def test_a_directory_that_is_missing(old: Machine) -> None:
    old.do(f"mv {TEXTFILES} {TEXTFILES}.away")
    try:
        assert not start(old, "web")
    finally:
        old.do(f"mv {TEXTFILES}.away {TEXTFILES}")
    assert is_old(old)


# What the user prometheus tries: another directory in the place of this one, with links in it.
ATTACK = """
cd {parent} && mv node-exporter away && mkdir node-exporter && cd node-exporter || exit 1
ln -s /etc/victim network_connections_web.prom; ln -s /etc/made network_connections_web.prom.tmp
"""


def test_a_user_who_owns_a_directory_overwrites_nothing(old: Machine) -> None:
    as_user = "setpriv --reuid=prometheus --regid=prometheus --clear-groups sh -c"
    old.do("echo mine > /etc/victim; cp -a /var/lib/prometheus /var/lib/before")
    try:
        attack = ATTACK.format(parent="/var/lib/prometheus")
        old.do(f"{as_user} '{attack}'")
        assert not in_directory(old, "/var/lib/prometheus/node-exporter")
        assert start(old, "web")
        for parent in (TEXTFILES, "/var/lib/network-connections", "/var/lib", "/run"):
            old.do(f"! {as_user} 'ln -s /etc/victim {parent}/network_connections_web.prom.tmp'")
            old.do(f"! {as_user} 'mv {parent} {parent}.away'")
        assert start(old, "web")
        assert old.do("cat /etc/victim; stat -c '%U %a' /etc/victim") == "mine\nroot 644\n"
        assert old.do("ls /etc/made", check=False) == ""
    finally:
        old.do("rm -r /var/lib/prometheus /etc/victim; mv /var/lib/before /var/lib/prometheus")


@pytest.mark.parametrize("stack", ["12K", "16K", "24K", "64K", "140K"])
def test_programs_that_crash_publish_nothing(old: Machine, stack: str) -> None:
    with drop_in(old, SERVICE.format("web"), f"[Service]\nLimitSTACK={stack}\n"):
        succeeded = start(old, "web")
    assert is_old(old) is not succeeded
    if succeeded:
        assert value(published(old, "web"), "network_connections_selected") > 0


def test_a_small_stack_publishes_nothing_of_a_check_that_crashes(old: Machine) -> None:
    script(old, "kill -SEGV $$")
    with drop_in(old, SERVICE.format("web"), "[Service]\nLimitSTACK=12K\n"):
        assert not start(old, "web")
    assert is_old(old)


def test_the_check_has_no_rights(old: Machine) -> None:
    places = f"{TEXTFILES} /etc/network-connections /run /root /usr/local/bin"
    script(
        old,
        "echo \"# user $(id -u) $(grep CapEff /proc/self/status | tr -d '[:blank:]')\"\n"
        f'for place in {places}; do touch $place/mine 2>/dev/null && echo "# $place"; done\n'
        f"printf '{ANSWER}'",
    )
    assert start(old, "web")
    found = re.fullmatch(
        rf"# user [1-9]\d* CapEff:0{{16}}\n{re.escape(OLD)}", published(old, "web")
    )
    assert found, published(old, "web")


@pytest.mark.parametrize(
    "arguments",
    [
        *("--group-by=user", "--group-by=unit", "--group-by=process"),
        *("--measure=accept-queue", "--measure=ephemeral-ports"),
        # A machine does not see the limits of its host.
        "--measure=exhaustion -w host-limits=~: -c host-limits=~:",
        *("--netns=all --group-by=netns", "--local-port=9100 --conn-status=listen -c total=1:"),
    ],
)
def test_questions_that_need_no_rights(old: Machine, arguments: str) -> None:
    configure(old, "web", arguments)
    assert start(old, "web")
    text = published(old, "web")
    assert value(text, "network_connections_check_state") == 0
    assert re.search(r'\{check="web",source="(procfs, )?netlink"\}', text) or "--netns" in arguments


def test_processes_with_more_rights(old: Machine) -> None:
    configure(old, "web", "--group-by=process -w nobodys=0")
    with actor(old) as held:
        held.do("listen", "127.0.0.1", 80)
        assert start(old, "web")
        assert value(published(old, "web"), "network_connections_check_state") == 3
        with drop_in(old, SERVICE.format("web"), block("ini", "CAP_SYS_PTRACE")):
            assert start(old, "web")
        assert value(published(old, "web"), "network_connections_check_state") == 0


def test_namespaces_with_more_rights(old: Machine) -> None:
    configure(old, "web", "--netns=blue")
    old.do("ip netns add blue")
    try:
        assert start(old, "web")
        assert value(published(old, "web"), "network_connections_check_state") == 3
        with drop_in(old, SERVICE.format("web"), block("ini", "CAP_SYS_ADMIN")):
            assert start(old, "web")
        assert value(published(old, "web"), "network_connections_check_state") == 0
    finally:
        old.do("ip netns delete blue")


# What a unit with DynamicUser= has other mounts in, and places where namespaces are mounted.
HIDDEN = (
    *("/tmp", "/var/tmp", "/home", "/root", "/run/user", "/dev/shm", "/run/credentials"),
    *("/run/netns", "/srv"),
)


@pytest.mark.parametrize("rights", ["", "CAP_SYS_ADMIN"], ids=["no rights", "more rights"])
@pytest.mark.parametrize("place", HIDDEN)
def test_a_namespace_that_the_unit_does_not_see_is_said(
    old: Machine, place: str, rights: str
) -> None:
    def ask(arguments: str) -> str:
        configure(old, "web", arguments)
        text = block("ini", rights) if rights else "[Service]\n"
        with drop_in(old, SERVICE.format("web"), text):
            assert start(old, "web")
        return published(old, "web")

    def found() -> tuple[int, ...]:
        text = ask("--netns=all")
        kinds = ("seen", "unseen", "doubtful")
        return tuple(int(value(text, f"network_connections_netns_{kind}")) for kind in kinds)

    before = found()
    directory = f"{place}/of-a-test"
    old.do(f"mkdir -p {directory}; touch {directory}/ns; unshare --net={directory}/ns true")
    try:
        after = found()
        assert sum(after) == sum(before) + 1
        text = ask("--netns=all -c total=100000:")
        hidden = after[0] == before[0]
        assert value(text, "network_connections_check_state") == (3 if hidden else 2)
        assert hidden or rights
    finally:
        old.do(f"umount {directory}/ns; rm -r {directory}")


def test_two_at_once_by_their_timers(old: Machine) -> None:
    configure(old, "queues", "--measure=accept-queue")
    often = "[Timer]\nOnCalendar=\nOnCalendar=*:*:*\nRandomizedDelaySec=0\n"
    names = ("web", "queues")
    with drop_in(old, TIMER.format(""), often):
        old.do(f"systemctl enable --now {units(names, TIMER)} 2>/dev/null")
        try:
            wait_for(lambda: (not is_old(old) and published(old, "queues")) or None, "both")
            before = old.do(f"stat -c %Y {file('web')}")
            wait_for(lambda: old.do(f"stat -c %Y {file('web')}") != before or None, "the next")
        finally:
            old.do(f"systemctl disable --now {units(names, TIMER)} 2>/dev/null")
    text = exported(old)
    for name in names:
        assert f'\nnetwork_connections_check_state{{check="{name}"}} 0\n' in text
    assert '\nnetwork_connections{check="web",state="LISTEN",type="tcp"} ' in text
    assert '\nnetwork_connections_accept_queue_limit{check="queues",listener="' in text
    assert "\nnode_textfile_scrape_error 0\n" in text


def test_node_exporter_reads_what_root_and_its_own_user_publish(old: Machine) -> None:
    assert start(old, "web")
    theirs, others = "/var/lib/prometheus/node-exporter", "/var/lib/another"
    forged = 'network_connections_check_state{check=\\"web\\"} 2'
    old.do(f"echo 'apt_upgrades 1' > {theirs}/apt.prom; mkdir -p {others}/node-exporter")
    old.do(f'echo "{forged}" > {others}/node-exporter/a.prom; chown -R daemon: {others}')
    try:
        text = exported(old)
        assert "\napt_upgrades 1\n" in text
        assert '\nnetwork_connections_check_state{check="web"} 0\n' in text
        assert "\nnode_textfile_scrape_error 0\n" in text
    finally:
        old.do(f"rm -r {theirs}/apt.prom {others}")


def test_without_names_series_are_lost(old: Machine) -> None:
    old.do(f"rm {TEXTFILES}/*.prom")
    try:
        for names, left in ((("", ""), 1), (("a", "b"), 2)):
            for number, name in enumerate(names):
                old.do(f"{COMMAND} --format=prometheus --name='{name}' > {file(str(number))}")
            text = exported(old)
            assert text.count("\nnetwork_connections_check_state") == left
            # Nothing but the journal says so.
            assert "\nnode_textfile_scrape_error 0\n" in text
    finally:
        old.do(f"rm {TEXTFILES}/*.prom")
