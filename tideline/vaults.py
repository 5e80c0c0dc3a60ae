"""What a job's vault is, found out on its chain, and so how its positions are found at every block."""

from __future__ import annotations

from db.job import Job
from executor.vault_adapter import TidelineVault
from executor.vault_facts import is_our_code, read_code
from protocol.errors import ConfigError
from simulator.chain.abi import address_of, call_data, read_words
from simulator.chain.blocks import Header, header_request
from simulator.chain.endpoints import Endpoints
from simulator.chain.market import ChainSettings, read_info
from simulator.chain.rpc import Absent, Refused, Request, Rpc
from simulator.chain.snapshot import VaultQuery, VaultSource

_DEADLINE_S = 15.0
_READING = ChainSettings(block_time_s=1, deadline_s=_DEADLINE_S)  # the seconds of a block do not matter here


async def vault_source(endpoints: Endpoints, job: Job, manager: str | None) -> VaultSource:
    """Return how a job's vault is read: our own lists its positions itself, others' are held by a position manager.

    Raises ConfigError where it is on another pool, or live rounds on chain are wanted of a vault that has no executor.
    """
    vault = TidelineVault(job.sn_liquidity_manager_address)
    pool = await _pool_of(endpoints, vault.address)
    if pool is None and job.live_mode == "chain":
        raise ConfigError(f"job {job.job_id}: {vault.address} is no vault of ours, so no executor serves it; use paper")
    if pool is None:
        return VaultQuery(vault.address, manager)
    if pool != job.pair_address.lower():
        raise ConfigError(f"job {job.job_id}: its vault {vault.address} is on pool {pool}, not on its pair_address")
    # On paper the list is all that matters, and another version of our vault gives it as well.
    if job.live_mode == "chain" and not await _has_our_code(endpoints, vault.address, pool):
        why = f"{vault.address} answers as a vault of ours does, but its code is not what is built here"
        raise ConfigError(f"job {job.job_id}: {why}, so no executor serves it; use paper")

    async def listed(rpc: Rpc, header: Header) -> VaultQuery:
        return (await vault.listing(rpc, header.block_hash, deadline_s=_DEADLINE_S)).query

    return listed


async def _has_our_code(endpoints: Endpoints, vault: str, pool: str) -> bool:
    info = await read_info(endpoints, pool, _READING)
    header = await endpoints.ask(header_request(await endpoints.head(deadline_s=_DEADLINE_S)), deadline_s=_DEADLINE_S)
    if header is None:
        raise Absent("the newest block is gone")
    return is_our_code(await read_code(endpoints, header, vault, deadline_s=_DEADLINE_S), info)


async def _pool_of(rpc: Rpc, vault: str) -> str | None:
    """Return the pool that a vault of ours names; None where there is no such vault."""
    call = {"to": vault, "data": call_data("POOL()")}
    try:
        answer = await rpc.ask(Request("eth_call", (call, "latest"), _words, is_decisive=True), deadline_s=_DEADLINE_S)
    except Refused:
        return None
    return address_of(answer[0]) if len(answer) == 1 else None


def _words(value: object) -> list[int]:
    return [] if value == "0x" else read_words(value)
