"""`tideline up --live`: a live round on chain, with a vault, its owner, and an executor with a key of its own."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from eth_account import Account

from db.job import SETTINGS, Job, validate_job
from db.records import Execution
from db.store import Store
from db.transaction import UNFINISHED
from db.url import parse_database_url
from executor.keys import PASSWORD_FILE_ENV
from executor.vault import VaultLimits, vault_code
from executor.vault_abi import deployment_arguments
from protocol.errors import ConfigError
from protocol.units import JobId
from simulator import records
from simulator.chain import launcher
from simulator.chain.abi import call_data, keccak256
from simulator.chain.deployment import created_address
from simulator.chain.devnet import Devnet
from simulator.chain.endpoints import Endpoints
from simulator.chain.laps import planned_block
from simulator.chain.node import Transaction
from simulator.chain.snapshot import VaultSource
from simulator.recorded import RecordedMarket
from tideline.console import Console
from tideline.demo import DEMO_DEVNETS, DemoDevnet, demo_jobs
from tideline.devnet_market import DevnetMarket, Furniture
from tideline.vaults import vault_source
from validator.eligibility import live_candidate
from validator.job_runner import CHAIN, JobRunner, RunnerContext
from validator.progress import ProgressEvent

JOB_ID = JobId("wbtc-weth-live")
PAST_ROUNDS = 168  # of an hour: seven days
_MOST_PAST_ROUNDS = 400
_MOST_LIVE_ROUNDS = 5
_LEASE_S = 600
_HOLD_S, _LOOK_S = 30.0, 0.05
_SETTLED_AFTER_BLOCKS = 8  # mined and confirmed three times, and some to spare
_TERM_S = 80 * 86_400
_GAS = 9_000_000
_KEEPERS_WEI = 10**18
_OWNER, _GUARDIAN = ("0x" + keccak256(f"tideline demo {role}".encode())[12:].hex() for role in ("owner", "guardian"))
VAULT = created_address(_OWNER, 0)


@dataclass(frozen=True, slots=True)
class Keeper:
    """The executor's key: in an encrypted keystore, its password in a file beside it."""

    address: str
    keystore: Path
    password: Path

    @classmethod
    def make(cls, folder: Path) -> Keeper:
        """Make a throwaway key in a folder that is nobody else's. It is good for a devnet that ends with its run."""
        account, password = Account.create(), secrets.token_urlsafe(16)
        keeper = cls(account.address, folder / "keeper.json", folder / "password")
        keeper.keystore.write_text(json.dumps(Account.encrypt(account.key, password, iterations=2**14)))
        keeper.password.write_text(password)
        return keeper


def past_job() -> Job:
    """Return the job as its first days are played: on the record, with a virtual vault."""
    return replace(demo_jobs()[1], job_id=JOB_ID)


class LiveDemo:
    """Plays seven days on the record, then rounds on a devnet with a vault until a live one has come to its end."""

    def __init__(self, context: RunnerContext, console: Console, database_url: str) -> None:
        self._context = context
        self._store: Store = context.store
        self._console = console
        self._database_url = database_url
        database = parse_database_url(database_url)
        self._folder = Path(database.path).resolve().parent if database.dialect == "sqlite" else None
        self._record = records.load(past_job().record or "")
        self._net: DemoDevnet = DEMO_DEVNETS[self._record.name]
        self._executor: asyncio.subprocess.Process | None = None
        self._waited_long_for: set[str] = set()

    async def play(self, holder: str) -> None:
        """Play it; the job is left paused, so that a plain `up` never meets its vault."""
        await self._set(past_job())
        if not await self._store.lease_job(JOB_ID, holder, seconds=_LEASE_S):
            raise ConfigError(f"another process plays {JOB_ID} on this database; stop it, or use another --db")
        try:
            for row in await self._store.open_rounds(JOB_ID):
                await self._store.void_round(row.round_id, "the demonstration was stopped")
            await self._play_past()
            await self._play_live()
        finally:
            await self._store.set_job_active(JOB_ID, active=False)
            await self._store.release_job(JOB_ID, holder)

    async def _set(self, job: Job) -> None:
        settings = {name: value for name, value in job.to_mapping().items() if name in SETTINGS and name != "job_id"}
        if await self._store.get_job(JOB_ID) is None:
            await self._store.add_job(job)
        await self._store.update_job(JOB_ID, {**settings, "is_active": True})

    async def _play_past(self) -> None:
        """Play recorded rounds until somebody may play live."""
        quiet = replace(self._context, observe=_tell_nothing)
        market = RecordedMarket(self._record, speed=None, start_block=await self._store.last_block(JOB_ID))
        number = await self._store.next_round_number(JOB_ID, "evaluation")
        to_play = max(PAST_ROUNDS + 1 - number, 0)
        if to_play:
            self._console.note(JOB_ID, "the past first: seven days of rounds on the record alone, as fast as it goes")
        while to_play or not await self._has_candidate():
            if number > _MOST_PAST_ROUNDS:
                raise ConfigError(f"nobody has come to play live in {number} rounds; begin anew with another --db")
            await JobRunner(JOB_ID, market, quiet, max_rounds=to_play or 1).run()
            number, to_play = number + (to_play or 1), 0
        self._console.note(
            JOB_ID, f"{number - 1} rounds are played, and the last one's winner may play live: on a chain"
        )

    async def _has_candidate(self) -> bool:
        last = await self._store.last_round(JOB_ID, "evaluation", completed_only=True)
        job = await self._store.get_job(JOB_ID)
        if last is None or last.end_timestamp is None or job is None:
            return False
        combined = {m.hotkey: m.combined_e18 for m in await self._store.reputations(JOB_ID)}
        today = datetime.fromtimestamp(last.end_timestamp, UTC).date()
        return await live_candidate(self._store, job, combined, today) is not None

    async def _play_live(self) -> None:
        on_chain = {"live_mode": CHAIN, "opening": None, "sn_liquidity_manager_address": VAULT}
        settings = {**past_job().to_mapping(), **self._net.market_settings(), **on_chain}
        await self._set(validate_job({name: settings[name] for name in SETTINGS}))
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(TemporaryDirectory(prefix="live-", dir=self._folder))
            keeper = await asyncio.to_thread(Keeper.make, Path(folder))
            market = await DevnetMarket.start(
                self._record,
                chain_id=self._net.chain_id,
                speed=None,
                start_block=await self._store.last_block(JOB_ID),
                furniture=Furniture(lambda net: self._furnish(net, keeper.address), self._hold),
            )
            stack.push_async_callback(market.close)
            self._console.note(
                JOB_ID, f"devnet {market.url}: the owner has filled vault {VAULT}, keeper {keeper.address}"
            )
            await stack.enter_async_context(self._executing(market, keeper))
            for _ in range(_MOST_LIVE_ROUNDS):
                await JobRunner(JOB_ID, market, self._context, max_rounds=1).run()
                if self._console.tally.live_rounds:
                    return

    async def _furnish(self, net: Devnet, keeper: str) -> VaultSource:
        """Let the owner deploy the vault, put the job's inventory in and appoint the keeper, all in the next block."""
        until = planned_block(self._record, net.head + 1).timestamp + _TERM_S
        await net.act(_OWNER, self._owners_calls(net, keeper, until))
        await net.endow(keeper, _KEEPERS_WEI)
        await net.next_block()
        job = await self._store.get_job(JOB_ID)
        if job is None:
            raise ConfigError(f"job {JOB_ID} was removed")
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
        opening = past_job().opening
        if opening is None:
            raise ConfigError("the demonstration's job has no inventory")
        held = opening.positions
        return opening.amount0 + sum(p.amount0 for p in held), opening.amount1 + sum(p.amount1 for p in held)

    async def _hold(self, head: int) -> None:
        """Return when the executor has done what is due, or is gone: the devnet's blocks wait for it as for miners."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _HOLD_S
        while self._executor is not None and self._executor.returncode is None:
            rows = await self._store.executions(JOB_ID, limit=100)
            due = {e.execution_id for e in rows if e.mode == CHAIN and is_waited_for(e, head)} - self._waited_long_for
            if not due:
                return
            if loop.time() >= until:
                self._waited_long_for |= due
            await asyncio.sleep(_LOOK_S)

    @asynccontextmanager
    async def _executing(self, market: DevnetMarket, keeper: Keeper) -> AsyncIterator[None]:
        """Run `tideline executor`, which dies with this process, for the length of the block."""
        command = [sys.executable, "-P", "-m", "tideline", "executor", "--live", "--rpc", market.url]
        command += ["--allow", VAULT, "--factory", market.factory]
        command += ["--key", f"keystore:{keeper.keystore}", "--db", self._database_url]
        self._executor = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), *command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            env={**os.environ, PASSWORD_FILE_ENV: str(keeper.password)},
            start_new_session=True,  # Ctrl-C reaches us first, and we stop it in order
        )
        try:
            yield
        finally:
            if self._executor.returncode is None:
                self._executor.terminate()
            await self._executor.wait()


def is_waited_for(execution: Execution, head: int) -> bool:
    """Return whether the executor is to act before the block after `head`, which soon forgets what came before."""
    if execution.status in ("sent", "mined"):
        return head >= execution.effective_block + _SETTLED_AFTER_BLOCKS
    return execution.status in UNFINISHED and execution.effective_block - 1 <= head


def _tell_nothing(event: ProgressEvent) -> None:
    """The past is not told round by round."""
