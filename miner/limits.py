"""What keeps one caller from taking what belongs to the others."""

from __future__ import annotations

import collections
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at_s: float


class TokenBuckets:
    """A token bucket per key. Keys are proven hotkeys with a permit, so there are few."""

    def __init__(self, rate_per_s: float, burst: int, clock_s: Callable[[], float]) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._clock_s = clock_s
        self._buckets: dict[str, _Bucket] = {}

    def take(self, key: str) -> bool:
        """Take one token; False if there is none."""
        now_s = self._clock_s()
        bucket = self._buckets.setdefault(key, _Bucket(self._burst, now_s))
        bucket.tokens = min(self._burst, bucket.tokens + (now_s - bucket.filled_at_s) * self._rate_per_s)
        bucket.filled_at_s = now_s
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


class Slots:
    """At most `limit` at a time per key; keys without a slot in use take no memory."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used: collections.Counter[str] = collections.Counter()

    def acquire(self, key: str) -> bool:
        """Take a slot; False if all are taken."""
        if self._used[key] >= self._limit:
            return False
        self._used[key] += 1
        return True

    def release(self, key: str) -> None:
        """Give a slot back."""
        self._used[key] -= 1
        if not self._used[key]:
            del self._used[key]

    def total(self) -> int:
        """Return the number of slots in use."""
        return self._used.total()
