"""From ledgers to one number per participant."""

from __future__ import annotations

from protocol.errors import SimulationError
from simulator.ledger import Ledger

SCORE_UNIT = 10**18


def score_round(ledger: Ledger, benchmark: Ledger) -> int:
    """Return a participant's score: how much more its decisions earned than the untouched portfolio, per opening value.

    Parameters: ledger, benchmark  two ledgers of one round: same opening, same marks, same numéraire (X192 values)
    Returns:    (e - e_benchmark) / W_open in 1e-18 units, where e = change of W - sum of x times change of P. Positive
                beats the
                benchmark. The same for both targets: what differs is the numéraire in which the ledgers were kept.
    Rounding:   toward zero, so that exchanging the two ledgers negates the score
    Raises:     SimulationError when the ledgers do not open with the same value, or with none
    Source:     design §4.8
    """
    if ledger.w_open_x192 != benchmark.w_open_x192:
        raise SimulationError("ledger and benchmark opened with different values")
    if benchmark.w_open_x192 <= 0:
        raise SimulationError("the round opened with nothing to manage")
    excess = (ledger.excess_x192 - benchmark.excess_x192) * SCORE_UNIT
    quotient = abs(excess) // benchmark.w_open_x192
    return quotient if excess >= 0 else -quotient
