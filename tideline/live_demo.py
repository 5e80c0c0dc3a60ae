"""The live demonstration: a live round on chain, with a vault, its owner, and an executor with a key of its own."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from db.job import SETTINGS, Job, validate_job
from db.records import Execution
from db.store import Store
from db.transaction import UNFINISHED
from executor.vault import VaultLimits, vault_code
from executor.vault_abi import deployment_arguments
from protocol.errors import ChainError, ConfigError, SimulationError
from protocol.units import Hotkey
from simulator import records
from simulator.chain.abi import call_data, keccak256
from simulator.chain.deployment import created_address
from simulator.chain.devnet import Devnet
from simulator.chain.endpoints import Endpoints
from simulator.chain.laps import planned_block
from simulator.chain.node import Transaction
from simulator.chain.snapshot import VaultSource
from simulator.market import Market
from simulator.recorded import RecordedMarket
from tideline.console import Console
from tideline.demo import DEMO_DEVNETS, LIVE_JOB_ID, DemoDevnet, live_demo_job
from tideline.demo_executor import DemoExecutor
from tideline.devnet_market import DevnetMarket, Furniture
from tideline.vaults import vault_source
from validator.eligibility import live_candidate
from validator.intents import CHAIN
from validator.job_runner import JobRunner, RunnerContext
from validator.leases import JobLeases
from validator.progress import ProgressEvent, VaultScored

PAST_ROUNDS = 168  # of an hour: seven days
_MOST_MORE_ROUNDS = 232  # until somebody may play live
_MOST_LIVE_ROUNDS = 3
_LEASE_S = 600  # far longer than a round takes: it is renewed before each
_HOLD_S, _LOOK_S = 60.0, 0.05
_SETTLED_AFTER_BLOCKS = 8  # mined and confirmed three times, and some to spare
_TERM_S = 80 * 86_400
_GAS = 9_000_000
_KEEPERS_WEI = 10**18
_OWNER, _GUARDIAN = ("0x" + keccak256(f"tideline demo {role}".encode())[12:].hex() for role in ("owner", "guardian"))
VAULT = created_address(_OWNER, 0)


class LiveDemo:
    """Plays seven days on the record, then rounds on a devnet with a vault until a live one has come to its end.

    It goes as fast as it can, beside whatever else this process plays, and holds no clock up.
    """

    def __init__(self, context: RunnerContext, console: Console, database_url: str, *, holder: str) -> None:
        self._context = replace(context, observe=self._watch)
        self._store: Store = context.store
        self._console = console
        self._database_url = database_url
        self._leases = JobLeases(context.store, holder, seconds=_LEASE_S, monotonic=time.monotonic)
        self._record = records.load(live_demo_job().record or "")
        self._net: DemoDevnet = DEMO_DEVNETS[self._record.name]
        self._executor: DemoExecutor | None = None
        self._waited_long_for: set[str] = set()
        self._scored: str | None = None

    async def play(self) -> None:
        """Play it. The job is left paused, without open rounds: nothing else may ever meet its vault."""
        if await self._store.get_job(LIVE_JOB_ID) is None:
            await self._store.add_job(replace(live_demo_job(), is_active=False))
        if not await self._leases.take(LIVE_JOB_ID):
            raise ConfigError(f"another process plays {LIVE_JOB_ID} on this database; stop it, or use another --db")
        try:
            await self._void_open_rounds()
            await self._set(live_demo_job())
            await self._play_past()
            for _ in range(_MOST_LIVE_ROUNDS):
                await self._play_live()
                if self._scored is not None:
                    self._tell(f"shown; `tideline evidence verify {self._scored}` recomputes the score")
                    return
            raise SimulationError(f"none of {_MOST_LIVE_ROUNDS} rounds on chain came to a score", job_id=LIVE_JOB_ID)
        finally:
            if await self._leases.confirm(LIVE_JOB_ID):
                await self._void_open_rounds()
                await self._store.set_job_active(LIVE_JOB_ID, active=False)
                await self._leases.give_back(LIVE_JOB_ID)

    async def _void_open_rounds(self) -> None:
        for row in await self._store.open_rounds(LIVE_JOB_ID):
            await self._store.void_round(row.round_id, "the demonstration was stopped")

    async def _set(self, job: Job) -> None:
        settings = {name: value for name, value in job.to_mapping().items() if name in SETTINGS and name != "job_id"}
        await self._store.update_job(LIVE_JOB_ID, {**settings, "is_active": True})

    async def _play_past(self) -> None:
        """Play recorded rounds until somebody may play live."""
        quiet = replace(self._context, observe=_tell_nothing)
        market = RecordedMarket(self._record, speed=None, start_block=await self._store.last_block(LIVE_JOB_ID))
        played = await self._store.next_round_number(LIVE_JOB_ID, "evaluation") - 1
        if played < PAST_ROUNDS:
            self._tell("the past first: seven days of rounds on the record alone, as fast as it goes")
        least, most = max(PAST_ROUNDS, played), max(PAST_ROUNDS, played) + _MOST_MORE_ROUNDS
        while played < least or not await self._has_candidate():
            if played == most:
                raise ConfigError(f"nobody has come to play live in {played} rounds; begin anew with another --db")
            await self._play_round(market, quiet)
            played += 1
        self._tell(f"{played} rounds are played, and the last one's winner may play live: on a chain")

    async def _play_round(self, market: Market, context: RunnerContext) -> None:
        """Play one round, if the job still is ours to play."""
        if not await self._leases.confirm(LIVE_JOB_ID):
            raise ConfigError(f"another process has taken {LIVE_JOB_ID} over")
        if not await JobRunner(LIVE_JOB_ID, market, context, max_rounds=1).run():
            raise ConfigError(f"job {LIVE_JOB_ID} was paused or removed")

    async def _has_candidate(self) -> bool:
        last = await self._store.last_round(LIVE_JOB_ID, "evaluation", completed_only=True)
        job = await self._store.get_job(LIVE_JOB_ID)
        if last is None or last.end_timestamp is None or job is None:
            return False
        combined = {m.hotkey: m.combined_e18 for m in await self._store.reputations(LIVE_JOB_ID)}
        today = datetime.fromtimestamp(last.end_timestamp, UTC).date()
        return await live_candidate(self._store, job, combined, today) is not None

    async def _play_live(self) -> None:
        """Play one round on a devnet of its own."""
        on_chain = {"live_mode": CHAIN, "opening": None, "sn_liquidity_manager_address": VAULT}
        settings = {**live_demo_job().to_mapping(), **self._net.market_settings(), **on_chain}
        await self._set(validate_job({name: settings[name] for name in SETTINGS}))
        async with AsyncExitStack() as stack:
            await asyncio.to_thread(vault_code)  # seconds, during which others play on
            validator = Hotkey(self._context.signer.ss58_address)
            executor = DemoExecutor(VAULT, validator, self._database_url, partial(self._console.note, "executor"))
            stack.push_async_callback(executor.end)
            self._executor = executor
            market = await DevnetMarket.start(
                self._record,
                chain_id=self._net.chain_id,
                speed=None,
                start_block=await self._store.last_block(LIVE_JOB_ID),
                furniture=Furniture(lambda net: self._furnish(net, executor), self._hold),
            )
            stack.push_async_callback(market.close)
            stack.push_async_callback(executor.end)  # before its node
            await self._play_round(market, self._context)

    async def _furnish(self, net: Devnet, executor: DemoExecutor) -> VaultSource:
        """Let the owner deploy the vault, put the job's inventory in and appoint the keeper, all in the next block;
        and let the keeper begin.
        """
        until = planned_block(self._record, net.head + 1).timestamp + _TERM_S
        await net.act(_OWNER, self._owners_calls(net, executor.keeper, until))
        await net.endow(executor.keeper, _KEEPERS_WEI)
        await net.next_block()
        self._tell(f"devnet {net.url}: the owner has filled vault {VAULT}, keeper {executor.keeper}")
        await executor.start(net.url, net.addresses.factory)
        job = await self._store.get_job(LIVE_JOB_ID)
        if job is None:
            raise ConfigError(f"job {LIVE_JOB_ID} was removed")
        endpoints = Endpoints.over_http([net.url], chain_id=self._net.chain_id)
        try:
            return await vault_source(endpoints, job, None)
        finally:
            await endpoints.close()

    def _owners_calls(self, net: Devnet, keeper: str, until: int) -> list[Transaction]:
        at, limits = net.addresses, VaultLimits(min_width=2 * self._record.info.tick_spacing)
        arguments = deployment_arguments(at.pool, _OWNER, _GUARDIAN, limits)
        calls = [Transaction(None, "0x" + (vault_code().creation_code + arguments).hex(), _GAS)]

        def call(to: str, signature: str, *values: int, value: int = 0) -> None:
            calls.append(Transaction(to, call_data(signature, *values), _GAS, value))

        amounts = self._inventory()
        for token, amount in zip((at.token0, at.token1), amounts, strict=True):
            if token == at.weth9:
                call(token, "deposit()", value=amount)
            else:
                call(token, "mint(address,uint256)", int(_OWNER, 16), amount)
            call(token, "approve(address,uint256)", int(VAULT, 16), amount)
        call(VAULT, "deposit(uint256,uint256)", *amounts)
        call(VAULT, "set_keeper(address,uint256)", int(keeper, 16), until)
        return calls

    def _inventory(self) -> tuple[int, int]:
        opening = live_demo_job().opening
        if opening is None:
            raise ConfigError("the demonstration's job has no inventory")
        held = opening.positions
        return opening.amount0 + sum(p.amount0 for p in held), opening.amount1 + sum(p.amount1 for p in held)

    async def _hold(self, head: int) -> None:
        """Return when the executor has done what is due: the devnet's blocks wait for it as they do for miners."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _HOLD_S
        while True:
            if self._executor is not None and self._executor.exit_code is not None:
                raise ChainError("the executor ended by itself", retryable=False, exit_code=self._executor.exit_code)
            playing = [row.round_id for row in await self._store.open_rounds(LIVE_JOB_ID) if row.round_type == "live"]
            intents = [e for round_id in playing for e in await self._store.round_executions(round_id)]
            due = {e.execution_id for e in intents if is_waited_for(e, head)} - self._waited_long_for
            if not due:
                return
            if loop.time() >= until:
                self._waited_long_for |= due
            await asyncio.sleep(_LOOK_S)

    def _watch(self, event: ProgressEvent) -> None:
        if isinstance(event, VaultScored):
            self._scored = event.round_id
        self._console(event)

    def _tell(self, text: str) -> None:
        self._console.note(LIVE_JOB_ID, text)


def is_waited_for(execution: Execution, head: int) -> bool:
    """Return whether the executor is to act before the block after `head`, which soon forgets what came before."""
    if execution.status in ("sent", "mined"):
        return head >= execution.effective_block + _SETTLED_AFTER_BLOCKS
    return execution.status in UNFINISHED and execution.effective_block - 1 <= head


def _tell_nothing(event: ProgressEvent) -> None:
    """The past is not told round by round."""
