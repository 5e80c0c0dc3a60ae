"""A real vault's inventory, published from the chain itself every so many blocks."""

from __future__ import annotations

import logging
from collections.abc import Callable

from protocol import messages
from protocol.errors import ChainError
from protocol.inventory import Held, Inventory, Place
from simulator.fork import Fork
from simulator.market import Market, MarketInfo, Reorg, Token
from simulator.portfolio import VaultState
from simulator.snapshot import PoolSnapshot

_log = logging.getLogger(__name__)


def inventory_of_vault(info: MarketInfo, snapshot: PoolSnapshot, vault: VaultState, address: str) -> Inventory:
    """Return what a vault holds in a pool and beside it at a snapshot.

    Parameters: snapshot, vault  of one block
    Returns:    amounts and fees as burning and collecting at that block would return them
    Rounding:   floored
    Raises:     SimulationError where the two contradict each other
    Source:     design §4.2
    """
    portfolio = Fork.from_opening(snapshot, vault).portfolio()
    return Inventory(
        book=f"{address}/{info.chain_id}/{info.pair_address}/vault",
        kind="vault",
        chain_id=info.chain_id,
        pair_address=info.pair_address,
        token0=_token(info.token0),
        token1=_token(info.token1),
        place=Place(
            block_number=snapshot.block_number,
            timestamp=snapshot.timestamp,
            sqrt_price_x96=snapshot.sqrt_price_x96,
            tick=snapshot.tick,
        ),
        idle0=portfolio.idle0,
        idle1=portfolio.idle1,
        positions=tuple(
            Held(
                tick_lower=h.range.tick_lower,
                tick_upper=h.range.tick_upper,
                liquidity=h.liquidity,
                amount0=h.amount0,
                amount1=h.amount1,
                fees0=h.fees0,
                fees1=h.fees1,
            )
            for h in portfolio.holdings
        ),
    )


async def publish_vault(
    market: Market, address: str, publish: Callable[[Inventory], None], *, every_blocks: int
) -> None:
    """Publish until cancelled; what the chain takes back is told anew. Raises what no further try can change."""
    while True:
        try:
            snapshot = await market.open_round(every_blocks)
            if market.vault is not None:
                publish(inventory_of_vault(market.info, snapshot, market.vault, address))
            for _ in range(every_blocks):
                await market.next_block()
        except Reorg as reorg:
            _log.info("%s; telling the vault anew", reorg)
        except ChainError as error:
            if not error.retryable:
                raise
            _log.warning("the vault is not told: %s", error)


def _token(token: Token) -> messages.Token:
    return messages.Token(address=token.address, symbol=token.symbol, decimals=token.decimals)
