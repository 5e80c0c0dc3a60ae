"""Views for tests of rules: one honest default, every part replaceable."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from miner.signals import Signals
from miner.span import Span
from miner.view import View


def make_view(**changes: Any) -> View:
    """Return a view of a pool at price 1 with σ 75 % and κ 1.195; nothing is held."""
    sigma = changes.pop("sigma", 0.75)
    values: dict[str, Any] = {
        "x": 0.0,
        "signals": Signals(sigma, 0.0, 0.0),
        "fee_rate": 0.084,
        "fee_rate_se": 0.0,
        "twap": None,
        "cost": 0.0007,
        "share0": 0.5,
        "tick_spacing": 10,
        "is_stable": False,
    }
    return View(**{**values, **changes})


@st.composite
def views(draw: st.DrawFn) -> View:
    """Any market and portfolio that can be looked at."""
    x = draw(st.floats(-800_000, 800_000))
    half = st.floats(1, 20_000)
    middle = st.floats(x - 20_000, x + 20_000)
    held = draw(st.one_of(st.none(), st.tuples(middle, half).map(lambda t: Span(t[0] - t[1], t[0] + t[1]))))
    seconds = st.one_of(st.none(), st.floats(0, 1e6))
    return make_view(
        x=x,
        sigma=draw(st.floats(1e-4, 20)),
        signals=Signals(draw(st.floats(1e-4, 20)), draw(st.floats(-9, 9)), draw(st.floats(-9, 9))),
        fee_rate=draw(st.floats(0, 1e3)),
        fee_rate_se=draw(st.floats(0, 10)),
        twap=draw(st.one_of(st.none(), st.floats(x - 500, x + 500))),
        cost=draw(st.floats(0.0002, 1)),
        share0=draw(st.floats(0, 1)),
        tick_spacing=draw(st.sampled_from([1, 10, 60, 200, 16_383])),
        is_stable=draw(st.booleans()),
        held=held,
        held_s=draw(seconds) if held else None,
        out_s=draw(st.floats(0, 1e6)) if held and not held.holds(x) else None,
    )
