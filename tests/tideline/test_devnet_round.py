"""Whole rounds on a devnet: real anvil, real contracts, four miners over signed HTTP, held against the chain itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.services import Watch, closed, soon

from db.job import Job
from db.store import Store
from protocol.signing import keypair_from_uri
from protocol.units import Hotkey
from simulator import records
from simulator.chain.blocks import Header
from simulator.chain.devnet import Devnet
from simulator.chain.lens import lens_code
from simulator.chain.rpc import HttpRpc
from simulator.chain.snapshot import read_snapshot
from simulator.events import Block, SwapEvent
from simulator.market import Market, MarketInfo
from simulator.snapshot import PoolSnapshot
from tideline.demo import DEMO_DEVNETS, DEMO_MINERS, DEMO_VALIDATOR_URI, demo_jobs
from tideline.devnet_market import DevnetMarket
from tideline.embedded import make_chain, start_miners, validator_endpoint
from tideline.guard import guard
from validator import job_runner
from validator.job_runner import RunnerContext
from validator.progress import Asked, RoundVoided
from validator.roster import MetagraphRoster
from validator.round_run import RoundRun
from validator.service import ValidatorService
from validator.subtensor import ValidatorChain
from validator.transport import MinerClient
from validator.verification import check, load


@dataclass
class HeldAgainstTheChain:
    """A devnet's market; before each block it compares the base fork of the running round with the chain, whole."""

    inner: DevnetMarket
    runs: list[RoundRun]
    compared: int = 0
    events: list[object] = field(default_factory=list)
    _last: Block | None = None

    @property
    def info(self) -> MarketInfo:
        return self.inner.info

    @property
    def vault(self) -> None:
        return None

    async def open_round(self, length_blocks: int) -> PoolSnapshot:
        await self.compare()
        self._last = None
        return await self.inner.open_round(length_blocks)

    async def next_block(self) -> Block:
        await self.compare()
        self._last = await self.inner.next_block()
        self.events += self._last.events
        return self._last

    async def settle(self) -> None:
        await self.inner.settle()

    async def close(self) -> None:
        await self.inner.close()

    async def compare(self) -> None:
        """Every word of the pool: slot0, liquidity, both fee growths, and every tick with its own."""
        if self._last is None:
            return
        block, base = self._last, self.runs[-1].engine._base.pool
        assert self.runs[-1].engine.block_number == block.number
        header = Header(block.number, block.block_hash, block.parent_hash, block.timestamp, 0)
        rpc = HttpRpc(self.inner.url)
        try:
            reading = await read_snapshot(rpc, self.info, header, vault=None, lens=lens_code(), deadline_s=10)
        finally:
            await rpc.close()
        mine = base.to_snapshot(
            chain_id=self.info.chain_id,
            pair_address=self.info.pair_address,
            block_number=block.number,
            block_hash=block.block_hash,
            timestamp=block.timestamp,
        )
        assert mine == reading.snapshot
        self.compared += 1


@dataclass(frozen=True)
class Subnet:
    """A validator's service with four miners on loopback, and what it told."""

    service: ValidatorService
    watch: Watch
    store: Store
    markets: list[HeldAgainstTheChain]


@asynccontextmanager
async def subnet(folder: Path, job: Job, runs: list[RoundRun], rounds: int) -> AsyncIterator[Subnet]:
    """Put together what `tideline up` does, with the market watched."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(await Store.open(f"sqlite:///{folder}/jobs.sqlite3", create=True))
        await store.add_job(job)
        signer = keypair_from_uri(DEMO_VALIDATOR_URI)
        chain = make_chain(signer.ss58_address, [keypair_from_uri(m.key_uri).ss58_address for m in DEMO_MINERS])
        await start_miners(stack, chain, DEMO_MINERS, "test")
        view = await ValidatorChain.connect(validator_endpoint(chain), signer)
        stack.push_async_callback(view.close)
        client = await stack.enter_async_context(MinerClient(signer, allow_private=True))
        roster = MetagraphRoster(view, Hotkey(signer.ss58_address), refresh_s=300, monotonic=time.monotonic)
        watch, markets = Watch(), list[HeldAgainstTheChain]()
        context = RunnerContext(store, client, roster, guard, signer, watch, "test", retry_s=0.01)

        async def market(job: Job, resume_after: int | None) -> Market:
            net = next(net for net in DEMO_DEVNETS.values() if net.chain_id == job.chain_id)
            opened = await DevnetMarket.start(
                records.load(net.record), chain_id=net.chain_id, speed=None, start_block=resume_after
            )
            markets.append(HeldAgainstTheChain(opened, runs))
            return markets[-1]

        service = ValidatorService(context, market, soon(max_rounds=rounds), holder="test")
        yield Subnet(service, watch, store, markets)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[RoundRun]:
    """The rounds as they are run. The runner keeps them to itself, and it is their base forks that are to be judged."""
    made: list[RoundRun] = []

    class Kept(RoundRun):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)  # type: ignore[arg-type] # whatever the runner gives
            made.append(self)

    monkeypatch.setattr(job_runner, "RoundRun", Kept)
    return made


async def test_the_base_fork_is_the_devnets_pool_after_every_block_while_four_miners_rebalance(
    tmp_path: Path, runs: list[RoundRun]
) -> None:
    job = demo_jobs(on_devnet=True)[0]
    async with subnet(tmp_path, job, runs, rounds=2) as net:
        async with asyncio.timeout(60):
            await net.service.run(asyncio.Event())
        [market] = net.markets
        closings = [e for e in net.watch.events if closed(job.job_id)(e)]
        assert len(closings) == 2 and net.watch.of(RoundVoided) == []
        blocks = sum(run.opening.schedule.length_blocks for run in runs)
        assert market.compared == blocks - 1, "all but the last block of all: nobody asks for another"
        assert sum(isinstance(event, SwapEvent) for event in market.events) > 100
        planned = sum(event.verdicts.get("planned", 0) for event in net.watch.of(Asked))
        assert planned >= 3, "the miners moved"
        for run in runs:
            result = check(await load(net.store, run.opening.round_id))
            assert [p.is_scored for p in result.participants] == [True] * len(DEMO_MINERS)


async def test_the_demonstrations_pools_are_where_its_jobs_say() -> None:
    for net in DEMO_DEVNETS.values():
        async with await Devnet.start(records.load(net.record)) as running:
            assert running.addresses.pool == net.pool
    assert {(job.chain_id, job.pair_address) for job in demo_jobs(on_devnet=True)} == {
        (net.chain_id, net.pool) for net in DEMO_DEVNETS.values()
    }
