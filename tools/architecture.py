"""Draws how a check runs, for docs/evidence/how-it-works.md: docs/evidence/architecture.svg.

python tools/architecture.py [--check]
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "evidence" / "architecture.svg"
WIDTH, MARGIN, GAP, HEIGHT, BETWEEN = 860, 10, 14, 58, 34
# Boxes have colours of their own, and arrows one that is seen on white and on black.
FILL, TEXT, SMALL, ARROW = "#e8eef7", "#10203a", "#44536b", "#8a8f98"
# From top to bottom; boxes of a row stand beside each other: a title, and what it is.
ROWS = (
    (
        ("Command line", "every option once, in one table"),
        ("Python", "the same fields as keywords"),
        ("Rust crate", "the same fields as a Check"),
    ),
    (("Plan", "the validated check: only a plan can run"),),
    (("Survey of network namespaces", "enters each once, and reads everything in that visit"),),
    (
        ("netlink", "Linux: a dump of sockets"),
        ("procfs", "Linux: /proc/net, where netlink fails"),
        ("counters", "Linux: the kernel's sums"),
        ("netstat2", "Windows: the system's tables"),
        ("fixture", "a file of a test, without the survey"),
    ),
    (
        (
            "Collectors",
            "count connections, accept queues or ephemeral ports: by state, port, peer ...",
        ),
    ),
    (("Owners", "names of users, units, programs and processes, where they are asked for"),),
    (("Judge", "thresholds in, states out: OK, WARNING, CRITICAL, UNKNOWN"),),
    (
        ("plugin", "a line for Nagios and Icinga"),
        ("json", "one object"),
        ("prometheus", "text for node_exporter"),
        ("Python, Rust", "a report as a value"),
    ),
)


def main() -> None:
    """Write the picture, or say that it is stale."""
    drawn = picture()
    if "--check" not in sys.argv[1:]:
        PICTURE.write_text(drawn, encoding="utf-8")
    elif not PICTURE.exists() or PICTURE.read_text(encoding="utf-8") != drawn:
        sys.exit(f"{PICTURE.relative_to(ROOT)} is stale (run: make generate)")


def picture() -> str:
    """Return the rows as SVG, with an arrow from each to the next."""
    height = 2 * MARGIN + len(ROWS) * HEIGHT + (len(ROWS) - 1) * BETWEEN
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="DejaVu Sans, Arial, sans-serif" '
        'text-anchor="middle">',
        "<title>How a check runs</title>",
    ]
    for number, row in enumerate(ROWS):
        top = MARGIN + number * (HEIGHT + BETWEEN)
        if number:
            drawn.append(_arrow(WIDTH // 2, top - BETWEEN, top))
        width = (WIDTH - 2 * MARGIN - (len(row) - 1) * GAP) / len(row)
        for place, (title, what) in enumerate(row):
            drawn += _box(MARGIN + place * (width + GAP), top, width, title, what)
    return "\n".join([*drawn, "</svg>", ""])


def _arrow(x: int, start: int, end: int) -> str:
    """Return an arrow down."""
    return (
        f'<path d="M{x} {start + 3}V{end - 9}" stroke="{ARROW}" stroke-width="2.5"/>'
        f'<path d="M{x - 6} {end - 11}h12l-6 9z" fill="{ARROW}"/>'
    )


def _box(left: float, top: int, width: float, title: str, what: str) -> list[str]:
    """Return a box with its title and what it is, in two lines where one is too narrow."""
    middle = left + width / 2
    lines = [""]
    for word in what.split():
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) * 6.2 > width - 8:
            lines.append(word)
        else:
            lines[-1] = longer
    first = top + (24 if len(lines) == 1 else 18)
    return [
        f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{HEIGHT}" rx="7" '
        f'fill="{FILL}" stroke="{ARROW}"/>',
        f'<text x="{middle:.1f}" y="{first}" font-size="14" font-weight="bold" '
        f'fill="{TEXT}">{escape(title)}</text>',
        *(
            f'<text x="{middle:.1f}" y="{first + 18 + 14 * number}" font-size="11" '
            f'fill="{SMALL}">{escape(line)}</text>'
            for number, line in enumerate(lines)
        ),
    ]


if __name__ == "__main__":
    main()
