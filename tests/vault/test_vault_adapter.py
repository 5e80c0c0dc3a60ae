"""From what a node says to what a node does: a plan on each family of vaults ends as the fork said."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from support.anvil_pool import CHAIN_ID
from support.vault_anvil import KEEPER, UNIT, AnvilVault, anvil_vault, deploy_manager

from executor.guards import Refused
from executor.liquidity_manager import LiquidityManager
from executor.vault_adapter import Listing, Order, TidelineVault, VaultAdapter
from executor.vault_plan import interval_around
from protocol.errors import ConfigError
from simulator.chain.abi import address_of, call_data, selector
from simulator.chain.endpoints import Endpoints
from simulator.chain.lens import lens_code
from simulator.chain.market import ChainSettings, read_info
from simulator.chain.snapshot import read_snapshot
from simulator.fork import VAULT, Fork
from simulator.market import MarketInfo
from simulator.plan import Desired, Plan, execute_plan, make_plan
from simulator.portfolio import Range

RECEIVER = "0x" + "fe" * 20
WIDE, NARROW, ABOVE = Range(-1200, 1200), Range(-120, 180), Range(240, 900)


@pytest.fixture
async def made() -> AsyncIterator[AnvilVault]:
    async with anvil_vault() as running:
        yield running


async def tokens_of(made: AnvilVault) -> list[str]:
    return [address_of((await made.chain.call(made.chain.pool, f"{name}()"))[0]) for name in ("token0", "token1")]


async def balances(made: AnvilVault, holder: str) -> tuple[int, int]:
    tokens = await tokens_of(made)
    both = [(await made.chain.call(token, "balanceOf(address)", int(holder, 16)))[0] for token in tokens]
    return both[0], both[1]


async def info_of(made: AnvilVault) -> MarketInfo:
    settings = ChainSettings(block_time_s=2, poll_s=0.01, deadline_s=20)
    return await read_info(Endpoints({"anvil": made.chain.rpc}, chain_id=CHAIN_ID), made.chain.pool, settings)


async def read(made: AnvilVault, adapter: VaultAdapter) -> tuple[Listing, Fork]:
    """Read a vault and its pool at one block hash, and make a fork of it."""
    info = await info_of(made)
    header = await made.chain.head()
    listing = await adapter.listing(made.chain.rpc, header.block_hash, deadline_s=20)
    reading = await read_snapshot(made.chain.rpc, info, header, vault=listing.query, lens=lens_code(), deadline_s=20)
    assert reading.vault is not None
    return listing, Fork.from_opening(reading.snapshot, reading.vault)


async def carry_out(made: AnvilVault, adapter: VaultAdapter, *desired: Desired) -> Fork:
    """Plan, send every step, and return the fork on which the same plan was carried out."""
    listing, fork = await read(made, adapter)
    plan = make_plan(fork, desired)
    assert isinstance(plan, Plan)
    order = adapter.fit(order_of(made, fork, plan))
    assert not isinstance(order, Refused), order
    steps = adapter.steps(listing, order)
    assert not isinstance(steps, Refused), steps
    await made.chain.ask("evm_setNextBlockTimestamp", (await made.chain.head()).timestamp + 3600)
    for step in steps:
        receipt = await made.send(KEEPER, step.to, "0x" + step.data.hex())
        assert receipt["status"] == "0x1", receipt
    fork = order.fork.copy()
    execute_plan(fork, order.plan)
    listing, _ = await read(made, adapter)
    held = {r: fork.pool.positions[(VAULT, r.tick_lower, r.tick_upper)].liquidity for r in fork.ranges}
    assert {p.range: p.liquidity for p in listing.positions} == held
    return fork


def order_of(made: AnvilVault, fork: Fork, plan: Plan) -> Order:
    made.plans += 1
    return Order(fork, plan, interval_around(fork.pool.tick, 30), made.plans.to_bytes(32, "big"), 2**40)


async def trade(made: AnvilVault) -> None:
    await made.chain.swap(True, 300 * UNIT)
    await made.chain.swap(False, 299 * UNIT)
    await made.chain.mine()


async def test_our_vault(made: AnvilVault) -> None:
    adapter = TidelineVault(made.vault)
    await made.chain.ask("evm_setNextBlockTimestamp", (await made.chain.head()).timestamp + 3600)
    await made.chain.ask("evm_mine")
    await carry_out(made, adapter, Desired(WIDE, 300 * UNIT, 300 * UNIT), Desired(NARROW, 100 * UNIT, 100 * UNIT))
    await trade(made)
    _, fork = await read(made, adapter)
    kept = next(h for h in fork.portfolio().holdings if h.range == NARROW)
    wish = [Desired(NARROW, kept.amount0, kept.amount1), Desired(ABOVE, 920 * UNIT, 0)]
    fork = await carry_out(made, adapter, *wish)
    assert await balances(made, made.vault) == (fork.idle0, fork.idle1)


async def liquidity_manager(made: AnvilVault) -> LiquidityManager:
    """Deploy a stand-in with tokens, and find it as the executor does."""
    address = await deploy_manager(made)
    return await LiquidityManager.connect(
        made.chain.rpc, await made.chain.head(), address, await info_of(made), RECEIVER, deadline_s=20
    )


async def test_a_liquidity_manager(made: AnvilVault) -> None:
    adapter = await liquidity_manager(made)
    assert adapter.ak == (await tokens_of(made))[0]
    await stray_position(made, adapter.address)
    wish = Desired(WIDE, 300 * UNIT, 300 * UNIT), Desired(NARROW, 100 * UNIT, 100 * UNIT)
    fork = await carry_out(made, adapter, *wish)
    assert await balances(made, adapter.address) == (fork.idle0, fork.idle1)
    await trade(made)
    _, fork = await read(made, adapter)
    portfolio = fork.portfolio()
    kept, closed = (next(h for h in portfolio.holdings if h.range == r) for r in (NARROW, WIDE))
    fork = await carry_out(made, adapter, Desired(NARROW, kept.amount0, kept.amount1), Desired(ABOVE, 500 * UNIT, 0))
    assert await balances(made, RECEIVER) == (closed.fees0, closed.fees1) > (0, 0)
    assert await balances(made, adapter.address) == (fork.idle0, fork.idle1)


async def stray_position(made: AnvilVault, holder: str) -> None:
    """Give a vault an NFT of another pool: anybody can, and it must not matter."""
    tokens = await tokens_of(made)
    factory = address_of((await made.chain.call(made.chain.pool, "factory()"))[0])
    pair = tuple(int(token, 16) for token in tokens)
    await made.chain.send(factory, call_data("createPool(address,address,uint24)", *pair, 500))
    await made.chain.mine()
    other = address_of((await made.chain.call(factory, "getPool(address,address,uint24)", *pair, 500))[0])
    await made.chain.send(other, call_data("initialize(uint160)", 2**96))
    for token in tokens:
        await made.chain.send(token, call_data("approve(address,uint256)", int(made.chain.manager, 16), UNIT))
    fields = "address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256"
    values = (*pair, 500, -1200, 1200, UNIT, UNIT, 0, 0, int(holder, 16), 2**40)
    await made.chain.send(made.chain.manager, call_data(f"mint(({fields}))", *values))
    await made.chain.mine()


async def test_what_a_liquidity_manager_cannot_do(made: AnvilVault) -> None:
    adapter = await liquidity_manager(made)
    listing, fork = await read(made, adapter)
    swap = make_plan(fork, [Desired(ABOVE, 1100 * UNIT, 0)])
    assert isinstance(swap, Plan) and swap.swap is not None
    assert adapter.fit(order_of(made, fork, swap)) == Refused("this vault cannot swap")
    needs_fees = Plan((WIDE,), (), (WIDE,), None, (Desired(ABOVE, UNIT, 0),))
    refusal = Refused("this vault's fees go to their receiver, and the opens need them")
    assert adapter.fit(order_of(made, fork, needs_fees)) == refusal
    # More than is there is never asked for: what falls short is scaled as on the fork.
    beyond = Plan((), (), (), None, (Desired(ABOVE, 1500 * UNIT, 0), Desired(WIDE, 500 * UNIT, 900 * UNIT)))
    order = adapter.fit(order_of(made, fork, beyond))
    assert not isinstance(order, Refused)
    again = adapter.fit(order)
    assert not isinstance(again, Refused) and again.plan == order.plan
    steps = adapter.steps(listing, order)
    assert not isinstance(steps, Refused)
    offered = [int.from_bytes(step.data[36:68], "big") for step in steps]
    assert offered == [750 * UNIT, 250 * UNIT]
    with pytest.raises(ConfigError, match="is no LiquidityManager"):
        await LiquidityManager.connect(
            made.chain.rpc, await made.chain.head(), made.vault, await info_of(made), RECEIVER, deadline_s=20
        )


def test_selectors_are_those_of_the_deployed_contracts() -> None:
    known = {
        "mint(address,uint256,uint256,int24,int24,address,bytes)": "5ffb842f",
        "burn(address,uint256,bytes)": "44d17187",
        "akAddressToPositionManager(address)": "2a487f4f",
    }
    assert {signature: selector(signature).hex() for signature in known} == known
