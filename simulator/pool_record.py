"""A whole pool as plain values, from which either engine makes it again, and as JSON with a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from protocol.errors import SimulationError
from simulator.family import FEE_POLICIES, Family
from simulator.fee_policy import ProtocolFeePolicy
from simulator.math.integers import MASK_128, MASK_160, MASK_256
from simulator.math.oracle import Observation
from simulator.math.position import PositionInfo
from simulator.math.tick import TickInfo
from simulator.pool_snapshot import check_snapshot, family_of, tick_states
from simulator.snapshot import PoolSnapshot

if TYPE_CHECKING:
    from simulator.engine import V3Pool

FORMAT = "tideline-pool-1"
# Every scalar of a pool, with the greatest value its Solidity type holds; `timestamp` is the caller's clock.
SCALARS = {
    "timestamp": 2**64 - 1,
    "sqrt_price_x96": MASK_160,
    "liquidity": MASK_128,
    "fee_growth_global_0_x128": MASK_256,
    "fee_growth_global_1_x128": MASK_256,
    "protocol_fees_0": MASK_128,
    "protocol_fees_1": MASK_128,
    "fee_protocol": 2**32 - 1,
}
SIGNED = ("tick", "balance0", "balance1")  # a pool that does not know its balances counts from 0
ORACLE = ("observation_index", "observation_cardinality", "observation_cardinality_next")
PositionKey = tuple[Hashable, int, int]


@dataclass(frozen=True, slots=True)
class PoolRecord:
    """Everything a pool remembers. Ticks ascending, positions in the order in which they were first written."""

    fee_pips: int
    tick_spacing: int
    fee_policy: ProtocolFeePolicy
    knows_balances: bool
    scalars: dict[str, int]
    observations: tuple[Observation, ...]
    ticks: tuple[tuple[int, TickInfo], ...]
    positions: tuple[tuple[PositionKey, PositionInfo], ...]

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values and their digest; integers that can exceed 2**53 are decimal strings.

        Raises SimulationError for an owner that is neither text nor an int, or a fee policy without a name.
        """
        value = self._content()
        return value | {"digest": _digest(value)}

    def digest(self) -> str:
        """Return the lowercase hex sha256 of the canonical JSON (sorted keys, no spaces) without its digest."""
        return _digest(self._content())

    def _content(self) -> dict[str, Any]:
        if self.fee_policy not in FEE_POLICIES.values():
            raise SimulationError("only a pool whose fee policy has a name can be written as JSON")
        positions = [[_owner(key[0]), key[1], key[2], *map(str, astuple(info))] for key, info in self.positions]
        return {
            "format": FORMAT,
            "fee_pips": self.fee_pips,
            "tick_spacing": self.tick_spacing,
            "family": family_of(self.fee_policy).value,
            "knows_balances": self.knows_balances,
            "scalars": {name: str(value) for name, value in self.scalars.items()},
            "observations": [[slot[0], str(slot[1]), str(slot[2]), slot[3]] for slot in self.observations],
            "ticks": [[tick, *(str(x) for x in info[:7])] for tick, info in self.ticks],
            "positions": sorted(positions, key=json.dumps),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PoolRecord:
        """Read what `to_json` wrote. Raises SimulationError unless it is whole, unchanged and agrees with itself."""
        content = {name: part for name, part in value.items() if name != "digest"}
        if content.get("format") != FORMAT:
            raise SimulationError(f"this is not a pool in the format {FORMAT}", format=content.get("format"))
        if value.get("digest") != _digest(content):
            raise SimulationError("the pool's digest does not match its content", digest=value.get("digest"))
        try:
            record = _read(content)
        except (KeyError, TypeError, ValueError) as error:
            raise SimulationError(f"the pool's JSON is malformed: {error!r}") from error
        record.check()
        return record

    def check(self) -> None:
        """Raise SimulationError unless types fit, the tick map closes and the oracle's ring agrees with its place."""
        for name, most in SCALARS.items():
            if not 0 <= self.scalars[name] <= most:
                raise SimulationError(f"the pool's {name} does not fit its Solidity type", value=self.scalars[name])
        index, cardinality, following = (self.scalars[name] for name in ORACLE)
        if not 0 <= index < max(1, cardinality) <= max(1, following) or following != len(self.observations):
            raise SimulationError("the pool's oracle does not agree with itself", slots=len(self.observations))
        if self.scalars["sqrt_price_x96"]:
            check_snapshot(self._snapshot())
        elif self.ticks or self.positions or self.observations or self.scalars["liquidity"]:
            raise SimulationError("the pool has no price, and yet liquidity, positions or observations")

    def _snapshot(self) -> PoolSnapshot:
        at = self.scalars
        return PoolSnapshot(
            chain_id=0,
            pair_address="from JSON",
            block_number=0,
            block_hash="",
            timestamp=at["timestamp"],
            fee_pips=self.fee_pips,
            tick_spacing=self.tick_spacing,
            sqrt_price_x96=at["sqrt_price_x96"],
            tick=at["tick"],
            liquidity=at["liquidity"],
            fee_growth_global_0_x128=at["fee_growth_global_0_x128"],
            fee_growth_global_1_x128=at["fee_growth_global_1_x128"],
            fee_protocol=at["fee_protocol"],
            ticks=tick_states(dict(self.ticks)),
            family=family_of(self.fee_policy),
        )


def record_of(pool: V3Pool) -> PoolRecord:
    """Return everything that a pool of either engine remembers."""
    return PoolRecord(
        fee_pips=pool.fee_pips,
        tick_spacing=pool.tick_spacing,
        fee_policy=pool.fee_policy,
        knows_balances=pool.knows_balances,
        scalars={name: getattr(pool, name) for name in (*SCALARS, *SIGNED, *ORACLE)},
        observations=tuple(pool.observations),
        ticks=tuple(sorted(pool.ticks.items())),
        positions=tuple(pool.positions.items()),
    )


def _read(content: dict[str, Any]) -> PoolRecord:
    scalars = {name: int(content["scalars"][name]) for name in (*SCALARS, *SIGNED, *ORACLE)}
    return PoolRecord(
        fee_pips=int(content["fee_pips"]),
        tick_spacing=int(content["tick_spacing"]),
        fee_policy=FEE_POLICIES[Family(content["family"])],
        knows_balances=bool(content["knows_balances"]),
        scalars=scalars,
        observations=tuple(Observation(int(a), int(b), int(c), bool(d)) for a, b, c, d in content["observations"]),
        ticks=tuple((int(tick), TickInfo._make((*map(int, info), True))) for tick, *info in content["ticks"]),
        positions=tuple(
            ((_owner_of(owner), int(lower), int(upper)), PositionInfo(*map(int, info)))
            for owner, lower, upper, *info in content["positions"]
        ),
    )


def _owner(owner: Hashable) -> str | dict[str, str]:
    if isinstance(owner, str):
        return owner
    if isinstance(owner, int) and not isinstance(owner, bool):
        return {"int": str(owner)}
    raise SimulationError("only text and integers can be written as owners of positions", owner=owner)


def _owner_of(value: str | dict[str, str]) -> Hashable:
    return value if isinstance(value, str) else int(value["int"])


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
