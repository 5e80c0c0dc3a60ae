"""Who really moved in a round, by what went over the wire."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from db.records import Prediction
from protocol.messages import Position, ShownPosition, parse_query, parse_response


def moves(predictions: Sequence[Prediction]) -> Counter[str]:
    """Count, by miner, the checkpoints after which it was shown other ranges than before: those that it had asked for.

    Both are read from the bytes that went over the wire.
    """
    found: Counter[str] = Counter()
    by_miner = sorted(predictions, key=lambda p: (p.hotkey, p.checkpoint_index))
    for before, after in pairwise(by_miner):
        if before.hotkey == after.hotkey:
            shown = [ranges_of(parse_query(p.request_body).current_positions) for p in (before, after)]
            asked_for = parse_response(before.response_body or b"").desired_positions or ()
            found[before.hotkey] += shown[0] != shown[1] and shown[1] <= ranges_of(asked_for) and bool(shown[0])
    return found


def ranges_of(positions: Iterable[Position | ShownPosition]) -> set[tuple[int, int]]:
    return {(p.tick_lower, p.tick_upper) for p in positions}
