"""From a job's stored settings to what the simulator takes."""

from __future__ import annotations

from db.job import Job
from protocol.errors import ConfigError, SimulationError
from protocol.units import Hotkey
from simulator.fork import Inventory, virtual_vault
from simulator.gas import DEFAULT_GAS_TABLE, GasTable
from simulator.ledger import GasPolicy
from simulator.market import MarketInfo
from simulator.opening import Entrant, RoundOpening, Schedule
from simulator.portfolio import Range, VaultState
from simulator.snapshot import PoolSnapshot
from simulator.valuation import QuoteToken, Target


def schedule(job: Job, market: MarketInfo) -> Schedule:
    """Return the job's schedule on this market's chain. Raises ConfigError when the two do not fit."""
    if (job.chain_id, job.pair_address.lower()) != (market.chain_id, market.pair_address.lower()):
        raise ConfigError(
            f"job {job.job_id} is on chain {job.chain_id} pool {job.pair_address}, its market is on chain "
            f"{market.chain_id} pool {market.pair_address}; correct the job's chain_id and pair_address"
        )
    return Schedule.from_settings(
        duration_s=job.round_duration_seconds,
        checkpoint_interval_blocks=job.checkpoint_interval_blocks,
        deadline_s=job.miner_deadline_seconds,
        block_time_s=market.block_time_s,
    )


def vault(job: Job, snapshot: PoolSnapshot, on_chain: VaultState | None) -> VaultState:
    """Return the vault as the round opens: the virtual one that the job describes, else the real one as it was read."""
    if job.opening is None:
        if on_chain is None:
            raise ConfigError(
                f"job {job.job_id} reads its vault on chain, which its feed does not reach; give it an opening"
            )
        if not on_chain.positions and on_chain.idle0 == on_chain.idle1 == 0:
            raise SimulationError("the vault is empty: nothing can be scored", vault=job.sn_liquidity_manager_address)
        return on_chain
    positions = tuple((Range(p.tick_lower, p.tick_upper), p.amount0, p.amount1) for p in job.opening.positions)
    inventory = Inventory(
        job.opening.amount0 + sum(p[1] for p in positions),
        job.opening.amount1 + sum(p[2] for p in positions),
        positions,
    )
    return virtual_vault(snapshot, inventory)


def gas_policy(job: Job, table: GasTable) -> GasPolicy:
    """Return how gas is charged: in the pool token that is the native one, or in the quote token at the job's rate."""
    if job.native_token is not None:
        return GasPolicy(job.gas_price_wei, job.native_token == "token0", 1, 1, table)
    if job.native_rate_num is not None and job.native_rate_den is not None:
        return GasPolicy(
            job.gas_price_wei, job.quote_token == "token0", job.native_rate_num, job.native_rate_den, table
        )
    return GasPolicy(0, token_is_0=False, rate_numerator=1, rate_denominator=1, table=table)


def round_opening(
    job: Job,
    market: MarketInfo,
    snapshot: PoolSnapshot,
    vault: VaultState,
    entrants: tuple[Entrant, ...],
    *,
    round_type: str,
    number: int,
    validator_hotkey: Hotkey,
    is_on_chain: bool = False,
) -> RoundOpening:
    """Return the opening of one of the job's rounds: the validator's, and a back-test's."""
    return RoundOpening(
        round_id=f"{job.job_id}-{round_type}-{number}",
        round_number=number,
        round_type=round_type,
        job_id=job.job_id,
        vault_address=job.sn_liquidity_manager_address,
        market=market,
        target=Target(job.target),
        quote_token=QuoteToken(job.quote_token),
        schedule=schedule(job, market),
        gas=gas_policy(job, DEFAULT_GAS_TABLE),
        max_pool_share_ppm=job.max_pool_share,
        entrants=entrants,
        validator_hotkey=validator_hotkey,
        snapshot=snapshot,
        vault=vault,
        is_on_chain=is_on_chain,
    )
