"""Live rounds with the executor as an operator runs it: killed in the middle."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from support.executor_desk import KEEPER, KEEPER_KEY
from support.live_world import JOB, LiveWorld, intents, live_world, reputation, seed_days, validate
from support.processes import Background, start

from protocol.errors import ConfigError
from simulator.chain.snapshot import VaultQuery
from simulator.portfolio import Range
from tideline.chains import ChainAccess
from tideline.markets import open_market
from tideline.vaults import vault_source
from validator.progress import PlanExecuted, RoundVoided, VaultScored
from validator.verification import check, load

MANAGER = "0x" + "0c" * 20


def executor(world: LiveWorld, folder: Path, *options: str) -> Background:
    """Start the process, with the key of the vault's keeper."""
    chain = world.here.made.chain
    node = ("--rpc", chain.anvil.url, "--allow", world.here.made.vault, "--factory", chain.factory)
    command = ("executor", *node, "--db", "sqlite:///jobs.sqlite3", "--key", "env:K", "--live", *options)
    return start(folder, *command, env={"K": KEEPER_KEY})


async def test_an_executor_killed_in_the_middle_of_a_live_round_carries_its_plan_out_once(tmp_path: Path) -> None:
    async with live_world(f"sqlite:///{tmp_path}/jobs.sqlite3") as world:
        world.executor = None
        await seed_days(world)
        chain = world.here.made.chain

        async def kill_and_start_again() -> None:
            if [e.status for e in await intents(world)] != ["planned"]:
                return
            if (await chain.head()).number < (await intents(world))[0].effective_block - 1:
                return
            with executor(world, tmp_path) as dying:
                await asyncio.to_thread(dying.until, "-live-1-0: calls ")
                dying.signal(signal.SIGKILL)
                assert await asyncio.to_thread(dying.end) == -signal.SIGKILL
            with executor(world, tmp_path, "--once") as again:
                ending = asyncio.create_task(asyncio.to_thread(again.end))
                while not ending.done():
                    if int((await chain.ask("txpool_status"))["pending"], 16) or await world.here.rebalances():
                        await chain.mine()
                    await asyncio.wait({ending}, timeout=0.2)
                assert await ending == 0, again.lines

        world.before_block = kill_and_start_again
        watch = await validate(world, rounds=1)
        assert watch.of(RoundVoided) == [] and await world.here.rebalances() == 1
        [executed], [scored] = watch.of(PlanExecuted), watch.of(VaultScored)
        assert executed.tx_hash == (await intents(world))[0].tx_hash
        [found] = check(await load(world.here.store, f"{JOB}-live-1")).participants
        assert found.score_e18 == scored.score_e18 and (await reputation(world)).live_rounds == 1


async def test_what_a_jobs_vault_is_is_found_out_on_its_chain(tmp_path: Path) -> None:
    """A vault of ours lists its ranges at each block; others' are asked of the position manager, and not on chain."""
    async with live_world(f"sqlite:///{tmp_path}/jobs.sqlite3") as world:
        job = await world.here.store.get_job(JOB)
        assert job is not None
        await seed_days(world)
        await validate(world, rounds=1)
        access = ChainAccess((world.here.made.chain.anvil.url,), 1, 2, MANAGER)
        market = await open_market(job, None, None, {job.chain_id: access})
        try:
            await market.open_round(1)
            assert market.vault is not None and market.vault.in_pool
            assert [p.range for p in market.vault.positions] == [Range(-600, 600)]
        finally:
            await market.close()
        stranger = replace(job, sn_liquidity_manager_address=KEEPER.address, live_mode="paper")
        rpc = world.here.endpoints
        assert await vault_source(rpc, stranger, MANAGER) == VaultQuery(KEEPER.address, MANAGER)
        for changes, says in (
            ({"sn_liquidity_manager_address": world.here.made.chain.manager}, "is no vault of ours, so no executor"),
            ({"pair_address": world.here.made.vault}, "is on pool 0x"),
        ):
            with pytest.raises(ConfigError, match=says):
                await vault_source(rpc, replace(job, **changes), MANAGER)
        code = await world.here.made.chain.ask("eth_getCode", world.here.made.vault, "latest")
        other = code.replace(b"too narrow".hex(), b"too harrow".hex())
        await world.here.made.chain.ask("anvil_setCode", world.here.made.vault, other)
        with pytest.raises(ConfigError, match="its code is not what is built here, so no executor serves it"):
            await vault_source(rpc, job, MANAGER)
        assert callable(await vault_source(rpc, replace(job, live_mode="paper"), MANAGER))
