"""The command ``network-connections``: hands its arguments to the Rust command line.

Imports nothing but ``sys`` and ``os``, which Python has loaded anyway: most of what a check costs
is its start.
"""

import os
import sys

from . import _core, _logged
from ._core import DESCRIPTION, __version__, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any, TextIO

__author__ = "The network-connections authors"
__all__ = ["DESCRIPTION", "__author__", "__version__", "main", "parse_args"]

UNKNOWN = 3

run = _logged(_core.run)


def parse_args() -> "argparse.Namespace":
    """Read ``sys.argv`` with argparse, to the values that the command itself reads.

    The command does not use this. It is for tools that import a plugin and ask its parser for
    the options, such as the generators of the Linuxfabrik collection.
    """
    import argparse

    parser = argparse.ArgumentParser(
        prog="network-connections", description=DESCRIPTION, add_help=False
    )
    # The abbreviations of the reference plugin keep their meaning, whatever options are added.
    first = set()
    candidates = parser._get_option_tuples

    def preferred(option_string: str) -> "list[Any]":
        found: list[Any] = candidates(option_string)
        return [entry for entry in found if entry[0].dest in first] or found

    parser._get_option_tuples = preferred  # type: ignore[method-assign]
    types = {"fixture": _comma_separated, "seconds": float, "whole": int}
    for option in options():
        action, dest = option["action"], option["dest"]
        settings: dict[str, Any] = {
            "action": action,
            "help": argparse.SUPPRESS if option["hidden"] else option["help"],
        }
        if action == "version":
            settings["version"] = f"%(prog)s {__version__}"
        elif action != "help":
            settings["dest"] = dest
        if action in ("store", "append"):
            settings["choices"] = option["choices"]
            if option["choices"]:
                if action == "append":
                    settings["choices"] = _Choices(option["choices"])
                settings["type"] = _chosen(option["choices"])
            # With a default, argparse appends to it: https://bugs.python.org/issue16399
            settings["default"] = None if action == "append" else option["default"]
        if option["value"] in types:
            settings["type"] = types[option["value"]]
        if option["reference"]:
            first.add(action if action in ("help", "version") else dest)
        parser.add_argument(*option["names"], **settings)
    args, _ = parser.parse_known_args()
    return args


class _Choices(list[str]):
    """Choices that can be taken away, with a mark in front."""

    def __contains__(self, value: object) -> bool:
        name = value.removeprefix("!") if isinstance(value, str) else value
        return super().__contains__(name)


def _chosen(choices: "list[str]") -> "Callable[[str], str]":
    """Return a function from any spelling of a choice to the choice. A mark in front stays."""
    return lambda text: _core.choice(text, choices)


def _comma_separated(text: str) -> "list[str]":
    return [part.strip() for part in text.split(",")]


def _write(stream: "TextIO | None", text: str) -> bool:
    """Write all of ``text`` in UTF-8 and say whether it has arrived."""
    if stream is None:
        # Closed before Python started.
        return False
    try:
        stream.flush()
        buffer = getattr(stream, "buffer", None)
        if buffer is None:
            stream.write(text)
        else:
            buffer.write(text.encode())
        stream.flush()
    except (OSError, ValueError):
        # The reader is gone or the device is full. Python would try again at its end, and
        # complain on standard error: give it somewhere to write to.
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
        except (OSError, ValueError):
            pass
        return False
    return True


def main() -> int:
    """Run the command with ``sys.argv`` and return its exit code, 0 to 3."""
    try:
        stdout, stderr, code = run(sys.argv[0], sys.argv[1:])
    except KeyboardInterrupt:
        stdout, stderr, code = "Interrupted\n", "", UNKNOWN
    written = _write(sys.stdout, stdout)
    # After the answer: who merges both streams, as Icinga does, shows the first line.
    if stderr:
        _write(sys.stderr, stderr)
    return code if written else UNKNOWN
