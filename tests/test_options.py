"""The functions of the API have the options as keywords, and the stub is right about them."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
from pathlib import Path
from typing import Any

import harness
import network_connections
import pytest
from network_connections import _core

FUNCTIONS = ("connections", "count_connections", "check")
# The keywords of `connections()` without `processes`.
DOCUMENTED = (*FUNCTIONS, "connections_table")
STUB = ast.parse(
    Path(harness.ROOT, "python", "network_connections", "_core.pyi").read_text(encoding="utf-8")
)


def keywords(function: str) -> dict[str, dict[str, Any]]:
    """Return the options that a function has, by keyword."""
    having = FUNCTIONS[: FUNCTIONS.index(function) + 1]
    table = _core.options()
    return {option["keyword"]: option for option in table if option["function"] in having}


def default(option: dict[str, Any]) -> object:
    """Return the value of a keyword that is not given: None where that is any, or all."""
    if option["action"] == "store_true":
        return option["keyword"] == "perfdata"
    if option["action"] == "append" or option["default"] is None:
        return None
    return float(option["default"]) if option["value"] == "seconds" else option["default"]


def parameters(function: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(getattr(network_connections, function)).parameters)


def stubbed(function: str) -> ast.FunctionDef:
    """Return a function of the stub."""
    (found,) = (node for node in STUB.body if getattr(node, "name", "") == function)
    assert isinstance(found, ast.FunctionDef)
    return found


def names(keyword: str) -> set[str]:
    """Return the names that a keyword takes by the stub, each of which may be taken away."""
    arguments = stubbed("check").args
    (argument,) = (one for one in (*arguments.args, *arguments.kwonlyargs) if one.arg == keyword)
    assert argument.annotation is not None
    alias = ast.unparse(argument.annotation).partition(" ")[0]
    for node in STUB.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == alias:
            assert isinstance(node.value, ast.Subscript)
            taken = {*ast.literal_eval(node.value.slice)}
            found = {name for name in taken if not name.startswith("!")}
            assert taken - found in (set(), {f"!{name}" for name in found})
            return found
    raise AssertionError(f"{keyword} takes no names")


def call(keyword: str, name: str) -> None:
    keywords: dict[str, Any] = {keyword: name}
    network_connections.check(**keywords)


NAMED = [name for name, option in keywords("check").items() if option["value"] == "choice"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_signatures_have_every_keyword_and_its_default(function: str) -> None:
    found = parameters(function)
    # The only one that is not an option.
    assert ("processes" in found) is (function == "connections")
    found.pop("processes", None)
    expected = {name: default(option) for name, option in keywords(function).items()}
    assert {name: one.default for name, one in found.items()} == expected
    positional = [name for name, one in found.items() if one.kind is not one.KEYWORD_ONLY]
    assert positional == ["types", "statuses"]


@pytest.mark.parametrize("function", DOCUMENTED)
def test_help_describes_every_parameter(function: str) -> None:
    text = inspect.getdoc(getattr(network_connections, function)) or ""
    assert text == ast.get_docstring(stubbed(function))
    for name in parameters(function):
        assert re.search(rf"^    {name} \(.+\): \S", text, re.MULTILINE), f"{name} is not described"
    for part in ("Returns:", "Raises:", f">>> .*{function}\\("):
        assert re.search(part, text), part


@pytest.mark.parametrize("function", DOCUMENTED)
def test_the_example_of_help_runs(function: str) -> None:
    found = doctest.DocTestFinder().find(getattr(network_connections, function), function)
    (test,) = [one for one in found if one.examples]
    test.globs = {name: getattr(network_connections, name) for name in network_connections.__all__}
    assert doctest.DocTestRunner().run(test).failed == 0


def test_the_table_has_the_keywords_of_the_list() -> None:
    found = parameters("connections")
    del found["processes"]
    assert parameters("connections_table") == found


@pytest.mark.parametrize("keyword", NAMED)
def test_the_stub_has_every_name_that_is_valid(keyword: str) -> None:
    with pytest.raises(ValueError, match="unknown") as caught:
        call(keyword, "nonsense")
    (valid,) = re.findall(r"\(valid: (.*)\)", str(caught.value))
    # Types and states can be spelled in upper case too.
    assert {name.lower() for name in names(keyword)} == {*valid.split(", ")}


@pytest.mark.parametrize("keyword", NAMED)
def test_every_name_of_the_stub_is_known(keyword: str) -> None:
    for name in names(keyword):
        try:
            call(keyword, name)
        except (OSError, ValueError) as error:  # a source of another system, for example
            assert "unknown" not in str(error), name
