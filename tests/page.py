"""docs/reliability.md: the tests write its tables, or see that they say what a run shows."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Callable

import harness

PAGE = harness.ROOT / "docs" / "reliability.md"
_WRITE = os.environ.get("NETWORK_CONNECTIONS_WRITE_DOCS") == "1"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def keep(name: str, text: str, comparable: Callable[[str], str] = str) -> None:
    """Write this into the page's part of that name, or assert that it says the same."""
    page = PAGE.read_text(encoding="utf-8")
    part = re.compile(f"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->\n)", re.DOTALL)
    new, found = part.subn(lambda match: f"{match[1]}{text}{match[2]}", page)
    assert found == 1, f"{PAGE} has no part {name}"
    if _WRITE:
        PAGE.write_text(new, encoding="utf-8")
    else:
        assert comparable(page) == comparable(new), (
            "set NETWORK_CONNECTIONS_WRITE_DOCS=1 to let the tests write the page anew"
        )


def without_figures(text: str) -> str:
    """Return a text in which every number is the same."""
    return re.sub(r"\d[\d,.]*", "0", text)
