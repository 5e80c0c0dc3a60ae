"""Recorded events through the pool's own arithmetic, held against what the chain did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from protocol.errors import ConfigError, SimulationError
from simulator.events import LiquidityEvent, PoolEvent, SwapEvent
from simulator.neutral import NeutralFile
from simulator.neutral_lines import EndLine, Line, LiquidityLine, PoolLine, SwapLine
from simulator.pool import Pool, PoolRevert
from simulator.recovery import RecoveredCall, apply_other
from simulator.snapshot import TickState

_PROGRESS_LINES = 1000


class EndState(StrEnum):
    """Whether pools ended where their file says."""

    MATCH = "match"
    MISMATCH = "mismatch"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first field in which our pool and the chain differ; a call that reverts differs in `revert`."""

    field: str
    expected: object
    got: object


@dataclass(frozen=True, slots=True)
class FirstDivergence:
    """Where a file and the pool's arithmetic first part.

    `block` is None at an end state, `log_index` where the file has none.
    """

    pool: str
    line: int
    block: int | None
    log_index: int | None
    field: str
    expected: object
    got: object


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay of a file came to. A pool stops at its first mismatch; its later events count as not replayed."""

    swaps: int
    liquidity_changes: int
    mismatches: int
    not_replayed: int
    end_state: EndState
    first_divergence: FirstDivergence | None

    @property
    def is_exact(self) -> bool:
        """Whether every event and every end state was reproduced."""
        return self.mismatches == 0 and self.end_state is not EndState.MISMATCH


def apply_event(pool: Pool, event: PoolEvent, call: RecoveredCall | None) -> Mismatch | None:
    """Let a recorded event happen on a pool and return the first field that the chain has otherwise, or None.

    Parameters: pool  changed by the event   ·   call  what a swap asked for; None for liquidity
    Returns:    amounts are compared where recorded, the state after a swap always
    Rounding:   a mint's amounts ceil, a burn's floor, as the pool owes nobody
    Raises:     nothing of the pool's: a revert is a mismatch, because the chain's call went through
    Source:     v3-core UniswapV3Pool.swap, _modifyPosition
    """
    try:
        if isinstance(event, LiquidityEvent):
            return _apply_liquidity(pool, event)
        if not isinstance(event, SwapEvent):
            apply_other(pool, event)
            return None
        if call is None:
            return Mismatch("call", "a swap's arguments", None)
        return _apply_swap(pool, event, call)
    except PoolRevert as revert:
        return Mismatch("revert", None, revert.reason)


def _apply_swap(pool: Pool, event: SwapEvent, call: RecoveredCall) -> Mismatch | None:
    amount0, amount1 = pool.swap(call.zero_for_one, call.amount_specified, call.sqrt_price_limit_x96)
    return _first_mismatch(
        ("amount0", event.amount0, amount0),
        ("amount1", event.amount1, amount1),
        ("sqrt_price_x96", event.sqrt_price_x96, pool.sqrt_price_x96),
        ("liquidity", event.liquidity, pool.liquidity),
        ("tick", event.tick, pool.tick),
    )


def _apply_liquidity(pool: Pool, event: LiquidityEvent) -> Mismatch | None:
    amount0, amount1 = pool.apply_liquidity(event.tick_lower, event.tick_upper, event.liquidity_delta)
    return _first_mismatch(
        ("amount0", amount0 if event.amount0 is None else event.amount0, amount0),
        ("amount1", amount1 if event.amount1 is None else event.amount1, amount1),
    )


def _first_mismatch(*fields: tuple[str, int, int]) -> Mismatch | None:
    return next((Mismatch(name, expected, got) for name, expected, got in fields if expected != got), None)


def replay_file(path: Path, on_progress: Callable[[int], None] | None = None) -> ReplayReport:
    """Replay every pool of a file of the neutral format; `on_progress` is told the number of lines read, now and then.

    Raises ConfigError when the file is not one.
    """
    replay = _Replay(path)
    for number, line in enumerate(NeutralFile.open(path).lines(), start=1):
        replay.take(line)
        if on_progress is not None and number % _PROGRESS_LINES == 0:
            on_progress(number)
    return replay.report()


class _Replay:
    """The pools of one file as far as they have been replayed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pools: dict[str, Pool] = {}
        self._stopped: set[str] = set()
        self._swaps = 0
        self._liquidity_changes = 0
        self._mismatches = 0
        self._not_replayed = 0
        self._end_states: set[EndState] = set()
        self._first: FirstDivergence | None = None

    def take(self, line: Line) -> None:
        """Let one line happen."""
        match line:
            case PoolLine():
                self._pools[line.pool] = _restore(self._path, line)
            case EndLine():
                self._compare_end(line)
            case SwapLine():
                self._swaps += 1
                self._take_event(line, line.event(0), line.call())
            case LiquidityLine():
                self._liquidity_changes += 1
                self._take_event(line, line.event(0), None)

    def _take_event(self, line: SwapLine | LiquidityLine, event: PoolEvent, call: RecoveredCall | None) -> None:
        if line.pool in self._stopped:
            self._not_replayed += 1
            return
        position, pool = line.position, self._pools[line.pool]
        if position.timestamp is not None:
            pool.timestamp = position.timestamp
        mismatch = apply_event(pool, event, call)
        if mismatch is not None:
            self._mismatches += 1
            self._stopped.add(line.pool)
            self._note(line.pool, position.line, position.block, position.log_index, mismatch)

    def _compare_end(self, line: EndLine) -> None:
        mismatch = _end_mismatch(self._pools[line.pool], line)
        if mismatch is None:
            self._end_states.add(EndState.MATCH)
            return
        self._end_states.add(EndState.MISMATCH)
        if line.pool not in self._stopped:
            self._note(line.pool, line.line, None, None, mismatch)

    def _note(self, pool: str, line: int, block: int | None, log_index: int | None, mismatch: Mismatch) -> None:
        if self._first is None:
            self._first = FirstDivergence(pool, line, block, log_index, mismatch.field, mismatch.expected, mismatch.got)

    def report(self) -> ReplayReport:
        """Return what the file came to so far."""
        end_state = next((s for s in (EndState.MISMATCH, EndState.MATCH) if s in self._end_states), EndState.ABSENT)
        return ReplayReport(
            swaps=self._swaps,
            liquidity_changes=self._liquidity_changes,
            mismatches=self._mismatches,
            not_replayed=self._not_replayed,
            end_state=end_state,
            first_divergence=self._first,
        )


def _restore(path: Path, line: PoolLine) -> Pool:
    snapshot = line.snapshot(chain_id=0, pair_address=line.pool, block_number=0, block_hash="", timestamp=0)
    try:
        return Pool.from_snapshot(snapshot)
    except SimulationError as error:
        raise ConfigError(
            f"{path} line {line.line}: {error.message}; correct the P line, it must hold every tick"
        ) from error


def _end_mismatch(pool: Pool, line: EndLine) -> Mismatch | None:
    mismatch = _first_mismatch(
        ("sqrt_price_x96", line.sqrt_price_x96, pool.sqrt_price_x96),
        ("tick", line.tick, pool.tick),
        ("liquidity", line.liquidity, pool.liquidity),
        ("fee_growth_global_0_x128", line.fee_growth_global_0_x128, pool.fee_growth_global_0_x128),
        ("fee_growth_global_1_x128", line.fee_growth_global_1_x128, pool.fee_growth_global_1_x128),
    )
    if mismatch is not None:
        return mismatch
    expected = {tick: _fields(state) for tick, state in line.ticks}
    got = {tick: list(info[:4]) for tick, info in pool.ticks.items()}
    for tick in sorted(expected.keys() | got.keys()):
        if expected.get(tick) != got.get(tick):
            return Mismatch(f"ticks[{tick}]", expected.get(tick), got.get(tick))
    return None


def _fields(state: TickState) -> list[int]:
    return [
        state.liquidity_gross,
        state.liquidity_net,
        state.fee_growth_outside_0_x128,
        state.fee_growth_outside_1_x128,
    ]
