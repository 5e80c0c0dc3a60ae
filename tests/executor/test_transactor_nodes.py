"""The transactor over nodes that differ, hide, lag, or break: money waits for none of them for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pytest
from support.counter_chain import CHAIN_ID, COUNTER, SIGNER, CounterChain, counter_chain
from support.odd_node import OddNode

from db.store import Store
from db.transaction import Transaction
from executor.chain import TransactionChain
from executor.fees import FeePolicy
from executor.steps import Patience
from executor.transactor import Ordered, Settings, Transactor
from protocol.errors import ChainError
from simulator.chain.endpoints import Endpoints
from simulator.chain.rpc import HttpRpc, Refused, Request, Rpc, Unreachable

T = TypeVar("T")
PATIENCE = Patience(confirmations=3, resubmit_s=8)
ORACLE = "0x420000000000000000000000000000000000000f"


@dataclass(slots=True)
class Desk:
    """A transactor over two nodes of one chain, and a clock of its own."""

    chain: CounterChain
    store: Store
    nodes: tuple[OddNode, OddNode]
    endpoints: Endpoints
    settings: Settings
    now: int = 1_700_000_000

    async def transactor(self, patience: Patience = PATIENCE) -> Transactor:
        settings = replace(self.settings, patience=patience)
        chain = TransactionChain(self.endpoints, deadline_s=2.0)
        return await Transactor.open(self.store, chain, SIGNER, chain_id=CHAIN_ID, holder="me", settings=settings)

    async def begin(self, transactor: Transactor) -> Transaction:
        """Write a call down and bring it to the nodes."""
        await transactor.submit("e1", [Ordered(COUNTER, "0x", await self.chain.time() + 600)])
        return await self.until(transactor, "sent")

    async def until(self, transactor: Transactor, phase: str) -> Transaction:
        for _ in range(8):
            transaction = await transactor.step("e1", nothing, now=self.now)
            if transaction.phase == phase:
                return transaction
        raise AssertionError(f"still {transaction.phase}, not {phase}")


async def nothing(transaction: Transaction) -> str:
    return "{}"


@asynccontextmanager
async def opened(tmp_path: Path, *, quorum: int = 1, max_fee_wei: int = 10**12) -> AsyncIterator[Desk]:
    url = f"sqlite:///{tmp_path}/jobs.sqlite3"
    async with counter_chain() as chain, await Store.open(url, create=True, clock=lambda: desk.now) as store:
        nodes = (OddNode(HttpRpc(chain.anvil.url)), OddNode(HttpRpc(chain.anvil.url)))
        endpoints = Endpoints({"first": nodes[0], "second": nodes[1]}, chain_id=CHAIN_ID, quorum=quorum)
        desk = Desk(chain, store, nodes, endpoints, Settings(FeePolicy(max_fee_wei=max_fee_wei)))
        yield desk
        await endpoints.close()


async def test_nodes_that_show_nothing_unmined_do_not_keep_a_call_from_being_replaced(tmp_path: Path) -> None:
    """A sequencer keeps its pool to itself: what was sent is never seen before it is mined."""
    async with opened(tmp_path) as desk:
        for node in desk.nodes:
            node.own["eth_getTransactionByHash"] = lambda _: None
        transactor = await desk.transactor()
        await desk.begin(transactor)
        for _ in range(PATIENCE.resubmit_s):
            desk.now += 1
            transaction = await transactor.step("e1", nothing, now=desk.now)
        assert len(transaction.attempts) == 2
        # At the bound nothing dearer can be signed: then the last is sent again, for it may have been dropped.
        transactor._settings = Settings(FeePolicy(max_fee_wei=transaction.attempts[-1].max_fee_wei), PATIENCE)
        await transactor.step("e1", nothing, now=desk.now)
        for tx_hash in await desk.chain.waiting():
            await desk.chain.ask("anvil_dropTransaction", tx_hash)
        desk.now += PATIENCE.resubmit_s
        await transactor.step("e1", nothing, now=desk.now)
        assert await desk.chain.waiting() == [transaction.attempts[-1].tx_hash]


async def test_nodes_of_a_quorum_need_not_agree_on_opinions(tmp_path: Path) -> None:
    """What tip they suggest, how much gas they guess, and what waits in their pools is each one's own."""
    async with opened(tmp_path, quorum=2) as desk:
        odd = desk.nodes[1].own
        odd["eth_maxPriorityFeePerGas"] = lambda _: "0x3b9aca01"
        odd["eth_estimateGas"] = lambda _: "0xffff"
        odd["eth_getTransactionByHash"] = lambda _: None
        transactor = await desk.transactor()
        await desk.begin(transactor)
        await desk.until(transactor, "sent")
        await desk.chain.mine(3)
        await desk.until(transactor, "reconciled")
        assert await desk.chain.count() == 1


async def test_a_call_is_given_to_every_node_and_one_is_enough(tmp_path: Path) -> None:
    async with opened(tmp_path) as desk:
        first, second = desk.nodes
        first.own["eth_sendRawTransaction"] = lambda _: Refused("intrinsic gas too low", code=-32000)
        transaction = await desk.begin(await desk.transactor())
        assert [attempt.refusal for attempt in transaction.attempts] == [""]
        assert first.asked.count("eth_sendRawTransaction") == second.asked.count("eth_sendRawTransaction") == 1
        assert await desk.chain.waiting() == [transaction.attempts[0].tx_hash]


@pytest.mark.parametrize(
    ("other", "refusal"),
    [
        (Unreachable("cut off"), ""),
        (Refused("invalid chain id for signer", code=-32000), "invalid chain id for signer"),
    ],
)
async def test_only_all_nodes_together_refuse_for_good(tmp_path: Path, other: ChainError, refusal: str) -> None:
    async with opened(tmp_path) as desk:
        desk.nodes[0].own["eth_sendRawTransaction"] = lambda _: Refused("invalid chain id for signer", code=-32000)
        desk.nodes[1].own["eth_sendRawTransaction"] = lambda _: other
        transactor = await desk.transactor()
        await transactor.submit("e1", [Ordered(COUNTER, "0x", await desk.chain.time() + 600)])
        for _ in range(3):
            transaction = await transactor.step("e1", nothing, now=desk.now)
        assert transaction.attempts[0].refusal == refusal


async def test_a_key_without_funds_is_complained_of(tmp_path: Path) -> None:
    async with opened(tmp_path) as desk:
        transactor = await desk.transactor()
        await transactor.submit("e1", [Ordered(COUNTER, "0x", await desk.chain.time() + 600)])
        await desk.until(transactor, "signed")
        await desk.chain.ask("anvil_setBalance", SIGNER.address, "0x1")
        with pytest.raises(ChainError, match="the key cannot pay for its gas: ") as caught:
            await transactor.step("e1", nothing, now=desk.now)
        assert caught.value.retryable
        said: list[str] = []
        clock = Refilling(desk)
        done = await transactor.run("e1", nothing, now=lambda: desk.now, clock=clock, complain=said.append)
        assert done.phase == "reconciled" and "the key cannot pay for its gas" in said[0]


@dataclass(slots=True)
class Refilling:
    """Waits by sending the key money and mining."""

    desk: Desk

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await self.desk.chain.ask("anvil_setBalance", SIGNER.address, hex(10**20))
        await self.desk.chain.mine()


async def test_one_node_behind_is_no_foreign_hand_on_the_key(tmp_path: Path) -> None:
    """It has not got the receipt of a call that another counts already; the second look finds it."""
    async with opened(tmp_path) as desk:
        transactor = await desk.transactor()
        await desk.begin(transactor)
        await desk.chain.mine(3)
        for node in desk.nodes:
            node.own["eth_getTransactionReceipt"] = lambda _: None
        assert (await transactor.step("e1", nothing, now=desk.now)).phase == "sent"
        for node in desk.nodes:
            node.own.clear()
        await desk.until(transactor, "reconciled")
        assert not (await desk.store.read_halt()).is_set


async def test_a_confirmed_call_whose_block_is_taken_back_is_sent_again(tmp_path: Path) -> None:
    """Killed after it was confirmed; meanwhile the chain takes more back than was expected."""
    async with opened(tmp_path) as desk:
        transactor = await desk.transactor()
        await desk.begin(transactor)
        await desk.chain.mine(3)
        await desk.until(transactor, "confirmed")
        await desk.chain.ask("anvil_reorg", 3, [])
        transaction = await transactor.step("e1", nothing, now=desk.now)
        assert (transaction.phase, transaction.receipt) == ("sent", None)
        await transactor.step("e1", nothing, now=desk.now)
        await desk.chain.mine(3)
        await desk.until(transactor, "reconciled")
        assert (await desk.chain.count(), await desk.chain.nonce()) == (1, 1)


async def test_where_the_base_chain_is_waited_for_depth_is_not_enough(tmp_path: Path) -> None:
    async with opened(tmp_path) as desk:
        safe = {"number": "0x0"}
        for node in desk.nodes:
            node.inner = Tagged(node.inner, safe)
        transactor = await desk.transactor(replace(PATIENCE, settled="safe"))
        await desk.begin(transactor)
        await desk.chain.mine(10)
        transaction = await desk.until(transactor, "mined")
        assert (await transactor.step("e1", nothing, now=desk.now)).phase == "mined"
        assert transaction.receipt is not None
        safe["number"] = hex(transaction.receipt.block_number)
        await desk.until(transactor, "confirmed")


@dataclass(slots=True)
class Tagged:
    """A node whose safe block is said by a test."""

    inner: Rpc
    safe: dict[str, str]

    async def ask(self, request: Request[T], *, deadline_s: float) -> T:
        if request.params[:1] == ("safe",):
            return request.read(self.safe)
        return await self.inner.ask(request, deadline_s=deadline_s)

    async def ask_all(self, requests: Sequence[Request[T]], *, deadline_s: float) -> list[T]:
        return await self.inner.ask_all(requests, deadline_s=deadline_s)

    async def close(self) -> None:
        await self.inner.close()


async def test_a_cancellation_that_is_too_dear_is_complained_of(tmp_path: Path) -> None:
    """Until it is paid for the key can sign nothing else: somebody must know."""
    async with opened(tmp_path) as desk:
        transactor = await desk.transactor()
        transaction = await desk.begin(transactor)
        await desk.chain.ask("evm_increaseTime", 700)
        await desk.chain.ask("anvil_dropTransaction", transaction.attempts[0].tx_hash)
        await desk.chain.mine()
        transactor._settings = Settings(FeePolicy(max_fee_wei=transaction.attempts[0].max_fee_wei), PATIENCE)
        with pytest.raises(ChainError, match="gas costs more than the operator allows"):
            await transactor.step("e1", nothing, now=desk.now)
        assert await desk.chain.waiting() == [], "what is past its deadline is not sent again"


async def test_anvil_knows_the_tags(tmp_path: Path) -> None:
    async with opened(tmp_path) as desk:
        await desk.chain.mine(100)
        for tag in ("safe", "finalized"):
            block = await desk.chain.ask("eth_getBlockByNumber", tag, False)
            assert 0 <= int(block["number"], 16) <= 104
        chain = TransactionChain(desk.endpoints)
        seen = await chain.see(SIGNER.address, [], replace(PATIENCE, settled="finalized"))
        assert seen.settled_block <= seen.block_number - 2


async def test_what_a_rollup_asks_for_its_base_chain_is_read(tmp_path: Path) -> None:
    """Its contract is asked with something at least as long as the transaction; where there is none it is nothing."""
    async with opened(tmp_path) as desk:
        chain = TransactionChain(desk.endpoints)
        assert await chain.data_fee("0x" + "ab" * 1000) == 0
        # PUSH1 0x24 CALLDATALOAD PUSH0 MSTORE PUSH1 0x20 PUSH0 RETURN: the length of the bytes given
        await desk.chain.ask("anvil_setCode", ORACLE, "0x6024355f5260205ff3")
        assert await chain.data_fee("0x" + "ab" * 1000) == 1160
        await desk.chain.ask("anvil_setCode", ORACLE, "0x5f5ffd")  # PUSH0 PUSH0 REVERT
        with pytest.raises(ChainError, match="cannot be read") as caught:
            await chain.data_fee("0x")
        assert caught.value.retryable
