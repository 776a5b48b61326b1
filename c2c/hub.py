"""The rooms that are on this node: joining, leaving, passing events on, and repairing what was missed.

`LocalRoom` decides; the hub does the waiting. Its three jobs:

join     subscribe → confirmed → join script → snapshot or missed events → what came meanwhile → live
deliver  next in order: pass on; behind a gap: read the gap from the log first; another epoch: new state for everybody
observe  a renewal says where the room stands in Redis: if we are behind and stay behind, something was lost silently
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Iterable
from typing import Any, Final, Protocol

from pydantic_core import from_json

from c2c.calls import lease_of
from c2c.codec import Codec
from c2c.errors import C2CError, RoomExists, RoomNotFound, ServiceUnavailable
from c2c.events import Position, Since
from c2c.fanout import LocalRoom, Member, Verdict
from c2c.metrics import Metrics
from c2c.outbox import Outbox
from c2c.relay import Relay
from c2c.rooms.base import Entrance, Kinds, Snapshot
from c2c.rooms.presence import HOME
from c2c.settings import Settings
from c2c.store import Store
from c2c.tasks import end_tasks
from c2c.users import Profile

log = logging.getLogger("c2c.hub")

_PAGE: Final = 500
_LATE_S: Final = 0.25
_ATTEMPTS: Final = 20
_REPAIR_WAIT_S: Final = 0.05
_TOGETHER: Final = 100
_RETRY_S: Final = 0.5
_REST_FACTOR: Final = 2.0
_REST_MAX_S: Final = 0.025


class Peer(Protocol):
    """What the hub needs to know of a connection."""

    @property
    def connection_id(self) -> str: ...

    @property
    def profile(self) -> Profile: ...

    @property
    def outbox(self) -> Outbox: ...


class Hub:
    """All rooms with a member on this node."""

    def __init__(
        self, settings: Settings, store: Store, relay: Relay, kinds: Kinds, codecs: Iterable[Codec], metrics: Metrics
    ) -> None:
        self._settings = settings
        self._store = store
        self._relay = relay
        self._kinds = kinds
        self._codecs = tuple(codecs)
        self._metrics = metrics
        self._rooms: dict[str, LocalRoom] = {}
        self._peers: dict[Member, Peer] = {}
        self._dirty: set[LocalRoom] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def aclose(self) -> None:
        """Stop all repairs."""
        await end_tasks(self._tasks)

    def local_rooms(self) -> list[LocalRoom]:
        """The rooms with a member here."""
        return list(self._rooms.values())

    def joined_rooms(self) -> list[LocalRoom]:
        """Those in which members have leases: all but homes, which are joined by signing in."""
        homes = self._kinds.homes()
        return [room for room in self._rooms.values() if room.room_id not in homes]

    def position_of(self, room_id: str) -> Position | None:
        """Where a room stands here; None when it is not here."""
        room = self._rooms.get(room_id)
        return room.position if room is not None else None

    def kind_of(self, room_id: str) -> str:
        """The kind of a room that is here."""
        return self._rooms[room_id].kind

    # Joining and leaving

    async def join(self, peer: Peer, room_id: str, since: Since | None, command_id: str | None) -> Member:
        """Bring a connection into a room and send it `joined`, what it missed, and from then on everything.

        Raises RoomNotFound, ServiceUnavailable. 3 round trips, 2 of them shared with everything else of the moment.
        """
        room = self._rooms.get(room_id)
        if room is None:
            room = self._rooms[room_id] = LocalRoom(room_id)
            self._metrics.local_rooms.set(len(self._rooms))
        profile = peer.profile
        member = Member(profile.user_id, peer.connection_id, lease_of(profile.user_id, peer.connection_id), peer.outbox)
        self._peers[member] = peer
        room.arrive(member)
        try:
            await self._relay.subscribe(room_id)
            await self._enter(room, member, since, command_id, forced_reason=None)
        except BaseException as failure:
            self.remove(member, room_id)
            if not isinstance(failure, RoomNotFound):
                # The script may have run all the same: do not leave a member behind who is not there.
                self._spawn(self._abandon(member, room_id))
            raise
        member.kind = room.kind
        self._metrics.room_connections.labels(room.kind).inc()
        return member

    async def leave(self, member: Member, room_id: str) -> None:
        """Take a connection out of a room; the others are told at once."""
        await self._part(member, room_id)
        if room_id not in self._kinds.homes():
            await self._store.leave(room_id, member.user_id, member.connection_id)

    async def drop(self, member: Member, room_id: str) -> None:
        """A member's connection was dropped: it has the grace period to come back."""
        await self._part(member, room_id)
        await self._give_grace(member, room_id)

    async def _part(self, member: Member, room_id: str) -> None:
        self.detach(member, room_id)
        if member.kind:
            await self._kinds[member.kind].part(self._store, room_id, member.user_id, member.connection_id)

    def detach(self, member: Member, room_id: str) -> None:
        """Send a member nothing more, now. Its lease is the caller's business."""
        if member.kind and member in self._peers:
            self._metrics.room_connections.labels(member.kind).dec()
        self.remove(member, room_id)

    def remove(self, member: Member, room_id: str) -> None:
        """Forget a member; a room without any is let go."""
        self._peers.pop(member, None)
        room = self._rooms.get(room_id)
        if room is None:
            return
        room.remove(member)
        if room.empty:
            del self._rooms[room_id]
            self._metrics.local_rooms.set(len(self._rooms))
            self._relay.unsubscribe(room_id)

    async def _abandon(self, member: Member, room_id: str) -> None:
        with contextlib.suppress(C2CError):
            await self._give_grace(member, room_id)

    async def _give_grace(self, member: Member, room_id: str) -> None:
        if room_id not in self._kinds.homes():
            await self._store.shorten_lease(room_id, member.user_id, member.connection_id)

    async def _bring_in(self, room_id: str, peer: Peer) -> Entrance:
        """A connection's way into a room: into a home it came by signing in."""
        home = self._kinds.homes().get(room_id)
        if home is not None:
            return await home.look_in(self._store)
        return Entrance(await self._store.join(room_id, peer.profile, peer.connection_id))

    async def rejoin(self, room_id: str, leases: Iterable[str]) -> None:
        """Bring members back whose lease was swept while their connection stayed open (a node that was stopped)."""
        room = self._rooms.get(room_id)
        wanted = set(leases)
        if room is None:
            return
        for member in [member for member in room.members if member.lease in wanted]:
            peer = self._peers.get(member)
            if peer is None:
                continue
            self._metrics.leases_lost.inc()
            await self._store.join(room_id, peer.profile, peer.connection_id)

    async def _enter(
        self, room: LocalRoom, member: Member, since: Since | None, command_id: str | None, forced_reason: str | None
    ) -> None:
        """From the join script to live. Tried again when the room changes its epoch on the way."""
        for _ in range(_ATTEMPTS):
            peer = self._peers.get(member)
            if peer is None:
                return
            entrance = await self._bring_in(room.room_id, peer)
            joined = entrance.joined
            if member not in self._peers:  # gone meanwhile, and has said goodbye to a lease that we just renewed
                await self._give_grace(member, room.room_id)
                return
            if room.position is None:
                room.kind, room.creator, room.title = joined.kind, joined.creator, joined.title
                self._after(room, room.adopt(joined.position))
            elif room.position.epoch != joined.position.epoch:
                # One of the two is out of date; the log knows which.
                self._repair_soon(room)
                await asyncio.sleep(_REPAIR_WAIT_S)
                continue
            if await self._show(room, member, entrance, since, command_id, forced_reason):
                return
        raise ServiceUnavailable(retryAfterMs=1000)

    async def _show(
        self,
        room: LocalRoom,
        member: Member,
        entrance: Entrance,
        since: Since | None,
        command_id: str | None,
        forced_reason: str | None,
    ) -> bool:
        """Send `joined` and what belongs behind it; false when the room changed its epoch meanwhile."""
        joined, statuses = entrance.joined, entrance.statuses
        position = joined.position
        presence = self._store.users.statuses(HOME, joined.members) if statuses is None else None
        reason, missed, snapshot = await self._content(room.room_id, entrance, since, forced_reason)
        if presence is not None:
            statuses = await presence
        if member not in self._peers:
            return True
        if room.position is None or {position.epoch, snapshot.position.epoch} != {room.position.epoch}:
            return False
        answer: dict[str, Any] = {
            "t": "joined",
            "roomId": room.room_id,
            "kind": joined.kind,
            "me": member.user_id,
            "members": joined.members,
            "presence": statuses,
            "epoch": snapshot.position.epoch,
            "seq": snapshot.position.seq,
            "recovered": since is not None and not reason,
        }
        if command_id is not None:
            answer["id"] = command_id
        if reason:
            answer["reason"] = reason
        if not answer["recovered"]:
            answer["state"] = snapshot.state
        if since is not None or forced_reason:
            self._metrics.resumes.labels(reason or "recovered").inc()
        encoding = member.outbox.encoding
        member.outbox.offer([encoding.encode_message(answer), *[encoding.encode(event) for event in missed]])
        room.settle(member, snapshot.position.seq)
        return True

    async def _content(
        self, room_id: str, entrance: Entrance, since: Since | None, forced_reason: str | None
    ) -> tuple[str | None, list[bytes], Snapshot]:
        """What the newcomer is shown: the events it missed, or a state and the reason for it."""
        joined = entrance.joined
        reason, missed = await self._missed(room_id, joined.position, since)
        reason = forced_reason or reason
        if since is not None and reason is None:
            return None, missed, Snapshot(joined.position, {})
        if entrance.snapshot is not None:
            return reason, [], entrance.snapshot
        return reason, [], await self._kinds[joined.kind].snapshot(self._store, room_id, joined.position)

    async def _missed(self, room_id: str, position: Position, since: Since | None) -> tuple[str | None, list[bytes]]:
        """The events between `since` and `position`, or why they can't be had."""
        if since is None:
            return None, []
        if since.epoch != position.epoch:
            return "epoch", []
        if since.seq > position.seq:
            return "ahead", []
        count = position.seq - since.seq
        if count == 0:
            return None, []
        if count > self._settings.max_resume_events:
            return "trimmed", []
        page = await self._store.read_log(room_id, since.seq, count)
        if page.position.epoch != position.epoch:
            return "epoch", []
        if len(page.events) < count or sum(map(len, page.events)) > self._settings.outbox_bytes // 2:
            return "trimmed", []
        return None, page.events

    # Delivering

    def deliver(self, room_id: str, payload: bytes) -> None:
        """A payload from a room's channel. Never waits; what is passed on is written at the end of this tick."""
        room = self._rooms.get(room_id)
        if room is None:
            return
        try:
            # Anybody with Redis may publish: what is no JSON must not reach a client, whatever it begins like.
            message = from_json(payload, allow_inf_nan=False)
        except ValueError:
            self._metrics.dropped.labels("not JSON").inc()
            return
        verdict = room.offer(payload)
        if verdict is Verdict.NO_EVENT:
            self._deliver_unlogged(room, payload, message)
        else:
            self._after(room, [verdict])

    def replay(self) -> None:
        """The subscription was interrupted: compare every room with its log."""
        for room in self.local_rooms():
            self._repair_soon(room, check_last=True)

    def observe(self, room_id: str, before: Position | None, position: Position) -> None:
        """Where a room stands according to Redis; `before`: where it stood here when Redis was asked.

        What is published just now may still be on its way to us, so a room that is behind is looked at again a moment
        later before its log is read.
        """
        room = self._rooms.get(room_id)
        if room is None or room.position is None or room.repairing:
            return
        rewound = before is not None and before.epoch == position.epoch and position.seq < before.seq
        if rewound or room.position.epoch != position.epoch:
            self._repair_soon(room)
        elif position.seq > room.position.seq:
            asyncio.get_running_loop().call_later(_LATE_S, self._still_behind, room, position)

    def lost(self, room_id: str) -> None:
        """Redis does not know a room that has members here: open it again for them."""
        room = self._rooms.get(room_id)
        if room is not None and room.position is not None:
            self._repair_soon(room)

    def _still_behind(self, room: LocalRoom, position: Position) -> None:
        here = room.position
        if here is not None and here.epoch == position.epoch and here.seq < position.seq:
            self._repair_soon(room)

    def _after(self, room: LocalRoom, verdicts: list[Verdict]) -> None:
        """What to do about what a room made of payloads."""
        for verdict in verdicts:
            if verdict is Verdict.PASSED:
                self._metrics.events.inc()
                self._flush_soon(room)
            elif verdict is Verdict.GAP or verdict is Verdict.OTHER_EPOCH:
                self._repair_soon(room)
            elif verdict is Verdict.CONTRADICTS:
                self._repair_soon(room, check_last=True)

    def _deliver_unlogged(self, room: LocalRoom, payload: bytes, message: object) -> None:
        """Pass on what somebody published by hand if it is a JSON object without seq that every codec can carry."""
        try:
            for codec in self._codecs:
                codec.encode_event(payload)
        except (ValueError, OverflowError):
            message = None
        if not isinstance(message, dict) or "seq" in message or len(payload) > self._settings.outbox_bytes // 2:
            self._metrics.dropped.labels("no event").inc()
            return
        room.pass_unlogged(payload)
        self._metrics.events.inc()
        self._flush_soon(room)

    def _wake(self, room: LocalRoom) -> None:
        room.resting = False
        self._flush_room(room)

    def _flush_soon(self, room: LocalRoom) -> None:
        if room.resting:
            return
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self._flush)
        self._dirty.add(room)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, set()
        for room in dirty:
            try:
                self._flush_room(room)
            except Exception:  # one room's defect must not silence the others
                log.exception("a flush failed")

    def _flush_room(self, room: LocalRoom) -> None:
        """Write what a room has to write, then let it rest for twice as long as that took, 25 ms at most.

        A room of ten takes microseconds and rests as long. One of thousands would keep the loop busy with nothing else;
        what comes while it rests is joined into the next write, which makes each delivery cheaper and the others' wait
        shorter. The first event after a quiet moment never waits.
        """
        started_s = time.monotonic()
        if started_s < room.rests_until_s:
            room.resting = True
            asyncio.get_running_loop().call_later(room.rests_until_s - started_s, self._wake, room)
            return
        self._metrics.deliveries.inc(room.flush())
        ended_s = time.monotonic()
        room.rests_until_s = ended_s + min(_REST_FACTOR * (ended_s - started_s), _REST_MAX_S)
        if room.has_pending:
            self._flush_soon(room)

    # Repairing

    def _repair_soon(self, room: LocalRoom, *, check_last: bool = False) -> None:
        if room.repairing or room.position is None:
            return
        room.repairing = True
        self._spawn(self._repair(room, check_last=check_last))

    async def _repair(self, room: LocalRoom, *, check_last: bool) -> None:
        """Read from the log what this node has not passed on; tried until Redis answers."""
        while self._rooms.get(room.room_id) is room:
            try:
                reason = await self._catch_up(room, check_last=check_last)
            except RoomNotFound:
                reason = "epoch"
            except C2CError:
                await asyncio.sleep(_RETRY_S)
                continue
            room.repairing = False
            if reason is not None:
                self._reset(room, reason)
            else:
                self._release(room)
            return
        room.repairing = False

    async def _catch_up(self, room: LocalRoom, *, check_last: bool) -> str | None:
        """Pass on the log behind the room's position. Returns why that can't be done, or None when it is done.

        `check_last`: first see that the last event passed on still stands in the log as it was. After a restart from an
        older copy another event may have taken its seq, and then nothing behind it can be trusted either.
        """
        assert room.position is not None
        repaired = False
        while True:
            here = room.position
            overlap = 1 if check_last and room.last_event is not None else 0
            page = await self._store.read_log(room.room_id, here.seq - overlap, _PAGE)
            if page.position.epoch != here.epoch:
                return "epoch"
            rewound = page.position.seq < here.seq
            if overlap and not rewound:
                rewound = bool(page.events) and page.events[0] != room.last_event
            if rewound:
                log.warning("room %s went back in time: new epoch", room.room_id)
                await self._store.renew_epoch(room.room_id, here.epoch)
                return "epoch"
            fresh = page.events[overlap:]
            check_last = False
            if len(fresh) < min(page.position.seq - here.seq, _PAGE - overlap):
                return "trimmed"
            for offset, event in enumerate(fresh, start=1):
                room.pass_on(event, Position(here.epoch, here.seq + offset))
            if fresh and not repaired:
                repaired = True
                self._metrics.gaps_repaired.inc()
            self._metrics.events.inc(len(fresh))
            while room.has_pending:
                self._metrics.deliveries.inc(room.flush())
                await asyncio.sleep(0)  # let the transports send
            if room.position.seq >= page.position.seq:
                return None

    def _release(self, room: LocalRoom) -> None:
        """Go on with what came during a repair. What is still ahead of the log then is no event of this log."""
        verdicts = room.release()
        if Verdict.GAP in verdicts or Verdict.OTHER_EPOCH in verdicts:
            self._spawn(self._doubt(room))
        self._after(room, [verdict for verdict in verdicts if verdict is Verdict.PASSED])

    async def _doubt(self, room: LocalRoom) -> None:
        """Payloads claim a position that the log did not have a moment ago: read once more, then drop them."""
        with contextlib.suppress(C2CError):
            position = (await self._store.read_log(room.room_id, 0, 1)).position
            here = room.position
            if here is not None and (position.epoch != here.epoch or position.seq > here.seq):
                self._repair_soon(room)
                return
        self._metrics.dropped.labels("not in the log").inc(room.drop_held())

    def _reset(self, room: LocalRoom, reason: str) -> None:
        """Everybody's state is worth nothing: bring all members in anew and send each the new state."""
        log.warning("room %s: new state for everybody (%s)", room.room_id, reason)
        self._metrics.snapshots.labels(reason).inc()
        known = room.position is not None
        shown = room.forget()
        if known:
            self._spawn(self._restore(room, shown, reason))

    async def _restore(self, room: LocalRoom, members: list[Member], reason: str) -> None:
        for start in range(0, len(members), _TOGETHER):
            batch = [self._restore_member(room, member, reason) for member in members[start : start + _TOGETHER]]
            for result in await asyncio.gather(*batch, return_exceptions=True):
                if isinstance(result, Exception):
                    log.error("a member could not be restored", exc_info=result)

    async def _restore_member(self, room: LocalRoom, member: Member, reason: str) -> None:
        while member in self._peers and not member.outbox.closed:
            try:
                await self._enter(room, member, None, None, reason)
                return
            except RoomNotFound:
                if not self._kinds[room.kind].reopens(room.room_id):
                    member.outbox.offer([member.outbox.encoding.encode_message({"t": "left", "roomId": room.room_id})])
                    self.detach(member, room.room_id)
                    return
                await self._reopen(room)
            except C2CError:
                await asyncio.sleep(_RETRY_S)

    async def _reopen(self, room: LocalRoom) -> None:
        """Open a room again that Redis has lost; another node may have been first."""
        with contextlib.suppress(RoomExists, ServiceUnavailable):
            await self._store.open_room(
                room.room_id,
                room.kind,
                room.creator,
                self._kinds[room.kind].retention,
                title=room.title,
                creator_joins=False,
            )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a repair failed", exc_info=task.exception())
