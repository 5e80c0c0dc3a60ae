"""The optimizer works beside the queries: alive, dead, hung or lying, it costs no answer."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import math
import os
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from support.doors import client, honest_miner
from support.queries import Shape, make_query

from miner.feeds import FixedCandles
from miner.memory import Memory
from miner.remembering import Remembering
from miner.span import LOG_TICK
from miner.strategies.btr_plus import BtrPlus
from miner.strategies.charm import Charm
from miner.strategies.plus.optimizer import AXES, SearchParams, optimize
from miner.strategies.plus.walk_forward import FoldParams, bootstrap, make_path
from miner.strategies.three_force.candles import M15_MS, Candle
from miner.tune_worker import gapless, search
from miner.tuner import Tuner, TuningParams
from miner.view import Rule
from protocol.messages import RebalanceQuery, parse_response

SHORT = FoldParams(count=1, train_days=1, gap_days=0, test_days=1, embargo_days=0)
PARAMS = TuningParams(every_s=3600, deadline_s=60, budget=6, folds=SHORT)
BETTER = {"kappa_w": 3.0, "tilt": 0.0, "horizon_days": 2.0, "shift": 0.4, "hysteresis": 1.2}
HANG = "exec tail -f /dev/null"
TICK = -196_200


def saying(result: object) -> tuple[str, ...]:
    """Return a worker that says this."""
    return (sys.executable, "-c", f"import sys; sys.stdin.read(); sys.stdout.write({json.dumps(result)!r})")


FOUND = saying({"rule": BETTER, "is_replaced": True})


def question(seconds: int = 0) -> RebalanceQuery:
    return make_query(Shape(tick=TICK, timestamp=1_700_000_000 + seconds))


def history(bars: int = 200) -> list[Candle]:
    begin = 1_700_000_000 * 1000 // M15_MS * M15_MS - bars * M15_MS
    prices = [math.exp(TICK * LOG_TICK + 0.01 * math.sin(n / 9)) for n in range(bars + 1)]
    return [
        (begin + n * M15_MS, a, max(a, b) * 1.001, min(a, b) * 0.999, b, 0.0)
        for n, (a, b) in enumerate(itertools.pairwise(prices))
    ]


class Told:
    """Two days of bars at once, so that there is something to search in."""

    def bars(self, query: RebalanceQuery) -> tuple[Candle, ...]:
        return tuple(FixedCandles(history()).told)


@contextlib.asynccontextmanager
async def running(tuner: Tuner) -> AsyncIterator[None]:
    task = asyncio.create_task(tuner.run())
    await asyncio.sleep(0)  # it begins to listen
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[str]:
    """What the tuner says, as it says it."""
    queue: asyncio.Queue[str] = asyncio.Queue()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            queue.put_nowait(record.getMessage())

    log = logging.getLogger("miner.tuner")
    monkeypatch.setattr(log, "handlers", [Handler()])
    monkeypatch.setattr(log, "level", logging.INFO)
    return queue


async def next_of(said: asyncio.Queue[str]) -> str:
    return await asyncio.wait_for(said.get(), 60)


def settings_of(tuner: Tuner, query: RebalanceQuery | None = None) -> dict[str, float]:
    rule = tuner.rule_for(query or question(), BtrPlus())
    return {name: value for name, value in asdict(rule).items() if name in AXES}  # type: ignore[call-overload]  # a rule


DEFAULT = {name: value for name, value in asdict(BtrPlus()).items() if name in AXES}


async def test_what_is_found_is_in_force_at_the_next_question_and_after_a_restart(
    tmp_path: Path, said: asyncio.Queue[str]
) -> None:
    path = tmp_path / "tuned.json"
    tuner = Tuner(path, PARAMS, worker=FOUND)
    strategy = Remembering(BtrPlus(), told=Told(), tuning=tuner)
    async with running(tuner):
        strategy.decide(question())
        assert settings_of(tuner) == DEFAULT, "not within the question"
        assert "from now on" in await next_of(said)
        assert settings_of(tuner) == BETTER
        assert settings_of(tuner, question().model_copy(update={"pair_address": "0x" + "11" * 20})) == DEFAULT
        assert tuner.rule_for(question(), Charm()) == Charm()
    strategy.decide(question(300))
    tuned, plain = Remembering(BtrPlus(**BETTER), told=Told()), Remembering(BtrPlus(), told=Told())
    anew = Remembering(BtrPlus(), told=Told(), tuning=Tuner(path, PARAMS))
    assert anew.decide(question()) == tuned.decide(question()) != plain.decide(question())


class Waiting:
    """An optimizer in the query path: what this must not be."""

    def __init__(self) -> None:
        self.end = threading.Event()

    def rule_for(self, query: RebalanceQuery, rule: Rule) -> Rule:
        self.end.wait(60)
        return rule

    def offer(self, query: RebalanceQuery, rule: Rule, memory: Memory) -> None:
        return None


async def answer(strategy: Remembering, query: RebalanceQuery) -> str:
    """Return what a miner on a real port says of its answer, asked by a validator."""
    async with honest_miner(strategy=strategy) as endpoint, client() as miners:
        exchange = await miners.ask(endpoint, query, deadline_s=20)
    said = parse_response(exchange.response_body or b"").miner_metadata
    assert said is not None
    return said.model_info


async def test_a_question_during_a_search_is_answered_and_the_loss_if_it_waited(said: asyncio.Queue[str]) -> None:
    short = make_query(Shape(tick=TICK, timestamp=1_700_000_000, deadline_s=0.4))
    waiting = Waiting()
    late = await answer(Remembering(BtrPlus(), told=Told(), tuning=waiting), short)  # type: ignore[arg-type]  # a Rule
    waiting.end.set()
    assert late.startswith("btr_plus: kept, the strategy took longer than 0.")
    tuner = Tuner(None, PARAMS, worker=("sh", "-c", HANG))
    strategy = Remembering(BtrPlus(), told=Told(), tuning=tuner)
    plain = Remembering(BtrPlus(), told=Told())
    async with running(tuner):
        for seconds in (0, 300, 600):
            query = question(seconds)
            assert await answer(strategy, query) == "btr_plus"
            assert strategy.remembered() == (plain.decide(query), plain.remembered())[1]


async def test_a_search_that_hangs_is_killed_and_the_next_one_is_made(said: asyncio.Queue[str], tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    hang = f"echo $$ >> {pids}; {HANG}"
    tuner = Tuner(None, replace(PARAMS, every_s=0, deadline_s=0.5), worker=("sh", "-c", hang))
    strategy = Remembering(BtrPlus(), told=Told(), tuning=tuner)
    async with running(tuner):
        for seconds in (0, 300):
            strategy.decide(question(seconds))
            assert "took longer than 0.5 s and was ended" in await next_of(said)
    gone = [int(line) for line in pids.read_text().split()]
    assert len(gone) == 2 and not any(is_alive(pid) for pid in gone)
    assert settings_of(tuner) == DEFAULT


async def test_a_search_ends_with_the_miner(said: asyncio.Queue[str], tmp_path: Path) -> None:
    fifo = tmp_path / "here"
    os.mkfifo(fifo)
    hang = f"echo $$ > {fifo}; {HANG}"
    tuner = Tuner(None, PARAMS, worker=("sh", "-c", hang))
    async with running(tuner):
        Remembering(BtrPlus(), told=Told(), tuning=tuner).decide(question())
        pid = int(await asyncio.to_thread(fifo.read_text))
        assert is_alive(pid)
    assert not is_alive(pid)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("worker", "says"),
    [
        ((sys.executable, "-c", "raise SystemExit(3)"), "its process ended with 3"),
        ((sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), "ended with -9"),
        (("no-such-program",), "No such file"),
        ((sys.executable, "-c", ""), "Expecting value"),
        (saying([]), "list indices"),
        (saying({"rule": BETTER}), "is_replaced"),
        (saying({"rule": {**BETTER, "tilt": 0.9}, "is_replaced": True}), "tilt = 0.9 is out of bounds"),
        (saying({"rule": {**BETTER, "tilt": math.nan}, "is_replaced": True}), "tilt = nan is out of bounds"),
        (saying({"rule": {**BETTER, "move_cost": 0}, "is_replaced": True}), "other settings"),
        (saying({"rule": {**BETTER, "shift": "much"}, "is_replaced": True}), "could not convert"),
        (saying({"rule": BETTER, "is_replaced": False}), "nothing is surely better"),
    ],
)
async def test_a_search_that_dies_or_lies_changes_nothing(
    said: asyncio.Queue[str], worker: tuple[str, ...], says: str
) -> None:
    tuner = Tuner(None, PARAMS, worker=worker)
    strategy, plain = Remembering(BtrPlus(), told=Told(), tuning=tuner), Remembering(BtrPlus(), told=Told())
    async with running(tuner):
        assert strategy.decide(question()) == plain.decide(question())
        assert says in await next_of(said)
        assert strategy.decide(question(300)) == plain.decide(question(300))
    assert settings_of(tuner) == DEFAULT


async def test_a_pool_is_searched_for_no_more_often_than_said(said: asyncio.Queue[str]) -> None:
    clock = [0.0]
    tuner = Tuner(None, PARAMS, worker=saying({"rule": BETTER, "is_replaced": False}), clock_s=lambda: clock[0])
    strategy = Remembering(BtrPlus(), told=Told(), tuning=tuner)
    async with running(tuner):
        for now in (0, 1000, 3500, 3601):
            clock[0] = float(now)
            strategy.decide(question(now))
            if now in (0, 3601):
                assert "nothing is surely better" in await next_of(said)
            assert not tuner._tasks
    assert said.empty()


def test_too_few_bars_are_not_searched_in() -> None:
    tuner = Tuner(None, PARAMS)
    Remembering(BtrPlus(), tuning=tuner).decide(question())
    assert not tuner._tasks


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"version": 2}', '{"version": 1, "pools": {"a": {"tilt": 0.1}}}', '{"version": 1}']
)
def test_a_spoilt_file_is_a_start_with_the_settings_given(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tuned.json"
    path.write_text(text)
    with caplog.at_level(logging.WARNING):
        assert settings_of(Tuner(path, PARAMS)) == DEFAULT
    assert "starting with the settings given" in caplog.text


async def test_the_real_process_finds_what_the_optimizer_finds(said: asyncio.Queue[str]) -> None:
    tuner = Tuner(None, PARAMS, version="test")
    strategy = Remembering(BtrPlus(), told=Told(), tuning=tuner)
    strategy.decide(question())
    [task] = tuner._tasks.values()
    found = search(json.loads(json.dumps(task)))
    bars = gapless([tuple(bar) for bar in task["bars"]])
    path = make_path(
        bars if len(bars) >= SHORT.days * 96 else bootstrap(bars, SHORT.days, task["seed"]),
        **{name: task[name] for name in ("fee_rate", "cost", "tick_spacing", "is_stable")},
    )
    assert found == optimize(path, BtrPlus(), seed=task["seed"], params=SearchParams(budget=6, folds=SHORT))
    async with running(tuner):
        strategy.decide(question(1))
        text = await next_of(said)
    assert ("from now on" in text) == found.is_replaced
    expected = {name: value for name, value in asdict(found.rule).items() if name in AXES}
    assert settings_of(tuner) == (pytest.approx(expected) if found.is_replaced else DEFAULT)


def test_bars_without_gaps() -> None:
    bars = history(3)
    assert gapless([bars[0], bars[2]]) == [bars[0], (bars[1][0], *[bars[0][4]] * 4, 0.0), bars[2]]
    assert gapless([]) == []
