"""The demonstration: two real recorded markets, one job on each, four miners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from db.job import Job, validate_job

NOBODY = "0x0000000000000000000000000000000000000000"  # a virtual vault has no address
GAS_PRICE_WEI = "50000000"  # 0.05 gwei, a price of the layer-2 chains that vaults of this size live on


@dataclass(frozen=True, slots=True)
class DemoMiner:
    """A miner of the demonstration: a development key and a strategy with its settings."""

    name: str
    strategy: str
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def key_uri(self) -> str:
        """Everybody knows this key: it is for a chain in memory."""
        return f"//tideline//{self.name}"


DEMO_VALIDATOR_URI = "//tideline//validator"
DEMO_OWNER_URI = "//tideline//owner"

DEMO_MINERS = (
    DemoMiner("hold", "hold"),
    DemoMiner("wide", "wide"),
    DemoMiner("band", "band"),
    DemoMiner("narrow-band", "band", (("half_width", "8"), ("edge", "2"))),
)


def demo_jobs() -> tuple[Job, ...]:
    """Return the two jobs: grow the value of USDC and WETH in USDC, and grow an inventory of WBTC and WETH at its own
    ratio.
    """
    common: dict[str, Any] = {
        "sn_liquidity_manager_address": NOBODY,
        "chain_id": 1,
        "feed": "recorded",
        "gas_price_wei": GAS_PRICE_WEI,
        "native_token": "token1",
    }
    usdc_weth = {
        **common,
        "job_id": "usdc-weth",
        "pair_address": "0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640",
        "target": "max_value",
        "quote_token": "token0",
        "round_duration_seconds": 900,
        "checkpoint_interval_blocks": 20,
        "record": "usdc-weth-005",
        "opening": {"amount0": "10000000000", "amount1": "4400000000000000000"},
    }
    wbtc_weth = {
        **common,
        "job_id": "wbtc-weth",
        "pair_address": "0xcbcdf9626bc03e24f779434178a73a0b4bad62ed",
        "target": "pol",
        "quote_token": "token1",
        "round_duration_seconds": 3600,
        "checkpoint_interval_blocks": 75,
        "record": "wbtc-weth-03",
        "opening": {
            "amount0": "0",
            "amount1": "0",
            "positions": [
                {"tick_lower": 253800, "tick_upper": 259980, "amount0": "100000000", "amount1": "14300000000000000000"}
            ],
        },
    }
    return validate_job(usdc_weth), validate_job(wbtc_weth)
