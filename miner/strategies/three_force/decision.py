"""Re-allocate everything, shift some positions, or hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from miner.strategies.three_force import range as ranges
from miner.strategies.three_force.sums import mean, total

Action = Literal["PRA", "RS", "HOLD"]
_HOLD_MS = 12 * 3_600_000
GAS_USD = {
    "ethereum": 5.0,
    "bsc": 0.15,
    "polygon": 0.08,
    "hyperevm": 0.02,
    "base": 0.05,
    "arbitrum": 0.10,
    "avalanche": 0.15,
}
OTHER_GAS_USD = 0.10


@dataclass(frozen=True, slots=True)
class DecisionParams:
    """The published thresholds."""

    pra_threshold: float = 0.05
    rs_threshold: float = 0.25
    min_interval_ms: int = _HOLD_MS
    pra_gas_multiple: float = 1.5
    rs_gas_multiple: float = 2.0
    min_gain: float = 0.005  # counts as an improvement where nothing is earned now
    horizon_days: float = 7.0


DEFAULTS = DecisionParams()


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """A position as it was entered. `is_bin` marks bin-type pools, whose ranges are never shifted."""

    value: float
    entry_apr: float
    tick_lower: int
    tick_upper: int
    entry_time_ms: int | None = None
    is_bin: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do. `shifts` are places in the list of positions; divergences only where shifting was considered."""

    action: Action
    shifts: tuple[int, ...]
    current_apr: float
    optimal_apr: float
    improvement: float
    divergences: tuple[float | None, ...]


def decide(
    positions: Sequence[OpenPosition],
    targets: Iterable[tuple[float, float]],
    price: float,
    forces: Iterable[float],
    *,
    now_ms: int,
    gas: float = 0.0,
    last_rebalance_ms: int | None = None,
    params: DecisionParams = DEFAULTS,
    range_params: ranges.RangeParams = ranges.DEFAULTS,
) -> Decision:
    """Return what the published system does now.

    Parameters: positions  held   ·   targets  (share, expected rate per year)   ·   price  token1 per token0
                forces  (v, m, t)   ·   gas  of one rebalance, in the currency of the values
                last_rebalance_ms  default: the latest entry time of the positions
                range_params  the published system passes its defaults here, whatever it optimized
    Returns:    the action with the figures behind it
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference A6
    """
    value = total(p.value for p in positions)
    current = (
        total(p.entry_apr * p.value for p in positions) / value if value > 0 else mean([p.entry_apr for p in positions])
    )
    optimal = total(share * apr for share, apr in targets)
    gain = optimal - current
    improvement = gain / current if current > 0 else float(gain > params.min_gain)

    def choose(action: Action, *shifts: int, found: Sequence[float | None] = ()) -> Decision:
        return Decision(action, shifts, current, optimal, improvement, tuple(found))

    entries = [p.entry_time_ms for p in positions if p.entry_time_ms is not None]
    last = max(entries, default=None) if last_rebalance_ms is None else last_rebalance_ms
    if last is not None and now_ms - last < params.min_interval_ms:
        return choose("HOLD")
    if improvement > params.pra_threshold:
        is_dear = gas > 0 and value > 0 and gain * value * params.horizon_days / 365 < params.pra_gas_multiple * gas
        return choose("HOLD" if is_dear else "PRA")
    wanted = ranges.compute(price, forces, range_params)
    found = [_divergence(p, (wanted.lower, wanted.upper)) for p in positions]
    shifts = [
        i
        for i, (p, d) in enumerate(zip(positions, found, strict=True))
        if d is not None and d > params.rs_threshold and not _is_dear(p, d, gas, params)
    ]
    return choose("RS" if shifts else "HOLD", *shifts, found=found)


def _divergence(position: OpenPosition, wanted: tuple[float, float]) -> float | None:
    if position.is_bin:
        return None
    held = (ranges.tick_to_price(position.tick_lower), ranges.tick_to_price(position.tick_upper))
    return ranges.divergence(held, wanted)


def _is_dear(position: OpenPosition, divergence: float, gas: float, params: DecisionParams) -> bool:
    benefit = position.value * divergence * position.entry_apr * params.horizon_days / 365
    return gas > 0 and position.value > 0 and benefit < params.rs_gas_multiple * gas
