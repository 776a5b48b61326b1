"""The renewal tick: says every few seconds who is still here, sweeps who is not, and watches for silent loss.

Rooms and users are spread over the interval, so that a node with thousands of them works a little all the time instead
of a lot at once. Everything that is due in a tick travels in one pipeline.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import zlib
from typing import Final

from c2c.errors import C2CError, RoomNotFound, ServiceUnavailable
from c2c.fanout import LocalRoom
from c2c.hub import Hub
from c2c.rooms.base import Kinds
from c2c.rooms.presence import HOME
from c2c.settings import Settings
from c2c.signed_in import SignedIn
from c2c.store import Store
from c2c.tasks import end_tasks

log = logging.getLogger("c2c.leases")

TICK_S: Final = 0.25
_SWEEP_MARGIN_S: Final = 0.01
_LEASES_PER_CALL: Final = 1000


class Leases:
    """Renews the leases of all connections of this node. Start it, and tell it who comes and goes."""

    def __init__(self, settings: Settings, store: Store, hub: Hub, kinds: Kinds, signed_in: SignedIn) -> None:
        self._store = store
        self._hub = hub
        self._kinds = kinds
        self._signed_in = signed_in
        self._grace_s = settings.grace_s
        self._trouble_max_s = (settings.lease_s - settings.renew_interval_s) / 3
        self._last_tick_s = 0.0
        self._noted_s = 0.0
        self._troubled_s = 0.0
        self._merciful_until_s = 0.0
        self._interval_s = settings.renew_interval_s
        self._room_slots = max(1, round(settings.renew_interval_s / TICK_S))
        self._sweeps: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._last_tick_s = self._noted_s = asyncio.get_running_loop().time()
        self._ticking = asyncio.create_task(self._run(), name="c2c-leases")

    async def aclose(self) -> None:
        for handle in self._sweeps.values():
            handle.cancel()
        await end_tasks([*self._tasks, *([self._ticking] if self._ticking else [])])

    def sweep_after_grace(self, room_id: str) -> None:
        """A connection was dropped: look whether its user is back when the grace period is over."""
        self._sweep_in(room_id, self._grace_s)

    async def _run(self) -> None:
        tick = 0
        while True:
            tick += 1
            await self._tick(tick)
            await asyncio.sleep(min(TICK_S, self._interval_s))

    async def _tick(self, tick: int) -> None:
        """One slot's renewals. What could not be renewed may not be swept either, at first (`Store.merciful`)."""
        now_s = asyncio.get_running_loop().time()
        stalled = now_s - self._last_tick_s > self._interval_s
        self._last_tick_s = now_s
        if self._store.up and not stalled:
            self._note(now_s, failed=await self._renew_slot(tick))
        else:
            self._note(now_s, failed=True)
        if self._store.up and stalled:  # the other nodes are not merciful: whose turn it is can't wait a round more
            for due in range(tick, tick + self._room_slots):
                await self._renew_slot(due)

    def _note(self, now_s: float, *, failed: bool) -> None:
        """Keep account of the time in which renewals failed, and be merciful behind it as long as it takes for every
        node to renew everything."""
        if failed:
            self._troubled_s += now_s - self._noted_s
        elif self._troubled_s > self._trouble_max_s:
            self._merciful_until_s = now_s + self._grace_s
        self._troubled_s = self._troubled_s if failed else 0.0
        self._noted_s = now_s
        self._store.merciful = self._troubled_s > self._trouble_max_s or now_s < self._merciful_until_s

    async def _renew_slot(self, tick: int) -> bool:
        """Renew what is due in this tick; whether Redis refused any of it."""
        slot = tick % self._room_slots
        rooms = [room for room in self._hub.joined_rooms() if _slot_of(room.room_id, self._room_slots) == slot]
        results = await asyncio.gather(
            *[self._renew_room(room) for room in rooms],
            self._renew_users(tick),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, C2CError):
                log.error("a renewal failed", exc_info=result)
        return any(isinstance(result, ServiceUnavailable) for result in results)

    async def _renew_users(self, tick: int) -> None:
        """Everybody who is signed in; what comes back tells of the room in which they are."""
        before = self._hub.position_of(HOME)
        told = await self._signed_in.renew(tick)
        if told is None:
            self._hub.lost(HOME)
        else:
            self._hub.observe(HOME, before, told.position)

    async def _renew_room(self, room: LocalRoom) -> None:
        before = room.position
        if before is None:  # being joined for the first time, or being restored
            return
        leases = [member.lease for member in room.members if not room.awaits_state(member)]
        for start in range(0, len(leases), _LEASES_PER_CALL):
            try:
                renewed = await self._store.renew(room.room_id, leases[start : start + _LEASES_PER_CALL])
            except RoomNotFound:
                self._hub.lost(room.room_id)
                return
            self._hub.observe(room.room_id, before, renewed.position)
            if renewed.expiry_lifted:
                await self._store.index_rooms([room.room_id], self._kinds[room.kind].retention)
            if renewed.gone:
                await self._hub.rejoin(room.room_id, renewed.gone)
            if renewed.next_end_ms is not None and renewed.next_end_ms / 1000 < self._interval_s:
                self._sweep_in(room.room_id, renewed.next_end_ms / 1000)

    def _sweep_in(self, room_id: str, delay_s: float) -> None:
        """Sweep when the next lease of somebody else ends, not at some tick after it."""
        loop = asyncio.get_running_loop()
        planned = self._sweeps.get(room_id)
        when_s = loop.time() + delay_s + _SWEEP_MARGIN_S
        if planned is not None and planned.when() <= when_s:
            return
        if planned is not None:
            planned.cancel()
        self._sweeps[room_id] = loop.call_at(when_s, self._start_sweep, room_id)

    def _start_sweep(self, room_id: str) -> None:
        del self._sweeps[room_id]
        task = asyncio.create_task(self._sweep(room_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sweep(self, room_id: str) -> None:
        with contextlib.suppress(C2CError):
            renewed = await self._store.renew(room_id, ())
            if renewed.next_end_ms is not None and renewed.next_end_ms / 1000 < self._interval_s:
                self._sweep_in(room_id, renewed.next_end_ms / 1000)


def _slot_of(id_: str, slots: int) -> int:
    return zlib.crc32(id_.encode()) % slots
