"""Weights, epoch after epoch: computed from stored reputations, set through the chain, read back, stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Protocol

from db.records import WeightSet as StoredWeightSet
from db.store import Store
from protocol.errors import ChainError
from validator.progress import Observer, Trouble, WeightsWritten
from validator.standings import stored_weights
from validator.weight_setter import Wait, WeightSet, WeightSetter

SUBTENSOR_BLOCK_S = 12.0


class BlockClock(Protocol):
    """Lets subtensor blocks pass."""

    async def wait_blocks(self, blocks: int) -> None: ...


class WallBlockClock:
    """Blocks of the real chain, by the machine's clock."""

    def __init__(self, block_s: float = SUBTENSOR_BLOCK_S) -> None:
        self._block_s = block_s

    async def wait_blocks(self, blocks: int) -> None:
        """Return after the nominal time of this many blocks."""
        await asyncio.sleep(blocks * self._block_s)


class WeightsService:
    """Steps the weight setter whenever enough blocks have passed. A chain that fails is tried again later."""

    def __init__(
        self, setter: WeightSetter, store: Store, clock: BlockClock, observe: Observer, *, netuid: int
    ) -> None:
        self._setter = setter
        self._store = store
        self._clock = clock
        self._observe = observe
        self._netuid = netuid

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            try:
                blocks = await self.step()
            except ChainError as error:
                self._observe(Trouble(f"weights were not set: {error}"))
                blocks = 1
            await self._clock.wait_blocks(blocks)

    async def run_beside(self, rounds: Awaitable[None], stop: asyncio.Event) -> None:
        """Run while the rounds do. If the weights fail for good the rounds are stopped, and the failure is raised."""
        setting = asyncio.create_task(self.run(), name="weights")
        setting.add_done_callback(lambda _: stop.set())
        try:
            await rounds
        finally:
            setting.cancel()
            outcomes = await asyncio.gather(setting, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def step(self) -> int:
        """Set weights if they are due; return how many blocks to let pass."""
        jobs = await self._store.list_jobs(active_only=True)
        outcome = await self._setter.step(await stored_weights(self._store, jobs))
        if isinstance(outcome, Wait):
            return max(1, outcome.blocks)
        await self._record(outcome)
        return 1

    async def _record(self, result: WeightSet) -> None:
        weights = {int(uid): weight for uid, weight in zip(result.uids, result.weights, strict=True)}
        await self._store.add_weight_set(
            StoredWeightSet(
                netuid=self._netuid,
                block=result.block,
                epoch_index=result.epoch_index,
                weights=json.dumps(weights, sort_keys=True),
                included=result.included,
                read_back_ok=result.read_back_ok,
                message=result.message,
            )
        )
        total = sum(weights.values()) or 1
        self._observe(
            WeightsWritten(
                block=result.block,
                epoch_index=result.epoch_index,
                weights={uid: weight / total for uid, weight in weights.items()},
                is_confirmed=result.included and result.read_back_ok,
                message=result.message,
            )
        )
