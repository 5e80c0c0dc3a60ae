"""A back-test's scores are the scores that a validator stores, digit for digit; and it survives any end."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.local_miners import roster
from support.processes import start, tideline
from support.signed_rounds import MINER_KEYS, VALIDATOR_KEY, exchange

from db.records import RoundScore
from db.store import Store
from miner.backtest import PlayedRound
from miner.decider import Decider
from miner.strategies import build
from miner.strategy import Decision, Strategy
from protocol.errors import ConfigError
from protocol.messages import RebalanceQuery, encode
from protocol.signing import keypair_from_uri
from protocol.units import Hotkey, JobId
from simulator import records
from simulator.engine import default_engine
from simulator.recorded import RecordedMarket
from tideline import backtest_play
from tideline.backtest_data import Source
from tideline.backtest_play import Contest, play
from tideline.backtest_progress import progress
from tideline.commands import backtest
from tideline.demo import DEMO_MINERS, demo_jobs
from tideline.guard import gate, guard
from validator.job_runner import JobRunner, RunnerContext
from validator.transport import Exchange, MinerEndpoint

ROUNDS = 6


class DecidingMiners:
    """The `Miners` port over real strategies, which answer through their deciders and sign."""

    def __init__(self, strategies: Mapping[Hotkey, str]) -> None:
        self._deciders = {
            hotkey: Decider(build(name, {}), version="test", max_decisions=1) for hotkey, name in strategies.items()
        }
        self._nonce = 1_700_000_000_000_000_000
        self.asked: dict[Hotkey, list[RebalanceQuery]] = {hotkey: [] for hotkey in strategies}

    async def ask_all(
        self, questions: Sequence[tuple[MinerEndpoint, RebalanceQuery]], *, deadline_s: float
    ) -> list[Exchange]:
        exchanges = []
        for endpoint, query in questions:
            self._nonce += 1
            self.asked[endpoint.hotkey].append(query)
            body = encode(await self._deciders[endpoint.hotkey].answer(query, budget_s=deadline_s))
            exchanges.append(exchange(endpoint, query, lambda _query, said=body: said, self._nonce))
        return exchanges


async def stored_rounds(path: Path, job_id: str, miners: DecidingMiners) -> list[list[RoundScore]]:
    """Return the scores that a validator stores of rounds between two strategies, in their order."""
    job = next(job for job in demo_jobs() if job.job_id == job_id)
    async with await Store.open(f"sqlite:///{path}", create=True) as store:
        await store.add_job(job)
        context = RunnerContext(store, miners, roster(), guard, gate, VALIDATOR_KEY, lambda _event: None, "test")
        market = RecordedMarket(records.load(job.record or ""))
        assert await JobRunner(JobId(job_id), market, context, max_rounds=ROUNDS).run()
        rounds = [await store.scores_of_round(f"{job_id}-evaluation-{n}") for n in range(1, ROUNDS + 1)]
    return [sorted(scores, key=lambda score: list(MINER_KEYS).index(score.hotkey)) for scores in rounds]


class Recording:
    """A strategy that keeps the questions to it."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self.asked: list[RebalanceQuery] = []

    @property
    def name(self) -> str:
        return self._strategy.name

    def decide(self, query: RebalanceQuery) -> Decision:
        self.asked.append(query)
        return self._strategy.decide(query)


def contest(job_id: str, *strategies: str, rounds: int = ROUNDS) -> Contest:
    job = next(job for job in demo_jobs() if job.job_id == job_id)
    entries = backtest.entries_of(strategies[0], (), ",".join(strategies[1:]))
    return backtest.make_contest(entries, job, Source.of(job, "recorded"), rounds)


def as_stored(played: PlayedRound) -> list[tuple[str, int, str]]:
    return [(p.outcome, p.score_e18 or 0, json.dumps(p.ledger, sort_keys=True)) for p in played.played]


def anonymous(query: RebalanceQuery) -> RebalanceQuery:
    """Return a question without its id, the one thing that depends on the hotkey."""
    return query.model_copy(update={"request_id": ""})


@pytest.mark.parametrize("job_id", ["usdc-weth", "wbtc-weth"])
@pytest.mark.parametrize("strategies", [("btr_plus", "band"), ("charm", "ensemble")])
async def test_scores_and_ledgers_are_the_stored_ones_digit_for_digit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job_id: str, strategies: tuple[str, str]
) -> None:
    miners = DecidingMiners(dict(zip(MINER_KEYS, strategies, strict=True)))
    stored = await stored_rounds(tmp_path / "jobs.sqlite3", job_id, miners)
    recording: dict[str, Recording] = {}

    def build_recording(name: str, settings: Mapping[str, str]) -> Recording:
        return recording.setdefault(name, Recording(build(name, settings)))

    monkeypatch.setattr(backtest_play, "build", build_recording)
    shown: list[PlayedRound] = []
    played = await play(contest(job_id, *strategies), None, shown.append, engine=default_engine())
    assert [as_stored(r) for r in played] == [[(s.outcome, s.score_e18, s.ledger) for s in scores] for scores in stored]
    assert list(played) == shown
    for hotkey, name in zip(MINER_KEYS, strategies, strict=True):
        assert [anonymous(q) for q in recording[name].asked] == [anonymous(q) for q in miners.asked[hotkey]]
    everybody = [p for r in played for p in r.played]
    assert any(p.score_e18 for p in everybody) and not any(p.complaints for p in everybody)


def test_a_back_test_of_rounds_that_up_played_over_http_says_what_the_database_says(tmp_path: Path) -> None:
    up = tideline(tmp_path, "up", "--market", "recorded", "--rounds", "3", "--speed", "max", "--quiet")
    assert up.returncode == 0, up.stderr
    narrow = next(miner for miner in DEMO_MINERS if miner.name == "narrow-band")
    settings = [text for key, value in narrow.settings for text in ("--set", f"{key}={value}")]
    for job in demo_jobs():
        command = ("backtest", "--strategy", narrow.strategy, *settings, "--job", job.job_id, "--rounds", "3", "--json")
        done = tideline(tmp_path, *command, "--against", "hold,wide,band")
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        by_name = {s["strategy"]: s["scores_e18"] for s in result["strategies"]}
        by_name["narrow-band"] = by_name.pop("band half_width=8 edge=2")
        assert by_name == scores_in(tmp_path, job.job_id)
        assert done.stderr.count("\n") == 3 and "round 3/3 to block" in done.stderr, "plain lines without a terminal"


def scores_in(folder: Path, job_id: str) -> dict[str, list[str]]:
    """Return what a validator stored, by the names of the demo's miners."""

    async def read() -> dict[str, list[str]]:
        names = {keypair_from_uri(miner.key_uri).ss58_address: miner.name for miner in DEMO_MINERS}
        found: dict[str, list[str]] = {name: [] for name in names.values()}
        async with await Store.open(f"sqlite:///{folder}/.tideline/jobs.sqlite3", create=False) as store:
            for number in (1, 2, 3):
                for score in await store.scores_of_round(f"{job_id}-evaluation-{number}"):
                    assert score.scored
                    found[names[score.hotkey]].append(str(score.score_e18))
        return found

    return asyncio.run(read())


async def test_a_run_that_goes_on_from_a_file_ends_as_one_that_never_stopped(tmp_path: Path) -> None:
    """The strategies learn, so that what they remember must have been kept with the rounds."""
    file = tmp_path / "state" / "rounds.jsonl"
    entries, engine = ("btr_plus", "ensemble"), default_engine()
    whole = await play(contest("usdc-weth", *entries, rounds=9), None, lambda _round: None, engine=engine)
    shown: list[int] = []
    for rounds in (4, 9, 9, 2):
        part = await play(
            contest("usdc-weth", *entries, rounds=rounds), file, lambda r: shown.append(r.number), engine=engine
        )
        assert part == whole[:rounds]
    assert shown == list(range(1, 10)), "none was played twice"


def test_a_killed_run_is_gone_on_with(tmp_path: Path) -> None:
    command = (
        "backtest",
        "--strategy",
        "charm",
        "--against",
        "btr_plus",
        "--days",
        "2",
        "--json",
        "--resume",
        "rounds.jsonl",
    )
    whole = json.loads(run(*command[1:-2]).stdout)
    with start(tmp_path, *command[:-3], "--engine", "python", *command[-2:]) as process:
        while not (tmp_path / "rounds.jsonl").exists():
            process.until("round ")
        process.signal(signal.SIGKILL)
        process.end()
    kept = (tmp_path / "rounds.jsonl").read_bytes().count(b'{"round":')
    again = tideline(tmp_path, *command)
    result = json.loads(again.stdout)
    assert 0 < kept < whole["rounds"] and again.stderr.count("\n") == whole["rounds"] - kept
    assert {**result, "seconds": 0} == {**whole, "seconds": 0}
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".jsonl"] == ["rounds.jsonl"]


def run(*arguments: str) -> Any:
    return CliRunner().invoke(backtest.backtest, list(arguments))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--strategy", "nobody"), "no strategy is named 'nobody'"),
        (("--against", "hold,nobody"), "no strategy is named 'nobody'"),
        (("--strategy", "band", "--set", "half_width"), "is not KEY=VALUE"),
        (("--rounds", "95"), "holds 94 rounds of job usdc-weth"),
        (("--job", "no-such-job"), "neither a file nor one of usdc-weth, wbtc-weth"),
        (("--data", "no-such-file.jsonl"), "no-such-file.jsonl"),
        (("--draws", "2", "--png", "folder"), "--png draws the charts of one back-test"),
    ],
)
def test_what_cannot_be_played_is_said_before_anything_is_played(arguments: tuple[str, ...], says: str) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, ConfigError) and says in str(result.exception)
    assert (result.stdout, result.stderr) == ("", "")


def test_pictures_that_cannot_be_drawn_are_refused_before_anything_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run("--rounds", "1", "--png", "folder")
    assert "install tideline[pictures]" in str(result.exception) and (result.stdout, result.stderr) == ("", "")


def test_a_page_that_cannot_be_written_does_not_cost_the_result(tmp_path: Path) -> None:
    for many in ((), ("--draws", "2", "--data", "quiet", "--workers", "1")):
        result = run(
            "--strategy", "hold", "--against", "", "--rounds", "1", "--json", "--out", f"{tmp_path}/none/page", *many
        )
        assert "choose another --out" in str(result.exception)
        assert json.loads(result.stdout)["job"] == "usdc-weth"


def test_a_file_of_another_back_test_is_not_gone_on_from(tmp_path: Path) -> None:
    file = str(tmp_path / "rounds.jsonl")
    assert run("--strategy", "hold", "--against", "", "--rounds", "1", "--resume", file).exit_code == 0
    other = run("--strategy", "wide", "--against", "", "--rounds", "1", "--resume", file)
    assert "another back-test (other strategies)" in str(other.exception)
    for broken in (b"", b"[]", b'{"version": 2}\n', b'{"version": 2, "key": {}}\n{"memories": 3}\n', b"\xff"):
        Path(file).write_bytes(broken)
        result = run("--strategy", "hold", "--against", "", "--rounds", "1", "--resume", file)
        assert isinstance(result.exception, ConfigError) and file in str(result.exception)


def test_a_job_from_a_file_on_data_from_a_file(tmp_path: Path) -> None:
    job = next(job for job in demo_jobs() if job.job_id == "wbtc-weth").to_mapping()
    settings = {k: v for k, v in job.items() if k not in ("revision", "created_at", "updated_at", "record", "feed")}
    (tmp_path / "job.json").write_text(json.dumps({**settings, "job_id": "mine"}))
    with records.locate("wbtc-weth-03") as data:
        result = run("--job", str(tmp_path / "job.json"), "--data", str(data), "--rounds", "2", "--json")
    same = run("--job", "wbtc-weth", "--rounds", "2", "--json")
    assert [s["scores_e18"] for s in json.loads(result.stdout)["strategies"]] == [
        s["scores_e18"] for s in json.loads(same.stdout)["strategies"]
    ]


def test_a_strategy_that_raises_is_scored_as_one_that_keeps_and_is_told_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_strategy.py").write_text(
        "class Broken:\n    name = 'broken'\n    def decide(self, query):\n        raise ZeroDivisionError('oh')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    result = run("--strategy", "broken_strategy:Broken", "--against", "hold", "--rounds", "1")
    assert result.exit_code == 0
    assert "answers replaced; first: the strategy raised ZeroDivisionError: oh" in result.stdout


def test_the_commands_of_the_page_can_be_given() -> None:
    page = (Path(__file__).parents[2] / "docs" / "backtest.md").read_text()
    commands = [line.partition("tideline backtest ")[2] for line in page.splitlines() if line.startswith("$ ")]
    assert len(commands) == 6
    for command in commands:
        backtest.backtest.make_context("backtest", shlex.split(command))


async def test_a_terminal_is_shown_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    monkeypatch.setenv("TERM", "xterm")
    with progress(2, is_terminal=True) as tell:
        hold = contest("wbtc-weth", "hold", rounds=2)
        await play(hold, None, lambda played: tell(played.number, "for lines"), engine=default_engine())
    shown = capsys.readouterr()
    assert shown.out == "" and "2/2" in shown.err and "for lines" not in shown.err
