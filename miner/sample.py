"""A question as a validator would put it, for trying a strategy out: every number fits the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.messages import Limits, QueryContext, RebalanceQuery, ShownPosition, Token, TokenAmounts
from protocol.units import Q192
from protocol.wire import MAX_POSITIONS, PROTOCOL_VERSION
from simulator.math.liquidity_amounts import get_amounts_for_liquidity, get_liquidity_for_amounts
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.plan import Desired

_WETH = Token(address="0x4200000000000000000000000000000000000006", symbol="WETH", decimals=18)
_USDC = Token(address="0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", symbol="USDC", decimals=6)


@dataclass(frozen=True, slots=True)
class Sample:
    """What may differ from one question to the next: by default 10 WETH and 30,000 USDC, idle, at 3,017 USDC."""

    tick: int = -196_200
    amount0: int = 10 * 10**18
    amount1: int = 30_000 * 10**6
    held: tuple[Desired, ...] = ()
    timestamp: int = 1_700_000_000
    tick_spacing: int = 10
    pair_address: str = "0xd0b53D9277642d899DF5C87A3966A349A798F224"
    token0: Token = _WETH
    token1: Token = _USDC


def sample_query(sample: Sample | None = None) -> RebalanceQuery:
    """Return the first question of a round about a sample; idle is what `held` does not hold.

    Parameters: sample  `held` costs no more than the amounts, ticks within the pool's
    Returns:    a valid question
    Rounding:   liquidity floored, and what burning it returns floored, as a validator shows it
    Raises:     pydantic's ValidationError, a ValueError, where `held` costs more than there is
    Source:     design §4.5
    """
    sample = sample or Sample()
    price = get_sqrt_ratio_at_tick(sample.tick)
    idle = TokenAmounts(
        amount0=sample.amount0 - sum(d.amount0 for d in sample.held),
        amount1=sample.amount1 - sum(d.amount1 for d in sample.held),
    )
    return RebalanceQuery(
        protocol_version=PROTOCOL_VERSION,
        request_id="sample",
        job_id="sample",
        round_id="sample-evaluation-1",
        sn_liquidity_manager_address="0x" + "00" * 20,
        pair_address=sample.pair_address,
        chain_id=8453,
        round_type="evaluation",
        block_number=20_000_000,
        current_price=price**2 / Q192,
        current_positions=_shown(sample.held, price),
        inventory_remaining=idle,
        rebalances_so_far=0,
        context=_context(sample, price),
    )


def _context(sample: Sample, price: int) -> QueryContext:
    return QueryContext(
        block_hash="0x" + "ab" * 32,
        timestamp=sample.timestamp,
        sqrt_price_x96=price,
        tick=sample.tick,
        liquidity=10**18,
        tick_spacing=sample.tick_spacing,
        fee_pips=500,
        dex="uniswap-v3",
        token0=sample.token0,
        token1=sample.token1,
        checkpoint_index=0,
        checkpoint_block=20_000_000,
        effective_block=20_000_031,
        end_block=20_000_450,
        deadline_s=60.0,
        fees_owed=TokenAmounts(amount0=0, amount1=0),
        target="max_value",
        quote_token="token1",
        opening_inventory=TokenAmounts(amount0=sample.amount0, amount1=sample.amount1),
        limits=Limits(max_positions=MAX_POSITIONS, min_width=sample.tick_spacing),
        snapshot_hash="cd" * 32,
    )


def _shown(held: Sequence[Desired], price: int) -> tuple[ShownPosition, ...]:
    shown = []
    for desired in held:
        lower, upper = (get_sqrt_ratio_at_tick(t) for t in (desired.range.tick_lower, desired.range.tick_upper))
        liquidity = get_liquidity_for_amounts(price, lower, upper, desired.amount0, desired.amount1)
        allocation0, allocation1 = get_amounts_for_liquidity(price, lower, upper, liquidity)
        shown.append(
            ShownPosition(
                tick_lower=desired.range.tick_lower,
                tick_upper=desired.range.tick_upper,
                allocation0=allocation0,
                allocation1=allocation1,
                liquidity=liquidity,
                fees0=0,
                fees1=0,
            )
        )
    return tuple(shown)
