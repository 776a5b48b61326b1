"""`c2c rooms` and `c2c inspect`: what Redis holds, and what to type in redis-cli to see it.

Reads through the same store as the nodes, so a look sweeps like any other: who is listed is there.
"""

from __future__ import annotations

import asyncio
import shlex
import unicodedata
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic_core import from_json
from rich.console import Console
from rich.table import Table

from c2c.errors import C2CError, RoomNotFound
from c2c.keys import ENDPOINT_COLUMNS, ENDPOINT_PREFIX, MONITOR, MONITOR_COLUMNS, Keys
from c2c.lineups import COLUMNS
from c2c.metrics import Metrics
from c2c.pipeline import Pipeline
from c2c.rooms.lineup import Lineup
from c2c.rooms.monitor import Monitor
from c2c.rooms.presence import HOME, Presence
from c2c.settings import Settings
from c2c.store import RoomInfo, Store
from c2c.users import VISIBLE

_PAGE: Final = 500
_LAST_EVENTS: Final = 10
_DEFAULT_PORT: Final = 6379
_NO_EXPIRY: Final = -1


class RedisAway(Exception):
    """No Redis answers at the URL."""


@dataclass(frozen=True, slots=True)
class Redis:
    """What a look needs: the store, and the pipeline for what no script reads."""

    store: Store
    pipeline: Pipeline
    keys: Keys
    url: str

    async def command(self, *words: str | int) -> Any:
        """Run a command that reads. 1 round trip, shared with all others of the moment."""
        return await self.pipeline.command(*words, read=lambda answer: answer)


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator[Redis]:
    """Connect to `settings.redis_url`. Raises RedisAway."""
    pipeline = Pipeline(settings, Metrics())
    keys = Keys(settings.redis_cluster_keys)
    url = settings.redis_url or ""
    await pipeline.start()
    try:
        if not pipeline.up:
            raise RedisAway(f"no Redis answers at {without_password(url)}")
        yield Redis(Store(pipeline, keys, settings), pipeline, keys, url)
    finally:
        await pipeline.aclose()


# ---- rooms ---------------------------------------------------------------------------------------------------------


async def show_rooms(redis: Redis, console: Console, limit: int) -> None:
    """A line for each room, soonest to expire first. 1 round trip for each 500 rooms, and 2 for each of these."""
    rows: list[Sequence[str]] = []
    for offset in range(0, limit, _PAGE):
        wanted = min(_PAGE, limit - offset)
        ids = await redis.store.list_rooms(offset, wanted)
        found = await asyncio.gather(*[_room_row(redis, room_id) for room_id in ids])
        rows += [row for row in found if row is not None]
        if len(ids) < wanted:
            break
    else:
        console.print(f"Only the first {limit} rooms; more with --limit.", style="dim")
    _print_table(console, "Rooms", ["room", "kind", "members", "seq", "creator", "created", "expires in"], rows)
    _print_by_hand(console, [redis_cli(redis.url, "ZRANGE", redis.keys.rooms(), 0, -1, "WITHSCORES")])


async def _room_row(redis: Redis, room_id: str) -> Sequence[str] | None:
    try:
        info, ttl_ms = await asyncio.gather(
            redis.store.read_room(room_id), redis.command("PTTL", redis.keys.room(room_id))
        )
    except RoomNotFound:  # expired since it was listed
        return None
    return (
        info.room_id,
        info.kind,
        str(len(info.members)),
        str(info.position.seq),
        info.creator,
        _local_time(info.created_at_ms),
        _seconds(ttl_ms),
    )


# ---- one room ------------------------------------------------------------------------------------------------------


async def show_room(redis: Redis, console: Console, room_id: str) -> None:
    """All of a room. Raises RoomNotFound. 3 round trips."""
    room_id = unicodedata.normalize("NFC", room_id)
    info = await redis.store.read_room(room_id)
    keys, command = redis.keys, redis.command
    presence = await redis.store.users.statuses(HOME, info.members)
    connections, leases, time, entries, *ttls = await asyncio.gather(
        command("HGETALL", keys.connections(room_id)),
        command("ZRANGE", _leases_key(keys, info), 0, -1, "WITHSCORES"),
        command("TIME"),
        command("XREVRANGE", keys.log(room_id), "+", "-", "COUNT", _LAST_EVENTS),
        *[command("PTTL", key) for key in _room_keys(keys, info)],
    )
    now_ms = int(time[0]) * 1000 + int(time[1]) // 1000
    _show_head(redis, console, info)
    _show_members(redis, console, info, presence, _pairs(connections))
    _show_leases(redis, console, info, _pairs(leases), now_ms)
    _show_events(redis, console, room_id, entries)
    _show_keys(redis, console, info, ttls)


def _show_head(redis: Redis, console: Console, info: RoomInfo) -> None:
    rows = [
        ("room", info.room_id),
        ("kind", info.kind),
        ("title", _printable(info.title)),
        ("creator", info.creator),
        ("created", _local_time(info.created_at_ms)),
        ("epoch", info.position.epoch),
        ("seq", str(info.position.seq)),
        ("members", str(len(info.members))),
    ]
    _print_table(console, f"Room {info.room_id}", ["field", "value"], rows)
    _print_by_hand(console, [redis_cli(redis.url, "HGETALL", redis.keys.room(info.room_id))])


def _show_members(
    redis: Redis, console: Console, info: RoomInfo, presence: Mapping[str, str], connections: Mapping[str, str]
) -> None:
    rows = [(user, presence[user], connections.get(user, "0")) for user in info.members]
    _print_table(console, "Members", ["user", "presence", "connections"], rows)
    user = info.members[0] if info.members else "<user>"
    _print_by_hand(
        console,
        [
            redis_cli(redis.url, "SMEMBERS", redis.keys.members(info.room_id)),
            redis_cli(redis.url, "HGETALL", redis.keys.connections(info.room_id)),
            redis_cli(redis.url, "GET", redis.keys.presence(user)),
            redis_cli(redis.url, "HGETALL", redis.keys.session(user)),
        ],
    )


def _show_leases(redis: Redis, console: Console, info: RoomInfo, leases: Mapping[str, str], now_ms: int) -> None:
    rows = [(*lease.rsplit("/", 1), _seconds(int(float(deadline)) - now_ms)) for lease, deadline in leases.items()]
    _print_table(console, "Leases", ["user", "connection", "left"], rows)
    _print_by_hand(console, [redis_cli(redis.url, "ZRANGE", _leases_key(redis.keys, info), 0, -1, "WITHSCORES")])


def _show_events(redis: Redis, console: Console, room_id: str, entries: Iterable[Any]) -> None:
    rows = [_event_row(entry[1][1]) for entry in reversed(list(entries))]
    _print_table(console, f"Last {_LAST_EVENTS} events", ["seq", "timestamp", "t", "event"], rows)
    log_key = redis.keys.log(room_id)
    _print_by_hand(
        console,
        [
            redis_cli(redis.url, "XREVRANGE", log_key, "+", "-", "COUNT", _LAST_EVENTS),
            redis_cli(redis.url, "SUBSCRIBE", redis.keys.channel(room_id)),
        ],
    )


def _event_row(event: bytes) -> Sequence[str]:
    fields: dict[str, Any] = from_json(event)
    head = [str(fields.pop(name, "")) for name in ("seq", "timestamp", "t")]
    for name in ("epoch", "roomId"):
        fields.pop(name, None)
    return (*head, _printable(" ".join(f"{name}={value}" for name, value in fields.items())))


def _show_keys(redis: Redis, console: Console, info: RoomInfo, ttls: Sequence[int]) -> None:
    names = _room_keys(redis.keys, info)
    rows = [(name, _seconds(ttl)) for name, ttl in zip(names, ttls, strict=True)]
    _print_table(console, "Keys", ["key", "expires in"], rows)
    _print_by_hand(console, [redis_cli(redis.url, "TTL", names[0])])


def _leases_key(keys: Keys, info: RoomInfo) -> str:
    """In the room of who is signed in, connections are in by signing in."""
    return (keys.signed_in if info.kind == Presence.name else keys.leases)(info.room_id)


def _room_keys(keys: Keys, info: RoomInfo) -> list[str]:
    room_id = info.room_id
    common = [keys.room(room_id), keys.members(room_id), _leases_key(keys, info)]
    common += [keys.connections(room_id), keys.log(room_id)]
    if info.kind == Presence.name:
        by_status = [keys.with_status(room_id, status) for status in VISIBLE]
        makers = [keys.profiles, keys.places, keys.seen, keys.changed, keys.hours, keys.days]
        makers += [keys.chosen, keys.idle, keys.idlers]
        return [*common, *by_status, *[make(room_id) for make in makers]]
    if info.kind == Lineup.name:
        return [*common, *[keys.lineup(room_id, column) for column in (*COLUMNS, "editing")]]
    if room_id == MONITOR:
        return [*common, *[keys.monitor(column) for column in MONITOR_COLUMNS]]
    if info.kind == Monitor.name:
        endpoint_id = room_id.removeprefix(ENDPOINT_PREFIX)
        return [*common, *[keys.endpoint(endpoint_id, column) for column in ENDPOINT_COLUMNS]]
    return [*common, keys.messages(room_id)]


# ---- showing -------------------------------------------------------------------------------------------------------


def make_console() -> Console:
    """Writes to stdout. No markup: room ids and texts are people's, and may hold brackets."""
    return Console(markup=False, highlight=False, emoji=False)


def _print_table(console: Console, title: str, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table for people; a title line and tab-separated lines where the output goes to a program."""
    if not console.is_terminal:
        lines = [f"# {title}", "\t".join(headers), *["\t".join(row) for row in rows]]
        console.file.write("\n".join(lines) + "\n")
        return
    table = Table(title=title, title_justify="left", title_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _print_by_hand(console: Console, commands: Iterable[str]) -> None:
    for command in commands:
        console.print(f"$ {command}", style="dim", soft_wrap=True)
    console.print()


def redis_cli(url: str, *words: str | int) -> str:
    """The redis-cli command line for a Redis URL. A password is left out: redis-cli asks for it."""
    parts = urlsplit(url)
    options = ["redis-cli"]
    if parts.scheme == "unix":
        options += ["-s", parts.path]
    elif parts.hostname not in (None, "127.0.0.1", "localhost"):
        options += ["-h", str(parts.hostname)]
    if parts.scheme != "unix":
        options += ["-p", str(parts.port or _DEFAULT_PORT)]
        if parts.path.strip("/") not in ("", "0"):
            options += ["-n", parts.path.strip("/")]
    if parts.scheme == "rediss":
        options.append("--tls")
    if parts.username:
        options += ["--user", unquote(parts.username)]
    if parts.password:
        options.append("--askpass")
    return shlex.join([*options, *map(str, words)])


def without_password(url: str) -> str:
    """A URL that may be shown."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{parts.netloc.rpartition('@')[2]}"))


def _pairs(flat: Sequence[bytes]) -> dict[str, str]:
    """What Redis answers as name, value, name, value."""
    words = [word.decode() for word in flat]
    return dict(zip(words[::2], words[1::2], strict=True))


def _seconds(ms: int) -> str:
    if ms < 0:
        return "never" if ms == _NO_EXPIRY else "-"
    return f"{ms / 1000:.1f} s"


def _local_time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000).astimezone().isoformat(sep=" ", timespec="seconds")


def _printable(text: str) -> str:
    """Text without control characters: an escape sequence in a message is not for our terminal."""
    return "".join(" " if unicodedata.category(character)[0] == "C" else character for character in text)


def explain(error: C2CError, room_id: str) -> str:
    """One line about an error, for the person at the terminal."""
    if isinstance(error, RoomNotFound):
        return f"Redis holds no room {room_id}"
    return f"Redis answers with an error: {error.code}"
