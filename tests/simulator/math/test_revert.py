from __future__ import annotations

import pickle

from protocol.errors import SimulationError, TidelineError
from simulator.math.revert import OFF_SPACING, PoolRevert


def test_a_revert_says_why_and_is_neither_our_fault_nor_silent() -> None:
    assert (PoolRevert("SPL").reason, str(PoolRevert("SPL"))) == (
        "SPL",
        "reverted: SPL (the price limit lies behind the price, or out of range)",
    )
    assert (PoolRevert().reason, str(PoolRevert())) == ("", "reverted without a reason")
    assert issubclass(PoolRevert, TidelineError) and not issubclass(PoolRevert, SimulationError)


def test_a_revert_travels_between_processes() -> None:
    for revert in (PoolRevert("LOK"), PoolRevert("", OFF_SPACING), PoolRevert("STF")):
        twin = pickle.loads(pickle.dumps(revert))
        assert (twin.reason, str(twin)) == (revert.reason, str(revert))
