"""The files of `src/` form no circle, and parsers stand apart from I/O.

So each file can be read after those that it builds on, and each parser can be tested with a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import harness

SRC = harness.ROOT / "src"
# The roots: they say which files there are, and name everything.
ROOTS = {"lib", "main"}

# A parser says so in its first lines.
PARSER = re.compile(r"pure functions over (?:bytes|text)", re.IGNORECASE)
# I/O: crates that make system calls, and the parts of std that open files, sockets and processes.
IO = re.compile(
    r"""
    \b(?:rustix|nix|winsafe|netstat2)::
    | \bstd::(?:fs|process)\b
    | \b(?:Tcp(?:Listener|Stream)|UdpSocket|Unix(?:Datagram|Listener|Stream))\b
    """,
    re.VERBOSE,
)
# Parsing: text becomes a number, or is divided at a literal. `Path::strip_prefix(mount)` and
# `BufRead::split(reader, b'\n')` do neither.
PARSING = re.compile(
    r"""
    \.parse(?:::<[^>]*>)?\( | \bstr::parse\b | \bfrom_str_radix\( | \bfrom_[bln]e_bytes\(
    | \.(?:r?split(?:n|_once)?|strip_(?:prefix|suffix))\((?:\d+,[ ])?(?:&?b?["'|\[]|char::|u8::)
    | \.split_(?:ascii_)?whitespace\( | \.lines\(
    """,
    re.VERBOSE,
)


def modules() -> dict[str, str]:
    """Return the sources of the crate by the path of their module, without their unit tests."""
    found = {}
    for path in sorted(SRC.rglob("*.rs")):
        name = "::".join(path.relative_to(SRC).with_suffix("").parts)
        if name not in ROOTS:
            text = re.sub(r"(?m)^\s*//.*$", "", path.read_text(encoding="utf-8"))
            found[name] = re.split(r"(?m)^#\[cfg\((?:test|all\(test.*)\)\]\nmod ", text)[0]
    return found


def parsers() -> set[str]:
    """Return the modules that call themselves parsers."""
    found = set()
    for name in modules():
        path = SRC.joinpath(*name.split("::")).with_suffix(".rs")
        head, _, _ = path.read_text(encoding="utf-8").partition("\n\n")
        if PARSER.search(head):
            found.add(name)
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


def beneath(name: str, uses: dict[str, set[str]]) -> set[str]:
    """Return the modules that one builds on, directly or around."""
    found: set[str] = set()
    left = [name]
    while left:
        new = uses[left.pop()] - found
        found |= new
        left.extend(new)
    return found


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


def test_a_parser_needs_no_io() -> None:
    """Neither the parser nor any file that it builds on."""
    sources = modules()
    uses = {name: used(name, text, set(sources)) for name, text in sources.items()}
    io = {name for name, text in sources.items() if IO.search(text)}
    found = parsers()
    assert len(found) > 5, "nothing was read"
    for name in found:
        assert io & {name, *beneath(name, uses)} == set(), name
        assert PARSING.search(sources[name]), f"{name}: its parsing is not seen"


def test_a_file_with_io_parses_nothing() -> None:
    """A parser beside it does."""
    sources = modules()
    assert len([text for text in sources.values() if IO.search(text)]) > 10, "nothing was read"
    both = {name for name, text in sources.items() if IO.search(text) and PARSING.search(text)}
    assert both == set(), "move the parsing to a file of pure functions"


def test_io_and_parsing_are_found() -> None:
    for text in (
        "use std::fs::File;",
        "let text = std::fs::read(path)?;",
        "use rustix::io::read;",
        "use std::net::{IpAddr, TcpStream};",
        "use std::process::{Child, Command};",
    ):
        assert IO.search(text), text
    for text in ("use std::net::IpAddr;", "use std::io;", "use crate::process::Process;"):
        assert not IO.search(text), text
    for text in (
        "text.trim().parse().ok()",
        "code.parse::<i64>()",
        "words.map(str::parse)",
        "text.split(',')",
        "text.splitn(3, ':')",
        "line.split(|byte| *byte == b' ')",
        "row.split(u8::is_ascii_whitespace)",
        'path.split_once("/task/")',
        'link.strip_prefix(b"net:[")',
        "comm.strip_suffix(&[b'\\n'])",
        "text.lines()",
    ):
        assert PARSING.search(text), text
    for text in (
        "path.strip_prefix(mount)",
        "BufRead::split(reader, b'\\n')",
        "buffer.split_at(length)",
        "Arguments::parser()",
    ):
        assert not PARSING.search(text), text


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
    assert shown == set(re.findall(r"\[`(?:mod@)?([a-z_]+)(?:::\w+)?`\]", said))


def test_github_runs_every_stage() -> None:
    script = (harness.ROOT / ".ci" / "run").read_text(encoding="utf-8")
    stages = re.findall(r"^#     ([a-z-]+) {2,}", script, re.MULTILINE)
    run: list[str] = []
    for workflow in (harness.ROOT / ".github" / "workflows").iterdir():
        text = workflow.read_text(encoding="utf-8")
        for found in re.findall(r"stages: \[(.*)\]|\.ci/run ([a-z -]+)", text):
            run.extend("".join(found).replace(",", " ").split())
    assert sorted(run) == sorted(stages)
