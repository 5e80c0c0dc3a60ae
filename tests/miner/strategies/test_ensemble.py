import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.check_series import is_close
from support.queries import Shape, make_query, shown
from support.views import make_view

from miner.memory import Expert, Memory
from miner.remembering import decide
from miner.span import LOG_TICK
from miner.strategies.ensemble import Ensemble, reweigh
from protocol.errors import ConfigError

RULE = Ensemble()


def test_the_weights_of_the_reference() -> None:
    found = reweigh([0.25] * 4, [0.5, -0.2, 0.1, 0.0], 0.8, 0.02)
    expected = [0.335224489136, 0.193627221299, 0.244792194804, 0.226356094760]
    assert all(is_close(a, b) for a, b in zip(found, expected, strict=True))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(-1e3, 1e3)), min_size=1, max_size=9), st.floats(0, 1e3))
def test_weights_stay_weights(entries: list[tuple[float, float]], eta: float) -> None:
    whole = sum(w for w, _ in entries) or 1.0
    before = [w / whole for w, _ in entries]  # also none at all
    found = reweigh(before, [r for _, r in entries], eta, 0.02)
    assert is_close(sum(found), 1.0)
    assert all(weight >= 0.02 / len(entries) - 1e-12 for weight in found)


def after(moves: list[int], fees: int = 0) -> Memory:
    """Return what the ensemble remembers after prices, a quarter of an hour apart, and fees of a wide position."""
    memory, tick = Memory(), 0
    for step, move in enumerate(moves):
        tick += move
        positions = (shown(-80_000, 80_000, 1, 1, fees=fees * step),)
        query = make_query(Shape(tick=tick, timestamp=1_700_000_000 + 900 * step, positions=positions))
        _, memory = decide(RULE, query, memory)
    return memory


def weights(memory: Memory) -> dict[str, float]:
    return dict(zip(RULE.experts, RULE.weights(memory), strict=True))


def test_it_starts_with_all_experts_alike_and_remembers_each() -> None:
    memory = after([0])
    assert set(weights(memory).values()) == {1 / len(RULE.experts)}
    assert [expert.name for expert in memory.experts] == list(RULE.experts)
    assert all(expert.span is not None and expert.span.holds(0.0) for expert in memory.experts)


def test_a_quiet_market_favours_the_narrow_and_a_wild_one_the_wide() -> None:
    quiet, wild = weights(after([0] + [3, -3] * 40, fees=10**12)), weights(after([0] + [400, -400] * 40))
    assert quiet["narrow"] > 1.5 * quiet["wide"]
    assert wild["wide"] > 1.5 * wild["narrow"]


def test_the_same_question_twice_teaches_nothing() -> None:
    memory = after([0, 10, 20])
    query = make_query(Shape(tick=30, timestamp=1_700_001_800))
    assert RULE.weights(decide(RULE, query, memory)[1]) == RULE.weights(memory)


def test_experts_of_another_version_are_forgotten() -> None:
    stranger = replace(after([0, 10]), experts=(Expert("someone", 0.0, -1.0, 1.0, 0),))
    assert set(weights(stranger).values()) == {1 / len(RULE.experts)}


def loud(name: str) -> Memory:
    """Return a memory in which one expert has nearly all of the weight."""
    return Memory(experts=tuple(Expert(n, 0.0 if n == name else -60.0, 0.0, 0.0, 0) for n in RULE.experts))


@pytest.mark.parametrize(("name", "half_width"), [("wide", 0.4), ("static", 0.1), ("narrow", 0.015)])
def test_it_does_what_the_weight_says(name: str, half_width: float) -> None:
    span = RULE.wish_of(make_view(), loud(name))
    assert span is not None and math.isclose(span.log_half_width, half_width, rel_tol=1e-6)
    settled = make_view(x=0.4 * half_width / LOG_TICK, held=span, held_s=9000.0)
    assert RULE.wish_of(settled, loud(name)) is None


def test_a_minority_moves_nothing() -> None:
    held = RULE.wish_of(make_view(), loud("static"))
    assert held is not None
    away = make_view(x=600.0, held=held, held_s=9000.0)
    assert RULE.wish_of(away, loud("static")) is None
    assert RULE.wish_of(away, loud("narrow")) is not None


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(ConfigError, match="memory_steps must be between 2"):
        Ensemble(memory_steps=1)
    with pytest.raises(ConfigError, match="reach must be above 0"):
        Ensemble(reach=0)
