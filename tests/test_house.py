"""The files of `src/` form no circle: each can be read after those that it builds on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import harness

SRC = harness.ROOT / "src"
# The roots: they say which files there are, and name everything.
ROOTS = {"lib", "main"}


def modules() -> dict[str, str]:
    """Return the sources of the crate by the path of their module, without their unit tests."""
    found = {}
    for path in sorted(SRC.rglob("*.rs")):
        name = "::".join(path.relative_to(SRC).with_suffix("").parts)
        if name not in ROOTS:
            text = re.sub(r"(?m)^\s*//.*$", "", path.read_text(encoding="utf-8"))
            found[name] = re.split(r"(?m)^#\[cfg\((?:test|all\(test.*)\)\]\nmod ", text)[0]
    return found


def expanded(path: str) -> Iterator[str]:
    """Return the paths that one with braces stands for."""
    if "{" not in path:
        yield path
        return
    head, _, rest = path.partition("{")
    depth, part = 0, ""
    for char in rest[: rest.rindex("}")]:
        depth += {"{": 1, "}": -1}.get(char, 0)
        if char == "," and depth == 0:
            yield from expanded(head + part)
            part = ""
        else:
            part += char
    yield from expanded(head + part)


def used(name: str, text: str, known: set[str]) -> set[str]:
    """Return the modules that a module names, in whatever way."""
    paths: list[str] = []
    for use in re.findall(r"\buse\s+((?:crate|super|self)::[^;]+);", text):
        paths.extend(expanded(re.sub(r"\s+", "", use)))
    rest = re.sub(r"\buse\s[^;]+;", "", text)
    paths.extend(re.findall(r"\b(?:crate|super|self)(?:::\w+)+", rest))
    paths.extend(f"self::{child}" for child in re.findall(r"(?m)^(?:pub )?mod (\w+);", text))
    found = set()
    for path in paths:
        first, *parts = path.split("::")
        if first != "crate":
            own = name.split("::")
            parts = (own if first == "self" else own[:-1]) + parts
        while parts and "::".join(parts) not in known:
            parts.pop()
        if parts:
            found.add("::".join(parts))
    return found - {name}


def circles(uses: dict[str, set[str]]) -> list[set[str]]:
    """Return the groups of modules that lead to each other."""
    reach = {name: set(others) for name, others in uses.items()}
    for over in reach:
        for others in reach.values():
            if over in others:
                others |= reach[over]
    found: list[set[str]] = []
    for name, others in reach.items():
        if name in others:
            circle = {other for other in others if name in reach[other]}
            if circle not in found:
                found.append(circle)
    return found


def test_no_two_files_build_on_each_other() -> None:
    sources = modules()
    uses = {name: used(name, text, set(sources)) for name, text in sources.items()}
    assert sum(map(len, uses.values())) > len(sources), "nothing was read"
    assert circles(uses) == []


def test_a_circle_is_found() -> None:
    sources = {
        "a": "use crate::{b::{self, One}, c::Two};",
        "b": "mod inner;",
        "b::inner": "fn f() { crate::c::g() }",
        "c": "use crate::\n    a::Three;",
        "d": "use crate::a::Three;",
    }
    uses = {name: used(name, text, set(sources)) for name, text in sources.items()}
    assert circles(uses) == [{"a", "b", "b::inner", "c"}]


def rows() -> list[tuple[str, str]]:
    """Return the rows of the map in CONTRIBUTING.md: the files, and what they are tested by."""
    page = (harness.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = page.partition("| file | has | tested by |\n")[2].partition("\n\n")[0]
    cells = [line.strip("|").split("|") for line in table.splitlines()[1:]]
    return [(files, tests) for files, _, tests in cells]


def test_every_file_can_be_found_by_the_map_in_contributing() -> None:
    files = " ".join(files for files, _ in rows())
    for name in modules():
        top = name.split("::")[0]
        assert f"src/{top}" in files, f"src/{top} is not in the map"


def test_the_map_names_every_file_of_tests_and_no_other() -> None:
    tests = harness.ROOT / "tests"
    named: set[Path] = set()
    for _, cell in rows():
        for name in re.findall(r"`([^`]+)`", cell):
            found = set(tests.glob(name))
            assert found, f"tests/{name} is not there"
            named |= found
    for path in (*tests.rglob("test_*.py"), *tests.rglob("*.rs")):
        # It only lists the others.
        if path.name != "main.rs":
            assert path in named, f"{path.relative_to(tests)} is not in the map"


def test_where_the_map_says_unit_tests_there_are_some() -> None:
    for files, cell in rows():
        if "unit tests" in cell:
            found = [harness.ROOT / name for name in re.findall(r"`(src/[^`]+)`", files)]
            sources = [one for path in found for one in (path, *path.rglob("*.rs"))]
            texts = [path.read_text(encoding="utf-8") for path in sources if path.is_file()]
            assert any("#[cfg(test)]" in text or "#[cfg(all(test" in text for text in texts), files


def test_what_is_public_is_meant_or_hidden() -> None:
    """As the first page of the crate says."""
    text = (harness.ROOT / "src" / "lib.rs").read_text(encoding="utf-8")
    shown = set(re.findall(r"(?<!#\[doc\(hidden\)\]\n)^pub mod (\w+);", text, re.MULTILINE))
    (said,) = re.findall(r"^//! # For other crates\n((?://!.*\n)+)", text, re.MULTILINE)
    assert shown == set(re.findall(r"\[`(?:mod@)?([a-z]+)(?:::\w+)?`\]", said))
