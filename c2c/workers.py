"""Several nodes on one port: a parent that holds the listening sockets, and worker processes that share them.

Each worker is a node of its own. One that dies is started again; connections that arrive meanwhile wait in the
sockets, which the parent keeps open, or go to another worker. Workers stop when the parent tells them to, and also when
it is gone without a word: each holds the reading end of a pipe, the lifeline, whose other end only the parent has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import multiprocess

log = logging.getLogger("c2c.workers")

METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"

_STOP_S: Final = 8.5
_STABLE_S: Final = 10.0
_BACKOFF_FIRST_S: Final = 0.1
_BACKOFF_MAX_S: Final = 5.0
_BACKOFF_DOUBLINGS: Final = 10


def restart_delay_s(failures: int) -> float:
    """Seconds before a worker is started again; `failures`: how often in a row it died young."""
    if failures == 0:
        return 0.0
    return min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * float(2 ** min(failures - 1, _BACKOFF_DOUBLINGS)))


class Workers:
    """The parent. `run` returns when it was told to stop (SIGTERM, SIGINT) and all workers have ended.

    Arguments: `sockets`, bound; they are closed at the end. `environments`, one for each worker.
    """

    def __init__(self, sockets: Sequence[socket.socket], environments: Sequence[Mapping[str, str]]) -> None:
        self._sockets = sockets
        self._environments = environments
        self._processes: set[Process] = set()
        self._stopping = asyncio.Event()
        self._metrics_folder = ""
        self._lifeline = -1

    def run(self) -> None:
        """Start the workers and keep them running. Workers that do not end within 8.5 s of the signal are killed."""
        with tempfile.TemporaryDirectory(prefix="c2c-metrics-") as self._metrics_folder:
            self._lifeline, parent_end = os.pipe()
            try:
                asyncio.run(self._run())
            finally:
                os.close(parent_end)
                os.close(self._lifeline)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        async with asyncio.TaskGroup() as group:
            keepers = [group.create_task(self._keep(index)) for index in range(len(self._environments))]
            killer = group.create_task(self._kill_late())
            await asyncio.wait(keepers)
            killer.cancel()

    def _stop(self) -> None:
        """Tell all workers to drain; told again, end them at once."""
        if self._stopping.is_set():
            self._send(signal.SIGKILL)
            return
        log.info("stopping %d workers", len(self._processes))
        self._stopping.set()
        for sock in self._sockets:
            sock.close()
        # Always SIGTERM, also for Ctrl+C: to uvicorn a second SIGINT means "at once".
        self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def _kill_late(self) -> None:
        await self._stopping.wait()
        await asyncio.sleep(_STOP_S)
        log.error("%d workers did not stop within %g s and are killed", len(self._processes), _STOP_S)
        self._send(signal.SIGKILL)

    async def _keep(self, index: int) -> None:
        """Keep one worker running until told to stop."""
        failures = 0
        while True:
            started_s = time.monotonic()
            ended = await self._run_one(index)
            if self._stopping.is_set():
                return
            failures = 0 if time.monotonic() - started_s >= _STABLE_S else failures + 1
            delay_s = restart_delay_s(failures)
            log.error("worker %d %s; another starts in %g s", index, ended, delay_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._stopping.wait()
                    return

    async def _run_one(self, index: int) -> str:
        """Run a worker to its end. Returns how it ended."""
        try:
            process = await self._start(index)
        except OSError as error:
            return f"could not be started: {error}"
        code = await process.wait()
        self._processes.discard(process)
        # What a dead worker counted stays in the sums; its gauges (connections, rooms) must go.
        multiprocess.mark_process_dead(process.pid, self._metrics_folder)  # type: ignore[no-untyped-call]
        return f"(pid {process.pid}) ended with code {code}"

    async def _start(self, index: int) -> Process:
        files = [sock.fileno() for sock in self._sockets]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "c2c",
            "serve-worker",
            *[word for number in files for word in ("--fd", str(number))],
            "--lifeline",
            str(self._lifeline),
            env={**self._environments[index], METRICS_VARIABLE: self._metrics_folder},
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(*files, self._lifeline),
            start_new_session=True,  # Ctrl+C in the terminal reaches the parent only
        )
        self._processes.add(process)
        if self._stopping.is_set():  # told to stop while it was being started
            process.terminate()
        log.info("worker %d started: pid %d", index, process.pid)
        return process


def watch_lifeline(lifeline: int) -> None:
    """In a worker: end this process as if told to (SIGTERM) when the parent is gone, however it went."""

    def wait() -> None:
        os.read(lifeline, 1)  # nobody writes: this returns when the last writing end is closed
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="c2c-lifeline", daemon=True).start()
