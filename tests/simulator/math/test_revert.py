from __future__ import annotations

import pickle

from protocol.errors import SimulationError, TidelineError
from simulator.math.revert import PoolRevert


def test_a_revert_says_why_and_is_neither_our_fault_nor_silent() -> None:
    assert (PoolRevert("SPL").reason, str(PoolRevert("SPL"))) == ("SPL", "reverted: SPL")
    assert (PoolRevert().reason, str(PoolRevert())) == ("", "reverted without a reason")
    assert issubclass(PoolRevert, TidelineError) and not issubclass(PoolRevert, SimulationError)


def test_a_revert_travels_between_processes() -> None:
    assert pickle.loads(pickle.dumps(PoolRevert("LOK"))).reason == "LOK"
