import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.queries import Shape, make_query, shapes, shown

from miner.strategies import DEFAULT, NAMES, available, build
from miner.strategies.band import Band
from miner.strategies.hold import Hold
from miner.strategies.wide import Wide
from miner.strategy import Keep, Positions, Strategy, check_decision, owned
from protocol.errors import ConfigError
from protocol.messages import RebalanceQuery
from simulator.plan import Desired, check_desired
from simulator.portfolio import Range

TICK = -196_203  # 3 ticks below an aligned tick of spacing 10
STRATEGIES: list[Strategy] = [
    Wide(half_width_ticks=1),
    Wide(half_width_ticks=2_000_000),
    Band(half_width=1, edge=0, gap=0),
    Band(half_width=1000, edge=400, gap=10),
]


def desired(query: RebalanceQuery, strategy: Strategy) -> tuple[Desired, ...]:
    decision = strategy.decide(query)
    assert isinstance(decision, Positions)
    return decision.desired


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
@settings(max_examples=80)
@given(shape=shapes())
def test_odd_settings_are_as_valid(strategy: Strategy, shape: Shape) -> None:
    decide_twice(strategy, shape)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60)
@given(shape=shapes())
def test_whatever_the_first_query_the_decision_is_valid(name: str, shape: Shape) -> None:
    decide_twice(build(name, {}), shape)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(asked=st.lists(shapes(), min_size=2, max_size=6))
def test_whatever_was_seen_before_the_decision_is_valid(name: str, asked: list[Shape]) -> None:
    """Prices that jump, times that go back, positions that nobody planned: memory is data from outside, too."""
    strategy = build(name, {})
    for shape in asked:
        decide_twice(strategy, shape)


def decide_twice(strategy: Strategy, shape: Shape) -> None:
    """Decide, check that it is valid and without a swap, and that a repeated question gets the same answer."""
    query = make_query(shape)
    decision = strategy.decide(query)
    assert strategy.decide(query) == decision
    assert check_decision(query, decision) is None
    if isinstance(decision, Positions):
        have0, have1 = owned(query)
        assert check_desired(decision.desired, shape.spacing) is None
        assert sum(d.amount0 for d in decision.desired) <= have0
        assert sum(d.amount1 for d in decision.desired) <= have1
        assert all(d.range.tick_upper - d.range.tick_lower >= shape.min_width for d in decision.desired)
        assert all(d.amount0 or d.amount1 for d in decision.desired)


def test_hold_keeps() -> None:
    assert Hold().decide(make_query()) == Keep()


def test_wide_offers_everything_around_the_price() -> None:
    query = make_query(Shape(tick=TICK))
    assert desired(query, Wide()) == (Desired(Range(-200_260, -192_140), 10**19, 30_000 * 10**6),)


@pytest.mark.parametrize(
    ("idle0", "idle1", "expected"),
    [
        (0, 5, Desired(Range(-204_320, -196_210), 0, 5)),
        (5, 0, Desired(Range(-196_200, -188_090), 5, 0)),
    ],
)
def test_wide_stands_beside_the_price_when_one_token_is_missing(idle0: int, idle1: int, expected: Desired) -> None:
    query = make_query(Shape(tick=TICK, idle0=idle0, idle1=idle1))
    assert desired(query, Wide()) == (expected,)
    tick_inside = expected.range.tick_lower <= TICK < expected.range.tick_upper
    assert not tick_inside


@pytest.mark.parametrize("strategy", [Wide(), Band()], ids=str)
def test_nothing_owned_is_nothing_to_do(strategy: Strategy) -> None:
    assert strategy.decide(make_query(Shape(idle0=0, idle1=0))) == Keep()


def test_wide_moves_once() -> None:
    assert Wide().decide(make_query(Shape(positions=(shown(0, 10, 1, 1),)))) == Keep()


def test_band_fills_the_base_and_sells_the_rest_above() -> None:
    query = make_query(Shape(tick=TICK, idle0=2 * 10**19, idle1=30_000 * 10**6))
    base, limit = desired(query, Band())
    assert base.range == Range(-196_400, -196_000)
    assert base.amount1 == 30_000 * 10**6  # the scarcer token
    assert 0 < base.amount0 < 2 * 10**19
    assert (limit.range, limit.amount1) == (Range(-196_190, -195_990), 0)
    assert 0 <= 2 * 10**19 - base.amount0 - limit.amount0 < 10**4  # what rounding liquidity down leaves


def test_band_fills_the_base_and_bids_with_the_rest_below() -> None:
    query = make_query(Shape(tick=TICK, idle0=10**18, idle1=30_000 * 10**6))
    base, limit = desired(query, Band())
    assert 0 <= 10**18 - base.amount0 < 10**4  # the scarcer token, but for rounding
    assert limit.range == Range(-196_420, -196_220)
    assert limit.amount0 == 0
    assert 0 <= 30_000 * 10**6 - base.amount1 - limit.amount1 <= 1  # what rounding leaves


def test_band_counts_what_positions_hold_and_owe() -> None:
    out_of_range = shown(-100, 100, 10**19, 0, fees=10**9)
    query = make_query(Shape(tick=TICK, idle0=0, idle1=0, positions=(out_of_range,)))
    assert owned(query) == (10**19 + 10**9, 10**9)
    wanted = desired(query, Band())
    assert sum(d.amount0 for d in wanted) <= 10**19 + 10**9
    assert Range(-100, 100) not in {d.range for d in wanted}


@pytest.mark.parametrize(
    ("tick_lower", "tick_upper", "keeps"),
    [
        (-196_400, -196_000, True),  # centred
        (-196_250, -195_850, True),  # 47 ticks inside the lower bound, 40 are enough
        (-196_240, -195_840, False),  # 37
        (-196_560, -196_160, True),  # 43 inside the upper bound
        (-196_550, -196_150, True),
        (-196_570, -196_170, False),
        (-196_700, -196_300, False),  # out of range
    ],
)
def test_band_moves_only_near_its_edge(tick_lower: int, tick_upper: int, keeps: bool) -> None:  # noqa: FBT001  # a table
    positions = (shown(tick_lower, tick_upper, 10**18, 10**9),)
    decision = Band().decide(make_query(Shape(tick=TICK, positions=positions)))
    assert (decision == Keep()) is keeps


def test_band_with_one_token_waits_beside_the_price() -> None:
    near = (shown(-196_500, -196_300, 0, 10**10, fees=0),)
    far = (shown(-197_000, -196_800, 0, 10**10, fees=0),)
    assert Band().decide(make_query(Shape(tick=TICK, positions=near, idle0=0, idle1=0))) == Keep()
    moved = desired(make_query(Shape(tick=TICK, positions=far, idle0=0, idle1=0)), Band())
    assert moved == (Desired(Range(-196_420, -196_220), 0, 10**10),)


def test_band_does_not_rebuild_what_stands() -> None:
    positions = (shown(-196_240, -195_840, 10**18, 10**9),)
    query = make_query(Shape(tick=TICK, positions=positions))
    rebuilt = tuple(
        shown(d.range.tick_lower, d.range.tick_upper, d.amount0, d.amount1) for d in desired(query, Band(gap=2))
    )
    assert Band(gap=2).decide(make_query(Shape(tick=TICK, positions=rebuilt, idle0=0, idle1=0))) == Keep()


def test_the_registry_names_what_it_builds() -> None:
    assert {name: build(name, {}).name for name in available()} == {name: name for name in available()}
    assert list(NAMES) == sorted(NAMES)
    assert DEFAULT in NAMES
    assert build("band", {"half_width": "8", "edge": "1"}) == Band(half_width=8, edge=1)
    assert build("miner.strategies.wide:Wide", {"half_width_ticks": "7"}) == Wide(half_width_ticks=7)
    assert all(dataclasses.is_dataclass(kind) for kind in available().values())


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("bands", {}, "no strategy is named 'bands'; choose one of " + ", ".join(NAMES) + ", file.py or module:Class"),
        ("band", {"width": "1"}, "strategy band has no setting 'width'; it has half_width, edge, gap"),
        ("hold", {"width": "1"}, "strategy hold has no setting 'width'; it has none"),
        ("band", {"half_width": "1.5"}, "setting half_width='1.5' is not an integer"),
        ("band", {"half_width": "0"}, "half_width must be at least 1"),
        ("band", {"half_width": "8", "edge": "4"}, "edge must be at least 0 and below half of half_width"),
        ("band", {"gap": "-1"}, "gap must be at least 0"),
        ("charm", {"w": "wide"}, "setting w='wide' is not a number"),
        ("charm", {"w": "inf"}, "setting w='inf' is not a finite number"),
        ("charm", {"w": "nan"}, "setting w='nan' is not a finite number"),
        ("charm", {"w": "0"}, "w must be above 0"),
        ("btr_plus", {"tilt": "1"}, "tilt must be between 0 and 0.99"),
        ("wide", {"half_width_ticks": "0"}, "half_width_ticks must be at least 1"),
        ("nowhere.at.all:X", {}, "cannot load strategy 'nowhere.at.all:X': No module named 'nowhere'"),
        (
            "miner.config:MinerConfig",
            {},
            "strategy miner.config:MinerConfig has neither decide(query) nor wish(view); see docs/miner-strategy.md",
        ),
        (":X", {}, "cannot load strategy ':X': Empty module name"),
    ],
)
def test_what_the_operator_got_wrong_is_said_in_one_line(name: str, settings: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(name, settings)
    assert caught.value.message == reason


@given(shape=shapes(), amounts=st.tuples(st.integers(0, 2**129), st.integers(0, 2**129)), lower=st.integers(-60, 60))
def test_a_decision_that_offers_what_is_not_owned_is_noticed(
    shape: Shape, amounts: tuple[int, int], lower: int
) -> None:
    query = make_query(shape)
    wanted = Desired(Range(lower, lower + shape.spacing), *amounts)
    problem = check_decision(query, Positions((wanted,)))
    have0, have1 = owned(query)
    if lower % shape.spacing or max(amounts) >= 2**128 or (amounts[0] > have0 and amounts[1] > have1):
        assert problem is not None
