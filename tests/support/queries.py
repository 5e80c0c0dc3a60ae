"""Queries for tests: one honest default, every part replaceable, and a hypothesis strategy over all of them."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from protocol.messages import (
    Limits,
    QueryContext,
    RebalanceQuery,
    ShownPosition,
    Token,
    TokenAmounts,
)
from protocol.units import MAX_TICK, MAX_UINT128, MIN_TICK
from simulator.math.tick_math import get_sqrt_ratio_at_tick

WETH = Token(address="0x4200000000000000000000000000000000000006", symbol="WETH", decimals=18)
DAI = Token(address="0x50c5725949A6F0c72E6C4a641F24049A917DB0Cb", symbol="DAI", decimals=18)
USDC = Token(address="0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", symbol="USDC", decimals=6)
VAULT = "0x" + "5a" * 20
POOL = "0xd0b53d9277642d899df5c87a3966a349a798f224"


@dataclass(frozen=True)
class Shape:
    """What tests vary."""

    tick: int = -196_200
    spacing: int = 10
    positions: tuple[ShownPosition, ...] = ()
    idle0: int = 10**19
    idle1: int = 30_000 * 10**6
    min_width: int = 1
    max_positions: int = 50
    deadline_s: float = 60.0
    request_id: str = "round-1/0/miner"
    timestamp: int = 1_700_000_000
    round_id: str = "round-1"
    token0: Token = WETH
    fee_pips: int = 500


def make_query(shape: Shape | None = None) -> RebalanceQuery:
    shape = shape or Shape()
    idle = TokenAmounts(amount0=shape.idle0, amount1=shape.idle1)
    fees = TokenAmounts(amount0=sum(p.fees0 for p in shape.positions), amount1=sum(p.fees1 for p in shape.positions))
    sqrt_price_x96 = get_sqrt_ratio_at_tick(shape.tick)
    return RebalanceQuery(
        protocol_version=1,
        request_id=shape.request_id,
        job_id="weth-usdc",
        round_id=shape.round_id,
        sn_liquidity_manager_address=VAULT,
        pair_address=POOL,
        chain_id=8453,
        round_type="evaluation",
        block_number=1000,
        current_price=sqrt_price_x96**2 / 2**192,
        current_positions=shape.positions,
        inventory_remaining=idle,
        rebalances_so_far=0,
        context=QueryContext(
            block_hash="0x" + "ab" * 32,
            timestamp=shape.timestamp,
            sqrt_price_x96=sqrt_price_x96,
            tick=shape.tick,
            liquidity=10**20,
            tick_spacing=shape.spacing,
            fee_pips=shape.fee_pips,
            dex="uniswap-v3",
            token0=shape.token0,
            token1=USDC,
            checkpoint_index=0,
            checkpoint_block=1000,
            effective_block=1031,
            end_block=1450,
            deadline_s=shape.deadline_s,
            fees_owed=fees,
            target="max_value",
            quote_token="token1",
            opening_inventory=idle,
            limits=Limits(max_positions=shape.max_positions, min_width=shape.min_width),
            snapshot_hash="cd" * 32,
        ),
    )


def shown(tick_lower: int, tick_upper: int, amount0: int, amount1: int, fees: int = 7) -> ShownPosition:
    return ShownPosition(
        tick_lower=tick_lower,
        tick_upper=tick_upper,
        allocation0=amount0,
        allocation1=amount1,
        liquidity=10**18,
        fees0=fees,
        fees1=fees,
    )


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Any pool, any price, any portfolio: also absurd ones."""
    spacing = draw(st.sampled_from([1, 10, 60, 200, 2000, 16383]))
    amounts = st.one_of(st.just(0), st.integers(0, 10**25), st.integers(0, MAX_UINT128), st.integers(0, 2**256 - 1))
    fees = st.one_of(st.just(0), st.integers(0, MAX_UINT128))  # the pool itself stores no more
    bounds = st.integers(-(MAX_TICK // spacing), MAX_TICK // spacing)
    tick = draw(st.one_of(st.integers(MIN_TICK, MAX_TICK - 1), st.integers(-5000, 5000)))
    near = st.integers(tick // spacing - 30, tick // spacing + 30).filter(lambda n: abs(n * spacing) <= MAX_TICK)
    ranges = draw(
        st.lists(
            st.tuples(st.one_of(bounds, near), st.one_of(bounds, near)).filter(lambda r: r[0] < r[1]),
            max_size=4,
            unique=True,
        )
    )
    positions = tuple(
        ShownPosition(
            tick_lower=lower * spacing,
            tick_upper=upper * spacing,
            allocation0=draw(amounts),
            allocation1=draw(amounts),
            liquidity=draw(st.integers(0, MAX_UINT128)),
            fees0=draw(fees),
            fees1=draw(fees),
        )
        for lower, upper in ranges
    )
    return Shape(
        timestamp=draw(st.sampled_from([0, 1_700_000_000, 1_700_000_300, 2**53 - 1])),
        round_id=draw(st.sampled_from(["round-1", "round-2"])),
        token0=draw(st.sampled_from([WETH, DAI])),
        fee_pips=draw(st.sampled_from([0, 1, 500, 10_000, 999_999])),
        tick=tick,
        spacing=spacing,
        positions=positions,
        idle0=draw(amounts),
        idle1=draw(amounts),
        max_positions=draw(st.sampled_from([1, 2, 50])),
        min_width=draw(st.sampled_from([1, 2, spacing, 3 * spacing, 5000])),
    )
