"""A Uniswap V3 pool in plain Python integers: the same calls, the same results to the unit, the same reverts.

Every verb first computes its whole effect and then commits it, so a revert leaves no trace. The caller moves
`timestamp`. Tokens are plain ERC-20s and payers pay what is owed: the callback reverts M0, M1 and IIA cannot occur.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, TypeAlias

from protocol.errors import SimulationError
from protocol.units import MAX_TICK, Q128
from simulator.fee_policy import UNISWAP_V3, ProtocolFeePolicy
from simulator.math import oracle, tick_bitmap
from simulator.math.full_math import mul_div
from simulator.math.integers import MASK_32, MASK_128, MASK_160, MASK_256, check_ints, to_int128
from simulator.math.oracle import Observation
from simulator.math.position import EMPTY_POSITION, PositionInfo, add_owed, tokens_owed
from simulator.math.revert import PoolRevert
from simulator.math.swap_math import PIPS
from simulator.math.tick import EMPTY_TICK, TickInfo, get_fee_growth_inside, tick_spacing_to_max_liquidity_per_tick
from simulator.math.tick_math import get_tick_at_sqrt_ratio
from simulator.pool_flash import compute_flash
from simulator.pool_liquidity import LiquidityChange, compute_liquidity_change
from simulator.pool_record import PoolRecord, record_of
from simulator.pool_snapshot import policy_of, snapshot_of, tick_info
from simulator.pool_state import (
    Storage,
    balances_after,
    check_unsigned,
    cumulatives_inside,
    oracle_state,
    write_observation,
)
from simulator.pool_swap import SwapQuote, commit_swap, compute_swap, swap_quote
from simulator.snapshot import PoolSnapshot

__all__ = ["Pool", "PoolRevert", "PositionInfo", "PositionKey", "SwapQuote", "TickInfo"]

PositionKey: TypeAlias = tuple[Hashable, int, int]


class Pool:
    """One pool. Fields are the contract's storage and may be read at any time; verbs are the contract's functions.

    `balance0` and `balance1` are the pool's tokens. A pool made from a snapshot does not know them: there they count
    from 0 at the snapshot, may be negative, and the transfer revert TF cannot occur.
    """

    __slots__ = (
        "balance0",
        "balance1",
        "fee_growth_global_0_x128",
        "fee_growth_global_1_x128",
        "fee_pips",
        "fee_policy",
        "fee_protocol",
        "knows_balances",
        "liquidity",
        "max_liquidity_per_tick",
        "observation_cardinality",
        "observation_cardinality_next",
        "observation_index",
        "observations",
        "positions",
        "protocol_fees_0",
        "protocol_fees_1",
        "sqrt_price_x96",
        "tick",
        "tick_bitmap",
        "tick_spacing",
        "ticks",
        "timestamp",
    )

    def __init__(self, fee_pips: int, tick_spacing: int, fee_policy: ProtocolFeePolicy = UNISWAP_V3) -> None:
        check_ints(fee_pips, tick_spacing)
        if not (0 <= fee_pips < PIPS and 0 < tick_spacing <= MAX_TICK):
            raise SimulationError("a pool needs 0 <= fee_pips < 1e6 and 0 < tick_spacing <= 887272", fee_pips=fee_pips)
        self.fee_pips, self.tick_spacing = fee_pips, tick_spacing
        self.fee_policy = fee_policy
        self.max_liquidity_per_tick = tick_spacing_to_max_liquidity_per_tick(tick_spacing)
        self.timestamp = 0
        self.sqrt_price_x96 = 0
        self.tick = 0
        self.liquidity = 0
        self.fee_growth_global_0_x128 = 0
        self.fee_growth_global_1_x128 = 0
        self.protocol_fees_0 = 0
        self.protocol_fees_1 = 0
        self.fee_protocol = 0
        self.observation_index = 0
        self.observation_cardinality = 0
        self.observation_cardinality_next = 0
        self.observations: list[Observation] = []
        self.ticks: Storage[int, TickInfo] = Storage(EMPTY_TICK)
        self.tick_bitmap: Storage[int, int] = Storage(0)
        self.positions: Storage[PositionKey, PositionInfo] = Storage(EMPTY_POSITION)
        self.balance0 = 0
        self.balance1 = 0
        self.knows_balances = True

    # --- The contract's verbs ---------------------------------------------------------------------------------------

    def initialize(self, sqrt_price_x96: int) -> None:
        """Set the first price. Reverts: "AI" when already set, "R" outside the tick range."""
        check_unsigned(sqrt_price_x96, MASK_160)
        if self.sqrt_price_x96 != 0:
            raise PoolRevert("AI")
        self.tick = get_tick_at_sqrt_ratio(sqrt_price_x96)
        self.sqrt_price_x96 = sqrt_price_x96
        self.fee_protocol = self.fee_policy.initial_fee_protocol(self.fee_pips)
        self.observation_cardinality, self.observation_cardinality_next = oracle.initialize(
            self.observations, self.timestamp & MASK_32
        )

    def mint(self, owner: Hashable, tick_lower: int, tick_upper: int, amount: int) -> tuple[int, int]:
        """Add liquidity to an owner's position.

        Parameters: amount  uint128 liquidity, > 0   ·   owner  anything hashable
        Returns:    (amount0, amount1) raw, ceil: what the payer owes the pool
        Raises:     PoolRevert: "LOK", "TLU" "TLM" "TUM", "LO", "" for an amount of 0 or above int128 and for a tick
                    off the spacing
        Source:     v3-core UniswapV3Pool.mint
        """
        check_unsigned(amount, MASK_128)
        self._require_unlocked()
        if amount == 0:
            raise PoolRevert
        key = (owner, tick_lower, tick_upper)
        change = compute_liquidity_change(self, tick_lower, tick_upper, amount, self.positions[key])
        self._commit_balances(change.amount0, change.amount1)
        self._commit_liquidity(change, key)
        return change.amount0, change.amount1

    def burn(self, owner: Hashable, tick_lower: int, tick_upper: int, amount: int) -> tuple[int, int]:
        """Remove liquidity from an owner's position and count its fees; the tokens stay owed until collected.

        Parameters: amount  uint128 liquidity, 0 = only count fees
        Returns:    (amount0, amount1) raw, floor: the principal now owed, without fees
        Raises:     PoolRevert: "LOK", "TLU" "TLM" "TUM", "LS" for more than there is, "NP" for 0 of nothing, ""
                    above int128
        Source:     v3-core UniswapV3Pool.burn
        """
        check_unsigned(amount, MASK_128)
        self._require_unlocked()
        key = (owner, tick_lower, tick_upper)
        change = compute_liquidity_change(self, tick_lower, tick_upper, -to_int128(amount), self.positions[key])
        self._commit_liquidity(change, key)
        amount0, amount1 = -change.amount0, -change.amount1
        self.positions[key] = add_owed(self.positions[key], amount0, amount1)
        return amount0, amount1

    def collect(
        self, owner: Hashable, tick_lower: int, tick_upper: int, amount0_requested: int, amount1_requested: int
    ) -> tuple[int, int]:
        """Pay out what a position is owed, up to what is requested.

        Parameters: amount*_requested  uint128 raw
        Returns:    (amount0, amount1) raw, exact
        Raises:     PoolRevert: "LOK", "TF" if the pool does not hold the tokens
        Source:     v3-core UniswapV3Pool.collect
        """
        check_ints(tick_lower, tick_upper)
        check_unsigned(amount0_requested, MASK_128)
        check_unsigned(amount1_requested, MASK_128)
        self._require_unlocked()
        key = (owner, tick_lower, tick_upper)
        position = self.positions[key]
        amount0 = min(amount0_requested, position.tokens_owed_0)
        amount1 = min(amount1_requested, position.tokens_owed_1)
        if amount0 or amount1:
            self._commit_balances(-amount0, -amount1)
            self.positions[key] = add_owed(position, -amount0, -amount1)
        return amount0, amount1

    def swap(
        self,
        zero_for_one: bool,  # noqa: FBT001 the contract's own order of arguments, as the public face fixes it
        amount_specified: int,
        sqrt_price_limit_x96: int | None,
    ) -> tuple[int, int]:
        """Swap tokens.

        Parameters: amount_specified  int256 raw, > 0 exact input, < 0 exact output
                    sqrt_price_limit_x96  Q64.96, None = no limit
        Returns:    (amount0, amount1) raw, positive paid to the pool (ceil), negative paid out (floor)
        Raises:     PoolRevert: "AS", "LOK", "SPL", "TF" if the pool does not hold the output
        Source:     v3-core UniswapV3Pool.swap
        """
        outcome = compute_swap(self, amount_specified, sqrt_price_limit_x96, zero_for_one=zero_for_one)
        self._commit_balances(outcome.amount0, outcome.amount1)
        commit_swap(self, outcome, zero_for_one=zero_for_one)
        if zero_for_one:
            self.protocol_fees_0 = (self.protocol_fees_0 + outcome.protocol_fee) & MASK_128
        else:
            self.protocol_fees_1 = (self.protocol_fees_1 + outcome.protocol_fee) & MASK_128
        return outcome.amount0, outcome.amount1

    def flash(self, amount0: int, amount1: int, pay0: int, pay1: int) -> None:
        """Lend tokens within one call; the borrower pays back `pay0` and `pay1`, principal included.

        Parameters: amount*, pay*  uint256 raw
        Returns:    nothing; what is paid above the principal becomes fees of the active liquidity (growth Q128, floor)
        Raises:     PoolRevert: "LOK", "L" without active liquidity, "TF" beyond the balance, "F0" "F1" for too small a
                    payment (the fee is rounded up), "" if a payment overflows the fee growth
        Source:     v3-core UniswapV3Pool.flash
        """
        paid0, paid1 = compute_flash(self, amount0, amount1, pay0, pay1, fee_pips=self.fee_pips)
        setting0, setting1 = self.fee_policy.decode(self.fee_protocol)
        protocol0, growth0_x128 = self._split_flash_fee(paid0, setting0)
        protocol1, growth1_x128 = self._split_flash_fee(paid1, setting1)
        self._commit_balances(paid0, paid1)
        self.protocol_fees_0 = (self.protocol_fees_0 + protocol0) & MASK_128
        self.protocol_fees_1 = (self.protocol_fees_1 + protocol1) & MASK_128
        self.fee_growth_global_0_x128 = (self.fee_growth_global_0_x128 + growth0_x128) & MASK_256
        self.fee_growth_global_1_x128 = (self.fee_growth_global_1_x128 + growth1_x128) & MASK_256

    def set_fee_protocol(self, fee_protocol0: int, fee_protocol1: int) -> None:
        """Set the protocol's share of each token's fees, in the terms of `fee_policy`: Uniswap's 1/n, n = 0 (none) or
        4 .. 10; PancakeSwap's n/10000, n = 0 or 1000 .. 4000. Reverts: "LOK", "".
        """
        check_ints(fee_protocol0, fee_protocol1)
        self._require_unlocked()
        if not all(self.fee_policy.is_allowed(setting) for setting in (fee_protocol0, fee_protocol1)):
            raise PoolRevert
        self.fee_protocol = self.fee_policy.encode(fee_protocol0, fee_protocol1)

    def collect_protocol(self, amount0_requested: int, amount1_requested: int) -> tuple[int, int]:
        """Pay out the protocol's fees, up to what is requested; the last unit of each always stays.

        Parameters: amount*_requested  uint128 raw
        Returns:    (amount0, amount1) raw, exact
        Raises:     PoolRevert: "LOK", "TF" if the pool does not hold the tokens
        Source:     v3-core UniswapV3Pool.collectProtocol
        """
        check_unsigned(amount0_requested, MASK_128)
        check_unsigned(amount1_requested, MASK_128)
        self._require_unlocked()
        amount0 = min(amount0_requested, max(self.protocol_fees_0 - 1, 0))
        amount1 = min(amount1_requested, max(self.protocol_fees_1 - 1, 0))
        self._commit_balances(-amount0, -amount1)
        self.protocol_fees_0 -= amount0
        self.protocol_fees_1 -= amount1
        return amount0, amount1

    def increase_observation_cardinality_next(self, n: int) -> None:
        """Let the oracle's ring grow to `n` slots (uint16), one lap from now. Reverts: "LOK"."""
        check_unsigned(n, 2**16 - 1)
        self._require_unlocked()
        self.observation_cardinality_next = oracle.grow(self.observations, self.observation_cardinality_next, n)

    def observe(self, seconds_agos: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return (tick_cumulatives, seconds_per_liquidity_cumulative_x128s) as of each age. Reverts: "I", "OLD"."""
        for seconds_ago in seconds_agos:
            check_unsigned(seconds_ago, MASK_32)
        return oracle.observe(self.observations, self.timestamp & MASK_32, seconds_agos, oracle_state(self))

    def snapshot_cumulatives_inside(self, tick_lower: int, tick_upper: int) -> tuple[int, int, int]:
        """Return (tick_cumulative, seconds_per_liquidity_x128, seconds) inside. Reverts: "TLU" "TLM" "TUM" ""."""
        return cumulatives_inside(self, tick_lower, tick_upper)

    # --- Ours -------------------------------------------------------------------------------------------------------

    def apply_liquidity(self, tick_lower: int, tick_upper: int, liquidity_delta: int) -> tuple[int, int]:
        """Add or remove liquidity that has no owner here; removed tokens leave at once.

        Parameters: liquidity_delta  int128; 0 changes nothing
        Returns:    (amount0, amount1) raw, as mint (ceil) or burn (floor) would return them
        Raises:     PoolRevert as mint and burn do, but never "NP"; "TF" if the pool does not hold the tokens
        Source:     v3-core UniswapV3Pool._modifyPosition without its position
        """
        check_ints(liquidity_delta)
        self._require_unlocked()
        change = compute_liquidity_change(self, tick_lower, tick_upper, liquidity_delta, None)
        self._commit_balances(change.amount0, change.amount1)
        self._commit_liquidity(change, None)
        return abs(change.amount0), abs(change.amount1)

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
        outcome = compute_swap(self, amount_specified, sqrt_price_limit_x96, zero_for_one=zero_for_one)
        balances_after(self, outcome.amount0, outcome.amount1)
        asked = amount_specified, sqrt_price_limit_x96
        return swap_quote(outcome[:5], *asked, zero_for_one=zero_for_one, partial=partial)

    def fee_growth_inside(self, tick_lower: int, tick_upper: int) -> tuple[int, int]:
        """Return the fee growth per unit of liquidity inside a range, Q128 modulo 2**256."""
        check_ints(tick_lower, tick_upper)
        growths = self.fee_growth_global_0_x128, self.fee_growth_global_1_x128
        return get_fee_growth_inside(self.ticks, tick_lower, tick_upper, self.tick, *growths)

    def fees_owed(self, owner: Hashable, tick_lower: int, tick_upper: int) -> tuple[int, int]:
        """Return (owed0, owed1), raw, floor: what a position could collect after burning nothing. Changes nothing."""
        growths = self.fee_growth_inside(tick_lower, tick_upper)
        return tokens_owed(self.positions[(owner, tick_lower, tick_upper)], *growths)

    def copy(self) -> Pool:
        """Return an independent pool in the same state. Cheap: the records in its mappings are immutable and shared."""
        twin = Pool.__new__(Pool)
        for name in Pool.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.observations = self.observations.copy()
        twin.ticks = self.ticks.copy()
        twin.tick_bitmap = self.tick_bitmap.copy()
        twin.positions = self.positions.copy()
        return twin

    @classmethod
    def from_snapshot(cls, snapshot: PoolSnapshot) -> Pool:
        """Return the pool of a snapshot: no positions, an oracle that starts there. Raises SimulationError.

        A Slipstream pool is another class's (`simulator.slipstream_snapshot`).
        """
        pool = cls(snapshot.fee_pips, snapshot.tick_spacing, policy_of(snapshot))
        pool.timestamp = snapshot.timestamp
        pool.initialize(snapshot.sqrt_price_x96)
        pool.tick = snapshot.tick  # one below the price's own tick after a fall that ended exactly on it
        pool.liquidity = snapshot.liquidity
        pool.fee_growth_global_0_x128 = snapshot.fee_growth_global_0_x128
        pool.fee_growth_global_1_x128 = snapshot.fee_growth_global_1_x128
        pool.fee_protocol = snapshot.fee_protocol
        pool._set_ticks((tick, tick_info(state)) for tick, state in snapshot.ticks)
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
    def from_json(cls, value: dict[str, Any]) -> Pool:
        """Return the pool that `to_json` of either engine wrote. Raises SimulationError."""
        return cls.from_record(PoolRecord.from_json(value))

    @classmethod
    def from_record(cls, record: PoolRecord) -> Pool:
        """Return the pool of a record, which is taken to agree with itself."""
        pool = cls(record.fee_pips, record.tick_spacing, record.fee_policy)
        pool.knows_balances = record.knows_balances
        for name, value in record.scalars.items():
            setattr(pool, name, value)
        pool.observations.extend(record.observations)
        pool._set_ticks(record.ticks)
        pool.positions.update(record.positions)
        return pool

    # --- Compute, then commit ---------------------------------------------------------------------------------------

    def _require_unlocked(self) -> None:
        if self.sqrt_price_x96 == 0:
            raise PoolRevert("LOK")

    def _set_ticks(self, ticks: Iterable[tuple[int, TickInfo]]) -> None:
        self.ticks.update(ticks)
        for tick in self.ticks:
            tick_bitmap.flip_tick(self.tick_bitmap, tick, self.tick_spacing)

    def _commit_balances(self, change0: int, change1: int) -> None:
        self.balance0, self.balance1 = balances_after(self, change0, change1)

    def _commit_liquidity(self, change: LiquidityChange, key: PositionKey | None) -> None:
        if change.liquidity is not None:
            write_observation(self)
            self.liquidity = change.liquidity
        for tick, info, flipped in change.ticks:
            if flipped:
                tick_bitmap.flip_tick(self.tick_bitmap, tick, self.tick_spacing)
            if info.liquidity_gross:
                self.ticks[tick] = info
            else:
                del self.ticks[tick]
        if key is not None and change.position is not None:
            self.positions[key] = change.position

    def _split_flash_fee(self, paid: int, setting: int) -> tuple[int, int]:
        """Return (the protocol's share cut to uint128, the fee growth Q128 of the rest), both floor."""
        share = self.fee_policy.share_of_flash_fee(paid, setting)
        return share & MASK_128, mul_div(paid - share, Q128, self.liquidity)
