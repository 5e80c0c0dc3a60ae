"""The risk model of the published contracts. Scores, caps and weights in basis points (1e-4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from miner.strategies.three_force.allocation import cap_weights
from miner.strategies.three_force.sums import clamp, round_half_up

_BP = 10_000
_WAD = 10**18


@dataclass(frozen=True, slots=True)
class RiskParams:
    """The contracts' defaults, basis points; `count_decay_bp` and `cash_*` are scaled by 1e4 too."""

    amplification_bp: int = 15_000
    count_floor_bp: int = 2500
    count_decay_bp: int = 3000
    count_ceiling_bp: int = 10_000
    cash_floor: float = 0.05
    cash_factor: float = 0.3
    cash_exponent: float = 0.3
    trigger: float = 0.5
    min_slippage_bp: int = 1
    max_slippage_bp: int = 200
    slippage_amplification_bp: int = 3500


DEFAULTS = RiskParams()


@dataclass(frozen=True, slots=True)
class CashTriggers:
    """The share of cash aimed at; below `low` positions are unwound, above `high` cash is deployed. Basis points."""

    target: int
    low: int
    high: int


def c_score(scores: Sequence[int]) -> int:
    """Return a pool's composite score: the geometric mean of trust, liquidity and performance.

    Parameters: scores  0 to 10,000 each
    Returns:    0 for none; one score is itself
    Rounding:   floor, exact
    Raises:     ValueError if one of several scores is above 10,000, or any is below 0
    Source:     strategy reference A7
    """
    if any(score < 0 for score in scores) or (len(scores) > 1 and max(scores) > _BP):
        raise ValueError(f"scores {list(scores)} are not within 0 and {_BP}")
    if len(scores) < 2:
        return sum(scores)
    product = math.prod(scores)
    root = round(math.exp(math.log(product) / len(scores))) if product else 0
    while root ** len(scores) > product:
        root -= 1
    while (root + 1) ** len(scores) <= product:
        root += 1
    return root


def count_cap(pools: int, params: RiskParams = DEFAULTS) -> int:
    """Return the most that one of several pools may get.

    Parameters: pools  >= 0   ·   params  floor, decay and ceiling
    Returns:    basis points
    Rounding:   floor, as on chain
    Raises:     nothing
    Source:     strategy reference A7
    """
    decayed = math.exp(-pools * params.count_decay_bp / _BP)
    return min(params.count_floor_bp + math.floor(_BP * decayed), params.count_ceiling_bp)


def weights(
    scores: Sequence[int], max_bp: int, total_bp: int = _BP, amplification_bp: int = DEFAULTS.amplification_bp
) -> list[int]:
    """Return weights from scores as the contract computes them.

    Parameters: scores  0 to 10,000   ·   max_bp  cap, <= total_bp   ·   total_bp  what is given out, <= 10,000
                amplification_bp  the exponent
    Returns:    basis points adding up to total_bp, zeros if all scores are 0; the first largest takes what rounding
                leaves and may pass the cap by a few
    Rounding:   floor at every product and quotient, 18 decimals
    Raises:     ValueError where the contract reverts
    Source:     strategy reference A7
    """
    if not 0 < max_bp <= total_bp <= _BP:
        raise ValueError(f"cap {max_bp} and total {total_bp} do not fit: 0 < cap <= total <= {_BP}")
    shares = [_amplified(score, amplification_bp) for score in scores]
    whole, cap, given = sum(shares), max_bp * 10**14, total_bp * 10**14
    if whole == 0:
        return [0] * len(shares)
    for _ in range(10):
        limit = cap * whole // given
        excess = 0
        for i, share in enumerate(shares):
            if share * given // whole > cap:
                excess += share - limit
                shares[i] = limit
        if excess == 0:
            break
        whole -= excess
        takers = [i for i, share in enumerate(shares) if share * given // whole < cap]
        pool = sum(shares[i] for i in takers)
        if pool == 0:
            continue
        added = [excess * shares[i] // pool for i in takers]
        for i, extra in zip(takers, added, strict=True):
            shares[i] += extra
        whole += sum(added)
    result = [share * total_bp // whole for share in shares]
    result[result.index(max(result))] += total_bp - sum(result)
    return result


def _amplified(score: int, amplification_bp: int) -> int:
    """Return (score / 1e4) ^ (amplification / 1e4) with 18 decimals, floor."""
    with localcontext() as context:
        context.prec = 50
        power = (Decimal(score) / _BP) ** (Decimal(amplification_bp) / _BP) if score > 0 else Decimal(0)
        return int(power * _WAD)


def display_weights(
    scores: Sequence[int], max_bp: int, total_bp: int = _BP, amplification_bp: int = DEFAULTS.amplification_bp
) -> list[int]:
    """Return weights as the published user interface computes them.

    Parameters: as `weights`
    Returns:    basis points adding up to 10,000
    Rounding:   half-up
    Raises:     nothing
    Source:     strategy reference A7
    """
    return cap_weights(scores, max_bp * total_bp / _BP, amplification_bp / _BP)


def split(amount: int, weights_bp: Sequence[int]) -> list[int]:
    """Return an amount split by weights.

    Parameters: amount  raw   ·   weights_bp  adding up to 10,000
    Returns:    raw amounts that add up to it
    Rounding:   floor, what that leaves to the first largest
    Raises:     ValueError for no weights
    Source:     strategy reference A7
    """
    parts = [amount * weight // _BP for weight in weights_bp]
    parts[weights_bp.index(max(weights_bp))] += amount - sum(parts)
    return parts


def cash_buffer_bp(tvl_usd: float, params: RiskParams = DEFAULTS) -> int:
    """Return the share of cash that a vault of this size keeps.

    Parameters: tvl_usd  whole US dollars, >= 0   ·   params  floor, factor, exponent
    Returns:    basis points, falling with size towards the floor
    Rounding:   half-up
    Raises:     nothing
    Source:     strategy reference A7, as documented (B1.23 says how the contract differs)
    """
    if params.cash_floor >= 1:
        return _BP
    ratio = params.cash_floor + (1 - params.cash_floor) * (1 + params.cash_factor * tvl_usd) ** -params.cash_exponent
    return round_half_up(_BP * ratio)


def cash_triggers(target_bp: int, params: RiskParams = DEFAULTS) -> CashTriggers:
    """Return when a vault's cash is too little or too much.

    Parameters: target_bp  see `cash_buffer_bp`
    Returns:    basis points
    Rounding:   half-up
    Raises:     nothing
    Source:     strategy reference A7
    """
    return CashTriggers(
        target_bp,
        round_half_up(target_bp * (1 - params.trigger)),
        round_half_up(target_bp * (1 + params.trigger)),
    )


def ratio_gain_bp(old: float, new: float, target: float) -> float:
    """Return by how much a flow brings the share of token0 closer to its target (the contracts' ratioDiff0).

    Parameters: old, new, target  token0's share of the value before, after and wished for, basis points
    Returns:    basis points, -10,000 to 10,000; positive if it helps
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference A7
    """
    return clamp(abs(old - target) - abs(new - target), -_BP, _BP)


def slippage_bp(ratio_gain: float, params: RiskParams = DEFAULTS) -> int:
    """Return what a user pays for unbalancing a vault.

    Parameters: ratio_gain  see `ratio_gain_bp`   ·   params  least, most, and how bent the curve is
    Returns:    basis points: the most for a flow that hurts most, the least for one that helps most
    Rounding:   half-up
    Raises:     ValueError unless least < most <= 1000
    Source:     strategy reference A7, as documented
    """
    least, most, amplification = params.min_slippage_bp, params.max_slippage_bp, params.slippage_amplification_bp
    if not least < most <= 1000:
        raise ValueError(f"slippage {least} to {most} is no range up to 1000")
    x = (ratio_gain + _BP) / (2 * _BP)
    exponent = 10 ** (abs(amplification - 5000) / 2500)
    share = 1 - (1 - x) ** exponent if amplification <= 5000 else x**exponent
    return round_half_up(clamp(round_half_up(most + (least - most) * clamp(share, 0, 1)), least, most))
