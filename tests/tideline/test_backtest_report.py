"""What a report tells is what the ledgers say."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from miner.backtest import Played
from miner.report import Page, render
from protocol.errors import ConfigError
from simulator.engine import default_engine
from tideline.backtest_data import Source, load
from tideline.backtest_play import Contest, play
from tideline.backtest_profile import liquidity_profile
from tideline.backtest_report import _SIGNS, _bp, _change_bp, _drawdown, _paired, _verdict, report
from tideline.backtest_result import summarize
from tideline.commands import backtest
from tideline.demo import demo_jobs


def make(strategy: str, rounds: int, against: str = "", **drawn: float) -> Contest:
    job = next(job for job in demo_jobs() if job.job_id == "wbtc-weth")
    entries = backtest.entries_of(strategy, (), against)
    return backtest.make_contest(entries, job, Source.of(job, "recorded", **drawn), rounds)


async def test_the_page_of_a_back_test() -> None:
    contest = make("band", 4, "hold")
    played = await play(contest, None, lambda _round: None, engine=default_engine())
    data = load(contest.source)
    page = render(report("title", played, data))
    for entry in played:
        for ledger in (entry.benchmark, *(p.ledger for p in entry.played)):
            assert sum(_bp(ledger, part) for part in _SIGNS) == pytest.approx(_change_bp(ledger), abs=1e-9)
    assert page.count("<svg") == 7 and page.count("<table") == 3
    assert "WETH/WBTC" in page and "band over untouched" in page and "band over hold" in page
    assert len(re.findall(r"<tr><td>(?:band|hold|untouched)</td>.*<td>0</td></tr>", page)) == 3, "the residuals"
    summary = summarize(played)[0]
    score = sum(_bp(p.ledger, *(part for part in _SIGNS if part != "delta")) for p in (r.played[0] for r in played))
    untouched = sum(_bp(r.benchmark, *(part for part in _SIGNS if part != "delta")) for r in played)
    assert summary.sum_e18 / 1e14 == pytest.approx(score - untouched, abs=1e-9)
    assert _paired(*([r.played[i] for r in played] for i in (0, 0))).mean_e18 == 0


def test_a_drawdown_is_measured_from_the_highest_point_so_far() -> None:
    assert _drawdown([2.0, -3.0, 1.0, 5.0, -1.0]) == [0, 0, -3, -2, 0, -1]


async def test_the_liquidity_profile_is_the_pools_and_ours() -> None:
    contest = make("band", 2)
    played = await play(contest, None, lambda _round: None, engine=default_engine())
    pool = load(contest.source).opening
    chart = liquidity_profile(played, pool, lambda tick: 1 / 1.0001**tick, "A/B")
    ours, all_of_it = (list(line.values) for line in chart.lines)
    assert max(all_of_it) == 100 and max(ours) == 100 and ours[0] == ours[-1] == 0
    prices = [float(label.replace(",", "")) for _, label in chart.marks]
    assert prices == sorted(prices) and len(ours) == len(all_of_it) == 240
    # Prices rise to the right, ticks to the left: the last point is the lowest tick.
    low, high = -math.log(prices[-1]) / math.log(1.0001), -math.log(prices[0]) / math.log(1.0001)
    ticks = [high + (low - high) * n / 239 for n in range(240)]
    liquidity = [sum(s.liquidity_net for tick, s in pool.ticks if tick <= at) for at in ticks]
    assert all_of_it == pytest.approx([100 * v / max(liquidity) for v in liquidity], abs=2)
    held = [h for r in played for h in (r.played[0].ledger or {})["closing"]["holdings"]]
    inside = [any(h["tick_lower"] - 30 <= at < h["tick_upper"] + 30 for h in held) for at in ticks]
    assert all(within for within, value in zip(inside, ours, strict=True) if value)


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ([1.0, 1.1, 0.9, 1.0], "band beat the untouched portfolio by more than chance explains"),
        ([-1.0, -1.1, -0.9, -1.0], "band fell behind the untouched portfolio by more"),
        ([1.0, -1.1, 0.9, -1.0], "Whether band beats the untouched portfolio cannot be told"),
        ([0.0, 0.0], "band did as the untouched portfolio did"),
        ([3.0], "too little was played to tell"),
    ],
)
def test_the_verdict_is_what_the_interval_says(scores: list[float], says: str) -> None:
    played = [Played("band", "kept", int(score * 1e14), None, False, ()) for score in scores]
    assert says in _verdict(played)


def test_a_page_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose another --out"):
        backtest.Output(tmp_path / "none" / "page.html", None, as_json=False).write(lambda: Page("", "", []))
