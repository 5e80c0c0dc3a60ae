"""Never move."""

from __future__ import annotations

from dataclasses import dataclass

from miner.strategy import Decision, Keep
from protocol.messages import RebalanceQuery


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep whatever is held, for ever: the benchmark as a miner. It scores 0 and never wins, nor loses.

    Formula: none. Units: none.
    """

    @property
    def name(self) -> str:
        return "hold"

    def decide(self, query: RebalanceQuery) -> Decision:
        return Keep()
