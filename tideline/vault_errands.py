"""An owner's errands: what they will do and cost in plain words, and, where asked, their way to the chain."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click

from db.store import Store
from db.transaction import Call, Transaction
from executor.chain import Reverted, Simulated, TransactionChain
from executor.errands import Errand
from executor.fees import FeePolicy, Fees, suggest
from executor.guards import Refused
from executor.keys import Signer
from executor.rehearsal import Rehearsed, Stage, rehearse
from executor.transactor import Ordered, Settings, Transactor
from executor.vault_facts import VaultFacts
from protocol.errors import ChainError, ConfigError
from simulator.chain import rpc
from simulator.chain.abi import call_data, read_words
from simulator.chain.blocks import Header
from simulator.chain.endpoints import Endpoints
from simulator.chain.market import ChainSettings, read_info
from simulator.market import MarketInfo, Token
from simulator.recorded import RealClock
from tideline.vault_access import DEADLINE_S, Actor, Scene
from tideline.vault_report import tokens_text

VALID_S = 600  # after that a transaction that no block took is replaced by one that does nothing
DRY_RUN = "dry run  nothing was sent; the same with --live sends it"
_LONG_DATA = 400  # characters that a terminal shows of a call
_ETH = 10**18


@dataclass(frozen=True, slots=True)
class Price:
    """What an errand's gas costs. `limit` is what the transaction allows."""

    gas: int
    limit: int
    fees: Fees
    base_fee_wei: int
    data_fee_wei: int

    @property
    def expected_wei(self) -> int:
        """What it costs if the next block is like the last."""
        return self.gas * (self.base_fee_wei + self.fees.tip_wei) + self.data_fee_wei

    @property
    def most_wei(self) -> int:
        """What it costs at the worst."""
        return self.limit * self.fees.max_fee_wei + self.data_fee_wei


async def describe(endpoints: Endpoints, facts: VaultFacts, settings: ChainSettings) -> MarketInfo:
    """Return a vault's market; where pool or tokens do not answer, or nonsense, addresses and raw units must do."""
    try:
        return await read_info(endpoints, facts.pool, settings)
    except (ConfigError, ChainError):  # for display alone
        token0, token1 = Token(facts.token0, "token0", 0), Token(facts.token1, "token1", 0)
        return MarketInfo(endpoints.chain_id, facts.pool, token0, token1, 0, 1, settings.block_time_s)


async def purse(endpoints: Endpoints, header: Header, info: MarketInfo, account: str) -> tuple[int, int]:
    """Return what an account has of both tokens."""
    owner = int(account, 16)
    calls = [{"to": t.address, "data": call_data("balanceOf(address)", owner)} for t in (info.token0, info.token1)]
    requests = [rpc.Request("eth_call", (call, header.pin()), read_words, is_decisive=True) for call in calls]
    [amount0], [amount1] = await endpoints.ask_all(requests, deadline_s=DEADLINE_S)
    return amount0, amount1


async def foresee(endpoints: Endpoints, header: Header, stage: Stage, errands: Sequence[Errand]) -> list[str]:
    """Return in words what the vault and the caller will have, as a node says; nothing where no node can say."""
    steps = [errand.step for errand in errands]
    try:
        before = await purse(endpoints, header, stage.info, stage.caller)
        found = await rehearse(endpoints, header, stage, steps, deadline_s=DEADLINE_S)
    except (ConfigError, ChainError):
        return []  # for display alone; what decides is the simulation of the transaction itself
    return [] if isinstance(found, Refused) else _foreseen(stage.info, before, found)


def _foreseen(info: MarketInfo, before: tuple[int, int], found: Rehearsed) -> list[str]:
    gained = (found.purse0 - before[0], found.purse1 - before[1])
    lines = []
    if max(gained) > 0:
        lines.append(f"you get {tokens_text(info, *gained)}")
    if min(gained) < 0:
        lines.append(f"you give {tokens_text(info, -gained[0], -gained[1])}")
    standing = found.standing
    idle = tokens_text(info, standing.idle0, standing.idle1)
    return [*lines, f"the vault then has {len(standing.positions)} positions and, idle, {idle}"]


async def attempt(chain: TransactionChain, errand: Errand, sender: str, chain_id: int) -> Simulated | Reverted:
    """Carry an errand out on a node and nowhere else."""
    return await chain.simulate(Call(errand.name, chain_id, sender, errand.step.to, "0x" + errand.step.data.hex(), 0))


async def price(chain: TransactionChain, errand: Errand, sender: str, chain_id: int, policy: FeePolicy) -> Price:
    """Return what an errand costs. Raises ConfigError where it would be undone, or gas is too dear."""
    data = "0x" + errand.step.data.hex()
    gas = errand.gas_guess
    if gas is None:
        found = await attempt(chain, errand, sender, chain_id)
        if isinstance(found, Reverted):
            raise ConfigError(f"the chain would undo it: {found.reason}")
        gas = found.gas
    now = await chain.prices()
    fees = suggest(now.base_fee_wei, now.tip_wei, policy)
    if fees is None:
        raise ConfigError(
            f"gas costs more than --max-fee-gwei allows: the base fee is {now.base_fee_wei} wei; wait, or allow more"
        )
    return Price(gas, gas * 12 // 10, fees, now.base_fee_wei, await chain.data_fee(data))


def cost_text(prices: Sequence[Price]) -> str:
    """Return what all of it costs, in words."""
    expected, most = sum(p.expected_wei for p in prices), sum(p.most_wei for p in prices)
    gas = sum(p.gas for p in prices)
    return f"about {eth_text(expected)} ETH, at most {eth_text(most)} ETH ({gas:,} gas)"


def eth_text(wei: int) -> str:
    """Return an amount of the chain's own coin, exact."""
    whole, rest = divmod(wei, _ETH)
    return f"{whole}.{rest:018d}".rstrip("0").rstrip(".")


def call_text(errand: Errand, *, in_full: bool) -> str:
    """Return a transaction as a wallet or a Safe takes it."""
    data = "0x" + errand.step.data.hex()
    if not in_full and len(data) > _LONG_DATA:
        data = f"{data[:10]}... ({len(errand.step.data)} bytes)"
    return f"to {errand.step.to or 'nobody (a new contract)'}, data {data}"


async def require_funds(chain: TransactionChain, sender: str, prices: Sequence[Price]) -> None:
    """Raise ConfigError unless the sender can pay for gas, and has nothing on its way."""
    balance, most = await chain.balance(sender), sum(p.most_wei for p in prices)
    if balance < most:
        raise ConfigError(f"{sender} has {eth_text(balance)} ETH and this can cost {eth_text(most)}; send it some")
    if await chain.nonce(sender) != await chain.nonce(sender, block="pending"):
        raise ConfigError(f"{sender} has a transaction on its way; wait until it is mined, or replace it in its wallet")


async def perform(
    scene: Scene, actor: Actor, errands: Sequence[Errand], *, stage: tuple[str, MarketInfo] | None
) -> bool:
    """Say what errands will do, and do them where that was asked for; return whether all that was asked is done.

    `stage` is the vault that is looked at beforehand, and its market.
    """
    chain, chain_id = TransactionChain(scene.endpoints), scene.endpoints.chain_id
    prices = [await price(chain, errand, actor.address, chain_id, actor.settings.fees) for errand in errands]
    foreseen = (
        [] if stage is None else await foresee(scene.endpoints, scene.header, Stage(actor.address, *stage), errands)
    )
    click.echo(f"as       {actor.address}")
    for errand in errands:
        click.echo(f"will     {errand.will}")
    for text in (*foreseen, errands[-1].after):
        click.echo(f"then     {text}")
    click.echo(f"cost     {cost_text(prices)}")
    for errand in errands:
        click.echo(f"call     {call_text(errand, in_full=actor.signer is None)}")
    if actor.signer is None or not actor.is_live:
        click.echo(DRY_RUN)
        return True
    await require_funds(chain, actor.address, prices)
    deadline = scene.header.timestamp + VALID_S
    return await carry_out(chain, actor.signer, chain_id, errands, actor.settings, deadline=deadline, tell=click.echo)


async def carry_out(
    chain: TransactionChain,
    signer: Signer,
    chain_id: int,
    errands: Sequence[Errand],
    settings: Settings,
    *,
    deadline: int,
    tell: Callable[[str], None],
) -> bool:
    """Send errands one after the other, each once the one before it is confirmed; return whether all were done.

    They are remembered in this process alone: each hash is told before its bytes leave, and everything that is left
    undone can be asked for again.
    """
    async with await Store.open("sqlite:///:memory:", create=True) as store:
        transactor = await Transactor.open(store, chain, signer, chain_id=chain_id, holder="owner", settings=settings)
        for number, errand in enumerate(errands):
            data, name = "0x" + errand.step.data.hex(), f"{number} {errand.name}"
            await transactor.submit(name, [Ordered(errand.step.to, data, deadline)])
            ended = await transactor.run(
                name, _nothing_to_check, now=lambda: int(time.time()), clock=RealClock(), tell=_teller(errand, tell)
            )
            if ended.phase != "reconciled":
                tell(f"{errand.name}: {ended.phase}: {ended.reason or 'nothing was done'}")
                return False
    return True


async def _nothing_to_check(_transaction: Transaction) -> str:
    return "{}"


def _teller(errand: Errand, tell: Callable[[str], None]) -> Callable[[Transaction], None]:
    """Return what tells of a transaction's steps, each once."""
    told: set[str] = set()

    def say(transaction: Transaction) -> None:
        lines = [f"{errand.name}: signed {a.tx_hash} with nonce {transaction.nonce}" for a in transaction.attempts]
        receipt = transaction.receipt
        if receipt is not None:
            paid = f"{receipt.gas_used:,} gas, {eth_text(receipt.fee_wei)} ETH"
            lines.append(f"{errand.name}: mined in block {receipt.block_number}, {paid}")
        if transaction.phase == "reconciled":
            lines.append(f"{errand.name}: done")
        for line in lines:
            if line not in told:
                told.add(line)
                tell(line)

    return say
