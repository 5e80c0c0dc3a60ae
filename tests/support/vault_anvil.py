"""Our vault on a real node, each call a transaction of its own, with all that it costs there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.anvil_pool import FEE, AnvilPool, anvil_pool
from support.vault_world import LOOSE, any_swap, opening

from executor.vault import ListedPosition, VaultCall, VaultClose, VaultOpen, VaultSwap, vault_code
from executor.vault_abi import deployment_arguments, positions_hash, rebalance_data
from simulator.chain.abi import address_of, call_data, signed, words
from simulator.chain.compiler import compiled
from simulator.portfolio import Range

OWNER = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"  # anvil's next three accounts
KEEPER = "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc"
GUARDIAN = "0x90f79bf6eb2c4f870365e785982e1f101e93b906"
UNIT = 10**18
_DEPOSIT = 1000 * UNIT


@dataclass(slots=True)
class AnvilVault:
    """A vault with tokens in a pool whose oracle remembers enough."""

    chain: AnvilPool
    vault: str = ""
    plans: int = 0

    async def send(self, sender: str, to: str | None, data: str) -> dict[str, Any]:
        """Send a transaction, mine it alone, and return its receipt, whatever its status."""
        fields = {"from": sender, "data": data, "gas": hex(2**24)} | ({"to": to} if to else {})
        sent = await self.chain.ask("eth_sendTransaction", fields)
        await self.chain.mine()
        receipt = await self.chain.ask("eth_getTransactionReceipt", sent)
        assert isinstance(receipt, dict)
        return receipt

    async def cost(self, sender: str, data: str) -> int:
        """Call the vault and return the gas that it took. The call must succeed."""
        receipt = await self.send(sender, self.vault, data)
        assert receipt["status"] == "0x1", receipt
        return int(receipt["gasUsed"], 16)

    async def positions(self) -> list[ListedPosition]:
        """Return what the vault lists."""
        _, _, *fields = await self.chain.call(self.vault, "positions()")
        rows = (fields[at : at + 3] for at in range(0, len(fields), 3))
        return [ListedPosition(Range(signed(lower, 24), signed(upper, 24)), amount) for lower, upper, amount in rows]

    async def plan(
        self,
        *,
        closes: int = 0,
        collects: Sequence[Range] = (),
        swap: VaultSwap | None = None,
        opens: Sequence[VaultOpen] = (),
    ) -> VaultCall:
        """Return a plan, an hour later, that closes the first so many positions."""
        await self.chain.ask("evm_setNextBlockTimestamp", (await self.chain.head()).timestamp + 3600)
        await self.chain.ask("evm_mine")
        self.plans += 1
        listed, now = await self.positions(), (await self.chain.head()).timestamp
        closing = tuple(VaultClose(p.range, 0, 0) for p in listed[:closes])
        ticket = (self.plans.to_bytes(32, "big"), now + 600, positions_hash(listed))
        return VaultCall(*ticket, closing, tuple(collects), swap, tuple(opens))

    async def found(self, costs: dict[str, int], code: bytes = b"") -> None:
        """Deploy a vault on the pool as it is named now, with a keeper, and fill it with what the owner has."""
        chain = self.chain
        tokens = [address_of((await chain.call(chain.pool, f"{name}()"))[0]) for name in ("token0", "token1")]
        code = (code or vault_code().creation_code) + deployment_arguments(chain.pool, OWNER, GUARDIAN, LOOSE)
        receipt = await self.send(OWNER, None, "0x" + code.hex())
        self.vault, costs["deployment"] = receipt["contractAddress"], int(receipt["gasUsed"], 16)
        until = int(receipt["blockNumber"], 16) + 1_700_000_000 + 80 * 86400
        await self.cost(OWNER, call_data("set_keeper(address,uint256)", int(KEEPER, 16), until))
        for token in tokens:
            await self.send(OWNER, token, call_data("approve(address,uint256)", int(self.vault, 16), _DEPOSIT))
        costs["deposit of both tokens"] = await self.cost(OWNER, call_data("deposit(uint256,uint256)", *[_DEPOSIT] * 2))

    async def rebalance(self, call: VaultCall) -> int:
        """Carry out a plan and return its gas."""
        return await self.cost(KEEPER, "0x" + rebalance_data(call).hex())


@asynccontextmanager
async def anvil_vault(costs: dict[str, int] | None = None, *, code: bytes = b"") -> AsyncIterator[AnvilVault]:
    """Yield a vault on a fresh chain whose every block is the same at each run; its set-up is added to `costs`. It has
    another's creation code where one is given.
    """
    costs = {} if costs is None else costs
    async with anvil_pool(arguments=["--timestamp", "1700000000"]) as chain:
        await chain.send(chain.pool, call_data("increaseObservationCardinalityNext(uint16)", 100))
        await chain.mint(-60_000, 60_000, 10_000 * UNIT)
        await chain.mint(-1200, 1200, 10_000 * UNIT)
        tokens = [address_of((await chain.call(chain.pool, f"{name}()"))[0]) for name in ("token0", "token1")]
        for token in tokens:
            await chain.send(token, call_data("transfer(address,uint256)", int(OWNER, 16), _DEPOSIT))
        await chain.mine()
        made = AnvilVault(chain)
        await made.found(costs, code)
        yield made


async def deploy_manager(made: AnvilVault) -> str:
    """Deploy the stand-in for SN98's LiquidityManager, operated by the keeper, and give it 1000 of each token."""
    tokens = [address_of((await made.chain.call(made.chain.pool, f"{name}()"))[0]) for name in ("token0", "token1")]
    code = compiled("liquidity_manager", Path(__file__).parent / "contracts").creation_code
    arguments = words(*(int(a, 16) for a in (KEEPER, tokens[0], made.chain.manager, *tokens)), FEE)
    address = str((await made.send(OWNER, None, "0x" + (code + arguments).hex()))["contractAddress"])
    for token in tokens:
        await made.chain.send(token, call_data("transfer(address,uint256)", int(address, 16), _DEPOSIT))
    await made.chain.mine()
    return address


def ladder(count: int, first: int = 0) -> list[VaultOpen]:
    """Return ranges around the price, none equal to another."""
    return [opening(-600 - 60 * n, 600 + 60 * n, 10 * UNIT, 10 * UNIT) for n in range(first, first + count)]


async def measure_vault_gas() -> dict[str, int]:
    """Return what each kind of call costs, in the order in which they were made."""
    costs: dict[str, int] = {}
    async with anvil_vault(costs) as made:
        costs["first plan: open 1"] = await made.rebalance(await made.plan(opens=ladder(1)))
        costs["close 1, open 1"] = await made.rebalance(await made.plan(closes=1, opens=ladder(1, 1)))
        swap = any_swap(True, 20 * UNIT)
        wanted = [*ladder(1), opening(-1800, -600, 0, 985 * UNIT)]
        costs["close 1, swap, open 2"] = await made.rebalance(await made.plan(closes=1, swap=swap, opens=wanted))
        await made.chain.swap(True, UNIT)
        await made.chain.mine()
        held = [p.range for p in await made.positions()]
        costs["collect 2"] = await made.rebalance(await made.plan(collects=held))
        costs["close 2, open 3"] = await made.rebalance(await made.plan(closes=2, opens=ladder(3)))
        costs["close 3, open 10"] = await made.rebalance(await made.plan(closes=3, opens=ladder(10)))
        costs["close 10, open 10"] = await made.rebalance(await made.plan(closes=10, opens=ladder(10, 10)))
        costs["owner: claim fees of 10"] = await made.cost(OWNER, call_data("claim_fees()"))
        for first in (20, 40):
            await made.rebalance(await made.plan(opens=ladder(20, first)))
        assert len(await made.positions()) == 50
        costs["owner: withdraw all of 50"] = await made.cost(OWNER, call_data("withdraw_all()"))
    return costs
