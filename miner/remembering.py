"""A rule with its bookkeeping: what it saw of each job is kept between questions and, if wished, between processes."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from miner.feeds import with_past
from miner.memory import Memory, observe
from miner.placement import base_and_limit
from miner.span import Span, tick_of
from miner.strategies.plus.band import align
from miner.strategies.three_force.candles import Candle
from miner.strategy import Decision, Keep, Positions, owned, shown_ranges
from miner.view import Rule, View, look
from miner.whole_file import replace_json
from protocol.messages import RebalanceQuery
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO

_log = logging.getLogger(__name__)
_JobKey: TypeAlias = str
_VERSION = 1
MAX_JOBS = 64  # what the job asked about longest ago is forgotten first


@runtime_checkable
class LearningRule(Protocol):
    """A rule that also learns: `learn` returns the memory with what it takes from the view."""

    @property
    def name(self) -> str: ...

    def learn(self, view: View, before: Memory, memory: Memory) -> Memory: ...

    def wish_of(self, view: View, memory: Memory) -> Span | None: ...


def decide(rule: Rule | LearningRule, query: RebalanceQuery, memory: Memory) -> tuple[Decision, Memory]:
    """Return what a rule decides, and what it remembers from now on.

    Parameters: rule  pure   ·   query  any valid one   ·   memory  of this job, `Memory()` at first
    Returns:    a decision covered by what is owned, without a swap, and the next memory
    Rounding:   ranges outward to the spacing, amounts as `placement.fit`
    Raises:     nothing
    Source:     design §4.6
    """
    price = query.context.sqrt_price_x96
    if not MIN_SQRT_RATIO <= price < MAX_SQRT_RATIO:
        return Keep(), memory
    seen = observe(memory, query, tick_of(price))
    view = look(query, seen)
    if isinstance(rule, LearningRule):
        seen = rule.learn(view, memory, seen)
        span = rule.wish_of(view, seen)
    else:
        span = rule.wish(view)
    decision = Keep() if span is None else place(query, span)
    if span is None or not isinstance(decision, Positions):
        return Keep(), seen
    ranges = tuple(sorted((d.range.tick_lower, d.range.tick_upper) for d in decision.desired))
    return decision, seen.with_plan(ranges, span)


def place(query: RebalanceQuery, span: Span) -> Decision:
    """Return the positions that hold a span without a swap: a base, and a limit position half as wide beside the price.

    Parameters: query  any valid one   ·   span  ticks
    Returns:    Positions, or Keep where they are what is held already or nothing can be placed
    Rounding:   ranges outward to the spacing, amounts as `placement.fit`
    Raises:     nothing
    Source:     strategy reference C1 P4
    """
    pool, (amount0, amount1) = query.context, owned(query)
    spacing, min_width = pool.tick_spacing, pool.limits.min_width
    base_range = align(span, spacing, min_width)
    half = int(span.half / spacing) * spacing
    placed = base_and_limit(
        base_range,
        sqrt_price_x96=pool.sqrt_price_x96,
        tick=pool.tick,
        tick_spacing=spacing,
        min_width=min_width,
        limit_width=max(half, spacing, -(-min_width // spacing) * spacing),
        gap=0,
        amount0=amount0,
        amount1=amount1,
    )
    wanted = {d.range: d for d in placed[::-1] if d is not None}  # where both share a range the base is it
    desired = tuple(list(wanted.values())[::-1][: pool.limits.max_positions])
    if not desired or set(wanted) == shown_ranges(query):
        return Keep()
    return Positions(desired)


class Told(Protocol):
    """What others tell of past prices, without waiting."""

    def bars(self, query: RebalanceQuery) -> Sequence[Candle]: ...


class Tuning(Protocol):
    """Looks for better settings beside the queries; what was found last is there without waiting."""

    def rule_for(self, query: RebalanceQuery, rule: Rule | LearningRule) -> Rule | LearningRule: ...

    def offer(self, query: RebalanceQuery, rule: Rule | LearningRule, memory: Memory) -> None: ...


class Remembering:
    """Serves a rule as a strategy. One lock: a decision takes milliseconds, and memory changes as a whole."""

    def __init__(
        self,
        rule: Rule | LearningRule,
        path: Path | None = None,
        *,
        told: Told | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        self._rule = rule
        self._path = path
        self._told = told
        self._tuning = tuning
        self._lock = threading.Lock()
        self._memories = {} if path is None else load(path)

    @property
    def name(self) -> str:
        """The rule's name."""
        return self._rule.name

    def decide(self, query: RebalanceQuery) -> Decision:
        """Return the rule's decision, remembering what it saw."""
        key = job_key(query)
        with self._lock:
            known = self._memories.pop(key, None)
            before = self._warmed(query, self._of_the_pool(query) if known is None else known)
            rule = self._rule if self._tuning is None else self._tuning.rule_for(query, self._rule)
            decision, memory = decide(rule, query, before)
            self._memories[key] = memory
            if self._tuning is not None:
                self._tuning.offer(query, rule, memory)
            while len(self._memories) > MAX_JOBS:
                self._memories.pop(next(iter(self._memories)))
            if self._path is not None:
                save(self._path, self._memories)
        return decision

    def _warmed(self, query: RebalanceQuery, memory: Memory) -> Memory:
        price = query.context.sqrt_price_x96
        if self._told is None or not MIN_SQRT_RATIO <= price < MAX_SQRT_RATIO:
            return memory
        return with_past(memory, self._told.bars(query), query.context.timestamp, tick_of(price))

    def remembered(self) -> dict[_JobKey, Any]:
        """Return all it remembers, JSON-ready."""
        with self._lock:
            return {key: memory.to_json() for key, memory in self._memories.items()}

    def recall(self, remembered: dict[_JobKey, Any]) -> None:
        """Remember what another one remembered, and nothing else. Raises ValueError where it cannot be understood."""
        memories = {key: Memory.from_json(entry) for key, entry in remembered.items()}
        with self._lock:
            self._memories = memories

    def _of_the_pool(self, query: RebalanceQuery) -> Memory:
        """Return a first memory of a job: what another job of the same pool, or its live round, knows of the market."""
        pool = job_key(query).rsplit("/", 2)[0] + "/"
        others = [memory for key, memory in self._memories.items() if key.startswith(pool)]
        if not others:
            return Memory()
        last = max(others, key=lambda memory: memory.seen_s)
        return Memory(seen_s=last.seen_s, tick=last.tick, bars=last.bars, fees=last.fees)


def job_key(query: RebalanceQuery) -> _JobKey:
    """Return what tells one memory from another: the pool, the job, and whether it is played or live."""
    job_id = query.job_id.replace("/", "%2F")
    return f"{query.chain_id}/{query.pair_address.lower()}/{job_id}/{query.round_type}"


def load(path: Path) -> dict[_JobKey, Memory]:
    """Return what was remembered; nothing where there is no file, or one that cannot be understood."""
    try:
        value: Any = json.loads(path.read_bytes())
        if not isinstance(value, dict) or value.get("version") != _VERSION or not isinstance(value.get("jobs"), dict):
            raise ValueError("not a memory of this version")
        return {str(key): Memory.from_json(entry) for key, entry in list(value["jobs"].items())[-MAX_JOBS:]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        _log.warning("starting without memory: %s: %s", path, error)
        return {}


def save(path: Path, memories: dict[_JobKey, Memory]) -> None:
    """Replace the file as a whole: a process killed at any moment leaves the old one or the new one."""
    value = {"version": _VERSION, "jobs": {key: memory.to_json() for key, memory in memories.items()}}
    try:
        replace_json(path, value)
    except OSError as error:
        _log.warning("memory is not saved: %s", error)
