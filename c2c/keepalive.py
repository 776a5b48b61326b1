"""WebSocket pings for all connections of a server, by one timer."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

PING: Final = b"\x89\x00"  # a whole frame, the same for everybody (RFC 6455, section 5.5.2)
_SLOTS: Final = 100


class Kept(Protocol):
    """A connection that is pinged."""

    def keep_alive(self) -> None:
        """Send `PING`, or end when there was no pong since the last one."""


class Keepalive:
    """Has every connection pinged each `interval_s` seconds, a hundredth of that later at most.

    Connections stand in a hundred slots, whose turns come one after the other. Two timers for each connection, one for
    its next ping and one for its pong, would cost more than the pings themselves.
    """

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._slots: tuple[set[Kept], ...] = tuple(set() for _ in range(_SLOTS))
        self._turn = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, in the running loop."""
        # Never earlier than the interval, also after a pause of the process: who is pinged has all of it to answer.
        self._timer = asyncio.get_running_loop().call_later(self.interval_s / _SLOTS, self._tick)

    def stop(self) -> None:
        """Ping nobody any more."""
        if self._timer is not None:
            self._timer.cancel()

    def add(self, kept: Kept) -> int:
        """Ping a connection from now on, for the first time after an interval. Returns its slot."""
        slot = (self._turn - 1) % _SLOTS
        self._slots[slot].add(kept)
        return slot

    def remove(self, kept: Kept, slot: int) -> None:
        """Ping a connection no more; not an error when it is not there."""
        self._slots[slot].discard(kept)

    def _tick(self) -> None:
        self.start()
        turn, self._turn = self._turn, (self._turn + 1) % _SLOTS
        for kept in tuple(self._slots[turn]):  # who ends takes itself out
            kept.keep_alive()
