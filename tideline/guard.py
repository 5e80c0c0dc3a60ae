"""The executor's guards, in the shape in which the validator asks for them."""

from __future__ import annotations

import time

from db.store import Store
from executor.guards import Limits, Proposal, Refused, check
from executor.live_guards import LiveLimits, check_opening
from executor.past import DAY_S, MOST_IN_A_DAY, day_of, used_by
from protocol.units import Hotkey
from simulator.opening import RoundOpening
from simulator.plan import Plan
from simulator.round import Ask


def guard(opening: RoundOpening, ask: Ask, hotkey: Hotkey, plan: Plan) -> str | None:
    """Return why the executor would refuse a plan, or None."""
    shown = ask.shown[hotkey]
    proposal = Proposal(
        plan=plan,
        portfolio=shown.portfolio,
        sqrt_price_x96=ask.pool.sqrt_price_x96,
        tick=ask.pool.tick,
        foreign_liquidity=shown.foreign_liquidity,
        tick_spacing=opening.market.tick_spacing,
    )
    verdict = check(proposal, Limits())
    return verdict.reason if isinstance(verdict, Refused) else None


async def gate(store: Store, chain_id: int, vault: str, *, now: int | None = None) -> str | None:
    """Return why no live round may open on a vault, or None, by the default limits of `tideline executor`.

    The clock is the one that stamps the intents, as in the executor: on a chain that runs faster a day is the longer.
    """
    now = int(time.time()) if now is None else now
    executions = await store.executions(since=now - DAY_S, limit=MOST_IN_A_DAY)
    verdict = check_opening(used_by(day_of(executions, chain_id, vault, now=now)), LiveLimits(frozenset()))
    return verdict.reason if isinstance(verdict, Refused) else None
