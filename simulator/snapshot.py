"""A pool frozen at one block hash."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass
from typing import Any

from protocol.errors import SimulationError
from simulator.family import Family
from simulator.staking import Staking


@dataclass(frozen=True, slots=True)
class TickState:
    """An initialised tick. Gross and net liquidity, and both fee growths on its other side (Q128, mod 2**256)."""

    liquidity_gross: int
    liquidity_net: int
    fee_growth_outside_0_x128: int
    fee_growth_outside_1_x128: int


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """Everything a swap depends on, at one block. Integers as the contract holds them; ticks sorted ascending.

    `staking` is there for a Slipstream pool and for no other. `fee_pips` is what a swap would have cost at the block.
    """

    chain_id: int
    pair_address: str
    block_number: int
    block_hash: str
    timestamp: int
    fee_pips: int
    tick_spacing: int
    sqrt_price_x96: int
    tick: int
    liquidity: int
    fee_growth_global_0_x128: int
    fee_growth_global_1_x128: int
    fee_protocol: int
    ticks: tuple[tuple[int, TickState], ...]
    family: Family = Family.UNISWAP_V3
    staking: Staking | None = None

    def check(self) -> None:
        """Raise SimulationError unless the tick map closes and explains the active liquidity (design §4.1)."""
        where = {"pool": self.pair_address, "block": self.block_number}
        numbers = [tick for tick, _ in self.ticks]
        if any(b <= a for a, b in itertools.pairwise(numbers)):
            raise SimulationError("snapshot ticks are not strictly ascending", **where)
        for tick, state in self.ticks:
            if tick % self.tick_spacing:
                raise SimulationError(f"snapshot's tick {tick} is off the spacing of {self.tick_spacing}", **where)
            if state.liquidity_gross <= 0:
                raise SimulationError(f"snapshot's tick {tick} is initialised without liquidity", **where)
        total = sum(state.liquidity_net for _, state in self.ticks)
        if total != 0:
            raise SimulationError(f"snapshot's sum of liquidity_net is {total}, expected 0", **where)
        active = sum(state.liquidity_net for tick, state in self.ticks if tick <= self.tick)
        if active != self.liquidity:
            raise SimulationError(f"snapshot liquidity is {self.liquidity}, its ticks sum to {active}", **where)
        if (self.staking is None) == (self.family is Family.SLIPSTREAM):
            raise SimulationError(f"snapshot of a {self.family} pool with another family's fields", **where)
        gross = {tick: state.liquidity_gross for tick, state in self.ticks}
        problem = self.staking and self.staking.problem(self.tick, self.liquidity, gross)
        if problem:
            raise SimulationError(f"snapshot: {problem}", **where)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values; every integer that can exceed 2**53 is a decimal string.

        A Uniswap snapshot says nothing of families, as when there were no others: stored evidence keeps its digest.
        """
        of_family: dict[str, Any] = {} if self.family is Family.UNISWAP_V3 else {"family": str(self.family)}
        if self.staking is not None:
            of_family["staking"] = self.staking.to_json()
        return {
            "chain_id": self.chain_id,
            "pair_address": self.pair_address,
            "block_number": self.block_number,
            "block_hash": self.block_hash,
            "timestamp": self.timestamp,
            "fee_pips": self.fee_pips,
            "tick_spacing": self.tick_spacing,
            "sqrt_price_x96": str(self.sqrt_price_x96),
            "tick": self.tick,
            "liquidity": str(self.liquidity),
            "fee_growth_global_0_x128": str(self.fee_growth_global_0_x128),
            "fee_growth_global_1_x128": str(self.fee_growth_global_1_x128),
            "fee_protocol": self.fee_protocol,
            "ticks": [
                [
                    tick,
                    str(state.liquidity_gross),
                    str(state.liquidity_net),
                    str(state.fee_growth_outside_0_x128),
                    str(state.fee_growth_outside_1_x128),
                ]
                for tick, state in self.ticks
            ],
            **of_family,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PoolSnapshot:
        """Read what `to_json` wrote. Raises SimulationError on a missing or malformed field."""
        try:
            return cls(
                chain_id=int(value["chain_id"]),
                pair_address=str(value["pair_address"]),
                block_number=int(value["block_number"]),
                block_hash=str(value["block_hash"]),
                timestamp=int(value["timestamp"]),
                fee_pips=int(value["fee_pips"]),
                tick_spacing=int(value["tick_spacing"]),
                sqrt_price_x96=int(value["sqrt_price_x96"]),
                tick=int(value["tick"]),
                liquidity=int(value["liquidity"]),
                fee_growth_global_0_x128=int(value["fee_growth_global_0_x128"]),
                fee_growth_global_1_x128=int(value["fee_growth_global_1_x128"]),
                fee_protocol=int(value["fee_protocol"]),
                ticks=tuple(
                    (int(tick), TickState(int(gross), int(net), int(outside0), int(outside1)))
                    for tick, gross, net, outside0, outside1 in value["ticks"]
                ),
                family=Family(value.get("family", Family.UNISWAP_V3)),
                staking=Staking.from_json(value["staking"]) if "staking" in value else None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SimulationError(f"snapshot is malformed: {error!r}") from error

    def digest(self) -> str:
        """Return the lowercase hex sha256 of the canonical JSON (sorted keys, no spaces)."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
