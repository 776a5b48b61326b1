"""What is shipped: the wheel, built of what the Dockerfile copies, installed alone, used far from the repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support import ROOT, RedisServer

pytestmark = pytest.mark.timeout(600)

_SOURCES = ("pyproject.toml", "README.md", "LICENSE", "c2c", "lua")
_LOAD_SCRIPTS = """
import json, pathlib, sys, redis, c2c
from c2c.scripts import load_scripts, lua_folder
client = redis.Redis(port=int(sys.argv[1]), decode_responses=True)
shas = {name: [script.sha.decode(), client.script_load(script.source)] for name, script in load_scripts().items()}
print(json.dumps({"package": str(pathlib.Path(c2c.__file__).parent), "lua": str(lua_folder()), "shas": shas}))
"""


def run(*command: str | Path, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a program to its end; what it says. Fails with its errors."""
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has nothing to do with the repository."""
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel; built of a copy, so that the repository stays clean and nothing is used that an image does not get."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in _SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / "src" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (folder / "src").mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder / "src")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, folder / "src", cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a clean environment with the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return folder / "bin"


@pytest.fixture
def clean_environment(tmp_path: Path) -> dict[str, str]:
    """No settings, and a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("C2C_", "PYTHON", "XDG_"))}
    return {**kept, "HOME": str(tmp_path)}


def test_every_script_loads_from_the_wheel(
    installed: Path, elsewhere: Path, clean_environment: dict[str, str], redis_server: RedisServer
) -> None:
    said = run(
        installed / "python", "-c", _LOAD_SCRIPTS, str(redis_server.port), cwd=elsewhere, environment=clean_environment
    )
    found = json.loads(said)
    assert Path(found["package"]).is_relative_to(installed.parent)
    assert found["lua"] == f"{found['package']}/lua"
    assert set(found["shas"]) == {path.stem for path in (ROOT / "lua").glob("*.lua")}
    assert all(ours == theirs for ours, theirs in found["shas"].values())


def test_the_wheel_has_the_package_the_scripts_the_licence_and_nothing_else(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    sources = [path for name in ("c2c", "lua") for path in (ROOT / name).rglob("*") if path.is_file()]
    ours = {str(path.relative_to(ROOT)) for path in sources if "__pycache__" not in path.parts}
    expected = {name if name.startswith("c2c/") else f"c2c/{name}" for name in ours}
    assert {name for name in packed if ".dist-info/" not in name} == expected
    assert "c2c/py.typed" in packed
    assert any(name.endswith("/licenses/LICENSE") for name in packed)


def test_help_names_the_commands(installed: Path, elsewhere: Path, clean_environment: dict[str, str]) -> None:
    said = run(installed / "c2c", "--help", cwd=elsewhere, environment=clean_environment)
    for command in ("serve", "token", "tail", "rooms", "inspect", "chat"):
        assert re.search(rf"\b{command}\b", said)


def test_serve_with_the_private_redis_works_out_of_the_box(
    installed: Path, elsewhere: Path, clean_environment: dict[str, str]
) -> None:
    server = subprocess.Popen(
        [installed / "c2c", "serve", "--port", "0"],
        cwd=elsewhere,
        env=clean_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with server:
        try:
            assert server.stdout is not None
            announced = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline())
            assert announced is not None
            with urllib.request.urlopen(announced[0] + "/healthz", timeout=30) as answer:
                assert answer.status == 200
                assert json.loads(answer.read())["success"] is True
            request = urllib.request.Request(
                announced[0] + "/api/rooms", b'{"creatorName":"kim"}', {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert answer.status == 201
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(15) == 0
    assert list(elsewhere.iterdir()) == []
