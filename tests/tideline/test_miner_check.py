"""A running miner is asked a stored round again, and gets the score that was stored, to the last digit."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.doors import client, honest_miner, hotkey, key
from support.processes import miner, tideline
from support.services import recorded_job

from db.records import RoundScore
from db.store import Store
from miner.strategies import build
from miner.strategies.hold import Hold
from miner.strategy import Decision, Keep, Positions, Refuse
from protocol.messages import RebalanceQuery
from protocol.units import JobId
from simulator import records
from simulator.engine import default_engine
from simulator.recorded import RecordedMarket
from simulator.round import Round
from tideline import miner_check
from tideline.cli import run
from tideline.guard import gate, guard
from tideline.miner_check import Checked, Script
from validator import verification
from validator.job_runner import JobRunner, RunnerContext
from validator.roster import FixedRoster

JOB = recorded_job("checked", like="usdc-weth", round_duration_seconds=900, checkpoint_interval_blocks=20)
ROUNDS = 3
LEARNING = "btr_plus"


class Stored:
    """What a validator stored of rounds between a strategy that learns and one that keeps."""

    def __init__(self, url: str, scripts: tuple[Script, ...], scores: tuple[RoundScore, ...]) -> None:
        self.url, self.scripts, self.scores = url, scripts, scores


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """The rounds, played over HTTP by the validator's own runner."""

    async def play() -> Stored:
        url = f"sqlite:///{tmp_path_factory.mktemp('validator')}/jobs.sqlite3"
        async with (
            await Store.open(url, create=True) as store,
            honest_miner("Bob", strategy=build(LEARNING, {})) as bob,
            honest_miner("Charlie", strategy=Hold()) as charlie,
            client() as miners,
        ):
            await store.add_job(JOB)
            roster = FixedRoster([charlie, bob])
            context = RunnerContext(store, miners, roster, guard, gate, key("Validator"), lambda _event: None, "test")
            market = RecordedMarket(records.load(JOB.record or ""))
            assert await JobRunner(JobId(JOB.job_id), market, context, max_rounds=ROUNDS).run()
            names = [f"{JOB.job_id}-evaluation-{n}" for n in range(1, ROUNDS + 1)]
            signed = [await verification.load(store, name) for name in names]
            scores = [s for name in names for s in await store.scores_of_round(name) if s.hotkey == hotkey("Bob")]
        return Stored(url, tuple(miner_check.of_evidence(s.evidence) for s in signed), tuple(scores))

    return asyncio.run(play())


async def check(strategy: object, *scripts: Script, name: str = "Bob", asker: str = "Alice") -> list[Checked]:
    """Replay rounds against a miner on a real port, in order."""
    async with (
        honest_miner(name, strategy=strategy, validators=("Alice",)) as endpoint,  # type: ignore[arg-type]  # of the test
        client(asker) as miners,
    ):
        found = await miner_check.find(endpoint.host, endpoint.port, None)
        return [await miner_check.play(s, miners, key(asker), found, default_engine()) for s in scripts]


async def test_scores_and_ledgers_are_the_stored_ones_digit_for_digit(stored: Stored) -> None:
    checked = await check(build(LEARNING, {}), *stored.scripts)
    mine = [c.played.played[0] for c in checked]
    assert [(p.outcome, p.score_e18, json.dumps(p.ledger, sort_keys=True)) for p in mine] == [
        (s.outcome, s.score_e18, s.ledger) for s in stored.scores
    ]
    assert any(p.score_e18 for p in mine) and all(c.is_sound for c in checked)


async def test_what_the_others_were_given_stands_beside_it(stored: Stored) -> None:
    [checked] = await check(Hold(), stored.scripts[0], name="Charlie")
    mine, *others = checked.played.played
    assert {p.label: p.score_e18 for p in others} == {hotkey("Charlie"): 0, hotkey("Bob"): stored.scores[0].score_e18}
    assert (mine.score_e18, mine.label.partition(":")[0]) == (0, "127.0.0.1")


async def test_a_miner_that_never_played_the_round_is_given_what_it_would_have_got(stored: Stored) -> None:
    """Who asks, and under which hotkey, must not change a score."""
    [mine] = await check(build("band", {}), stored.scripts[0], name="Dave")
    [also] = await check(build("band", {}), stored.scripts[0], name="Bob")
    assert mine.played.played[0].score_e18 == also.played.played[0].score_e18 != stored.scores[0].score_e18


class Scripted:
    """Answers with the next of a list of decisions."""

    name = "scripted"

    def __init__(self, *decisions: Decision | Exception) -> None:
        self._left = list(decisions)

    def decide(self, query: RebalanceQuery) -> Decision:
        decision = self._left.pop(0) if self._left else Keep()
        if isinstance(decision, Exception):
            raise decision
        return decision


@pytest.mark.parametrize(
    ("strategy", "verdicts", "outcome"),
    [
        (Scripted(Refuse("not my pair")), ["refused"], "refused"),
        (Scripted(Keep(), Refuse("enough")), ["kept", "refused"], "kept"),
        (Scripted(Positions(())), ["kept", "kept", "kept", "kept"], "kept"),
        (Scripted(ZeroDivisionError("oh")), ["kept", "kept", "kept", "kept"], "kept"),
    ],
)
async def test_the_verdicts_are_told(stored: Stored, strategy: Scripted, verdicts: list[str], outcome: str) -> None:
    [checked] = await check(strategy, stored.scripts[0])
    assert [a.verdict for a in checked.answers] == verdicts
    assert (checked.played.played[0].outcome, checked.is_sound) == (outcome, True)


async def test_a_strategy_that_raises_is_told_of(stored: Stored) -> None:
    [checked] = await check(Scripted(ZeroDivisionError("oh")), stored.scripts[0])
    assert checked.answers[0].said == "the strategy raised ZeroDivisionError: oh"
    assert checked.played.played[0].complaints == (checked.answers[0].said,)


async def test_who_is_not_permitted_is_told_so(stored: Stored) -> None:
    [checked] = await check(Hold(), stored.scripts[0], asker="Mallory")
    assert [(a.verdict, a.detail) for a in checked.answers] == [("timeout", "HTTP 403")]
    assert (checked.played.played[0].score_e18, checked.is_sound) == (None, False)


async def test_the_first_rounds_of_a_record_are_those_that_a_validator_opens(stored: Stored) -> None:
    mine = [script async for script in miner_check.of_record(JOB, ROUNDS)]
    for script, was in zip(mine, stored.scripts, strict=True):
        assert script.blocks == was.blocks
        same = replace(script.opening, entrants=was.opening.entrants, validator_hotkey=was.opening.validator_hotkey)
        assert same == was.opening


async def test_the_round_engine_of_the_check_is_the_validators(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round that is scored in another way shows here, so the check does not bring one of its own."""
    scored = Round.result
    monkeypatch.setattr(
        Round,
        "result",
        lambda self: replace(
            result := scored(self),
            participants=tuple(replace(p, score_e18=(p.score_e18 or 0) + 1) for p in result.participants),
        ),
    )
    [checked] = await check(Hold(), stored.scripts[0])
    assert checked.played.played[0].score_e18 == 1


def test_the_command_says_what_the_database_says(stored: Stored, tmp_path: Path) -> None:
    rounds = [f"{JOB.job_id}-evaluation-{n}" for n in range(1, ROUNDS + 1)]
    exported = str(tmp_path / "round.json")
    done = tideline(tmp_path, "evidence", "export", rounds[0], "--db", stored.url, "--out", exported)
    assert done.returncode == 0, done.stderr
    alice = hotkey("Alice")
    with miner(tmp_path, "//Bob", alice, "--strategy", LEARNING, "--memory", "fresh.json") as (_, address):
        command = ("miner", "check", "--dev-key", "//Alice", "--miner", address, "--db", stored.url)
        done = tideline(tmp_path, *command, exported, *rounds[1:], "--json")
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["round_id"] for r in told] == rounds
    assert [r["strategies"][0]["scores_e18"] for r in told] == [[str(s.score_e18)] for s in stored.scores]
    assert all(a["verdict"] in ("planned", "kept") for r in told for a in r["answers"])


def test_the_command_tells_in_words_and_by_its_exit_code(tmp_path: Path) -> None:
    alice = hotkey("Alice")
    with miner(tmp_path, "//Bob", alice, "--strategy", "band") as (_, address):
        command = ("miner", "check", "--miner", address)
        good = tideline(tmp_path, *command, "--dev-key", "//Alice", "--rounds", "2")
        bad = tideline(tmp_path, *command, "--dev-key", "//Mallory", "--job", "wbtc-weth")
    assert good.returncode == 0, good.stderr
    assert "usdc-weth-evaluation-2: blocks" in good.stdout and "all 2 rounds" in good.stdout
    assert "checkpoint 0 at block 18937381: planned in" in good.stdout
    assert bad.returncode == 1 and f"start it with --allow-validator {hotkey('Mallory')}" in bad.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--miner", "127.0.0.1:1"), "no miner answers at 127.0.0.1:1; start one with: tideline miner --help"),
        (("--miner", "localhost:80"), "--miner 'localhost:80': not an IP address; use IP:PORT"),
        (("--miner", "127.0.0.1:x"), "--miner '127.0.0.1:x': port out of range"),
        (("--hotkey", "5Grw"), "'5Grw' is not a hotkey"),
        (("--hotkey", hotkey("Bob"), "--job", "none"), "--job 'none' is none of usdc-weth, wbtc-weth"),
        (("--hotkey", hotkey("Bob"), "--db", "sqlite:///none.sqlite3", "round-1"), "none.sqlite3"),
    ],
)
def test_what_cannot_be_checked_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["miner", "check", "--dev-key", "//Alice", *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert says in line
