"""Records on a real anvil with the published contracts."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import ChainError, ConfigError, SimulationError
from simulator import records
from simulator.chain.abi import address_of, call_data, read_words, signed
from simulator.chain.artifacts import POOL
from simulator.chain.deployment import created_address
from simulator.chain.devnet import Devnet, DevnetSettings
from simulator.chain.laps import planned_block
from simulator.chain.node import Node, Transaction
from simulator.chain.playing import Difference
from simulator.chain.rpc import HttpRpc
from simulator.chain.verification import Verification, verify
from simulator.events import LiquidityEvent, SwapEvent
from simulator.records import Record, RecordedBlock

YOUNG = Path(__file__).parent.parent / "data" / "three_young_pools.jsonl"
YOUNG_POOLS = ("0x7bea39867e4169dbe237d55c8242a8f2fcdcc387", "0x9359c87b38dd25192c5f2b07b351ac91c90e6ca7")
SOMEBODY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"  # one of anvil's own accounts


@asynccontextmanager
async def somebody_else(net: Devnet) -> AsyncIterator[Node]:
    """Another user of the devnet's node."""
    node = Node(HttpRpc(net.url))
    try:
        await node.control(SOMEBODY)
        yield node
    finally:
        await node.close()


def cut(record: Record, blocks: int) -> Record:
    """The first blocks of a record, as a record."""
    return replace(record, blocks=record.blocks[:blocks])


@pytest.mark.parametrize(("name", "swaps"), [("usdc-weth-005", 200), ("wbtc-weth-03", 100)])
async def test_the_first_swaps_of_a_record_are_exact(name: str, swaps: int) -> None:
    async with await Devnet.start(records.load(name)) as net:
        assert await verify(net, swaps) == Verification(swaps, 0, net.engine, None)
        assert net.engine.startswith("anvil ")


async def test_liquidity_changes_are_played_and_a_lap_ends_where_it_began() -> None:
    record = records.load("usdc-weth-005")
    changes = [
        index
        for index, block in enumerate(record.blocks)
        if any(isinstance(event, LiquidityEvent) for event in block.events)
    ]
    record = cut(record, changes[5] + 2)
    swaps = sum(isinstance(event, SwapEvent) for block in record.blocks for event in block.events)
    async with await Devnet.start(record) as net:
        assert await verify(net, 2 * swaps + 1) == Verification(2 * swaps + 1, 0, net.engine, None)
        while not planned_block(record, net.head).is_seam:
            await net.next_block(skip_empty=True)
        await net.check_opening()


@pytest.mark.parametrize("pool", YOUNG_POOLS)
async def test_a_pool_from_its_creation_to_its_last_token_and_back(pool: str) -> None:
    async with await Devnet.start(records.load_file(YOUNG, pool=pool)) as net:
        assert await verify(net, 25) == Verification(25, 0, net.engine, None)


async def test_blocks_have_the_numbers_and_times_of_the_record() -> None:
    record = cut(records.load("usdc-weth-005"), 3)
    async with await Devnet.start(record) as net, somebody_else(net) as node:
        assert net.opening_block == record.first_block
        for number in range(record.first_block + 1, record.last_block + 4):
            planned = planned_block(record, number)
            played = await net.next_block()
            block = await node.ask("eth_getBlockByNumber", hex(number), *[False])
            assert (played.number, played.timestamp) == (number, planned.timestamp)
            assert (block["hash"], int(block["timestamp"], 16)) == (played.block_hash, planned.timestamp)


async def test_a_record_that_begins_with_its_chain_is_moved_to_make_room() -> None:
    shipped = cut(records.load("wbtc-weth-03"), 2)
    opening = replace(shipped.opening, block_number=1, timestamp=5)
    blocks = tuple(
        RecordedBlock(2 + index, 17 + 12 * index, block.events, block.calls)
        for index, block in enumerate(shipped.blocks)
    )
    async with await Devnet.start(replace(shipped, opening=opening, blocks=blocks)) as net:
        first, second = await net.next_block(), await net.next_block()
        assert (first.number - net.opening_block, second.timestamp - first.timestamp) == (1, 12)
        assert (first.differences, second.differences) == ((), ())


async def test_the_contracts_are_the_published_ones_and_ready_for_use() -> None:
    record = cut(records.load("wbtc-weth-03"), 1)
    settings = DevnetSettings(chain_id=1337, observation_cardinality=700)
    async with await Devnet.start(record, settings) as net, somebody_else(net) as node:
        at = net.addresses
        assert int(await node.ask("eth_chainId"), 16) == 1337
        pool = int(at.pool, 16)
        getters = {"factory()": at.factory, "token0()": at.token0, "token1()": at.token1}
        for signature, address in getters.items():
            assert address_of((await node.call(at.pool, signature))[0]) == address.lower()
        for contract in (at.position_manager, at.swap_router, at.quoter):
            assert address_of((await node.call(contract, "factory()"))[0]) == at.factory.lower()
            assert address_of((await node.call(contract, "WETH9()"))[0]) == at.weth9.lower()
        pair = (int(at.token0, 16), int(at.token1, 16), 3000)
        assert await node.call(at.factory, "getPool(address,address,uint24)", *pair) == [pool]
        decimals = [(await node.call(token, "decimals()"))[0] for token in (at.token0, at.token1)]
        assert decimals == [record.info.token0.decimals, record.info.token1.decimals]
        assert (await node.call(at.pool, "slot0()"))[4] == 700
        # The pool is an hour old: a time-weighted price of half an hour can be had at once.
        data = call_data("observe(uint32[])", 32, 2, 1800, 0)
        answer = read_words(await node.ask("eth_call", {"to": at.pool, "data": data}, "latest"))
        earlier, later = answer[3:5]
        assert signed(later, 56) - signed(earlier, 56) == 1800 * record.opening.tick
        code = str(await node.ask("eth_getCode", at.pool, "latest"))
        assert len(code) > 40_000
        assert code[2:66] in POOL.creation_code.hex()


async def test_others_may_use_the_chain_and_the_difference_they_make_is_told() -> None:
    record = records.load("wbtc-weth-03")
    async with await Devnet.start(record) as net, somebody_else(net) as node:
        at = net.addresses
        mint = call_data("mint(address,uint256)", int(SOMEBODY, 16), 10**8)
        approve = call_data("approve(address,uint256)", int(at.swap_router, 16), 10**8)
        fields = "address,address,uint24,address,uint256,uint256,uint256,uint160"
        order = (int(at.token0, 16), int(at.token1, 16), 3000, int(SOMEBODY, 16), 2**64, 10**8, 0, 0)
        swap = call_data(f"exactInputSingle(({fields}))", *order)
        calls = [(at.token0, mint), (at.token0, approve), (at.swap_router, swap)]
        hashes = await node.send(SOMEBODY, [Transaction(to, data, 500_000) for to, data in calls])
        played = await net.next_block(skip_empty=True)
        receipts = [await node.ask("eth_getTransactionReceipt", name) for name in hashes]
        assert [receipt["status"] for receipt in receipts] == ["0x1"] * 3
        assert (await node.call(at.token0, "balanceOf(address)", int(SOMEBODY, 16))) == [0]
        differences = list(played.differences)
        while not differences:
            differences += (await net.next_block(skip_empty=True)).differences
        assert differences[0].field in ("amount0", "amount1")
        with pytest.raises(SimulationError, match="the devnet's pool opens at"):
            await net.check_opening()


async def test_a_planted_difference_is_found_and_everything_after_it_still_played() -> None:
    shipped = records.load("usdc-weth-005")
    index, block = next((i, b) for i, b in enumerate(shipped.blocks) if i > 3 and isinstance(b.events[0], SwapEvent))
    event = block.events[0]
    assert isinstance(event, SwapEvent)
    planted = replace(block, events=(replace(event, sqrt_price_x96=event.sqrt_price_x96 + 1), *block.events[1:]))
    record = replace(shipped, blocks=(*shipped.blocks[:index], planted, *shipped.blocks[index + 1 :]))
    async with await Devnet.start(record) as net:
        price = event.sqrt_price_x96
        first = Difference(block.number, event.log_index, "sqrt_price_x96", price + 1, price)
        assert await verify(net, 40) == Verification(40, 1, net.engine, first)


async def test_what_comes_after_the_last_swap_asked_for_does_not_count() -> None:
    shipped = records.load("usdc-weth-005")
    index, block = next(
        (i, b) for i, b in enumerate(shipped.blocks) if len(b.events) > 1 and isinstance(b.events[-1], SwapEvent)
    )
    event = block.events[-1]
    assert isinstance(event, SwapEvent)
    before = sum(isinstance(e, SwapEvent) for b in shipped.blocks[: index + 1] for e in b.events) - 1
    planted = replace(block, events=(*block.events[:-1], replace(event, tick=event.tick + 1)))
    record = replace(shipped, blocks=(*shipped.blocks[:index], planted, *shipped.blocks[index + 1 :]))
    async with await Devnet.start(record) as net:
        assert (await verify(net, before)).mismatches == 0
    async with await Devnet.start(record) as net:
        assert (await verify(net, before + 1)).mismatches == 1


async def test_a_record_without_a_swap_cannot_be_verified() -> None:
    shipped = records.load("usdc-weth-005")
    block = next(b for b in shipped.blocks if isinstance(b.events[0], LiquidityEvent))
    block = replace(block, events=block.events[:1], calls=(None,))
    async with await Devnet.start(replace(shipped, blocks=(block,))) as net:
        with pytest.raises(ConfigError, match="has no swap to compare"):
            await verify(net, 1)


async def test_an_anvil_that_dies_is_said_to_have_died() -> None:
    async with await Devnet.start(cut(records.load("usdc-weth-005"), 2)) as net:
        os.kill(net.pid, signal.SIGKILL)
        with pytest.raises(ChainError, match=r"^anvil ended by itself \(exit_code=-9\)$"):
            await net.next_block()


async def test_a_pool_that_the_factory_cannot_make_is_refused() -> None:
    record = records.load("usdc-weth-005")
    odd = replace(record, info=replace(record.info, tick_spacing=7))
    with pytest.raises(ConfigError, match="the factory has no fee 500 with tick spacing 7"):
        await Devnet.start(odd)


def test_an_address_is_known_before_the_deployment() -> None:
    # Ethereum's best known examples: the first contracts of an account of the yellow paper's test suite.
    sender = "0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0"
    assert [created_address(sender, nonce) for nonce in (0, 1)] == [
        "0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d",
        "0x343c43a37d37dff08ae8c4a11544c718abb4fcf8",
    ]


@pytest.mark.parametrize("lap", [0, 1])
async def test_a_devnet_begins_anywhere_in_any_lap_and_goes_on_as_recorded(lap: int) -> None:
    shipped = records.load("wbtc-weth-03")
    changes = [
        index
        for index, block in enumerate(shipped.blocks)
        if any(isinstance(event, LiquidityEvent) for event in block.events)
    ]
    record = cut(shipped, changes[9] + 3)
    middle = record.blocks[changes[4]].number + lap * record.length_blocks
    async with await Devnet.start(record, start_block=middle) as net:
        assert (net.head, net.opening_block) == (middle, middle)
        seams = 0
        while seams < 2:  # to the lap's end, and a whole lap more
            assert (await net.next_block(skip_empty=True)).differences == ()
            seams += planned_block(record, net.head).is_seam
        await net.check_opening()
