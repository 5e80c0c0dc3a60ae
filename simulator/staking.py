"""What a snapshot of a Slipstream pool holds beyond one of a V3 pool."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from simulator.slipstream_reward import Rewards
from simulator.slipstream_tick import StakeInfo


@dataclass(frozen=True, slots=True)
class Staking:
    """Who gets a pool's fees, and its emissions, at one block.

    `unstaked_fee_pips` is the levy. `ticks` are those with anything staked or any rewards outside, ascending.
    """

    staked_liquidity: int
    unstaked_fee_pips: int
    rewards: Rewards
    ticks: tuple[tuple[int, StakeInfo], ...]

    def problem(self, tick: int, liquidity: int, gross: Mapping[int, int]) -> str | None:
        """Return what contradicts the pool with this tick, active liquidity and gross liquidity by tick, or None."""
        numbers = [number for number, _ in self.ticks]
        if any(b <= a for a, b in itertools.pairwise(numbers)):
            return "staked ticks are not strictly ascending"
        if any(abs(stake.staked_liquidity_net) > gross.get(number, -1) for number, stake in self.ticks):
            return "more is staked on a tick than lies there"
        if sum(stake.staked_liquidity_net for _, stake in self.ticks) != 0:
            return "the stakes do not sum to 0"
        active = sum(stake.staked_liquidity_net for number, stake in self.ticks if number <= tick)
        if active != self.staked_liquidity or not 0 <= active <= liquidity:
            return f"staked liquidity is {self.staked_liquidity} of {liquidity}, its ticks sum to {active}"
        return None

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values; `from_json` reads them back."""
        return {
            "staked_liquidity": str(self.staked_liquidity),
            "unstaked_fee_pips": self.unstaked_fee_pips,
            "rewards": {name: str(number) for name, number in asdict(self.rewards).items()},
            "ticks": [[number, str(stake[0]), str(stake[1])] for number, stake in self.ticks],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Staking:
        """Read what `to_json` wrote. Raises KeyError, TypeError or ValueError on anything else."""
        return cls(
            staked_liquidity=int(value["staked_liquidity"]),
            unstaked_fee_pips=int(value["unstaked_fee_pips"]),
            rewards=Rewards(**{name: int(number) for name, number in value["rewards"].items()}),
            ticks=tuple((int(number), StakeInfo(int(net), int(outside))) for number, net, outside in value["ticks"]),
        )
