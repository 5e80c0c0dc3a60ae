# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title  Tideline's vault: one owner's liquidity in one Uniswap V3 pool
@notice The owner deposits and withdraws. The keeper moves liquidity between ranges by plans, within limits. The
        guardian can stop the keeper, never the owner. Every entry but the pool's two callbacks is locked while another
        runs, the views too; the lock cannot outlive its transaction.
"""

import vault_limits as bounds
import vault_math as math
import vault_pool as pool
import vault_positions as book
import vault_roles as roles
import vault_worth as worth

initializes: roles
initializes: bounds[roles := roles]
initializes: pool
initializes: book
initializes: worth[bounds := bounds, pool := pool, book := book]

exports: roles.__interface__
exports: bounds.__interface__
exports: pool.__interface__
exports: book.__interface__
exports: worth.__interface__

struct Close:
    tick_lower: int24
    tick_upper: int24
    amount0_min: uint256
    amount1_min: uint256

struct Collect:
    tick_lower: int24
    tick_upper: int24

# Buys what the opens lack, exactly, but at most `amount_out`. 0 means no swap.
struct Swap:
    zero_for_one: bool
    amount_out: uint256
    amount_in_max: uint256
    sqrt_price_limit_x96: uint160

struct Open:
    tick_lower: int24
    tick_upper: int24
    amount0: uint128
    amount1: uint128
    amount0_min: uint256
    amount1_min: uint256

struct Plan:
    plan_id: bytes32
    deadline: uint256
    positions_hash: bytes32
    closes: DynArray[Close, MAX_POSITIONS]
    collects: DynArray[Collect, MAX_POSITIONS]
    swap: Swap
    opens: DynArray[Open, MAX_POSITIONS]

event Deposited:
    amount0: uint256
    amount1: uint256

event Withdrawn:
    token: indexed(address)
    amount: uint256

event FeesClaimed:
    amount0: uint256
    amount1: uint256

# By the owner: everything a range held, principal and fees together.
event Released:
    tick_lower: indexed(int24)
    tick_upper: indexed(int24)
    amount0: uint256
    amount1: uint256

event Closed:
    plan_id: indexed(bytes32)
    tick_lower: indexed(int24)
    tick_upper: indexed(int24)
    liquidity: uint128
    principal0: uint256
    principal1: uint256
    fees0: uint256
    fees1: uint256

event Collected:
    plan_id: indexed(bytes32)
    tick_lower: indexed(int24)
    tick_upper: indexed(int24)
    fees0: uint256
    fees1: uint256

event Swapped:
    plan_id: indexed(bytes32)
    amount0: int256
    amount1: int256

event Opened:
    plan_id: indexed(bytes32)
    tick_lower: indexed(int24)
    tick_upper: indexed(int24)
    liquidity: uint128
    amount0: uint256
    amount1: uint256

# Worth in token1 at the long mean, fees left out; losses in units of 1e-18 of the worth before.
event Rebalanced:
    plan_id: indexed(bytes32)
    sqrt_price_x96: uint256
    nav_before: uint256
    nav_after: uint256
    fees0: uint256
    fees1: uint256
    loss_x18: uint256
    daily_loss_x18: uint256
    idle0: uint256
    idle1: uint256
    positions_hash: bytes32

MAX_POSITIONS: constant(uint256) = 50

is_used: public(HashMap[bytes32, bool])
last_rebalance: public(uint256)


@deploy
def __init__(pair_address: address, owner: address, guardian: address, limits: bounds.Limits):
    roles.__init__(owner, guardian)
    pool.__init__(pair_address)
    bounds.__init__(pool.tick_spacing(), limits)


# --- The owner's money. Nothing here asks whether the vault is paused, what the price is, or who keeps. ---------------


@external
def deposit(amount0: uint256, amount1: uint256):
    roles.only_owner()
    idle0: uint256 = pool.idle(pool.TOKEN0)
    idle1: uint256 = pool.idle(pool.TOKEN1)
    pool.pull(pool.TOKEN0, msg.sender, amount0)
    pool.pull(pool.TOKEN1, msg.sender, amount1)
    log Deposited(amount0=pool.idle(pool.TOKEN0) - idle0, amount1=pool.idle(pool.TOKEN1) - idle1)


@external
def withdraw_all():
    """@notice Close everything and send both tokens to the owner"""
    roles.only_owner()
    for word: uint256 in book.words:
        self._release(book.unpack(word), True, True)
    book.words = []
    self._send(pool.TOKEN0, pool.idle(pool.TOKEN0))
    self._send(pool.TOKEN1, pool.idle(pool.TOKEN1))


@external
def withdraw_token(of_token0: bool):
    """@notice Take one token out of everything and send it, should the other refuse to be moved. That stays owed."""
    roles.only_owner()
    emptied: DynArray[uint256, MAX_POSITIONS] = []
    for word: uint256 in book.words:
        position: book.Position = book.unpack(word)
        self._release(position, of_token0, not of_token0)
        position.liquidity = 0
        emptied.append(book.pack(position))
    book.words = emptied
    token: address = pool.TOKEN0 if of_token0 else pool.TOKEN1
    self._send(token, pool.idle(token))


@external
def release(tick_lower: int24, tick_upper: int24):
    """@notice Close one range into the vault, even one that others have opened in its name"""
    roles.only_owner()
    words: DynArray[uint256, MAX_POSITIONS] = book.words
    index: uint256 = book.index_of(words, tick_lower, tick_upper)
    if index < len(words):
        words[index] = 0
        book.words = self._without_gaps(words)
    self._release(book.Position(tick_lower=tick_lower, tick_upper=tick_upper, liquidity=0), True, True)


@external
def claim_fees():
    """@notice Send the owner what the positions have earned and nobody has collected"""
    roles.only_owner()
    fees0: uint256 = 0
    fees1: uint256 = 0
    for word: uint256 in book.words:
        position: book.Position = book.unpack(word)
        amount0: uint256 = 0
        amount1: uint256 = 0
        amount0, amount1 = pool.collect_fees(position.tick_lower, position.tick_upper)
        fees0 += amount0
        fees1 += amount1
    log FeesClaimed(amount0=fees0, amount1=fees1)
    self._send(pool.TOKEN0, fees0)
    self._send(pool.TOKEN1, fees1)


@external
def sweep(token: address, amount: uint256):
    """@notice Send the owner idle tokens of any kind"""
    roles.only_owner()
    self._send(token, min(amount, pool.idle(token)))


@internal
def _release(position: book.Position, takes0: bool, takes1: bool):
    amount0: uint256 = 0
    amount1: uint256 = 0
    amount0, amount1 = pool.take(position.tick_lower, position.tick_upper, takes0, takes1)
    log Released(
        tick_lower=position.tick_lower, tick_upper=position.tick_upper, amount0=amount0, amount1=amount1
    )


@internal
def _send(token: address, amount: uint256):
    if amount > 0:
        pool.send(token, roles.owner, amount)
        log Withdrawn(token=token, amount=amount)


# --- The keeper's plans -----------------------------------------------------------------------------------------------


@external
def rebalance(plan: Plan):
    """@notice Carry out a plan: closes, at most one swap on the pool, opens; all of it or nothing"""
    roles.only_keeper()
    assert block.timestamp <= plan.deadline, "too late"
    assert block.timestamp >= self.last_rebalance + bounds.limits.cooldown_s, "cooldown"
    assert not self.is_used[plan.plan_id], "plan used"
    self.is_used[plan.plan_id] = True
    self.last_rebalance = block.timestamp
    words: DynArray[uint256, MAX_POSITIONS] = book.words
    assert book.hash_of(words) == plan.positions_hash, "positions changed"

    # A block's own trades are not in its means: what they are now they will be at the end.
    means: worth.Means = worth.means()
    worth.check_price(means)
    before: worth.Worth = worth.of(words, means)
    fees0: uint256 = 0
    fees1: uint256 = 0
    amount0: uint256 = 0
    amount1: uint256 = 0
    for close: Close in plan.closes:
        index: uint256 = self._index_of(words, close.tick_lower, close.tick_upper)
        amount0, amount1 = self._close(plan.plan_id, close, book.unpack(words[index]).liquidity)
        words[index] = 0
        fees0 += amount0
        fees1 += amount1
    words = self._without_gaps(words)
    for at: Collect in plan.collects:
        self._index_of(words, at.tick_lower, at.tick_upper)
        amount0, amount1 = pool.collect_fees(at.tick_lower, at.tick_upper)
        log Collected(
            plan_id=plan.plan_id, tick_lower=at.tick_lower, tick_upper=at.tick_upper, fees0=amount0, fees1=amount1
        )
        fees0 += amount0
        fees1 += amount1

    need0: uint256 = 0
    need1: uint256 = 0
    for wanted: Open in plan.opens:
        need0 += convert(wanted.amount0, uint256)
        need1 += convert(wanted.amount1, uint256)
    self._swap(plan.plan_id, plan.swap, need1 if plan.swap.zero_for_one else need0)
    owned0: uint256 = pool.idle(pool.TOKEN0)
    owned1: uint256 = pool.idle(pool.TOKEN1)
    for wanted: Open in plan.opens:
        assert book.index_of(words, wanted.tick_lower, wanted.tick_upper) == len(words), "range twice"
        bounds.check_range(wanted.tick_lower, wanted.tick_upper, means.long_tick)
        amount0 = self._scaled(convert(wanted.amount0, uint256), owned0, need0)
        amount1 = self._scaled(convert(wanted.amount1, uint256), owned1, need1)
        liquidity: uint128 = self._open(plan.plan_id, wanted, amount0, amount1)
        if liquidity > 0:
            words.append(
                book.pack(
                    book.Position(
                        tick_lower=wanted.tick_lower, tick_upper=wanted.tick_upper, liquidity=liquidity
                    )
                )
            )
    assert len(words) <= bounds.limits.max_positions, "too many positions"
    book.words = words

    worth.check_price(means)
    after: worth.Worth = worth.of(words, means)
    loss: uint256 = 0
    daily_loss: uint256 = 0
    loss, daily_loss = worth.charge(before, after, means, fees0, fees1)
    log Rebalanced(
        plan_id=plan.plan_id,
        sqrt_price_x96=means.long_x96,
        nav_before=worth.in_token1(before.long, means.long_x96),
        nav_after=worth.in_token1(after.long, means.long_x96),
        fees0=fees0,
        fees1=fees1,
        loss_x18=loss,
        daily_loss_x18=daily_loss,
        idle0=pool.idle(pool.TOKEN0),
        idle1=pool.idle(pool.TOKEN1),
        positions_hash=book.hash_of(words),
    )


@internal
def _close(plan_id: bytes32, close: Close, liquidity: uint128) -> (uint256, uint256):
    """@return what came beyond the principal: fees, and what others had added"""
    principal0: uint256 = 0
    principal1: uint256 = 0
    if liquidity > 0:
        principal0, principal1 = pool.burn(close.tick_lower, close.tick_upper, liquidity)
    assert principal0 >= close.amount0_min and principal1 >= close.amount1_min, "closes for too little"
    paid0: uint256 = 0
    paid1: uint256 = 0
    paid0, paid1 = pool.take(close.tick_lower, close.tick_upper, True, True)
    log Closed(
        plan_id=plan_id,
        tick_lower=close.tick_lower,
        tick_upper=close.tick_upper,
        liquidity=liquidity,
        principal0=principal0,
        principal1=principal1,
        fees0=paid0 - principal0,
        fees1=paid1 - principal1,
    )
    return paid0 - principal0, paid1 - principal1


@internal
def _swap(plan_id: bytes32, swap: Swap, need: uint256):
    owned: uint256 = pool.idle(pool.TOKEN1 if swap.zero_for_one else pool.TOKEN0)
    if swap.amount_out == 0 or need <= owned:
        return
    amount_out: uint256 = min(need - owned, swap.amount_out)
    amount0: int256 = 0
    amount1: int256 = 0
    amount0, amount1 = pool.swap(swap.zero_for_one, amount_out, swap.amount_in_max, swap.sqrt_price_limit_x96)
    log Swapped(plan_id=plan_id, amount0=amount0, amount1=amount1)


@internal
def _open(plan_id: bytes32, wanted: Open, amount0: uint256, amount1: uint256) -> uint128:
    liquidity: uint128 = convert(
        math.get_liquidity_for_amounts(
            pool.sqrt_price(),
            math.get_sqrt_ratio_at_tick(convert(wanted.tick_lower, int256)),
            math.get_sqrt_ratio_at_tick(convert(wanted.tick_upper, int256)),
            amount0,
            amount1,
        ),
        uint128,
    )
    paid0: uint256 = 0
    paid1: uint256 = 0
    if liquidity > 0:
        paid0, paid1 = pool.mint(wanted.tick_lower, wanted.tick_upper, liquidity, amount0, amount1)
        log Opened(
            plan_id=plan_id,
            tick_lower=wanted.tick_lower,
            tick_upper=wanted.tick_upper,
            liquidity=liquidity,
            amount0=paid0,
            amount1=paid1,
        )
    assert paid0 >= wanted.amount0_min and paid1 >= wanted.amount1_min, "opens with too little"
    return liquidity


@internal
@pure
def _scaled(amount: uint256, owned: uint256, need: uint256) -> uint256:
    return amount if need <= owned else amount * owned // need


@internal
@pure
def _index_of(words: DynArray[uint256, MAX_POSITIONS], tick_lower: int24, tick_upper: int24) -> uint256:
    index: uint256 = book.index_of(words, tick_lower, tick_upper)
    assert index < len(words), "no such position"
    return index


@internal
@pure
def _without_gaps(words: DynArray[uint256, MAX_POSITIONS]) -> DynArray[uint256, MAX_POSITIONS]:
    kept: DynArray[uint256, MAX_POSITIONS] = []
    for word: uint256 in words:
        if word != 0:
            kept.append(word)
    return kept
