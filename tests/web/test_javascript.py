"""The SDK's own tests and the types of all of `c2c/web`, run by node. Skipped on a laptop without it, not in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.support import ROOT

_INSTALLED = ROOT / "node_modules" / ".package-lock.json"


@pytest.fixture(scope="module")
def npm() -> str:
    """npm, with what package-lock.json names installed."""
    path = shutil.which("npm")
    if path is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("there is no npm")
    if not _INSTALLED.exists() or _INSTALLED.stat().st_mtime < (ROOT / "package-lock.json").stat().st_mtime:
        subprocess.run([path, "ci", "--no-audit", "--no-fund"], cwd=ROOT, check=True, timeout=300)
    return path


def _run(npm: str, script: str) -> None:
    environment = {**os.environ, "C2C_PYTHON": sys.executable}
    ended = subprocess.run(
        [npm, "run", "--silent", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-8000:]


def test_types_are_strict(npm: str) -> None:
    _run(npm, "check")


@pytest.mark.timeout(600)
def test_the_sdk_keeps_its_promises(npm: str) -> None:
    _run(npm, "test")
