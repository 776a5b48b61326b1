"""One room on one node: what each payload is to it, and that everybody gets everything once, whatever comes when."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2c.codec import CommandModels, JsonCodec
from c2c.errors import CloseCode, RoomNotFound
from c2c.events import CONNECTION_COMMANDS, Position
from c2c.fanout import LocalRoom, Member, Verdict
from c2c.hub import Hub
from c2c.metrics import Metrics
from c2c.outbox import Encoding, Framing
from c2c.rooms import default_kinds
from c2c.settings import Settings
from c2c.store import HistoryPage, Joined, LogPage
from c2c.users import Profile
from tests.support import eventually

_CODEC = JsonCodec(CommandModels(CONNECTION_COMMANDS, 32))
LANES = (Encoding(_CODEC, Framing.BARE), Encoding(_CODEC, Framing.STREAM))
EPOCH = "abc"


def event(seq: int, epoch: str = EPOCH, size: int = 0) -> bytes:
    return b'{"seq":%d,"epoch":"%b","pad":"%b"}' % (seq, epoch.encode(), b"x" * size)


@dataclass(eq=False)
class Inbox:
    """An outbox that keeps what it is offered. `on_offer` is called before, as an overflow would be."""

    encoding: Encoding = LANES[0]
    closed: bool = False
    got: list[bytes] = field(default_factory=list)
    writes: int = 0
    on_offer: Callable[[], None] = lambda: None

    def offer(self, frames: Iterable[bytes]) -> None:
        self.on_offer()
        if not self.closed:
            frames = list(frames)
            self.writes += bool(frames)
            self.got += frames

    def close(self, code: CloseCode, reason: str = "") -> None:
        self.closed = True

    @property
    def seqs(self) -> list[int | None]:
        """The seq of each event got, None for one without."""
        lines = b"\n\n".join(self.got).replace(b"data: ", b"").split(b"\n\n")
        return [json.loads(line).get("seq") for line in lines if line]


def make_member(name: str = "kim", encoding: Encoding = LANES[0]) -> tuple[Member, Inbox]:
    inbox = Inbox(encoding)
    return Member(name, f"{name}-1", f"{name}/{name}-1", inbox), inbox


def room_at(seq: int) -> LocalRoom:
    room = LocalRoom("r")
    room.adopt(Position(EPOCH, seq))
    return room


def live_member(room: LocalRoom, name: str = "kim", encoding: Encoding = LANES[0]) -> tuple[Member, Inbox]:
    """A member that has been shown the room as it stands."""
    member, inbox = make_member(name, encoding)
    room.arrive(member)
    assert room.position is not None
    room.settle(member, room.position.seq)
    return member, inbox


# Verdicts


def test_the_next_event_is_passed_and_moves_the_room() -> None:
    room = room_at(4)
    assert room.offer(event(5)) is Verdict.PASSED
    assert room.position == Position(EPOCH, 5)
    assert room.last_event == event(5)
    assert room.has_pending


def test_an_event_that_was_passed_already_is_old() -> None:
    room = room_at(4)
    for seq in (1, 3, 4):
        assert room.offer(event(seq)) is Verdict.OLD
    assert (room.position, room.has_pending) == (Position(EPOCH, 4), False)


def test_another_event_under_the_seq_just_passed_contradicts() -> None:
    """Somebody published by hand what looked like the next event, or Redis went back in time."""
    room = room_at(4)
    assert room.offer(event(4, size=1)) is Verdict.OLD, "what stood there before us is not known"
    room.offer(event(5))
    assert room.offer(event(5)) is Verdict.OLD
    assert room.offer(event(5, size=1)) is Verdict.CONTRADICTS
    assert room.offer(event(4, size=1)) is Verdict.OLD
    assert room.position == Position(EPOCH, 5)
    assert room.last_event == event(5)


def test_an_event_behind_a_gap_is_held_and_passed_when_the_gap_is_filled() -> None:
    room = room_at(4)
    assert room.offer(event(6)) is Verdict.GAP
    assert room.position == Position(EPOCH, 4)
    room.pass_on(event(5), Position(EPOCH, 5))
    assert room.release() == [Verdict.PASSED]
    assert room.position == Position(EPOCH, 6)


def test_an_event_of_another_epoch_is_told_and_not_passed() -> None:
    room = room_at(4)
    assert room.offer(event(5, "other")) is Verdict.OTHER_EPOCH
    assert (room.position, room.has_pending) == (Position(EPOCH, 4), False)


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"t":"typing"}', b"hello", b'{"seq":"5"}'])
def test_what_has_no_position_is_no_event_also_while_repairing(payload: bytes) -> None:
    room = room_at(4)
    assert room.offer(payload) is Verdict.NO_EVENT
    room.repairing = True
    assert room.offer(payload) is Verdict.NO_EVENT


def test_before_the_position_is_known_and_while_repairing_events_are_held() -> None:
    room = LocalRoom("r")
    assert room.offer(event(1)) is Verdict.HELD
    assert room.offer(event(2)) is Verdict.HELD
    assert room.adopt(Position(EPOCH, 1)) == [Verdict.OLD, Verdict.PASSED]
    room.repairing = True
    assert room.offer(event(3)) is Verdict.HELD
    room.repairing = False
    assert room.release() == [Verdict.PASSED]


def test_what_is_held_is_bounded_and_can_be_dropped() -> None:
    room = LocalRoom("r")
    for seq in range(1, 10_101):
        assert room.offer(event(seq)) is Verdict.HELD
    assert room.drop_held() == 10_000
    assert room.drop_held() == 0


def test_released_events_that_are_still_ahead_are_held_on() -> None:
    room = room_at(4)
    assert room.offer(event(7)) is Verdict.GAP
    assert room.release() == [Verdict.GAP]
    assert room.drop_held() == 1


# Members


def test_a_live_member_gets_what_was_passed_at_the_flush_and_not_before() -> None:
    room = room_at(4)
    _, inbox = live_member(room)
    room.offer(event(5))
    room.offer(event(6))
    assert inbox.seqs == []
    assert room.flush() == 2
    assert inbox.seqs == [5, 6]
    assert room.flush() == 0
    assert not room.has_pending


def test_the_events_of_a_tick_are_one_write_where_frames_can_be_joined() -> None:
    room = room_at(0)
    _, bare = live_member(room, "bare", LANES[0])
    _, stream = live_member(room, "stream", LANES[1])
    for seq in range(1, 11):
        room.offer(event(seq))
    assert room.flush() == 20
    assert bare.seqs == stream.seqs == list(range(1, 11))
    assert (bare.writes, stream.writes, len(stream.got)) == (1, 1, 1)


def test_all_members_of_an_encoding_get_the_same_bytes() -> None:
    room = room_at(0)
    inboxes = [live_member(room, f"m{n}", LANES[1])[1] for n in range(3)]
    room.offer(event(1))
    room.flush()
    assert inboxes[0].got[0] is inboxes[1].got[0] is inboxes[2].got[0]


def test_a_flush_takes_256_kib_and_says_that_there_is_more() -> None:
    room = room_at(0)
    _, inbox = live_member(room)
    for seq in range(1, 7):
        room.offer(event(seq, size=100_000))
    taken = []
    while room.has_pending:
        room.flush()
        taken.append(len(inbox.seqs))
    assert taken == [2, 4, 6]
    assert inbox.seqs == [1, 2, 3, 4, 5, 6]


def test_one_event_larger_than_a_flush_is_flushed_all_the_same() -> None:
    room = room_at(0)
    _, inbox = live_member(room)
    room.offer(event(1, size=300_000))
    room.flush()
    assert inbox.seqs == [1]


def test_who_is_arriving_collects_and_gets_what_its_snapshot_lacks() -> None:
    room = room_at(4)
    member, inbox = make_member()
    room.arrive(member)
    assert room.awaits_state(member)
    for seq in (5, 6, 7):
        room.offer(event(seq))
        room.flush()
    assert inbox.seqs == []
    room.settle(member, 6)
    assert not room.awaits_state(member)
    assert inbox.seqs == [7]
    room.offer(event(8))
    room.flush()
    assert inbox.seqs == [7, 8]


def test_a_snapshot_ahead_of_the_room_skips_what_it_holds() -> None:
    room = room_at(4)
    member, inbox = make_member()
    room.arrive(member)
    room.settle(member, 6)
    for seq in (5, 6, 7):
        room.offer(event(seq))
    room.flush()
    assert inbox.seqs == [7]


def test_an_event_pending_while_a_member_settles_comes_once() -> None:
    """Between the event's arrival and the flush, at each floor that a snapshot can have."""
    for floor in (4, 5):
        room = room_at(4)
        member, inbox = make_member()
        room.arrive(member)
        room.offer(event(5))
        room.settle(member, floor)
        room.flush()
        room.offer(event(6))
        room.flush()
        assert inbox.seqs == list(range(floor + 1, 7))


def test_settling_twice_or_without_arriving_changes_nothing() -> None:
    room = room_at(4)
    member, inbox = live_member(room)
    room.settle(member, 4)
    stranger, unread = make_member("stranger")
    room.settle(stranger, 0)
    room.offer(event(5))
    room.flush()
    assert (inbox.seqs, unread.seqs) == ([5], [])


def test_who_was_removed_gets_nothing_more() -> None:
    room = room_at(4)
    member, inbox = live_member(room)
    arriving, waiting = make_member("lee")
    room.arrive(arriving)
    room.offer(event(5))
    assert room.remove(member)
    assert room.remove(arriving)
    assert not room.remove(member)
    assert room.empty
    room.flush()
    room.settle(arriving, 4)
    assert inbox.seqs == waiting.seqs == []


def test_a_member_that_overflows_while_it_is_written_to_harms_nobody() -> None:
    room = room_at(0)
    inboxes = [live_member(room, f"m{n}") for n in range(5)]

    def overflow(member: Member, inbox: Inbox) -> None:
        inbox.closed = True
        room.remove(member)

    for member, inbox in inboxes[:3]:
        inbox.on_offer = partial(overflow, member, inbox)
    room.offer(event(1))
    room.flush()
    assert [inbox.seqs for _, inbox in inboxes] == [[], [], [], [1], [1]]
    assert len(room.members) == 2


def test_who_takes_too_long_to_arrive_is_closed_and_taken_out() -> None:
    room = room_at(0)
    member, inbox = make_member()
    _, other = live_member(room, "other")
    room.arrive(member)
    seq = 0
    while not inbox.closed:
        seq += 1
        assert seq < 20, "nothing bounds what an arriving member collects"
        room.offer(event(seq, size=100_000))
        room.flush()
    assert member not in room.members
    assert other.seqs == list(range(1, seq + 1))


def test_what_stands_in_no_log_is_for_who_is_here() -> None:
    room = room_at(4)
    _, live = live_member(room, "live")
    settled, shown = make_member("settled")
    arriving, waiting = make_member("arriving")
    for member in (settled, arriving):
        room.arrive(member)
    room.settle(settled, 9)
    room.offer(event(5))
    room.pass_unlogged(b'{"t":"typing"}')
    room.offer(event(6))
    assert room.flush() == 3 + 1
    assert live.seqs == [5, None, 6]
    assert shown.seqs == [None]
    room.settle(arriving, 5)
    assert waiting.seqs == [6]


# Beginning anew


def test_forgetting_makes_everybody_arrive_anew_and_names_who_had_a_state() -> None:
    room = room_at(4)
    live, _ = live_member(room, "live")
    ahead, _ = make_member("ahead")
    waiting, _ = make_member("waiting")
    for member in (ahead, waiting):
        room.arrive(member)
    room.settle(ahead, 99)
    room.offer(event(5))
    assert set(map(id, room.forget())) == {id(live), id(ahead)}
    assert room.position is None
    assert not room.has_pending
    assert all(room.awaits_state(member) for member in (live, ahead, waiting))


def test_after_forgetting_nobody_gets_a_mix_of_two_epochs() -> None:
    room = room_at(4)
    member, inbox = live_member(room)
    room.offer(event(5))
    room.offer(event(7))
    room.forget()
    assert room.offer(event(8)) is Verdict.HELD
    assert room.offer(event(2, "new")) is Verdict.HELD
    assert room.adopt(Position("new", 1)) == [Verdict.OTHER_EPOCH, Verdict.PASSED]
    room.flush()
    room.settle(member, 1)
    assert [json.loads(got)["epoch"] for got in inbox.got] == ["new"]
    assert inbox.seqs == [2]


def test_settling_after_forgetting_waits_for_the_new_position() -> None:
    room = room_at(4)
    member, inbox = live_member(room)
    room.forget()
    room.settle(member, 4)  # of the old epoch, late
    room.adopt(Position("new", 0))
    room.offer(event(1, "new"))
    room.flush()
    assert inbox.seqs == []


# The hub, when a room was lost under its members


class FakeUsers:
    async def statuses(self, room_id: str, user_ids: list[str]) -> dict[str, str]:
        return dict.fromkeys(user_ids, "online")


@dataclass
class FakeStore:
    """Redis as the hub sees it, with one room; `gate` holds joins up."""

    epoch: str = EPOCH
    lost: bool = False
    joins: list[str] = field(default_factory=list)
    shortened: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    users: FakeUsers = field(default_factory=FakeUsers)

    async def join(self, room_id: str, profile: Profile, connection_id: str) -> Joined:
        self.joins.append(profile.user_id)
        await self.gate.wait()
        return Joined(Position(self.epoch, 0), "chat", "creator", "", [profile.user_id])

    async def shorten_lease(self, room_id: str, user_id: str, connection_id: str) -> None:
        self.shortened.append(user_id)

    async def read_history(self, room_id: str, before: int, limit: int) -> HistoryPage:
        return HistoryPage(Position(self.epoch, 0), [], False)

    async def read_log(self, room_id: str, after: int, limit: int) -> LogPage:
        if self.lost:
            raise RoomNotFound
        return LogPage(Position(self.epoch, 0), [])


class FakeRelay:
    async def subscribe(self, room_id: str) -> None: ...

    def unsubscribe(self, room_id: str) -> None: ...


@dataclass(frozen=True)
class FakePeer:
    connection_id: str
    profile: Profile
    outbox: Inbox


async def test_members_who_go_while_a_lost_room_is_restored_keep_nobody_from_their_new_state() -> None:
    store: Any = FakeStore()
    store.gate.set()
    relay: Any = FakeRelay()
    hub = Hub(Settings(), store, relay, default_kinds(), [_CODEC], Metrics())
    peers = [FakePeer(f"c{n}", Profile(f"u{n}", f"u{n}", ""), Inbox()) for n in range(250)]
    members = [await hub.join(peer, "r", None, None) for peer in peers]

    store.gate.clear()
    store.joins.clear()
    store.lost, store.epoch = True, "new"
    hub.lost("r")
    await eventually(lambda: store.joins)
    gone = {int(name.removeprefix("u")) for name in store.joins[:40:2]} | {249}
    for number in gone:
        hub.detach(members[number], "r")
    store.lost = False
    store.gate.set()

    def joined(number: int) -> list[str]:
        frames = [json.loads(frame) for frame in peers[number].outbox.got]
        return [frame["epoch"] for frame in frames if frame["t"] == "joined"]

    stayed = [number for number in range(250) if number not in gone]
    await eventually(lambda: all(joined(number) == [EPOCH, "new"] for number in stayed), 5, "a new state for all")
    assert all(joined(number) == [EPOCH] for number in gone)
    # Who went after its join had been sent has a lease again, and nobody else to end it.
    rejoined = {name for name in store.joins if int(name.removeprefix("u")) in gone}
    await eventually(lambda: rejoined <= set(store.shortened), 5, "the leases of who went")
    await hub.aclose()


# Whatever comes when


class Interleaving:
    """A room, its Redis and its hub, reduced to what matters: the log grows, payloads come in order but may be lost,
    members join at their own pace, gaps are repaired from the log."""

    MEMBERS = 4

    def __init__(self, start: int) -> None:
        self.published = start
        self.room = room_at(start)
        self.channel: list[int] = []
        self.sizes: dict[int, int] = {}
        self.members = [make_member(f"m{n}", LANES[n % 2]) for n in range(self.MEMBERS)]
        self.floors: dict[int, int] = {}  # of those who were shown a state
        self.snapshots: dict[int, int] = {}  # of those who wait for theirs

    def publish(self, lost: bool, size: int) -> None:
        self.published += 1
        self.sizes[self.published] = size
        if not lost:
            self.channel.append(self.published)

    def deliver(self, count: int) -> None:
        for seq in self.channel[:count]:
            if self.room.offer(event(seq, size=self.sizes[seq])) is Verdict.GAP:
                self.room.repairing = True
        del self.channel[:count]

    def repair(self) -> None:
        """As `Hub._repair`: pass on the log, then what was held meanwhile."""
        room = self.room
        assert room.position is not None
        for seq in range(room.position.seq + 1, self.published + 1):
            room.pass_on(event(seq, size=self.sizes[seq]), Position(EPOCH, seq))
        room.repairing = False
        for verdict in room.release():
            assert verdict in (Verdict.OLD, Verdict.PASSED)

    def arrive(self, number: int) -> None:
        member, inbox = self.members[number]
        if member not in self.room.members and not inbox.closed:
            self.room.arrive(member)

    def snapshot(self, number: int) -> None:
        if self.room.awaits_state(self.members[number][0]) and number not in self.snapshots:
            self.snapshots[number] = self.published

    def settle(self, number: int) -> None:
        if number in self.snapshots:
            self.floors[number] = self.snapshots.pop(number)
            self.room.settle(self.members[number][0], self.floors[number])

    def leave(self, number: int) -> None:
        """Gone for good; what it got until then must be right all the same."""
        member, inbox = self.members[number]
        if self.room.remove(member):
            inbox.closed = True
            self.snapshots.pop(number, None)

    def flush(self) -> None:
        self.room.flush()

    def finish(self) -> None:
        """Nothing new comes: everybody settles, the room catches up."""
        for number in range(self.MEMBERS):
            self.snapshot(number)
            self.settle(number)
        self.deliver(len(self.channel))
        self.repair()
        while self.room.has_pending:
            self.flush()


_members = st.integers(0, Interleaving.MEMBERS - 1)
_steps = st.one_of(
    st.tuples(st.just("publish"), st.booleans(), st.sampled_from([0, 0, 100_000, 300_000])),
    st.tuples(st.just("publish"), st.just(False), st.just(0)),
    st.tuples(st.just("deliver"), st.integers(1, 4)),
    st.tuples(st.just("flush")),
    st.tuples(st.just("repair")),
    st.tuples(st.just("arrive"), _members),
    st.tuples(st.just("snapshot"), _members),
    st.tuples(st.just("settle"), _members),
    st.tuples(st.just("leave"), _members),
)


@hypothesis.settings(max_examples=400, deadline=None)
@given(st.integers(0, 5), st.lists(_steps, max_size=60))
def test_everybody_gets_everything_behind_the_snapshot_once_and_in_order(
    start: int, steps: list[tuple[object, ...]]
) -> None:
    world = Interleaving(start)
    for name, *arguments in steps:
        getattr(world, str(name))(*arguments)
    world.finish()
    assert world.room.position == Position(EPOCH, world.published)
    for number, (member, inbox) in enumerate(world.members):
        seqs, floor = inbox.seqs, world.floors.get(number)
        if floor is None:
            assert seqs == []
        elif inbox.closed:
            assert seqs == list(range(floor + 1, floor + 1 + len(seqs)))
        else:
            assert seqs == list(range(floor + 1, world.published + 1))
            assert member in world.room.members
            assert not world.room._arriving
