"""Draws the alert of README.md as a terminal: docs/alert.svg.

python tools/picture.py [--check]
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "alert.svg"
WIDTH, LINE, MARGIN = 8.4, 19, 16
COLOURS = {"[CRITICAL]": "#ff6b6b", "[WARNING]": "#ffd166", "nobody$": "#7bd88f"}


def main() -> None:
    """Write the picture, or say that it is stale."""
    drawn = picture(alert())
    if "--check" not in sys.argv[1:]:
        PICTURE.write_text(drawn, encoding="utf-8")
    elif PICTURE.read_text(encoding="utf-8") != drawn:
        sys.exit(f"{PICTURE.relative_to(ROOT)} is stale (run: make generate)")


def alert() -> list[str]:
    """Return the lines of the first command of the example, without its performance data."""
    text = (ROOT / "docs" / "leak.txt").read_text(encoding="utf-8")
    return text.partition("|")[0].splitlines()


def picture(lines: list[str]) -> str:
    """Return the terminal as SVG."""
    width = round(max(map(len, lines)) * WIDTH + 2 * MARGIN)
    height = (len(lines) + 1) * LINE + MARGIN
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">',
        f'<rect width="{width}" height="{height}" rx="8" fill="#1d1f27"/>',
        '<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" '
        'fill="#e6e6e6" xml:space="preserve">',
    ]
    for number, line in enumerate(lines, 1):
        text = escape(line)
        for word, colour in COLOURS.items():
            text = text.replace(word, f'<tspan fill="{colour}">{word}</tspan>')
        drawn.append(f'<text x="{MARGIN}" y="{number * LINE + MARGIN}">{text}</text>')
    return "\n".join([*drawn, "</g>", "</svg>", ""])


if __name__ == "__main__":
    main()
