"""The benchmark compares before it measures, and the README shows what a run wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.planting import plant

from benchmarks import peers, report
from benchmarks.__main__ import main
from benchmarks.engines import Answers
from benchmarks.measure import fetch
from benchmarks.peers import PEERS, Peer, question_of
from benchmarks.workload import recorded, synthetic
from simulator.math import sqrt_price_math

pytest.importorskip("simulator.native._core", reason="there was no compiler")
PAGES = (report.ROOT / "README.md", report.ROOT / "docs" / "native.md")
OURS = ["--quick", "--json", "--swaps", "300", "--only", "native", "--only", "native_calls", "--only", "python"]


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_the_pages_show_what_the_last_run_wrote() -> None:
    results = json.loads(report.RESULTS.read_text())
    readme, page = (path.read_text() for path in PAGES)
    assert report.with_block(readme, "benchmarks", report.table_of(results)) == readme
    assert report.with_block(page, "profile", report.profile_of(results)) == page
    assert {rate["name"] for rate in results["rates"]} >= {"native", "python", "bytecode", "v3_sdk", "degenbot"}
    assert set(results["costs"]) == set(report.COSTS)


def test_a_run_is_written_where_it_is_shown(tmp_path: Path) -> None:
    for folder in ("benchmarks", "docs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "README.md").write_text("before\n<!-- benchmarks -->\nold\n<!-- /benchmarks -->\nafter\n")
    (tmp_path / "docs" / "native.md").write_text("<!-- profile -->\n<!-- /profile -->\n")
    results = json.loads(report.RESULTS.read_text()) | {"absent": {"a peer": "no network"}}
    report.write(results, tmp_path)
    assert json.loads((tmp_path / "benchmarks" / "results.json").read_text()) == results
    shown = (tmp_path / "README.md").read_text()
    table = report.table_of(results)
    assert shown == f"before\n<!-- benchmarks -->\n{table}\n<!-- /benchmarks -->\nafter\n"
    assert "Not there: a peer (no network)." in shown and "old" not in shown
    assert report.profile_of(results) in (tmp_path / "docs" / "native.md").read_text()


def test_one_json_object_with_the_ratios() -> None:
    done = bench(*OURS)
    assert (done.exit_code, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert set(told["ratios"]) == {"native_vs_python"}
    # Loose, for a busy machine; the README says what a run found.
    assert told["ratios"]["native_vs_python"] > 10
    assert set(told["swaps_per_s"]) == {"native", "native_calls", "python"}


def test_engines_that_disagree_are_named_and_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, sqrt_price_math.get_amount1_delta, "-(-product >> 96)", "(product >> 96)")
    done = bench(*OURS)
    assert done.exit_code == 1
    assert "synthetic, native: swap" in done.stderr and "wbtc-weth-03, native: swap" in done.stderr
    assert json.loads(done.stdout)["ratios"] == {}


def test_any_answer_that_differs_is_seen() -> None:
    truth = Answers([(1, -2), (-3, 4)], (5, 6, 7, 8, 9), 1.0)
    assert Answers([(None, -2), (-3, None)], (5, 6, 7), 2.0).difference(truth) is None
    assert Answers([(1, -2), (-3, 5)], (5, 6, 7), 2.0).difference(truth) == "swap 1 gives (-3, 5), expected (-3, 4)"
    assert "ends at" in str(Answers([(1, -2), (-3, 4)], (5, 6, 8), 2.0).difference(truth))
    with pytest.raises(ValueError, match="zip"):
        Answers([(1, -2)], (5, 6, 7), 2.0).difference(truth)


def test_a_peer_that_cannot_be_fetched_is_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "HOME", tmp_path)
    sleeper = Peer("sleeper", "", "p", "1", "x", least_python=(3, 11))
    monkeypatch.setattr(
        Peer, "_commands", lambda peer: [[sys.executable, "-c", f"open({str(peer.home)!r} + '/x').read()"]]
    )
    assert "FileNotFoundError" in fetch([sleeper], None)["sleeper"]
    monkeypatch.setattr(
        Peer, "_commands", lambda _: [[sys.executable, "-c", "import threading; threading.Event().wait()"]]
    )
    assert fetch([sleeper], 0.2) == {"sleeper": "not installed within 0 s (a run without --quick waits)"}
    monkeypatch.setattr(Peer, "_commands", lambda _: [["no-such-program"]])
    assert "no-such-program" in fetch([sleeper], 1)["sleeper"]
    assert not sleeper.is_installed
    monkeypatch.setattr(Peer, "_commands", lambda _: [])
    assert fetch([sleeper], 1) == {} and sleeper.is_installed


def test_a_peer_is_asked_as_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that echoes the question answers with what it was asked; one that fails says why."""
    monkeypatch.setattr(peers, "HOME", tmp_path / "home")
    monkeypatch.setattr(peers, "HERE", tmp_path)
    (tmp_path / "echo.py").write_text("import sys; print(sys.stdin.read())")
    (tmp_path / "fails.py").write_text("raise SystemExit('no such pool')")
    for name in ("echo", "fails"):
        home = Peer(name, "", "p", "1", f"{name}.py", least_python=(3, 11)).home / "bin"
        home.mkdir(parents=True)
        (home / "python").symlink_to(sys.executable)
    workload = synthetic(5)
    question = question_of(workload.pool("python"), workload.happened, repeats=2)
    assert Peer("echo", "", "p", "1", "echo.py", least_python=(3, 11)).answer(question) == json.loads(
        json.dumps(question)
    )
    with pytest.raises(subprocess.SubprocessError, match="no such pool"):
        Peer("fails", "", "p", "1", "fails.py", least_python=(3, 11)).answer(question)


def test_the_record_is_the_market_s_own() -> None:
    """The positions that stand for its opening give the pool that the snapshot gives."""
    from simulator import records
    from simulator.pool import Pool

    opening, workload = records.load("wbtc-weth-03").opening, recorded()
    pool, twin = workload.pool("python"), Pool.from_snapshot(opening)
    assert {tick: info[:2] for tick, info in pool.ticks.items()} == {
        tick: info[:2] for tick, info in twin.ticks.items()
    }
    assert (pool.sqrt_price_x96, pool.tick, pool.liquidity) == (twin.sqrt_price_x96, twin.tick, twin.liquidity)
    assert len(workload.happened) > 800


def test_peers_have_names_of_their_own() -> None:
    assert len({peer.name for peer in PEERS}) == len(PEERS) == 4
