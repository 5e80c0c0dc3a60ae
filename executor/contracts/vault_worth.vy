# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title  What Tideline's vault is worth, and what it may lose
@notice Worth is always taken at the pool's mean prices over two windows, of idle tokens and own liquidity alike, never
        at the price of the moment. Fees that wait in the pool are not in it.
"""

import vault_limits as bounds
import vault_math as math
import vault_pool as pool
import vault_positions as book
import vault_roles as roles

uses: bounds
uses: pool
uses: book
uses: roles

# The pool's mean over each window: its tick, and that tick's ratio.
struct Means:
    short_tick: int256
    long_tick: int256
    short_x96: uint256
    long_x96: uint256

# In the middle unit of `math.worth`, at each mean.
struct Worth:
    short: uint256
    long: uint256

MAX_POSITIONS: constant(uint256) = 50
HOURS: constant(uint256) = 25

lost_in_hour_x18: public(HashMap[uint256, uint256])

# Where the long mean stood at the last call, under which appointment, and how far it had come: every tick of its way
# counts, and a day wears off as many as a day may hold.
drift: public(uint256)
drift_tick: public(int256)
drift_appointment: public(uint256)


@external
@view
def nav() -> (uint256, uint256):
    """@return worth in token1 at the short and at the long mean"""
    means: Means = self.means()
    worth: Worth = self.of(book.words, means)
    return self.in_token1(worth.short, means.short_x96), self.in_token1(worth.long, means.long_x96)


@external
@view
def daily_loss_x18() -> uint256:
    return self._lost_in_a_day()


@internal
@view
def means() -> Means:
    short_s: uint256 = bounds.limits.twap_short_s
    long_s: uint256 = bounds.limits.twap_long_s
    before_long: int256 = 0
    before_short: int256 = 0
    now: int256 = 0
    before_long, before_short, now = pool.tick_cumulatives(long_s, short_s)
    short: int256 = math.mean_tick(before_short, now, convert(short_s, int256))
    long: int256 = math.mean_tick(before_long, now, convert(long_s, int256))
    return Means(
        short_tick=short,
        long_tick=long,
        short_x96=math.get_sqrt_ratio_at_tick(short),
        long_x96=math.get_sqrt_ratio_at_tick(long),
    )


@internal
@view
def check_price(means: Means):
    tick: int256 = pool.tick()
    most: int256 = bounds.limits.max_deviation
    assert abs(tick - means.short_tick) <= most and abs(tick - means.long_tick) <= most, "price off its mean"


@internal
def charge_drift(tick: int256, since: uint256):
    """
    @notice Book how far the long mean has come since the last call. All losses are counted at the means: who can move
            those at will, as in a pool that the vault itself has emptied, would have everything without this.
    """
    drift: uint256 = 0
    # The owner who appoints a keeper accepts the price that the first call finds.
    if self.drift_appointment == roles.appointments:
        most: uint256 = bounds.limits.max_daily_drift
        worn: uint256 = (block.timestamp - since) * most // 86400
        drift = self.drift - min(worn, self.drift) + convert(abs(tick - self.drift_tick), uint256)
        assert drift <= most, "price drifted"
    else:
        self.drift_appointment = roles.appointments
    self.drift = drift
    self.drift_tick = tick


@internal
@view
def of(words: DynArray[uint256, MAX_POSITIONS], means: Means) -> Worth:
    idle0: uint256 = pool.idle(pool.TOKEN0)
    idle1: uint256 = pool.idle(pool.TOKEN1)
    worth: Worth = Worth(
        short=math.worth(means.short_x96, idle0, idle1), long=math.worth(means.long_x96, idle0, idle1)
    )
    for word: uint256 in words:
        position: book.Position = book.unpack(word)
        lower: uint256 = math.get_sqrt_ratio_at_tick(convert(position.tick_lower, int256))
        upper: uint256 = math.get_sqrt_ratio_at_tick(convert(position.tick_upper, int256))
        worth.short += self._of_liquidity(means.short_x96, lower, upper, position.liquidity)
        worth.long += self._of_liquidity(means.long_x96, lower, upper, position.liquidity)
    return worth


@internal
@pure
def _of_liquidity(sqrt_price: uint256, lower: uint256, upper: uint256, liquidity: uint128) -> uint256:
    amount0: uint256 = 0
    amount1: uint256 = 0
    amount0, amount1 = math.get_amounts_for_liquidity(sqrt_price, lower, upper, convert(liquidity, uint256))
    return math.worth(sqrt_price, amount0, amount1)


@internal
def charge(before: Worth, after: Worth, means: Means, fees0: uint256, fees1: uint256) -> (uint256, uint256):
    """
    @notice Book what a call has lost, at the worse of the two means; reverts beyond the budgets. Fees that the call
            collected make up for nothing.
    @return the loss, and with it that of the day, in units of 1e-18 of the worth before
    """
    loss: uint256 = max(
        self._loss(before.short, after.short, math.worth(means.short_x96, fees0, fees1)),
        self._loss(before.long, after.long, math.worth(means.long_x96, fees0, fees1)),
    )
    assert loss <= bounds.limits.max_loss_ppm * 10**12, "loss"
    self.lost_in_hour_x18[block.timestamp // 3600] += loss
    daily_loss: uint256 = self._lost_in_a_day()
    assert daily_loss <= bounds.limits.max_daily_loss_ppm * 10**12, "daily loss"
    return loss, daily_loss


@internal
@pure
def _loss(before: uint256, after: uint256, fees: uint256) -> uint256:
    assert after >= fees, "loss"
    kept: uint256 = after - fees
    return math.mul_div_rounding_up(before - kept, 10**18, before) if kept < before else 0


@internal
@view
def _lost_in_a_day() -> uint256:
    """@return the losses of this hour and the 24 before it: never less than those of any 24 hours"""
    hour: uint256 = block.timestamp // 3600
    lost: uint256 = 0
    for ago: uint256 in range(HOURS):
        lost += self.lost_in_hour_x18[hour - ago]
    return lost


@internal
@pure
def in_token1(worth: uint256, sqrt_price: uint256) -> uint256:
    return math.mul_div(worth, sqrt_price, 2**128)
