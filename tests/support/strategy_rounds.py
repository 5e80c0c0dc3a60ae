"""Strategies as entrants of real rounds on a recorded market: asked, answered and judged as over the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from support.worlds import VALIDATOR

from db.job import Job
from miner.decider import Decider
from miner.strategy import Strategy
from protocol.messages import RebalanceQuery, encode
from protocol.units import Hotkey
from simulator import records
from simulator.answers import read_answer
from simulator.market import MarketInfo
from simulator.opening import Entrant, RoundOpening
from simulator.query import build_query
from simulator.recorded import RecordedMarket
from simulator.round import AnswerNote, Ask, Round, RoundResult
from simulator.snapshot import PoolSnapshot
from validator import job_settings

BUDGET_S = 20.0


@dataclass(frozen=True, slots=True)
class Played:
    """A finished round with every question, what was noted of each answer, and what the miners said of themselves."""

    result: RoundResult
    queries: tuple[RebalanceQuery, ...]
    notes: tuple[tuple[str, AnswerNote], ...]
    said: tuple[str, ...]


def open_round(
    job: Job, market: MarketInfo, snapshot: PoolSnapshot, names: tuple[str, ...], number: int
) -> RoundOpening:
    """Return the opening of an evaluation round as the validator makes it."""
    return job_settings.round_opening(
        job,
        market,
        snapshot,
        job_settings.vault(job, snapshot, None),
        tuple(Entrant(Hotkey(name), uid, 1) for uid, name in enumerate(names)),
        round_type="evaluation",
        number=number,
        validator_hotkey=VALIDATOR,
    )


async def play_rounds(job: Job, strategies: Mapping[str, Strategy], rounds: int) -> list[Played]:
    """Play a job's rounds in a row; a strategy's name is its hotkey, and it remembers from round to round."""
    assert job.record is not None
    market = RecordedMarket(records.load(job.record), speed=None)
    deciders = {name: Decider(strategy, version="test", max_decisions=4) for name, strategy in strategies.items()}
    length = job_settings.schedule(job, market.info).length_blocks
    played = []
    for number in range(1, rounds + 1):
        snapshot = await market.open_round(length)
        opening = open_round(job, market.info, snapshot, tuple(strategies), number)
        played.append(await _play(Round(opening), opening, market, deciders))
    return played


async def _play(
    engine: Round, opening: RoundOpening, market: RecordedMarket, deciders: Mapping[str, Decider]
) -> Played:
    queries: list[RebalanceQuery] = []
    notes: list[tuple[str, AnswerNote]] = []
    said: list[str] = []
    while not engine.is_finished:
        ask: Ask | None = engine.pending_ask()
        if ask is None:
            engine.advance(await market.next_block())
            continue
        answers = {}
        for hotkey in ask.shown:
            query = build_query(opening, ask, hotkey)
            response = await deciders[hotkey].answer(query, budget_s=BUDGET_S)
            answers[hotkey] = read_answer(query, encode(response))
            queries.append(query)
            said.append(response.miner_metadata.model_info if response.miner_metadata else "")
        notes += engine.answer(answers).items()
    return Played(engine.result(), tuple(queries), tuple(notes), tuple(said))
