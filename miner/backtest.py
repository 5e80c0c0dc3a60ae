"""Strategies through the validator's own rounds: the same engine, questions, plans and ledgers, so the same scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from miner.decider import Decider, complaint_in
from miner.remembering import Remembering
from miner.strategy import Strategy
from protocol.messages import encode
from protocol.units import Hotkey
from simulator.answers import Answer, read_answer
from simulator.engine import Engine
from simulator.market import Market
from simulator.opening import Entrant, RoundOpening
from simulator.query import build_query
from simulator.round import Ask, Round
from simulator.snapshot import PoolSnapshot

OpenRound = Callable[[PoolSnapshot, int, tuple[Entrant, ...]], RoundOpening]


@dataclass(frozen=True, slots=True)
class Played:
    """What a strategy's round came to, as the validator stores it: no score and no ledger where it was not part of
    the round. `complaints` are what its decider said of answers that it had to replace.
    """

    label: str
    outcome: str
    score_e18: int | None
    ledger: Mapping[str, Any] | None
    is_over_share: bool
    complaints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlayedRound:
    """A finished round of a back-test."""

    number: int
    start_block: int
    end_block: int
    start_timestamp: int
    end_timestamp: int
    start_sqrt_price_x96: int
    end_sqrt_price_x96: int
    swaps: int
    benchmark: Mapping[str, Any]
    played: tuple[Played, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads; scores as decimal strings."""
        value = asdict(self)
        for name in ("start_sqrt_price_x96", "end_sqrt_price_x96"):
            value[name] = str(value[name])
        for played in value["played"]:
            played["score_e18"] = None if played["score_e18"] is None else str(played["score_e18"])
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PlayedRound:
        """Read what `to_json` wrote. Raises ValueError on anything else."""
        try:
            played = tuple(
                Played(
                    **{
                        **p,
                        "score_e18": None if p["score_e18"] is None else int(p["score_e18"]),
                        "complaints": tuple(p["complaints"]),
                    }
                )
                for p in value["played"]
            )
            prices = {name: int(value[name]) for name in ("start_sqrt_price_x96", "end_sqrt_price_x96")}
            return cls(**{**value, **prices, "played": played})
        except (KeyError, TypeError) as error:
            raise ValueError(f"malformed round: {error!r}") from error


class Backtest:
    """Plays a market's rounds one after the other; each strategy remembers from round to round as a miner would.

    A label stands for the hotkey, which nothing but the id of a request depends on.
    """

    def __init__(
        self, strategies: Mapping[str, Strategy], open_round: OpenRound, *, version: str, engine: Engine
    ) -> None:
        self._strategies = dict(strategies)
        self._deciders = {
            label: Decider(strategy, version=version, max_decisions=1) for label, strategy in strategies.items()
        }
        self._open_round = open_round
        self._engine: Engine = engine

    async def play(self, market: Market, number: int, length_blocks: int) -> PlayedRound:
        """Play the next round at the market's head. Raises what the market and the engine raise."""
        snapshot = await market.open_round(length_blocks)
        entrants = tuple(Entrant(Hotkey(label), uid, 0) for uid, label in enumerate(self._strategies))
        opening = self._open_round(snapshot, number, entrants)
        engine = Round(opening, engine=self._engine)
        complaints: dict[str, list[str]] = {label: [] for label in self._strategies}
        while not engine.is_finished:
            ask = engine.pending_ask()
            if ask is None:
                engine.advance(await market.next_block())
            else:
                engine.answer(self._answers(opening, ask, complaints))
        return played_round(opening, engine, complaints)

    def _answers(self, opening: RoundOpening, ask: Ask, complaints: Mapping[str, list[str]]) -> dict[Hotkey, Answer]:
        answers: dict[Hotkey, Answer] = {}
        for hotkey in ask.shown:
            query = build_query(opening, ask, hotkey)
            # Both ways through the bytes of the wire: what they cannot carry, a strategy must not get away with here.
            response = self._deciders[hotkey].answer_here(query, budget_s=query.context.deadline_s)
            answers[hotkey] = read_answer(query, encode(response))
            why = complaint_in(response)
            if why:
                complaints[hotkey].append(why)
        return answers

    def memories(self) -> dict[str, Any]:
        """Return what the strategies that learn have learnt, JSON-ready, by label."""
        return {label: s.remembered() for label, s in self._strategies.items() if isinstance(s, Remembering)}

    def recall(self, memories: Mapping[str, Any]) -> None:
        """Let the strategies go on from what `memories` returned. Raises ValueError where that is not understood."""
        for label, strategy in self._strategies.items():
            if isinstance(strategy, Remembering):
                if not isinstance(memories.get(label), dict):
                    raise ValueError(f"nothing is remembered of {label}")
                strategy.recall(memories[label])


def played_round(opening: RoundOpening, engine: Round, complaints: Mapping[str, Sequence[str]]) -> PlayedRound:
    """Return what a finished round came to; its participants' labels are their hotkeys."""
    result = engine.result()
    return PlayedRound(
        number=opening.round_number,
        start_block=opening.snapshot.block_number,
        end_block=result.end_block,
        start_timestamp=opening.snapshot.timestamp,
        end_timestamp=result.end_timestamp,
        start_sqrt_price_x96=opening.snapshot.sqrt_price_x96,
        end_sqrt_price_x96=engine.pool.sqrt_price_x96,
        swaps=result.swaps,
        benchmark=result.benchmark.to_json(),
        played=tuple(
            Played(
                label=p.hotkey,
                outcome=str(p.outcome),
                score_e18=p.score_e18,
                ledger=None if p.ledger is None else p.ledger.to_json(),
                is_over_share=p.is_over_share,
                complaints=tuple(complaints[p.hotkey]),
            )
            for p in result.participants
        ),
    )
