"""What feeds tell helps, and can neither mislead, nor look ahead, nor keep a question waiting."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.doors import client, honest_miner
from support.queries import Shape, make_query

from miner import feeds
from miner.feeds import FixedCandles, Past, PoolRef, with_past
from miner.memory import MAX_BARS, Memory, observe
from miner.remembering import Remembering, job_key, load
from miner.span import LOG_TICK, tick_of
from miner.strategies.btr_plus import BtrPlus
from miner.strategies.three_force.candles import M15_MS, Candle
from miner.strategy import Positions, check_decision
from miner.view import look
from protocol.errors import RemoteError
from protocol.messages import RebalanceQuery

TICK = -196_200
NOW_S = 1_700_000_100
START = NOW_S * 1000 // M15_MS * M15_MS


def question(seconds: int = 0, tick: int = TICK, pair: str | None = None) -> RebalanceQuery:
    query = make_query(Shape(tick=tick, timestamp=NOW_S + seconds))
    return query if pair is None else query.model_copy(update={"pair_address": pair})


def history(bars: int = 100, *, move: float = 0.004, level: float = 1.0) -> list[Candle]:
    """Return bars up to the present one, back and forth by `move`, around the price of `question()` times a level."""
    price = math.exp(TICK * LOG_TICK) * level
    return [
        (START - back * M15_MS, price, price * math.exp(move), price * math.exp(-move), price, 1.0)
        for back in range(bars, 0, -1)
    ]


def price_of(query: RebalanceQuery) -> float:
    return tick_of(query.context.sqrt_price_x96)


def warmed(told: Sequence[Candle], query: RebalanceQuery, memory: Memory | None = None) -> Memory:
    return with_past(memory or Memory(), told, query.context.timestamp, price_of(query))


def test_a_cold_miner_knows_the_volatility_of_a_pool_from_what_it_is_told() -> None:
    query = question()
    cold = look(query, observe(Memory(), query, price_of(query)))
    warm = look(query, observe(warmed(history(400, move=0.0005), query), query, price_of(query)))
    assert cold.sigma == pytest.approx(0.6, rel=0.01), "the prior"
    assert warm.sigma < 0.1 and len(warm.bars) == 400
    assert warm.twap == pytest.approx(price_of(query), abs=1)


def test_bars_that_are_not_over_are_left_out_and_the_loss_if_they_were_not() -> None:
    """A strategy that saw the end of its own quarter of an hour would look ahead."""
    query = question()
    ahead: Candle = (START, *[math.exp(TICK * LOG_TICK) * 1.1] * 4, 0.0)  # type: ignore[assignment]  # four prices
    assert warmed([*history(), ahead], query) == warmed(history(), query)
    later = question(900)
    assert warmed([ahead], later).bars == (ahead,), "it is taken once it is over: taken before, it would have been seen"


def test_what_speaks_of_another_pair_is_left_out_and_the_loss_if_it_were_not(monkeypatch: pytest.MonkeyPatch) -> None:
    query = question()
    foreign = history(400, level=1.3)
    assert warmed(foreign, query) == Memory()
    assert isinstance(Remembering(BtrPlus(), told=Fixed(foreign)).decide(query), Positions)
    monkeypatch.setattr(feeds, "_FARTHEST", math.inf)
    misled = look(query, observe(warmed(foreign, query), query, price_of(query)))
    assert misled.twap is not None and abs(misled.twap - price_of(query)) > 2000
    stuck = Remembering(BtrPlus(), told=Fixed(foreign)).decide(query)
    assert not isinstance(stuck, Positions), "it takes the mean of half an hour for far away, and never moves"


class Fixed:
    """Tells without a loop."""

    def __init__(self, told: Sequence[Candle]) -> None:
        self.told = tuple(told)

    def bars(self, query: RebalanceQuery) -> tuple[Candle, ...]:
        return self.told


def test_a_feed_that_is_old_is_measured_where_both_know_something() -> None:
    """The price has moved by 40 % since the feed's last bar, as the questions themselves saw."""
    query, far = question(), question(40 * 900, tick=TICK + 3365)
    seen = observe(Memory(), question(-900), TICK)
    assert len(warmed(history(), far, seen).bars) == 100
    assert warmed(history(), far).bars == ()
    assert len(warmed(history(), query, seen).bars) == 100


def test_a_validator_that_lied_about_the_past_does_not_make_a_good_feed_unheard() -> None:
    """Its bar disagrees, the honest question of now does not: the feed is heard, and the lie is gone with it."""
    lied = observe(Memory(), question(-900, tick=TICK + 9000), TICK + 9000.0)
    assert warmed(history(), question(), lied).bars == tuple(history())


def test_a_bar_of_the_feed_replaces_the_one_made_of_questions() -> None:
    query = question()
    seen = observe(observe(Memory(), question(-900), TICK), query, price_of(query))
    both = warmed(history(3), query, seen)
    assert both.bars == (*history(3), seen.bars[-1]), "the present one is our own"


nonsense = st.tuples(
    st.integers(-(10**6), 10**6).map(lambda n: START + n * 50_000),
    *[st.one_of(st.floats(), st.just(math.exp(TICK * LOG_TICK)))] * 4,
    st.floats(),
)


@settings(max_examples=60)
@given(st.lists(nonsense, max_size=12), st.sampled_from([[], history()]))
def test_whatever_is_told_answers_are_valid_and_memories_can_be_kept(told: list[Candle], sane: list[Candle]) -> None:
    query = question()
    strategy = Remembering(BtrPlus(), told=Fixed([*sane, *told]))
    assert check_decision(query, strategy.decide(query)) is None
    kept = strategy.remembered()
    Remembering(BtrPlus()).recall(kept)
    assert len(kept[job_key(query)]["bars"]) <= MAX_BARS


def test_what_was_told_is_kept_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    Remembering(BtrPlus(), path, told=Fixed(history(400))).decide(question())
    assert len(load(path)[job_key(question())].bars) == 400
    again = Remembering(BtrPlus(), path)
    warm = Remembering(BtrPlus(), told=Fixed(history(400)))
    warm.decide(question())
    assert again.decide(question(300)) == warm.decide(question(300))


class Slow:
    """A feed that answers when it is let, and remembers whether it was asked."""

    name = "slow"

    def __init__(self) -> None:
        self.asked: asyncio.Queue[PoolRef] = asyncio.Queue()
        self.go_on = asyncio.Event()
        self.is_closed = False

    async def candles(self, pool: PoolRef, since_s: int) -> Sequence[Candle]:
        self.asked.put_nowait(pool)
        await self.go_on.wait()
        return history()

    async def close(self) -> None:
        self.is_closed = True


class Broken:
    """A feed that fails."""

    name = "broken"

    def __init__(self, error: Exception) -> None:
        self.error, self.left = error, 3
        self.was_asked_thrice = asyncio.Event()

    async def candles(self, pool: PoolRef, since_s: int) -> Sequence[Candle]:
        self.left -= 1
        if not self.left:
            self.was_asked_thrice.set()
        raise self.error

    async def close(self) -> None:
        return None


async def until_told(past: Past, query: RebalanceQuery) -> tuple[Candle, ...]:
    """Let the loop go on until something is known; what tells a miner so is its next question."""
    async with asyncio.timeout(20):
        for _ in itertools.count():
            told = past.bars(query)
            if told:
                return told
            await asyncio.sleep(0)
    raise AssertionError


async def test_a_question_is_not_kept_waiting_and_the_next_one_has_what_was_told() -> None:
    slow = Slow()
    past = Past([slow])
    running = asyncio.create_task(past.run())
    strategy = Remembering(BtrPlus(), told=past)
    async with honest_miner(strategy=strategy) as endpoint, client() as miners:
        first = await miners.ask(endpoint, question(), deadline_s=20)
        assert first.response_body is not None and len(strategy.remembered()[job_key(question())]["bars"]) == 1
        pool = await asyncio.wait_for(slow.asked.get(), 20)
        assert (pool.chain_id, pool.symbol0, pool.decimals1) == (8453, "WETH", 6)
        slow.go_on.set()
        await until_told(past, question())
        await miners.ask(endpoint, question(300), deadline_s=20)
    assert len(strategy.remembered()[job_key(question())]["bars"]) == 101
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await past.close()
    assert slow.is_closed and past.bars(question()) == tuple(history()), "asked without a loop, it tells what it knows"


async def test_a_feed_that_fails_or_hangs_costs_its_turn_and_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    hanging, broken, refused = Slow(), Broken(RemoteError("no such market")), Broken(ConnectionRefusedError("no"))
    clock = itertools.count()  # every look at it finds everything due
    past = Past(
        [hanging, broken, refused, FixedCandles(history())],
        every_s=0.001,
        deadline_s=0.01,
        clock_s=lambda: float(next(clock)),
    )
    running = asyncio.create_task(past.run())
    with caplog.at_level(logging.WARNING):
        assert await until_told(past, question()) == tuple(history())
        await asyncio.wait_for(broken.was_asked_thrice.wait(), 20)
    running.cancel()
    said = [record.getMessage().split(" told")[0] for record in caplog.records]
    assert said == ["feed slow", "feed broken", "feed broken"], "each once, whatever it says"


async def test_each_pool_is_told_of_by_the_first_feed_that_knows_it_and_few_are_remembered() -> None:
    class Other(FixedCandles):
        async def candles(self, pool: PoolRef, since_s: int) -> Sequence[Candle]:
            return self.told if pool.pair_address.endswith("01") else ()

    special = [replace_level(bar) for bar in history()]
    past = Past([Other(special), FixedCandles(history())])
    running = asyncio.create_task(past.run())
    assert await until_told(past, question(pair="0x" + "00" * 19 + "01")) == tuple(special)
    assert await until_told(past, question(pair="0x" + "00" * 19 + "02")) == tuple(history())
    for number in range(3, 70):
        past.bars(question(pair=f"0x{number:040x}"))
    assert past.bars(question(pair="0x" + "00" * 19 + "01")) == ()
    assert len(past._asked) == 64 and len(past._told) <= 64
    running.cancel()


def replace_level(bar: Candle) -> Candle:
    return (bar[0], *(price * 1.01 for price in bar[1:5]), bar[5])  # type: ignore[return-value]  # four prices


def test_a_memory_without_news_is_the_same_memory() -> None:
    memory = observe(Memory(), question(), TICK)
    assert warmed([], question(), memory) is memory
    assert warmed(history(), question(), replace(memory, bars=())).bars == tuple(history())
