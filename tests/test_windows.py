"""What goes with the command for Windows, as far as that can be shown elsewhere too."""

from __future__ import annotations

import configparser
import shlex

import harness
import pytest
from harness import Command

FOLDER = harness.ROOT / "integrations" / "windows"


def commands() -> dict[str, str]:
    """Return the commands that NSClient++ is given, by name."""
    settings = configparser.ConfigParser(delimiters="=", comment_prefixes=";", interpolation=None)
    settings.read_string((FOLDER / "nsclient.ini").read_text(encoding="utf-8"))
    assert settings["/modules"]["CheckExternalScripts"] == "enabled"
    return dict(settings["/settings/external scripts/scripts"])


@pytest.mark.parametrize("name", commands())
def test_every_command_of_nsclient_is_one(native: Command, name: str) -> None:
    program, *options = shlex.split(commands()[name], posix=False)
    assert program == "scripts\\check_network_connections.exe"
    assert options[0] == "--strict"
    done = native.run(*options)
    # Nobody listens on 443 here, and the address of the example leads nowhere.
    problems = {
        "check_network_connections_https": (2, "total: 0 [CRITICAL]"),
        "check_network_connections_database": (
            3,
            "No destinations to 192.0.2.20 port 1433 found. [UNKNOWN]",
        ),
    }
    # Wine does not tell which ports are dynamic.
    if harness.WINDOWS and "ephemeral-ports" in options:
        problems[name] = (3, "The ports for outgoing")
    state, beginning = problems.get(name, (0, ""))
    assert (done.returncode, done.stderr) == (state, ""), done
    assert done.stdout.startswith(beginning)
    assert bool(state) == done.stdout.startswith(tuple(said for _, said in problems.values()))
