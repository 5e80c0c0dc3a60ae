"""Sweeps, several markets and walk-forward: who plays, what is kept, and what is believed."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import distributed
import numpy as np
import pytest
from click.testing import CliRunner
from support.processes import start, tideline

from miner.strategies.plus.walk_forward import FoldParams
from protocol.errors import ConfigError
from simulator.engine import default_engine
from tideline import backtest_units
from tideline.backtest_data import Source
from tideline.backtest_many import Plan, play_plan
from tideline.backtest_play import Contest, Entry
from tideline.backtest_sweep import block_means, grid, standing, walk_forward
from tideline.backtest_units import Row, Rows, Workers, play_units
from tideline.commands.backtest import backtest
from tideline.demo import demo_jobs

JOB = next(job for job in demo_jobs() if job.job_id == "usdc-weth")
SWEEP = ("backtest", "--strategy", "band", "--sweep", "half_width=10,40", "--against", "hold", "--rounds", "24")


def labels(*sweeps: str, base: Entry) -> list[str]:
    return [entry.label for entry in grid(sweeps, base)]


def test_a_grid_is_every_combination_strategy_by_strategy(tmp_path: Path) -> None:
    band = Entry.of("band", {"gap": "2"})
    assert labels("half_width=10,16", "band.edge=2,4", base=band) == [
        f"band gap=2 half_width={half} edge={edge}" for half in (10, 16) for edge in (2, 4)
    ]
    file = tmp_path / "sweep.toml"
    file.write_text("[band]\nhalf_width = [10, 16]\n[static]\nw = [0.02, 0.05]\n")
    found = labels(str(file), base=Entry.of("hold", {}))
    assert found == ["band half_width=10", "band half_width=16", "static w=0.02", "static w=0.05"]
    assert labels("edge=3,3", base=Entry.of("band", {})) == ["band edge=3"], "the same is tried once"


@pytest.mark.parametrize(
    ("sweep", "says"),
    [
        ("half_width", "is not STRATEGY.SETTING"),
        ("half_width=", "is not STRATEGY.SETTING"),
        (".half_width=1", "is not STRATEGY.SETTING"),
        ("band.nothing=1", "no setting 'nothing'"),
        ("nobody.w=1", "no strategy is named 'nobody'"),
        ("no-such.toml", "cannot be read"),
        (f"half_width={','.join(map(str, range(2000)))}", "more than 1000 combinations"),
    ],
)
def test_a_sweep_that_cannot_be_is_said(sweep: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        grid((sweep,), Entry.of("band", {}))


def rows(scores: list[float | None]) -> Rows:
    return tuple(Row(score, fees_bp=1.0, in_range_s=450, duration_s=900) for score in scores)


def test_errors_count_blocks_of_rounds() -> None:
    """Rounds that go together in runs of four tell no more than a quarter as many."""
    runs = np.repeat(np.random.default_rng(1).normal(size=60), 4)
    found = standing("a", [rows(list(runs))], per_day=4)
    naive = float(runs.std(ddof=1)) / np.sqrt(len(runs))
    assert (found.excess.standard_error_e18 or 0) / 1e14 == pytest.approx(2 * naive, rel=0.05)
    assert (found.excess.rounds, found.rounds, found.in_range) == (60, 240, 0.5)
    assert block_means(rows([1.0, 3.0, None, 4.0, 9.0]), 2) == [2.0, 2.0], "what is not scored earned nothing more"
    assert standing("b", [rows([None] * 24)], per_day=96).excess.mean_e18 == 0


FOLDS = FoldParams(2, train_days=3, gap_days=1, test_days=1, embargo_days=0)


def test_a_choice_is_made_on_train_days_alone() -> None:
    """The second candidate is best but in the tests: whoever looked at those would take the first."""
    good, bad = [1.0, 1.1], [-5.0, -5.0]
    tempting = rows(good * 4 + bad * 2)  # days 0 … 3 for training, 4 and 5 for tests
    plain = rows([0.5, 0.6] * 6)
    found = walk_forward(["plain", "tempting"], [[plain], [tempting]], 2, FOLDS, seed=1)
    assert [(c.fold, c.label) for c in found.choices] == [(1, "tempting"), (2, "tempting")]
    assert [c.test_bp for c in found.choices] == [-5, -5] and found.gain_bp == pytest.approx(-5.55)
    assert not found.is_believed


def test_a_gain_is_believed_beyond_what_the_best_of_many_would_have_by_luck() -> None:
    draws = np.random.default_rng(7)
    base = [rows(list(draws.normal(size=12))) for _ in range(20)]
    better = [tuple(Row((row.score_bp or 0) + 1 + 0.1 * draws.normal()) for row in market) for market in base]
    found = walk_forward(["base", "better"], [base, better], 2, FOLDS, seed=1)
    assert found.is_believed and found.gain_bp == pytest.approx(1, abs=0.1)
    luck = [[rows(list(draws.normal(size=12))) for _ in range(20)] for _ in range(40)]
    found = walk_forward([str(n) for n in range(40)], luck, 2, FOLDS, seed=1)
    assert not found.is_believed and found.luck_bp == pytest.approx(2.716 * found.gain_se_bp, rel=1e-3)


def plan(**changes: object) -> Plan:
    settings: dict[str, object] = {"rounds": None, "sweeps": ("half_width=10,40",), "draws": 1, "folds": None}
    source = Source.of(JOB, str(changes.pop("data", "recorded")), days=changes.pop("days", None))
    return Plan.of((Entry.of("band", {}), Entry.of("hold", {})), JOB, source, **(settings | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"draws": 2}, "--draws needs something to draw"),
        ({"folds": FOLDS, "sweeps": ()}, "give some with --sweep"),
        ({"folds": FOLDS}, "the folds take 6 days, usdc-weth-005 has 0; give --days 6"),
        ({"days": 5.0, "folds": FOLDS}, "has 5; give --days 6"),
        ({"rounds": 95}, "holds 94 rounds"),
        ({"days": 400.0}, "--days must be above 0"),
        ({"days": 0.001}, "holds 7 blocks, and a round of job usdc-weth is 75 long"),
    ],
)
def test_a_plan_that_cannot_be_is_said_before_anything_is_played(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        plan(**changes)


def test_workers_need_a_scheduler_where_they_are_elsewhere() -> None:
    for backend, scheduler in (("dask", None), ("loky", "tcp://127.0.0.1:1")):
        with pytest.raises(ConfigError, match="need --scheduler"):
            Workers(backend, scheduler=scheduler)  # type: ignore[arg-type]


def test_processes_come_to_what_one_comes_to_and_nothing_is_played_twice(tmp_path: Path) -> None:
    units = [
        Contest((entry,), JOB, Source.of(JOB, data), 3)
        for data in ("recorded", "quiet")
        for entry in (Entry.of("band", {}), Entry.of("charm", {}))
    ]
    told: list[int] = []
    alone = play_units(units, None, Workers(count=1), told.append, engine=default_engine())
    assert told == [0, 1, 2, 3, 4]
    many = play_units(units[:3], tmp_path, Workers(count=2), told.append, engine=default_engine())
    assert many == alone[:3] and len({tuple(r.score_bp for r in rows) for rows in alone}) == 4
    told.clear()
    assert play_units(units, tmp_path, Workers(count=1), told.append, engine=default_engine()) == alone
    assert told == [3, 4] and len(list(tmp_path.iterdir())) == 4
    [first, *_] = sorted(tmp_path.iterdir())
    first.write_text("[[1, 2")
    with pytest.raises(ConfigError, match=r"cannot be read: .*; remove it"):
        play_units(units, tmp_path, Workers(count=1), told.append, engine=default_engine())


def test_several_markets_are_drawn_one_a_seed() -> None:
    drawn = plan(data="quiet", days=0.1, draws=2, sweeps=())
    assert [market.seed for market in drawn.markets] == [0, 1] and drawn.title.endswith("days of seed 0 to 1")
    outcome = play_plan(drawn, None, Workers(count=1), lambda _done: None, engine=default_engine())
    assert [(found.label, found.rounds) for found in outcome.standings] == [("band", 18), ("hold", 18)]


def test_a_killed_sweep_is_gone_on_with(tmp_path: Path) -> None:
    command = (*SWEEP, "--json", "--resume", "units")
    with start(tmp_path, *command, "--workers", "1", "--engine", "python") as process:
        process.until("1 of 4")
        process.signal(signal.SIGKILL)
        process.end()
    kept = len(list((tmp_path / "units").glob("*.json")))
    assert 0 < kept < 4
    again = tideline(tmp_path, *command, "--workers", "1")
    assert again.returncode == 0 and again.stderr.splitlines()[0] == f"{kept} of 4 back-tests"
    whole = CliRunner().invoke(backtest, [*SWEEP[1:], "--json", "--workers", "1"])
    assert json.loads(again.stdout) == json.loads(whole.stdout)
    found = {c["label"]: c for c in json.loads(again.stdout)["candidates"]}
    assert set(found) == {"band", "band half_width=10", "band half_width=40", "hold"}
    assert found["band half_width=10"]["fees_bp"] > found["band half_width=40"]["fees_bp"] > found["hold"]["fees_bp"]


def test_the_tables_and_the_page_of_a_walk_forward(tmp_path: Path) -> None:
    out = tmp_path / "sweep.html"
    walk = ("--walk-forward", "--folds", "1", "--train-days", "2", "--gap-days", "0", "--test-days", "1")
    arguments = ["--data", "quiet", "--strategy", "band", "--sweep", "half_width=40", "--against", "hold", *walk]
    result = CliRunner().invoke(backtest, [*arguments, "--workers", "1", "--out", str(out)])
    assert result.exception is None, result.exception
    assert "the best of 2 equal ones would seem ahead by" in result.stdout and "test of the first" in result.stdout
    page = out.read_text()
    assert page.count("<table") == 2 and "band half_width=40" in page


@pytest.fixture
def dask_scheduler() -> Iterator[str]:
    """A real scheduler on loopback, and a worker in this process."""
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://", host="127.0.0.1", dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


def test_units_go_through_a_dask_scheduler(dask_scheduler: str, tmp_path: Path) -> None:
    units = [Contest((Entry.of(name, {}),), JOB, Source.of(JOB, "recorded"), 2) for name in ("band", "charm")]
    told: list[int] = []
    workers = Workers("dask", scheduler=dask_scheduler)
    found = play_units(units, tmp_path, workers, told.append, engine=default_engine())
    assert found == play_units(units, None, Workers(count=1), told.append, engine=default_engine())
    assert told == [0, 1, 2, 0, 1, 2] and len(list(tmp_path.iterdir())) == 2


def test_a_scheduler_that_does_not_answer_is_said(free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest_units, "_ANSWER_S", 0.5)
    units = [Contest((Entry.of("hold", {}),), JOB, Source.of(JOB, "recorded"), 1)] * 2
    workers = Workers("dask", scheduler=f"tcp://127.0.0.1:{free_port}")
    with pytest.raises(ConfigError, match=f"no dask scheduler answers at tcp://127.0.0.1:{free_port}"):
        play_units(units, None, workers, lambda _done: None, engine=default_engine())


def test_a_unit_is_told_from_every_other() -> None:
    source = Source.of(JOB, "recorded", days=2.0)
    changes = [
        {},
        {"seed": 1},
        {"days": 3.0},
        {"window_hours": 3.0},
        {"data": "quiet"},
        {"data": "crash"},
        {"days": None},
    ]
    units = [Contest((Entry.of("band", {}),), JOB, replace(source, **change), 2) for change in changes]
    units += [replace(units[0], rounds=3), replace(units[0], entries=(Entry.of("band", {"gap": "2"}),))]
    units += [replace(units[0], job=replace(JOB, gas_price_wei=7))]
    assert len({backtest_units._digest(unit) for unit in units}) == len(units)
    same = replace(units[5], source=replace(units[5].source, window_hours=1.0))
    assert backtest_units._digest(same) == backtest_units._digest(units[5]), "nothing is drawn in windows there"
