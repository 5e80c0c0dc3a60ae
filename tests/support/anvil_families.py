"""Pools of the other families on a real anvil: PancakeSwap's published contract, and a stand-in for Slipstream's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from support.anvil_pool import AnvilPool, anvil_chain, new_tokens, place_payer
from support.evm_assembly import PANCAKE_DEPLOYER, PANCAKE_PAYER, assemble

from simulator.chain.abi import (
    BURN,
    MINT,
    SWAP,
    address_of,
    call_data,
    position_key,
    read_words,
    selector,
    topic,
    words,
)
from simulator.chain.artifacts import PANCAKE_POOL
from simulator.chain.gauges import DEPOSIT, WITHDRAW
from simulator.fee_policy import PANCAKE_V3_TIERS
from simulator.slipstream import CLPool

_DEPLOYER = "0x" + "de" * 20
_SOMEBODY = 0x50
NFT, GAUGE = "nft", "gauge"


@asynccontextmanager
async def anvil_pancake_pool(fee_pips: int, *, tick: int) -> AsyncIterator[AnvilPool]:
    """Yield a fresh chain with an initialised PancakeV3Pool without liquidity; its factory is an account."""
    async with anvil_chain() as chain:
        tokens, spacing = await new_tokens(chain), PANCAKE_V3_TIERS[fee_pips]
        names = {"FACTORY": int(chain.owner, 16), "TOKEN0": tokens[0], "TOKEN1": tokens[1]}
        deployer = assemble(PANCAKE_DEPLOYER, **names, FEE=fee_pips, SPACING=spacing)
        await chain.ask("anvil_setCode", _DEPLOYER, "0x" + deployer.hex())
        code = "0x" + PANCAKE_POOL.creation_code.hex()
        made = await chain.ask("eth_call", {"to": _DEPLOYER, "data": code, "gas": hex(15_000_000)}, "latest")
        await chain.send(_DEPLOYER, code)
        await chain.mine()
        chain.pool = address_of(read_words(made)[0])
        await place_payer(chain, tokens, PANCAKE_PAYER)
        await chain.initialize(tick)
        await chain.mine()
        yield chain


@cache
def stand_in(name: str) -> bytes:
    """Return the creation code of a stand-in beside this file."""
    from vyper.compiler import compile_code  # half a second to import

    source = (Path(__file__).parent / f"{name}.vy").read_text(encoding="utf-8")
    return bytes.fromhex(compile_code(source, output_formats=["bytecode"])["bytecode"].removeprefix("0x"))


@dataclass(slots=True)
class SlipstreamStandIn:
    """A pool that is `truth`, shown on a chain: every operation happens there first and is then put and logged."""

    chain: AnvilPool
    truth: CLPool
    gauge: str = ""
    _tokens: list[int] = field(default_factory=list)
    _shown_ticks: dict[int, list[int]] = field(default_factory=dict)
    _shown_words: dict[int, list[int]] = field(default_factory=dict)
    _given: int = 0
    _numbers: dict[tuple[int, int], int] = field(default_factory=dict)

    async def swap(self, zero_for_one: bool, amount: int, limit: int | None = None) -> None:  # noqa: FBT001 - the contract's order
        """Swap as somebody."""
        amounts = self.truth.swap(zero_for_one, amount, limit)
        state = (self.truth.sqrt_price_x96, self.truth.liquidity, self.truth.tick)
        await self._log(self.chain.pool, SWAP, (_SOMEBODY, _SOMEBODY), *amounts, *state)

    async def mint(self, tick_lower: int, tick_upper: int, liquidity: int) -> None:
        """Add liquidity in the position manager's name; it gets a number, so that it can be staked."""
        amounts = self.truth.mint(NFT, tick_lower, tick_upper, liquidity)
        bounds = (tick_lower, tick_upper)
        await self._log(self.chain.pool, MINT, (_SOMEBODY, *bounds), _SOMEBODY, liquidity, *amounts)
        if bounds not in self._numbers:
            self._given += 1
            self._numbers[bounds] = self._given
            await self.give(self._numbers[bounds], _SOMEBODY, tick_lower, tick_upper, (liquidity, 0, 0, 0, 0))

    async def burn(self, tick_lower: int, tick_upper: int, liquidity: int) -> None:
        """Take the manager's liquidity out."""
        amounts = self.truth.burn(NFT, tick_lower, tick_upper, liquidity)
        await self._log(self.chain.pool, BURN, (_SOMEBODY, tick_lower, tick_upper), liquidity, *amounts)

    async def stake(self, tick_lower: int, tick_upper: int, delta: int) -> None:
        """Give liquidity to the gauge, or take it back: the pool logs nothing."""
        self.truth.stake(delta, tick_lower, tick_upper)
        number = self._numbers[(tick_lower, tick_upper)]
        await self._log(self.gauge, DEPOSIT if delta > 0 else WITHDRAW, (_SOMEBODY, number, abs(delta)))

    async def forget(self, tick_lower: int, tick_upper: int) -> None:
        """Burn the manager's token of a range."""
        number = self._numbers.pop((tick_lower, tick_upper))
        await self.chain.send(self.chain.manager, call_data("burn(uint256)", number))

    async def found_gauge(self) -> None:
        """Give the pool a gauge."""
        self.truth.gauge = GAUGE
        self.gauge = await self.chain._deploy(stand_in("slipstream_manager"))
        owners = int(self.gauge, 16), int(self.chain.manager, 16)
        await self.chain.send(self.chain.pool, call_data("putOwners(address,address)", *owners))

    async def give(self, number: int, owner: int, tick_lower: int, tick_upper: int, rest: tuple[int, ...]) -> None:
        """Let the manager hold a position for an owner."""
        types = "(uint96,address,address,address,int24,int24,int24,uint128,uint256,uint256,uint128,uint128)"
        position = (0, 0, *self._tokens, self.truth.tick_spacing, tick_lower, tick_upper, *rest)
        await self.chain.send(self.chain.manager, call_data(f"give(address,uint256,{types})", owner, number, *position))

    async def put_position(self, owner: str, tick_lower: int, tick_upper: int, fields: tuple[int, ...]) -> None:
        """Let the pool hold a position of an owner's own."""
        key = position_key(owner, tick_lower, tick_upper)
        types = "(uint128,uint256,uint256,uint128,uint128)"
        await self.chain.send(self.chain.pool, call_data(f"putPosition(bytes32,{types})", key, *fields))

    async def mine(self) -> None:
        """Show the truth, as it is after all operations, in the block with their logs; then let two seconds pass."""
        await self._put_state()
        fields = "(uint128,int128,int128,uint256,uint256,uint256,int56,uint160,uint32,bool)"
        for tick in {*self.truth.ticks, *self._shown_ticks}:
            row = [int(value) for value in self.truth.ticks[tick]]
            await self._put(self._shown_ticks, f"putTick(int24,{fields})", tick, row)
        for word in {*self.truth.tick_bitmap, *self._shown_words}:
            await self._put(self._shown_words, "putWord(int16,uint256)", word, [self.truth.tick_bitmap[word]])
        await self.chain.mine()
        self.truth.timestamp = (await self.chain.head()).timestamp + 2

    async def _put_state(self) -> None:
        truth = self.truth
        slot0 = [truth.sqrt_price_x96, truth.tick, truth.observation_index, truth.observation_cardinality]
        fees = [truth.observation_cardinality_next, 1, truth.fee_pips, truth.unstaked_fee_pips]
        rest = [truth.liquidity, truth.staked_liquidity, truth.fee_growth_global_0_x128, truth.fee_growth_global_1_x128]
        types = "(uint160,int24,uint16,uint16,uint16,bool),uint24,uint24,uint128,uint128,uint256,uint256"
        await self.chain.send(self.chain.pool, call_data(f"putState({types})", *slot0, *fees, *rest))
        rewards = [truth.reward_growth_global_x128, truth.reward_rate, truth.reward_reserve, truth.period_finish]
        types = "uint256,uint256,uint256,uint256,uint256,uint32"
        data = call_data(f"putRewards({types})", *rewards, truth.rollover, truth.last_updated)
        await self.chain.send(self.chain.pool, data)

    async def _put(self, shown: dict[int, list[int]], function: str, key: int, row: list[int]) -> None:
        """Send what is not there yet."""
        if shown.get(key) != row:
            shown[key] = row
            await self.chain.send(self.chain.pool, call_data(function, key, *row))

    async def _log(self, contract: str, signature: str, indexed: tuple[int, ...], *data: int) -> None:
        topics = [int(topic(signature), 16), *indexed]
        name = {3: "logThree(bytes32,bytes32,bytes32,bytes)", 4: "logFour(bytes32,bytes32,bytes32,bytes32,bytes)"}
        tail = words(32 * (len(topics) + 1), 32 * len(data), *data)
        body = selector(name[len(topics)]) + words(*topics) + tail
        await self.chain.send(contract, "0x" + body.hex())


@asynccontextmanager
async def anvil_slipstream(
    truth: CLPool, sqrt_price_x96: int, *, has_gauge: bool = True
) -> AsyncIterator[SlipstreamStandIn]:
    """Yield a fresh chain that shows a new pool at a price."""
    async with anvil_chain() as chain:
        tokens: list[Any] = await new_tokens(chain)
        chain.pool = await chain._deploy(stand_in("slipstream_pool"), *tokens, truth.tick_spacing)
        shown = SlipstreamStandIn(chain, truth, _tokens=tokens)
        chain.manager = await chain._deploy(stand_in("slipstream_manager"))
        if has_gauge:
            await shown.found_gauge()
        truth.timestamp = (await chain.head()).timestamp + 2
        truth.initialize(sqrt_price_x96)
        await shown.mine()
        yield shown
