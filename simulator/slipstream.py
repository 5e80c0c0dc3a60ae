"""A Slipstream pool (Aerodrome on Base) in plain Python integers: a V3 pool whose liquidity can be staked.

Added are a fee that may follow the price, a gauge that takes fees and a levy, stakes by tick, and emissions on them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from protocol.errors import SimulationError
from simulator.math.integers import MASK_32, MASK_128, MASK_256
from simulator.math.liquidity_math import add_delta
from simulator.math.oracle import Observation
from simulator.math.position import PositionInfo, add_owed
from simulator.math.revert import PoolRevert
from simulator.math.swap_math import PIPS
from simulator.math.tick import check_ticks
from simulator.pool import Pool, PositionKey
from simulator.pool_flash import compute_flash
from simulator.pool_state import Storage, balances_after, check_unsigned
from simulator.pool_swap import SwapOutcome, SwapQuote, commit_swap, compute_swap, swap_quote
from simulator.slipstream_fee import DEFAULT_UNSTAKED_FEE_PIPS, MAX_SWAP_FEE_PIPS, MAX_TICK_SPACING, DynamicFee
from simulator.slipstream_fields import KeptBy
from simulator.slipstream_reward import Rewards, sync_reward, update_rewards_growth_global
from simulator.slipstream_stake import move_position, owed_as, stake_ticks
from simulator.slipstream_swap import StakedSwap, calculate_fees
from simulator.slipstream_tick import EMPTY_STAKE, CLTickInfo, CLTicks, StakeInfo, get_reward_growth_inside

__all__ = ["CLPool", "CLTickInfo", "DynamicFee", "PoolRevert"]


class CLPool:
    """One pool. Fields are the contract's storage and may be read at any time; verbs are the contract's functions.

    `gauge` and `nft` are the owners under which the gauge's and the position manager's positions are kept; what only
    they may call has an argument `by` that defaults to them. Without a gauge (None) nothing can be staked and there is
    no levy. `fee_pips` is what a swap would cost now, `unstaked_fee_pips` the levy on the fees of unstaked liquidity.
    """

    __slots__ = (
        "_core",
        "_fixed_fee_pips",
        "_rewards",
        "_stakes",
        "_unstaked_fee_pips",
        "default_fee_pips",
        "dynamic_fee",
        "gauge",
        "gauge_fees_0",
        "gauge_fees_1",
        "nft",
        "staked_liquidity",
    )

    timestamp = KeptBy[int]("_core", writable=True)
    tick_spacing = KeptBy[int]("_core")
    max_liquidity_per_tick = KeptBy[int]("_core")
    sqrt_price_x96 = KeptBy[int]("_core")
    tick = KeptBy[int]("_core")
    liquidity = KeptBy[int]("_core", writable=True)
    fee_growth_global_0_x128 = KeptBy[int]("_core")
    fee_growth_global_1_x128 = KeptBy[int]("_core")
    observation_index = KeptBy[int]("_core")
    observation_cardinality = KeptBy[int]("_core")
    observation_cardinality_next = KeptBy[int]("_core")
    observations = KeptBy[list[Observation]]("_core")
    tick_bitmap = KeptBy[Storage[int, int]]("_core")
    positions = KeptBy[Storage[PositionKey, PositionInfo]]("_core")
    balance0 = KeptBy[int]("_core")
    balance1 = KeptBy[int]("_core")
    reward_growth_global_x128 = KeptBy[int]("_rewards")
    reward_rate = KeptBy[int]("_rewards")
    reward_reserve = KeptBy[int]("_rewards")
    period_finish = KeptBy[int]("_rewards")
    rollover = KeptBy[int]("_rewards")
    last_updated = KeptBy[int]("_rewards")

    def __init__(
        self,
        tick_spacing: int,
        fee_pips: int,
        *,
        dynamic_fee: DynamicFee | None = None,
        unstaked_fee_pips: int = DEFAULT_UNSTAKED_FEE_PIPS,
        gauge: Hashable | None = "gauge",
        nft: Hashable = "nft",
    ) -> None:
        if not 0 <= fee_pips <= MAX_SWAP_FEE_PIPS or not 0 < tick_spacing <= MAX_TICK_SPACING:
            raise SimulationError("a Slipstream pool needs fee_pips <= 1e5 and tick_spacing < 16384", fee_pips=fee_pips)
        self._core = Pool(fee_pips, tick_spacing)
        self._stakes: Storage[int, StakeInfo] = Storage(EMPTY_STAKE)
        self._rewards = Rewards()
        self.default_fee_pips = fee_pips
        self.dynamic_fee = dynamic_fee
        self.gauge, self.nft = gauge, nft
        self.staked_liquidity = self.gauge_fees_0 = self.gauge_fees_1 = 0
        self.set_fees(fee_pips, unstaked_fee_pips)

    # --- What it is now ---------------------------------------------------------------------------------------------

    @property
    def ticks(self) -> CLTicks:
        """The initialised ticks; reading another one gives the empty record."""
        return CLTicks(self._core.ticks, self._stakes)

    @property
    def fee_pips(self) -> int:
        """What a swap costs at the present time and tick, 1e-6. Source: slipstream CLPool.fee, CLFactory.getSwapFee."""
        if self.dynamic_fee is not None:
            return self.dynamic_fee.fee_pips(self.default_fee_pips, self._core)
        return self._fixed_fee_pips

    @fee_pips.setter
    def fee_pips(self, value: int) -> None:
        self.dynamic_fee, self._fixed_fee_pips = None, value  # nothing else decides it from now on

    @property
    def unstaked_fee_pips(self) -> int:
        """The gauge's part of the fees of unstaked liquidity, 1e-6. Source: slipstream CLFactory.getUnstakedFee."""
        return 0 if self.gauge is None else self._unstaked_fee_pips

    # --- The verbs of a V3 pool -------------------------------------------------------------------------------------

    def initialize(self, sqrt_price_x96: int) -> None:
        """Set the first price. Reverts: "" when already set (a factory does it at creation), "R" outside the range."""
        if self._core.sqrt_price_x96:
            raise PoolRevert
        self._core.initialize(sqrt_price_x96)

    def mint(self, owner: Hashable, tick_lower: int, tick_upper: int, amount: int) -> tuple[int, int]:
        """Add liquidity to an owner's position, as `Pool.mint` does. What the gauge owns earns no swap fees."""
        key = (owner, tick_lower, tick_upper)
        before = self._core.positions[key]
        amounts = self._core.mint(owner, tick_lower, tick_upper, amount)
        self._withhold_fees(key, before, 0, 0)
        return amounts

    def burn(
        self, owner: Hashable, tick_lower: int, tick_upper: int, amount: int, *, by: Hashable | None = None
    ) -> tuple[int, int]:
        """Remove liquidity from an owner's position, as `Pool.burn` does. What the gauge owns earns no swap fees.

        Parameters: by  who calls, the owner (None) or the position manager
        Returns:    (amount0, amount1) raw, floor: the principal now owed, without fees
        Raises:     PoolRevert as Pool.burn does; "NNFT" for another's position
        Source:     slipstream CLPool.burn, both overloads
        """
        self._require_caller(by, owner, self.nft, reason="NNFT")
        key = (owner, tick_lower, tick_upper)
        before = self._core.positions[key]
        amounts = self._core.burn(owner, tick_lower, tick_upper, amount)
        self._withhold_fees(key, before, *amounts)
        self._forget_stakes(tick_lower, tick_upper)
        return amounts

    def collect(
        self,
        owner: Hashable,
        tick_lower: int,
        tick_upper: int,
        amount0_requested: int,
        amount1_requested: int,
        *,
        by: Hashable | None = None,
    ) -> tuple[int, int]:
        """Pay out what a position is owed, as `Pool.collect` does. Reverts also: "NNFT" for another's position."""
        self._require_caller(by, owner, self.nft, reason="NNFT")
        return self._core.collect(owner, tick_lower, tick_upper, amount0_requested, amount1_requested)

    def swap(
        self,
        zero_for_one: bool,  # noqa: FBT001 the contract's own order of arguments, as the public face fixes it
        amount_specified: int,
        sqrt_price_limit_x96: int | None,
    ) -> tuple[int, int]:
        """Swap tokens at the fee that holds before the first step.

        Parameters: amount_specified  int256 raw, > 0 exact input, < 0 exact output
                    sqrt_price_limit_x96  Q64.96, None = no limit
        Returns:    (amount0, amount1) raw, positive paid to the pool (ceil), negative paid out (floor)
        Raises:     PoolRevert: as Pool.swap does; "" if emissions overflow, "LS" "LA" if stakes do not add up
        Source:     slipstream CLPool.swap
        """
        outcome, terms = self._compute_swap(amount_specified, sqrt_price_limit_x96, zero_for_one=zero_for_one)
        core = self._core
        core.balance0, core.balance1 = balances_after(core, outcome.amount0, outcome.amount1)
        commit_swap(core, outcome, zero_for_one=zero_for_one)
        self.staked_liquidity, self._rewards = terms.staked_liquidity, terms.rewards
        self._stakes.update(terms.crossed)
        if zero_for_one:
            self.gauge_fees_0 = (self.gauge_fees_0 + outcome.protocol_fee) & MASK_128
        else:
            self.gauge_fees_1 = (self.gauge_fees_1 + outcome.protocol_fee) & MASK_128
        return outcome.amount0, outcome.amount1

    def flash(self, amount0: int, amount1: int, pay0: int, pay1: int) -> None:
        """Lend tokens within one call; the borrower pays back `pay0` and `pay1`, principal included.

        Parameters: amount*, pay*  uint256 raw
        Returns:    nothing; what is paid above the principal is divided as a swap's fee is
        Raises:     PoolRevert: as Pool.flash does
        Source:     slipstream CLPool.flash
        """
        core = self._core
        paid0, paid1 = compute_flash(core, amount0, amount1, pay0, pay1, fee_pips=self.fee_pips)
        shares = self.staked_liquidity, self.unstaked_fee_pips
        growth0_x128, kept0 = calculate_fees(paid0, core.liquidity, *shares)
        growth1_x128, kept1 = calculate_fees(paid1, core.liquidity, *shares)
        core.balance0, core.balance1 = balances_after(core, paid0, paid1)
        core.fee_growth_global_0_x128 = (core.fee_growth_global_0_x128 + growth0_x128) & MASK_256
        core.fee_growth_global_1_x128 = (core.fee_growth_global_1_x128 + growth1_x128) & MASK_256
        self.gauge_fees_0 = (self.gauge_fees_0 + kept0) & MASK_128
        self.gauge_fees_1 = (self.gauge_fees_1 + kept1) & MASK_128

    def increase_observation_cardinality_next(self, n: int) -> None:
        """Let the oracle's ring grow to `n` slots (uint16), one lap from now. Reverts: "LOK"."""
        self._core.increase_observation_cardinality_next(n)

    def observe(self, seconds_agos: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return (tick_cumulatives, seconds_per_liquidity_cumulative_x128s) as of each age. Reverts: "I", "OLD"."""
        return self._core.observe(seconds_agos)

    def snapshot_cumulatives_inside(self, tick_lower: int, tick_upper: int) -> tuple[int, int, int]:
        """Return (tick_cumulative, seconds_per_liquidity_x128, seconds) inside. Reverts: "TLU" "TLM" "TUM" ""."""
        return self._core.snapshot_cumulatives_inside(tick_lower, tick_upper)

    # --- The gauge's verbs ------------------------------------------------------------------------------------------

    def stake(
        self,
        staked_liquidity_delta: int,
        tick_lower: int,
        tick_upper: int,
        position_update: bool = True,  # noqa: FBT001, FBT002 the contract's own order of arguments
        *,
        by: Hashable | None = None,
    ) -> None:
        """Move liquidity from the position manager to the gauge, or back; no token moves.

        Parameters: staked_liquidity_delta  int128, < 0 to unstake
                    position_update  False moves the staked liquidity alone, and neither position
        Returns:    nothing; the manager's position is owed its fees up to now, floor, the gauge's none
        Raises:     PoolRevert: "LOK", "NG" unless the gauge calls, "LS" "LA" for more than there is, "NP" for a
                    delta of 0 of nothing, "" if a tick's net leaves int128 or emissions overflow
        Source:     slipstream CLPool.stake
        """
        if not -(2**127) <= staked_liquidity_delta < 2**127:
            raise SimulationError("staked_liquidity_delta does not fit int128", value=staked_liquidity_delta)
        self._require_caller(by, self.gauge, reason="NG")
        core = self._core
        rewards, staked_liquidity = self._rewards, self.staked_liquidity
        if tick_lower <= core.tick < tick_upper:
            rewards = self._rewards_now()
            staked_liquidity = add_delta(staked_liquidity, staked_liquidity_delta)
        keys = (self.nft, tick_lower, tick_upper), (self.gauge, tick_lower, tick_upper)
        held = core.positions[keys[0]], core.positions[keys[1]]
        if position_update:
            held = move_position(core, *held, tick_lower, tick_upper, staked_liquidity_delta)
        stakes = stake_ticks(core, self._stakes, tick_lower, tick_upper, staked_liquidity_delta)
        if position_update:
            core.positions.update(zip(keys, held, strict=True))
        self._rewards, self.staked_liquidity = rewards, staked_liquidity
        self._stakes.update(stakes)

    def sync_reward(
        self, reward_rate: int, reward_reserve: int, period_finish: int, *, by: Hashable | None = None
    ) -> None:
        """Begin a period of emissions: tokens a second, tokens in all, its end (uint256 each). Reverts: "LOK", "NG"."""
        for value in (reward_rate, reward_reserve, period_finish):
            check_unsigned(value, MASK_256)
        self._require_caller(by, self.gauge, reason="NG")
        self._rewards = sync_reward(self._rewards, reward_rate, reward_reserve, period_finish)

    def update_rewards_growth_global(self, *, by: Hashable | None = None) -> None:
        """Count the emissions up to now. Reverts: "LOK", "NG", "" if they overflow."""
        self._require_caller(by, self.gauge, reason="NG")
        self._rewards = self._rewards_now()

    def collect_fees(self, *, by: Hashable | None = None) -> tuple[int, int]:
        """Pay the gauge its fees; the last unit of each always stays.

        Parameters: by  who calls, the gauge (None)
        Returns:    (amount0, amount1) raw; where only that last unit is left, the contract says 1 and pays nothing
        Raises:     PoolRevert: "LOK", "NG", "TF" if the pool does not hold the tokens
        Source:     slipstream CLPool.collectFees
        """
        self._require_caller(by, self.gauge, reason="NG")
        paid0, paid1 = max(self.gauge_fees_0 - 1, 0), max(self.gauge_fees_1 - 1, 0)
        self._core.balance0, self._core.balance1 = balances_after(self._core, -paid0, -paid1)
        answer = paid0 or self.gauge_fees_0, paid1 or self.gauge_fees_1
        self.gauge_fees_0 -= paid0
        self.gauge_fees_1 -= paid1
        return answer

    def get_reward_growth_inside(self, tick_lower: int, tick_upper: int, reward_growth_global_x128: int = 0) -> int:
        """Return the growth inside, Q128 mod 2**256, at a global one, 0 = the counted. Reverts: "TLU" "TLM" "TUM"."""
        check_unsigned(reward_growth_global_x128, MASK_256)
        check_ticks(tick_lower, tick_upper)
        growth_x128 = reward_growth_global_x128 or self.reward_growth_global_x128
        return get_reward_growth_inside(self._stakes, tick_lower, tick_upper, self.tick, growth_x128)

    # --- The fee managers' verbs ------------------------------------------------------------------------------------

    def set_fees(self, swap_fee_pips: int, unstaked_fee_pips: int) -> None:
        """Set the fee of a pool without a dynamic one, and the levy on unstaked liquidity.

        Above 10 % and 100 % the factory disregards its modules and takes the defaults, and so does this.
        """
        check_unsigned(swap_fee_pips, 2**24 - 1)
        check_unsigned(unstaked_fee_pips, 2**24 - 1)
        self._fixed_fee_pips = swap_fee_pips if swap_fee_pips <= MAX_SWAP_FEE_PIPS else self.default_fee_pips
        self._unstaked_fee_pips = unstaked_fee_pips if unstaked_fee_pips <= PIPS else DEFAULT_UNSTAKED_FEE_PIPS

    def set_dynamic_fee(
        self, base_fee: int, seconds_ago: int, fee_cap: int, scaling_factor: int, discount: int = 0
    ) -> None:
        """Set the dynamic fee. A `fee_cap` of 0, which the module refuses, leaves cap and scaling factor as they are.

        Reverts as DynamicFee does. Raises SimulationError for a pool that was made without a dynamic fee.
        """
        if self.dynamic_fee is None:
            raise SimulationError("this pool has no dynamic fee: make it with one")
        self.dynamic_fee = self.dynamic_fee.with_settings(base_fee, seconds_ago, fee_cap, scaling_factor, discount)

    # --- Ours -------------------------------------------------------------------------------------------------------

    def apply_liquidity(self, tick_lower: int, tick_upper: int, liquidity_delta: int) -> tuple[int, int]:
        """Add or remove liquidity that has no owner here, unstaked, as `Pool.apply_liquidity` does."""
        amounts = self._core.apply_liquidity(tick_lower, tick_upper, liquidity_delta)
        self._forget_stakes(tick_lower, tick_upper)
        return amounts

    def quote(
        self,
        zero_for_one: bool,  # noqa: FBT001 the same order as swap
        amount_specified: int,
        sqrt_price_limit_x96: int | None = None,
        *,
        partial: bool = False,
    ) -> SwapQuote:
        """Return what `swap` would do, as `Pool.quote` does."""
        outcome, _ = self._compute_swap(amount_specified, sqrt_price_limit_x96, zero_for_one=zero_for_one)
        balances_after(self._core, outcome.amount0, outcome.amount1)
        return swap_quote(
            outcome[:5], amount_specified, sqrt_price_limit_x96, zero_for_one=zero_for_one, partial=partial
        )

    def fee_growth_inside(self, tick_lower: int, tick_upper: int) -> tuple[int, int]:
        """Return the fee growth per unit of unstaked liquidity inside a range, Q128 modulo 2**256."""
        return self._core.fee_growth_inside(tick_lower, tick_upper)

    def fees_owed(self, owner: Hashable, tick_lower: int, tick_upper: int) -> tuple[int, int]:
        """Return (owed0, owed1), raw, floor: what a position could collect after burning nothing. Changes nothing."""
        if self.gauge is not None and owner == self.gauge:
            position = self.positions[(owner, tick_lower, tick_upper)]
            return position.tokens_owed_0, position.tokens_owed_1
        return self._core.fees_owed(owner, tick_lower, tick_upper)

    def copy(self) -> CLPool:
        """Return an independent pool in the same state. Cheap: the records in its mappings are immutable and shared."""
        twin = CLPool.__new__(CLPool)
        for name in CLPool.__slots__:
            setattr(twin, name, getattr(self, name))
        twin._core = self._core.copy()
        twin._stakes = self._stakes.copy()
        return twin

    # --- Compute, then commit ---------------------------------------------------------------------------------------

    def _compute_swap(self, amount: int, limit: int | None, *, zero_for_one: bool) -> tuple[SwapOutcome, StakedSwap]:
        terms = StakedSwap(
            fee_pips=self.fee_pips,
            unstaked_fee_pips=self.unstaked_fee_pips,
            staked_liquidity=self.staked_liquidity,
            stakes=self._stakes,
            rewards=self._rewards,
            time=self.timestamp & MASK_32,
        )
        return compute_swap(self._core, amount, limit, zero_for_one=zero_for_one, terms=terms), terms

    def _rewards_now(self) -> Rewards:
        return update_rewards_growth_global(self._rewards, self.timestamp & MASK_32, self.staked_liquidity)

    def _withhold_fees(self, key: PositionKey, before: PositionInfo, amount0: int, amount1: int) -> None:
        """Let the gauge's position be owed what it was before, and the principal of a burn: its fees are shared."""
        if self.gauge is not None and key[0] == self.gauge:
            self.positions[key] = add_owed(owed_as(self.positions[key], before), amount0, amount1)

    def _forget_stakes(self, *ticks: int) -> None:
        """Clear what was staked on ticks that are no longer initialised, as the contract clears the whole tick."""
        for tick in ticks:
            if tick not in self._core.ticks:
                self._stakes.pop(tick, None)

    def _require_caller(self, by: Hashable | None, *allowed: Hashable, reason: str) -> None:
        """Revert as the contract's modifiers do, in their order; `by` None is the one who may call."""
        if self._core.sqrt_price_x96 == 0:
            raise PoolRevert("LOK")
        if by not in (None, *allowed) or allowed == (None,):
            raise PoolRevert(reason)
