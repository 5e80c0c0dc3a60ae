"""A private copy of the market in which one participant's portfolio lives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from protocol.errors import SimulationError
from protocol.units import MAX_UINT128
from simulator.engine import AnyPool, Engine, pool_from_snapshot
from simulator.events import LiquidityEvent
from simulator.math.liquidity_amounts import get_liquidity_for_amounts
from simulator.math.sqrt_price_math import get_amount0_delta, get_amount1_delta
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.pool import PoolRevert, PositionInfo
from simulator.portfolio import Holding, Portfolio, Range, VaultPosition, VaultState
from simulator.recovery import Happening, RecoveredCall, apply_call, apply_happening, apply_other
from simulator.snapshot import PoolSnapshot

VAULT = "vault"


@dataclass(frozen=True, slots=True)
class Closed:
    """A position that was burnt and collected: what its liquidity returned and the fees that came with it."""

    range: Range
    liquidity: int
    principal0: int
    principal1: int
    fees0: int
    fees1: int


@dataclass(frozen=True, slots=True)
class Opened:
    """A minted position: what was paid (rounded up), which can exceed by a unit what burning it would return."""

    range: Range
    liquidity: int
    amount0: int
    amount1: int


@dataclass(frozen=True, slots=True)
class Inventory:
    """The opening tokens of a virtual vault; `positions` are minted from them at the opening price."""

    amount0: int
    amount1: int
    positions: tuple[tuple[Range, int, int], ...] = ()


class Reading(NamedTuple):
    """What accounts book of a fork at one moment, raw: tokens inside positions as a burn would return them, fees as a
    collect would, the fork's own liquidity in range and the pool's.
    """

    principal0: int
    principal1: int
    fees0: int
    fees1: int
    own_liquidity: int
    pool_liquidity: int


class Followed(NamedTuple):
    """What one act of the real vault moved, raw: tokens into positions (negative: out of them), fees that came out with
    them, and what a swap took, signed as the pool signs it.
    """

    minted0: int = 0
    minted1: int = 0
    fees0: int = 0
    fees1: int = 0
    swapped0: int = 0
    swapped1: int = 0


class Fork:
    """One pool, one vault inside it, and the vault's idle tokens.

    Liquidity never changes between plans; every amount comes from the pool's own verbs.
    """

    def __init__(self, pool: AnyPool, idle0: int, idle1: int, ranges: Iterable[Range]) -> None:
        self.pool = pool
        self.idle0 = idle0
        self.idle1 = idle1
        self._ranges = set(ranges)

    @classmethod
    def from_opening(cls, snapshot: PoolSnapshot, vault: VaultState, *, engine: Engine = "python") -> Fork:
        """Return the fork at a round's opening: the vault in the pool of the snapshot."""
        return cls.with_vault(pool_from_snapshot(snapshot, engine=engine), vault)

    @classmethod
    def with_vault(cls, pool: AnyPool, vault: VaultState) -> Fork:
        """Return the fork of a pool, which becomes its own, with a vault in it.

        A virtual vault's liquidity is added to the pool with fresh fee checkpoints; a real vault's is already in the
        ticks and only its ownership and fee checkpoints are attached.
        """
        vault.check(pool.tick_spacing)
        for position in vault.positions:
            lower, upper = position.range.tick_lower, position.range.tick_upper
            if vault.in_pool:
                pool.positions[(VAULT, lower, upper)] = PositionInfo(
                    position.liquidity,
                    position.fee_growth_inside_0_last_x128,
                    position.fee_growth_inside_1_last_x128,
                    position.tokens_owed_0,
                    position.tokens_owed_1,
                )
            else:
                pool.mint(VAULT, lower, upper, position.liquidity)
        return cls(pool, vault.idle0, vault.idle1, (p.range for p in vault.positions))

    def copy(self) -> Fork:
        """Return an independent fork in the same state."""
        return Fork(self.pool.copy(), self.idle0, self.idle1, self._ranges)

    def rejoin(self, base: AnyPool) -> None:
        """Go on in a copy of a pool that went on without the positions, none of which was in range meanwhile."""
        pool = base.copy()
        for r in self._ranges:
            pool.mint(
                VAULT, r.tick_lower, r.tick_upper, self.pool.positions[(VAULT, r.tick_lower, r.tick_upper)].liquidity
            )
        self.pool = pool

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The vault's open ranges, sorted."""
        return tuple(sorted(self._ranges))

    def portfolio(self) -> Portfolio:
        """Return the portfolio at the fork's present price: amounts floored as a burn would, fees floored as a collect
        would.
        """
        return Portfolio(self.idle0, self.idle1, tuple(self._holding(r) for r in self.ranges))

    def _holding(self, position_range: Range) -> Holding:
        lower, upper = position_range.tick_lower, position_range.tick_upper
        liquidity = self.pool.positions[(VAULT, lower, upper)].liquidity
        amount0, amount1 = amounts_for_liquidity(self.pool.sqrt_price_x96, position_range, liquidity)
        fees0, fees1 = self.pool.fees_owed(VAULT, lower, upper)
        return Holding(position_range, liquidity, amount0, amount1, fees0, fees1)

    def read(self, ranges: Iterable[Range] | None = None) -> Reading:
        """Return the reading of some positions, by default of all, at the fork's present price."""
        holdings = [self._holding(r) for r in (self._ranges if ranges is None else ranges)]
        return Reading(
            sum(h.amount0 for h in holdings),
            sum(h.amount1 for h in holdings),
            sum(h.fees0 for h in holdings),
            sum(h.fees1 for h in holdings),
            self.active_liquidity(),
            self.pool.liquidity,
        )

    def active_liquidity(self) -> int:
        """Return the vault's own liquidity at the fork's current tick."""
        tick = self.pool.tick
        return sum(
            self.pool.positions[(VAULT, r.tick_lower, r.tick_upper)].liquidity
            for r in self._ranges
            if r.tick_lower <= tick < r.tick_upper
        )

    def foreign_liquidity(self) -> int:
        """Return everybody else's liquidity at the fork's current tick."""
        return self.pool.liquidity - self.active_liquidity()

    def close(self, position_range: Range) -> Closed:
        """Burn a whole position and collect everything it is owed into idle."""
        lower, upper = position_range.tick_lower, position_range.tick_upper
        liquidity = self.pool.positions[(VAULT, lower, upper)].liquidity
        principal0, principal1 = self.pool.burn(VAULT, lower, upper, liquidity)
        paid0, paid1 = self._collect(position_range)
        self._ranges.discard(position_range)
        return Closed(position_range, liquidity, principal0, principal1, paid0 - principal0, paid1 - principal1)

    def collect_fees(self, position_range: Range) -> tuple[int, int]:
        """Collect a kept position's fees into idle; its liquidity stays."""
        self.pool.burn(VAULT, position_range.tick_lower, position_range.tick_upper, 0)
        return self._collect(position_range)

    def _collect(self, position_range: Range) -> tuple[int, int]:
        lower, upper = position_range.tick_lower, position_range.tick_upper
        paid0, paid1 = self.pool.collect(VAULT, lower, upper, MAX_UINT128, MAX_UINT128)
        self.idle0 += paid0
        self.idle1 += paid1
        return paid0, paid1

    def open(self, position_range: Range, amount0: int, amount1: int) -> Opened | None:
        """Mint as much liquidity as the position manager would from the desired amounts, paid from idle.

        Returns None, with nothing changed, when that liquidity is zero or the pool refuses it (tick liquidity full).
        """
        lower, upper = position_range.tick_lower, position_range.tick_upper
        if position_range in self._ranges or amount0 > self.idle0 or amount1 > self.idle1:
            raise SimulationError(f"cannot open {position_range}: it exists already or is not covered by idle tokens")
        try:
            liquidity = get_liquidity_for_amounts(
                self.pool.sqrt_price_x96, get_sqrt_ratio_at_tick(lower), get_sqrt_ratio_at_tick(upper), amount0, amount1
            )
            if liquidity == 0:
                return None
            paid0, paid1 = self.pool.mint(VAULT, lower, upper, liquidity)
        except PoolRevert:
            return None
        if paid0 > amount0 or paid1 > amount1:
            raise SimulationError(f"mint of {position_range} took more than was offered")
        self.idle0 -= paid0
        self.idle1 -= paid1
        self._ranges.add(position_range)
        return Opened(position_range, liquidity, paid0, paid1)

    def swap(self, *, zero_for_one: bool, amount_specified: int) -> tuple[int, int]:
        """Swap idle tokens through the fork's pool, without a price limit. Returns the pool's signed amounts."""
        amount0, amount1 = self.pool.swap(zero_for_one, amount_specified, None)
        self.idle0 -= amount0
        self.idle1 -= amount1
        if self.idle0 < 0 or self.idle1 < 0:
            raise SimulationError(f"swap spent more than was owned: idle {self.idle0}, {self.idle1}")
        return amount0, amount1

    def apply_foreign(self, happening: Happening, timestamp: int) -> None:
        """Let what another party did happen here: liquidity as it was, a swap by repeating its recovered call.

        Raises PoolRevert when the fork's own liquidity has made it impossible.
        """
        self.pool.timestamp = timestamp
        apply_happening(self.pool, happening)

    def follow(self, happening: Happening) -> Followed:
        """Let what the real vault did happen here too, where nothing else ever happened than on the chain.

        What is burnt is collected at once: what a position is owed and what is idle are the vault's alike. It may burn
        more than it minted: a gift, which leaves the pool and is not counted. Idle tokens may fall below 0 by what it
        paid out of gifts.
        """
        if isinstance(happening, RecoveredCall):
            amount0, amount1 = apply_call(self.pool, happening) or (0, 0)
            self.idle0 -= amount0
            self.idle1 -= amount1
            return Followed(swapped0=amount0, swapped1=amount1)
        if not isinstance(happening, LiquidityEvent):
            apply_other(self.pool, happening)
            return Followed()
        r, change = Range(happening.tick_lower, happening.tick_upper), happening.liquidity_delta
        return self._follow_mint(r, change) if change > 0 else self._follow_burn(r, -change)

    def _follow_mint(self, r: Range, liquidity: int) -> Followed:
        cost0, cost1 = self.pool.mint(VAULT, r.tick_lower, r.tick_upper, liquidity)
        self.idle0 -= cost0
        self.idle1 -= cost1
        self._ranges.add(r)
        return Followed(cost0, cost1)

    def _follow_burn(self, r: Range, liquidity: int) -> Followed:
        key = (VAULT, r.tick_lower, r.tick_upper)
        held = self.pool.positions[key].liquidity if r in self._ranges else 0
        own = min(liquidity, held)
        if liquidity > own:
            self.pool.apply_liquidity(r.tick_lower, r.tick_upper, own - liquidity)
        if not held:
            return Followed()
        burnt0, burnt1 = self.pool.burn(*key, own)
        got0, got1 = self._collect(r)
        if own == held:
            self._ranges.discard(r)
        return Followed(-burnt0, -burnt1, got0 - burnt0, got1 - burnt1)

    def liquidate(self) -> tuple[int, int]:
        """Return all tokens the vault would hold after closing every position, by doing so on a throw-away copy."""
        scratch = self.copy()
        for position_range in scratch.ranges:
            scratch.close(position_range)
        return scratch.idle0, scratch.idle1


def amounts_for_liquidity(sqrt_price_x96: int, position_range: Range, liquidity: int) -> tuple[int, int]:
    """Return the tokens inside a position.

    Parameters: sqrt_price_x96  Q64.96   ·   liquidity  uint128
    Returns:    (amount0, amount1) raw units, both floored: what a burn returns, never what a mint costs
    Source:     v3-core UniswapV3Pool._modifyPosition, SqrtPriceMath
    """
    lower = get_sqrt_ratio_at_tick(position_range.tick_lower)
    upper = get_sqrt_ratio_at_tick(position_range.tick_upper)
    price = min(max(sqrt_price_x96, lower), upper)
    return (
        get_amount0_delta(price, upper, liquidity, round_up=False),
        get_amount1_delta(lower, price, liquidity, round_up=False),
    )


def virtual_vault(snapshot: PoolSnapshot, inventory: Inventory) -> VaultState:
    """Return a virtual vault that has just minted its opening positions from its inventory at the snapshot's price.

    A position that the amounts cannot buy is left out and its tokens stay idle. Raises SimulationError when the
    positions ask for
    more than the inventory holds.
    """
    fork = Fork(pool_from_snapshot(snapshot), inventory.amount0, inventory.amount1, ())
    opened = [fork.open(position_range, amount0, amount1) for position_range, amount0, amount1 in inventory.positions]
    positions = tuple(VaultPosition(o.range, o.liquidity, 0, 0, 0, 0) for o in opened if o is not None)
    return VaultState(fork.idle0, fork.idle1, positions, in_pool=False)
