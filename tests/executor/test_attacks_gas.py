"""What a chain, its nodes and its fees can take from the keeper's key and the vault: first with the one defence taken
away, where it is taken, then with it.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.counter_chain import CHAIN_ID, COUNTER, KEY, SIGNER, counter_chain
from support.executor_attacks import BUYS, FEE, Losses, bounds, carry, push
from support.executor_desk import ABOVE, KEEPER, NARROW, NOW, WIDE, Office, office
from support.odd_node import OddNode
from support.vault_anvil import UNIT

from db import transactions
from db.store import Store
from db.transaction import Transaction
from executor.chain import TransactionChain
from executor.fees import FeePolicy
from executor.keys import load_signer
from executor.standing import standing_of
from executor.steps import Patience, Sign, Step, Wait, next_step
from executor.transactor import Ordered, Settings, Transactor
from protocol.errors import ChainError, ConfigError, StoreError
from simulator.chain.endpoints import Endpoints
from simulator.chain.rpc import HttpRpc, Refused, Unreachable
from simulator.plan import Desired
from simulator.portfolio import Range

GWEI = 10**9
WISH = (Desired(WIDE, 300 * UNIT, 300 * UNIT), Desired(NARROW, 100 * UNIT, 100 * UNIT))
ORACLE = "0x420000000000000000000000000000000000000f"
PATIENCE = Patience(confirmations=1, resubmit_s=8)


@pytest.fixture
def losses(tmp_path: Path) -> Losses:
    return Losses(tmp_path)


async def balance(here: Office) -> int:
    return int(await here.made.chain.ask("eth_getBalance", KEEPER.address, "latest"), 16)


async def spent(url: str, base_fee_wei: int, fees: FeePolicy) -> int:
    """Return what the key pays for a plan when the base fee has just jumped."""
    async with office(url) as here:
        transactor = await here.transactor()
        transactor._settings = replace(transactor._settings, fees=fees)
        await here.want(*WISH)
        before = await balance(here)
        await here.made.chain.ask("anvil_setNextBlockBaseFeePerGas", hex(base_fee_wei))
        await here.made.chain.mine()
        await here.service(transactor, bounds=replace(here.bounds, deadline_s=20)).drain()
        return before - await balance(here)


async def test_a_base_fee_that_jumps(tmp_path: Path) -> None:
    """Empty blocks bring it down by an eighth each; the plan's deadline comes first."""
    jump, url = 10**6 * GWEI, f"sqlite:///{tmp_path}"
    assert await spent(f"{url}/a.sqlite3", jump, FeePolicy(max_fee_wei=10**19)) > 3 * 10**20
    assert await spent(f"{url}/b.sqlite3", jump, FeePolicy(max_fee_wei=20 * GWEI)) == 0


async def test_a_plan_that_costs_more_than_it_is_worth(tmp_path: Path) -> None:
    """Each unit of gas is within its bound, and there are a million of them."""
    dear, url = 15 * GWEI, f"sqlite:///{tmp_path}"
    bound = FeePolicy(max_fee_wei=100 * GWEI)
    assert await spent(f"{url}/a.sqlite3", dear, bound) > 8 * 10**15
    assert await spent(f"{url}/b.sqlite3", dear, replace(bound, max_cost_wei=10**14)) == 0


async def test_a_rollup_that_asks_for_its_base_chain(tmp_path: Path) -> None:
    """What its oracle says is taken on top of the gas, and no field of a transaction bounds it. This chain takes
    nothing: the loss is that the call is sent.
    """
    oracle = "0x67" + (10**16).to_bytes(8, "big").hex() + "5f5260205ff3"  # PUSH8 PUSH0 MSTORE PUSH1 0x20 PUSH0 RETURN
    for most, sent in ((None, 1), (10**16, 0)):
        async with office(f"sqlite:///{tmp_path}/{sent}.sqlite3") as here:
            await here.made.chain.ask("anvil_setCode", ORACLE, oracle)
            transactor = await here.transactor()
            fees = replace(transactor._settings.fees, max_cost_wei=most)
            transactor._settings = replace(transactor._settings, fees=fees)
            await here.want(*WISH)
            await here.service(transactor).drain()
            assert await here.rebalances() == sent


async def test_plans_without_a_rest(tmp_path: Path) -> None:
    """On a vault that keeps none itself a miner has the key pay for plan after plan."""

    async def pays(name: str, cooldown_s: int) -> int:
        async with office(f"sqlite:///{tmp_path}/{name}.sqlite3", fee_receiver="0x" + "fe" * 20) as here:
            before = await balance(here)
            for wanted in (NARROW, ABOVE, NARROW, ABOVE):
                await here.want(Desired(wanted, 50 * UNIT, 0))
                await carry(here, bounds=bounds(here, cooldown_s=cooldown_s), now=lambda: NOW + 1)
            return before - await balance(here)

    assert await pays("a", 0) > 2 * await pays("b", 120)


async def test_a_plan_of_many_positions(tmp_path: Path) -> None:
    """Opening them is paid by the keeper now, closing them by him or the owner."""

    async def pays(name: str, most: int) -> int:
        async with office(f"sqlite:///{tmp_path}/{name}.sqlite3") as here:
            before = await balance(here)
            await here.want(*(Desired(Range(60 * n, 60 * n + 600), UNIT, 0) for n in range(1, 21)))
            await carry(here, bounds=replace(here.bounds, plan=replace(here.bounds.plan, max_positions=most)))
            return before - await balance(here)

    assert await pays("a", 50) > 4_000_000 * GWEI
    assert await pays("b", 10) == 0


async def test_a_call_that_is_held_back(losses: Losses) -> None:
    """Whoever orders the blocks keeps it for an hour, and includes it where it is worst within its bounds."""

    async def held(here: Office, deadline_s: int) -> None:
        intent = await here.want(*BUYS)
        transactor = await here.transactor()
        executor = here.service(transactor, bounds=replace(here.bounds, deadline_s=deadline_s))
        assert await executor.work()
        while not (found := await transactor.step(intent.execution_id, executor._check, now=NOW)).attempts:
            pass
        await here.pass_time()
        await push(here, 12)
        await here.made.chain.ask("eth_sendRawTransaction", found.attempts[0].signed_bytes)
        await here.made.chain.mine()

    assert await losses(lambda here: held(here, 10**6)) > FEE + UNIT // 2
    assert await losses(lambda here: held(here, 120)) == 0


async def test_a_call_that_is_held_back_from_a_vault_without_deadlines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SN98's contract takes a call at any time: only the key can spend its nonce on nothing."""

    async def opened_late(name: str) -> int:
        async with office(f"sqlite:///{tmp_path}/{name}.sqlite3", fee_receiver="0x" + "fe" * 20) as here:
            chain, intent, transactor = here.made.chain, await here.want(WISH[0]), await here.transactor()
            executor = here.service(transactor)
            assert await executor.work()
            while not (found := await transactor.step(intent.execution_id, executor._check, now=NOW)).attempts:
                pass
            await here.pass_time()
            for _ in range(2):  # sign, send
                await transactor.step(intent.execution_id, executor._check, now=NOW)
            await chain.mine()
            with contextlib.suppress(Refused):  # "nonce too low"
                await chain.ask("eth_sendRawTransaction", found.attempts[0].signed_bytes)
            await chain.mine()
            return sum(liquidity for _, liquidity in standing_of(await here.fork()).positions)

    def waits(*arguments: Any, **named: Any) -> Step:
        step = next_step(*arguments, **named)
        return Wait() if step == Sign("noop") else step

    with monkeypatch.context() as patch:  # a line of a pure function, without an argument to leave it out
        patch.setattr("executor.transactor.next_step", waits)
        assert await opened_late("a") > UNIT
    assert await opened_late("b") == 0


async def test_two_calls_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are made for the vault as it is before either: the chain undoes the second, and takes its gas."""

    async def both(here: Office) -> int:
        transactor = await here.transactor()
        executor = here.service(transactor)
        names = [(await here.want(*WISH)).execution_id for _ in range(2)]
        for name in names:
            assert await executor._take(await here.store.get_execution(name) or pytest.fail())
        with contextlib.suppress(StoreError):  # "in flight"
            for name in names * 3:  # simulate, sign, send
                await transactor.step(name, executor._check, now=NOW)
        await here.made.chain.mine()
        return await undone_wei(here)

    async with office(f"sqlite:///{tmp_path}/a.sqlite3") as here:
        with monkeypatch.context() as patch:  # the rule is a line of a write, without an argument to leave it out
            patch.setattr(transactions, "IN_FLIGHT", ())
            assert await both(here) > 10**13
    async with office(f"sqlite:///{tmp_path}/b.sqlite3") as here:
        assert await both(here) == 0


async def undone_wei(here: Office) -> int:
    """Return what the last block took for calls that it undid."""
    wei = 0
    for tx_hash in (await here.made.chain.ask("eth_getBlockByNumber", "latest", False))["transactions"]:
        receipt = await here.made.chain.ask("eth_getTransactionReceipt", tx_hash)
        wei += int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16) * (receipt["status"] == "0x0")
    return wei


async def nothing(transaction: Transaction) -> str:
    return json.dumps({"nonce": transaction.nonce})


async def phase_with_a_liar(folder: Path, quorum: int) -> tuple[str, int]:
    """Send a call through a node that keeps it and tells of a receipt, beside an honest one where two must agree;
    return how it ends and how often the call was carried out.
    """
    url = f"sqlite:///{folder}/{quorum}.sqlite3"
    async with AsyncExitStack() as stack:
        chain = await stack.enter_async_context(counter_chain())
        store = await stack.enter_async_context(await Store.open(url, create=True, clock=lambda: NOW))
        head = await chain.ask("eth_getBlockByNumber", "latest", False)
        liar, honest = OddNode(HttpRpc(chain.anvil.url)), OddNode(HttpRpc(chain.anvil.url))

        def receipt(params: tuple[Any, ...]) -> dict[str, str]:
            fields = {"blockNumber": head["number"], "blockHash": head["hash"], "transactionHash": params[0]}
            return {**fields, "status": "0x1", "gasUsed": "0x5208", "effectiveGasPrice": "0x1"}

        unsent = Unreachable("it says nothing")
        liar.own = {"eth_sendRawTransaction": lambda _: unsent, "eth_getTransactionReceipt": receipt}
        nodes = {"liar": liar, "honest": honest} if quorum > 1 else {"liar": liar}
        endpoints = Endpoints(nodes, chain_id=CHAIN_ID, quorum=quorum)
        stack.push_async_callback(endpoints.close)
        settings = Settings(FeePolicy(max_fee_wei=10**12), PATIENCE)
        transactor = await Transactor.open(
            store,
            TransactionChain(endpoints, deadline_s=0.5),
            SIGNER,
            chain_id=CHAIN_ID,
            holder="me",
            settings=settings,
        )
        await transactor.submit("e1", [Ordered(COUNTER, "0x", await chain.time() + 600)])
        transaction = None
        for _ in range(6):
            try:
                transaction = await transactor.step("e1", nothing, now=NOW)
            except ChainError as error:
                assert "agree" in str(error), error
            await chain.mine()
        assert transaction is not None
        return transaction.phase, await chain.count()


async def test_a_node_that_lies(tmp_path: Path) -> None:
    """On its word alone the plan is done, and nothing has happened."""
    assert await phase_with_a_liar(tmp_path, 1) == ("reconciled", 0)
    phase, count = await phase_with_a_liar(tmp_path, 2)
    assert phase != "reconciled" and count == 1


def test_a_key_on_a_command_line() -> None:
    """Everybody on the machine can read it there."""
    waits = "import sys; sys.stdout.write('ready'); sys.stdout.flush(); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", waits, KEY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.read(5) == b"ready"
        assert KEY.encode() in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        process.stdin.close()
    with pytest.raises(ConfigError, match="never taken"):
        load_signer(KEY, {})
