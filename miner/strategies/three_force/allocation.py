"""How the published system spreads capital over pools, and what it thinks they earn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from miner.strategies.three_force.optimizer import YEAR_S
from miner.strategies.three_force.sums import round_half_up, total

_BP = 10_000
_DUST = 0.001  # weights below 0.1 % are dropped
DEFAULT_CAPITAL = 10_000.0


@dataclass(frozen=True, slots=True)
class AllocationParams:
    """The published constants; weights in basis points."""

    max_positions: int = 3
    exponent: float = 1.5
    count_floor_bp: int = 2500
    count_decay: float = 0.3
    capital_floor_bp: int = 800
    capital_range_bp: int = 5000
    capital_scale: float = 750_000.0


DEFAULTS = AllocationParams()


@dataclass(frozen=True, slots=True)
class Pool:
    """What is known of a pool: its rate per year, and the value that shares it."""

    apr: float
    tvl: float


@dataclass(frozen=True, slots=True)
class Target:
    """A share of capital for one pool (its place in the list given) and what it should earn there."""

    pool: int
    pct: float
    expected_apr: float


@dataclass(frozen=True, slots=True)
class Allocation:
    """Targets in the order of the pools, and what all of them earn together."""

    targets: tuple[Target, ...]
    portfolio_apr: float


def interval_apr(
    *, volume_24h: float, previous_24h: float | None, fee: float, tvl: float, interval_s: float = 900
) -> float:
    """Return what a pool's fees of one interval come to in a year.

    Parameters: volume_24h, previous_24h  rolling, now and one interval ago   ·   fee  a fraction, 0 is taken as 0.0005
                tvl  0 is taken as 1
    Returns:    a rate per year
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference A5
    """
    is_known = previous_24h is not None and volume_24h - previous_24h >= 0
    volume = volume_24h - (previous_24h or 0.0) if is_known else volume_24h / (86_400 / interval_s)
    return volume * (fee or 0.0005) / (tvl or 1) * YEAR_S / interval_s


def max_weight_bp(pools: int, capital: float | None, params: AllocationParams = DEFAULTS) -> int:
    """Return the most that one pool may get.

    Parameters: pools  how many there are   ·   capital  in USD; None or 0 is no limit by capital
    Returns:    basis points
    Rounding:   both terms half-up, an equal share up
    Raises:     nothing
    Source:     strategy reference A5
    """
    if pools == 0:
        return _BP
    limits = [params.count_floor_bp + round_half_up(_BP * math.exp(-params.count_decay * pools)), _BP]
    if capital is not None and capital > 0:
        limits.append(
            params.capital_floor_bp + round_half_up(params.capital_range_bp * math.exp(-capital / params.capital_scale))
        )
    return max(min(limits), math.ceil(_BP / pools))


def weights(scores: Sequence[float], capital: float | None = None, params: AllocationParams = DEFAULTS) -> list[int]:
    """Return weights from scores: a power law, capped.

    Parameters: scores  basis points, > 0   ·   capital  as for `max_weight_bp`
    Returns:    basis points that add up to 10,000; the first largest takes what rounding leaves and may pass the cap
    Rounding:   half-up
    Raises:     nothing
    Source:     strategy reference A5.3
    """
    if not scores:
        return []
    return cap_weights(scores, max_weight_bp(len(scores), capital, params), params.exponent)


def cap_weights(scores: Sequence[float], cap_bp: float, exponent: float) -> list[int]:
    """Return weights by a power law under a given cap.

    Parameters: scores  basis points, >= 0   ·   cap_bp  > 0   ·   exponent  of the power law
    Returns:    basis points that add up to 10,000, zeros if all scores are 0
    Rounding:   half-up, what that leaves to the first largest
    Raises:     nothing
    Source:     strategy reference A5.3, A7
    """
    raw = [(score / _BP) ** exponent if score > 0 else 0.0 for score in scores]
    whole = total(raw)
    if whole == 0:
        return [0] * len(scores)
    shares = [value / whole * _BP for value in raw]
    for _ in range(10):
        clipped = [share > cap_bp for share in shares]
        excess = total(share - cap_bp for share in shares if share > cap_bp)
        if excess == 0:
            break
        shares = [min(share, cap_bp) for share in shares]
        room = [0.0 if was or share >= cap_bp else share for share, was in zip(shares, clipped, strict=True)]
        whole = total(room)
        if whole == 0:
            break
        shares = [share + excess * part / whole for share, part in zip(shares, room, strict=True)]
    rounded = [round_half_up(share) for share in shares]
    rounded[rounded.index(max(rounded))] += _BP - sum(rounded)
    return rounded


def allocate(pools: Sequence[Pool], capital: float | None = None, params: AllocationParams = DEFAULTS) -> Allocation:
    """Return the allocation of the score allocator.

    Parameters: pools  any order   ·   capital  in USD, None if not known (caps by capital and dilution are left out)
    Returns:    targets by descending rate, nothing for pools without a score
    Rounding:   weights to basis points
    Raises:     nothing
    Source:     strategy reference A5.1 to A5.5
    """
    order = sorted(range(len(pools)), key=lambda i: -pools[i].apr)[: params.max_positions]
    scored = [(i, score) for i, score in _scores(pools, order) if score > 0]
    basis = weights([score for _, score in scored], capital, params)
    kept = _without_dust([(i, bp / _BP) for (i, _), bp in zip(scored, basis, strict=True)])
    cap = max_weight_bp(len(kept), capital, params) / _BP
    targets = tuple(Target(i, share, _diluted(pools[i], share, capital)) for i, share in _clip_once(kept, cap))
    return Allocation(targets, total(target.pct * target.expected_apr for target in targets))


def _scores(pools: Sequence[Pool], order: Sequence[int]) -> list[tuple[int, int]]:
    """Return (pool, score in bp) of the candidates; a product below 0 has no score."""
    max_apr = max([0.0, *(pools[i].apr for i in order)])
    max_tvl = max([0.0, *(pools[i].tvl for i in order)])
    if max_apr <= 0 or max_tvl <= 0:
        return [(i, 0) for i in order]
    products = [(i, min(pools[i].apr / max_apr, 1) * min(pools[i].tvl / max_tvl, 1)) for i in order]
    scores = [(i, round_half_up(_BP * math.sqrt(product))) for i, product in products if product >= 0]
    positive = [score for _, score in scores if score > 0]
    if len(positive) == 1 and len(order) >= 2:
        substitute = max(round_half_up(0.1 * positive[0]), 100)
        scores = [(i, substitute if score == 0 and i in order[:2] else score) for i, score in scores]
    return scores


def _without_dust(shares: list[tuple[int, float]]) -> list[tuple[int, float]]:
    kept = [(i, share) for i, share in shares if share >= _DUST]
    dropped = [(i, share) for i, share in shares if share < _DUST]
    if len(kept) == 1 and dropped:
        kept.append((max(dropped, key=lambda entry: entry[1])[0], _DUST))
    whole = total(share for _, share in kept)
    return [(i, share / whole) for i, share in kept] if abs(whole - 1) > 0.001 and whole > 0 else kept


def _clip_once(shares: list[tuple[int, float]], cap: float) -> list[tuple[int, float]]:
    excess = total(share - cap for _, share in shares if share > cap)
    room = total(share for _, share in shares if share < cap)
    if excess <= 0 or room <= 0:
        return [(i, min(share, cap)) for i, share in shares]
    return [(i, cap if share >= cap else share + excess * share / room) for i, share in shares]


def _diluted(pool: Pool, share: float, capital: float | None) -> float:
    if pool.tvl <= 0 or capital is None:
        return pool.apr
    return pool.apr * pool.tvl / (pool.tvl + share * capital)


def water_fill(pools: Sequence[Pool], capital: float | None = None, params: AllocationParams = DEFAULTS) -> Allocation:
    """Return the allocation of the documented water-fill, which levels the *average* diluted rate.

    Parameters: pools  any order   ·   capital  in USD, 10,000 if not known
    Returns:    targets by descending rate; one pool gets everything at its undiluted rate
    Rounding:   floats; the level is bisected 64 times at most
    Raises:     nothing
    Source:     strategy reference A5
    """
    order = [i for i in sorted(range(len(pools)), key=lambda i: -pools[i].apr) if pools[i].apr > 0]
    order = order[: params.max_positions]
    if not order:
        return Allocation((), 0.0)
    if len(order) == 1:
        only = Target(order[0], 1.0, pools[order[0]].apr)
        return Allocation((only,), only.expected_apr)
    money = DEFAULT_CAPITAL if capital is None or capital <= 0 else capital
    level = _level([pools[i] for i in order], money)
    wanted = [(i, max((pools[i].apr / level - 1) * pools[i].tvl / money, 0.0)) for i in order]
    kept = [(i, share) for i, share in wanted if share > _DUST]
    whole = total(share for _, share in kept)
    targets = tuple(Target(i, share / whole, _diluted(pools[i], share, money)) for i, share in kept)
    return Allocation(targets, total(target.pct * target.expected_apr for target in targets))


def _level(pools: Sequence[Pool], capital: float) -> float:
    low, high = 1e-4, pools[0].apr
    for _ in range(64):
        level = (low + high) / 2
        filled = total(max((pool.apr / level - 1) * pool.tvl / capital, 0.0) for pool in pools)
        if abs(filled - 1) < 1e-10:
            break
        low, high = (level, high) if filled > 1 else (low, level)
    return (low + high) / 2
