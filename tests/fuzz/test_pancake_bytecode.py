"""With PancakeSwap's fee policy the engine does what the published PancakeV3Pool bytecode does."""

from __future__ import annotations

from collections import Counter

import pytest
from support.pancake_pool import PancakeBytecodePool
from support.pancake_walk import PancakeWalk
from support.planting import plant
from support.pool_duel import Duel
from support.pool_walk import LENGTH, Operation

from simulator.fee_policy import PANCAKE_V3, PANCAKE_V3_TIERS, ProtocolFeePolicy
from simulator.pool import Pool

CHUNKS = 4
SHARE = 10  # of the operations that the fuzzer spends on Uniswap's bytecode: the two share all but the policy


def duel(fee_pips: int) -> Duel:
    spacing = PANCAKE_V3_TIERS[fee_pips]
    pair = Pool(fee_pips, spacing, PANCAKE_V3), PancakeBytecodePool(fee_pips, spacing)
    return Duel(fee_pips, spacing, pair)


def first_difference(seed: int, index: int) -> str | None:
    """Walk once with both; return where they differ, and how they got there."""
    walk = PancakeWalk(seed, index)
    both = duel(walk.fee_pips)
    operations: list[Operation] = []
    for _ in range(LENGTH):
        operations.append(walk.next(both.engine))
        difference = both.step(operations[-1])
        if difference is not None:
            return "\n".join([f"seed {seed}, walk {index}: {difference}", *map(str, operations)])
    return None


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_engine_and_bytecode_agree_on_every_operation(chunk: int, fuzz_seed: int, fuzz_operations: int) -> None:
    for index in range(chunk, fuzz_operations // SHARE // LENGTH, CHUNKS):
        assert first_difference(fuzz_seed, index) is None


def test_the_walks_use_the_protocols_share() -> None:
    seen: Counter[str] = Counter()
    for index in range(100):
        walk = PancakeWalk(1, index)
        both = duel(walk.fee_pips)
        for _ in range(LENGTH):
            operation = walk.next(both.engine)
            before = both.engine.protocol_fees_0 + both.engine.protocol_fees_1
            assert both.step(operation) is None
            taken = both.engine.protocol_fees_0 + both.engine.protocol_fees_1 > before
            seen[f"{operation.verb}, taken {taken}"] += 1
    assert min(seen["swap, taken True"], seen["flash, taken True"], seen["collect_protocol, taken False"]) > 30


BUGS = {
    "a share is n / 1e6": ("share_of_swap_fee", "product // self.denominator", "product // (self.denominator * 100)"),
    "a share is rounded up": ("share_of_swap_fee", "product // self.denominator", "-(-product // self.denominator)"),
    "settings lie four bits apart": ("decode", "fee_protocol >> self.half_bits", "fee_protocol >> 4"),
    "a new pool takes nothing": ("initial_fee_protocol", "self.encode(setting, setting)", "0"),
    "a third of the fees is refused": ("is_allowed", "<= self.highest", "< 3333"),
}


@pytest.mark.parametrize("name", BUGS)
def test_the_fuzzer_finds_a_planted_bug(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method, right, wrong = BUGS[name]
    plant(monkeypatch, getattr(ProtocolFeePolicy, method), right, wrong)
    assert any(first_difference(7, index) is not None for index in range(400))


def overflowing_flash(both: Duel) -> str | None:
    """Pay so much into so much liquidity that the product with the setting wraps, and the growth still fits."""
    most = both.engine.max_liquidity_per_tick
    calls = [("initialize", (2**96,)), ("set_fee_protocol", (4000, 4000))]
    calls += [("mint", (0, -200 * k, 200 * k, most)) for k in range(1, 12)]
    calls += [("flash", (0, 0, 2**245, 2**245 + 1))]
    operations = [Operation(1, verb, arguments) for verb, arguments in calls]
    return next((difference for operation in operations if (difference := both.step(operation))), None)


def test_a_flash_wraps_where_the_contract_does(monkeypatch: pytest.MonkeyPatch) -> None:
    both = duel(10_000)
    assert overflowing_flash(both) is None
    assert both.engine.protocol_fees_0 != both.engine.protocol_fees_1 > 0
    plant(monkeypatch, ProtocolFeePolicy.share_of_flash_fee, "(paid * setting & MASK_256)", "(paid * setting)")
    assert overflowing_flash(duel(10_000)) is not None
