"""The wheel installs on every CPython from 3.9 up that this machine has, and answers there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import shares
from conftest import Place
from harness import GOLDEN, PATIENCE, REST, ROOT, interpreters
from lab import namespaces

# Runs every recorded case in one process, and prints what differs.
RUNNER = """
import contextlib, io, json, pathlib, pickle, re, sys
sys.path.insert(0, sys.argv[2])
import network_connections
from network_connections import plugin

def run(args):
    sys.argv[1:] = args
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in "oe")
    try:
        code = plugin.main()
        texts = [stream.buffer.getvalue().decode() for stream in (sys.stdout, sys.stderr)]
    finally:
        sys.stdout, sys.stderr = streams
    return [code, *texts]

rest = sys.argv[3]
program = pathlib.Path(sys.argv[2], "program")
program.touch()
(program.parent / "unit-test" / "stdout").mkdir(parents=True)
with open(sys.argv[1], encoding="utf-8") as file:
    cases = [json.loads(line) for line in file]
sys.argv[:] = [str(program)]
for case in cases:
    path = program.parent / "unit-test" / "stdout" / case["id"]
    path.write_text(case["fixture"], encoding="utf-8")
    found = run([*case["args"], f"--test=stdout/{case['id']},,0"])
    # A message about a range goes on behind the words of the reference.
    found[1] = re.sub(rest, "", found[1], flags=re.M)
    if found[0] != case["returncode"] or case["exact"] and found[1:] != [case["stdout"], ""]:
        print(case["id"], case["args"], found)
    # argparse is another one in every version.
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            plugin.parse_args()
    except SystemExit:
        if case["exact"]:
            print(case["id"], "parse_args() refuses", case["args"])
assert network_connections.count_connections() == {"tcp_LISTEN": 1}
result = network_connections.check(warning=network_connections.Range("@1"))
assert pickle.loads(pickle.dumps(result)) == result
assert str(result) == "tcp LISTEN: 1 [WARNING]|'tcp_LISTEN'=1", result
print(len(cases), "cases")
"""


@pytest.mark.parametrize(
    ("interpreter", "version"),
    shares.first(
        pytest.param(*found, id=f"{found[1]} {found[0]}") for found in interpreters().items()
    ),
)
def test_golden_cases(interpreter: str, version: str, one_listener: Place, tmp_path: Path) -> None:
    wheels = sorted((ROOT / "target" / "wheel").glob("network_connections-*.whl"))
    assert len(wheels) == 1
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    # Refuses a wheel that is not for this version.
    options = [f"--python-version={version}", "--implementation=cp", "--only-binary=:all:"]
    target = tmp_path / "installed"
    options += ["--no-deps", "--no-index", f"--target={target}"]
    subprocess.run([*pip, *options, str(wheels[0])], check=True, timeout=PATIENCE)
    line = [interpreter, "-I", "-c", RUNNER, str(GOLDEN), str(target), REST]
    done = namespaces.run(one_listener.ns, line, check=False, timeout=PATIENCE)
    assert (done.stdout, done.stderr, done.returncode) == ("500 cases\n", "", 0)
