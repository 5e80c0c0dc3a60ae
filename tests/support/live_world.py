"""Live rounds on a real node: a vault of ours, a validator's service, two miners, and an executor at its side.

Whenever the validator's market waits for a block, the executor works first and then the next block is made: each has
all the time it needs, and nothing depends on how fast the machine is.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from support.anvil_pool import CHAIN_ID
from support.executor_desk import NOW, Office, office
from support.local_miners import LocalMiners, roster
from support.rows import make_finish, make_score, make_start
from support.services import Watch
from support.signed_rounds import MINER_KEYS, UNIT, VALIDATOR_KEY, Decide, answer, keep

from db.job import Job
from db.records import Execution, MinerScore
from db.store import Store
from executor.service import ExecutorService
from protocol.errors import ChainError
from protocol.messages import Position, RebalanceQuery
from simulator.chain.endpoints import Endpoints
from simulator.chain.market import ChainMarket, ChainSettings
from simulator.events import Block
from simulator.market import Market, MarketInfo
from simulator.portfolio import VaultState
from simulator.snapshot import PoolSnapshot
from tideline.guard import gate, guard
from tideline.vaults import vault_source
from validator.job_runner import RunnerContext
from validator.live_round import Patience
from validator.reputation import advance
from validator.service import ServiceSettings, ValidatorService

WINNER, OTHER = MINER_KEYS
JOB = "weth-usdc"
SETTINGS = ChainSettings(block_time_s=2, poll_s=0.01, deadline_s=5, stall_s=300, give_up_s=300, kept_blocks=64)
LENGTH = 12
DAY_S = 86_400


def opens(query: RebalanceQuery) -> bytes:
    """Answer with one position around the price from idle tokens, then keep."""
    if query.current_positions:
        return keep(query)
    wide = Position(tick_lower=-600, tick_upper=600, allocation0=20 * UNIT, allocation1=20 * UNIT)
    return answer(query, (wide,))


def closes(query: RebalanceQuery) -> bytes:
    """Answer with nothing."""
    return answer(query, ())


@dataclass
class LiveWorld:
    """The source of markets, and the clock of their readers."""

    here: Office
    executor: ExecutorService | None = None
    before_block: Callable[[], Awaitable[None]] | None = None
    days_left: int = 0
    steps: int = 0
    patience: Patience = field(default_factory=lambda: Patience(blocks=8, seconds=0.0))
    now: int = NOW  # of the validator's clock; the store's stands still

    async def gate(self, store: Store, chain_id: int, vault: str) -> str | None:
        return await gate(store, chain_id, vault, now=self.now)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let the executor work, then others trade in a block."""
        if self.executor is not None:
            with contextlib.suppress(ChainError):  # a service asks again; here at the next block
                await self.executor.drain()
        if self.before_block is not None:
            await self.before_block()
        self.steps += 1
        chain = self.here.made.chain
        await chain.swap(self.steps % 2 == 0, 60 * UNIT)
        await chain.mine()

    async def __call__(self, job: Job, resume_after: int | None) -> Market:
        endpoints = Endpoints.over_http([self.here.made.chain.anvil.url], chain_id=CHAIN_ID)
        source = await vault_source(endpoints, job, None)
        chain = await ChainMarket.connect(endpoints, job.pair_address, SETTINGS, vault=source, clock=self)
        return DailyMarket(chain, self)


class NoWaiting:
    """An executor's clock with which it stops where it would wait; the next block wakes it."""

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise ChainError("waits for a block", retryable=True)


@dataclass
class DailyMarket:
    """A market whose rounds open a day apart for a while."""

    inner: ChainMarket
    world: LiveWorld

    @property
    def info(self) -> MarketInfo:
        return self.inner.info

    @property
    def vault(self) -> VaultState | None:
        return self.inner.vault

    async def open_round(self, length_blocks: int) -> PoolSnapshot:
        if self.world.days_left:
            self.world.days_left -= 1
            await self.world.here.pass_time(DAY_S)
        return await self.inner.open_round(length_blocks)

    async def next_block(self) -> Block:
        return await self.inner.next_block()

    async def settle(self) -> None:
        await self.inner.settle()

    async def close(self) -> None:
        await self.inner.close()


@asynccontextmanager
async def live_world(url: str, **settings: Any) -> AsyncIterator[LiveWorld]:
    """Yield an office whose job plays live rounds on chain, with its executor."""
    async with office(url) as here:
        changes = {
            "round_duration_seconds": LENGTH * 2,
            "checkpoint_interval_blocks": 4,
            "miner_deadline_seconds": 2,
            "live_mode": "chain",
            "gas_price_wei": 10**9,
            "native_token": "token1",
        }
        await here.store.update_job(JOB, {**changes, **settings})
        world = LiveWorld(here)
        world.executor = here.service(await here.transactor(), clock=NoWaiting())
        yield world


async def validate(world: LiveWorld, *, rounds: int, **decides: Decide) -> Watch:
    """Play so many evaluation rounds with all that runs beside them; return what was told."""
    watch = Watch()
    miners = LocalMiners({WINNER: decides.get("winner", opens), OTHER: keep})
    context = RunnerContext(
        store=world.here.store,
        miners=miners,
        roster=roster(),
        guard=guard_widely,
        gate=world.gate,
        signer=VALIDATOR_KEY,
        observe=watch,
        code_version="test",
        retry_s=0.01,
        patience=world.patience,
    )
    settings = ServiceSettings(poll_s=0.01, restart_s=0.01, max_rounds=rounds)
    async with asyncio.timeout(240):
        await ValidatorService(context, world, settings, holder="holder").run(asyncio.Event())
    return watch


def guard_widely(*arguments: Any) -> str | None:
    """The vault of these tests is large for its pool."""
    refusal = guard(*arguments)
    return None if refusal is None or refusal.startswith("in-range share") else refusal


async def seed_days(world: LiveWorld, *, live_e18: int = 0) -> None:
    """Write the rounds of eight days, each won by the winner, as if they had been played on this chain."""
    store = world.here.store
    head = await world.here.made.chain.head()
    for number in range(1, 9):
        when = head.timestamp - (9 - number) * DAY_S
        start = make_start(number, round_id=f"{JOB}-evaluation-{number}", start_timestamp=when, start_block=number)
        await store.start_round(start)
        scores = [
            make_score(WINNER, 10**15, uid=0, registered_at_block=0),
            make_score(OTHER, 0, uid=1, registered_at_block=0),
        ]
        finish = make_finish(start, *scores, winner_hotkey=WINNER, end_block=number, end_timestamp=when + 24)
        await store.finish_round(finish, advance=advance)
    if live_e18:
        start = make_start(1, round_id=f"{JOB}-live-1", round_type="live", start_timestamp=head.timestamp - DAY_S)
        await store.start_round(start)
        won = make_score(WINNER, live_e18, uid=0, registered_at_block=0)
        await store.finish_round(make_finish(start, won, winner_hotkey=WINNER), advance=advance)


async def reputation(world: LiveWorld) -> MinerScore:
    """Return the winner's."""
    return next(m for m in await world.here.store.reputations(JOB) if m.hotkey == WINNER)


async def intents(world: LiveWorld) -> list[Execution]:
    return await world.here.store.executions(JOB)
