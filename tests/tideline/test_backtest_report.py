"""What a report tells is what the ledgers say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from protocol.errors import ConfigError
from simulator.engine import default_engine
from tideline.backtest_data import Source, load
from tideline.backtest_play import play
from tideline.backtest_report import _SIGNS, _bp, _change_bp, _drawdown, _paired, report
from tideline.backtest_result import summarize
from tideline.commands import backtest
from tideline.demo import demo_jobs


async def test_the_page_of_a_back_test() -> None:
    job = next(job for job in demo_jobs() if job.job_id == "wbtc-weth")
    contest = backtest.make_contest(backtest.entries_of("band", (), "hold"), job, Source.of(job, "recorded"), 4)
    played = await play(contest, None, lambda _round: None, engine=default_engine())
    page = report("title", played, load(contest.source).info)
    for entry in played:
        for ledger in (entry.benchmark, *(p.ledger for p in entry.played)):
            assert sum(_bp(ledger, part) for part in _SIGNS) == pytest.approx(_change_bp(ledger), abs=1e-9)
    assert page.count("<svg") == 6 and page.count("<table") == 3
    assert "WETH/WBTC" in page and "band over untouched" in page and "band over hold" in page
    assert len(re.findall(r"<tr><td>(?:band|hold|untouched)</td>.*<td>0</td></tr>", page)) == 3, "the residuals"
    summary = summarize(played)[0]
    score = sum(_bp(p.ledger, *(part for part in _SIGNS if part != "delta")) for p in (r.played[0] for r in played))
    untouched = sum(_bp(r.benchmark, *(part for part in _SIGNS if part != "delta")) for r in played)
    assert summary.sum_e18 / 1e14 == pytest.approx(score - untouched, abs=1e-9)
    assert _paired(*([r.played[i] for r in played] for i in (0, 0))).mean_e18 == 0


def test_a_drawdown_is_measured_from_the_highest_point_so_far() -> None:
    assert _drawdown([2.0, -3.0, 1.0, 5.0, -1.0]) == [0, 0, -3, -2, 0, -1]


def test_a_page_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose another --out"):
        backtest._write(tmp_path / "none" / "page.html", "")
