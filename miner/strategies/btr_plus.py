"""The corrected 3-force system: the default of `tideline miner`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from miner.span import Span
from miner.strategies.edge import is_due, is_settled
from miner.strategies.plus import band
from miner.strategies.plus.decision import DEFAULTS, ROUND_S, Candidate, choose, recentring_cost
from miner.strategies.plus.rates import concentration, net_rate, years_to_leave
from miner.strategies.settings import above_zero, within
from miner.view import View


@dataclass(frozen=True, slots=True)
class BtrPlus:
    """Hold a range as wide as volatility and the fee-to-loss ratio demand, and move only when that clearly pays.

    Idea:    What moves a range must earn more than it costs, over a horizon, beyond doubt. Wider when volatility
             rises; as wide as can be, or nothing at all, where fees do not pay for losses; no swap, ever.
    Formula: width and tilt by `plus.band`; benefit H·(r_new − r_now) with r = (f0 − σ²/8)·C against gas and
             ½cHσ²/w²; a cooldown while in range; out of range for the limit, gas is all that must be earned, over the
             time w²/σ² that the new range is expected to last.
    Units:   rates per year, H days, costs as fractions of the portfolio's value; shift a part of a half-width.
    Source:  strategy reference B2.
    """

    kappa_w: float = 2.0
    horizon_days: float = DEFAULTS.horizon_days
    tilt: float = 0.0  # b_max: 0 unless a walk-forward shows that the tilt pays (t > 2)
    shift: float = DEFAULTS.shift_threshold
    hysteresis: float = DEFAULTS.hysteresis
    cooldown_s: float = DEFAULTS.cooldown_rounds * ROUND_S
    out_limit_s: float = DEFAULTS.out_of_range_rounds * ROUND_S
    move_cost: float = 5e-6  # gas, as a fraction of the portfolio: 0.05 on 10,000
    z_to_act: float = DEFAULTS.z_to_act

    def __post_init__(self) -> None:
        above_zero(kappa_w=self.kappa_w, horizon_days=self.horizon_days, shift=self.shift)
        within(0, 0.99, tilt=self.tilt)
        within(1, 100, hysteresis=self.hysteresis)

    @property
    def name(self) -> str:
        return "btr_plus"

    def target(self, view: View) -> Span:
        """Return the range for now: the live miner, the back-test and the optimizer all come here."""
        params = replace(
            band.BandParams.for_pool(view.tick_spacing, is_stable=view.is_stable, b_max=self.tilt),
            kappa_w=self.kappa_w,
            horizon_days=self.horizon_days,
        )
        return band.compute(view.x, view.signals, params, fee_to_lvr=view.fee_to_lvr, cost=view.cost)

    def wish(self, view: View) -> Span | None:
        target = self.target(view)
        is_out = view.held is not None and not view.held.holds(view.x)
        is_overdue = is_out and view.out_s is not None and view.out_s >= self.out_limit_s
        if not is_overdue:
            if not is_settled(view, DEFAULTS.stable_twap_ticks if view.is_stable else DEFAULTS.twap_ticks):
                return None
            if not is_out and self._is_cooling(view):
                return None
            if not is_due(view, target, shift=self.shift, rewidth=self.hysteresis):
                return None
        return target if self._pays(view, target, is_overdue=is_overdue) else None

    def _is_cooling(self, view: View) -> bool:
        return view.held_s is not None and view.held_s < self.cooldown_s

    def _pays(self, view: View, target: Span, *, is_overdue: bool) -> bool:
        rate_now = 0.0 if view.held is None else net_rate(view.fee_rate, view.sigma, view.held, view.x)
        later = recentring_cost(view.cost, self.horizon_days, view.sigma, target.log_half_width)
        shift = Candidate(
            "shift",
            rate=net_rate(view.fee_rate, view.sigma, target, view.x),
            rate_se=view.fee_rate_se * concentration(target, view.x),
            cost=self.move_cost + (0.0 if is_overdue else later),
        )
        if not is_overdue:
            return choose(rate_now, (shift,), self.horizon_days, self.z_to_act).action == "shift"
        lasts_days = years_to_leave(view.sigma, target.log_half_width, target.log_half_width) * 365.25
        return choose(rate_now, (shift,), max(lasts_days, self.horizon_days), 0.0).action == "shift"
