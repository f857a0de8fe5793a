"""How much a test asks: `make test` takes a share of the long lists, `make test-all` takes all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

ALL = slice(None)


def slow(*values: object) -> list[Any]:
    """Return parameters that `make test` leaves out; a tuple is one of several names."""
    return [
        pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow)
        for value in values
    ]


def first(values: Iterable[Any]) -> list[Any]:
    """Return parameters of which `make test` takes the first one only."""
    one, *others = values
    return [one, *(pytest.param(*v.values, id=v.id, marks=pytest.mark.slow) for v in others)]


def every(step: int) -> pytest.MarkDecorator:
    """Give a test the slice `share`: every so many-th item, and once more, slowly, all items."""
    some = pytest.param(slice(None, None, step), id="some")
    whole = pytest.param(ALL, id="all", marks=pytest.mark.slow)
    return pytest.mark.parametrize("share", [some, whole])


def number(name: str, some: int, many: int) -> pytest.MarkDecorator:
    """Give a test a number by this name: a small one, and once more, slowly, a large one."""
    return pytest.mark.parametrize(name, [some, *slow(many)])
