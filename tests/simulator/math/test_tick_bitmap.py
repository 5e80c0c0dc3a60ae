from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.math.bit_math import least_significant_bit, most_significant_bit
from simulator.math.revert import PoolRevert
from simulator.math.tick_bitmap import flip_tick, next_initialized_tick_within_one_word, position


@given(
    st.sets(st.integers(-600, 600), max_size=12),
    st.integers(-700, 700),
    st.sampled_from([1, 10, 60]),
    st.integers(0, 59),
)
def test_the_next_tick_is_the_nearest_within_its_word(numbers: set[int], near: int, spacing: int, rest: int) -> None:
    words: dict[int, int] = {}
    for number in numbers:
        flip_tick(words, number * spacing, spacing)
    tick = near * spacing + rest % spacing

    word = near >> 8
    below = [n for n in numbers if n <= near and n >> 8 == word]
    expected = (max(below, default=word * 256) * spacing, bool(below))
    assert next_initialized_tick_within_one_word(words, tick, spacing, lte=True) == expected

    word = near + 1 >> 8
    above = [n for n in numbers if n > near and n >> 8 == word]
    expected = (min(above, default=word * 256 + 255) * spacing, bool(above))
    assert next_initialized_tick_within_one_word(words, tick, spacing, lte=False) == expected


@given(st.lists(st.integers(-10_000, 10_000)))
def test_flipping_twice_leaves_nothing(numbers: list[int]) -> None:
    words: dict[int, int] = {}
    for number in numbers + numbers[::-1]:
        flip_tick(words, number, 1)
    assert words == {}


def test_a_tick_off_the_spacing_reverts_and_changes_nothing() -> None:
    words: dict[int, int] = {}
    with pytest.raises(PoolRevert) as caught:
        flip_tick(words, 61, 60)
    assert (caught.value.reason, words) == ("", {})


def test_positions_of_negative_ticks() -> None:
    assert [position(tick) for tick in (-257, -256, -1, 0, 255, 256)] == [
        (-2, 255),
        (-1, 0),
        (-1, 255),
        (0, 0),
        (0, 255),
        (1, 0),
    ]


@given(st.integers(1, 2**256 - 1))
def test_the_outermost_bits(x: int) -> None:
    most, least = most_significant_bit(x), least_significant_bit(x)
    assert 2**most <= x < 2 ** (most + 1)
    assert x % 2**least == 0 != x % 2 ** (least + 1)


@pytest.mark.parametrize("function", [most_significant_bit, least_significant_bit])
def test_zero_has_no_bits(function) -> None:  # type: ignore[no-untyped-def] # one of two
    with pytest.raises(PoolRevert):
        function(0)
