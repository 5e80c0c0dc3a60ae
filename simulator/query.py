"""What a miner is sent: a pure function of the opening and the ask, so that evidence need not store it."""

from __future__ import annotations

import hashlib

from protocol import messages
from protocol.messages import RebalanceQuery
from protocol.units import Q192, Hotkey
from protocol.wire import PROTOCOL_VERSION
from simulator.market import Token
from simulator.opening import RoundOpening
from simulator.plan import MAX_POSITIONS
from simulator.portfolio import Holding
from simulator.round import Ask


def build_query(opening: RoundOpening, ask: Ask, hotkey: Hotkey) -> RebalanceQuery:
    """Return the question to one participant at one checkpoint.

    Parameters: opening, ask  of one round   ·   hotkey  one of `ask.shown`
    Returns:    a message whose every number is exact, except `current_price`, a float for display
    Rounding:   allocations and fees floored, as burning and collecting would
    Source:     design §4.5; network reference §5
    """
    shown, snapshot, market = ask.shown[hotkey], opening.snapshot, opening.market
    fees0, fees1 = shown.portfolio.fees
    opening0, opening1 = shown.opening_total
    return RebalanceQuery(
        protocol_version=PROTOCOL_VERSION,
        request_id=request_id(opening.round_id, ask.index, hotkey),
        job_id=opening.job_id,
        round_id=opening.round_id,
        sn_liquidity_manager_address=opening.vault_address,
        pair_address=market.pair_address,
        chain_id=market.chain_id,
        round_type="live" if opening.round_type == "live" else "evaluation",
        block_number=ask.block_number,
        current_price=ask.pool.sqrt_price_x96**2 / Q192,
        current_positions=tuple(_shown_position(h) for h in shown.portfolio.holdings),
        inventory_remaining=messages.TokenAmounts(amount0=shown.portfolio.idle0, amount1=shown.portfolio.idle1),
        rebalances_so_far=shown.rebalances,
        context=messages.QueryContext(
            block_hash=ask.block_hash,
            timestamp=ask.timestamp,
            sqrt_price_x96=ask.pool.sqrt_price_x96,
            tick=ask.pool.tick,
            liquidity=ask.pool.liquidity,
            tick_spacing=market.tick_spacing,
            fee_pips=market.fee_pips,
            dex=str(snapshot.family),
            token0=_token(market.token0),
            token1=_token(market.token1),
            checkpoint_index=ask.index,
            checkpoint_block=ask.block_number,
            effective_block=ask.effective_block,
            end_block=opening.schedule.end_block(snapshot.block_number),
            deadline_s=float(opening.schedule.deadline_s),
            fees_owed=messages.TokenAmounts(amount0=fees0, amount1=fees1),
            target=opening.target.value,
            quote_token=opening.quote_token.value,
            opening_inventory=messages.TokenAmounts(amount0=opening0, amount1=opening1),
            limits=messages.Limits(max_positions=MAX_POSITIONS, min_width=market.tick_spacing),
            snapshot_hash=opening.snapshot_digest,
        ),
    )


def request_id(round_id: str, checkpoint_index: int, hotkey: Hotkey) -> str:
    """Return the id that one ask to one miner will always have."""
    return hashlib.sha256(f"{round_id}/{checkpoint_index}/{hotkey}".encode()).hexdigest()[:32]


def _shown_position(holding: Holding) -> messages.ShownPosition:
    return messages.ShownPosition(
        tick_lower=holding.range.tick_lower,
        tick_upper=holding.range.tick_upper,
        allocation0=holding.amount0,
        allocation1=holding.amount1,
        liquidity=holding.liquidity,
        fees0=holding.fees0,
        fees1=holding.fees1,
    )


def _token(token: Token) -> messages.Token:
    return messages.Token(address=token.address, symbol=token.symbol, decimals=token.decimals)
