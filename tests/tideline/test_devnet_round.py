"""Whole rounds on a devnet: real anvil, real contracts, four miners over signed HTTP, held against the chain itself."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from support.chain_faults import Json, doubled, last_of
from support.faulty_proxy import faulty_proxy
from support.moves import moves
from support.services import Watch, closed, soon
from support.whole_pool import WholePool, read_whole, with_memory

from db.job import Job
from db.store import Store
from protocol.signing import keypair_from_uri
from protocol.units import Hotkey, RoundId
from simulator import records
from simulator.chain.abi import SWAP, read_words, signed, topic
from simulator.chain.devnet import Devnet, DevnetSettings
from simulator.chain.endpoints import Endpoints
from simulator.chain.market import ChainMarket, ChainSettings
from simulator.chain.rpc import HttpRpc, Request
from simulator.events import Block, LiquidityEvent, PoolEvent, SwapEvent
from simulator.market import Market, MarketInfo
from simulator.records import Record, RecordedBlock
from simulator.recovery import Happening
from simulator.snapshot import PoolSnapshot
from tideline.demo import DEMO_DEVNETS, DEMO_VALIDATOR_URI, DemoMiner, demo_jobs
from tideline.devnet_market import DevnetMarket
from tideline.embedded import make_chain, start_miners, validator_endpoint
from tideline.guard import gate, guard
from validator import job_runner
from validator.job_runner import RunnerContext
from validator.progress import RoundVoided
from validator.roster import MetagraphRoster
from validator.round_run import RoundRun
from validator.service import ValidatorService
from validator.subtensor import ValidatorChain
from validator.transport import MinerClient
from validator.verification import check, load

# Every one of these moves when the price does, whatever it has moved before.
REBALANCERS = (
    DemoMiner("hair", "band", (("half_width", "1"), ("edge", "0"))),
    DemoMiner("narrow", "band", (("half_width", "2"), ("edge", "0"))),
    DemoMiner("band", "band", (("half_width", "3"), ("edge", "1"))),
    DemoMiner("reluctant", "band", (("half_width", "5"), ("edge", "2"))),
)
Through = Callable[[DevnetMarket], Awaitable[None]]
Landed = tuple[int, int, int, int, int]  # block, log index, price, liquidity, tick


@dataclass
class HeldAgainstTheChain:
    """A devnet's market; before each block it compares the base fork of the running round with the chain, whole."""

    inner: DevnetMarket
    runs: list[RoundRun]
    compared: int = 0
    different: list[tuple[int, WholePool, WholePool]] = field(default_factory=list)
    landed: list[Landed] = field(default_factory=list)  # where the base fork was after each swap
    on_chain: list[Landed] = field(default_factory=list)  # where the chain's logs say that it ended
    is_held: bool = True  # else it only lets pass
    _is_open: bool = False
    _last: Block | None = None

    @property
    def info(self) -> MarketInfo:
        return self.inner.info

    @property
    def vault(self) -> None:
        return None

    async def open_round(self, length_blocks: int) -> PoolSnapshot:
        self._last, self._is_open = None, False
        self._snapshot = await self.inner.open_round(length_blocks)
        return self._snapshot

    async def next_block(self) -> Block:
        if self._is_open:
            await self.compare()
        else:
            await self._remember()
        self._last = await self.inner.next_block()
        return self._last

    async def settle(self) -> None:
        await self.compare()
        self._last = None
        await self.inner.settle()

    async def close(self) -> None:
        if self.landed:
            self.on_chain = await self._logged()
        await self.inner.close()

    async def _remember(self) -> None:
        """Give the base fork what a snapshot leaves out, from the chain; and note where each of its swaps lands."""
        self._is_open = True
        base = self.runs[-1].engine._base
        ticks, slots = [tick for tick, _ in self._snapshot.ticks], range(DevnetSettings().observation_cardinality)
        base.pool = with_memory(base.pool, await self._read(self._snapshot.block_hash, ticks, slots))
        apply = base.apply

        def noted(block: Block, event: PoolEvent) -> Happening:
            happening = apply(block, event)
            if isinstance(event, SwapEvent):
                pool = base.pool
                self.landed.append((block.number, event.log_index, pool.sqrt_price_x96, pool.liquidity, pool.tick))
            return happening

        base.apply = noted

    async def compare(self) -> None:
        """Every word of the pool: slot0, liquidity, both fee growths, the oracle's slot, and all eight of each tick."""
        if self._last is None or not self.is_held:
            return
        base = self.runs[-1].engine._base.pool
        assert self.runs[-1].engine.block_number == self._last.number
        touched = {t for e in self._last.events if isinstance(e, LiquidityEvent) for t in (e.tick_lower, e.tick_upper)}
        slots = {0, base.observation_index}
        ticks = touched | set(base.ticks) | {tick for tick, _ in self._snapshot.ticks}
        ours, theirs = WholePool.of(base, slots), await self._read(self._last.block_hash, ticks, slots)
        if ours != theirs:  # told at the end: the service would take a failed assertion for a passing fault of ours
            self.different.append((self._last.number, ours, theirs))
        self.compared += 1

    async def _logged(self) -> list[Landed]:
        """Return where the chain's own logs say that each swap of those blocks ended."""
        rpc = HttpRpc(self.inner.url)
        first, last = self.landed[0][0], self.landed[-1][0]
        query = {"address": self.info.pair_address, "fromBlock": hex(first), "toBlock": hex(last)}
        request = Request("eth_getLogs", ({**query, "topics": [topic(SWAP)]},), lambda logs: logs)
        try:
            logs = await rpc.ask(request, deadline_s=10)
        finally:
            await rpc.close()
        return [
            (int(log["blockNumber"], 16), int(log["logIndex"], 16), words[2], words[3], signed(words[4], 24))
            for log in logs
            for words in [read_words(log["data"])]
        ]

    async def _read(self, block_hash: str, ticks: Iterable[int], slots: Iterable[int]) -> WholePool:
        rpc = HttpRpc(self.inner.url)
        try:
            return await read_whole(rpc, self.info.pair_address, block_hash, ticks=ticks, slots=slots)
        finally:
            await rpc.close()


@dataclass(frozen=True)
class Subnet:
    """A validator's service with four miners on loopback, and what it told."""

    service: ValidatorService
    watch: Watch
    store: Store
    markets: list[HeldAgainstTheChain]


@asynccontextmanager
async def subnet(
    folder: Path, job: Job, record: Record, start: int, runs: list[RoundRun], *, through: Through | None = None
) -> AsyncIterator[Subnet]:
    """Put together what `tideline up` does for two rounds, with the market watched; it begins `start` blocks late.

    `through` a proxy the reader sees another chain than is there.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(await Store.open(f"sqlite:///{folder}/jobs.sqlite3", create=True))
        await store.add_job(job)
        signer = keypair_from_uri(DEMO_VALIDATOR_URI)
        chain = make_chain(signer.ss58_address, [keypair_from_uri(m.key_uri).ss58_address for m in REBALANCERS])
        await start_miners(stack, chain, REBALANCERS, "test")
        view = await ValidatorChain.connect(validator_endpoint(chain), signer)
        stack.push_async_callback(view.close)
        client = await stack.enter_async_context(MinerClient(signer, allow_private=True))
        roster = MetagraphRoster(view, Hotkey(signer.ss58_address), refresh_s=300, monotonic=time.monotonic)
        watch, markets = Watch(), list[HeldAgainstTheChain]()
        context = RunnerContext(store, client, roster, guard, gate, signer, watch, "test", retry_s=0.01)

        async def market(job: Job, resume_after: int | None) -> Market:
            opened = await DevnetMarket.start(
                record, chain_id=job.chain_id, speed=None, start_block=record.first_block + start
            )
            markets.append(HeldAgainstTheChain(opened, runs, is_held=through is None))
            if through is not None:
                await through(opened)
            return markets[-1]

        service = ValidatorService(context, market, soon(max_rounds=2 if through is None else 3), holder="test")
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


def one_event_a_block(record: Record) -> Record:
    """Return the record with a block of its own for every event, so that a block's end is where its swap ended."""
    events = [pair for block in record.blocks for pair in zip(block.events, block.calls, strict=True)]
    seconds, start = record.info.block_time_s, record.opening_block
    blocks = (
        RecordedBlock(start.number + n, start.timestamp + n * seconds, (replace(event, log_index=0),), (call,))
        for n, (event, call) in enumerate(events, start=1)
    )
    return replace(record, blocks=tuple(blocks))


USDC_WETH = records.load("usdc-weth-005")


@pytest.mark.parametrize(
    ("record", "start", "changes"),
    [
        pytest.param(
            one_event_a_block(USDC_WETH),
            400,
            {"round_duration_seconds": 1200, "checkpoint_interval_blocks": 20, "miner_deadline_seconds": 24},
            id="a swap a block",
        ),
        pytest.param(
            USDC_WETH, 440, {"round_duration_seconds": 900, "checkpoint_interval_blocks": 15}, id="as recorded"
        ),
    ],
)
async def test_the_base_fork_is_the_devnets_pool_after_every_swap_while_four_miners_rebalance(
    tmp_path: Path, runs: list[RoundRun], record: Record, start: int, changes: dict[str, int]
) -> None:
    job = replace(demo_jobs(on_devnet=True)[0], **changes)
    async with subnet(tmp_path, job, record, start, runs) as net:
        async with asyncio.timeout(60):
            await net.service.run(asyncio.Event())
        [market] = net.markets
        assert len([e for e in net.watch.events if closed(job.job_id)(e)]) == 2 and net.watch.of(RoundVoided) == []
        assert market.different == []
        assert market.compared == sum(run.opening.schedule.length_blocks for run in runs)
        assert len(market.landed) > 150
        assert market.landed == market.on_chain
        swaps = Counter(number for number, *_ in market.landed)
        assert max(swaps.values()) == 1 if record is not USDC_WETH else max(swaps.values()) > 3
        moved: Counter[str] = Counter()
        for run in runs:
            moved += moves(await net.store.predictions_of_round(RoundId(run.opening.round_id)))
            result = check(await load(net.store, run.opening.round_id))
            assert [p.is_scored for p in result.participants] == [True] * len(REBALANCERS)
        assert len(moved) == len(REBALANCERS), "each of the four moved, from one set of ranges to another"


def change_fee_after(market: DevnetMarket, after: int) -> None:
    """Change the contract itself once the devnet has made a block: its fee, 500, is a constant in its code."""
    make = market._make

    async def made() -> None:
        await make()
        if market._made == after:
            rpc, pool = HttpRpc(market.url), market.info.pair_address
            try:
                code = await rpc.ask(Request("eth_getCode", (pool, "latest"), str), deadline_s=10)
                assert f"{500:064x}" in code
                changed = (pool, code.replace(f"{500:064x}", f"{600:064x}"))
                await rpc.ask(Request("anvil_setCode", changed, lambda value: value), deadline_s=10)
            finally:
                await rpc.close()

    market._make = made  # type: ignore[method-assign] # the devnet's own way of making blocks, watched


def swaps_in(block: RecordedBlock) -> int:
    return sum(isinstance(event, SwapEvent) for event in block.events)


LIES: dict[str, tuple[Callable[[Json], list[Json]] | None, str]] = {
    "a swap that never was": (doubled, "missed_or_foreign_swap"),
    "a swap too few": (lambda log: [], "missed_or_foreign_swap"),
    "another fee": (None, "fee_change"),
}


@pytest.mark.parametrize("name", LIES)
async def test_a_false_event_or_another_fee_on_the_devnet_voids_the_round_and_touches_none_of_four_miners(
    tmp_path: Path, runs: list[RoundRun], name: str
) -> None:
    lie, kind = LIES[name]
    job = replace(demo_jobs(on_devnet=True)[0], round_duration_seconds=480, checkpoint_interval_blocks=15)
    middle = USDC_WETH.first_block + 440 + 40 + 20  # of the second round
    # Of a block without any of the swaps that its bloom announces the reader asks again: it takes one of several.
    second = next(block.number for block in USDC_WETH.blocks if block.number > middle and swaps_in(block) > 1) - 1
    async with AsyncExitStack() as stack:

        async def through(opened: DevnetMarket) -> None:
            if lie is None:
                if len(runs) < 2:  # the devnet that follows keeps its fee
                    change_fee_after(opened, second)
                return
            proxy = await stack.enter_async_context(faulty_proxy(opened.url))
            proxy.fault = last_of(SWAP, lie, after=second)
            endpoints = Endpoints.over_http([proxy.url], chain_id=job.chain_id)
            stack.push_async_callback(endpoints.close)
            reading = ChainSettings(block_time_s=USDC_WETH.info.block_time_s)
            chain = await ChainMarket.connect(endpoints, opened.info.pair_address, reading)
            opened._running = replace(opened._running, chain=chain)

        net = await stack.enter_async_context(subnet(tmp_path, job, USDC_WETH, 440, runs, through=through))
        async with asyncio.timeout(60):
            await net.service.run(asyncio.Event())
        first, voided, *others = [run.opening.round_id for run in runs]
        [void] = net.watch.of(RoundVoided)
        assert (void.round_id, void.reason.split(": ")[1].split(" ")[0]) == (voided, kind)
        assert await net.store.scores_of_round(RoundId(voided)) == []
        scored = [first, *others]
        for round_id in scored:
            result = check(await load(net.store, round_id))
            assert [p.is_scored for p in result.participants] == [True] * len(REBALANCERS)
        known = {m.evaluation_rounds for m in await net.store.reputations(job.job_id)}
        assert known == {len(scored)}, "what was voided counts for nobody"


async def test_the_demonstrations_pools_are_where_its_jobs_say() -> None:
    for net in DEMO_DEVNETS.values():
        async with await Devnet.start(records.load(net.record)) as running:
            assert running.addresses.pool == net.pool
    assert {(job.chain_id, job.pair_address) for job in demo_jobs(on_devnet=True)} == {
        (net.chain_id, net.pool) for net in DEMO_DEVNETS.values()
    }
