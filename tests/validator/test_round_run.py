"""What a running round makes of the exchanges with its miners."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.signed_rounds import exchange, keep, signed_opening

from protocol.errors import SimulationError
from protocol.units import Hotkey
from simulator.opening import Entrant
from validator.round_run import MANY_HOSTS, RoundRun
from validator.transport import Exchange, ExchangeStatus, MinerEndpoint


def asked(count: int, reachable: int) -> tuple[RoundRun, list[Exchange]]:
    """Return a round with this many miners and what came of its first ask."""
    hotkeys = [Hotkey(f"miner-{n}") for n in range(count)]
    opening = replace(signed_opening(), entrants=tuple(Entrant(h, n, 1) for n, h in enumerate(hotkeys)))
    run = RoundRun(opening, {h: MinerEndpoint(h, "127.0.0.1", 1) for h in hotkeys}, "test")
    ask = run.engine.pending_ask()
    assert ask is not None
    exchanges = [exchange(e, q, lambda _query: None, 1_700_000_000_000_000_000) for e, q in run.questions(ask)]
    return run, [e if n < reachable else replace(e, status=ExchangeStatus.UNREACHABLE) for n, e in enumerate(exchanges)]


def test_when_nobody_at_all_can_be_reached_it_is_our_own_network() -> None:
    run, exchanges = asked(MANY_HOSTS, reachable=0)
    ask = run.engine.pending_ask()
    assert ask is not None
    with pytest.raises(SimulationError, match=f"none of {MANY_HOSTS} miners"):
        run.take(ask, run.questions(ask), exchanges)


@pytest.mark.parametrize(("count", "reachable"), [(MANY_HOSTS, 1), (MANY_HOSTS - 1, 0), (1, 0)])
def test_a_few_hosts_may_be_down_by_themselves(count: int, reachable: int) -> None:
    run, exchanges = asked(count, reachable)
    ask = run.engine.pending_ask()
    assert ask is not None
    notes, predictions = run.take(ask, run.questions(ask), exchanges)
    assert {str(note.noted) for note in notes.values()} == {"timeout"} and len(predictions) == count


def test_every_question_is_stored_with_what_came_of_it() -> None:
    run = RoundRun(
        signed_opening(), {h: MinerEndpoint(h, "127.0.0.1", 1) for h in signed_opening().participants}, "test"
    )
    ask = run.engine.pending_ask()
    assert ask is not None
    questions = run.questions(ask)
    exchanges = [exchange(e, q, keep, 1_700_000_000_000_000_000 + n) for n, (e, q) in enumerate(questions)]
    _, predictions = run.take(ask, questions, exchanges)
    assert [(p.hotkey, p.outcome, p.request_body, p.response_body) for p in predictions] == [
        (e.hotkey, "kept", e.request_body, e.response_body) for e in exchanges
    ]
