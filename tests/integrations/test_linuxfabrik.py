"""The folder for the Linuxfabrik collection is what the collection's own tools expect."""

from __future__ import annotations

import argparse
import configparser
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import harness
import lib.lftest
import page
import pytest
from lab.owners import private
from network_connections import _core, plugin

from integrations.daemons import INTEGRATIONS, directory, everybodys_python, require
from integrations.where import Row

FOLDER = INTEGRATIONS / "linuxfabrik" / "network-connections"
TOOLS = harness.ROOT / "tools"
NAME = "network-connections"

WHERE = [
    Row(
        "Linuxfabrik collection (linuxfabrik-lib)",
        lambda: importlib.metadata.version("linuxfabrik-lib"),
        "`unit-test/run` by `lib.lftest` as root and as nobody; imported as its generators do; "
        "ruff, bandit and vulture at its settings",
    )
]

# What a check of the collection has to pass; single quotes, and 88 columns.
RUFF = """
line-length = 88
target-version = 'py39'
[lint]
select = ['B', 'C4', 'E', 'F', 'I', 'RUF', 'SIM', 'UP', 'W']
ignore = ['UP009', 'UP015']
[format]
quote-style = 'single'
docstring-code-format = true
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a copy of the folder that everybody can read."""
    with directory() as path:
        copy = path / NAME
        shutil.copytree(FOLDER, copy)
        harness.readable(copy)
        yield copy


@pytest.fixture
def everybodys() -> Iterator[dict[str, str]]:
    """Return an environment in which everybody's `python3` finds both packages."""
    if reason := harness.no_nobody():
        pytest.skip(reason)
    if not everybodys_python():
        pytest.skip("no interpreter that every user may run")
    assert lib.lftest.__file__
    with directory() as path:
        shutil.copytree(harness.PACKAGE, path / harness.PACKAGE.name)
        shutil.copytree(Path(lib.lftest.__file__).parent, path / "lib")
        harness.readable(path)
        commands = path / "bin"
        commands.mkdir()
        (commands / "python3").symlink_to(everybodys_python())
        yield {"PATH": f"{commands}:{os.environ['PATH']}", "PYTHONPATH": str(path)}


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_its_unit_test(folder: Path, everybodys: dict[str, str], user: str) -> None:
    become = harness.NOBODY if user == "nobody" else ()
    done = run([*become, "./run", "-v"], folder / "unit-test", everybodys)
    assert done.returncode == 0, done.stderr
    # Each case is a test of its own.
    cases = (FOLDER / "unit-test" / "run").read_text(encoding="utf-8").count("'id': ")
    assert re.search(rf"^Ran {cases} tests in", done.stderr, re.MULTILINE)
    assert cases > 15


def test_every_fixture_is_used() -> None:
    text = (FOLDER / "unit-test" / "run").read_text(encoding="utf-8")
    for fixture in (FOLDER / "unit-test" / "stdout").iterdir():
        assert f"'stdout/{fixture.name},,0'" in text


def imported() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader(NAME, str(FOLDER / NAME))
    spec = importlib.util.spec_from_loader(NAME, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        loader.exec_module(module)
    return module


def test_generators_find_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    def handed_back(
        self: argparse.ArgumentParser, *_: object, **__: object
    ) -> tuple[argparse.ArgumentParser, list[str]]:
        return self, []

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", handed_back)
    module = imported()
    parser = module.parse_args()
    assert parser.description == module.DESCRIPTION == plugin.DESCRIPTION
    actions: list[argparse.Action] = parser._actions
    found = {tuple(action.option_strings): action for action in actions}
    kinds = {
        "store": argparse._StoreAction,
        "append": argparse._AppendAction,
        "store_true": argparse._StoreTrueAction,
        "help": argparse._HelpAction,
        "version": argparse._VersionAction,
    }
    table = _core.options()
    assert len(found) == len(table) > 20
    types = {"seconds": float, "whole": int}
    for option in table:
        action = found[tuple(option["names"])]
        assert type(action) is kinds[option["action"]], option
        expected = argparse.SUPPRESS if option["hidden"] else option["help"]
        assert action.help == expected, option
        if option["action"] in ("help", "version"):
            continue
        assert action.dest == option["dest"], option
        assert action.choices == option["choices"], option
        # argparse would append to the default of a repeatable option.
        defaults = {"append": None, "store_true": False}
        assert action.default == defaults.get(option["action"], option["default"]), option
        if option["choices"]:
            assert callable(action.type)
            for choice in option["choices"]:
                assert action.type(choice.upper()) == choice
            if option["action"] == "append":
                assert action.choices is not None
                assert action.type(f"!{option['choices'][0].upper()}") in action.choices
        elif option["value"] != "fixture":
            assert action.type is types.get(option["value"]), option


def test_what_generators_read() -> None:
    module = imported()
    assert module.__version__ == plugin.__version__ == _core.__version__
    assert module.__author__
    # What a check of the collection has to say of itself.
    for promise in ("Counts", "alerts on"):
        assert promise in module.DESCRIPTION
    overview = " ".join(section("Overview").split())
    assert " ".join(module.DESCRIPTION.split()) in overview


def test_the_header() -> None:
    lines = (FOLDER / NAME).read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env python3"
    assert lines[1] == "# -*- coding: utf-8; py-indent-offset: 4 -*-"
    assert os.access(FOLDER / NAME, os.X_OK)
    assert os.access(FOLDER / "unit-test" / "run", os.X_OK)


def test_it_is_the_command(folder: Path, everybodys: dict[str, str]) -> None:
    ours = harness.install("check_network_connections", folder.parent / "ours")
    for args in (["--version"], ["--help"], ["--warning", "many"], ["--strict", "--nonsense"]):
        done = run([f"./{NAME}", *args], folder, everybodys)
        expected = ours.run(*args)
        assert (done.stdout, done.stderr) == (expected.stdout, expected.stderr)
        assert done.returncode == expected.returncode == 3


def test_without_the_package(folder: Path) -> None:
    # Neither the user's packages nor those of the environment.
    done = run([sys.executable, "-I", "-S", NAME], folder)
    assert done.stdout == 'Python module "network_connections" is not installed.\n'
    assert (done.stderr, done.returncode) == ("", 3)


def test_a_package_that_does_not_load(folder: Path) -> None:
    package = folder.parent / "network_connections"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(harness.PACKAGE / "plugin.py", package)
    (package / "_core.abi3.so").write_bytes(b"of another machine")
    done = run([sys.executable, "-S", NAME], folder, {"PYTHONPATH": str(folder.parent)})
    assert done.stdout.startswith('Python module "network_connections" cannot be loaded: ')
    assert done.stdout.count("\n") == 1
    assert (done.stderr, done.returncode) == ("", 3)


def test_bare_imports_are_enough(folder: Path, everybodys: dict[str, str]) -> None:
    done = run(["python3", "-S", "-X", "importtime", NAME, "--version"], folder, everybodys)
    names = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "network_connections.plugin" in names
    assert not names & {"argparse", "re", "json", "lib", "psutil", "subprocess"}


@pytest.mark.parametrize(
    "line",
    [
        ["ruff", "check", "--no-cache", "--config", "{ruff}"],
        ["ruff", "format", "--check", "--no-cache", "--config", "{ruff}"],
        ["bandit", "--quiet", "--severity-level=low", "--confidence-level=low"],
        ["vulture", "--min-confidence=80"],
    ],
    ids=lambda line: "-".join(line[:2]) if line[0] == "ruff" else line[0],
)
def test_linters(line: list[str], tmp_path: Path) -> None:
    if importlib.util.find_spec(line[0]) is None:
        pytest.skip(f"{line[0]} is not installed (dependency group dev)")
    config = tmp_path / "ruff.toml"
    config.write_text(RUFF, encoding="utf-8")
    options = [word.format(ruff=config) for word in line]
    files = [str(FOLDER / NAME), str(FOLDER / "unit-test" / "run")]
    done = run([sys.executable, "-m", *options, *files], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


# The README.


def readme() -> str:
    return (FOLDER / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    parts = re.split(r"^## ", readme(), flags=re.MULTILINE)
    (found,) = (part for part in parts if part.startswith(f"{title}\n"))
    return found


def test_sections() -> None:
    assert readme().startswith(f"# Check {NAME}\n")
    titles = re.findall(r"^## (.*)", readme(), re.MULTILINE)
    assert titles == [
        "Overview",
        "Fact Sheet",
        "Help",
        "Usage Examples",
        "States",
        "Perfdata / Metrics",
        "Credits, License",
    ]


# The fixture that an example of the README is about, by an option of it.
ABOUT = {"web-server": ("tcp6",), "close-wait-leak": ("--warning", "total", "8080")}


def examples() -> list[tuple[str, str]]:
    pattern = r"```bash\n\./network-connections ?(.*)\n```\n\nOutput:\n\n```text\n((?:.|\n)*?)\n```"
    return re.findall(pattern, section("Usage Examples"))


def test_examples_are_real(folder: Path, everybodys: dict[str, str]) -> None:
    assert len(examples()) == section("Usage Examples").count("```bash") > 5
    for options, output in examples():
        words = ABOUT["close-wait-leak"]
        name = "close-wait-leak" if any(word in options for word in words) else "web-server"
        line = [f"./{NAME}", *shlex.split(options), f"--test=stdout/{name},,0"]
        assert run(line, folder, everybodys).stdout == f"{output}\n", options


def test_metrics_are_those_there_are() -> None:
    documented = re.findall(r"^\| (\S+) +\| Number", section("Perfdata / Metrics"), re.MULTILINE)
    names = {name.replace("\\", "") for name in documented}
    every = _core.count_connections(zero=True)
    expected = {metric.replace("tcp6_", "tcp_").replace("tcp_", "<type>_") for metric in every}
    assert names == expected | {"total", "groups", "largest"}


def test_icon_and_marker() -> None:
    assert (FOLDER / ".windows").read_bytes() == b""
    icon = FOLDER / "icon" / f"{NAME}.svg"
    root = ET.parse(icon).getroot()  # noqa: S314 - our own
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    # One colour, on nothing.
    colours = {element.get(name) for element in root.iter() for name in ("fill", "stroke")}
    assert colours <= {None, "none", "#000"}


def run(
    line: list[str], cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
        timeout=harness.PATIENCE,
        check=False,
    )


# Files that are generated, and the installation in a checkout.


def test_the_panels_are_what_is_made(folder: Path) -> None:
    """Else: run tools/panels.py."""
    before = files(folder)
    subprocess.run([sys.executable, TOOLS / "panels.py", folder], check=True)
    assert files(folder) == before


def test_every_command_has_panels_that_are_there() -> None:
    settings = configparser.ConfigParser()
    settings.read(FOLDER / "icingaweb2-module-grafana" / f"{NAME}.ini")
    assert set(settings.sections()) == set(basket()["Command"])
    spec = json.loads((FOLDER / "grafana" / f"{NAME}.yml").read_text("utf-8"))["spec"]
    assert len(spec["uid"]) <= 40
    for section in settings.values():
        if section.name != "DEFAULT":
            assert section["dashboarduid"] == f'"{spec["uid"]}"'
            shown = {int(number) for number in section["panelid"].strip('"').split(",")}
            assert shown <= {panel["id"] for panel in spec["panels"]}


def files(place: Path) -> dict[str, bytes]:
    """Return every file of a directory, by its path in it."""
    paths = (path for path in place.rglob("*") if path.is_file())
    return {str(path.relative_to(place)): path.read_bytes() for path in paths}


SCRIPT = FOLDER.parent / "install.sh"
SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]


def installer(
    *words: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> tuple[str, int]:
    """Return what install.sh writes, and its exit code."""
    environment = {**os.environ, **(env or {})}
    done = subprocess.run(
        [SCRIPT, *words], capture_output=True, text=True, check=False, cwd=cwd, env=environment
    )
    return done.stdout + done.stderr, done.returncode


def entries(place: Path) -> dict[str, tuple[int, str | bytes]]:
    """Return the mode of every entry of a directory, and a link's target or a file's content."""
    found: dict[str, tuple[int, str | bytes]] = {}
    for path in place.rglob("*"):
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        target = str(path.readlink()) if path.is_symlink() else content
        found[str(path.relative_to(place))] = path.lstat().st_mode, target
    return found


def test_the_native_command_in_the_plugins_place_and_taken_back(tmp_path: Path) -> None:
    place, command = tmp_path / "plugins", tmp_path / "command"
    place.mkdir()
    (place / "network-connections").write_text("theirs", encoding="utf-8")
    command.write_text("ours", encoding="utf-8")
    text = (FOLDER.parent / "MIGRATION.md").read_text(encoding="utf-8")
    there, back, *_ = page.blocks(text, "sh")
    for block, found in ((there, "ours"), (back, "theirs")):
        script = block.replace("/usr/lib64/nagios/plugins", str(place))
        script = script.replace("/usr/bin/network-connections", str(command))
        subprocess.run(["sh", "-euc", script], check=True)
        assert (place / "network-connections").read_text(encoding="utf-8") == found
    assert [path.name for path in place.iterdir()] == ["network-connections"]


@pytest.fixture
def checkout() -> Iterator[Path]:
    """Return a checkout with a folder for this check."""
    with directory() as path:
        theirs = path / "checkout" / "check-plugins" / NAME
        (theirs / "theirs").mkdir(parents=True)
        (theirs / NAME).write_text("theirs", encoding="ascii")
        (theirs / NAME).chmod(0o640)
        (theirs / "theirs" / "alone").write_bytes(b"stays" * 2000)
        (theirs / "theirs" / "link").symlink_to("alone")
        (theirs / "dangling").symlink_to("nowhere")
        yield path / "checkout"


def installed(checkout: Path) -> bool:
    """Whether our folder is there, with what is theirs alone."""
    alone = dict.fromkeys(("theirs/alone", "theirs/link"), b"stays" * 2000)
    return files(checkout / "check-plugins" / NAME) == {**files(FOLDER), **alone}


def refused(answer: tuple[str, int]) -> bool:
    """Whether install.sh has failed with a message."""
    return bool(answer[0].strip()) and answer[1] == 3


def test_installed_in_a_checkout_and_taken_back(checkout: Path) -> None:
    before = entries(checkout)
    assert refused(installer(checkout.parent))
    assert refused(installer("--undo", checkout))
    assert entries(checkout) == before
    assert installer(checkout) == ("", 0)
    assert installed(checkout)
    assert refused(installer(checkout))
    assert installed(checkout)
    assert installer("--undo", checkout) == ("", 0)
    assert entries(checkout) == before


@pytest.mark.parametrize("words", [(), ("",), ("--undo",), ("--undo", ""), ("a", "b"), ("--help",)])
def test_words_that_name_no_checkout(words: tuple[str, ...], tmp_path: Path) -> None:
    text, code = installer(*words, cwd=tmp_path)
    assert "install.sh --undo CHECKOUT" in text
    assert code == 3


@pytest.mark.parametrize("name", ["-p", "--undo", "-", "-- x", " a  b", "a\nb", "$(x)*"])
def test_the_name_of_a_checkout_may_be_anything(name: str, checkout: Path) -> None:
    there = checkout.rename(checkout.with_name(name))
    before = entries(there.parent)
    word = f"./{name}" if name == "--undo" else name
    # A directory for `cd` to stray into.
    env = {"CDPATH": "/"}
    assert installer(word, cwd=there.parent, env=env) == ("", 0)
    assert installed(there)
    assert installer("--undo", word, cwd=there.parent, env=env) == ("", 0)
    assert entries(there.parent) == before


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_installs(shell: str, checkout: Path) -> None:
    line = [*(["busybox", "sh"] if shell == "busybox" else [shell]), str(SCRIPT)]
    before = entries(checkout)
    subprocess.run([*line, checkout], check=True)
    assert installed(checkout)
    subprocess.run([*line, "--undo", checkout], check=True)
    assert entries(checkout) == before


def test_a_folder_behind_a_link_stays_as_it_is(checkout: Path) -> None:
    folder = checkout / "check-plugins" / NAME
    elsewhere = folder.rename(checkout.parent / "elsewhere")
    folder.symlink_to("../../elsewhere")
    before = entries(checkout.parent)
    behind = entries(elsewhere)
    assert installer(checkout) == ("", 0)
    assert installed(checkout)
    assert entries(elsewhere) == behind
    assert installer("--undo", checkout) == ("", 0)
    assert entries(checkout.parent) == before


def test_files_behind_links_stay_as_they_are(checkout: Path) -> None:
    folder = checkout / "check-plugins" / NAME
    shared = checkout.parent / "shared"
    (shared / "icon").mkdir(parents=True)
    (folder / NAME).rename(shared / NAME)
    (folder / NAME).symlink_to(shared / NAME)
    (folder / "icon").symlink_to(shared / "icon")
    # A directory where ours has a file.
    (folder / "README.md").mkdir()
    before = entries(checkout.parent)
    assert installer(checkout) == ("", 0)
    assert installed(checkout)
    assert (shared / NAME).read_bytes() == b"theirs"
    assert [*(shared / "icon").iterdir()] == []
    assert installer("--undo", checkout) == ("", 0)
    assert entries(checkout.parent) == before


def nobodys(path: Path) -> None:
    os.chown(path, 65534, 65534)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write in others' directories")
@pytest.mark.parametrize("below", [".", "check-plugins", f"check-plugins/{NAME}/theirs"])
@pytest.mark.parametrize(
    "lend", [nobodys, lambda path: path.chmod(0o777), lambda path: path.chmod(0o775)]
)
def test_root_writes_nowhere_where_others_may(
    below: str, lend: Callable[[Path], None], checkout: Path
) -> None:
    """They could put a link in the way of what root writes."""
    lend(checkout / below)
    before = entries(checkout)
    for words in ([checkout], ["--undo", checkout]):
        text, code = installer(*words)
        assert code == 3
        assert words[0] == "--undo" or "run this as the user to whom the checkout belongs" in text
        assert entries(checkout) == before
    (checkout / below).chmod(0o755)
    os.chown(checkout / below, 0, 0)
    assert installer(checkout) == ("", 0)
    # What was theirs may be of others by then.
    lend(checkout / below.replace(f"/{NAME}/", "/.network-connections.before/"))
    before = entries(checkout)
    assert refused(installer("--undo", checkout))
    assert entries(checkout) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_user_of_a_checkout_installs(checkout: Path, folder: Path) -> None:
    for path in (checkout, *checkout.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    script = shutil.copy(SCRIPT, folder.parent)
    before = entries(checkout)
    for words in ([], ["--undo"]):
        line = [*harness.NOBODY, "sh", str(script), *words, str(checkout)]
        done = subprocess.run(line, capture_output=True, text=True, check=False, cwd="/")
        assert (done.stdout + done.stderr, done.returncode) == ("", 0)
        assert installed(checkout) is not bool(words)
    assert entries(checkout) == before


def test_a_run_that_was_cut_off_is_taken_back(checkout: Path) -> None:
    before = entries(checkout)
    theirs = checkout / "check-plugins" / NAME
    theirs.rename(theirs.with_name(".network-connections.before"))
    assert refused(installer(checkout))
    assert installer("--undo", checkout) == ("", 0)
    assert entries(checkout) == before


# Both disks are full at some step for most of these sizes; the last one has room for everything.
DISKS = [*range(64, 512, 24), 4096]
# The lower layer's folders cannot be renamed: mv has to copy.
MOUNTS = {
    "tmpfs": "mount -t tmpfs -o size={size}k tmpfs {disk}\ncp -a {checkout}/. {disk}",
    "overlay": """
mount -t tmpfs -o size={size}k tmpfs {upper}
mkdir {upper}/files {upper}/work
mount -t overlay -o lowerdir={checkout},upperdir={upper}/files,workdir={upper}/work overlay {disk}
""",
}
TRY = """
"$1" "$2"
echo $? >"$3/code"
cp -a "$2" "$3/then"
"$1" --undo "$2" 2>"$3/undo"
cp -a "$2" "$3/undone"
"""


@pytest.mark.parametrize("kind", MOUNTS)
def test_a_full_disk_leaves_the_folder_as_it_is(kind: str, checkout: Path, tmp_path: Path) -> None:
    require("unshare")
    before = entries(checkout)
    outcomes = set()
    for size in DISKS:
        out, disk, upper = (tmp_path / f"{size}-{name}" for name in ("out", "disk", "upper"))
        for path in (out, disk, upper):
            path.mkdir()
        mount = MOUNTS[kind].format(size=size, checkout=checkout, disk=disk, upper=upper)
        line = [*private(mount), "sh", "-c", TRY, "sh", *map(str, (SCRIPT, disk, out))]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        code = int((out / "code").read_text("ascii"))
        outcomes.add(code)
        if code == 0:
            assert installed(out / "then"), size
            assert done.stderr == "", size
        else:
            assert refused((done.stderr, code)), size
            assert entries(out / "then") == before, (size, done.stderr)
        assert entries(out / "undone") == before, size
    assert outcomes == {0, 3}


# The call that the length of a file names fails; every other one does its work.
FAILS = """#!/bin/sh
left=$(wc -c <{count})
[ "$left" = 0 ] || truncate -s -1 {count}
if [ "$left" = 1 ]; then
    echo failed >&2
    exit 1
fi
exec {real} "$@"
"""


@pytest.mark.parametrize("undo", [False, True], ids=["install", "undo"])
@pytest.mark.parametrize("command", ["cmp", "cp", "find", "mkdir", "mv", "rm"])
def test_a_step_that_fails_is_reported(
    command: str, undo: bool, checkout: Path, tmp_path: Path
) -> None:
    before = entries(checkout)
    words = ["--undo", checkout] if undo else [checkout]
    shim = tmp_path / command
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for number in range(1, 5):
        if undo:
            assert installer(checkout) == ("", 0)
        count = tmp_path / "count"
        count.write_text("x" * number, encoding="ascii")
        shim.write_text(FAILS.format(real=shutil.which(command), count=count), encoding="ascii")
        shim.chmod(0o755)
        answer = installer(*words, env=env)
        if answer == ("", 0):
            if not undo:
                assert installer("--undo", checkout) == ("", 0)
            assert entries(checkout) == before
            break
        assert refused(answer), (number, answer)
        # Nothing is lost: the folder is there, or --undo puts it back.
        leftover = checkout / "check-plugins" / ".network-connections.work"
        shutil.rmtree(leftover, ignore_errors=True)
        if entries(checkout) != before:
            assert installer("--undo", checkout) == ("", 0)
        assert entries(checkout) == before, number


# The basket for the Icinga Director.

BASKET = FOLDER / "icingaweb2-module-director" / f"{NAME}.json"


def basket() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(BASKET.read_text(encoding="utf-8"))
    return made


@pytest.mark.parametrize("suffix", ["", "-windows"])
def test_names_and_types_are_those_of_the_generator(suffix: str) -> None:
    # What build-basket does, by its stored source: of a parser's actions those with a help and a
    # value, the name of the variable from the long option, the type from the action and choices.
    actions = plugin_actions()
    made = basket()
    command = made["Command"][f"cmd-check-{NAME}{suffix}"]
    prefix = f"{NAME}{suffix}".replace("-", "_")
    arguments: dict[str, dict[str, object]] = {}
    fields = []
    for action in actions:
        long = next(name for name in action.option_strings if name.startswith("--"))
        variable = f"{prefix}_{long[2:]}".replace("-", "_")
        appends = isinstance(action, argparse._AppendAction)
        settings: dict[str, object] = {}
        if isinstance(action, argparse._StoreTrueAction):
            arguments[long] = {"set_if": f"${variable}$"}
            kind = "Boolean"
        else:
            arguments[long] = {"value": f"${variable}$"}
            if appends:
                arguments[long]["repeat_key"] = True
            if action.choices is not None:
                kind = "Datalist"
                entries = made["DataList"][f"{variable}_list"]["entries"]
                assert [entry["entry_name"] for entry in entries] == list(action.choices)
                settings = {
                    "behavior": "strict",
                    "data_type": "array" if appends else "string",
                    "datalist": f"{variable}_list",
                }
            else:
                kind = "Array" if appends else "String"
                settings = {"visibility": "visible"}
        fields.append((variable, f"Icinga\\Module\\Director\\DataType\\DataType{kind}", settings))
    assert command["arguments"] == arguments
    ours = [made["Datafield"][str(field["datafield_id"])] for field in command["fields"]]
    assert [(one["varname"], one["datatype"], one["settings"]) for one in ours] == fields
    for one, action in zip(ours, actions):
        assert one["caption"].startswith("Network Connections: ")
        assert one["caption"].endswith("?") == isinstance(action, argparse._StoreTrueAction)
        assert one["description"].startswith(str(action.help))


def plugin_actions() -> list[argparse.Action]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_known_args", lambda self, *_: (self, []))
        parser: Any = imported().parse_args()
    left_out = (argparse._HelpAction, argparse._VersionAction)
    actions: list[argparse.Action] = parser._actions
    return [
        action
        for action in actions
        if not isinstance(action, left_out)
        and action.help != argparse.SUPPRESS
        # For people, and in no basket.
        and "--list" not in action.option_strings
    ]


def test_objects_of_the_basket() -> None:
    made = basket()
    commands = {name: entry["command"] for name, entry in made["Command"].items()}
    windows = f"C:\\Program Files\\icinga2\\sbin\\linuxfabrik\\{NAME}"
    assert commands == {
        f"cmd-check-{NAME}": f"/usr/lib64/nagios/plugins/{NAME}",
        f"cmd-check-{NAME}-sudo": f"/usr/bin/sudo /usr/lib64/nagios/plugins/{NAME}",
        f"cmd-check-{NAME}-windows": f"{windows}.exe",
        f"cmd-check-{NAME}-windows-python": f"C:\\Windows\\py {windows}.py",
    }
    templates = {name: entry["check_command"] for name, entry in made["ServiceTemplate"].items()}
    assert templates == {
        **{
            f"tpl-service-{NAME}{variant}": f"cmd-check-{NAME}{variant}"
            for variant in ("", "-sudo", "-windows")
        },
        f"tpl-service-{NAME}-exhaustion": f"cmd-check-{NAME}",
    }
    variables = {name: dict(entry["vars"]) for name, entry in made["ServiceTemplate"].items()}
    assert {kept.pop("criticality") for kept in variables.values()} == {"C"}
    assert variables.pop(f"tpl-service-{NAME}-exhaustion") == {
        "network_connections_measure": "exhaustion",
        "network_connections_lengthy": True,
        "network_connections_strict": True,
    }
    # Whatever the others set would be on every command line.
    assert not any(variables.values())
    ids = [entry["uuid"] for objects in made.values() for entry in objects.values()]
    assert len(ids) == len(set(ids))
