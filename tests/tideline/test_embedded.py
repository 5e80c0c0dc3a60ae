"""The embedded clock: the chain moves with the slowest market, stops for whoever waits, and nothing can hold it up."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.signing import keypair_from_uri
from simulator import records
from simulator.recorded import RecordedMarket
from tideline.embedded import START_BLOCK, SUBTENSOR_BLOCK_S, ClockedMarket, EmbeddedClock, make_chain
from tideline.embedded_subtensor import InMemorySubtensor

CHAIN = make_chain(keypair_from_uri("//Alice").ss58_address, [])


def fresh_chain() -> InMemorySubtensor:
    """Return a chain at its first block, without the cost of making its keys again."""
    return InMemorySubtensor(CHAIN.subnet.rules, start_block=START_BLOCK)


@dataclass(frozen=True)
class MarketPlan:
    """A market: its first time, the seconds between its reports, and whether it sits out, late, or is cut off."""

    begins_at: int
    steps_s: tuple[int, ...]
    late: int  # turns of the loop before it first reports
    is_cut_off: bool


@dataclass(frozen=True)
class WaiterPlan:
    """Who waits for blocks: its wishes, how long it acts after each, and how it ends."""

    wishes: tuple[int, ...]
    acts: int  # turns of the loop
    late: int
    ending: str  # "ends" | "raises" | "goes on"


markets_plans = st.lists(
    st.builds(
        MarketPlan,
        begins_at=st.integers(0, 2_000_000_000),
        steps_s=st.lists(st.integers(0, 400), max_size=25).map(tuple),
        late=st.integers(0, 8),
        is_cut_off=st.booleans(),
    ),
    max_size=4,
)
waiter_plans = st.lists(
    st.builds(
        WaiterPlan,
        wishes=st.lists(st.integers(1, 25), max_size=12).map(tuple),
        acts=st.integers(0, 5),
        late=st.integers(0, 5),
        ending=st.sampled_from(["ends", "raises", "goes on"]),
    ),
    max_size=2,
)


@dataclass
class World:
    """Plays the plans, and notes whatever breaks a promise."""

    clock: EmbeddedClock
    chain: InMemorySubtensor
    rng: random.Random
    broken: list[str] = field(default_factory=list)
    acting: set[str] = field(default_factory=set)
    frozen_at: dict[str, int] = field(default_factory=dict)

    async def some_turns(self, most: int) -> None:
        for _ in range(self.rng.randint(0, most)):
            await asyncio.sleep(0)

    async def market(self, name: str, plan: MarketPlan) -> None:
        await self.some_turns(plan.late)
        now, joined_at, joined_s = plan.begins_at, self.chain.head, plan.begins_at
        for step in (0, *plan.steps_s):
            now += step
            await self.clock.report(name, now)
            slowest = self.clock._slowest()
            if self.chain.head < slowest:
                self.broken.append(f"{name} went on at {self.chain.head} although the slowest is at {slowest}")
            if self.chain.head > joined_at + (now - joined_s) // SUBTENSOR_BLOCK_S:
                self.broken.append(f"the chain overtook {name}")
            await self.some_turns(2)
        if not plan.is_cut_off:
            self.clock.finish(name)

    async def waiter(self, name: str, plan: WaiterPlan) -> None:
        await self.some_turns(plan.late)
        wishes = list(plan.wishes)
        while True:
            if not wishes:
                if plan.ending == "raises":
                    raise ZeroDivisionError
                if plan.ending == "ends":
                    return
                wishes = [self.rng.randint(1, 25)]
            wish = self.chain.head + wishes.pop(0)
            await self.clock.wait_blocks(wish - self.chain.head)
            if self.chain.head != wish:
                self.broken.append(f"{name} waited for {wish} and woke at {self.chain.head}")
            for _ in range(plan.acts):
                await asyncio.sleep(0)
                if self.chain.head != wish:
                    self.broken.append(f"the chain moved to {self.chain.head} while {name} acted at {wish}")


async def play(markets: list[MarketPlan], waiters: list[WaiterPlan], seed: int) -> World:
    chain = fresh_chain()
    world = World(EmbeddedClock(chain), chain, random.Random(seed))
    waiting = [asyncio.create_task(world.waiter(f"w{i}", plan)) for i, plan in enumerate(waiters)]
    playing = [asyncio.create_task(world.market(f"m{i}", plan)) for i, plan in enumerate(markets)]
    if playing:
        # Counted in turns of the loop, not in seconds: a deadlock is found at once, and a slow machine is none.
        _, stuck = await _turns(playing, 100_000)
        world.broken += [f"{task.get_coro().__qualname__} never ended" for task in stuck]  # type: ignore[union-attr]
    for task in (*waiting, *playing):
        task.cancel()
    await asyncio.gather(*waiting, *playing, return_exceptions=True)
    return world


async def _turns(
    tasks: list[asyncio.Task[None]], limit: int
) -> tuple[set[asyncio.Task[None]], set[asyncio.Task[None]]]:
    for _ in range(limit):
        if all(task.done() for task in tasks):
            break
        await asyncio.sleep(0)
    return {task for task in tasks if task.done()}, {task for task in tasks if not task.done()}


@settings(max_examples=300)
@given(markets_plans, waiter_plans, st.integers(0, 2**32))
def test_the_chain_never_passes_a_waiter_never_stops_for_good_and_reaches_the_slowest(
    markets: list[MarketPlan], waiters: list[WaiterPlan], seed: int
) -> None:
    # A market that is cut off and never leaves is the one thing that may rightly hold up the others.
    markets = [replace(plan, is_cut_off=False) for plan in markets]
    world = asyncio.run(play(markets, waiters, seed))
    assert world.broken == []


@settings(max_examples=100)
@given(markets_plans, waiter_plans, st.integers(0, 2**32))
def test_a_market_that_stops_reporting_holds_up_the_chain_and_no_market(
    markets: list[MarketPlan], waiters: list[WaiterPlan], seed: int
) -> None:
    world = asyncio.run(play(markets, waiters, seed))
    assert world.broken == []


async def test_one_market_alone_moves_the_chain_by_its_time() -> None:
    chain = fresh_chain()
    clock = EmbeddedClock(chain)
    await clock.report("a", 1_700_000_000)
    await clock.report("a", 1_700_000_000 + 10 * SUBTENSOR_BLOCK_S + 11)
    assert chain.head == START_BLOCK + 10


async def test_a_market_that_comes_late_counts_from_where_the_chain_is() -> None:
    chain = fresh_chain()
    clock = EmbeddedClock(chain)
    await clock.report("a", 0)
    await clock.report("a", 1200)
    await clock.report("b", 5)
    await clock.report("b", 5 + 600)
    assert chain.head == START_BLOCK + 100
    await clock.report("a", 1200 + 600)
    assert chain.head == START_BLOCK + 150


async def test_a_market_that_comes_back_from_before_does_not_turn_the_chain_back() -> None:
    chain = fresh_chain()
    clock = EmbeddedClock(chain)
    await clock.report("a", 0)
    await clock.report("a", 1200)
    clock.finish("a")
    await clock.report("a", 600)
    await clock.report("a", 600 + 120)
    assert chain.head == START_BLOCK + 110


async def test_the_slowest_market_leaving_lets_the_chain_go_on_to_the_next() -> None:
    chain = fresh_chain()
    clock = EmbeddedClock(chain)
    await clock.report("slow", 0)
    await clock.report("fast", 0)
    await clock.report("fast", 1200)
    assert chain.head == START_BLOCK
    clock.finish("slow")
    assert chain.head == START_BLOCK + 100


async def test_a_waiter_that_dies_while_it_acts_lets_go_of_the_market() -> None:
    chain = fresh_chain()
    clock = EmbeddedClock(chain)
    woken, die = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        await clock.wait_blocks(10)
        woken.set()
        await die.wait()
        raise ZeroDivisionError

    waiter = asyncio.create_task(wait())
    await asyncio.sleep(0)
    await clock.report("a", 0)
    market = asyncio.create_task(clock.report("a", 1200))
    await woken.wait()
    assert chain.head == START_BLOCK + 10 and not market.done()
    die.set()
    with pytest.raises(ZeroDivisionError):
        await waiter
    await asyncio.wait_for(market, 10)
    assert chain.head == START_BLOCK + 100


async def test_a_recorded_market_carries_the_chain_with_it() -> None:
    chain = fresh_chain()
    clock = EmbeddedClock(chain)
    market = ClockedMarket("usdc-weth", RecordedMarket(records.load("usdc-weth-005")), clock)
    opened = await market.open_round(10)
    for _ in range(10):
        last = await market.next_block()
    assert chain.head == START_BLOCK + (last.timestamp - opened.timestamp) // SUBTENSOR_BLOCK_S
    await market.close()
    await asyncio.wait_for(clock.report("other", 0), 10)
