"""The systemd units that publish for node_exporter: every outcome, and nothing but whole ones."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import harness
import pytest

from integrations import machines
from integrations.daemons import wait_for
from integrations.machines import Machine
from integrations.prometheus import (
    COMMAND,
    SERVICE,
    TEXTFILES,
    TIMER,
    UNITS,
    actor,
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

PAGE = harness.ROOT / "docs" / "prometheus.md"
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


def test_arguments_that_are_not_there(old: Machine) -> None:
    old.do("rm /etc/network-connections/web.conf")
    assert not start(old, "web")
    assert is_old(old)


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
        *("--netns=all --group-by=netns", "--local-port=9100 --conn-status=listen -c total=1:"),
    ],
)
def test_questions_that_need_no_rights(old: Machine, arguments: str) -> None:
    configure(old, "web", arguments)
    assert start(old, "web")
    text = published(old, "web")
    assert value(text, "network_connections_check_state") == 0
    assert '{check="web",source="netlink"}' in text or "--netns" in arguments


def more_rights(setting: str) -> str:
    """Return the page's addition to the unit that has this setting."""
    blocks = re.findall(r"```ini\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = [block for block in blocks if setting in block]
    assert isinstance(block, str)
    return block


def test_processes_with_more_rights(old: Machine) -> None:
    configure(old, "web", "--group-by=process -w nobodys=0")
    with actor(old) as held:
        held.do("listen", "127.0.0.1", 80)
        assert start(old, "web")
        assert value(published(old, "web"), "network_connections_check_state") == 3
        with drop_in(old, SERVICE.format("web"), more_rights("CAP_SYS_PTRACE")):
            assert start(old, "web")
        assert value(published(old, "web"), "network_connections_check_state") == 0


def test_namespaces_with_more_rights(old: Machine) -> None:
    configure(old, "web", "--netns=blue")
    old.do("ip netns add blue")
    try:
        assert start(old, "web")
        assert value(published(old, "web"), "network_connections_check_state") == 3
        with drop_in(old, SERVICE.format("web"), more_rights("CAP_SYS_ADMIN")):
            assert start(old, "web")
        assert value(published(old, "web"), "network_connections_check_state") == 0
    finally:
        old.do("ip netns delete blue")


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
