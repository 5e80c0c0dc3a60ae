"""A Uniswap V3 pool whose swaps and liquidity are computed in C, with the verbs, fields and reverts of `Pool`.

What happens rarely (flash, protocol fees, reading the oracle's past) uses the plain-Python functions on the same
storage. Importing this module needs the extension; `simulator.native.is_built` tells whether it is there.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar, cast

from protocol.units import Q128
from simulator.fee_policy import UNISWAP_V3, ProtocolFeePolicy
from simulator.math import oracle, tick_bitmap
from simulator.math.full_math import mul_div
from simulator.math.integers import MASK_32, MASK_128, MASK_256, check_ints, to_int128
from simulator.math.oracle import Observation
from simulator.math.position import EMPTY_POSITION, PositionInfo, add_owed, tokens_owed
from simulator.math.revert import PoolRevert
from simulator.math.tick import EMPTY_TICK, TickInfo, check_ticks
from simulator.native._core import Core
from simulator.pool_flash import compute_flash
from simulator.pool_record import ORACLE, SCALARS, SIGNED, PoolRecord, record_of
from simulator.pool_snapshot import policy_of, snapshot_of, tick_info
from simulator.pool_state import PoolState, Storage, balances_after, check_unsigned, cumulatives_inside, oracle_state
from simulator.pool_swap import SwapQuote, swap_quote
from simulator.snapshot import PoolSnapshot

T = TypeVar("T")
PositionKey: TypeAlias = tuple[Hashable, int, int]
_SETTLES = True  # tokens move at once, as in a mint; else they stay owed, as in a burn


class NativeTicks(Mapping[int, TickInfo]):
    """The initialised ticks of a pool as they are now, read only; any other tick reads as the empty record."""

    __slots__ = ("_pool",)

    def __init__(self, pool: Core) -> None:
        self._pool = pool

    def __getitem__(self, tick: int) -> TickInfo:
        found = self._pool._tick(tick)
        return EMPTY_TICK if found is None else TickInfo._make(found)

    def get(self, tick: int, default: T | None = None) -> TickInfo | T | None:  # type: ignore[override]  # no KeyError
        """Return the tick's record, `default` if it is not initialised."""
        found = self[tick]
        return found if found.initialized else default

    def __contains__(self, tick: object) -> bool:
        return isinstance(tick, int) and self._pool._tick(tick) is not None

    def __iter__(self) -> Iterator[int]:
        return iter(self._pool._tick_numbers())

    def __len__(self) -> int:
        return len(self._pool._tick_numbers())

    def __repr__(self) -> str:
        return repr(dict(self))


class NativePool(Core):
    """One pool. Fields are the contract's storage and may be read at any time; verbs are the contract's functions.

    `swap` and `fee_growth_inside` are inherited from the extension. `copy` shares all ticks until either side writes to
    them.
    """

    __slots__ = ("fee_policy", "positions")

    def __init__(self, fee_pips: int, tick_spacing: int, fee_policy: ProtocolFeePolicy = UNISWAP_V3) -> None:
        self.fee_policy = fee_policy
        self.positions: Storage[PositionKey, PositionInfo] = Storage(EMPTY_POSITION)

    @property
    def ticks(self) -> NativeTicks:
        """The initialised ticks."""
        return NativeTicks(self)

    @property
    def tick_bitmap(self) -> Storage[int, int]:
        """The words of the bitmap that have a bit set, as a copy."""
        words = Storage[int, int](0)
        for tick in self._tick_numbers():
            tick_bitmap.flip_tick(words, tick, self.tick_spacing)
        return words

    @property
    def observations(self) -> list[Observation]:
        """The oracle's ring, as a copy."""
        return [Observation._make(slot) for slot in self._observations()]

    # --- The contract's verbs ---------------------------------------------------------------------------------------

    def initialize(self, sqrt_price_x96: int, /) -> None:
        """Set the first price, as `Pool.initialize` does."""
        super().initialize(sqrt_price_x96)
        self.fee_protocol = self.fee_policy.initial_fee_protocol(self.fee_pips)

    def mint(self, owner: Hashable, tick_lower: int, tick_upper: int, amount: int) -> tuple[int, int]:
        """Add liquidity to an owner's position, as `Pool.mint` does."""
        check_unsigned(amount, MASK_128)
        self._require_unlocked()
        if amount == 0:
            raise PoolRevert
        return self._change((owner, tick_lower, tick_upper), to_int128(amount), settles=True)

    def burn(self, owner: Hashable, tick_lower: int, tick_upper: int, amount: int) -> tuple[int, int]:
        """Remove liquidity from an owner's position and count its fees, as `Pool.burn` does."""
        check_unsigned(amount, MASK_128)
        self._require_unlocked()
        key = (owner, tick_lower, tick_upper)
        amount0, amount1 = self._change(key, -to_int128(amount), settles=False)
        self.positions[key] = add_owed(self.positions[key], -amount0, -amount1)
        return -amount0, -amount1

    def _change(self, key: PositionKey, liquidity_delta: int, *, settles: bool) -> tuple[int, int]:
        _, tick_lower, tick_upper = key
        check_ticks(tick_lower, tick_upper)
        before = self.positions[key]
        fields = (
            before.liquidity,
            before.fee_growth_inside_0_last_x128,
            before.fee_growth_inside_1_last_x128,
            before.tokens_owed_0,
            before.tokens_owed_1,
        )
        amount0, amount1, after = self._change_liquidity(tick_lower, tick_upper, liquidity_delta, fields, settles)
        if after is not None:
            self.positions[key] = PositionInfo(*after)
        return amount0, amount1

    def collect(
        self, owner: Hashable, tick_lower: int, tick_upper: int, amount0_requested: int, amount1_requested: int
    ) -> tuple[int, int]:
        """Pay out what a position is owed, up to what is requested, as `Pool.collect` does."""
        check_ints(tick_lower, tick_upper)
        check_unsigned(amount0_requested, MASK_128)
        check_unsigned(amount1_requested, MASK_128)
        self._require_unlocked()
        key = (owner, tick_lower, tick_upper)
        position = self.positions[key]
        amount0 = min(amount0_requested, position.tokens_owed_0)
        amount1 = min(amount1_requested, position.tokens_owed_1)
        if amount0 or amount1:
            self.balance0, self.balance1 = self._balances_after(-amount0, -amount1)
            self.positions[key] = add_owed(position, -amount0, -amount1)
        return amount0, amount1

    def flash(self, amount0: int, amount1: int, pay0: int, pay1: int) -> None:
        """Lend tokens within one call, as `Pool.flash` does."""
        paid0, paid1 = compute_flash(self._state(), amount0, amount1, pay0, pay1, fee_pips=self.fee_pips)
        setting0, setting1 = self.fee_policy.decode(self.fee_protocol)
        protocol0, growth0_x128 = self._split_flash_fee(paid0, setting0)
        protocol1, growth1_x128 = self._split_flash_fee(paid1, setting1)
        self.balance0, self.balance1 = self._balances_after(paid0, paid1)
        self.protocol_fees_0 = (self.protocol_fees_0 + protocol0) & MASK_128
        self.protocol_fees_1 = (self.protocol_fees_1 + protocol1) & MASK_128
        self.fee_growth_global_0_x128 = (self.fee_growth_global_0_x128 + growth0_x128) & MASK_256
        self.fee_growth_global_1_x128 = (self.fee_growth_global_1_x128 + growth1_x128) & MASK_256

    def set_fee_protocol(self, fee_protocol0: int, fee_protocol1: int) -> None:
        """Set the protocol's share of each token's fees, as `Pool.set_fee_protocol` does."""
        check_ints(fee_protocol0, fee_protocol1)
        self._require_unlocked()
        if not all(self.fee_policy.is_allowed(setting) for setting in (fee_protocol0, fee_protocol1)):
            raise PoolRevert
        self.fee_protocol = self.fee_policy.encode(fee_protocol0, fee_protocol1)

    def collect_protocol(self, amount0_requested: int, amount1_requested: int) -> tuple[int, int]:
        """Pay out the protocol's fees, up to what is requested, as `Pool.collect_protocol` does."""
        check_unsigned(amount0_requested, MASK_128)
        check_unsigned(amount1_requested, MASK_128)
        self._require_unlocked()
        amount0 = min(amount0_requested, max(self.protocol_fees_0 - 1, 0))
        amount1 = min(amount1_requested, max(self.protocol_fees_1 - 1, 0))
        self.balance0, self.balance1 = self._balances_after(-amount0, -amount1)
        self.protocol_fees_0 -= amount0
        self.protocol_fees_1 -= amount1
        return amount0, amount1

    def increase_observation_cardinality_next(self, n: int) -> None:
        """Let the oracle's ring grow to `n` slots (uint16), one lap from now. Reverts: "LOK"."""
        check_unsigned(n, 2**16 - 1)
        self._require_unlocked()
        self._grow(n)

    def observe(self, seconds_agos: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return (tick_cumulatives, seconds_per_liquidity_cumulative_x128s) as of each age. Reverts: "I", "OLD"."""
        for seconds_ago in seconds_agos:
            check_unsigned(seconds_ago, MASK_32)
        return oracle.observe(self.observations, self.timestamp & MASK_32, seconds_agos, oracle_state(self._state()))

    def snapshot_cumulatives_inside(self, tick_lower: int, tick_upper: int) -> tuple[int, int, int]:
        """Return (tick_cumulative, seconds_per_liquidity_x128, seconds) inside. Reverts: "TLU" "TLM" "TUM" ""."""
        return cumulatives_inside(self._state(), tick_lower, tick_upper)

    # --- Ours -------------------------------------------------------------------------------------------------------

    def apply_liquidity(self, tick_lower: int, tick_upper: int, liquidity_delta: int) -> tuple[int, int]:
        """Add or remove liquidity that has no owner here, as `Pool.apply_liquidity` does."""
        check_ints(liquidity_delta)
        self._require_unlocked()
        to_int128(liquidity_delta)
        check_ticks(tick_lower, tick_upper)
        amount0, amount1, _ = self._change_liquidity(tick_lower, tick_upper, liquidity_delta, None, _SETTLES)
        return abs(amount0), abs(amount1)

    def quote(
        self,
        zero_for_one: bool,  # noqa: FBT001 the same order as swap
        amount_specified: int,
        sqrt_price_limit_x96: int | None = None,
        *,
        partial: bool = False,
    ) -> SwapQuote:
        """Return what `swap` would do with the same arguments, without doing it. Reverts as `swap` does.

        Raises SimulationError for an amount beyond the liquidity, unless `partial` or a price limit allows for less.
        """
        asked = amount_specified, sqrt_price_limit_x96
        return swap_quote(self._quote(zero_for_one, *asked), *asked, zero_for_one=zero_for_one, partial=partial)

    def fees_owed(self, owner: Hashable, tick_lower: int, tick_upper: int) -> tuple[int, int]:
        """Return (owed0, owed1), raw, floor: what a position could collect after burning nothing. Changes nothing."""
        growths = self.fee_growth_inside(tick_lower, tick_upper)
        return tokens_owed(self.positions[(owner, tick_lower, tick_upper)], *growths)

    def copy(self) -> NativePool:
        """Return an independent pool in the same state. Cheap: ticks are shared until either side writes to them."""
        twin = self._copy()
        twin.fee_policy = self.fee_policy
        twin.positions = self.positions.copy()
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        return NativePool.from_record, (record_of(self),)

    @classmethod
    def from_snapshot(cls, snapshot: PoolSnapshot) -> NativePool:
        """Return the pool of a snapshot: no positions, an oracle that starts there. Raises SimulationError."""
        pool = cls(snapshot.fee_pips, snapshot.tick_spacing, policy_of(snapshot))
        pool.timestamp = snapshot.timestamp
        pool.initialize(snapshot.sqrt_price_x96)
        pool.tick = snapshot.tick  # one below the price's own tick after a fall that ended exactly on it
        pool.liquidity = snapshot.liquidity
        pool.fee_growth_global_0_x128 = snapshot.fee_growth_global_0_x128
        pool.fee_growth_global_1_x128 = snapshot.fee_growth_global_1_x128
        pool.fee_protocol = snapshot.fee_protocol
        pool._set_ticks([(tick, *tick_info(state)[:7]) for tick, state in snapshot.ticks])
        pool.knows_balances = False
        return pool

    def to_snapshot(
        self, *, chain_id: int, pair_address: str, block_number: int, block_hash: str, timestamp: int
    ) -> PoolSnapshot:
        """Return the pool frozen at a block; positions, protocol fees, oracle and balances are not part of it."""
        return snapshot_of(self, (chain_id, pair_address, block_number, block_hash, timestamp))

    def to_json(self) -> dict[str, Any]:
        """Return the whole pool, positions and oracle included, as JSON-ready values with a digest."""
        return record_of(self).to_json()

    def digest(self) -> str:
        """Return the sha256 of what `to_json` returns: the same for two pools in the same state, on either engine."""
        return record_of(self).digest()

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> NativePool:
        """Return the pool that `to_json` of either engine wrote. Raises SimulationError."""
        return cls.from_record(PoolRecord.from_json(value))

    @classmethod
    def from_record(cls, record: PoolRecord) -> NativePool:
        """Return the pool of a record, which is taken to agree with itself."""
        pool = cls(record.fee_pips, record.tick_spacing, record.fee_policy)
        pool.knows_balances = record.knows_balances  # before the balances, whose sign depends on it
        for name in (*SCALARS, *SIGNED):
            setattr(pool, name, record.scalars[name])
        index, cardinality, following = (record.scalars[name] for name in ORACLE)
        pool._set_oracle(index, cardinality, following, list(record.observations))
        pool._set_ticks([(tick, *info[:7]) for tick, info in record.ticks])
        pool.positions.update(record.positions)
        return pool

    # --- Compute, then commit ---------------------------------------------------------------------------------------

    def _state(self) -> PoolState:
        return cast(PoolState, self)  # the fields that are read only here are only read there

    def _require_unlocked(self) -> None:
        if self.sqrt_price_x96 == 0:
            raise PoolRevert("LOK")

    def _balances_after(self, change0: int, change1: int) -> tuple[int, int]:
        return balances_after(self._state(), change0, change1)

    def _split_flash_fee(self, paid: int, setting: int) -> tuple[int, int]:
        share = self.fee_policy.share_of_flash_fee(paid, setting)
        return share & MASK_128, mul_div(paid - share, Q128, self.liquidity)
