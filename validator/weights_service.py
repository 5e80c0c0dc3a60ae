"""Weights, epoch after epoch: computed from stored reputations, set through the chain, read back, stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Protocol

from db.records import WeightSet as StoredWeightSet
from db.store import Store
from protocol.errors import ChainError, ConfigError, StoreError
from validator.metagraph import Metagraph, miners
from validator.progress import Observer, Trouble, WeightsWritten
from validator.standings import stored_weights
from validator.weight_setter import Epoch, Wait, WeightSet, WeightSetter, WeightSettings, start_up_warnings
from validator.weight_vector import WeightLimits

# Sent with every weight vector; a subnet may demand a minimum of it. Two validators whose scores of one round can
# differ must not share it: raise it with every change of the scoring, of the reputation or of the weights.
SCORING_VERSION = 1

SUBTENSOR_BLOCK_S = 12.0
CONFIRM_BLOCKS = 5  # what would end the validator is asked for a second time, so much later
RETRY_MAX_BLOCKS = 8  # well inside the window at the end of an epoch
REGISTRATION_BLOCKS = 25  # five minutes between two looks at our own seat


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


class Subnet(Protocol):
    """What is asked of the chain beside the setting of weights."""

    async def uid(self) -> object: ...

    async def epoch(self) -> Epoch: ...

    async def limits(self) -> WeightLimits: ...

    async def metagraph(self) -> Metagraph: ...


class WeightsService:
    """Steps the weight setter whenever enough blocks have passed."""

    def __init__(
        self, setter: WeightSetter, store: Store, clock: BlockClock, observe: Observer, *, netuid: int
    ) -> None:
        self._setter = setter
        self._store = store
        self._clock = clock
        self._observe = observe
        self._netuid = netuid

    async def run(self) -> None:
        """Run until cancelled, or until the chain confirms that our hotkey cannot set weights here (ConfigError)."""
        await repeat(self.step, self._clock, self._observe)

    async def run_beside(self, rounds: Awaitable[None], stop: asyncio.Event) -> None:
        """Run while the rounds do. If the weights fail for good the rounds are stopped, and the failure is raised."""
        await run_beside(self.run(), rounds, stop)

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


class RegistrationWatch:
    """Looks after our seat where no weights are set: without one, miners would refuse us round after round."""

    def __init__(self, chain: Subnet, clock: BlockClock, observe: Observer) -> None:
        self._chain = chain
        self._clock = clock
        self._observe = observe

    async def run_beside(self, rounds: Awaitable[None], stop: asyncio.Event) -> None:
        """Run while the rounds do. If our hotkey loses its seat the rounds are stopped, and ConfigError is raised."""
        await run_beside(repeat(self._step, self._clock, self._observe), rounds, stop)

    async def _step(self) -> int:
        await self._chain.uid()
        return REGISTRATION_BLOCKS


async def repeat(step: Callable[[], Awaitable[int]], clock: BlockClock, observe: Observer) -> None:
    """Take a step, let pass as many blocks as it says, and so on, until cancelled.

    A chain or a database that fails is told and tried again. What only the operator could change, a lost registration
    above all, is asked for twice before it is believed, and then raised: one lagging node must not end a validator.
    """
    failures, is_doubtful = 0, False
    while True:
        try:
            blocks = await step()
            failures, is_doubtful = 0, False
        except (ChainError, StoreError) as error:
            blocks = min(2**failures, RETRY_MAX_BLOCKS)
            failures = min(failures + 1, RETRY_MAX_BLOCKS)
            observe(Trouble(f"weights: {error}; tried again in {blocks} blocks"))
        except ConfigError as error:
            if is_doubtful:
                raise
            is_doubtful, blocks = True, CONFIRM_BLOCKS
            observe(Trouble(f"{error}; asked again in {blocks} blocks, then the validator ends"))
        await clock.wait_blocks(blocks)


async def run_beside(background: Awaitable[None], rounds: Awaitable[None], stop: asyncio.Event) -> None:
    """Await the rounds with a task beside them. If the task fails the rounds are stopped, and its failure is raised."""
    beside = asyncio.ensure_future(background)
    beside.add_done_callback(lambda _: stop.set())
    try:
        await rounds
    finally:
        beside.cancel()
        outcomes = await asyncio.gather(beside, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


async def warn_at_start(
    chain: Subnet, own_hotkey: str, settings: WeightSettings, observe: Observer, *, netuid: int
) -> None:
    """Tell what will keep weights from being set. A chain that cannot be asked now is asked in its time."""
    try:
        limits, epoch, graph = await chain.limits(), await chain.epoch(), await chain.metagraph()
    except ChainError as error:
        observe(Trouble(f"the subnet's rules could not be read: {error}"))
        return
    lines = start_up_warnings(
        limits,
        epoch,
        settings,
        miners=len(miners(graph, own_hotkey)),
        version_key=SCORING_VERSION,
        netuid=netuid,
    )
    own = graph.by_hotkey(own_hotkey)
    if own is not None and not own.validator_permit:
        lines = (*lines, f"hotkey {own_hotkey} has no validator permit on subnet {netuid}: it needs more stake")
    for line in lines:
        observe(Trouble(line))
