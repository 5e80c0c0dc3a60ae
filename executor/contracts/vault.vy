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
import vault_plan as plans
import vault_pool as pool
import vault_positions as book
import vault_roles as roles
import vault_worth as worth

initializes: roles
initializes: bounds[roles := roles]
initializes: pool
initializes: book
initializes: worth[bounds := bounds, pool := pool, book := book, roles := roles]

exports: roles.__interface__
exports: bounds.__interface__
exports: pool.__interface__
exports: book.__interface__
exports: worth.__interface__

struct Amounts:
    amount0: uint256
    amount1: uint256

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

MAX_POSITIONS: constant(uint256) = 50
GAP: constant(uint256) = max_value(uint256)  # where a position was: no two ticks make such a word

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
        words[index] = GAP
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
def rebalance(plan: plans.Plan):
    """@notice Carry out a plan: closes, at most one swap on the pool, opens; all of it or nothing"""
    roles.only_keeper()
    since: uint256 = self.last_rebalance
    words: DynArray[uint256, MAX_POSITIONS] = self._admit(plan.plan_id, plan.deadline, plan.positions_hash)
    # A block's own trades are not in its means: what they are now they will be at the end.
    means: worth.Means = worth.means()
    worth.check_price(means)
    worth.charge_drift(means.long_tick, since)
    before: worth.Worth = worth.of(words, means)

    fees: Amounts = empty(Amounts)
    words, fees = self._close_all(plan.plan_id, plan.closes, words)
    collected: Amounts = self._collect_all(plan.plan_id, plan.collects, words)
    fees.amount0 += collected.amount0
    fees.amount1 += collected.amount1
    words = self._open_all(plan.plan_id, plan.swap, plan.opens, words, means.long_tick)
    book.words = words

    worth.check_price(means)
    after: worth.Worth = worth.of(words, means)
    loss: uint256 = 0
    daily_loss: uint256 = 0
    loss, daily_loss = worth.charge(before, after, means, fees.amount0, fees.amount1)
    log plans.Rebalanced(
        plan_id=plan.plan_id,
        sqrt_price_x96=means.long_x96,
        nav_before=worth.in_token1(before.long, means.long_x96),
        nav_after=worth.in_token1(after.long, means.long_x96),
        fees0=fees.amount0,
        fees1=fees.amount1,
        loss_x18=loss,
        daily_loss_x18=daily_loss,
        idle0=pool.idle(pool.TOKEN0),
        idle1=pool.idle(pool.TOKEN1),
        positions_hash=book.hash_of(words),
    )


@internal
def _admit(plan_id: bytes32, deadline: uint256, positions_hash: bytes32) -> DynArray[uint256, MAX_POSITIONS]:
    """@notice Use up a plan that comes in time, for the first time, for the positions that there are"""
    assert block.timestamp <= deadline, "too late"
    assert block.timestamp >= self.last_rebalance + bounds.limits.cooldown_s, "cooldown"
    assert not self.is_used[plan_id], "plan used"
    self.is_used[plan_id] = True
    self.last_rebalance = block.timestamp
    words: DynArray[uint256, MAX_POSITIONS] = book.words
    assert book.hash_of(words) == positions_hash, "positions changed"
    return words


@internal
def _close_all(
    plan_id: bytes32, closes: DynArray[plans.Close, MAX_POSITIONS], listed: DynArray[uint256, MAX_POSITIONS]
) -> (DynArray[uint256, MAX_POSITIONS], Amounts):
    """@return the positions that are left, and what came beyond the principal"""
    words: DynArray[uint256, MAX_POSITIONS] = listed
    fees: Amounts = empty(Amounts)
    for close: plans.Close in closes:
        index: uint256 = self._index_of(words, close.tick_lower, close.tick_upper)
        more: Amounts = self._close(plan_id, close, book.unpack(words[index]).liquidity)
        words[index] = GAP
        fees.amount0 += more.amount0
        fees.amount1 += more.amount1
    return self._without_gaps(words), fees


@internal
def _collect_all(
    plan_id: bytes32, collects: DynArray[plans.Collect, MAX_POSITIONS], words: DynArray[uint256, MAX_POSITIONS]
) -> Amounts:
    fees: Amounts = empty(Amounts)
    for at: plans.Collect in collects:
        self._index_of(words, at.tick_lower, at.tick_upper)
        fees0: uint256 = 0
        fees1: uint256 = 0
        fees0, fees1 = pool.collect_fees(at.tick_lower, at.tick_upper)
        log plans.Collected(
            plan_id=plan_id, tick_lower=at.tick_lower, tick_upper=at.tick_upper, fees0=fees0, fees1=fees1
        )
        fees.amount0 += fees0
        fees.amount1 += fees1
    return fees


@internal
def _open_all(
    plan_id: bytes32,
    swap: plans.Swap,
    opens: DynArray[plans.Open, MAX_POSITIONS],
    kept: DynArray[uint256, MAX_POSITIONS],
    mean_tick: int256,
) -> DynArray[uint256, MAX_POSITIONS]:
    """@return the positions that there are then"""
    words: DynArray[uint256, MAX_POSITIONS] = kept
    need0: uint256 = 0
    need1: uint256 = 0
    for wanted: plans.Open in opens:
        need0 += convert(wanted.amount0, uint256)
        need1 += convert(wanted.amount1, uint256)
    self._swap(plan_id, swap, need1 if swap.zero_for_one else need0)
    owned0: uint256 = pool.idle(pool.TOKEN0)
    owned1: uint256 = pool.idle(pool.TOKEN1)
    for wanted: plans.Open in opens:
        assert book.index_of(words, wanted.tick_lower, wanted.tick_upper) == len(words), "range twice"
        bounds.check_range(wanted.tick_lower, wanted.tick_upper, mean_tick)
        amount0: uint256 = self._scaled(convert(wanted.amount0, uint256), owned0, need0)
        amount1: uint256 = self._scaled(convert(wanted.amount1, uint256), owned1, need1)
        liquidity: uint128 = self._open(plan_id, wanted, amount0, amount1)
        if liquidity > 0:
            words.append(
                book.pack(
                    book.Position(tick_lower=wanted.tick_lower, tick_upper=wanted.tick_upper, liquidity=liquidity)
                )
            )
    assert len(words) <= bounds.limits.max_positions, "too many positions"
    return words


@internal
def _close(plan_id: bytes32, close: plans.Close, liquidity: uint128) -> Amounts:
    """@return what came beyond the principal: fees, and what others had added"""
    principal0: uint256 = 0
    principal1: uint256 = 0
    if liquidity > 0:
        principal0, principal1 = pool.burn(close.tick_lower, close.tick_upper, liquidity)
    assert principal0 >= close.amount0_min and principal1 >= close.amount1_min, "closes for too little"
    paid0: uint256 = 0
    paid1: uint256 = 0
    paid0, paid1 = pool.take(close.tick_lower, close.tick_upper, True, True)
    log plans.Closed(
        plan_id=plan_id,
        tick_lower=close.tick_lower,
        tick_upper=close.tick_upper,
        liquidity=liquidity,
        principal0=principal0,
        principal1=principal1,
        fees0=paid0 - principal0,
        fees1=paid1 - principal1,
    )
    return Amounts(amount0=paid0 - principal0, amount1=paid1 - principal1)


@internal
def _swap(plan_id: bytes32, swap: plans.Swap, need: uint256):
    owned: uint256 = pool.idle(pool.TOKEN1 if swap.zero_for_one else pool.TOKEN0)
    if swap.amount_out == 0 or need <= owned:
        return
    amount_out: uint256 = min(need - owned, swap.amount_out)
    amount0: int256 = 0
    amount1: int256 = 0
    amount0, amount1 = pool.swap(swap.zero_for_one, amount_out, swap.amount_in_max, swap.sqrt_price_limit_x96)
    log plans.Swapped(plan_id=plan_id, amount0=amount0, amount1=amount1)


@internal
def _open(plan_id: bytes32, wanted: plans.Open, amount0: uint256, amount1: uint256) -> uint128:
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
        log plans.Opened(
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
        if word != GAP:
            kept.append(word)
    return kept
