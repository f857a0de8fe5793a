"""What repeats the option table says the same: signatures, the stub, the fuzzers' dictionary."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import harness
import network_connections
import pytest
from network_connections import _core

FUNCTIONS = ("connections", "count_connections", "check")
STUB = harness.ROOT / "python" / "network_connections" / "_core.pyi"
# How the stub calls what a value looks like, alone and as one of several.
TYPES = {
    "choice": ("str", "str | Iterable[str]"),
    "range": ("_Threshold", ""),
    "port": ("", "_Ports"),
    "address": ("", "_Addresses"),
    "netns": ("", "_Netns"),
    "whole": ("int", ""),
    "seconds": ("float", ""),
}


def keywords(function: str) -> dict[str, dict[str, Any]]:
    """Return the options that a function has, by keyword."""
    having = FUNCTIONS[: FUNCTIONS.index(function) + 1]
    table = _core.options()
    return {option["keyword"]: option for option in table if option["function"] in having}


def default(option: dict[str, Any]) -> object:
    """Return what a keyword is where it is not given: None where that is any, or all."""
    if option["action"] == "store_true":
        return option["keyword"] == "perfdata"
    if option["action"] == "append" or option["default"] is None:
        return None
    return float(option["default"]) if option["value"] == "seconds" else option["default"]


def annotation(option: dict[str, Any]) -> str:
    """Return the type of a keyword as the stub has it."""
    if option["action"] == "store_true":
        return "bool"
    found = TYPES[option["value"]][option["action"] == "append"]
    return found if default(option) is not None else f"{found} | None"


def stubbed(function: str) -> ast.FunctionDef:
    """Return a function of the stub."""
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    (found,) = (node for node in tree.body if getattr(node, "name", "") == function)
    assert isinstance(found, ast.FunctionDef)
    return found


@pytest.mark.parametrize("function", FUNCTIONS)
def test_signatures_have_every_keyword_and_its_default(function: str) -> None:
    parameters = dict(inspect.signature(getattr(network_connections, function)).parameters)
    # The one that no option has.
    assert ("processes" in parameters) is (function == "connections")
    parameters.pop("processes", None)
    expected = {name: default(option) for name, option in keywords(function).items()}
    assert {name: one.default for name, one in parameters.items()} == expected
    positional = [name for name, one in parameters.items() if one.kind is not one.KEYWORD_ONLY]
    assert positional == ["types", "statuses"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_stub_has_every_keyword_with_its_type_and_describes_it(function: str) -> None:
    node = stubbed(function)
    arguments = [*node.args.args, *node.args.kwonlyargs]
    defaults = [*node.args.defaults, *node.args.kw_defaults]
    found = {}
    for argument, value in zip(arguments, defaults):
        assert argument.annotation is not None
        assert value is not None
        found[argument.arg] = (ast.unparse(argument.annotation), ast.literal_eval(value))
    found.pop("processes", None)
    table = keywords(function)
    assert found == {name: (annotation(one), default(one)) for name, one in table.items()}
    described = "".join(ast.get_docstring(stubbed(one)) or "" for one in FUNCTIONS)
    for name in found:
        assert f"\n    {name}: " in described, f"{name} is not described"


def test_the_stub_names_every_kind_of_groups() -> None:
    (option,) = (one for one in _core.options() if one["keyword"] == "group_by")
    text = ast.get_docstring(stubbed("count_connections")) or ""
    for kind in option["choices"]:
        assert f'``"{kind}"``' in text, kind


def test_the_fuzzers_know_every_option_and_choice() -> None:
    path = Path(harness.ROOT, "fuzz", "dictionaries", "arguments")
    words = {line.strip().strip('"') for line in path.read_text(encoding="utf-8").splitlines()}
    for option in _core.options():
        assert {*option["names"]} <= words, option["names"]
        assert {*(option["choices"] or ())} <= words, option["names"]
