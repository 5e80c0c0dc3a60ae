# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title  How far a keeper may go in Tideline's vault
@notice The owner tightens at once and loosens after a wait, never beyond what is written here.
"""

import vault_roles as roles

uses: roles

# Shares are parts per million of the vault's worth; distances are ticks.
struct Limits:
    twap_short_s: uint256
    twap_long_s: uint256
    max_deviation: int256  # of the pool's tick from each mean, before and after
    min_width: int256
    max_distance: int256  # of a new range's nearer edge from the long mean
    max_positions: uint256
    cooldown_s: uint256
    max_loss_ppm: uint256
    max_daily_loss_ppm: uint256
    max_daily_drift: uint256  # ticks that the long mean may come a day, from call to call, before the owner looks again

event LimitsAnnounced:
    limits: Limits

event LimitsSet:
    limits: Limits

MAX_POSITIONS: constant(uint256) = 50
LOOSENING_DELAY_S: constant(uint256) = 2 * 86400

TICK_SPACING: public(immutable(int24))
limits: public(Limits)
announced_hash: public(bytes32)
announced_at: public(uint256)


@deploy
def __init__(tick_spacing: int24, limits: Limits):
    TICK_SPACING = tick_spacing
    self._check_bounds(limits, convert(tick_spacing, int256))
    self.limits = limits
    log LimitsSet(limits=limits)


@external
def announce_limits(limits: Limits):
    """@notice Begin the wait that looser limits need"""
    roles.only_owner()
    self._check_bounds(limits, convert(TICK_SPACING, int256))
    self.announced_hash = keccak256(abi_encode(limits))
    self.announced_at = block.timestamp
    log LimitsAnnounced(limits=limits)


@external
def set_limits(limits: Limits):
    """@notice Tighter limits at once; anything else as announced, when the wait is over"""
    roles.only_owner()
    self._check_bounds(limits, convert(TICK_SPACING, int256))
    if not self._is_tighter(limits):
        assert self.announced_hash == keccak256(abi_encode(limits)), "not announced"
        assert block.timestamp >= self.announced_at + LOOSENING_DELAY_S, "too early"
    self.limits = limits
    self.announced_hash = empty(bytes32)
    log LimitsSet(limits=limits)


@internal
@pure
def _check_bounds(limits: Limits, tick_spacing: int256):
    """@notice What no owner can set: beyond these the limits would protect nothing"""
    assert limits.twap_short_s >= 60 and limits.twap_short_s <= 600, "twap_short_s"
    assert limits.twap_long_s >= 600 and limits.twap_long_s <= 7200, "twap_long_s"
    assert limits.max_deviation >= 1 and limits.max_deviation <= 300, "max_deviation"
    assert limits.min_width >= 2 * tick_spacing and limits.min_width <= 20_000, "min_width"
    assert limits.max_distance >= 0 and limits.max_distance <= 20_000, "max_distance"
    assert limits.max_positions >= 1 and limits.max_positions <= MAX_POSITIONS, "max_positions"
    assert limits.cooldown_s >= 60 and limits.cooldown_s <= 86400, "cooldown_s"
    assert limits.max_loss_ppm <= 20_000, "max_loss_ppm"
    assert limits.max_daily_loss_ppm <= 50_000, "max_daily_loss_ppm"
    assert limits.max_daily_drift >= 100 and limits.max_daily_drift <= 20_000, "max_daily_drift"


@internal
@view
def _is_tighter(new: Limits) -> bool:
    old: Limits = self.limits
    return (
        new.twap_short_s >= old.twap_short_s
        and new.twap_long_s >= old.twap_long_s
        and new.max_deviation <= old.max_deviation
        and new.min_width >= old.min_width
        and new.max_distance <= old.max_distance
        and new.max_positions <= old.max_positions
        and new.cooldown_s >= old.cooldown_s
        and new.max_loss_ppm <= old.max_loss_ppm
        and new.max_daily_loss_ppm <= old.max_daily_loss_ppm
        and new.max_daily_drift <= old.max_daily_drift
    )


@internal
@view
def check_range(tick_lower: int24, tick_upper: int24, mean_tick: int256):
    lower: int256 = convert(tick_lower, int256)
    upper: int256 = convert(tick_upper, int256)
    distance: int256 = self.limits.max_distance
    assert upper - lower >= self.limits.min_width, "too narrow"
    assert lower - mean_tick <= distance and mean_tick - upper <= distance, "too far"
