"""Every Redis key and channel, in one place.

`docs/redis.md` says what each holds. In Redis Cluster a room's keys (and a user's) must share a slot, so the id
stands in braces there (Redis Cluster specification, "Hash tags"); everywhere else names are plain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# The room of all that is monitored, and what the ids of the rooms of one endpoint begin with.
MONITOR: Final = "all-endpoints"
ENDPOINT_PREFIX: Final = "endpoint:"
MONITOR_COLUMNS: Final = (
    *("due", "claims", "fences", "targets", "endpoints", "states", "summaries", "push-tokens", "incidents"),
    *("incident-times", "open", "acknowledged", "windows", "webhooks", "webhook-outcomes", "deliveries"),
    *("delivery-bodies", "nodes"),
)
ENDPOINT_COLUMNS: Final = ("results", "hours", "days", "own-incidents")


@dataclass(frozen=True, slots=True)
class Keys:
    """Makes key names; `cluster` puts `{}` round the id. Rooms of endpoints share the slot of `all-endpoints`: each of
    their events stands in both."""

    cluster: bool = False

    def _tag(self, id_: str) -> str:
        if not self.cluster:
            return id_
        return f"{{{MONITOR}}}{id_}" if id_.startswith(ENDPOINT_PREFIX) else f"{{{id_}}}"

    def room(self, room_id: str) -> str:
        """HASH: kind, creator, title, createdAt (ms), epoch, seq."""
        return f"room:{self._tag(room_id)}"

    def members(self, room_id: str) -> str:
        """SET: user ids."""
        return f"room:{self._tag(room_id)}:members"

    def leases(self, room_id: str) -> str:
        """ZSET: `<user>/<connection>` → deadline in ms of the Redis clock."""
        return f"room:{self._tag(room_id)}:leases"

    def connections(self, room_id: str) -> str:
        """HASH: user id → number of leases."""
        return f"room:{self._tag(room_id)}:connections"

    def log(self, room_id: str) -> str:
        """STREAM: entry `<seq>-0`, field `e`, the event's JSON."""
        return f"room:{self._tag(room_id)}:log"

    def messages(self, room_id: str) -> str:
        """STREAM: entry `<seq>-0` for each logged event that is part of the room's history; bodies are in the log."""
        return f"room:{self._tag(room_id)}:messages"

    def dedupe(self, room_id: str, user_id: str, command_id: str) -> str:
        """STRING: `<epoch>:<seq>`, the answer to give again."""
        return f"room:{self._tag(room_id)}:dedupe:{user_id}:{command_id}"

    def channel(self, room_id: str) -> str:
        """PUB/SUB channel of a room. Channels have no slot, so the name is plain in a Cluster too."""
        return f"chan:{room_id}"

    # Of rooms that are about who is signed in

    def signed_in(self, room_id: str) -> str:
        """ZSET: `<user>/<connection>` → deadline in ms of the Redis clock."""
        return f"room:{self._tag(room_id)}:signed-in"

    def profiles(self, room_id: str) -> str:
        """HASH: user id → `{"username":…,"avatar":…}`."""
        return f"room:{self._tag(room_id)}:profiles"

    def places(self, room_id: str) -> str:
        """HASH: user id → the room that the user entered last."""
        return f"room:{self._tag(room_id)}:places"

    def seen(self, room_id: str) -> str:
        """ZSET: user id → when their status changed last, in ms of the Redis clock."""
        return f"room:{self._tag(room_id)}:seen"

    def with_status(self, room_id: str, status: str) -> str:
        """ZSET: ids of the users who are seen with a status, all with score 0: sorted by id."""
        return f"room:{self._tag(room_id)}:presence:{status}"

    def changed(self, room_id: str) -> str:
        """ZSET: user id → since when others have yet to be told of a change, in ms of the Redis clock."""
        return f"room:{self._tag(room_id)}:changed"

    def chosen(self, room_id: str) -> str:
        """HASH: user id → the status that the user chose, unless it is online."""
        return f"room:{self._tag(room_id)}:chosen"

    def idle(self, room_id: str) -> str:
        """SET: `<user>/<connection>` of those at which nobody is."""
        return f"room:{self._tag(room_id)}:idle"

    def idlers(self, room_id: str) -> str:
        """HASH: user id → number of idle connections."""
        return f"room:{self._tag(room_id)}:idlers"

    def hours(self, room_id: str) -> str:
        """HASH: `YYYY-MM-DDTHH` → `<peak> <ms measured> <users × ms>`."""
        return f"room:{self._tag(room_id)}:hours"

    def days(self, room_id: str) -> str:
        """HASH: `YYYY-MM-DD` → the same."""
        return f"room:{self._tag(room_id)}:days"

    # Of line-ups

    def lineup(self, room_id: str, column: str) -> str:
        """By column: `order` ZSET of row ids · HASHes by row id: `rows` (the imported fields as JSON), `numbers`,
        `versions`, `editors`, `row-memos` (memo ids, one a line) · HASHes by memo id: `memos` (JSON), `memo-rows` ·
        `groups` HASH: number → rows · `log-days` HASH: day → first seq · `editing` HASH: lease → deadline and mark."""
        return f"room:{self._tag(room_id)}:{column}"

    def undo(self, room_id: str, user_id: str) -> str:
        """LIST: a user's own last edits, newest first; each is lines of row, cell, before, after."""
        return f"room:{self._tag(room_id)}:undo:{user_id}"

    # Of monitoring

    def monitor(self, column: str) -> str:
        """By column, of `all-endpoints`. ZSETs of ids: `due` → ms, `incident-times` → ms, `deliveries` → ms · HASHes by
        endpoint id: `claims` (`<slot ms> <node>`), `fences`, `targets` (`<lease ms> <host>`), and as JSON `endpoints`,
        `states`, `summaries` · HASHes by their ids: `incidents`, `acknowledged`, `windows`, `webhooks`,
        `webhook-outcomes`, all JSON, `delivery-bodies` (`<attempts> <JSON>`) · `push-tokens` HASH: digest → endpoint id
        · `nodes` HASH: node id → `<ms> <report>` · `open` SET: incident ids."""
        return f"room:{self._tag(MONITOR)}:{column}"

    def endpoint(self, endpoint_id: str, column: str) -> str:
        """By column, of one endpoint: `results` STREAM · `hours` and `days` HASHes · `own-incidents` ZSET: id → ms."""
        return f"room:{self._tag(ENDPOINT_PREFIX + endpoint_id)}:{column}"

    # Of users

    def presence(self, user_id: str) -> str:
        """STRING with a TTL: online, away, busy; offline for who is here and does not want to be seen."""
        return f"user:{self._tag(user_id)}:presence"

    def session(self, user_id: str) -> str:
        """HASH: username, avatar, roomId, joinedAt, lastSeen, node, and the status that the user chose."""
        return f"user:{self._tag(user_id)}:session"

    def starred(self, user_id: str) -> str:
        """SET: ids of the users whom this user has starred."""
        return f"user:{self._tag(user_id)}:starred"

    def rooms(self) -> str:
        """ZSET: room id → when the room expires (ms of the Redis clock, +inf: never)."""
        return "rooms"

    def node_channel(self, node_id: str) -> str:
        """PUB/SUB channel that a node hears only itself on."""
        return f"node:{node_id}"


CHANNEL_PREFIX = "chan:"


def room_of_channel(channel: bytes) -> str:
    """The room id of a room's channel, `chan:<id>`."""
    return channel[len(CHANNEL_PREFIX) :].decode()
