"""Pages of the documentation: tests write what a run shows, or see that a page says the same."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

import harness

PAGE = harness.ROOT / "docs" / "evidence" / "reliability.md"
_WRITE = os.environ.get("NETWORK_CONNECTIONS_WRITE_DOCS") == "1"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def anchor(heading: str) -> str:
    """Return what a link to this heading ends with, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def keep(name: str, text: str, comparable: Callable[[str], str] = str) -> None:
    """Keep this in the part of that name of docs/evidence/reliability.md."""
    part = re.compile(f"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->\n)", re.DOTALL)

    def change(page: str) -> str:
        new, found = part.subn(lambda match: f"{match[1]}{text}{match[2]}", page)
        assert found == 1, f"{PAGE} has no part {name}"
        return new

    rewrite(PAGE, change, comparable)


def rewrite(
    page: Path, change: Callable[[str], str], comparable: Callable[[str], str] = str
) -> None:
    """Write a page as it is after this change, or assert that it says the same before."""
    # Another process may write another part of it.
    with page.open("r+" if _WRITE else "r", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        before = file.read()
        after = change(before)
        if _WRITE:
            file.seek(0)
            file.write(after)
            file.truncate()
        else:
            assert comparable(before) == comparable(after), (
                "set NETWORK_CONNECTIONS_WRITE_DOCS=1 to let the tests write the page anew"
            )


def section(title: str) -> str:
    """Return the text below a heading, on whichever page of the documentation it is."""
    pages = [harness.ROOT / "README.md", *sorted((harness.ROOT / "docs").rglob("*.md"))]
    heading = re.compile(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#+ |\Z)", re.DOTALL | re.MULTILINE)
    found = [match[2] for page in pages for match in heading.finditer(page.read_text("utf-8"))]
    assert len(found) == 1, f"the pages have {len(found)} headings {title}"
    return found[0]


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def without_figures(text: str) -> str:
    """Return a text in which every number is the same."""
    return re.sub(r"\d[\d,.]*", "0", text)
