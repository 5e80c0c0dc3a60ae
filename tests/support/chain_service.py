"""A validator service over a real node: a pool that trades while it is watched, and what became of the rounds."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from support.anvil_pool import CHAIN_ID, AnvilPool, anvil_pool
from support.naive_reader import NaiveReader
from support.services import Running, Watch

from db.job import Job, validate_job
from db.store import Store
from protocol.errors import ChainError
from simulator.chain.endpoints import Endpoints
from simulator.chain.market import ChainMarket, ChainSettings
from simulator.events import Block, SwapEvent
from simulator.market import Market
from validator.ports import MarketSource
from validator.progress import RoundClosed, RoundVoided
from validator.verification import check, load

UNIT = 10**18
EDGE = 887220
LENGTH = 12  # blocks of a round
NOBODY = "0x" + "00" * 20
OPENING = {
    "amount0": str(5 * UNIT),
    "amount1": str(5 * UNIT),
    "positions": [{"tick_lower": -6000, "tick_upper": 6000, "amount0": str(4 * UNIT), "amount1": str(4 * UNIT)}],
}
SETTINGS = ChainSettings(
    block_time_s=2, poll_s=0.01, deadline_s=2, stall_s=0.5, give_up_s=2, kept_blocks=16, confirmations=1
)


def chain_job(pool: str, **changes: Any) -> Job:
    """Return a job on a pool of a node, by default with a virtual vault; plans take effect two blocks after an ask."""
    settings: dict[str, Any] = {
        "job_id": "mine",
        "sn_liquidity_manager_address": NOBODY,
        "pair_address": pool,
        "target": "max_value",
        "quote_token": "token1",
        "chain_id": CHAIN_ID,
        "round_duration_seconds": LENGTH * 2,
        "checkpoint_interval_blocks": 4,
        "miner_deadline_seconds": 2,
        "opening": OPENING,
    }
    return validate_job({**settings, **changes})


@asynccontextmanager
async def trading_pool(port: int = 0) -> AsyncIterator[AnvilPool]:
    """Yield a pool with liquidity on a fresh node."""
    async with anvil_pool(tick=100, port=port) as chain:
        await chain.mint(-EDGE, EDGE, 10**21)
        for step in range(-8, 8):
            await chain.mint(step * 300, step * 300 + 600, 10**20 + step)
        await chain.mine()
        yield chain


async def trade(chain: AnvilPool, step: int) -> None:
    """Make a block in which others swap, and now and then add or take liquidity."""
    is_even = step % 2 == 0
    await chain.swap(is_even, (7 + step % 5) * UNIT)
    await chain.swap(not is_even, -(5 + step % 3) * UNIT)
    if step % 3 == 0:
        await chain.mint(-60 * (step % 4 + 1), 60 * (step % 4 + 2), 10**19)
    if step % 3 == 1:
        await chain.burn(-EDGE, EDGE, 10**16)
    await chain.swap(is_even, 60 * UNIT)
    await chain.mine()


async def trade_gently(chain: AnvilPool, step: int) -> None:
    """Make a block of small swaps, with liquidity far around the price coming and going."""
    await chain.swap(step % 2 == 0, UNIT)
    if step % 3 == 0:
        await chain.mint(-6000, 6000, 10**19)
    if step % 3 == 1:
        await chain.burn(-6000, 6000, 10**19)
    await chain.swap(step % 2 == 1, UNIT)
    await chain.mine()


Happens = Callable[[AnvilPool, int], Awaitable[None]]


@dataclass
class World:
    """The chain as it now is, behind one or more URLs; whenever its reader waits for a block, the next one happens."""

    chain: AnvilPool
    urls: Sequence[str]
    happens: Happens = trade
    quorum: int = 1
    steps: int = 0

    def monotonic(self) -> float:
        """Return the machine's time: this is the reader's clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let the next block happen instead."""
        self.steps += 1
        await self.happens(self.chain, self.steps - 1)

    async def __call__(self, job: Job, resume_after: int | None) -> Market:
        """Open a job's market, as `tideline validator` does."""
        endpoints = Endpoints.over_http(self.urls, chain_id=CHAIN_ID, quorum=self.quorum, attempt_s=0.3)
        try:
            return await ChainMarket.connect(endpoints, job.pair_address, SETTINGS, clock=self)
        except ChainError:
            await endpoints.close()
            raise


def _is_a_source(world: World) -> MarketSource:
    return world  # mypy proves the port


def voided(text: str = "") -> Callable[[Any], bool]:
    """Match a round that became inconclusive for a reason."""
    return lambda event: isinstance(event, RoundVoided) and text in event.reason


async def blocks_of(store: Store, round_id: str) -> tuple[Block, ...]:
    """Return the blocks of a round whose stored evidence recomputes, signatures and all."""
    signed = await load(store, round_id)
    check(signed)
    return signed.evidence.blocks


async def assert_as_on_chain(store: Store, round_id: str, chain: AnvilPool) -> None:
    """Recompute a round, and hold its blocks against the node itself: each hash, and each swap word for word."""
    blocks = await blocks_of(store, round_id)
    first, last = blocks[0].number, blocks[-1].number
    assert [block.number for block in blocks] == list(range(first, last + 1)) and len(blocks) == LENGTH
    for block in blocks:
        assert (await chain.ask("eth_getBlockByNumber", hex(block.number), False))["hash"] == block.block_hash
    on_chain = await NaiveReader(chain.anvil.url, chain.pool, 0)._swaps(first, last)
    assert words_of(blocks) == on_chain


def words_of(blocks: Sequence[Block]) -> list[tuple[int, str]]:
    """Return swaps as the naive reader keeps them."""
    found = []
    for event in (event for block in blocks for event in block.events):
        if isinstance(event, SwapEvent):
            numbers = (event.amount0, event.amount1, event.sqrt_price_x96, event.liquidity, event.tick)
            found.append((event.log_index, "0x" + b"".join((n % 2**256).to_bytes(32, "big") for n in numbers).hex()))
    return found


async def reputations(store: Store) -> Mapping[str, tuple[int, int]]:
    """Return every miner's evaluation score and count of rounds."""
    return {m.hotkey: (m.evaluation_e18, m.evaluation_rounds) for m in await store.reputations("mine")}


async def until_closed(run: Running, *, after: int = 0) -> tuple[str, int]:
    """Return the id of the next round that is scored, and where that stands among what was told."""
    watch: Watch = run.watch
    index = await watch.until(lambda event: isinstance(event, RoundClosed), after=after)
    return watch.events[index - 1].round_id, index  # type: ignore[union-attr] # it was matched to have one
