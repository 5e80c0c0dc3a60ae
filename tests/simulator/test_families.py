"""Pools of every family as snapshots, forks and rounds."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.worlds import START_BLOCK, START_TIME, Chain, make_opening, make_slipstream_snapshot, make_snapshot

from protocol.errors import SimulationError
from protocol.units import Hotkey
from simulator.answers import Positions
from simulator.base_fork import BaseFork, Divergence
from simulator.engine import default_engine, make_pool, pool_from_snapshot
from simulator.events import Block, FeeProtocolEvent, PoolEvent, StakeEvent, StakingEvent
from simulator.evidence import block_from_json, block_to_json
from simulator.family import Family
from simulator.flow import Flow
from simulator.fork import Fork, Inventory, virtual_vault
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.opening import RoundOpening
from simulator.plan import Desired
from simulator.pool import Pool, PoolRevert
from simulator.portfolio import Range, VaultPosition, VaultState
from simulator.query import build_query
from simulator.recovery import RecoveredCall, apply_call, apply_happening, recover_call
from simulator.replay import Candidate, Terms, replay
from simulator.round import Round
from simulator.slipstream import CLPool, DynamicFee
from simulator.slipstream_snapshot import cl_pool_from_snapshot, cl_pool_to_snapshot
from simulator.slipstream_tick import StakeInfo
from simulator.snapshot import PoolSnapshot

UNIT = 10**18
WIDE, NARROW = Range(-6000, 6000), Range(-120, 120)
PANCAKE = replace(make_snapshot(), family=Family.PANCAKE_V3, fee_protocol=3200 + (3200 << 16))
SLIPSTREAM = make_slipstream_snapshot()


def block_of(*events: PoolEvent) -> Block:
    return Block(START_BLOCK + 1, "0x01", "0x00", START_TIME + 2, events)


# ---- snapshots


def test_uniswap_snapshot_keeps_the_form_and_digest_it_had_before_there_were_families() -> None:
    snapshot = make_snapshot()
    assert snapshot.digest() == "0e16d34816707e7e7123013e63dd245ab5ebec4d18497bf9d671d387b9b0686f"
    assert PoolSnapshot.from_json(snapshot.to_json()) == snapshot


@pytest.mark.parametrize("snapshot", [PANCAKE, SLIPSTREAM], ids=["pancake", "slipstream"])
def test_snapshot_of_another_family_survives_json_and_is_not_taken_for_uniswaps(snapshot: PoolSnapshot) -> None:
    assert PoolSnapshot.from_json(snapshot.to_json()) == snapshot
    digests = {snapshot.digest(), make_snapshot().digest(), replace(make_snapshot(), family=snapshot.family).digest()}
    assert len(digests) >= 2 and snapshot.digest() != make_snapshot().digest()


@pytest.mark.parametrize(
    "change",
    [{"family": "sushi"}, {"staking": {}}, {"staking": {**SLIPSTREAM.to_json()["staking"], "rewards": {"x": "1"}}}],
)
def test_snapshot_that_is_malformed_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SimulationError, match="malformed"):
        PoolSnapshot.from_json({**SLIPSTREAM.to_json(), **change})


def test_stake_that_begins_at_the_pools_own_tick_is_at_the_price() -> None:
    ranges = ((-600, 0, 10**20), (0, 600, 10**21))
    snapshot = make_slipstream_snapshot(positions=ranges, staked=((-600, 0, 10**19), (0, 600, 10**18)))
    assert snapshot.tick == 0 and cl_pool_from_snapshot(snapshot).staked_liquidity == 10**18


def wrong_stakes() -> dict[str, PoolSnapshot]:
    staking = SLIPSTREAM.staking
    assert staking is not None
    (low, first), (high, last) = staking.ticks
    swapped = replace(staking, ticks=((high, last), (low, first)))
    too_much = StakeInfo(10**21 + 1, 0), StakeInfo(-(10**21) - 1, 0)
    over = replace(staking, staked_liquidity=10**21 + 1, ticks=((low, too_much[0]), (high, too_much[1])))
    return {
        "none": replace(SLIPSTREAM, staking=None),
        "of another family": replace(SLIPSTREAM, family=Family.UNISWAP_V3),
        "with a protocol's share": replace(SLIPSTREAM, fee_protocol=4),
        "out of order": replace(SLIPSTREAM, staking=swapped),
        "more than there is": replace(SLIPSTREAM, staking=over),
        "where nothing lies": replace(
            SLIPSTREAM, staking=replace(staking, ticks=((0, StakeInfo(0, 1)), *staking.ticks[1:]))
        ),
        "not closed": replace(SLIPSTREAM, staking=replace(staking, ticks=staking.ticks[:1])),
        "another sum": replace(SLIPSTREAM, staking=replace(staking, staked_liquidity=staking.staked_liquidity + 1)),
    }


@pytest.mark.parametrize("name", wrong_stakes())
def test_snapshot_whose_stakes_cannot_be_is_refused(name: str) -> None:
    pool_from_snapshot(SLIPSTREAM)
    with pytest.raises(SimulationError):
        pool_from_snapshot(wrong_stakes()[name])


def test_snapshot_decides_the_engine_and_its_pool_gives_the_snapshot_back() -> None:
    engine = default_engine()
    types = [type(pool_from_snapshot(snapshot, engine=engine)) for snapshot in (PANCAKE, SLIPSTREAM)]
    assert types == [type(make_pool(500, 10, engine=engine)), CLPool]
    place = {n: getattr(PANCAKE, n) for n in ("chain_id", "pair_address", "block_number", "block_hash", "timestamp")}
    assert Pool.from_snapshot(PANCAKE).to_snapshot(**place) == PANCAKE
    assert cl_pool_to_snapshot(cl_pool_from_snapshot(SLIPSTREAM), SLIPSTREAM) == SLIPSTREAM
    for snapshot in (make_snapshot(), PANCAKE):
        with pytest.raises(SimulationError):
            cl_pool_from_snapshot(snapshot)
    with pytest.raises(SimulationError):
        Pool.from_snapshot(SLIPSTREAM)


# ---- events


@pytest.mark.parametrize(
    ("snapshot", "event"),
    [
        (make_snapshot(), StakeEvent(0, -60, 60, 1)),
        (PANCAKE, StakeEvent(0, -60, 60, 1)),
        (SLIPSTREAM, FeeProtocolEvent(0, 4, 4)),
    ],
)
def test_another_familys_event_is_a_divergence_and_changes_nothing(snapshot: PoolSnapshot, event: PoolEvent) -> None:
    with pytest.raises(Divergence):
        BaseFork(snapshot).apply(block_of(event), event)
    with pytest.raises(PoolRevert):
        apply_happening(pool_from_snapshot(snapshot), event)  # type: ignore[arg-type] # no swap is among them


def test_stakes_survive_json() -> None:
    block = block_of(StakeEvent(3, -60, 60, 2**126), StakeEvent(4, -60, 60, -5), StakingEvent(2**32, 2**127, 7))
    assert block_from_json(block_to_json(block)) == block


def test_fee_that_a_call_carries_stays_even_where_the_swap_is_skipped() -> None:
    pool = cl_pool_from_snapshot(SLIPSTREAM)
    passed = RecoveredCall(zero_for_one=True, amount_specified=5, sqrt_price_limit_x96=2**97, fee_pips=777)
    assert apply_call(pool, passed) is None
    assert pool.fee_pips == 777
    dynamic = CLPool(100, 500, dynamic_fee=DynamicFee(1, 1))
    dynamic.fee_pips = 12
    assert (dynamic.fee_pips, dynamic.dynamic_fee) == (12, None)


# ---- what a vault earns


def traffic(chain: Chain, rng: random.Random) -> Block:
    """Let others swap at fees that change, stake, and come and go."""
    chain.pool.timestamp = chain.timestamp + 12
    for _ in range(3):
        chain.pool.fee_pips = rng.choice((500, 500, 2800, 3000, 9999))
        chain.swap(rng.random() < 0.5, rng.choice((1, -1)) * rng.randrange(10**12, 20 * UNIT))
    lower = rng.randrange(-5, 3) * 600
    chain.change_liquidity(lower, lower + 1200, 10**19)
    chain.stake(lower, lower + 1200, rng.randrange(1, 10**19))
    if rng.random() < 0.5:
        chain.stake(-887220, 887220, rng.choice((1, -1)) * 10**19)
    return chain.block()


def shown_on_chain(snapshot: PoolSnapshot, held: Range, liquidity: int) -> tuple[Chain, PoolSnapshot, VaultState]:
    """A real vault: it holds liquidity in the real pool before the round opens, unstaked."""
    chain = Chain(snapshot)
    chain.pool.mint("vault", held.tick_lower, held.tick_upper, liquidity)
    for _ in range(4):
        chain.swap(True, 3 * UNIT)
        chain.swap(False, 3 * UNIT)
    chain.block()
    chain.pool.burn("vault", held.tick_lower, held.tick_upper, 0)
    position = chain.pool.positions[("vault", held.tick_lower, held.tick_upper)]
    number, opened_at = snapshot.block_number + 1, snapshot.timestamp + 12
    place = replace(snapshot, block_number=number, block_hash=f"0x{number:064x}", timestamp=opened_at)
    growths = (position.fee_growth_inside_0_last_x128, position.fee_growth_inside_1_last_x128)
    owed = (position.tokens_owed_0, position.tokens_owed_1)
    vault = VaultState(UNIT, UNIT, (VaultPosition(held, liquidity, *growths, *owed),), in_pool=True)
    return chain, cl_pool_to_snapshot(chain.pool, place), vault


@pytest.mark.parametrize("seed", range(5))
def test_unstaked_vault_is_owed_what_the_contract_owes_it(seed: int) -> None:
    rng = random.Random(seed)
    chain, snapshot, vault = shown_on_chain(make_slipstream_snapshot(), WIDE, 10**20)
    base, fork = BaseFork(snapshot), Fork.from_opening(snapshot, vault)
    for _ in range(12):
        block = traffic(chain, rng)
        for event in block.events:
            fork.apply_foreign(base.apply(block, event), block.timestamp)
    key = ("vault", WIDE.tick_lower, WIDE.tick_upper)
    [holding] = fork.portfolio().holdings
    assert (holding.fees0, holding.fees1) == chain.pool.fees_owed(*key)
    assert cl_pool_to_snapshot(base.pool, snapshot) == cl_pool_to_snapshot(chain.pool, snapshot)
    assert fork.close(WIDE).fees0 == holding.fees0 > 0


def test_levy_and_stakes_decide_what_is_left_of_a_fee() -> None:
    """An unstaked vault earns by its share of all liquidity, less the levy: how much is staked makes no difference."""
    earned = {}
    for name, staked, levy in (
        ("nobody", 0, 0),
        ("levy", 0, 100_000),
        ("both", 10**20, 100_000),
        ("all others", 10**21, 0),
    ):
        stakes = ((-887220, 887220, staked),) if staked else ()
        snapshot = make_slipstream_snapshot(staked=stakes, unstaked_fee_pips=levy)
        fork = Fork.from_opening(
            snapshot, virtual_vault(snapshot, Inventory(9 * UNIT, 9 * UNIT, ((WIDE, UNIT, UNIT),)))
        )
        fork.pool.swap(True, UNIT, None)
        earned[name] = fork.portfolio().fees[0]
        share = fork.active_liquidity() * 10**6 // fork.pool.liquidity
        fee = 3 * 10**15
        expected = fee * share // 10**6 * (10**6 - levy) // 10**6
        assert abs(earned[name] - expected) <= expected // 1000 + 1
    assert earned["nobody"] > earned["levy"] > 0
    assert (earned["nobody"] - earned["all others"], earned["levy"] - earned["both"]) == (1, 0), "the gauge rounds up"


def test_miner_rebalances_in_a_slipstream_round_and_every_unit_is_accounted_for() -> None:
    a, b = Hotkey("a"), Hotkey("b")
    snapshot = make_slipstream_snapshot()
    vault = virtual_vault(snapshot, Inventory(20 * UNIT, 20 * UNIT, ((WIDE, 10 * UNIT, 10 * UNIT),)))
    opening = make_opening(snapshot, vault)
    assert RoundOpening.from_json(opening.to_json()) == opening
    chain, rng, blocks = Chain(snapshot), random.Random(7), list[Block]()
    moved = Positions((Desired(NARROW, 21 * UNIT, 10 * UNIT),))  # more of token0 than there is: it must swap
    engine = Round(opening)
    while not engine.is_finished:
        ask = engine.pending_ask()
        if ask is not None:
            assert build_query(opening, ask, a).context.dex == "slipstream"
            kept = Positions(tuple(Desired(h.range, h.amount0, h.amount1) for h in ask.shown[b].portfolio.holdings))
            engine.answer({a: moved if ask.index == 0 else Positions(()), b: kept})
            continue
        blocks.append(traffic(chain, rng))
        engine.advance(blocks[-1])
    result = engine.result()
    ledgers = {p.hotkey: p.ledger for p in result.participants}
    assert all(ledger is not None and ledger.residual_x192 == 0 for ledger in ledgers.values())
    assert ledgers[b] == result.benchmark and ledgers[a] is not None
    assert ledgers[a].rebalances == 2 and ledgers[a].swap_cost_x192 > 0 < ledgers[a].fees_x192
    flow, far = Flow.recover(snapshot, blocks), Range(12_000, 12_600)
    waiting = virtual_vault(snapshot, Inventory(20 * UNIT, 20 * UNIT, ((far, 10 * UNIT, 0),)))
    terms = Terms(opening.numeraire(engine._benchmark.opening.total), opening.gas, opening.schedule)
    candidates = [Candidate(vault), Candidate(vault, moved.desired), Candidate(waiting)]
    replayed = [
        replay(flow, candidates, terms, engine=name, sharing=sharing)
        for name, sharing in (("python", False), ("python", True), (default_engine(), True))
    ]
    assert replayed[0].ledgers[0] == result.benchmark
    assert replayed[0].ledgers == replayed[1].ledgers == replayed[2].ledgers
    assert replayed[1].steps_run < replayed[0].steps_run, "a fork out of range went where the base went"


def test_fee_above_any_that_slipstream_takes_is_a_divergence() -> None:
    chain = Chain(make_slipstream_snapshot())
    chain.pool.fee_pips = 100_000
    chain.swap(True, UNIT)
    chain.pool.fee_pips = 100_001
    chain.swap(True, UNIT)
    base = BaseFork(make_slipstream_snapshot())
    block = chain.block()
    base.apply(block, block.events[0])
    assert base.pool.fee_pips == 100_000
    with pytest.raises(Divergence) as raised:
        base.apply(block, block.events[1])
    assert raised.value.kind == "fee_change"


@given(
    fee_pips=st.integers(0, 100_000),
    believed_pips=st.integers(0, 100_000),
    amount=st.integers(-(10**20), 10**20).filter(bool),
    zero_for_one=st.booleans(),
    limit_ticks=st.none() | st.integers(1, 2000),
)
def test_swap_at_any_fee_is_recovered_whatever_fee_was_believed(
    *, fee_pips: int, believed_pips: int, amount: int, zero_for_one: bool, limit_ticks: int | None
) -> None:
    ranges = ((-887220, 887220, 10**21), (-600, 60, 10**22), (0, 1200, 10**20))
    chain = Chain(make_slipstream_snapshot(positions=ranges))
    chain.pool.fee_pips = fee_pips
    limit = None if limit_ticks is None else get_sqrt_ratio_at_tick(-limit_ticks if zero_for_one else limit_ticks)
    event = chain.swap(zero_for_one, amount, limit)
    pool = cl_pool_from_snapshot(make_slipstream_snapshot(positions=ranges))
    pool.fee_pips = believed_pips
    call = recover_call(pool, event, max_fee_pips=100_000)
    assert call is not None
    if call.fee_pips is not None:
        low, high = sorted((believed_pips, fee_pips))
        assert low <= call.fee_pips <= high, "no further from the one believed than the truth is"
    assert apply_call(pool, call) == (event.amount0, event.amount1)
    grown = [(p.fee_growth_global_0_x128, p.fee_growth_global_1_x128) for p in (pool, chain.pool)]
    if event.tick // 60 == 0 or fee_pips == pool.fee_pips:  # one step, or the same fee in every step
        assert grown[0] == grown[1]
