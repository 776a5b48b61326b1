"""The SDK's own tests and the types of all of `c2c/web`, run by node. Skipped on a laptop without it, not in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT


def _run(script: str) -> None:
    ended = subprocess.run(
        ["npm", "run", "--silent", script],
        cwd=ROOT,
        env={**os.environ, "C2C_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-8000:]


def test_types_are_strict(node_modules: Path) -> None:
    _run("check")


@pytest.mark.timeout(600)
def test_the_sdk_keeps_its_promises(node_modules: Path) -> None:
    _run("test")
