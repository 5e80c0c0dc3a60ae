"""Extraordinary markets, and reasons to go back to the default parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from miner.strategies.three_force.candles import Candle
from miner.strategies.three_force.forces import parkinson_volatility
from miner.strategies.three_force.range import RangeParams
from miner.strategies.three_force.sums import mean, std, total

Kind = Literal["normal", "vol_spike", "price_displacement", "volume_anomaly"]
Switch = Literal["negative_trailing_yield", "excessive_rs", "pathological_range", "gas_budget_exceeded"]
STABLE_SYMBOLS = frozenset({"USDC", "USDT", "DAI", "FRAX", "LUSD", "TUSD", "BUSD"})
_FOUR_HOURS_MS = 4 * 3_600_000


@dataclass(frozen=True, slots=True)
class RegimeParams:
    """The published limits."""

    block_bars: int = 60
    min_blocks: int = 10
    spike_deviations: float = 3.0
    stable_displacement: float = 0.02
    volatile_displacement: float = 0.10
    displacement_sigmas: float = 4.0
    volume_bars: int = 15
    volume_multiple: float = 5.0
    suppressed_epochs: int = 4
    widen: float = 1.5


DEFAULTS = RegimeParams()


@dataclass(frozen=True, slots=True)
class Regime:
    """What kind of market it is; until which epoch nothing is done; by how much ranges widen."""

    type: Kind = "normal"
    suppressed_until: int | None = None
    widen: float = 1.0

    @property
    def is_suppressed(self) -> bool:
        """Whether this cycle holds."""
        return self.suppressed_until is not None


def is_stable_pair(symbol0: str, symbol1: str) -> bool:
    """Return whether both tokens are dollars.

    Parameters: symbol0, symbol1  as the tokens spell them
    Returns:    True if both are in the published list
    Rounding:   none
    Raises:     nothing
    Source:     strategy reference A4
    """
    return symbol0 in STABLE_SYMBOLS and symbol1 in STABLE_SYMBOLS


def detect(m1_candles: Sequence[Candle], epoch: int, *, is_stable: bool, params: RegimeParams = DEFAULTS) -> Regime:
    """Return the regime of the last hour.

    Parameters: m1_candles  ascending   ·   epoch  of this cycle   ·   is_stable  see `is_stable_pair`
    Returns:    the first that applies: a spike of volatility, a displaced price, a burst of volume; else normal
    Rounding:   floats
    Raises:     ZeroDivisionError for closes of 0
    Source:     strategy reference A4
    """
    n, size = len(m1_candles), params.block_bars
    if n < size:
        return Regime()
    suppressed = epoch + params.suppressed_epochs
    blocks = [parkinson_volatility(m1_candles[i : i + size], size) for i in range(0, n - size + 1, size)]
    has_history = len(blocks) > params.min_blocks
    centre = mean(blocks)
    if has_history and parkinson_volatility(m1_candles, size) > centre + params.spike_deviations * std(blocks):
        return Regime("vol_spike", suppressed)
    first, last = m1_candles[-size][4], m1_candles[-1][4]
    if is_stable:
        limit = params.stable_displacement
    elif has_history and centre > 0:
        limit = max(params.displacement_sigmas * centre * math.sqrt(size), params.stable_displacement)
    else:
        limit = params.volatile_displacement
    if abs(last - first) / first > limit:
        return Regime("price_displacement", suppressed)
    average = total(bar[5] for bar in m1_candles) / (n / params.volume_bars)
    recent = total(bar[5] for bar in m1_candles[-params.volume_bars :])
    if average > 0 and recent > params.volume_multiple * average:
        return Regime("volume_anomaly", widen=params.widen)
    return Regime()


def widen(params: RangeParams, pra_threshold: float, factor: float) -> tuple[RangeParams, float]:
    """Return range parameters and the re-allocation threshold in a regime that widens.

    Parameters: params  of the range   ·   pra_threshold  a fraction   ·   factor  1 leaves all as it is
    Returns:    both base widths times the factor, both thresholds raised, at most to 0.9
    Rounding:   floats
    Raises:     nothing
    Source:     strategy reference A4
    """
    if factor == 1:
        return params, pra_threshold
    wider = replace(
        params,
        base_min=params.base_min * factor,
        base_max=params.base_max * factor,
        rs_threshold=min(factor * params.rs_threshold, 0.9),
    )
    return wider, min(pra_threshold * factor * 2, 0.9)


def kill_switch(
    *,
    epoch_yields: Sequence[float],
    shift_times_ms: Sequence[int],
    now_ms: int,
    params: RangeParams,
    position_value: float,
    gas_24h: float,
    cycle_s: int,
) -> Switch | None:
    """Return why the default parameters must be used, or None.

    Parameters: epoch_yields  net, oldest first   ·   position_value, gas_24h  in one currency   ·   cycle_s  > 0
    Returns:    the first that applies
    Rounding:   floats; the number of epochs in six hours is rounded up
    Raises:     nothing
    Source:     strategy reference A4
    """
    epochs = math.ceil(6 * 3600 / cycle_s)
    if len(epoch_yields) >= epochs and mean(epoch_yields[-epochs:]) < 0:
        return "negative_trailing_yield"
    if sum(time_ms > now_ms - _FOUR_HOURS_MS for time_ms in shift_times_ms) > 8:
        return "excessive_rs"
    if params.base_max - params.base_min < 0.001:
        return "pathological_range"
    if position_value > 0 and gas_24h > 0.05 * position_value:
        return "gas_budget_exceeded"
    return None
