import pytest

from miner.strategies.three_force import regime
from miner.strategies.three_force.candles import Candle
from miner.strategies.three_force.range import DEFAULTS as RANGE
from miner.strategies.three_force.range import RangeParams
from miner.strategies.three_force.regime import Regime

NORMAL = Regime()


def bars(
    n: int, span: float, *, last_span: float | None = None, last_close: float = 1.0, volume: float = 100
) -> list[Candle]:
    """Return flat bars; the last 60 with another span, the last with another close, the last 15 with a volume."""
    result: list[Candle] = []
    for i in range(n):
        width = last_span if last_span is not None and i >= n - 60 else span
        close = last_close if i == n - 1 else 1.0
        result.append((60_000 * i, 1.0, 1 + width, 1 - width, close, volume if i >= n - 15 else 100.0))
    return result


@pytest.mark.parametrize(
    ("candles", "is_stable", "expected"),
    [
        (bars(1500, 0.0003), False, NORMAL),
        (bars(1500, 0.0003, last_span=0.004), False, Regime("vol_spike", 11)),
        (bars(1500, 0.0003, last_close=1.027), False, Regime("price_displacement", 11)),
        (bars(1500, 0.0003, last_close=1.018), True, NORMAL),
        (bars(1500, 0.0003, last_close=0.978), True, Regime("price_displacement", 11)),
        (bars(1500, 0.0003, volume=700), False, Regime("volume_anomaly", None, 1.5)),
        (bars(1500, 0.0003, volume=520), False, NORMAL),
        (bars(500, 0.004, last_close=1.085), False, NORMAL),
        (bars(500, 0.004, last_close=1.12), False, Regime("price_displacement", 11)),
        (bars(1500, 0.004, last_close=1.12), False, NORMAL),
        (bars(1500, 0.004, last_close=1.1489), False, Regime("price_displacement", 11)),
        (bars(1500, 0.004, last_close=1.1488), False, NORMAL),
        (bars(59, 0.0003, last_close=2.0), False, NORMAL),
    ],
)
def test_regimes_of_the_reference(candles: list[Candle], is_stable: bool, expected: Regime) -> None:  # noqa: FBT001  # a table
    found = regime.detect(candles, 7, is_stable=is_stable)
    assert found == expected
    assert found.is_suppressed is (found.type in ("vol_spike", "price_displacement"))


def test_what_widening_does() -> None:
    wider, pra = regime.widen(RANGE, 0.05, 1.5)
    assert (wider.base_min, wider.base_max, wider.rs_threshold) == (0.00075, 0.042, 0.375)
    assert pra == pytest.approx(0.15, abs=1e-15)
    assert regime.widen(RangeParams(rs_threshold=0.7), 0.5, 1.5)[0].rs_threshold == 0.9
    assert regime.widen(RANGE, 0.05, 1.0) == (RANGE, 0.05)


def test_stable_pairs() -> None:
    assert regime.is_stable_pair("USDC", "DAI")
    assert not regime.is_stable_pair("USDC", "WETH")


def switch(
    *,
    epoch_yields: tuple[float, ...] = (),
    shift_times_ms: tuple[int, ...] = (),
    params: RangeParams = RANGE,
    gas_24h: float = 0.0,
) -> str | None:
    return regime.kill_switch(
        epoch_yields=epoch_yields,
        shift_times_ms=shift_times_ms,
        now_ms=100_000_000,
        params=params,
        position_value=10_000,
        gas_24h=gas_24h,
        cycle_s=1800,
    )


def test_each_kill_switch_fires_at_its_limit() -> None:
    four_hours_ms = 4 * 3_600_000
    assert switch() is None
    assert switch(epoch_yields=(-0.01,) * 11) is None
    assert switch(epoch_yields=(5.0,) + (-0.01,) * 12) == "negative_trailing_yield"
    assert switch(shift_times_ms=(99_999_999,) * 9) == "excessive_rs"
    assert switch(shift_times_ms=(99_999_999,) * 8) is None
    assert switch(shift_times_ms=(100_000_000 - four_hours_ms,) * 9) is None
    assert switch(gas_24h=500) is None
    assert switch(gas_24h=500.01) == "gas_budget_exceeded"
    assert switch(params=RangeParams(base_min=0.0045, base_max=0.005)) == "pathological_range"
