"""The published Uniswap V3 contracts on a real anvil: one pool of two WETH9, and somebody who trades in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from support.evm_assembly import PAYER, TRANSFER, assemble

from simulator.chain.abi import address_of, call_data, read_words, selector, words
from simulator.chain.anvil import Anvil, find_anvil
from simulator.chain.artifacts import FACTORY, POSITION_MANAGER, WETH9
from simulator.chain.blocks import read_header
from simulator.chain.rpc import HttpRpc, Request
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO, get_sqrt_ratio_at_tick

CHAIN_ID = 31337
FEE, SPACING = 3000, 60
_SENDER = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"  # anvil's first account
_PAYER = "0x" + "ba" * 20
_MANY = 10**30
_DEADLINE_S = 20.0


@dataclass(slots=True)
class AnvilPool:
    """A pool on a node that mines when told to."""

    anvil: Anvil
    rpc: HttpRpc
    pool: str = ""
    manager: str = ""
    factory: str = ""
    owner: str = _SENDER
    _pending: list[str] = field(default_factory=list)

    @property
    def payer(self) -> str:
        """The contract in whose name liquidity is added to the pool itself."""
        return _PAYER

    async def ask(self, method: str, *params: Any) -> Any:
        """Ask the node itself."""
        return await self.rpc.ask(Request(method, params, lambda value: value), deadline_s=_DEADLINE_S)

    async def send(self, to: str | None, data: str, value: int = 0) -> None:
        """Queue a transaction for the next block."""
        transaction = {"from": _SENDER, "data": data, "value": hex(value), "gas": hex(15_000_000)}
        if to is not None:
            transaction["to"] = to
        self._pending.append(await self.ask("eth_sendTransaction", transaction))

    async def mine(self) -> dict[str, Any]:
        """Mine what is queued into one block. Returns the last receipt."""
        await self.ask("evm_mine")
        receipt: dict[str, Any] = {}
        for transaction in self._pending:
            receipt = await self.ask("eth_getTransactionReceipt", transaction)
            assert receipt["status"] == "0x1", receipt
        self._pending.clear()
        return receipt

    async def call(self, to: str, signature: str, *arguments: int) -> list[int]:
        """Return the words that a getter answers at the latest block."""
        return read_words(await self.ask("eth_call", {"to": to, "data": call_data(signature, *arguments)}, "latest"))

    async def initialize(self, tick: int) -> None:
        """Give the pool a price."""
        await self.send(self.pool, call_data("initialize(uint160)", get_sqrt_ratio_at_tick(tick)))

    async def mint(self, tick_lower: int, tick_upper: int, liquidity: int) -> None:
        """Add liquidity that the payer owns in the pool itself."""
        arguments = words(int(_PAYER, 16), tick_lower, tick_upper, liquidity, 5 * 32, 0)
        data = "0x" + (selector("mint(address,int24,int24,uint128,bytes)") + arguments).hex()
        await self.send(_PAYER, data)

    async def burn(self, tick_lower: int, tick_upper: int, liquidity: int) -> None:
        """Take liquidity of the payer's out."""
        await self.send(_PAYER, call_data("burn(int24,int24,uint128)", tick_lower, tick_upper, liquidity))

    async def swap(self, zero_for_one: bool, amount: int, limit: int | None = None) -> None:  # noqa: FBT001 - the contract's order
        """Swap in the payer's name."""
        extreme = MIN_SQRT_RATIO + 1 if zero_for_one else MAX_SQRT_RATIO - 1
        limit = extreme if limit is None else limit
        arguments = words(int(_PAYER, 16), int(zero_for_one), amount, limit, 5 * 32, 0)
        data = "0x" + (selector("swap(address,bool,int256,uint160,bytes)") + arguments).hex()
        await self.send(_PAYER, data)

    async def flash(self, pay0: int, pay1: int) -> None:
        """Borrow nothing and pay for it."""
        arguments = words(int(_PAYER, 16), 0, 0, 4 * 32, 64, pay0, pay1)
        await self.send(_PAYER, "0x" + (selector("flash(address,uint256,uint256,bytes)") + arguments).hex())

    async def set_fee_protocol(self, fee_protocol0: int, fee_protocol1: int) -> None:
        """Change the protocol's share, as the factory's owner."""
        await self.send(self.pool, call_data("setFeeProtocol(uint8,uint8)", fee_protocol0, fee_protocol1))

    async def managed_mint(self, tick_lower: int, tick_upper: int, amount0: int, amount1: int) -> None:
        """Buy a position through the position manager for the owner."""
        token0, token1 = [(await self.call(self.pool, f"{name}()"))[0] for name in ("token0", "token1")]
        for token in (token0, token1):
            await self.send(address_of(token), call_data("approve(address,uint256)", int(self.manager, 16), _MANY))
        fields = "address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256"
        await self.send(
            self.manager,
            call_data(
                f"mint(({fields}))",
                *(token0, token1, FEE, tick_lower, tick_upper, amount0, amount1, 0, 0, int(self.owner, 16), 2**64),
            ),
        )

    async def reorg(self, depth: int) -> None:
        """Take back the last blocks and mine as many empty ones in their stead."""
        await self.ask("anvil_reorg", depth, [])

    async def head(self) -> Any:
        """Return the header of the latest block."""
        return read_header(await self.ask("eth_getBlockByNumber", "latest", False))

    async def _deploy(self, code: bytes, *arguments: int) -> str:
        await self.send(None, "0x" + (code + words(*arguments)).hex())
        return str((await self.mine())["contractAddress"])


@asynccontextmanager
async def anvil_pool(*, tick: int = 0, port: int = 0, arguments: Sequence[str] = ()) -> AsyncIterator[AnvilPool]:
    """Yield a fresh chain with an initialised pool without liquidity."""
    async with anvil_chain(port=port, arguments=arguments) as chain:
        await _populate(chain, tick)
        yield chain


@asynccontextmanager
async def anvil_chain(*, port: int = 0, arguments: Sequence[str] = ()) -> AsyncIterator[AnvilPool]:
    """Yield a fresh chain without a pool."""
    options = ["--no-mining", "--chain-id", str(CHAIN_ID), "--code-size-limit", "60000", *arguments]
    async with await Anvil.start(find_anvil(), port=port, arguments=options) as anvil:
        chain = AnvilPool(anvil, HttpRpc(anvil.url))
        try:
            await chain.ask("anvil_setBlockTimestampInterval", 2)
            await chain.ask("anvil_setBalance", chain.owner, hex(10 * _MANY))
            yield chain
        finally:
            await chain.rpc.close()


async def new_tokens(chain: AnvilPool) -> list[int]:
    """Deploy two tokens; return their addresses, as a pool sorts them."""
    return sorted([int(await chain._deploy(WETH9.creation_code), 16) for _ in range(2)])


async def place_payer(chain: AnvilPool, tokens: list[int], source: str = PAYER) -> None:
    """Put the code in place that pays the pool, and give it tokens."""
    payer = assemble(source, POOL=int(chain.pool, 16), TOKEN0=tokens[0], TOKEN1=tokens[1], PAY=TRANSFER)
    await chain.ask("anvil_setCode", _PAYER, "0x" + payer.hex())
    for token in map(address_of, tokens):
        await chain.send(token, call_data("deposit()"), value=3 * _MANY)
        await chain.send(token, call_data("transfer(address,uint256)", int(_PAYER, 16), 2 * _MANY))


async def _populate(chain: AnvilPool, tick: int) -> None:
    numbers = await new_tokens(chain)
    factory = chain.factory = await chain._deploy(FACTORY.creation_code)
    chain.manager = await chain._deploy(POSITION_MANAGER.creation_code, int(factory, 16), numbers[0], 0)
    await chain.send(factory, call_data("createPool(address,address,uint24)", *numbers, FEE))
    await chain.mine()
    chain.pool = address_of((await chain.call(factory, "getPool(address,address,uint24)", *numbers, FEE))[0])
    await place_payer(chain, numbers)
    await chain.initialize(tick)
    await chain.mine()
