"""Does a devnet do what the record's chain did?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocol.errors import ConfigError
from simulator.chain.devnet import Devnet, PlayedBlock
from simulator.chain.playing import Difference
from simulator.events import SwapEvent


@dataclass(frozen=True, slots=True)
class Verification:
    """What comparing a number of swaps came to; liquidity changes among them are compared, and counted, as well."""

    swaps: int
    mismatches: int
    engine: str
    first: Difference | None


async def verify(devnet: Devnet, swaps: int, on_progress: Callable[[int], None] | None = None) -> Verification:
    """Let a fresh devnet play so many swaps, without the record's empty blocks, and compare each event.

    Raises SimulationError when the pool is not as at the record's opening, ConfigError when the record has no swap.
    """
    if not any(isinstance(event, SwapEvent) for block in devnet.record.blocks for event in block.events):
        raise ConfigError(f"record {devnet.record.name} has no swap to compare; choose another")
    await devnet.check_opening()
    seen = mismatches = 0
    first: Difference | None = None
    while seen < swaps:
        played = await devnet.next_block(skip_empty=True)
        found = _until(played, swaps - seen)
        mismatches += len(found)
        first = first or next(iter(found), None)
        seen = min(seen + len(played.swaps), swaps)
        if on_progress is not None:
            on_progress(seen)
    return Verification(seen, mismatches, devnet.engine, first)


def _until(played: PlayedBlock, swaps: int) -> list[Difference]:
    """Return the block's differences up to its n-th swap."""
    if len(played.swaps) <= swaps:
        return list(played.differences)
    return [item for item in played.differences if item.log_index <= played.swaps[swaps - 1]]
