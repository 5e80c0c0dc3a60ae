"""The executor's guards, in the shape in which the validator asks for them."""

from __future__ import annotations

from executor.guards import Limits, Proposal, Refused, check
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
