"""What a call costs in a Python process that runs already.

    in_process.py FUNCTION CALLS

Prints the CPU time and the wall time of one call in seconds and the number of sockets, as JSON.
"""

import json
import sys
import time

import network_connections


def main(function: str, calls: int) -> None:
    """Call a function of the package, which returns counts or a list, `calls` times."""
    call = getattr(network_connections, function)
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(calls):
        found = call(timeout=600)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    sockets = sum(found.values()) if isinstance(found, dict) else len(found)
    print(json.dumps({"cpu": cpu / calls, "wall": wall / calls, "sockets": sockets}))


main(sys.argv[1], int(sys.argv[2]))
