"""`python -m tests.bench [--only NAME ...] [--json FILE]`: run the cases, print the table, fail at a missed limit."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

from tests.bench.cases import NAMES, run_all
from tests.bench.processes import Cores, raise_open_files
from tests.bench.report import Results
from tests.bench.servers import Place


def _machine(cores: Cores) -> dict[str, Any]:
    """What a number means nothing without."""
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("uvicorn", "starlette", "websockets", "uvloop", "redis")
    )
    load = ", ".join(f"{average:.2f}" for average in os.getloadavg())
    return {
        "machine": f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "packages": packages,
        "programs": ", ".join(
            filter(None, (_first_line("redis-server", "--version"), _first_line("node", "--version")))
        ),
        "pinning": "server and load on cores of their own" if cores.apart else "NONE: only one core, expect noise",
        "load average before": load,
    }


def _first_line(program: str, option: str) -> str:
    try:
        told = subprocess.run([program, option], capture_output=True, text=True, timeout=10, check=False).stdout
    except OSError:
        return f"no {program}"
    return f"{program} {told.split(' sha=')[0].strip()}"


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """0 when all limits are kept, 1 when one is missed, 130 when interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="The speed of c2c, as ratios in one run."
    )
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    raise_open_files()
    cores = Cores.choose()
    results = Results(_machine(cores))
    try:
        with tempfile.TemporaryDirectory(prefix="c2c-bench-") as folder:
            run_all(Place(cores, Path(folder)), results, set(arguments.only))
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    print(results.table())
    if arguments.json is not None:
        results.write(arguments.json)
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
