"""Values for every option that a site sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from network_connections import _core

_EXAMPLES = {
    "address": "192.0.2.0/24",
    "netns": "/proc/self/ns/net",
    "port": "443",
    "range": "@10:20",
    "seconds": "5",
    "stuck": "300",
    "text": "example",
    "whole": "3",
}


def complete(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return these values by the names of options, and an example for each other option."""
    made = {}
    for option in _core.options():
        if option["for_people"] or option["hidden"]:
            continue
        name = option["names"][-1][2:].replace("-", "_")
        if name in values:
            made[name] = values[name]
        elif option["action"] == "store_true":
            made[name] = True
        else:
            choices = option["choices"]
            example = option["default"] or choices[0] if choices else _EXAMPLES[option["value"]]
            made[name] = [example] if option["action"] == "append" else example
    assert values.keys() <= made.keys()
    return made
