"""Whom the weights go to, and in which numbers: from scores by identity to a vector that the chain accepts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from protocol.errors import SimulationError
from protocol.units import Uid
from validator.metagraph import Identity, Metagraph

U16_MAX = 65535

Weight: TypeAlias = int | float | Fraction


@dataclass(frozen=True, slots=True)
class WeightLimits:
    """The subnet's rules for a weight vector. `max_weight_limit` is a share of 65535, rates are in blocks."""

    min_allowed: int
    max_weight_limit: int
    rate_limit: int
    version_key: int
    commit_reveal: bool


def weights_by_uid(weights: Mapping[Identity, Weight], metagraph: Metagraph) -> dict[Uid, int]:
    """Return the vector for the chain: each scored identity's weight on the uid it holds in `metagraph`.

    Parameters: weights  finite, >= 0, any scale, keyed by (hotkey, registration block)   ·   metagraph  taken now
    Returns:    uid → u16 in uid order, the largest 65535, zeros left out; empty when nobody has a positive weight.
                An identity that is gone, replaced or registered anew gets nothing, and so does its old seat
    Rounding:   to nearest, ties to even, computed exactly, so that every validator sends the same integers
    Raises:     SimulationError for NaN, infinity or a negative weight: our own arithmetic failed, nothing is sent
    Source:     network reference §6 (max-upscaled u16), §7 (state by identity; all zero is never uniform)
    """
    seats = metagraph.uid_by_identity()
    exact = {identity: _exact(weight, identity) for identity, weight in weights.items()}
    seated = {seats[identity]: weight for identity, weight in exact.items() if identity in seats and weight > 0}
    if not seated:
        return {}
    top = max(seated.values())
    scaled = {uid: round(weight * U16_MAX / top) for uid, weight in sorted(seated.items())}
    return {uid: value for uid, value in scaled.items() if value > 0}


def _exact(weight: Weight, identity: Identity) -> Fraction:
    if isinstance(weight, float) and not math.isfinite(weight):
        raise SimulationError("a weight is not a finite number", weight=weight, hotkey=identity.hotkey)
    if weight < 0:
        raise SimulationError("a weight is negative", weight=weight, hotkey=identity.hotkey)
    return Fraction(weight)


def within_limit(vector: Mapping[Uid, int], max_weight_limit: int) -> dict[Uid, int]:
    """Return the vector with its largest entries cut until none exceeds the subnet's share of the total.

    Parameters: vector  u16 values > 0  ·   max_weight_limit  share of 65535 that no entry may exceed
    Returns:    uid → u16, the largest 65535, unchanged where it already fits; empty when only (nearly) equal
                weights could fit: the SDK would send a uniform vector then, which nobody earned
    Rounding:   the cut down, by integer search; what is not cut is scaled up by ceiling, so that the sum is never
                too small. The cap keeps 1/65536 in hand: after it the SDK's own float clipping has nothing to do
    Raises:     nothing
    Source:     network reference §6; the chain refuses max/sum > limit, and the SDK's clip is exact only before
                quantisation (at 33000 of 65535 its {1, 65535, 20000} becomes a vector that the chain refuses)
    """
    if max_weight_limit >= U16_MAX or not vector:
        return dict(vector)
    fine = {uid: value << 16 for uid, value in vector.items()}  # so that small numbers can be cut finely as well

    def fits(cap: int) -> bool:
        return (U16_MAX + 1) * cap <= max_weight_limit * sum(min(value, cap) for value in fine.values())

    # limit·Σmin(v, cap) − 65536·cap is concave in cap and 0 at 0: what fits is an interval from 0.
    low, high = 0, max(fine.values())
    if fits(high):
        return dict(vector)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    if low == 0:
        return {}
    return {uid: -(-min(value, low) * U16_MAX // low) for uid, value in fine.items()}


def too_few_entries(limits: WeightLimits, *, positive: int, netuid: int) -> str | None:
    """Return why a vector with `positive` non-zero entries would be refused for its length, or None.

    Parameters: limits  the subnet's rules   ·   positive  number of entries above zero (a sole self-weight is exempt)
    Returns:    one line that says what to change, for the start-up check and for the refusal itself
    Rounding:   none
    Raises:     nothing
    Source:     network reference §6: the chain counts entries, the SDK counts non-zero ones, so the stricter holds
    """
    if positive >= limits.min_allowed:
        return None
    return (
        f"subnet {netuid} accepts no weight vector with fewer than {limits.min_allowed} non-zero entries and ours has "
        f"{positive}: the subnet owner can lower min_allowed_weights, or more miners must earn a weight"
    )


def fit_to_limits(
    vector: Mapping[Uid, int], *, own_uid: Uid, limits: WeightLimits, netuid: int
) -> dict[Uid, int] | str:
    """Return the vector as the subnet's rules allow it, or the line that says why they cannot.

    Parameters: vector  u16 values > 0   ·   own_uid  of the validator   ·   limits  the subnet's rules
    Returns:    uid → u16; a sole weight on oneself is exempt from every limit
    Rounding:   that of `within_limit`
    Raises:     nothing
    Source:     network reference §6
    """
    if list(vector) == [own_uid]:
        return dict(vector)
    fitting = within_limit(vector, limits.max_weight_limit)
    if not fitting:
        return (
            f"subnet {netuid} lets no entry exceed {limits.max_weight_limit}/65535 of the total, which {len(vector)} "
            "entries can only meet by being equal: the subnet owner can raise max_weight_limit, or more miners must "
            "earn a weight"
        )
    return too_few_entries(limits, positive=len(fitting), netuid=netuid) or fitting
