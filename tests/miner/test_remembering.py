import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
from support.queries import Shape, make_query, shown

from miner.memory import Memory
from miner.remembering import MAX_JOBS, Remembering, decide, load, place
from miner.span import Span
from miner.strategies import build
from miner.strategies.charm import Charm
from miner.strategies.static import Static
from miner.strategy import Keep, Positions
from miner.view import View
from protocol.messages import RebalanceQuery
from simulator.portfolio import Range

TICK = -196_203


def test_a_span_becomes_a_base_and_a_limit_position_half_as_wide() -> None:
    query = make_query(Shape(tick=TICK, idle0=2 * 10**19))
    decision = place(query, Span(TICK - 200.0, TICK + 200.0))
    assert isinstance(decision, Positions)
    base, limit = decision.desired
    assert (base.range, base.amount1) == (Range(-196_410, -196_000), 30_000 * 10**6)
    assert (limit.range, limit.amount1) == (Range(-196_200, -196_000), 0)
    assert 0 <= 2 * 10**19 - base.amount0 - limit.amount0 < 10**4


def test_base_and_limit_of_the_reference() -> None:
    """P 2000, w .05: (x 3, y 2000) and (x .5, y 5000), to the part in 1e4 that aligned ticks leave of the width."""
    for idle0, idle1, base_liquidity, limit_side in ((3.0, 2000.0, 1811.308230303, 0), (0.5, 5000.0, 905.654115152, 1)):
        unit = 10**18
        query = make_query(Shape(tick=76_012, spacing=1, idle0=int(idle0 * unit), idle1=int(idle1 * unit)))
        decision = place(query, Span(76_012.0 - 500, 76_012.0 + 500))
        assert isinstance(decision, Positions)
        base, limit = decision.desired
        root = query.context.sqrt_price_x96 / 2**96
        used = base.amount0 / unit * root / (1 - 1.0001**-250), base.amount1 / unit / (root * (1 - 1.0001**-250))
        assert used[0] == pytest.approx(base_liquidity, rel=1e-3) and used[1] == pytest.approx(base_liquidity, rel=1e-3)
        left = (2.0, 4000.0)[limit_side]
        assert (limit.amount0, limit.amount1)[limit_side] / unit == pytest.approx(left, rel=1e-3)
        assert (limit.amount0, limit.amount1)[1 - limit_side] == 0


def test_what_is_held_already_is_kept() -> None:
    query = make_query(Shape(tick=TICK))
    first = place(query, Span(TICK - 200.0, TICK + 200.0))
    assert isinstance(first, Positions)
    held = tuple(shown(d.range.tick_lower, d.range.tick_upper, d.amount0, d.amount1) for d in first.desired)
    assert place(make_query(Shape(tick=TICK, positions=held)), Span(TICK - 200.0, TICK + 200.0)) == Keep()


def test_a_price_that_no_pool_has_is_kept() -> None:
    query = make_query()
    odd = query.model_copy(update={"context": query.context.model_copy(update={"sqrt_price_x96": 0})})
    assert decide(Static(), odd, Memory()) == (Keep(), Memory())


def asked(seconds: int, job: str = "weth-usdc", tick: int = TICK) -> RebalanceQuery:
    query = make_query(Shape(tick=tick, timestamp=1_700_000_000 + seconds))
    return query.model_copy(update={"job_id": job})


def test_each_job_has_a_memory_of_its_own_and_the_oldest_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    strategy = Remembering(Charm(), path)
    for number in range(MAX_JOBS + 2):
        strategy.decide(asked(0, f"job-{number}"))
    strategy.decide(asked(300, "job-2"))
    kept = load(path)
    assert len(kept) == MAX_JOBS
    assert [key.split("/")[2] for key in kept][:2] == ["job-3", "job-4"]
    assert [key.split("/")[2] for key in kept][-1] == "job-2"
    assert next(reversed(kept.values())).seen_s == 1_700_000_300


def test_a_new_job_starts_with_what_another_knows_of_the_pool() -> None:
    strategy, seen = Remembering(Watcher()), Watcher.seen
    seen.clear()
    for step in range(8):
        strategy.decide(asked(900 * step, tick=TICK + 30 * step))
    strategy.decide(asked(7200, "another/job", tick=TICK))
    elsewhere = asked(7200).model_copy(update={"pair_address": "0x" + "5a" * 20})
    strategy.decide(elsewhere)
    assert [len(view.bars) for view in seen[-3:]] == [8, 9, 1]
    assert seen[-2].held is None and seen[-2].held_s is None


class Watcher:
    """A rule that keeps what it is shown, and does nothing."""

    name = "watcher"
    seen: ClassVar[list[View]] = []

    def wish(self, view: View) -> None:
        self.seen.append(view)


def test_a_restart_goes_on_where_the_last_process_ended(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "memory.json"
    whole, parted = build("ensemble", {}), build("ensemble", {}, memory=path)
    for step in range(6):
        query = asked(900 * step, tick=TICK + 7 * step)
        assert parted.decide(query) == whole.decide(query)
        parted = build("ensemble", {}, memory=path)
    assert os.listdir(path.parent) == ["memory.json"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 2, "jobs": {}}',
        '{"version": 1}',
        '{"version": 1, "jobs": {"a": {}}}',
        "[" * 10**5,
    ],
)
def test_a_spoilt_file_is_a_cold_start_and_said(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "memory.json"
    path.write_text(text)
    with caplog.at_level(logging.WARNING):
        strategy = Remembering(Charm(), path)
    assert "starting without memory" in caplog.text
    assert isinstance(strategy.decide(asked(0)), Positions)
    assert len(load(path)) == 1


def test_a_disk_that_refuses_costs_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    strategy = Remembering(Charm(), tmp_path / "file" / "memory.json")
    with caplog.at_level(logging.WARNING):
        assert isinstance(strategy.decide(asked(0)), Positions)
    assert "memory is not saved" in caplog.text


WRITER = """
import sys
from pathlib import Path
from typing import ClassVar
from support.queries import Shape, make_query
from miner.strategies import build

strategy = build("btr_plus", {}, memory=Path(sys.argv[1]))
for step in range(10**6):
    strategy.decide(make_query(Shape(tick=step % 7, timestamp=1_700_000_000 + 900 * step)))
    sys.stdout.write(f"{step}\\n")
    sys.stdout.flush()
"""


def test_a_process_killed_while_writing_leaves_a_whole_memory(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    written = -1
    for after in (1, 40, 90):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdout is not None
        for _ in range(after):
            written = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        (memory,) = load(path).values()
        assert (memory.seen_s - 1_700_000_000) // 900 >= written
        assert json.loads(path.read_text())["version"] == 1
