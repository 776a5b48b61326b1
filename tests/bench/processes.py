"""Child processes of the bench: pinned, watched through /proc, waited for within bounds, and gone afterwards."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_TERMINATE_S: Final = 3.0
_LOG_TAIL: Final = 2_000


class BenchError(Exception):
    """A measurement that could not be made."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Where the server under test runs, and where everything else does: the load, Redis, the bench itself."""

    server: frozenset[int]
    rest: frozenset[int]

    @classmethod
    def choose(cls) -> Cores:
        """The first two cores that we may use; with a single one, both share it."""
        usable = sorted(os.sched_getaffinity(0))
        return cls(frozenset(usable[:1]), frozenset(usable[1:2] or usable[:1]))

    @property
    def apart(self) -> bool:
        return self.server != self.rest


def cpu_s(pid: int) -> float:
    """User and system time of a process, all its threads, in seconds; steps of 10 ms (proc(5), `/proc/pid/stat`)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def busy_s() -> float:
    """Seconds that all cores together were not idle since boot; what other guests took from us counts as busy."""
    user, nice, system, _idle, _waiting, irq, softirq, stolen = Path("/proc/stat").read_text().split(None, 9)[1:9]
    return sum(map(int, (user, nice, system, irq, softirq, stolen))) / _TICKS_PER_S


def resident_bytes(pid: int) -> int:
    """Resident set of a process, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise BenchError(f"process {pid} is gone")


def raise_open_files() -> int:
    """Allow as many open files as the hard limit does; how many that is. Children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@contextlib.contextmanager
def running(
    name: str,
    argv: Sequence[str],
    cores: frozenset[int],
    ready: Callable[[], bool],
    *,
    folder: Path,
    cwd: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    within_s: float = 20.0,
) -> Iterator[int]:
    """A process on given cores, from the moment it is ready. Yields its pid. Raises BenchError when it never is.

    Its output goes to `<folder>/<name>.log`.
    """
    log = folder / f"{name}.log"
    with log.open("wb") as output, _pinned(cores):
        process = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours to handle: we stop it, in order
        )
    try:
        deadline_s = time.monotonic() + within_s
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise BenchError(f"{name} did not start:\n{_tail(log)}")
            time.sleep(0.05)
        try:
            yield process.pid
        finally:
            if process.poll() is not None:
                raise BenchError(f"{name} ended by itself with {process.returncode}:\n{_tail(log)}")
    finally:
        stop(process)


@contextlib.contextmanager
def _pinned(cores: frozenset[int]) -> Iterator[None]:
    """This thread on these cores meanwhile. A child inherits it, and so does every thread it will ever start."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def output_of(argv: Sequence[str], cores: frozenset[int], within_s: float) -> str:
    """Run a process on given cores to its end; its standard output. Raises BenchError when it fails or takes longer."""
    with _pinned(cores):
        process = subprocess.Popen(
            list(argv),
            cwd=ROOT,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    try:
        output, complaint = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        raise BenchError(f"not done within {within_s:.0f} s: {' '.join(argv)}") from None
    finally:
        stop(process)
    if process.returncode != 0:
        raise BenchError(complaint.strip()[-_LOG_TAIL:] or f"failed with {process.returncode}: {' '.join(argv)}")
    return output


def stop(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """End a process, politely first. Nothing happens when it has ended."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_TERMINATE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-_LOG_TAIL:]
