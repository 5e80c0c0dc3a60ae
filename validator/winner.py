"""A round's winner, from the engine's result and the reputations before the round."""

from __future__ import annotations

from collections.abc import Mapping

from protocol.units import Hotkey
from simulator.opening import RoundOpening
from simulator.round import RoundResult
from validator.reputation import Candidate, pick_winner


def pick_round_winner(
    opening: RoundOpening, result: RoundResult, combined_before: Mapping[Hotkey, int]
) -> Hotkey | None:
    """Return who won the round, or None.

    Parameters: opening, result  of one round   ·   combined_before  1e-18 units, by hotkey; absent means 0
    Returns:    the best score among those who may win; see `validator.reputation.pick_winner` for ties
    Source:     design §4.10
    """
    registered = {entrant.hotkey: entrant.registered_at_block for entrant in opening.entrants}
    return pick_winner(
        [
            Candidate(p.hotkey, p.score_e18, combined_before.get(p.hotkey, 0), registered[p.hotkey])
            for p in result.participants
            if p.can_win and p.score_e18 is not None
        ]
    )
