"""Errors are told across processes as they were."""

from __future__ import annotations

import pickle

import pytest

from protocol.errors import ChainError, ConfigError, SimulationError, TidelineError
from simulator.base_fork import Divergence
from simulator.chain.rpc import RateLimited, Refused
from simulator.market import Reorg


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("say it"),
        SimulationError("it is wrong", pool="0x", block=3),
        ChainError("the index ends here", retryable=True, block=4),
        RateLimited("later", retry_after_s=2.5, url="u"),
        Refused("no", code=-32000),
        Divergence("fee_change", block=5),
        Reorg(6, "0xab", 2),
    ],
)
def test_an_error_comes_out_of_another_process_whole(error: TidelineError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
