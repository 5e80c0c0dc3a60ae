"""The vault's arithmetic is the simulator's, on any input, reverts included."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyrevm import EVM

from executor.vault import CONTRACTS
from protocol.units import MAX_TICK, MIN_TICK
from simulator.chain.abi import selector, words
from simulator.chain.compiler import compiled
from simulator.fork import amounts_for_liquidity
from simulator.math.full_math import mul_div, mul_div_rounding_up
from simulator.math.liquidity_amounts import get_liquidity_for_amounts
from simulator.math.revert import PoolRevert
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO, get_sqrt_ratio_at_tick
from simulator.portfolio import Range

# Numbers of every size, and those beside powers of two.
SIZED = st.integers(0, 256).flatmap(lambda bits: st.integers(0, 2**bits - 1))
EDGE = st.builds(lambda bits, off: (2**bits + off) % 2**256, st.integers(0, 256), st.integers(-2, 2))
UINT256 = SIZED | EDGE
UINT128 = UINT256.map(lambda n: n % 2**128)
PRICE = st.integers(MIN_SQRT_RATIO, MAX_SQRT_RATIO - 1) | st.integers(MIN_TICK, MAX_TICK - 1).map(
    get_sqrt_ratio_at_tick
)
TICKS = st.lists(st.integers(MIN_TICK, MAX_TICK), min_size=2, max_size=2, unique=True).map(sorted)


@cache
def face() -> tuple[EVM, str]:
    evm = EVM(gas_limit=2**62, spec_id="CANCUN")
    code = compiled("vault_math_face", Path(__file__).parents[1] / "support" / "contracts", CONTRACTS).creation_code
    return evm, evm.deploy("0x" + "11" * 20, code)


def contract(signature: str, *arguments: int) -> list[int] | None:
    """Return the words of an answer, or None for a revert."""
    evm, address = face()
    try:
        answer = evm.message_call("0x" + "22" * 20, address, calldata=selector(signature) + words(*arguments))
    except RuntimeError as error:
        assert str(error).startswith("Revert"), error
        return None
    return [int.from_bytes(answer[at : at + 32], "big") for at in range(0, len(answer), 32)]


def engine(function: Callable[..., int], *arguments: int) -> list[int] | None:
    try:
        return [function(*arguments)]
    except PoolRevert:
        return None


@given(UINT256, UINT256, UINT256)
@example(2**256 - 1, 2**256 - 1, 2**256 - 1)
@example(2**256 - 1, 2**256 - 1, 2**256 - 2)
@example(2**128, 2**128, 2**255)
@example(1, 1, 0)
@example(535006138814359, 432862656469423142931042426214547535783388063929571229938474969, 2)
def test_products_divided(a: int, b: int, denominator: int) -> None:
    arguments, types = (a, b, denominator), "(uint256,uint256,uint256)"
    assert contract(f"mul_div{types}", *arguments) == engine(mul_div, *arguments)
    assert contract(f"mul_div_rounding_up{types}", *arguments) == engine(mul_div_rounding_up, *arguments)


@given(st.integers(MIN_TICK - 5, MAX_TICK + 5) | st.integers(-(2**255), 2**255 - 1))
@example(MIN_TICK)
@example(MAX_TICK)
@example(0)
def test_ratios_at_ticks(tick: int) -> None:
    assert contract("get_sqrt_ratio_at_tick(int256)", tick) == engine(get_sqrt_ratio_at_tick, tick)


@pytest.mark.parametrize("bit", range(20))
def test_each_bit_of_a_tick(bit: int) -> None:
    for tick in (2**bit, -(2**bit)):
        assert contract("get_sqrt_ratio_at_tick(int256)", tick) == engine(get_sqrt_ratio_at_tick, tick)


@given(PRICE, TICKS, UINT128)
def test_tokens_in_liquidity(price: int, ticks: list[int], liquidity: int) -> None:
    lower, upper = map(get_sqrt_ratio_at_tick, ticks)
    answer = contract("get_amounts_for_liquidity(uint256,uint256,uint256,uint256)", price, lower, upper, liquidity)
    assert answer == list(amounts_for_liquidity(price, Range(*ticks), liquidity))


@given(PRICE, TICKS, UINT256, UINT256)
def test_liquidity_for_tokens(price: int, ticks: list[int], amount0: int, amount1: int) -> None:
    arguments = (price, *map(get_sqrt_ratio_at_tick, ticks), amount0, amount1)
    answer = contract("get_liquidity_for_amounts(uint256,uint256,uint256,uint256,uint256)", *arguments)
    assert answer == engine(get_liquidity_for_amounts, *arguments)


@given(st.integers(-(2**55), 2**55 - 1), st.integers(MIN_TICK, MAX_TICK), st.integers(1, 7200), st.integers(0, 7199))
def test_means_are_rounded_down(before: int, tick: int, seconds: int, more: int) -> None:
    now = before + tick * seconds + (more % seconds)
    [mean] = contract("mean_tick(int256,int256,int256)", before, now, seconds) or []
    assert (mean - 2**256 if mean >> 255 else mean) == (now - before) // seconds


@given(PRICE, UINT128, UINT128)
def test_worth(price: int, amount0: int, amount1: int) -> None:
    [answer] = contract("worth(uint256,uint256,uint256)", price, amount0, amount1) or []
    assert answer == (amount0 * price >> 64) + (amount1 << 128) // price
