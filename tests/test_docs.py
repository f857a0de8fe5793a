"""What the documentation shows is what the commands print.

Every block of the pages that begins with `$ network-connections` is run on the same small site
(tests/lab/site.py), and every block of Python as a doctest. With NETWORK_CONNECTIONS_WRITE_DOCS=1
the outputs are written into the pages instead of compared.

Every link inside the project leads to a file and a heading, and the pages stay short.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import page as pages
import pytest
from lab import namespaces
from lab.site import Site, site

ROOT = Path(__file__).resolve().parents[1]
NATIVE = ROOT / "target" / "release" / "network-connections"
# What a reader of the front door and of docs/ reads: docs/evidence/ is an appendix.
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
# More, and nobody finds a thing.
WORDS = 12_000

CONSOLE = re.compile(
    r"(?P<head>```console\n\$ (?P<command>network-connections[^\n]*)\n)(?P<out>.*?)```", re.S
)
# A head, a rule, and rows up to an empty line or to the end.
TABLE = re.compile(r"^.* ! .*\n[-+]+\n(?:.+\n)+", re.M)
# Of what runs out: limits that a namespace does not show, and performance data with the numbers of
# the host.
OF_THE_HOST = re.compile(r"(?<=fine); not seen: [^|\n]*|\|'open-files'=.*")
# Processes of other tests fill their tables of files on purpose.
NO_FILES = ["--warning=open-files=~:", "--critical=open-files=~:"]
PYTHON = re.compile(r"```python\n(.*?)```", re.S)


@pytest.fixture(scope="module")
def host() -> Iterator[Site]:
    if reason := namespaces.missing():
        pytest.skip(reason)
    with site() as made:
        yield made


def normalised(text: str) -> str:
    """Replace what differs from run to run: process ids and durations."""
    text = TABLE.sub(aligned, re.sub(r"\((\d+)\)", "(4711)", text))
    text = re.sub(r'"duration":[0-9.e-]+', '"duration":0.0004', text)
    text = OF_THE_HOST.sub("", re.sub(r"\d+ more fine", "41 more fine", text))
    return re.sub(r"(duration_seconds) [0-9.e-]+", r"\1 0.0004", text)


def aligned(table: re.Match[str]) -> str:
    """Return a table whose columns are as wide as what is in them by now."""
    text, bar, perfdata = table[0].partition("|")
    head, _, *rows = ([cell.strip() for cell in line.split("!")] for line in text.splitlines())
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    rule = "-+-".join("-" * width for width in widths)
    lines = [" ! ".join(map(str.ljust, row, widths)).rstrip() for row in (head, *rows)]
    end = "" if bar else "\n"
    return "\n".join([lines[0], rule, *lines[1:]]) + end + bar + perfdata


def test_a_table_stays_aligned_whatever_the_process_ids() -> None:
    shown = (
        "Connections ! Process       ! User\n"
        "------------+---------------+-----\n"
        "60          ! webapp (4711) ! root\n"
        "7           ! db (4711)     ! -|'total'=67\n"
    )
    for pids in ((4711, 4712), (1, 4194304), (4194304, 1)):
        names = [f"{name} ({pid})" for name, pid in zip(("webapp", "db"), pids)]
        width = max(map(len, (*names, "Process")))
        printed = (
            f"Connections ! {'Process':{width}} ! User\n"
            f"------------+-{'-' * width}-+-----\n"
            f"60          ! {names[0]:{width}} ! root\n"
            f"7           ! {names[1]:{width}} ! -|'total'=67\n"
        )
        assert normalised(printed) == shown


@pytest.mark.parametrize("page", PAGES)
def test_commands_print_what_the_page_shows(page: str, host: Site) -> None:
    def run(block: re.Match[str]) -> str:
        arguments = shlex.split(block["command"])[1:]
        places = {
            "--measure=accept-queue": host.stuck,
            "--measure=exhaustion": host.stuck,
            "--measure=syn-queue": host.flooded,
        }
        ns = next((places[word] for word in arguments if word in places), host.ns)
        quiet = NO_FILES if "--measure=exhaustion" in arguments else []
        done = namespaces.run(ns, [str(NATIVE), *arguments, *quiet], check=False)
        assert done.stderr == "", block["command"]
        return f"{block['head']}{normalised(done.stdout)}```"

    pages.rewrite(ROOT / page, lambda text: CONSOLE.sub(run, text))


@pytest.mark.parametrize("page", PAGES)
def test_python_examples_run(page: str, host: Site) -> None:
    blocks = PYTHON.findall((ROOT / page).read_text(encoding="utf-8"))
    script = (
        "import doctest, sys\n"
        "test = doctest.DocTestParser().get_doctest(sys.stdin.read(), {}, 'page', None, 0)\n"
        "runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)\n"
        "sys.exit(runner.run(test).failed)\n"
    )
    examples = "\n".join(block for block in blocks if ">>>" in block)
    done = namespaces.run(host.ns, [sys.executable, "-c", script], stdin=examples, check=False)
    assert (done.returncode, done.stdout) == (0, "")


# Links.

FENCE = re.compile(r"^( *)```.*?^\1```$", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def markdown() -> list[str]:
    """Return every page of the repository."""
    places = (".", "docs", "docs/evidence", "integrations", "fuzz", "tests", "benches", "tools")
    found = {path for place in places[1:] for path in (ROOT / place).rglob("*.md")}
    return sorted(str(path.relative_to(ROOT)) for path in {*found, *ROOT.glob("*.md")})


def anchors(page: Path) -> set[str]:
    """Return what links to a heading of this page can end with."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    # A heading is shown without the marks of code and links.
    return {pages.anchor(LINK.sub("]", heading)) for heading in headings}


@pytest.mark.parametrize("page", markdown())
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for link in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, heading = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), link
        assert not heading or heading in anchors(file), link


def test_every_page_is_found_from_the_readme() -> None:
    found, waiting = set(), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        links = LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8")))
        targets = {(path.parent / link.partition("#")[0]).resolve() for link in links}
        waiting += [target for target in targets if target.suffix == ".md" and target.is_file()]
    assert {*(ROOT / "docs").rglob("*.md")} <= found


def test_the_pages_are_short() -> None:
    words = {page: len((ROOT / page).read_text(encoding="utf-8").split()) for page in PAGES}
    assert sum(words.values()) <= WORDS, words


# One recipe.

GONE = "--conn-status=listen --local-port=443 -c total=1:"


@pytest.mark.parametrize(
    "path",
    [
        "docs/nagios.md",
        "docs/prometheus.md",
        "docs/zabbix.md",
        "integrations/linuxfabrik/network-connections/README.md",
        "integrations/nagios/network-connections.cfg",
        "integrations/nrpe/network-connections.cfg",
        "integrations/windows/nsclient.ini",
        "src/cli/pages/text.rs",
    ],
)
def test_a_listener_that_has_gone_has_one_recipe(path: str) -> None:
    assert GONE in (ROOT / path).read_text(encoding="utf-8")


LISTENERS = pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::"])


@LISTENERS
def test_the_recipe_is_fine_with_a_listener_of_any_family(address: str) -> None:
    assert asked(recipe(), address) == (0, "total: 1, ")


def recipe() -> list[str]:
    return [str(NATIVE), "--strict", *GONE.split()]


def asked(line: list[str], address: str = "", *, accepted: bool = False) -> tuple[int, str]:
    """Return state and beginning of an answer beside a listener on port 443, or its connections."""
    if reason := namespaces.missing():
        pytest.skip(reason)
    with namespaces.pair() as pair, contextlib.ExitStack() as held:
        if address:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with namespaces.inside(pair.a):
                listener = held.enter_context(socket.socket(family, socket.SOCK_STREAM))
                client = held.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listener.bind((address, 443))
            listener.listen()
            if accepted:
                client.connect((address, 443))
                held.enter_context(listener.accept()[0])
                listener.close()
        done = namespaces.run(pair.a, line, check=False)
    return done.returncode, done.stdout[: len("total: 1, ")]


def test_the_recipe_is_critical_though_connections_are_left() -> None:
    assert asked(recipe()) == (2, "total: 0 [")
    assert asked(recipe(), "127.0.0.1", accepted=True) == (2, "total: 0 [")
    # That is what the state is for.
    without = [word for word in recipe() if not word.startswith("--conn-status")]
    assert asked(without, "127.0.0.1", accepted=True)[0] == 0


def test_other_recipes_alert_though_somebody_listens_or_do_not_fail_safe() -> None:
    # One listener for IPv6 alone leaves the group of IPv4 without any.
    zero = ["--strict", "--conn-status=listen", "--local-port=443", "--zero", "--critical=1:"]
    assert asked([str(NATIVE), *zero], "::1")[0] == 2


@pytest.mark.parametrize("more", [["--source=procfs"], ["--source=netlink"]])
def test_the_recipe_is_the_same_for_every_source(more: list[str]) -> None:
    assert asked([*recipe(), *more]) == (2, "total: 0 [")
    assert asked([*recipe(), *more], "::1") == (0, "total: 1, ")


def test_the_recipe_is_unknown_where_nothing_was_counted() -> None:
    late = [*recipe(), "--timeout=0.000001"]
    assert asked(late)[0] == asked(late, "::1")[0] == 3
