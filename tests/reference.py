"""What the command must answer: argparse with the options, linuxfabrik-lib for the ranges."""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from lab.names import LOWER, TYPES
from lib.base import match_range
from network_connections import _core

# argparse of 3.9 fails over an empty value that is attached to a switch, as in -h=.
REFUSED = (SystemExit, IndexError)

Option = tuple[tuple[str, ...], dict[str, Any]]

# The reference's options, as argparse takes them.
REFERENCE: tuple[Option, ...] = (
    (("-h", "--help"), {"action": "help"}),
    (("-V", "--version"), {"action": "version", "version": "0"}),
    (("--always-ok",), {"dest": "ALWAYS_OK", "action": "store_true"}),
    (
        ("--conn-status",),
        # The reference takes lower case only: docs/evidence/deviations.md.
        {"dest": "CONN_STATUS", "action": "append", "choices": [*LOWER, "all"], "type": str.lower},
    ),
    (
        ("--conn-type",),
        {"dest": "CONN_TYPE", "action": "append", "choices": [*TYPES, "all"], "type": str.lower},
    ),
    (("-c", "--critical"), {"dest": "CRIT"}),
    (("--no-perfdata",), {"dest": "NO_PERFDATA", "action": "store_true"}),
    (
        ("--test",),
        {"dest": "TEST", "type": lambda text: [part.strip() for part in text.split(",")]},
    ),
    (("-w", "--warning"), {"dest": "WARN"}),
)


def added() -> tuple[Option, ...]:
    """Return the options that the reference does not have: how they are read is what counts."""
    known = {names[-1] for names, _ in REFERENCE}
    made: list[Option] = []
    types = {"seconds": float, "whole": int}
    for option in _core.options():
        settings: dict[str, Any] = {"dest": option["dest"], "action": option["action"]}
        if option["action"] != "store_true":
            settings["choices"] = option["choices"]
            if option["choices"]:
                settings["type"] = str.lower
        if option["action"] == "store":
            settings["default"] = option["default"]
        if option["value"] in types:
            settings["type"] = types[option["value"]]
        if option["names"][-1] not in known:
            made.append((tuple(option["names"]), settings))
    return tuple(made)


ADDED = added()


def reference_parser() -> argparse.ArgumentParser:
    """Return a parser as the reference has it."""
    parser = argparse.ArgumentParser(add_help=False)
    for names, settings in REFERENCE:
        parser.add_argument(*names, **settings)
    return parser


def parser(*, typed: bool) -> argparse.ArgumentParser:
    """Return a parser for all options, with every abbreviation spelled out as a name.

    One that the reference knows keeps its meaning there; the others are of the added options.
    Where it is not typed, the values are the words themselves, and there are no defaults.
    """
    made = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    taken: set[str] = set()
    ambiguous: set[str] = set()
    for options in (REFERENCE, ADDED):
        longs = [name for names, _ in options for name in names if name.startswith("--")]
        begun = [long[:end] for long in longs for end in range(2, len(long))]
        ambiguous |= {name for name in begun if begun.count(name) > 1} - taken - {*longs}
        for names, settings in options:
            long = names[-1]
            short = {long[:end] for end in range(2, len(long))} - ambiguous - taken - {*longs}
            if not typed:
                settings = {
                    k: v
                    for k, v in settings.items()
                    if k != "default" and (k != "type" or v is str.lower)
                }
            made.add_argument(*names, *sorted(short), **settings)
        taken |= {*begun, *longs}
    made.add_argument(*sorted(ambiguous), action=_Ambiguous, nargs=0, dest="ambiguous")
    return made


class _Ambiguous(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        parser.error("ambiguous")


def read(
    parser: argparse.ArgumentParser, args: Sequence[str]
) -> tuple[dict[str, Any], list[str]] | None:
    """Return the values and the stray arguments of a command line; None if it ends there."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            options, strays = parser.parse_known_args(list(args))
        except REFUSED:
            return None
    if "--" in strays:
        strays.remove("--")  # the separator itself
    return {name: value for name, value in vars(options).items() if name.isupper()}, strays


def spelled_out(parser: argparse.ArgumentParser, args: Sequence[str]) -> list[str] | None:
    """Return a command line that nobody can misread; None if this one must be refused."""
    known = read(parser, args)
    if known is None:
        return None
    options, strays = known
    if options["STRICT"] and strays:
        return None
    line = []
    for names, settings in REFERENCE + ADDED:
        value = options.get(settings.get("dest", ""))
        if value is True:
            line.append(names[-1])
        elif value:
            values = value if isinstance(value, list) else [value]
            line += [f"{names[-1]}={word}" for word in values]
        elif value == "":
            line.append(f"{names[-1]}=")
    return line


def answer(
    args: Sequence[str],
    fixtures: Mapping[str, Mapping[str, int]],
    parser: argparse.ArgumentParser,
) -> tuple[int, str | None]:
    """Return exit code and output for the reference's options; no output if only the code counts.

    `fixtures` are the ones that `--test` can name, with a different count for every group.
    """
    known = read(parser, args)
    if known is None:
        return 3, None
    options, _ = known
    for threshold in (options["CRIT"], options["WARN"]):
        parsed, message = match_range(0, threshold)
        if not parsed:
            return 3, f"{message}\n"
    if options["TEST"][0] not in fixtures:
        return 3, None
    return _judged(fixtures[options["TEST"][0]], options)


def _judged(counts: Mapping[str, int], options: Mapping[str, Any]) -> tuple[int, str]:
    types = options["CONN_TYPE"] or ["all"]
    statuses = options["CONN_STATUS"] or ["all"]
    state = 0
    groups: list[str] = []
    perfdata: list[str] = []
    for group, count in sorted(counts.items(), key=lambda item: -item[1]):
        kind, _, status = group.partition("_")
        if not {kind, "all"} & {*types} or not {status.lower(), "all"} & {*statuses}:
            continue
        mark = ""
        if not match_range(count, options["CRIT"])[1]:
            state, mark = 2, " [CRITICAL]"
        elif not match_range(count, options["WARN"])[1]:
            state, mark = max(state, 1), " [WARNING]"
        groups.append(f"{group.replace('_', ' ')}: {count}{mark}")
        perfdata.append(f"'{group}'={count}")
    chosen = f'type "{",".join(types)}" in status "{",".join(statuses)}"'
    line = ", ".join(groups) or f"No connections of {chosen} found."
    if options["ALWAYS_OK"]:
        state, line = 0, f"{line} (always ok)"
    if perfdata and not options["NO_PERFDATA"]:
        line += f"|{' '.join(perfdata)}"
    return state, f"{line}\n"
