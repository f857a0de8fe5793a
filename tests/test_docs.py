"""What the documentation shows is what the commands print.

Every block of the pages that begins with `$ network-connections` is run on the same small site
(tests/lab/site.py), and every block of Python as a doctest. With NETWORK_CONNECTIONS_WRITE_DOCS=1
the outputs are written into the pages instead of compared.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import page as pages
import pytest
from lab import namespaces
from lab.site import Site, site

ROOT = Path(__file__).resolve().parents[1]
NATIVE = ROOT / "target" / "release" / "network-connections"
PAGES = ("README.md", "docs/usage.md", "docs/python.md")

CONSOLE = re.compile(
    r"(?P<head>```console\n\$ (?P<command>network-connections[^\n]*)\n)(?P<out>.*?)```", re.S
)
# A head, a rule, and rows up to an empty line or to the end.
TABLE = re.compile(r"^.* ! .*\n[-+]+\n(?:.+\n)+", re.M)
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
        ns = host.stuck if "--measure=accept-queue" in arguments else host.ns
        done = namespaces.run(ns, [str(NATIVE), *arguments], check=False)
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
