"""What a question shows of a miner's portfolio, as an inventory that others can follow."""

from __future__ import annotations

from protocol.inventory import Held, Inventory, Place
from protocol.messages import RebalanceQuery
from protocol.units import Hotkey


def inventory_of(query: RebalanceQuery, asker: Hotkey) -> Inventory:
    """Return the portfolio that a question shows.

    Parameters: query  any valid one   ·   asker  the validator, each of which keeps an evaluation fork of its own
    Returns:    the book of this validator, pool and job; live and evaluation are two books. What the answer changes is
                shown by the next question
    Rounding:   none: amounts as the validator floored them
    Raises:     nothing
    Source:     design §4.5
    """
    pool = query.context
    return Inventory(
        book=f"{asker}/{query.chain_id}/{query.pair_address}/{query.job_id}/{query.round_type}",
        kind=query.round_type,
        chain_id=query.chain_id,
        pair_address=query.pair_address,
        token0=pool.token0,
        token1=pool.token1,
        place=Place(
            block_number=query.block_number,
            timestamp=pool.timestamp,
            sqrt_price_x96=pool.sqrt_price_x96,
            tick=pool.tick,
        ),
        idle0=query.inventory_remaining.amount0,
        idle1=query.inventory_remaining.amount1,
        positions=tuple(
            Held(
                tick_lower=p.tick_lower,
                tick_upper=p.tick_upper,
                liquidity=p.liquidity,
                amount0=p.allocation0,
                amount1=p.allocation1,
                fees0=p.fees0,
                fees1=p.fees1,
            )
            for p in query.current_positions
        ),
    )
