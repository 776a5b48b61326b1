"""One room on one node: the order of its events and who gets them. Pure decisions, no I/O, no waiting.

A room has a position, the last event that it passed on. `offer` says what a payload from the channel is to the room:
the next event, an old one, one behind a gap, one of another epoch. What is passed on waits in `pending` until `flush`,
at the end of the loop's tick, writes it to everybody: each encoding is built once, the events of a tick are joined,
and the same bytes go to every member.

A member that is still joining stands apart in `arriving`: it collects what is passed on meanwhile, and goes live when
its snapshot is there and the room has reached the snapshot's position. So between snapshot and live there is neither
a hole nor a duplicate, whatever arrives when.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from c2c.errors import CloseCode
from c2c.events import Position, position_of
from c2c.outbox import Encoding, Outbox

_ARRIVING_BYTES_MAX: Final = 1_048_576
_FLUSH_BYTES_MAX: Final = 262_144
_HELD_MAX: Final = 10_000


class Verdict(Enum):
    """What a payload is to a room."""

    PASSED = auto()
    OLD = auto()
    GAP = auto()
    OTHER_EPOCH = auto()
    CONTRADICTS = auto()  # another event than the one that was passed on under this seq
    HELD = auto()
    NO_EVENT = auto()


@dataclass(slots=True, eq=False)
class Member:
    """One connection in one room."""

    user_id: str
    connection_id: str
    lease: str
    outbox: Outbox
    kind: str = ""


@dataclass(slots=True)
class _Arrival:
    """A member on its way in. `floor`: the seq of its snapshot, None while there is none."""

    floor: int | None = None
    waiting: list[tuple[int, bytes]] = field(default_factory=list)
    waiting_bytes: int = 0


class LocalRoom:
    """The members of a room on this node, and what they have been sent."""

    def __init__(self, room_id: str) -> None:
        self.room_id = room_id
        self.kind = ""
        self.creator = ""
        self.title = ""
        self.position: Position | None = None
        self.last_event: bytes | None = None
        self.repairing = False
        self.rests_until_s = 0.0
        self.resting = False
        self._written_seq = 0
        self._held: list[bytes] = []
        self._pending: list[tuple[int | None, bytes]] = []
        self._lanes: dict[Encoding, dict[Member, Outbox]] = {}
        self._arriving: dict[Member, _Arrival] = {}

    # Members

    @property
    def members(self) -> list[Member]:
        """Everybody here, arriving or live."""
        return [*self._arriving, *(member for lane in self._lanes.values() for member in lane)]

    @property
    def empty(self) -> bool:
        return not self._arriving and not any(self._lanes.values())

    @property
    def has_pending(self) -> bool:
        return bool(self._pending)

    def arrive(self, member: Member) -> None:
        """A member begins to join; or begins anew, and then takes a new state."""
        self.remove(member)
        self._arriving[member] = _Arrival()

    def awaits_state(self, member: Member) -> bool:
        """Whether the member is on its way in and has not been shown a state."""
        arrival = self._arriving.get(member)
        return arrival is not None and arrival.floor is None

    def settle(self, member: Member, floor: int) -> None:
        """The member has been sent everything up to `floor`; from here on it gets what is passed on."""
        arrival = self._arriving.get(member)
        if arrival is None:
            return
        arrival.floor = floor
        frames = [member.outbox.encoding.encode(event) for seq, event in arrival.waiting if seq > floor]
        member.outbox.offer(frames)
        arrival.waiting.clear()
        self._promote()

    def remove(self, member: Member) -> bool:
        """Take a member out; whether it was there."""
        if self._arriving.pop(member, None) is not None:
            return True
        return self._lanes.get(member.outbox.encoding, {}).pop(member, None) is not None

    # Events

    def adopt(self, position: Position) -> list[Verdict]:
        """Begin at a position; what was held until it was known is offered again."""
        self.position = position
        self.last_event = None
        self._written_seq = position.seq
        return self.release()

    def forget(self) -> list[Member]:
        """The room's position is worth nothing any more: everybody arrives anew.

        Returns those who had been shown a state; who was still waiting for theirs is on the way already.
        """
        shown = [member for member in self.members if not self.awaits_state(member)]
        self.position = None
        self.last_event = None
        self._held.clear()
        self._pending.clear()
        for member in self.members:
            self.arrive(member)
        return shown

    def offer(self, payload: bytes) -> Verdict:
        """Look at a payload from the channel, pass it on if its turn has come, hold it if it has not.

        O(1); nothing is written before `flush`.
        """
        found = position_of(payload)
        if found is None:
            return Verdict.NO_EVENT
        if self.position is None or self.repairing:
            return self._hold(payload)
        if found.epoch != self.position.epoch:
            return Verdict.OTHER_EPOCH
        if found.seq <= self.position.seq:
            same_seq = found.seq == self.position.seq and self.last_event is not None
            return Verdict.CONTRADICTS if same_seq and payload != self.last_event else Verdict.OLD
        if found.seq > self.position.seq + 1:
            self._hold(payload)
            return Verdict.GAP
        self.pass_on(payload, found)
        return Verdict.PASSED

    def pass_on(self, event: bytes, position: Position) -> None:
        """The next event of the log, from the channel or from the log itself."""
        self.position = position
        self.last_event = event
        self._pending.append((position.seq, event))

    def pass_unlogged(self, payload: bytes) -> None:
        """An event that stands in no log: who is here gets it, nobody else ever will."""
        self._pending.append((None, payload))

    def _hold(self, payload: bytes) -> Verdict:
        # Bounded: what is dropped here stands in the log, and a repair reads it there.
        if len(self._held) < _HELD_MAX:
            self._held.append(payload)
        return Verdict.HELD

    def release(self) -> list[Verdict]:
        """Offer again what was held. Events that are still ahead are held on and reported as a gap."""
        held, self._held = self._held, []
        return [self.offer(payload) for payload in held]

    def drop_held(self) -> int:
        """Forget what was held; how much it was."""
        dropped, self._held = len(self._held), []
        return dropped

    def flush(self) -> int:
        """Write what is pending to everybody. Returns the number of deliveries.

        O(members), and for each member one write of bytes that all of its encoding share. At most 256 KiB: more at
        once would look like a slow reader before the transport had a chance to send; `has_pending` says to come again.
        """
        pending = self._take_pending()
        deliveries = 0
        if pending:
            for encoding, lane in self._lanes.items():
                if not lane:
                    continue
                joined = encoding.join([encoding.encode(event) for _, event in pending])
                # A write can make a member overflow, which takes it out of the lane: iterate over a copy.
                for outbox in list(lane.values()):
                    outbox.offer(joined)
                deliveries += len(lane) * len(pending)
            if self._arriving:
                deliveries += self._flush_to_arriving(pending)
        self._promote()
        return deliveries

    def _take_pending(self) -> list[tuple[int | None, bytes]]:
        size = count = 0
        for seq, event in self._pending:
            size += len(event)
            if size > _FLUSH_BYTES_MAX and count:
                break
            count += 1
            if seq is not None:
                self._written_seq = seq
        taken, self._pending = self._pending[:count], self._pending[count:]
        return taken

    def _flush_to_arriving(self, pending: list[tuple[int | None, bytes]]) -> int:
        deliveries = 0
        for member, arrival in list(self._arriving.items()):
            if arrival.floor is None:
                self._collect(member, arrival, pending)
                continue
            encoding = member.outbox.encoding
            fresh = [event for seq, event in pending if seq is None or seq > arrival.floor]
            member.outbox.offer(encoding.encode(event) for event in fresh)
            deliveries += len(fresh)
        return deliveries

    def _collect(self, member: Member, arrival: _Arrival, pending: list[tuple[int | None, bytes]]) -> None:
        for seq, event in pending:
            if seq is not None:
                arrival.waiting.append((seq, event))
                arrival.waiting_bytes += len(event)
        if arrival.waiting_bytes > _ARRIVING_BYTES_MAX:
            # It comes back and resumes; holding more for it would be a queue without a bound.
            member.outbox.close(CloseCode.SLOW_CONSUMER, "joining took too long")
            self.remove(member)

    def _promote(self) -> None:
        """Members whose snapshot has been reached by what was written go live."""
        if not self._arriving or self.position is None:
            return
        written = self._written_seq
        for member in [m for m, a in self._arriving.items() if a.floor is not None and a.floor <= written]:
            del self._arriving[member]
            self._lanes.setdefault(member.outbox.encoding, {})[member] = member.outbox
