"""What this version of the scoring makes of fixed rounds, to the wei: scores, ledgers, reputations, weights.

Validators of one version must come to the same numbers. A change that moves any of them raises SCORING_VERSION and
brings a file of its own, written by `pytest tests/validator/test_scoring_version.py --write-scoring`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.arena import UNIT, Arena, Contest, Strategy, always, calm, honest_band, in_turn, keep, once, rising

from db.records import Reputation
from protocol.units import BlockNumber, Hotkey
from simulator.answers import Positions, Refusal
from simulator.plan import Desired
from simulator.portfolio import Range
from simulator.valuation import QuoteToken, Target
from validator.metagraph import Identity
from validator.reputation import advance
from validator.weights import JobStandings, Standing, compute_weights
from validator.weights_service import SCORING_VERSION

KEPT_IN = Path(__file__).parent.parent / "data" / f"scoring_v{SCORING_VERSION}.json"
NARROW, ABOVE = Range(-60, 60), Range(600, 1200)
ARENAS = {
    "calm": Arena(calm),
    "calm, in token0": Arena(calm, quote_token=QuoteToken.TOKEN0),
    "calm, inventory": Arena(calm, target=Target.POL),
    "rising": Arena(rising),
}
STRATEGIES: dict[str, Strategy] = {
    "keeps": keep,
    "band": honest_band,
    "swaps": once(Desired(ABOVE, 30 * UNIT, 0)),
    "moves twice": in_turn(
        always(Positions((Desired(NARROW, 9 * UNIT, 9 * UNIT),))), always(Positions((Desired(ABOVE, UNIT, 0),))), keep
    ),
    "asks too much": once(Desired(NARROW, 900 * UNIT, 900 * UNIT)),
    "refuses": always(Refusal("no")),
}


def played() -> dict[str, Any]:
    """Return what every arena comes to, and what follows from its scores."""
    contests = {
        title: arena.play({Hotkey(name): strategy for name, strategy in STRATEGIES.items()})
        for title, arena in ARENAS.items()
    }
    return {"rounds": {title: told(contest) for title, contest in contests.items()}, "miners": miners(contests)}


def told(contest: Contest) -> dict[str, Any]:
    participants = {
        p.hotkey: {
            "outcome": str(p.outcome),
            "score_e18": None if p.score_e18 is None else str(p.score_e18),
            "ledger": None if p.ledger is None else p.ledger.to_json(),
        }
        for p in contest.result.participants
    }
    return {"winner": contest.winner(), "benchmark": contest.result.benchmark.to_json(), "participants": participants}


def miners(contests: dict[str, Contest]) -> dict[str, Any]:
    reputations = dict.fromkeys(STRATEGIES, Reputation(0, 0))
    scored = dict.fromkeys(STRATEGIES, 0)
    for contest, round_type in zip(contests.values(), ("evaluation", "live", "live", "evaluation"), strict=True):
        for p in contest.result.participants:
            if p.score_e18 is not None:
                reputations[p.hotkey] = advance(reputations[p.hotkey], p.score_e18, round_type)
                scored[p.hotkey] += 1
    standings = tuple(
        Standing(Identity(Hotkey(name), BlockNumber(1)), r.combined_e18, scored[name], len(contests))
        for name, r in reputations.items()
    )
    weights = compute_weights([JobStandings(1, standings)])
    return {
        name: [str(r.evaluation_e18), str(r.live_e18), str(weights.get(Identity(Hotkey(name), BlockNumber(1)), 0))]
        for name, r in reputations.items()
    }


def test_the_numbers_of_this_version_have_not_moved(pytestconfig: pytest.Config) -> None:
    now = json.loads(json.dumps(played()))
    if pytestconfig.option.write_scoring:
        KEPT_IN.write_text(json.dumps(now, indent=1) + "\n")
    kept = json.loads(KEPT_IN.read_text())
    assert now == kept, "scoring has changed: raise SCORING_VERSION and write its file"
    outcomes = {p["outcome"] for r in kept["rounds"].values() for p in r["participants"].values()}
    assert outcomes == {"accepted", "kept", "invalid", "refused"}
    assert {r["winner"] for r in kept["rounds"].values()} - {None}
