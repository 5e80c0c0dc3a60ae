from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import SimulationError
from protocol.units import BlockNumber, Hotkey, Uid
from validator.metagraph import Identity, Metagraph, Neuron
from validator.weight_vector import (
    U16_MAX,
    WeightLimits,
    fit_to_limits,
    too_few_entries,
    weights_by_uid,
    within_limit,
)

LIMITS = WeightLimits(min_allowed=1, max_weight_limit=U16_MAX, rate_limit=25, version_key=0, commit_reveal=False)


def identity(hotkey: str, block: int = 10) -> Identity:
    return Identity(Hotkey(hotkey), BlockNumber(block))


def graph(*tenants: Identity) -> Metagraph:
    neurons = tuple(
        Neuron(
            uid=Uid(uid),
            hotkey=tenant.hotkey,
            coldkey="cold",
            stake=0,
            validator_permit=False,
            registered_at_block=tenant.registered_at_block,
            axon=None,
            last_update=tenant.registered_at_block,
        )
        for uid, tenant in enumerate(tenants)
    )
    return Metagraph(98, BlockNumber(1_000), neurons, Hotkey("owner"))


def test_weights_go_to_the_seats_of_those_who_earned_them() -> None:
    a, b, c = identity("a"), identity("b"), identity("c")
    weights = {c: Fraction(1, 3), a: Fraction(2, 3), b: 0}
    assert weights_by_uid(weights, graph(a, b, c)) == {0: 65535, 2: 32768}
    assert weights_by_uid(weights, graph(b, c, a)) == {1: 32768, 2: 65535}


@pytest.mark.parametrize(
    "nothing", [{}, {identity("a"): 0}, {identity("a"): 0.0, identity("b"): 0}, {identity("z"): 1}]
)
def test_nobody_with_a_positive_weight_is_an_empty_vector_never_a_uniform_one(nothing: dict[Identity, float]) -> None:
    assert weights_by_uid(nothing, graph(identity("a"), identity("b"))) == {}


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, -1, -1e-300, Fraction(-1, 7)])
def test_a_weight_that_is_no_weight_stops_everything(wrong: float) -> None:
    with pytest.raises(SimulationError, match="a weight is"):
        weights_by_uid({identity("a"): 1, identity("b"): wrong}, graph(identity("a"), identity("b")))
    with pytest.raises(SimulationError):  # even where its owner is gone: our arithmetic failed
        weights_by_uid({identity("a"): 1, identity("gone"): wrong}, graph(identity("a")))


def by_uid_alone(weights: Mapping[Identity, float], then: Metagraph) -> dict[int, int]:
    """What a validator does that remembers uids: the defence switched off."""
    seats = then.uid_by_identity()
    return {seats[who]: round(weight * U16_MAX) for who, weight in weights.items()}


def by_hotkey_alone(weights: Mapping[Identity, float], now: Metagraph) -> dict[int, int]:
    """What a validator does that remembers hotkeys but not since when."""
    seats = {neuron.hotkey: neuron.uid for neuron in now.neurons}
    return {seats[who.hotkey]: round(weight * U16_MAX) for who, weight in weights.items() if who.hotkey in seats}


def test_attack_a_recycled_uid_inherits_the_score_only_without_identities() -> None:
    good, other, thief = identity("good"), identity("other"), identity("thief", 990)
    then, now = graph(other, good), graph(other, thief)
    weights = {good: 1.0, other: 0.5}
    assert by_uid_alone(weights, then)[1] == U16_MAX  # succeeds: uid 1 is the thief's by now
    assert weights_by_uid(weights, now) == {0: U16_MAX}


def test_attack_a_hotkey_that_left_and_came_back_inherits_only_without_registrations() -> None:
    before, back, other = identity("phoenix", 10), identity("phoenix", 990), identity("other")
    weights = {before: 1.0, other: 0.5}
    now = graph(other, back)
    assert by_hotkey_alone(weights, now)[1] == U16_MAX  # succeeds: the old score is paid to the new tenancy
    assert weights_by_uid(weights, now) == {0: U16_MAX}


rational = st.one_of(
    st.integers(0, 10**30),
    st.fractions(min_value=0, max_value=10**6),
    st.floats(min_value=0, allow_nan=False, allow_infinity=False),
)


@given(st.lists(rational, min_size=1, max_size=40), st.integers(1, 10**12))
def test_the_vector_is_scale_free_order_preserving_and_tops_out(values: list[float], scale: int) -> None:
    tenants = [identity(str(number)) for number in range(len(values))]
    weights = dict(zip(tenants, values, strict=True))
    vector = weights_by_uid(weights, graph(*tenants))
    assert all(0 < value <= U16_MAX for value in vector.values())
    assert bool(vector) == any(values)
    if vector:
        assert max(vector.values()) == U16_MAX
        scaled = {who: Fraction(weight) * scale for who, weight in weights.items()}
        assert weights_by_uid(scaled, graph(*tenants)) == vector
        ranked = sorted(range(len(values)), key=lambda uid: values[uid])
        in_order = [vector.get(Uid(uid), 0) for uid in ranked]
        assert in_order == sorted(in_order)


def test_a_vector_too_short_for_the_subnet_is_named_before_it_is_sent() -> None:
    strict = replace(LIMITS, min_allowed=8)
    assert too_few_entries(LIMITS, positive=1, netuid=98) is None
    message = too_few_entries(strict, positive=2, netuid=98)
    assert message is not None and "fewer than 8" in message and "min_allowed_weights" in message


@given(
    st.lists(st.integers(1, U16_MAX), min_size=1, max_size=30),
    st.integers(1, U16_MAX),
)
def test_no_entry_exceeds_the_limit_and_nobody_overtakes(values: list[int], limit: int) -> None:
    vector = {Uid(uid): value for uid, value in enumerate(values)}
    cut = within_limit(vector, limit)
    if not cut:
        assert limit * len(values) < (U16_MAX + 1) * 1.0001  # only equal weights could have fitted
        return
    row = [cut[Uid(uid)] for uid in range(len(values))]
    assert all(0 < value <= U16_MAX for value in row)
    assert limit == U16_MAX or max(row) * U16_MAX <= limit * sum(row)
    ranked = sorted(range(len(values)), key=lambda uid: values[uid])
    assert [row[uid] for uid in ranked] == sorted(row)


def test_a_sole_weight_on_oneself_is_exempt() -> None:
    strict = replace(LIMITS, min_allowed=8, max_weight_limit=100)
    assert fit_to_limits({Uid(3): 65535}, own_uid=Uid(3), limits=strict, netuid=98) == {3: 65535}
    assert isinstance(fit_to_limits({Uid(3): 65535}, own_uid=Uid(4), limits=strict, netuid=98), str)
