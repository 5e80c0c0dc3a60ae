"""The lines of the neutral format, typed: what each may hold, and nothing about the file around it.

`simulator.neutral` describes the format and reads files of it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeAlias

from protocol.units import MAX_TICK, MAX_UINT128, MAX_UINT256, MIN_TICK
from simulator.events import LiquidityEvent, SwapEvent
from simulator.recovery import RecoveredCall
from simulator.snapshot import PoolSnapshot, TickState

_DECIMAL = re.compile(r"-?[0-9]{1,78}", re.ASCII)  # 78 digits hold any 256-bit integer
_MAX_UINT160 = 2**160 - 1
_MAX_INT256 = 2**255 - 1


@dataclass(frozen=True, slots=True)
class Position:
    """Where a line stands: in its file and, where the line says so, on its chain."""

    line: int
    block: int
    timestamp: int | None
    log_index: int | None


@dataclass(frozen=True, slots=True)
class PoolLine:
    """A pool's full state at the start of its record. Only initialised ticks, ascending."""

    line: int
    pool: str
    fee_pips: int
    tick_spacing: int
    sqrt_price_x96: int
    tick: int
    liquidity: int
    ticks: tuple[tuple[int, TickState], ...]
    fee_growth_global_0_x128: int
    fee_growth_global_1_x128: int

    def snapshot(
        self, *, chain_id: int, pair_address: str, block_number: int, block_hash: str, timestamp: int
    ) -> PoolSnapshot:
        """Return this state as that of a block, which the line does not name. The format knows no protocol fee."""
        return PoolSnapshot(
            chain_id=chain_id,
            pair_address=pair_address,
            block_number=block_number,
            block_hash=block_hash,
            timestamp=timestamp,
            fee_pips=self.fee_pips,
            tick_spacing=self.tick_spacing,
            sqrt_price_x96=self.sqrt_price_x96,
            tick=self.tick,
            liquidity=self.liquidity,
            fee_growth_global_0_x128=self.fee_growth_global_0_x128,
            fee_growth_global_1_x128=self.fee_growth_global_1_x128,
            fee_protocol=0,
            ticks=self.ticks,
        )


@dataclass(frozen=True, slots=True)
class LiquidityLine:
    """A mint (delta > 0) or burn (delta <= 0). Amounts unsigned, None where unknown."""

    pool: str
    position: Position
    tick_lower: int
    tick_upper: int
    liquidity_delta: int
    amount0: int | None
    amount1: int | None

    def event(self, index: int) -> LiquidityEvent:
        """Return the event; `index`, its order within the block, stands for a log index that the file does not have."""
        log_index = index if self.position.log_index is None else self.position.log_index
        return LiquidityEvent(
            log_index, self.tick_lower, self.tick_upper, self.liquidity_delta, self.amount0, self.amount1
        )


@dataclass(frozen=True, slots=True)
class SwapLine:
    """A call of `swap` (a limit of None is the extreme one) and the result that the chain gave."""

    pool: str
    position: Position
    zero_for_one: bool
    amount_specified: int
    sqrt_price_limit_x96: int | None
    amount0: int
    amount1: int
    sqrt_price_x96: int
    liquidity: int
    tick: int

    def event(self, index: int) -> SwapEvent:
        """Return the event; `index`, its order within the block, stands for a log index that the file does not have."""
        log_index = index if self.position.log_index is None else self.position.log_index
        return SwapEvent(log_index, self.amount0, self.amount1, self.sqrt_price_x96, self.liquidity, self.tick)

    def call(self) -> RecoveredCall:
        """Return the call that the file says was made."""
        return RecoveredCall(self.zero_for_one, self.amount_specified, self.sqrt_price_limit_x96)


@dataclass(frozen=True, slots=True)
class EndLine:
    """The state in which a pool must be where this line stands."""

    line: int
    pool: str
    sqrt_price_x96: int
    tick: int
    liquidity: int
    fee_growth_global_0_x128: int
    fee_growth_global_1_x128: int
    ticks: tuple[tuple[int, TickState], ...]


Line: TypeAlias = PoolLine | LiquidityLine | SwapLine | EndLine


class BadLine(ValueError):
    """A line that is not what the format says; the reader of the file adds the place."""


def parse_line(number: int, value: Any) -> Line:
    """Return a typed line. Raises ValueError that says what is wrong, without the place."""
    if not isinstance(value, list) or not value:
        raise BadLine("expected a JSON array that begins with P, L, S or E")
    kind, fields = value[0], len(value)
    if not isinstance(kind, str) or kind not in _ARITIES:
        raise BadLine(f"unknown kind {kind!r:.40}; expected P, L, S or E")
    if fields not in _ARITIES[kind]:
        allowed = " or ".join(str(arity) for arity in _ARITIES[kind])
        raise BadLine(f"{kind} has {fields} fields, expected {allowed}")
    if not isinstance(value[1], str) or not value[1]:
        raise BadLine("the second field must be the pool's address")
    return _PARSERS[kind](number, value)


def _parse_pool(number: int, value: list[Any]) -> PoolLine:
    return PoolLine(
        line=number,
        pool=value[1],
        fee_pips=_integer("fee_pips", value[2], 0, 999_999),
        tick_spacing=_integer("tick_spacing", value[3], 1, 16_383),
        sqrt_price_x96=_integer("sqrt_price_x96", value[4], 1, _MAX_UINT160),
        tick=_integer("tick", value[5], MIN_TICK, MAX_TICK),
        liquidity=_integer("liquidity", value[6], 0, MAX_UINT128),
        ticks=_ticks(value[7]),
        fee_growth_global_0_x128=_integer("fee_growth_global_0_x128", value[8], 0, MAX_UINT256),
        fee_growth_global_1_x128=_integer("fee_growth_global_1_x128", value[9], 0, MAX_UINT256),
    )


def _parse_liquidity(number: int, value: list[Any]) -> LiquidityLine:
    line = LiquidityLine(
        pool=value[1],
        position=_position(number, value, 8),
        tick_lower=_integer("tick_lower", value[3], MIN_TICK, MAX_TICK),
        tick_upper=_integer("tick_upper", value[4], MIN_TICK, MAX_TICK),
        liquidity_delta=_integer("liquidity_delta", value[5], -MAX_UINT128, MAX_UINT128),
        amount0=None if value[6] is None else _integer("amount0", value[6], 0, MAX_UINT256),
        amount1=None if value[7] is None else _integer("amount1", value[7], 0, MAX_UINT256),
    )
    if line.tick_lower >= line.tick_upper:
        raise BadLine(f"tick_lower {line.tick_lower} is not below tick_upper {line.tick_upper}")
    return line


def _parse_swap(number: int, value: list[Any]) -> SwapLine:
    return SwapLine(
        pool=value[1],
        position=_position(number, value, 11),
        zero_for_one=_flag("zero_for_one", value[3]),
        amount_specified=_integer("amount_specified", value[4], -_MAX_INT256, _MAX_INT256),
        sqrt_price_limit_x96=None if value[5] is None else _integer("sqrt_price_limit_x96", value[5], 0, _MAX_UINT160),
        amount0=_integer("amount0", value[6], -_MAX_INT256, _MAX_INT256),
        amount1=_integer("amount1", value[7], -_MAX_INT256, _MAX_INT256),
        sqrt_price_x96=_integer("sqrt_price_x96", value[8], 0, _MAX_UINT160),
        liquidity=_integer("liquidity", value[9], 0, MAX_UINT128),
        tick=_integer("tick", value[10], MIN_TICK - 1, MAX_TICK),
    )


def _parse_end(number: int, value: list[Any]) -> EndLine:
    return EndLine(
        line=number,
        pool=value[1],
        sqrt_price_x96=_integer("sqrt_price_x96", value[2], 0, _MAX_UINT160),
        tick=_integer("tick", value[3], MIN_TICK - 1, MAX_TICK),
        liquidity=_integer("liquidity", value[4], 0, MAX_UINT128),
        fee_growth_global_0_x128=_integer("fee_growth_global_0_x128", value[5], 0, MAX_UINT256),
        fee_growth_global_1_x128=_integer("fee_growth_global_1_x128", value[6], 0, MAX_UINT256),
        ticks=_ticks(value[7]),
    )


_ARITIES = {"P": (10,), "L": (8, 10), "S": (11, 13), "E": (8,)}
_PARSERS: dict[str, Callable[[int, list[Any]], Line]] = {
    "P": _parse_pool,
    "L": _parse_liquidity,
    "S": _parse_swap,
    "E": _parse_end,
}


def _position(number: int, value: list[Any], short: int) -> Position:
    block = _integer("block", value[2], 0, 2**63 - 1)
    if len(value) == short:
        return Position(number, block, None, None)
    timestamp = _integer("timestamp", value[short], 0, 2**63 - 1)
    return Position(number, block, timestamp, _integer("log index", value[short + 1], 0, 2**63 - 1))


def _ticks(value: Any) -> tuple[tuple[int, TickState], ...]:
    """Read a tick dictionary, ascending. Entries without gross liquidity are not initialised and left out."""
    if not isinstance(value, dict):
        raise BadLine(
            "the ticks must be an object {tick: [gross, net, fee_growth_outside_0_x128, fee_growth_outside_1_x128]}"
        )
    ticks = sorted(map(_tick, value.items()), key=itemgetter(0))
    for (tick, _), (following, _) in itertools.pairwise(ticks):
        if tick == following:
            raise BadLine(f"tick {tick} stands twice; keep one")
    return tuple((tick, state) for tick, state in ticks if state.liquidity_gross)


def _tick(item: tuple[str, Any]) -> tuple[int, TickState]:
    key, fields = item
    if not isinstance(fields, list) or len(fields) != 4:
        raise BadLine(f"tick {key:.20}: expected [gross, net, fee_growth_outside_0_x128, fee_growth_outside_1_x128]")
    return _integer("tick", key, MIN_TICK, MAX_TICK), TickState(
        liquidity_gross=_integer("liquidity_gross", fields[0], 0, MAX_UINT128),
        liquidity_net=_integer("liquidity_net", fields[1], -MAX_UINT128, MAX_UINT128),
        fee_growth_outside_0_x128=_integer("fee_growth_outside_0_x128", fields[2], 0, MAX_UINT256),
        fee_growth_outside_1_x128=_integer("fee_growth_outside_1_x128", fields[3], 0, MAX_UINT256),
    )


def _flag(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return _integer(name, value, 0, 1) == 1


def _integer(name: str, value: Any, low: int, high: int) -> int:
    """Return an integer in [low, high] from a decimal string or a JSON whole number; a float is never exact enough."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        raise BadLine(f"{name} is {value!r:.40}, expected an integer (a decimal string or a whole JSON number)")
    if not low <= number <= high:
        raise BadLine(f"{name} is {number}, outside {low} to {high}")
    return number
