"""Is it worth it? What a move brings against what it costs, with the doubt about the first."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Action = Literal["keep", "compound", "shift", "shift_with_swap", "withdraw"]
_YEAR_DAYS = 365.25


@dataclass(frozen=True, slots=True)
class DecisionParams:
    """When to act. Rounds are of 15 minutes."""

    horizon_days: float = 1.0
    z_to_act: float = 1.0
    cooldown_rounds: float = 4.0
    out_of_range_rounds: float = 2.0
    hysteresis: float = 1.5  # widths within this factor are the same
    shift_threshold: float = 0.5  # of a half-width that the middle must be away
    twap_ticks: float = 100.0
    stable_twap_ticks: float = 10.0


DEFAULTS = DecisionParams()
ROUND_S = 900


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that could be done: what it earns per year from then on, in what, and what doing it costs."""

    action: Action
    rate: float  # net, a fraction of value per year
    rate_se: float  # its standard error
    cost: float  # a fraction of value, once


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is best, by how much, as fractions of value."""

    action: Action
    benefit: float
    cost: float


def recentring_cost(cost: float, horizon_days: float, sigma: float, w: float) -> float:
    """Return what re-centring a range will cost over a horizon.

    Parameters: cost  of a swap, a fraction   ·   sigma  per square root of a year   ·   w  log half-width, > 0
    Returns:    ½·cost·H·sigma²/w², a fraction of value: it is left every w²/sigma² years, and half is swapped
    Rounding:   floats
    Raises:     ZeroDivisionError for no width
    Source:     strategy reference B2.8, C1
    """
    return cost * horizon_days / _YEAR_DAYS * sigma**2 / w**2 / 2


def choose(
    rate_now: float, candidates: Iterable[Candidate], horizon_days: float, z_to_act: float = DEFAULTS.z_to_act
) -> Verdict:
    """Return the best thing to do, which is nothing unless something is clearly worth it.

    Parameters: rate_now  net, per year, 0 out of range   ·   candidates  in order of preference at equal gain
                horizon_days  over which a rate is believed   ·   z_to_act  standard errors that a gain must exceed
    Returns:    the candidate whose benefit less cost is highest, if that is above 0 and above the doubt; else keep
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference B2.8
    """
    years = horizon_days / _YEAR_DAYS
    best = Verdict("keep", 0.0, 0.0)
    for candidate in candidates:
        benefit = years * (candidate.rate - rate_now)
        gain = benefit - candidate.cost
        doubt = z_to_act * years * candidate.rate_se
        if gain > max(doubt, 0.0) and gain > best.benefit - best.cost:
            best = Verdict(candidate.action, benefit, candidate.cost)
    return best


def is_rewidth_worth(w_new: float, w_old: float, hysteresis: float) -> bool:
    """Return whether two widths are different enough to act on.

    Parameters: w_new, w_old  log half-widths, > 0   ·   hysteresis  a factor, > 1
    Returns:    |ln(new/old)| > ln(factor)
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference B2.8
    """
    return abs(math.log(w_new / w_old)) > math.log(hysteresis)
