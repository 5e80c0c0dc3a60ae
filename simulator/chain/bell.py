"""A bell that a subscription rings when a node speaks of a new block. It says when to look, and never what there is."""

from __future__ import annotations

import asyncio

from simulator.recorded import Clock


class Bell:
    """Rung by any number of subscriptions, heard by any number of readers."""

    def __init__(self) -> None:
        self.attended = asyncio.Event()  # set while a subscription stands that would ring it
        self._next = asyncio.Event()
        self._subscriptions = 0
        self._last: object = None

    @property
    def next_ring(self) -> asyncio.Event:
        """The ring to come. Whoever takes it before looking misses nothing that happens while it looks."""
        return self._next

    def attend(self, *, stands: bool) -> None:
        """Note that a subscription stands, or that one has fallen."""
        self._subscriptions += 1 if stands else -1
        if self._subscriptions:
            self.attended.set()
        else:
            self.attended.clear()

    def ring(self, head: object) -> None:
        """Wake all who wait, once for each head: several nodes tell of the same."""
        if head is not None and head == self._last:
            return
        self._last = head
        self._next.set()
        self._next = asyncio.Event()


async def ring_or_sleep(ring: asyncio.Event, clock: Clock, seconds: float) -> bool:
    """Wait for a ring, but not longer than some seconds; return whether it rang."""
    waits = [asyncio.ensure_future(wait) for wait in (ring.wait(), clock.sleep(seconds))]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
    return ring.is_set()
