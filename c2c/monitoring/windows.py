"""Maintenance windows: when checks run and incidents don't. Pure: no Redis, no clock but the time that is given."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from c2c.times import iso8601

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ONCE_DAYS_MAX: Final = 90
DURATION_MINUTES_MAX: Final = 7 * 24 * 60
KEPT_MS: Final = 7 * 86_400_000
_MINUTE_MS: Final = 60_000
_DAY, _MS = timedelta(days=1), timedelta(milliseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# How far ahead an end is looked for.
_HORIZON: Final = timedelta(days=60)
_YEARS: Final = range(2000, 2200)


def _instant(text: str) -> str:
    """ISO 8601 with an offset, as UTC with milliseconds."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError("instant", "is a time in ISO 8601 like 2026-01-02T03:04:00+09:00") from None
    if moment.tzinfo is None:
        raise PydanticCustomError("instant", "needs an offset from UTC, or Z")
    if moment.year not in _YEARS:
        raise PydanticCustomError("instant", "lies between the years 2000 and 2199")
    return iso8601(_ms(moment))


@cache
def _zone_names() -> frozenset[str]:
    """The names of the IANA database, and not what else a system keeps beside it (`right/…` counts leap seconds)."""
    return frozenset((files("tzdata") / "zones").read_text(encoding="utf-8").split())


def _zone(name: str) -> str:
    if name not in _zone_names():
        raise PydanticCustomError("zone", "is a time zone's IANA name like Asia/Seoul")
    return name


def _in_order(days: list[str]) -> list[str]:
    return sorted(set(days), key=DAYS.index)


Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
EndpointId = Annotated[str, Field(min_length=1, max_length=64)]
Instant = Annotated[str, Field(max_length=64), AfterValidator(_instant)]


class Definition(BaseModel):
    """What all windows have; untrusted. `endpointIds`: none means all endpoints."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    title: Annotated[str, Field(max_length=200)] = ""
    endpointIds: Annotated[list[EndpointId], Field(max_length=100)] = Field(default_factory=list)


class OnceDefinition(Definition):
    """From one moment to another, 90 days at most."""

    start: Instant
    end: Instant

    @field_validator("end")
    @classmethod
    def _check_end(cls, end: str, info: ValidationInfo) -> str:
        start = info.data.get("start")  # missing if that is wrong already
        if start is not None:
            length = datetime.fromisoformat(end) - datetime.fromisoformat(start)
            if not timedelta(0) < length <= timedelta(days=ONCE_DAYS_MAX):
                raise PydanticCustomError("span", f"comes after start, {ONCE_DAYS_MAX} days later at most")
        return end


class WeeklyDefinition(Definition):
    """On days of the week, from a time on that zone's clocks on, for a number of elapsed minutes, a week at most."""

    days: Annotated[list[Day], Field(min_length=1, max_length=7), AfterValidator(_in_order)]
    time: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    durationMinutes: Annotated[int, Field(ge=1, le=DURATION_MINUTES_MAX)]
    zone: Annotated[str, AfterValidator(_zone)]


ONCE_FIELDS: Final = frozenset(OnceDefinition.model_fields) - frozenset(Definition.model_fields)
WEEKLY_FIELDS: Final = frozenset(WeeklyDefinition.model_fields) - frozenset(Definition.model_fields)


def definition_model(value: Mapping[str, Any]) -> type[OnceDefinition | WeeklyDefinition]:
    """What a window has to be checked against: weekly if it says anything that only a weekly one has."""
    return OnceDefinition if WEEKLY_FIELDS.isdisjoint(value) else WeeklyDefinition


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in ms of the Redis clock, its end not included. `end_ms` None: without an end in sight."""

    start_ms: int
    end_ms: int | None


@dataclass(frozen=True, slots=True)
class Once:
    """From one moment to another."""

    start_ms: int
    end_ms: int

    def spans(self, from_ms: int) -> Iterator[Span]:
        """What of it ends after a moment."""
        if self.end_ms > from_ms:
            yield Span(self.start_ms, self.end_ms)


@dataclass(frozen=True, slots=True)
class Weekly:
    """Again each week. `days`: 0 = Monday; `wall`: the time on the clocks of `zone`."""

    days: frozenset[int]
    wall: time
    duration_ms: int
    zone: ZoneInfo

    def spans(self, from_ms: int) -> Iterator[Span]:
        """Its stretches that end after a moment, up to the horizon, in order; what overlaps or touches is one. Where
        that goes on for weeks, the start is not the very first one."""
        start_ms = end_ms = None
        for next_ms in self._starts(from_ms):
            if end_ms is None or start_ms is None:
                start_ms, end_ms = next_ms, next_ms + self.duration_ms
            elif next_ms <= end_ms:
                end_ms = max(end_ms, next_ms + self.duration_ms)
            else:
                if end_ms > from_ms:
                    yield Span(start_ms, end_ms)
                start_ms, end_ms = next_ms, next_ms + self.duration_ms
        if start_ms is not None:
            yield Span(start_ms, None)  # what comes behind the horizon may touch it

    def _starts(self, from_ms: int) -> Iterator[int]:
        """Every start that may still matter at a moment, up to the horizon, in order."""
        today = datetime.fromtimestamp(from_ms / 1000, self.zone).date()
        # One day more than its duration: a day may have 25 hours, and a zone may have left one out.
        day = today - timedelta(milliseconds=self.duration_ms) - 2 * _DAY
        while day <= today + _HORIZON:
            if day.weekday() in self.days:
                yield start_on(day, self.wall, self.zone)
            day += _DAY


def start_on(day: date, wall: time, zone: ZoneInfo) -> int:
    """The first moment at which a zone's clocks show this time of this day or, where they leave it out, a later one.
    In ms since 1970."""
    naive = datetime.combine(day, wall)
    # PEP 495: of a time that comes twice, fold 0 is the first. Of one that does not come, fold 0 counts by the smaller
    # offset from before the gap and comes out behind it, fold 1 by the one after it and comes out in front of it.
    after, before = (_ms(naive.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    while after - before > 1:
        middle = (before + after) // 2
        if _wall_at(middle, zone) < naive:
            before = middle
        else:
            after = middle
    return after


def _wall_at(ms: int, zone: ZoneInfo) -> datetime:
    return (datetime.fromtimestamp(ms // 1000, zone) + timedelta(milliseconds=ms % 1000)).replace(tzinfo=None)


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // _MS


@dataclass(frozen=True, slots=True)
class Window:
    """A window as the engine uses it. `endpoint_ids`: none means all."""

    window_id: str
    endpoint_ids: frozenset[str]
    schedule: Once | Weekly


def prepare(window: Mapping[str, Any]) -> Window:
    """A stored window, ready to be asked. Raises ValueError for what is none."""
    fields = {name: value for name, value in window.items() if name in ONCE_FIELDS | WEEKLY_FIELDS | {"endpointIds"}}
    definition = definition_model(fields).model_validate(fields)
    schedule: Once | Weekly
    if isinstance(definition, OnceDefinition):
        start, end = datetime.fromisoformat(definition.start), datetime.fromisoformat(definition.end)
        schedule = Once(_ms(start), _ms(end))
    else:
        schedule = Weekly(
            frozenset(DAYS.index(day) for day in definition.days),
            time.fromisoformat(definition.time),
            definition.durationMinutes * _MINUTE_MS,
            ZoneInfo(definition.zone),
        )
    return Window(window["windowId"], frozenset(definition.endpointIds), schedule)


@dataclass(slots=True)
class _Watched:
    """A window, and whether it is active between two moments in ms."""

    window: Window
    active: bool = False
    from_ms: int = 0
    until_ms: float = 0.0

    def look(self, now_ms: int) -> None:
        """See that this moment is one of those."""
        if self.from_ms <= now_ms < self.until_ms:
            return
        span = next(self.window.schedule.spans(now_ms), None)
        self.active = span is not None and span.start_ms <= now_ms
        self.from_ms = now_ms
        if span is None:
            self.until_ms = math.inf
        elif not self.active:
            self.until_ms = span.start_ms
        else:
            # The horizon moves: what has no end in sight is looked at again in a day.
            self.until_ms = now_ms + 86_400_000 if span.end_ms is None else span.end_ms


class Windows:
    """All windows, ready to be asked for one endpoint after the other.

    Who is in maintenance is worked out once and holds until the next window begins or ends.
    """

    def __init__(self, windows: Iterable[Mapping[str, Any]] = ()) -> None:
        self._watched = [_Watched(prepare(window)) for window in windows]
        self._from_ms, self._until_ms = 0, 0.0
        self._all = False
        self._endpoint_ids: frozenset[str] = frozenset()

    def active_for(self, endpoint_id: str, now_ms: int) -> bool:
        """Whether an endpoint is in maintenance at a moment, in ms of the Redis clock. O(1) but at boundaries."""
        if not self._from_ms <= now_ms < self._until_ms:
            self._look(now_ms)
        return self._all or endpoint_id in self._endpoint_ids

    def _look(self, now_ms: int) -> None:
        for each in self._watched:
            each.look(now_ms)
        active = [each.window.endpoint_ids for each in self._watched if each.active]
        self._from_ms = now_ms
        self._until_ms = min((each.until_ms for each in self._watched), default=math.inf)
        self._all = any(not endpoint_ids for endpoint_ids in active)
        self._endpoint_ids = frozenset().union(*active)


def is_forgotten(window: Mapping[str, Any], now_ms: int) -> bool:
    """Whether a stored window is one-off and ended a week ago. Times in UTC sort as their texts do."""
    return "end" in window and window["end"] < iso8601(now_ms - KEPT_MS)


def shown(window: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """A stored window as clients see it: whether it is active, when it ends, and when it begins the next time.

    While it is active, `nextEnd` is its end and `nextStart` the beginning of the time after that; else both are those
    of the next time. None: there is no such moment, or none within 60 days.
    """
    spans = prepare(window).schedule.spans(now_ms)
    span = next(spans, None)
    active = span is not None and span.start_ms <= now_ms
    following = next(spans, None) if active else span
    return {
        **window,
        "active": active,
        "nextStart": None if following is None else iso8601(following.start_ms),
        "nextEnd": None if span is None or span.end_ms is None else iso8601(span.end_ms),
    }


def all_shown(windows: Iterable[Mapping[str, Any]], now_ms: int) -> list[dict[str, Any]]:
    """Stored windows as clients see them: those that are active first, then by when they begin."""
    return sorted([shown(window, now_ms) for window in windows], key=_soonest_first)


def _soonest_first(window: Mapping[str, Any]) -> tuple[bool, bool, str, str]:
    starts = window["nextStart"]
    return not window["active"], starts is None, starts or "", window["windowId"]
