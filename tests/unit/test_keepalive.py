"""Turns of the keepalive, on the real clock of the loop."""

from __future__ import annotations

import asyncio

from c2c.keepalive import Keepalive
from tests.support import eventually

_INTERVAL_S = 0.2


class Pinged:
    """Notes when it was pinged."""

    def __init__(self) -> None:
        self.at_s: list[float] = []

    def keep_alive(self) -> None:
        self.at_s.append(asyncio.get_running_loop().time())


async def test_each_is_pinged_once_an_interval_and_never_sooner() -> None:
    keepalive, now_s = Keepalive(_INTERVAL_S), asyncio.get_running_loop().time
    keepalive.start()
    all_ = [Pinged() for _ in range(20)]
    try:
        added_s = []
        for pinged in all_:  # at different times, hence in different slots
            keepalive.add(pinged)
            added_s.append(now_s())
            await asyncio.sleep(_INTERVAL_S / 20)
        await eventually(lambda: all(len(pinged.at_s) >= 3 for pinged in all_))
    finally:
        keepalive.stop()
    tick_s = _INTERVAL_S / 100
    for pinged, came_s in zip(all_, added_s, strict=True):
        assert pinged.at_s[0] - came_s >= _INTERVAL_S - 2 * tick_s
        assert min(b - a for a, b in zip(pinged.at_s, pinged.at_s[1:], strict=False)) >= _INTERVAL_S - 2 * tick_s


async def test_who_was_taken_out_is_not_pinged_also_in_the_midst_of_a_turn() -> None:
    keepalive = Keepalive(_INTERVAL_S)
    slots: dict[Pinged, int] = {}

    class Leaver(Pinged):
        def keep_alive(self) -> None:
            super().keep_alive()
            keepalive.remove(self, slots[self])

    stays, leaves = Pinged(), [Leaver() for _ in range(5)]
    for pinged in (*leaves, stays):
        slots[pinged] = keepalive.add(pinged)
    assert len(set(slots.values())) == 1
    keepalive.start()
    try:
        await eventually(lambda: len(stays.at_s) == 3)
    finally:
        keepalive.stop()
    assert [len(pinged.at_s) for pinged in leaves] == [1] * 5


async def test_after_stop_nobody_is_pinged() -> None:
    keepalive, pinged, other = Keepalive(_INTERVAL_S), Pinged(), Keepalive(_INTERVAL_S)
    keepalive.add(pinged)
    keepalive.start()
    keepalive.stop()
    late = Pinged()
    other.add(late)
    other.start()
    try:
        await eventually(lambda: late.at_s)
    finally:
        other.stop()
    assert pinged.at_s == []
