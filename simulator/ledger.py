"""The accounting of one fork: where every wei of a round's result came from.

Two independent accounts of the same change are kept. The balance account closes every position through the pool's own
verbs at the
opening and at the end and values the tokens. The attributed account never looks at those balances: it adds up,
interval by interval,

    delta     tokens held x change of their prices
    LVR       what the positions' own token mix lost against the new prices (loss-versus-rebalancing)
    fees      growth of fees owed, valued when they accrue
    swap cost fee and price impact of the plan's own swaps, valued at the base price
    gas       operations x gas price
    dust      what minting rounds up

and `change of value = delta - LVR + fees - swap cost - gas - dust` must then hold with residual 0. Every part is
computed on its own; none is a
plug. Values are X192 integers at base-fork prices (`simulator.valuation`); intervals end at marks: opening, effective
blocks, every restrike,
and the end, the same for all participants.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from protocol.errors import SimulationError
from simulator.fork import Fork, Reading, amounts_for_liquidity
from simulator.gas import GasTable
from simulator.marks import MarkSums
from simulator.plan import Execution, Plan, execute_plan
from simulator.portfolio import Portfolio
from simulator.recovery import Happening, RecoveredCall
from simulator.valuation import Prices


@dataclass(frozen=True, slots=True)
class GasPolicy:
    """How gas is charged: wei per gas, and raw units of one pool token per wei as a fraction."""

    price_wei: int
    token_is_0: bool
    rate_numerator: int
    rate_denominator: int
    table: GasTable

    def cost(self, gas: int) -> tuple[int, int]:
        """Return (amount0, amount1) raw units charged for an amount of gas. Rounding: up, in favour of whoever pays
        for it.
        """
        return self.convert(gas * self.price_wei)

    def convert(self, wei: int) -> tuple[int, int]:
        """Return (amount0, amount1) raw units for what was paid in wei. Rounding: up, as in `cost`."""
        amount = -(-wei * self.rate_numerator // self.rate_denominator)
        return (amount, 0) if self.token_is_0 else (0, amount)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The finished accounting of one fork over one round. Names ending in `_x192` are exact values in the round's
    numéraire.
    """

    opening: Portfolio
    closing: Portfolio
    w_open_x192: int
    w_close_x192: int
    hold_x192: int
    delta_x192: int
    lvr_x192: int
    inventory_drift_x192: int
    fees_x192: int
    fees0: int
    fees1: int
    swap_cost_x192: int
    gas: int
    gas_x192: int
    dust_x192: int
    turnover_x192: int
    rebalances: int
    in_range_s: int
    duration_s: int
    max_share_ppm: int
    residual_x192: int

    @property
    def excess_x192(self) -> int:
        """Change of value without the luck of direction: `e = ΔW - Σ x·ΔP` (design §4.8)."""
        return self.w_close_x192 - self.w_open_x192 - self.delta_x192

    @property
    def divergence_loss_x192(self) -> int:
        """What holding the opening tokens would have gained over the positions' own mix: LVR less inventory drift."""
        return self.lvr_x192 - self.inventory_drift_x192

    def to_json(self) -> dict[str, Any]:
        """Return every field, JSON-ready; integers that can exceed 2**53 as decimal strings."""
        small = {"rebalances", "in_range_s", "duration_s", "max_share_ppm"}
        out: dict[str, Any] = {"opening": self.opening.to_json(), "closing": self.closing.to_json()}
        for f in fields(self):
            if f.name not in out:
                value = getattr(self, f.name)
                out[f.name] = value if f.name in small else str(value)
        out["excess_x192"] = str(self.excess_x192)
        out["divergence_loss_x192"] = str(self.divergence_loss_x192)
        return out


@dataclass(slots=True)
class _Sums:
    """Running sums of the attributed account."""

    delta: int = 0
    lvr: int = 0
    fees: int = 0
    fees0: int = 0
    fees1: int = 0
    swap_cost: int = 0
    gas: int = 0
    gas_value: int = 0
    dust: int = 0
    turnover: int = 0
    rebalances: int = 0


@dataclass(slots=True)
class Account:
    """A fork together with its running accounts; the only way in which a plan reaches a fork that is scored."""

    fork: Fork
    gas_policy: GasPolicy
    prices: Prices
    timestamp: int
    opening: Portfolio = field(init=False)
    _opening_balance: tuple[int, int] = field(init=False)
    _opening_prices: Prices = field(init=False)
    _opened_at: int = field(init=False)
    _exposure: tuple[int, int] = field(init=False)
    _inside: Reading = field(init=False)
    _sums: _Sums = field(init=False, default_factory=_Sums)
    _in_range_s: int = field(init=False, default=0)
    _max_share_ppm: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.opening = self.fork.portfolio()
        self._opening_balance = self.fork.liquidate()
        self._opening_prices = self.prices
        self._opened_at = self.timestamp
        self._remember(self.fork.read())

    @property
    def rebalances(self) -> int:
        """Plans carried out so far."""
        return self._sums.rebalances

    def value(self, prices: Prices) -> int:
        """Return the portfolio's present X192 value at these prices, gas paid so far deducted."""
        return prices.value(*self.fork.portfolio().total) - self._sums.gas_value

    def tick_clock(self, timestamp: int) -> None:
        """Let time pass up to a block's timestamp, before that block's events: time in range counts here."""
        elapsed = timestamp - self.timestamp
        self.let_pass(timestamp, elapsed if elapsed and self.fork.active_liquidity() else 0)

    def let_pass(self, timestamp: int, in_range_s: int) -> None:
        """Let time pass up to a timestamp, in which the fork was seen to be in range for so many seconds."""
        self._in_range_s += in_range_s
        self.timestamp = timestamp

    def mark(self, prices: Prices, reading: Reading | None = None) -> None:
        """End an interval at these base prices: settle delta, LVR and fees since the last mark, and strike the
        exposure anew. `reading` is the fork's as it stood at the mark; by default it is read now.
        """
        now = self.fork.read() if reading is None else reading
        self._sums.delta += prices.less(self.prices).value(*self._exposure)
        self.prices = prices
        self._settle(self._inside, now)
        self._remember(now)

    def mark_all(self, sums: MarkSums, first: Prices, last: Prices, after_last: Prices) -> None:
        """Do what `mark` would do at each of many marks in turn.

        Parameters: sums  of at least one mark   ·   first, last  base prices at the first and the last mark reached
                    after_last  the change that was summed up for the last one, and is not due yet
        Rounding:   none: sums of products are only put in another order
        Raises:     SimulationError without a mark
        Source:     summation by parts: the sum of P_k (x_k - x_k-1) is P_n x_n - P_0 x_0 less that of x_k (P_k+1 - P_k)
        """
        if sums.last is None:
            raise SimulationError("there are no marks to book")
        s, before, old, new = self._sums, self.prices, self._inside, sums.last
        rise = first.less(before)
        principal = sums.principal_x192 + rise.value(old.principal0, old.principal1)
        principal -= after_last.value(new.principal0, new.principal1)
        fees = sums.fees_x192 + rise.value(old.fees0, old.fees1) - after_last.value(new.fees0, new.fees1)
        s.delta += last.less(before).value(self.fork.idle0, self.fork.idle1) + principal + fees
        s.lvr -= last.value(new.principal0, new.principal1) - before.value(old.principal0, old.principal1) - principal
        s.fees += last.value(new.fees0, new.fees1) - before.value(old.fees0, old.fees1) - fees
        s.fees0 += new.fees0 - old.fees0
        s.fees1 += new.fees1 - old.fees1
        self.prices = last
        self._remember(new._replace(own_liquidity=sums.most_own, pool_liquidity=sums.most_pool))

    def rebalance(self, plan: Plan, prices: Prices) -> Execution:
        """Mark at these prices, then carry a plan out and charge what it costs."""
        self.mark(prices)
        before = self.fork.read(plan.keep)
        execution = execute_plan(self.fork, plan)
        after = self.fork.read(plan.keep)
        collected0 = sum(c[1] for c in execution.collected)
        collected1 = sum(c[2] for c in execution.collected)
        self._settle(before, after._replace(fees0=after.fees0 + collected0, fees1=after.fees1 + collected1))
        self._charge(execution)
        self._remember(self.fork.read())
        return execution

    def follow(self, happening: Happening, *, begins: bool) -> None:
        """Let what the real vault did happen on its fork, and book it at the prices of the last mark. `begins`: it is
        the first of what the vault did in one go.
        """
        before = self.fork.read()
        done = self.fork.follow(happening)
        after = self.fork.read()
        s, value = self._sums, self.prices.value
        s.rebalances += begins
        found = after._replace(fees0=after.fees0 + done.fees0, fees1=after.fees1 + done.fees1)
        if isinstance(happening, RecoveredCall):
            s.swap_cost += value(done.swapped0, done.swapped1)
            s.turnover += value(max(done.swapped0, 0), max(done.swapped1, 0))
        else:  # the price stands still: what was inside went in or out, and minting rounds up
            grown0, grown1 = after.principal0 - before.principal0, after.principal1 - before.principal1
            s.dust += value(done.minted0 - grown0, done.minted1 - grown1)
            found = found._replace(principal0=before.principal0, principal1=before.principal1)
        self._settle(before, found)
        self._remember(after)

    def charge_paid(self, gas: int, fee_wei: int) -> None:
        """Charge a transaction of the real vault what its receipt says."""
        self._sums.gas += gas
        self._sums.gas_value += self.prices.value(*self.gas_policy.convert(fee_wei))

    def close(self, prices: Prices) -> Ledger:
        """Mark at the final base prices and return the ledger. Raises SimulationError if the two accounts disagree."""
        self.mark(prices)
        s = self._sums
        w_open = self._opening_prices.value(*self._opening_balance)
        opening_delta = prices.less(self._opening_prices).value(*self.opening.total)
        w_close = prices.value(*self.fork.liquidate()) - s.gas_value
        attributed = s.delta - s.lvr + s.fees - s.swap_cost - s.gas_value - s.dust
        residual = (w_close - w_open) - attributed
        if residual != 0:
            raise SimulationError(f"balance and attribution disagree by {residual} (X192)")
        return Ledger(
            opening=self.opening,
            closing=self.fork.portfolio(),
            w_open_x192=w_open,
            w_close_x192=w_close,
            hold_x192=prices.value(*self._opening_balance),
            delta_x192=s.delta,
            lvr_x192=s.lvr,
            inventory_drift_x192=s.delta - opening_delta,  # the sum over intervals of (x - opening) times change of P
            fees_x192=s.fees,
            fees0=s.fees0,
            fees1=s.fees1,
            swap_cost_x192=s.swap_cost,
            gas=s.gas,
            gas_x192=s.gas_value,
            dust_x192=s.dust,
            turnover_x192=s.turnover,
            rebalances=s.rebalances,
            in_range_s=self._in_range_s,
            duration_s=self.timestamp - self._opened_at,
            max_share_ppm=self._max_share_ppm,
            residual_x192=residual,
        )

    def _settle(self, before: Reading, after: Reading) -> None:
        """Book the change of principal as LVR and the change of fees as fees, both at the present prices."""
        s, prices = self._sums, self.prices
        s.lvr -= prices.value(after.principal0 - before.principal0, after.principal1 - before.principal1)
        fees0, fees1 = after.fees0 - before.fees0, after.fees1 - before.fees1
        s.fees0 += fees0
        s.fees1 += fees1
        s.fees += prices.value(fees0, fees1)

    def _charge(self, execution: Execution) -> None:
        s, table = self._sums, self.gas_policy.table
        gas = table.base + table.close * len(execution.closed) + table.open * len(execution.opened)
        gas += table.collect * len(execution.collected)
        if execution.swapped is not None:
            paid0, paid1 = execution.swapped.amount0, execution.swapped.amount1
            gas += table.swap
            s.swap_cost += self.prices.value(paid0, paid1)
            s.turnover += self.prices.value(max(paid0, 0), max(paid1, 0))
        for opened in execution.opened:
            inside = amounts_for_liquidity(self.fork.pool.sqrt_price_x96, opened.range, opened.liquidity)
            s.dust += self.prices.value(opened.amount0 - inside[0], opened.amount1 - inside[1])
        s.gas += gas
        s.gas_value += self.prices.value(*self.gas_policy.cost(gas))
        s.rebalances += 1

    def _remember(self, reading: Reading) -> None:
        self._inside = reading
        self._exposure = (
            self.fork.idle0 + reading.principal0 + reading.fees0,
            self.fork.idle1 + reading.principal1 + reading.fees1,
        )
        if reading.own_liquidity:
            share_ppm = reading.own_liquidity * 1_000_000 // reading.pool_liquidity
            self._max_share_ppm = max(self._max_share_ppm, share_ppm)
