"""Rate limits, as pure arithmetic on a clock that the caller gives."""

from __future__ import annotations

from collections import OrderedDict


class TokenBucket:
    """A token bucket: `rate_per_s` tokens flow in, `burst` of them fit, one command takes one."""

    __slots__ = ("_burst", "_rate_per_s", "_tokens", "_updated_s")

    def __init__(self, rate_per_s: float, burst: int, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._tokens = float(burst)
        self._updated_s = now_s

    def take(self, now_s: float) -> float:
        """Take one token. Returns 0, or the seconds until there will be one (then nothing is taken)."""
        self._tokens = min(self._burst, self._tokens + (now_s - self._updated_s) * self._rate_per_s)
        self._updated_s = now_s
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self._rate_per_s


class SlidingCount:
    """How many events happened in the last `window_s` seconds, counted up to `limit`."""

    __slots__ = ("_limit", "_times_s", "_window_s")

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._times_s: list[float] = []

    def add(self, now_s: float) -> bool:
        """Count one event; true when the limit is reached within the window."""
        self._times_s.append(now_s)
        if len(self._times_s) > self._limit:
            del self._times_s[0]
        return len(self._times_s) == self._limit and now_s - self._times_s[0] <= self._window_s


class BucketPerCaller:
    """A token bucket for each of the last `size` callers; the one unseen longest is forgotten first."""

    def __init__(self, rate_per_s: float, burst: int, size: int = 10_000) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._size = size
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, caller: str, now_s: float) -> float:
        """As `TokenBucket.take`, for this caller."""
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._buckets[caller] = TokenBucket(self._rate_per_s, self._burst, now_s)
            if len(self._buckets) > self._size:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(caller)
        return bucket.take(now_s)
