"""What a job's vault is, found out on its chain, and so how its positions are found at every block."""

from __future__ import annotations

from db.job import Job
from executor.vault_adapter import TidelineVault
from protocol.errors import ConfigError
from simulator.chain.abi import address_of, call_data, read_words
from simulator.chain.blocks import Header
from simulator.chain.rpc import Refused, Request, Rpc
from simulator.chain.snapshot import VaultQuery, VaultSource

_DEADLINE_S = 15.0


async def vault_source(rpc: Rpc, job: Job, manager: str | None) -> VaultSource:
    """Return how a job's vault is read: our own lists its positions itself, others' are held by a position manager.

    Raises ConfigError where it is on another pool, or live rounds on chain are wanted of a vault that has no executor.
    """
    vault = TidelineVault(job.sn_liquidity_manager_address)
    pool = await _pool_of(rpc, vault.address)
    if pool is None and job.live_mode == "chain":
        raise ConfigError(f"job {job.job_id}: {vault.address} is no vault of ours, so no executor serves it; use paper")
    if pool is None:
        return VaultQuery(vault.address, manager)
    if pool != job.pair_address.lower():
        raise ConfigError(f"job {job.job_id}: its vault {vault.address} is on pool {pool}, not on its pair_address")

    async def listed(rpc: Rpc, header: Header) -> VaultQuery:
        return (await vault.listing(rpc, header.block_hash, deadline_s=_DEADLINE_S)).query

    return listed


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
