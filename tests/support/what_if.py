"""Exact ledgers of positions that were left alone, one fork after the other: the plain way, for comparison."""

from __future__ import annotations

from support.worlds import FREE_GAS

from simulator.engine import default_engine, pool_from_snapshot
from simulator.flow import Flow
from simulator.fork import Fork
from simulator.ledger import Account, Ledger
from simulator.opening import RESTRIKE_S
from simulator.portfolio import Range, VaultPosition, VaultState
from simulator.recovery import apply_happening
from simulator.valuation import Numeraire


def exact_ledger(flow: Flow, bounds: tuple[int, int], liquidity: int, numeraire: Numeraire) -> Ledger:
    """Return the ledger of one position, opened at the snapshot, over a flow."""
    position = VaultPosition(Range(*bounds), liquidity, 0, 0, 0, 0)
    fork = Fork.from_opening(flow.snapshot, VaultState(0, 0, (position,), in_pool=False), engine=default_engine())
    base = pool_from_snapshot(flow.snapshot, engine=default_engine())
    account = Account(fork, FREE_GAS, numeraire.prices(base.sqrt_price_x96), flow.snapshot.timestamp)
    due = flow.snapshot.timestamp + RESTRIKE_S
    for block in flow.blocks:
        account.tick_clock(block.timestamp)
        if block.timestamp >= due:
            account.mark(numeraire.prices(base.sqrt_price_x96))
        while due <= block.timestamp:
            due += RESTRIKE_S
        base.timestamp = block.timestamp
        for happening in block.happenings:
            apply_happening(base, happening)
            fork.apply_foreign(happening, block.timestamp)
    return account.close(numeraire.prices(base.sqrt_price_x96))
