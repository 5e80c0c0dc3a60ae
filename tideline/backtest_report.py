"""The page of a back-test: what is drawn and what is told, all in basis points of the opening value."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

import numpy as np
from scipy.special import stdtrit  # type: ignore[import-untyped]  # scipy ships no types

from miner.backtest import Played, PlayedRound
from miner.report import Band, Chart, Line, Page, Table
from miner.span import tick_of
from protocol.units import Q96
from simulator.market import MarketInfo
from tideline.backtest_data import Data
from tideline.backtest_profile import liquidity_profile
from tideline.backtest_result import part_bp, summary_of
from validator.leaderboard import Excess, describe

_CONFIDENCE = 0.95  # two-sided
_BASIS_POINT_E18 = 10**14
_LONG_S = 4 * 86_400
_SIGNS = {"delta": 1, "lvr": -1, "fees": 1, "swap_cost": -1, "gas": -1, "dust": -1}  # they add up to the change
_PARTS = ("price", "LVR", "fees", "swaps", "gas", "dust")


def report(headline: str, rounds: Sequence[PlayedRound], data: Data) -> Page:
    """Return the page; the first strategy is the one in question, and the headline says what was played."""
    mine = [r.played[0] for r in rounds]
    label, market = mine[0].label, data.info
    note = f"{_verdict(mine)} {headline}. Each round opens with the job's own portfolio, so that sums over rounds are "
    note += f"added up, not compounded. {data.caveat}"
    marks = _times(rounds)
    price_of, pair = _quoting(rounds, market)
    parts = (
        Chart(
            "Return",
            "Change of value added up, bp; untouched is the benchmark of the score.",
            _returns(rounds),
            (),
            marks,
        ),
        Chart("Excess over the untouched portfolio", "Scores added up, bp.", _excesses(rounds, _running), (), marks),
        Chart("Drawdown of the excess", "Below its highest point so far, bp.", _excesses(rounds, _drawdown), (), marks),
        _ranges(rounds, price_of, pair, marks),
        Chart(f"What {label} earned and paid", "Added up, bp.", _earned(mine), (), marks),
        Chart(
            "Inventory",
            f"{market.token0.symbol} as a share of value at the end of each round, %.",
            _inventory(rounds),
            (),
            marks,
        ),
        liquidity_profile(rounds, data.opening, price_of, pair),
        _attribution(rounds),
        _certainty(rounds),
        _moves(rounds),
    )
    return Page(f"{label} on {data.name}", note, parts, _facts(mine))


def _facts(mine: Sequence[Played]) -> list[tuple[str, str]]:
    summary = summary_of(mine)
    excess, parts = summary.excess, summary.parts_bp
    mean, interval, ahead, needed = _excess_cells(excess)[1:]
    return [
        ("score a round, bp", mean),
        ("95 % interval", interval),
        ("P(mean > 0)", ahead),
        ("rounds needed", needed),
        ("fees, LVR a round, bp", f"{parts['fees']:.3f}, {parts['lvr']:.3f}"),
        ("in range", f"{summary.in_range:.1%}"),
    ]


def _verdict(mine: Sequence[Played]) -> str:
    """Return in one sentence whether the strategy beat the untouched portfolio."""
    label, excess = mine[0].label, _paired(mine, None)
    ahead = excess.probability_positive
    if ahead is None or excess.standard_error_e18 == 0:
        return f"{label} did as the untouched portfolio did, or too little was played to tell."
    if min(ahead, 1 - ahead) * 2 > 1 - _CONFIDENCE:
        return f"Whether {label} beats the untouched portfolio cannot be told from these rounds."
    beat = "beat" if ahead > 0.5 else "fell behind"
    return f"{label} {beat} the untouched portfolio by more than chance explains, were rounds independent."


def _times(rounds: Sequence[PlayedRound]) -> list[tuple[float, str]]:
    """Return five points and when they were."""
    times = [rounds[0].start_timestamp, *(r.end_timestamp for r in rounds)]
    form = "%d %b %H:%M" if times[-1] - times[0] < _LONG_S else "%d %b"
    points = sorted({round((len(times) - 1) * n / 4) for n in range(5)})
    return [(point, f"{datetime.fromtimestamp(times[point], UTC):{form}}") for point in points]


def _quoting(rounds: Sequence[PlayedRound], market: MarketInfo) -> tuple[Callable[[float], float], str]:
    """Return how a tick becomes a price above 1, as people quote it, and what that is called."""
    scale = 10.0 ** (market.token0.decimals - market.token1.decimals)
    if (rounds[0].start_sqrt_price_x96 / Q96) ** 2 * scale < 1:
        return lambda tick: 1 / (1.0001**tick * scale), f"{market.token0.symbol}/{market.token1.symbol}"
    return lambda tick: 1.0001**tick * scale, f"{market.token1.symbol}/{market.token0.symbol}"


def _bp(ledger: Mapping[str, Any] | None, *names: str) -> float:
    """Return parts of a ledger with their signs, over its opening value; 0 where the round was not scored."""
    if ledger is None:
        return 0.0
    return sum(_SIGNS[name] * part_bp(ledger, name) for name in names)


def _change_bp(ledger: Mapping[str, Any] | None, field: str = "w_close_x192") -> float:
    return 0.0 if ledger is None else 1e4 * (int(ledger[field]) / int(ledger["w_open_x192"]) - 1)


def _running(values: Sequence[float]) -> list[float]:
    return [0.0, *accumulate(values)]


def _drawdown(values: Sequence[float]) -> list[float]:
    sums = _running(values)
    return [now - best for now, best in zip(sums, accumulate(sums, max), strict=True)]


def _by_label(rounds: Sequence[PlayedRound]) -> dict[str, list[Played]]:
    return {p.label: [r.played[index] for r in rounds] for index, p in enumerate(rounds[0].played)}


def _returns(rounds: Sequence[PlayedRound]) -> list[Line]:
    lines = [Line(name, _running([_change_bp(p.ledger) for p in played])) for name, played in _by_label(rounds).items()]
    benchmark = [r.benchmark for r in rounds]
    held = (_running([_change_bp(ledger, field) for ledger in benchmark]) for field in ("w_close_x192", "hold_x192"))
    names = ("untouched", "tokens held")
    return [*lines, *(Line(name, values, is_reference=True) for name, values in zip(names, held, strict=True))]


def _excesses(rounds: Sequence[PlayedRound], of: Callable[[Sequence[float]], list[float]]) -> list[Line]:
    return [
        Line(name, of([(p.score_e18 or 0) / _BASIS_POINT_E18 for p in played]))
        for name, played in _by_label(rounds).items()
    ]


def _earned(mine: Sequence[Played]) -> list[Line]:
    parts = {"fees": ("fees",), "LVR": ("lvr",), "costs": ("swap_cost", "gas", "dust")}
    lines = [Line(name, _running([_bp(p.ledger, *fields) for p in mine])) for name, fields in parts.items()]
    everything = [field for fields in parts.values() for field in fields]
    return [*lines, Line("together", _running([_bp(p.ledger, *everything) for p in mine]))]


def _ranges(
    rounds: Sequence[PlayedRound], price_of: Callable[[float], float], pair: str, marks: Sequence[tuple[float, str]]
) -> Chart:
    prices = [rounds[0].start_sqrt_price_x96, *(r.end_sqrt_price_x96 for r in rounds)]
    bands = []
    for point, entry in enumerate(rounds):
        for held in entry.played[0].ledger["closing"]["holdings"] if entry.played[0].ledger is not None else ():
            low, high = sorted(price_of(held[edge]) for edge in ("tick_lower", "tick_upper"))
            bands.append(Band(point, low, high))
    note = f"{pair}; ranges as they stood at the end of each round, cut off at the frame."
    line = Line("price", [price_of(tick_of(price)) for price in prices])
    return Chart(f"Price, and ranges of {rounds[0].played[0].label}", note, [line], bands, marks)


def _inventory(rounds: Sequence[PlayedRound]) -> list[Line]:
    def share(entry: PlayedRound, ledger: Mapping[str, Any] | None) -> float | None:
        if ledger is None:
            return None
        end = ledger["closing"]
        token0, token1 = (
            int(end[f"idle{side}"]) + sum(int(h[f"amount{side}"]) + int(h[f"fees{side}"]) for h in end["holdings"])
            for side in (0, 1)
        )
        value0 = token0 * (entry.end_sqrt_price_x96 / Q96) ** 2
        return 100 * value0 / (value0 + token1)

    return [
        Line(name, [None, *(share(r, p.ledger) for r, p in zip(rounds, played, strict=True))])
        for name, played in _by_label(rounds).items()
    ]


def _attribution(rounds: Sequence[PlayedRound]) -> Table:
    rows: list[tuple[str, ...]] = [("strategy", *_PARTS, "change of value", "residual")]
    for name, played in (*_by_label(rounds).items(), ("untouched", None)):
        ledgers = [r.benchmark for r in rounds] if played is None else [p.ledger for p in played]
        parts = (f"{sum(_bp(ledger, part) for ledger in ledgers):+.3f}" for part in _SIGNS)
        residual = sum(abs(int(ledger["residual_x192"])) for ledger in ledgers if ledger is not None)
        rows.append((name, *parts, f"{sum(map(_change_bp, ledgers)):+.3f}", str(residual)))
    note = "Over all rounds, bp. The residual is what balances and parts disagree by, in exact units: it must be 0."
    return Table("Where it came from", note, rows)


def _certainty(rounds: Sequence[PlayedRound]) -> Table:
    rows: list[tuple[str, ...]] = [("excess of", "rounds", "mean", "95 % interval", "P(mean > 0)", "rounds needed")]
    played = _by_label(rounds)
    first = next(iter(played))
    rows += [(f"{name} over untouched", *_excess_cells(_paired(mine, None))) for name, mine in played.items()]
    rows += [
        (f"{first} over {name}", *_excess_cells(_paired(played[first], other)))
        for name, other in played.items()
        if name != first
    ]
    note = (
        "Paired by round, bp a round, by Student's t; rounds are taken as independent. Needed: to show with 80 % power."
    )
    return Table("How sure that is", note, rows)


def _paired(mine: Sequence[Played], other: Sequence[Played] | None) -> Excess:
    pairs = (
        [(a.score_e18, 0) for a in mine]
        if other is None
        else [(a.score_e18, b.score_e18) for a, b in zip(mine, other, strict=True)]
    )
    return describe(np.array([float(a - b) for a, b in pairs if a is not None and b is not None], dtype=np.float64))


def _excess_cells(excess: Excess) -> tuple[str, ...]:
    mean, error, ahead = excess.mean_e18, excess.standard_error_e18, excess.probability_positive
    if mean is None:
        return ("0", "-", "-", "-", "-")
    interval = "-"
    if error is not None:
        interval = " … ".join(f"{bound / _BASIS_POINT_E18:+.4f}" for bound in interval_of(excess))
    return (
        str(excess.rounds),
        f"{mean / _BASIS_POINT_E18:+.4f}",
        interval,
        "-" if ahead is None else f"{ahead:.1%}",
        "-" if excess.rounds_needed is None else str(excess.rounds_needed),
    )


def interval_of(excess: Excess) -> tuple[float, float]:
    """Return the bounds of the 95 % interval of a mean, by Student's t; without end where nothing can be said."""
    mean, error = excess.mean_e18, excess.standard_error_e18
    if mean is None or error is None:
        return -math.inf, math.inf
    half = float(stdtrit(excess.rounds - 1, (1 + _CONFIDENCE) / 2)) * error
    return mean - half, mean + half


def _moves(rounds: Sequence[PlayedRound]) -> Table:
    rows: list[tuple[str, ...]] = [
        ("round", "blocks", "outcome", "plans", "ranges at the end", "turnover bp", "gas bp", "score bp")
    ]
    for entry in rounds:
        mine = entry.played[0]
        if mine.ledger is None or mine.ledger["rebalances"] or mine.outcome == "invalid":
            rows.append(_move(entry, mine))
    return Table(
        f"Rebalances of {rounds[0].played[0].label}", "Rounds in which it changed something, or was not scored.", rows
    )


def _move(entry: PlayedRound, mine: Played) -> tuple[str, ...]:
    blocks = f"{entry.start_block}-{entry.end_block}"
    if mine.ledger is None:
        return (str(entry.number), blocks, mine.outcome, *["-"] * 5)
    held = mine.ledger["closing"]["holdings"]
    return (
        str(entry.number),
        blocks,
        mine.outcome,
        str(mine.ledger["rebalances"]),
        ", ".join(f"{h['tick_lower']}..{h['tick_upper']}" for h in held) or "none",
        f"{1e4 * int(mine.ledger['turnover_x192']) / int(mine.ledger['w_open_x192']):.3f}",
        f"{-_bp(mine.ledger, 'gas'):.4f}",
        f"{(mine.score_e18 or 0) / _BASIS_POINT_E18:+.4f}",
    )
