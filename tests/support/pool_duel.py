"""The engine against the bytecode: the same operations, every answer and the whole state compared after each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from support.bytecode_pool import BytecodePool
from support.pool_fields import FIELDS, SCALARS
from support.pool_walk import LENGTH, Operation, PoolWalk

from simulator.math.position import EMPTY_POSITION
from simulator.math.tick import EMPTY_TICK
from simulator.pool import Pool, PoolRevert

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Defeat:
    """A difference, and the fewest operations found that show it."""

    seed: int
    index: int
    fee_pips: int
    tick_spacing: int
    operations: tuple[Operation, ...]
    difference: str

    def __str__(self) -> str:
        lines = [f"seed {self.seed}, walk {self.index}: {self.difference}", "reproduce:"]
        lines.append(f"pool = Pool({self.fee_pips}, {self.tick_spacing})")
        return "\n".join([*lines, *map(str, self.operations)])


def answer(pool: Pool | BytecodePool, operation: Operation) -> tuple[str, Any]:
    """Carry out one operation; return what it returned, or the reason of its revert."""
    pool.timestamp = operation.timestamp
    try:
        return "returned", getattr(pool, operation.verb)(*operation.arguments)
    except PoolRevert as revert:
        return "reverted", revert.reason


def fields(pool: Pool) -> dict[str, Any]:
    """Return all that the engine remembers but the time, so that two moments can be compared."""
    twin = pool.copy()
    return {name: getattr(twin, name) for name in FIELDS if name != "timestamp"}


class Duel:
    """One pool twice: in the engine and in the bytecode."""

    def __init__(self, fee_pips: int, tick_spacing: int, pair: tuple[Pool, BytecodePool] | None = None) -> None:
        self.engine, self.contract = pair or (Pool(fee_pips, tick_spacing), BytecodePool(fee_pips, tick_spacing))
        self._ticks: set[int] = set()
        self._positions: set[tuple[int, int, int]] = set()

    def step(self, operation: Operation) -> str | None:
        """Carry out one operation on both. Returns how they differ, None if they do not."""
        self._note(operation)
        before = fields(self.engine)
        quoted = self._quote(operation)
        ours, theirs = answer(self.engine, operation), answer(self.contract, operation)
        if ours != theirs:
            return f"the engine {ours[0]} {ours[1]!r}, the contract {theirs[0]} {theirs[1]!r}"
        if ours[0] == "reverted" and fields(self.engine) != before:
            return f"the engine's revert {ours[1]!r} left a trace"
        if quoted is not None and quoted != self._swapped(ours):
            return f"the engine quoted {quoted}, then swapped {self._swapped(ours)}"
        return self._difference() or self._fees_difference()

    def _note(self, operation: Operation) -> None:
        """Remember which ticks and positions have been named, for they are all that can have been written."""
        if operation.verb in ("mint", "burn", "collect"):
            owner, tick_lower, tick_upper = operation.arguments[:3]
            self._ticks |= {tick_lower, tick_upper}
            self._positions.add((owner, tick_lower, tick_upper))

    def _quote(self, operation: Operation) -> tuple[str, Any] | None:
        if operation.verb != "swap":
            return None
        before = fields(self.engine)
        quoted = answer(self.engine, Operation(operation.timestamp, "quote", operation.arguments))
        if fields(self.engine) != before:
            return "the quote", "left a trace"
        if quoted[0] == "returned":
            quote = quoted[1]
            return "returned", (quote.amount0, quote.amount1, quote.sqrt_price_x96, quote.tick, quote.liquidity)
        return quoted

    def _swapped(self, ours: tuple[str, Any]) -> tuple[str, Any]:
        if ours[0] == "returned":
            return "returned", (*ours[1], self.engine.sqrt_price_x96, self.engine.tick, self.engine.liquidity)
        return ours

    def _difference(self) -> str | None:
        ours, theirs = self._engine_state(), self._contract_state()
        if ours == theirs:
            return None
        different = [key for key in ours | theirs if ours.get(key) != theirs.get(key)]
        return "; ".join(f"{key}: engine {ours.get(key)}, contract {theirs.get(key)}" for key in different)

    def _engine_state(self) -> dict[Any, Any]:
        pool = self.engine
        state: dict[Any, Any] = {name: getattr(pool, name) for name in SCALARS}
        state["unlocked"] = int(pool.sqrt_price_x96 != 0)
        state |= {("tick", tick): info for tick, info in pool.ticks.items()}
        state |= {("word", position): word for position, word in pool.tick_bitmap.items()}
        state |= {("position", key): info for key, info in pool.positions.items() if info != EMPTY_POSITION}
        return state | {("observation", index): slot for index, slot in enumerate(pool.observations)}

    def _contract_state(self) -> dict[Any, Any]:
        contract, spacing = self.contract, self.engine.tick_spacing
        state: dict[Any, Any] = dict(contract.scalars())
        words = contract.bitmap_words({tick // spacing >> 8 for tick in self._ticks})
        positions = contract.position_infos(self._positions)
        state |= {("tick", tick): info for tick, info in contract.tick_infos(self._ticks).items() if info != EMPTY_TICK}
        state |= {("word", position): word for position, word in words.items() if word}
        state |= {("position", key): info for key, info in positions.items() if info != EMPTY_POSITION}
        observations = contract.observations(state["observation_cardinality_next"])
        return state | {("observation", index): slot for index, slot in enumerate(observations)}

    def _fees_difference(self) -> str | None:
        """What `fees_owed` shows must be what burning nothing and collecting everything then pays."""
        for key, info in self.engine.positions.items():
            if info.liquidity == 0:
                continue
            poked = self.engine.copy()
            poked.burn(*key, 0)
            owed = poked.positions[key].tokens_owed_0, poked.positions[key].tokens_owed_1
            if self.engine.fees_owed(*key) != owed:
                return f"the engine shows fees {self.engine.fees_owed(*key)} for {key} and owes {owed}"
        return None


def fight(seed: int, index: int, length: int = LENGTH) -> Defeat | None:
    """Walk once with both; return the difference met, with as few operations as possible, or None."""
    walk = PoolWalk(seed, index)
    duel = Duel(walk.fee_pips, walk.spacing)
    operations: list[Operation] = []
    for _ in range(length):
        operations.append(walk.next(duel.engine))
        if duel.step(operations[-1]) is not None:

            def replay(kept: Sequence[Operation]) -> str | None:
                return replayed(walk.fee_pips, walk.spacing, kept)

            fewest = shrunk(operations, replay)
            return Defeat(seed, index, walk.fee_pips, walk.spacing, tuple(fewest), str(replay(fewest)))
    return None


def replayed(fee_pips: int, tick_spacing: int, operations: Sequence[Operation]) -> str | None:
    """Carry out fixed operations on a fresh pair; return the first difference."""
    duel = Duel(fee_pips, tick_spacing)
    return next((difference for op in operations if (difference := duel.step(op)) is not None), None)


def shrunk(operations: list[T], fails: Callable[[list[T]], object]) -> list[T]:
    """Return a part of a failing list that still fails, and would not with any single element less."""
    kept, removed = operations, True
    while removed:
        removed = False
        for place in reversed(range(len(kept))):
            fewer = kept[:place] + kept[place + 1 :]
            if fails(fewer) is not None:
                kept, removed = fewer, True
    return kept
