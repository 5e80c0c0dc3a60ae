"""Pools of every family on a real node: recognised, read both ways, and replayed to the unit."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from support.anvil_families import GAUGE, NFT, SlipstreamStandIn, anvil_pancake_pool, anvil_slipstream
from support.anvil_pool import CHAIN_ID, AnvilPool, anvil_pool
from support.worlds import make_opening

from protocol.errors import ConfigError, SimulationError
from simulator.base_fork import Divergence
from simulator.chain.abi import SET_FEE_PROTOCOL, call_data, signed
from simulator.chain.endpoints import Endpoints
from simulator.chain.families import PoolKind, recognise
from simulator.chain.lens import lens_code
from simulator.chain.market import ChainMarket, ChainSettings
from simulator.chain.rpc import BadAnswer
from simulator.chain.snapshot import Reading, VaultQuery, read_snapshot
from simulator.events import END_OF_BLOCK, StakeEvent, StakingEvent, SwapEvent
from simulator.family import Family
from simulator.fork import Inventory, virtual_vault
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.portfolio import Range, VaultPosition
from simulator.round import Round
from simulator.slipstream import CLPool, DynamicFee
from simulator.slipstream_snapshot import cl_pool_to_snapshot
from simulator.snapshot import PoolSnapshot

SETTINGS = ChainSettings(block_time_s=2, poll_s=0.01, deadline_s=20, stall_s=0.2, give_up_s=5)
UNIT = 10**18
BLOCKS = 10


PLACE = ("chain_id", "pair_address", "block_number", "block_hash", "timestamp")


def endpoints_of(chain: AnvilPool) -> Endpoints:
    return Endpoints({"anvil": chain.rpc}, chain_id=CHAIN_ID)


async def both_ways(market: ChainMarket, chain: AnvilPool, vault: VaultQuery | None = None) -> tuple[Reading, Reading]:
    header = await chain.head()
    through_lens, plainly = [
        await read_snapshot(chain.rpc, market.info, header, family=market.family, vault=vault, lens=lens, deadline_s=20)
        for lens in (lens_code(), None)
    ]
    return through_lens, plainly


def round_of(snapshot: PoolSnapshot, length_blocks: int = BLOCKS) -> Round:
    spacing = snapshot.tick_spacing
    low = snapshot.tick // spacing * spacing
    inventory = Inventory(9 * UNIT, 9 * UNIT, ((Range(low - 10 * spacing, low + 20 * spacing), 4 * UNIT, 4 * UNIT),))
    return Round(make_opening(snapshot, virtual_vault(snapshot, inventory), (), length_blocks=length_blocks))


# ---- recognised


async def test_every_family_is_found_from_what_its_contract_answers() -> None:
    async with anvil_pool() as uniswap:
        assert await recognise(uniswap.rpc, uniswap.pool, deadline_s=5) == PoolKind(Family.UNISWAP_V3)
        with pytest.raises(ConfigError, match="check the address"):
            await recognise(uniswap.rpc, uniswap.manager, deadline_s=5)
        with pytest.raises(ConfigError, match="check the address"):
            await recognise(uniswap.rpc, "0x" + "12" * 20, deadline_s=5)
    async with anvil_pancake_pool(2500, tick=100) as pancake:
        assert await recognise(pancake.rpc, pancake.pool, deadline_s=5) == PoolKind(Family.PANCAKE_V3)
    async with anvil_slipstream(CLPool(200, 3000), 2**96) as shown:
        found = await recognise(shown.chain.rpc, shown.chain.pool, deadline_s=5)
        assert found == PoolKind(Family.SLIPSTREAM, shown.gauge, shown.chain.manager)
    async with anvil_slipstream(CLPool(200, 3000, gauge=None), 2**96, has_gauge=False) as shown:
        assert await recognise(shown.chain.rpc, shown.chain.pool, deadline_s=5) == PoolKind(Family.SLIPSTREAM)


# ---- PancakeSwap, the published contract


@pytest.mark.parametrize(("fee_pips", "spacing"), [(100, 1), (500, 10), (2500, 50), (10_000, 200)])
async def test_pancake_pool_is_replayed_with_its_protocol_share(fee_pips: int, spacing: int) -> None:
    rng = random.Random(fee_pips)
    async with anvil_pancake_pool(fee_pips, tick=100) as chain:
        edge = 887272 // spacing * spacing
        await chain.mint(-edge, edge, 10**21)
        for step in range(-4, 4):
            await chain.mint(step * 20 * spacing, (step * 20 + 40) * spacing, 10**20 + step)
        await chain.mine()
        market = await ChainMarket.connect(endpoints_of(chain), chain.pool, SETTINGS)
        snapshot = await market.open_round(BLOCKS)
        assert (market.family, snapshot.family, snapshot.fee_pips) == (Family.PANCAKE_V3, Family.PANCAKE_V3, fee_pips)
        assert snapshot.fee_protocol > 2**16, "two shares of 10000, which a new pool has"
        engine = round_of(snapshot)
        for step in range(BLOCKS):
            for _ in range(3):
                await chain.swap(rng.random() < 0.5, rng.choice((1, -1)) * rng.randrange(1, 20 * UNIT))
            if step == 4:
                await chain.send(chain.pool, call_data("setFeeProtocol(uint32,uint32)", 1000, 4000))
                await chain.flash(10**15, 7)
            await chain.mine()
            block = await market.next_block()
            assert sum(isinstance(event, SwapEvent) for event in block.events) == 3
            engine.advance(block)
            slot0 = await chain.call(chain.pool, "slot0()")
            view = engine.pool
            assert (view.sqrt_price_x96, view.tick) == (slot0[0], signed(slot0[1], 24))
        through_lens, plainly = await both_ways(market, chain)
        after = plainly.snapshot
        place = {name: getattr(after, name) for name in PLACE}
        assert through_lens == plainly
        assert engine._base.pool.to_snapshot(**place) == after
        assert PoolSnapshot.from_json(after.to_json()) == after
        assert engine.is_finished and engine.result().benchmark.fees_x192 > 0


# ---- Slipstream, a stand-in that shows what our engine computes


def dynamic_pool(spacing: int = 100) -> CLPool:
    return CLPool(spacing, 500, dynamic_fee=DynamicFee(20_000_000, 10_000, seconds_ago=20))


async def furnish(shown: SlipstreamStandIn, rng: random.Random) -> list[tuple[int, int]]:
    """Give the pool positions, some staked, emissions, and an oracle that reaches back; return the ranges."""
    spacing = shown.truth.tick_spacing
    edge = 887272 // spacing * spacing
    ranges = [(-edge, edge), *((step * 4 * spacing, (step * 4 + 8) * spacing) for step in range(-5, 5))]
    shown.truth.increase_observation_cardinality_next(60)
    for lower, upper in ranges:
        await shown.mint(lower, upper, 10**21 if lower == -edge else 10**20 + rng.randrange(10**19))
    await shown.mine()
    shown.truth.update_rewards_growth_global()
    shown.truth.sync_reward(10**15, 604_800 * 10**15, shown.truth.timestamp + 604_800)
    for lower, upper in ranges[1::2]:
        await shown.stake(lower, upper, 10**19)
    for _ in range(6):
        await shown.swap(rng.random() < 0.5, rng.randrange(1, 10 * UNIT))
        await shown.mine()
    return ranges


async def act(shown: SlipstreamStandIn, rng: random.Random, ranges: list[tuple[int, int]]) -> None:
    """Let one of the things happen that happen to pools; another account's discount changes the fee, too."""
    what, bounds = rng.random(), rng.choice(ranges[1:])
    if rng.random() < 0.3:
        shown.truth.set_dynamic_fee(0, 20, 0, 0, rng.choice((0, 0, 100_000, 500_000)))
    if what < 0.7:
        limit = None
        zero_for_one = rng.random() < 0.5
        if rng.random() < 0.2:
            limit = get_sqrt_ratio_at_tick(shown.truth.tick + (-150 if zero_for_one else 150))
        await shown.swap(zero_for_one, rng.choice((1, -1)) * int(10 ** rng.uniform(0, 20)), limit)
    elif what < 0.8:
        await shown.mint(*bounds, rng.randrange(1, 10**19))
    elif what < 0.87:
        await shown.burn(*bounds, rng.randrange(shown.truth.positions[(NFT, *bounds)].liquidity // 4 + 1))
    elif what < 0.94:
        await shown.stake(*bounds, rng.randrange(1, shown.truth.positions[(NFT, *bounds)].liquidity // 2))
    elif shown.truth.positions[(GAUGE, *bounds)].liquidity > 2:
        await shown.stake(*bounds, -rng.randrange(1, shown.truth.positions[(GAUGE, *bounds)].liquidity))


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_slipstream_pool_is_replayed_with_fees_found_swap_by_swap(seed: int) -> None:
    rng = random.Random(seed)
    async with anvil_slipstream(dynamic_pool(), get_sqrt_ratio_at_tick(130)) as shown:
        chain, truth = shown.chain, shown.truth
        ranges = await furnish(shown, rng)
        market = await ChainMarket.connect(endpoints_of(chain), chain.pool, SETTINGS)
        snapshot = await market.open_round(BLOCKS)
        assert snapshot.family is Family.SLIPSTREAM and snapshot.staking is not None
        assert snapshot.staking.staked_liquidity == truth.staked_liquidity > 0
        assert 0 < snapshot.fee_pips == market.info.fee_pips
        engine = round_of(snapshot)
        kinds: set[type] = set()
        fees = {snapshot.fee_pips}
        for _ in range(BLOCKS):
            for _ in range(5):
                await act(shown, rng, ranges)
            await shown.mine()
            block = await market.next_block()
            kinds |= {type(event) for event in block.events}
            engine.advance(block)
            fees.add(engine._base.pool.fee_pips)
            view = engine.pool
            assert (view.sqrt_price_x96, view.tick, view.liquidity) == (
                truth.sqrt_price_x96,
                truth.tick,
                truth.liquidity,
            )
        through_lens, plainly = await both_ways(market, chain)
        assert through_lens == plainly
        after = plainly.snapshot
        assert cl_pool_to_snapshot(engine._base.pool, after) == replace(after, fee_pips=engine._base.pool.fee_pips)
        assert PoolSnapshot.from_json(after.to_json()) == after
        assert {SwapEvent, StakeEvent, StakingEvent} <= kinds and len(fees) > 3
        assert engine.result().benchmark.fees_x192 > 0


async def test_vault_is_read_from_a_manager_that_names_pools_by_their_spacing() -> None:
    """Its positions elsewhere, and those without liquidity, are not of this pool."""
    rng = random.Random(9)
    async with anvil_slipstream(dynamic_pool(), get_sqrt_ratio_at_tick(130)) as shown:
        chain, owner = shown.chain, int("0x" + "0c" * 20, 16)
        await furnish(shown, rng)
        await shown.give(100, owner, -400, 800, (5 * UNIT, 7, 8, 9, 10))
        await shown.give(101, owner, -400, 900, (0, 7, 8, 9, 10))
        shown.truth._core.tick_spacing = 200
        await shown.give(102, owner, -200, 800, (5 * UNIT, 7, 8, 9, 10))
        shown.truth._core.tick_spacing = 100
        address = f"0x{owner:040x}"
        await shown.put_position(address, -900, 900, (3 * UNIT, 1, 2, 3, 4))
        await shown.mine()
        market = await ChainMarket.connect(endpoints_of(chain), chain.pool, SETTINGS)
        query = VaultQuery(address, chain.manager, (Range(-900, 900),))
        through_lens, plainly = await both_ways(market, chain, query)
        assert through_lens == plainly and plainly.vault is not None
        assert plainly.vault.positions == (
            VaultPosition(Range(-900, 900), 3 * UNIT, 1, 2, 3, 4),
            VaultPosition(Range(-400, 800), 5 * UNIT, 7, 8, 9, 10),
        )
        wrong = {"family": Family.UNISWAP_V3, "vault": None, "deadline_s": 20}
        for lens in (lens_code(), None):
            with pytest.raises(BadAnswer, match="words"):
                await read_snapshot(chain.rpc, market.info, await chain.head(), lens=lens, **wrong)


async def test_stake_of_a_token_that_its_block_also_burnt_is_found_in_the_block_before() -> None:
    async with anvil_slipstream(dynamic_pool(), get_sqrt_ratio_at_tick(130)) as shown:
        chain = shown.chain
        await shown.mint(-400, 800, 10**20)
        await shown.stake(-400, 800, 10**19)
        await shown.mine()
        market = await ChainMarket.connect(endpoints_of(chain), chain.pool, SETTINGS)
        await market.open_round(BLOCKS)
        await shown.stake(-400, 800, -(10**19))
        await shown.forget(-400, 800)
        await shown.mint(-500, 900, 10**20)
        await shown.stake(-500, 900, 10**18)
        await shown.mine()
        events = (await market.next_block()).events
        stakes = [event for event in events if isinstance(event, StakeEvent)]
        assert [replace(event, log_index=0) for event in stakes] == [
            StakeEvent(0, -400, 800, -(10**19)),
            StakeEvent(0, -500, 900, 10**18),
        ]
        assert [event.log_index for event in events] == sorted({event.log_index for event in events})
        await shown.mint(-600, 900, 10**20)
        await shown.stake(-600, 900, 10**18)
        await shown.forget(-600, 900)
        await shown.mine()
        with pytest.raises(Divergence) as raised:
            await market.next_block()
        assert raised.value.kind == "unknown_stake"


async def test_gauge_that_a_pool_is_given_later_is_followed_from_the_next_round_on() -> None:
    async with anvil_slipstream(dynamic_pool(), get_sqrt_ratio_at_tick(130), has_gauge=False) as shown:
        chain = shown.chain
        await shown.mint(-400, 800, 10**20)
        await shown.mine()
        market = await ChainMarket.connect(endpoints_of(chain), chain.pool, SETTINGS)
        await market.open_round(BLOCKS)
        await shown.found_gauge()
        await shown.mine()
        await market.open_round(BLOCKS)
        await shown.stake(-400, 800, 10**19)
        await shown.mine()
        assert [type(event) for event in (await market.next_block()).events] == [StakeEvent]


async def test_vault_with_staked_positions_is_refused() -> None:
    async with anvil_slipstream(dynamic_pool(), get_sqrt_ratio_at_tick(130)) as shown:
        chain, owner = shown.chain, "0x" + "0c" * 20
        query = VaultQuery(owner, chain.manager)
        market = await ChainMarket.connect(endpoints_of(chain), chain.pool, SETTINGS, vault=query)
        await market.open_round(BLOCKS)
        await chain.send(shown.gauge, call_data("putStaked(address,uint256)", int(owner, 16), 1))
        await shown.mine()
        with pytest.raises(SimulationError, match="staked"):
            await market.open_round(BLOCKS)


async def test_stake_that_nothing_tells_of_and_a_new_levy_are_seen_in_the_pool_itself() -> None:
    async with anvil_slipstream(dynamic_pool(), get_sqrt_ratio_at_tick(130)) as shown:
        await furnish(shown, random.Random(4))
        market = await ChainMarket.connect(endpoints_of(shown.chain), shown.chain.pool, SETTINGS)
        engine = round_of(await market.open_round(BLOCKS))
        shown.truth.set_fees(500, 250_000)
        await shown.swap(True, UNIT)
        await shown.mine()
        engine.advance(await market.next_block())
        assert engine._base.pool.unstaked_fee_pips == engine._benchmark.fork.pool.unstaked_fee_pips == 250_000
        shown.truth.stake(10**18, -887_200, 887_200)  # by a way that the gauge logs otherwise
        await shown.swap(False, UNIT)
        await shown.mine()
        with pytest.raises(Divergence) as raised:
            engine.advance(await market.next_block())
        assert raised.value.kind == "missed_stake"


async def test_event_of_another_family_is_unknown() -> None:
    async with anvil_slipstream(dynamic_pool(), get_sqrt_ratio_at_tick(130)) as shown:
        market = await ChainMarket.connect(endpoints_of(shown.chain), shown.chain.pool, SETTINGS)
        await market.open_round(BLOCKS)
        await shown._log(shown.chain.pool, SET_FEE_PROTOCOL, (0, 0), 0, 0, 4, 4)
        await shown.mine()
        with pytest.raises(Divergence) as raised:
            await market.next_block()
        assert raised.value.kind == "unknown_event"


@pytest.mark.parametrize("lie", ["more paid", "another price"])
async def test_swap_that_no_fee_explains_trips_the_wire(lie: str) -> None:
    """That the fee may change is no licence: amounts and price must still fit one."""
    rng = random.Random(3)
    async with anvil_slipstream(dynamic_pool(), get_sqrt_ratio_at_tick(130)) as shown:
        await furnish(shown, rng)
        market = await ChainMarket.connect(endpoints_of(shown.chain), shown.chain.pool, SETTINGS)
        engine = round_of(await market.open_round(BLOCKS))
        await shown.swap(True, 3 * UNIT)
        await shown.mine()
        block = await market.next_block()
        event, staking = block.events
        assert staking == StakingEvent(END_OF_BLOCK, shown.truth.staked_liquidity, 100_000)
        assert isinstance(event, SwapEvent)
        changes = (
            {"amount0": event.amount0 + 10**9}
            if lie == "more paid"
            else {"sqrt_price_x96": event.sqrt_price_x96 + 10**15}
        )
        with pytest.raises(Divergence):
            engine.advance(replace(block, events=(replace(event, **changes),)))
