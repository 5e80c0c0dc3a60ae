"""Events that are no swap and no liquidity, and still change what liquidity earns."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.worlds import START_BLOCK, START_TIME, Chain, block_hash, make_opening, make_snapshot

from simulator.base_fork import Divergence
from simulator.events import Block, FeeProtocolEvent, FlashEvent, PoolEvent
from simulator.evidence import block_from_json, block_to_json
from simulator.flow import Flow
from simulator.fork import Fork, Inventory, virtual_vault
from simulator.portfolio import Range, VaultState
from simulator.recovery import apply_other
from simulator.round import Round

UNIT = 10**18


def block_of(*events: PoolEvent) -> Block:
    return Block(START_BLOCK + 1, block_hash(START_BLOCK + 1), block_hash(START_BLOCK), START_TIME + 12, events)


def test_blocks_with_every_kind_of_event_survive_json() -> None:
    chain = Chain(make_snapshot())
    chain.swap(True, UNIT)
    chain.change_liquidity(-60, 60, 5)
    block = block_of(*chain.block().events, FlashEvent(2, 2**200, 0), FeeProtocolEvent(3, 4, 10))
    assert block_from_json(block_to_json(block)) == block


def test_flash_pays_every_fork_and_the_protocol_takes_its_new_share() -> None:
    snapshot = make_snapshot()
    vault = virtual_vault(snapshot, Inventory(9 * UNIT, 9 * UNIT, ((Range(-6000, 6000), UNIT, UNIT),)))
    engine = Round(make_opening(snapshot, vault, ()))
    before = engine._benchmark.fork.portfolio().fees
    engine.advance(block_of(FeeProtocolEvent(0, 4, 0), FlashEvent(1, 4 * UNIT, UNIT)))
    after = engine._benchmark.fork.portfolio().fees
    fork = engine._benchmark.fork
    share = [amount * fork.active_liquidity() // fork.pool.liquidity for amount in (3 * UNIT, UNIT)]
    assert before == (0, 0)
    assert all(0 <= s - fee <= 1 for s, fee in zip(share, after, strict=True)), "a quarter less of token0"
    assert engine._base.pool.protocol_fees_0 == UNIT and engine._base.pool.fee_protocol == 4


def test_flash_where_nobody_is_active_is_lost_on_a_fork_and_a_divergence_on_the_base() -> None:
    snapshot = make_snapshot(positions=((600, 1200, 10**21),))
    assert snapshot.liquidity == 0
    fork = Fork.from_opening(snapshot, VaultState(0, 0, (), in_pool=False))
    apply_other(fork.pool, FlashEvent(0, UNIT, UNIT))
    assert fork.pool.fee_growth_global_0_x128 == snapshot.fee_growth_global_0_x128
    vault = virtual_vault(snapshot, Inventory(9 * UNIT, 9 * UNIT, ((Range(-60, 60), UNIT, UNIT),)))
    engine = Round(make_opening(snapshot, vault, ()))
    with pytest.raises(Divergence) as raised:
        engine.advance(block_of(FlashEvent(0, 0, 0)))
    assert raised.value.kind == "missed_liquidity"


def test_protocol_share_that_no_pool_takes_is_a_divergence() -> None:
    snapshot = make_snapshot()
    engine = Round(make_opening(snapshot, VaultState(UNIT, UNIT, (), in_pool=False), ()))
    with pytest.raises(Divergence):
        engine.advance(block_of(FeeProtocolEvent(0, 3, 0)))


def test_empty_flash_voids_no_round() -> None:
    """Anybody can send one, for gas alone."""
    snapshot = make_snapshot()
    engine = Round(make_opening(snapshot, VaultState(UNIT, UNIT, (), in_pool=False), ()))
    engine.advance(block_of(FlashEvent(0, 0, 0)))
    assert engine.block_number == START_BLOCK + 1


def test_what_the_vault_did_itself_happens_on_the_base_fork_only() -> None:
    snapshot = make_snapshot()
    vault = virtual_vault(snapshot, Inventory(9 * UNIT, 9 * UNIT, ((Range(-6000, 6000), UNIT, UNIT),)))
    engine = Round(make_opening(snapshot, vault, ()))
    chain = Chain(snapshot)
    chain.swap(True, UNIT)
    chain.change_liquidity(-6000, 6000, 10**18)
    chain.swap(True, UNIT)
    block = replace(chain.block(), own=(1, 2))
    assert block_to_json(block)[5:] == [[1, 2]] and block_to_json(replace(block, own=()))[5:] == []
    assert block_from_json(block_to_json(block)) == block
    before = engine._benchmark.fork.foreign_liquidity()
    engine.advance(block)
    fork = engine._benchmark.fork
    assert engine._base.pool.sqrt_price_x96 == chain.pool.sqrt_price_x96 < fork.pool.sqrt_price_x96
    assert (engine._base.pool.liquidity - snapshot.liquidity, fork.foreign_liquidity() - before) == (10**18, 0)
    assert len(Flow.recover(snapshot, [block]).blocks[0].happenings) == 1
