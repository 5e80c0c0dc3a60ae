"""The demonstration: two real markets, one job on each, four miners."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from db.job import Job, validate_job
from protocol.units import JobId

NOBODY = "0x0000000000000000000000000000000000000000"  # a virtual vault has no address
LIVE_JOB_ID = JobId("wbtc-weth-live")
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


@dataclass(frozen=True, slots=True)
class DemoDevnet:
    """The private chain that plays a record. A devnet has the same addresses at every start."""

    record: str
    chain_id: int
    pool: str

    def market_settings(self) -> dict[str, Any]:
        """Return the settings that put a job on it."""
        return {"feed": "chain", "record": None, "chain_id": self.chain_id, "pair_address": self.pool}


DEMO_DEVNETS = {
    net.record: net
    for net in (
        DemoDevnet("usdc-weth-005", 31337, "0x6562a3Fb2bf11FE1B48dA606624e56018E1Ae3c0"),
        DemoDevnet("wbtc-weth-03", 31338, "0x8B77858C7C8b8E7194Dbde1CC40d8C126Fea79AA"),
    )
}


def market_settings(job: Job) -> dict[str, Any]:
    """Return the settings of a job that say on which market it plays."""
    return {"feed": job.feed, "record": job.record, "chain_id": job.chain_id, "pair_address": job.pair_address}


def devnet_of(job: Job) -> DemoDevnet | None:
    """Return the devnet on which a job plays; None where it plays on another market."""
    return next((net for net in DEMO_DEVNETS.values() if market_settings(job) == net.market_settings()), None)


def demo_jobs(*, on_devnet: bool = False) -> tuple[Job, ...]:
    """Return the two jobs: grow the value of USDC and WETH in USDC, and grow an inventory of WBTC and WETH at its own
    ratio.
    """
    jobs = _recorded_jobs()
    if not on_devnet:
        return jobs
    return tuple(replace(job, **DEMO_DEVNETS[job.record].market_settings()) for job in jobs if job.record)


def live_demo_job() -> Job:
    """Return the job of the live demonstration as its first days are played: on the record, with a virtual vault.

    Its weight is 0: its days are played in seconds, on a market that another job plays too, and earn no miner anything.
    """
    return replace(demo_jobs()[1], job_id=LIVE_JOB_ID, weight=Decimal(0))


def _recorded_jobs() -> tuple[Job, ...]:
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
