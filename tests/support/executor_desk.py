"""An executor at work on a real node: our vault, a database, a keeper, and a clock that mines while it waits."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from eth_account import Account
from support.anvil_pool import CHAIN_ID
from support.rows import make_execution, make_job, open_round
from support.signed_rounds import VALIDATOR_KEY
from support.vault_anvil import AnvilVault, anvil_vault, deploy_manager

from db.records import Execution
from db.store import Store
from executor.chain import TransactionChain
from executor.fees import FeePolicy
from executor.guards import Limits
from executor.keys import LocalSigner
from executor.live_guards import LiveLimits
from executor.preparation import Bounds
from executor.reading import VaultReader
from executor.service import Desk, ExecutorService, Fact
from executor.steps import Patience
from executor.transactor import Settings, Transactor
from protocol.errors import ChainError
from protocol.signing import Signer, sign_intent
from protocol.units import Hotkey
from simulator.chain.endpoints import Endpoints
from simulator.chain.market import ChainSettings
from simulator.evidence import canonical
from simulator.fork import Fork
from simulator.market import MarketInfo
from simulator.plan import Desired, Plan, make_plan
from simulator.portfolio import Range

# The keeper's key: that of anvil's third account, which everybody knows.
KEEPER_KEY = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"
KEEPER = LocalSigner(Account.from_key(KEEPER_KEY))
VALIDATOR = Hotkey(VALIDATOR_KEY.ss58_address)
NOW = 1_700_000_000
READING = ChainSettings(block_time_s=2, poll_s=0.01, deadline_s=20)
SETTINGS = Settings(FeePolicy(max_fee_wei=10**12), Patience(confirmations=2), poll_s=0.01)
WIDE, NARROW, ABOVE = Range(-1200, 1200), Range(-120, 180), Range(240, 900)


@dataclass(slots=True)
class MiningClock:
    """Waits by mining a block."""

    made: AnvilVault

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await self.made.chain.mine()


@dataclass(slots=True)
class Elsewhere:
    """A source of prices that says what a test wants, or nothing."""

    found: int | None
    asked: list[str] = field(default_factory=list)

    async def sqrt_price_x96(self, info: MarketInfo) -> int:
        self.asked.append(info.pair_address)
        if self.found is None:
            raise ChainError("the price source is down", retryable=True)
        return self.found

    async def close(self) -> None:
        pass


@dataclass(slots=True)
class Office:
    """Everything around one executor."""

    made: AnvilVault
    store: Store
    endpoints: Endpoints
    bounds: Bounds
    url: str
    keeper: str = KEEPER.address
    facts: list[Fact] = field(default_factory=list)
    intents: int = 0
    fee_receiver: str | None = None

    async def connect(self, pool: str, vault: str) -> VaultReader:
        return await VaultReader.connect(
            self.endpoints, pool, vault, READING, fee_receiver=self.fee_receiver, factory=self.made.chain.factory
        )

    async def fork(self) -> Fork:
        """Return the vault as it stands."""
        made, receiver = self.made, self.fee_receiver
        reader = await VaultReader.look(self.endpoints, made.chain.pool, made.vault, READING, fee_receiver=receiver)
        return (await reader.read(await reader.header(None), twap_s=600)).fork

    async def transactor(self, holder: str = "me") -> Transactor:
        chain = TransactionChain(self.endpoints)
        return await Transactor.open(self.store, chain, KEEPER, chain_id=CHAIN_ID, holder=holder, settings=SETTINGS)

    def service(self, transactor: Transactor | None, **changes: Any) -> ExecutorService:
        desk = Desk(
            store=self.store,
            endpoints=self.endpoints,
            transactor=transactor,
            keeper=KEEPER.address,
            validators={VALIDATOR},
            bounds=self.bounds,
            connect=self.connect,
            observe=self.facts.append,
            clock=MiningClock(self.made),
            now=lambda: NOW,
        )
        return ExecutorService(replace(desk, **changes))

    async def pass_time(self, seconds: int = 3600) -> None:
        """Let the means become the price, and the cooldown pass."""
        chain = self.made.chain
        await chain.ask("evm_setNextBlockTimestamp", (await chain.head()).timestamp + seconds)
        await chain.mine()

    async def want(self, *desired: Desired, **changes: Any) -> Execution:
        """Write the intent of having these positions, planned on the vault as it stands."""
        plan = make_plan(await self.fork(), desired)
        assert isinstance(plan, Plan), plan
        return await self.intend(plan, **changes)

    async def intend(self, plan: Plan, *, plan_text: str = "", **changes: Any) -> Execution:
        """Write an intent as the validator does, decided at this block and effective at the next."""
        self.intents += 1
        start = await open_round(self.store, self.intents, round_type="live")
        head = await self.made.chain.head()
        text = plan_text or canonical(plan.to_json()).decode()
        values = {
            "execution_id": f"e{self.intents}",
            "chain_id": CHAIN_ID,
            "vault": self.made.vault,
            "mode": "chain",
            "status": "planned",
            "plan": text,
            "payload_digest": hashlib.sha256(text.encode()).hexdigest(),
            "effective_block": head.number + 1,
            "decided_block": head.number,
            "decided_hash": head.block_hash,
            "validator_hotkey": VALIDATOR,
        }
        execution = make_execution(start, **{**values, **changes})
        return await self.store.add_execution(self.signed(execution, VALIDATOR_KEY))

    def signed(self, execution: Execution, signer: Signer) -> Execution:
        """Return an intent with a signature of its own."""
        intent = execution.signed_intent(self.made.chain.pool)
        assert intent is not None
        return replace(execution, signature=sign_intent(signer, intent).to_text())

    async def rebalances(self) -> int:
        """Return how often the keeper's calls reached the chain."""
        sent = await self.made.chain.ask("eth_getTransactionCount", KEEPER.address, "latest")
        return int(sent, 16)

    async def ended(self, intent: Execution) -> Execution:
        """Return what became of an intent."""
        found = await self.store.get_execution(intent.execution_id)
        assert found is not None
        return found


@asynccontextmanager
async def office(url: str, *, fee_receiver: str | None = None, code: bytes = b"") -> AsyncIterator[Office]:
    """Yield a vault with 1000 of each token and no positions, and a database with its job; with a receiver of its fees
    the stand-in for SN98's LiquidityManager, with creation code a vault made of that.
    """
    async with anvil_vault(code=code) as made, await Store.open(url, create=True, clock=lambda: NOW) as store:
        if fee_receiver is not None:
            made.vault = await deploy_manager(made)
        await store.add_job(
            make_job(chain_id=CHAIN_ID, pair_address=made.chain.pool, sn_liquidity_manager_address=made.vault)
        )
        live = LiveLimits(frozenset({made.vault.lower()}), max_deviation_ticks=100, max_daily_loss_ppm=20_000)
        bounds = Bounds(live, Limits(max_pool_share_ppm=900_000))
        nodes = Endpoints({"anvil": made.chain.rpc}, chain_id=CHAIN_ID)
        here = Office(made, store, nodes, bounds, url, fee_receiver=fee_receiver)
        await here.pass_time()
        yield here
