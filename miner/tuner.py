"""Better settings for `btr_plus`, looked for beside the queries: in a process that may die, hang or lie.

A query reads what was found last and leaves what it has seen; both are a look into a table. The rest is `run`'s.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from miner.memory import Memory
from miner.remembering import LearningRule
from miner.strategies.btr_plus import BtrPlus
from miner.strategies.plus.optimizer import AXES
from miner.strategies.plus.walk_forward import BARS_PER_DAY, FoldParams, seed_of
from miner.view import Rule, look
from miner.whole_file import replace_json
from protocol.errors import ConfigError
from protocol.messages import RebalanceQuery

_log = logging.getLogger(__name__)
_VERSION = 1
_POOLS = 16  # what was offered longest ago is forgotten first
_ROUNDING = 1 + 1e-9  # a bound that went through logarithms and back
_LEAST_BARS = 2 * BARS_PER_DAY
_Pool: TypeAlias = str
WORKER = (sys.executable, "-P", "-m", "miner.tune_worker")


@dataclass(frozen=True, slots=True)
class TuningParams:
    """How often each pool is searched for, how long that may take, and how thoroughly."""

    every_s: float = 6 * 3600.0
    deadline_s: float = 600.0
    budget: int = 200
    folds: FoldParams = field(default_factory=FoldParams)


class Tuner:
    """The optimizer of a running miner. `rule_for` and `offer` may be called from any thread and never wait."""

    def __init__(
        self,
        path: Path | None = None,
        params: TuningParams | None = None,
        *,
        version: str = "",
        worker: Sequence[str] = WORKER,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._params = params or TuningParams()
        self._version = version
        self._worker = tuple(worker)
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._found = {} if path is None else _load(path)
        self._tasks: dict[_Pool, dict[str, Any]] = {}
        self._due_s: dict[_Pool, float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()

    def rule_for(self, query: RebalanceQuery, rule: Rule | LearningRule) -> Rule | LearningRule:
        """Return the rule with the settings found last for a question's pool; itself where none were."""
        found = self._found.get(_pool(query))
        return replace(rule, **found) if found and isinstance(rule, BtrPlus) else rule

    def offer(self, query: RebalanceQuery, rule: Rule | LearningRule, memory: Memory) -> None:
        """Leave what a question showed, to be searched when it is its pool's turn."""
        pool, loop = _pool(query), self._loop
        if len(memory.bars) < _LEAST_BARS or not isinstance(rule, BtrPlus):
            return
        is_due = self._due_s.get(pool, -math.inf) <= self._clock_s()
        if not is_due:
            return
        task = self._task(query, rule, memory)
        with self._lock:
            self._tasks.pop(pool, None)
            self._tasks[pool] = task
            while len(self._tasks) > _POOLS:
                self._tasks.pop(next(iter(self._tasks)))
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._news.set)

    def _task(self, query: RebalanceQuery, rule: BtrPlus, memory: Memory) -> dict[str, Any]:
        view = look(query, memory)
        return {
            "bars": memory.bars,
            "fee_rate": view.fee_rate,
            "cost": view.cost,
            "tick_spacing": view.tick_spacing,
            "is_stable": view.is_stable,
            "rule": asdict(rule),
            "seed": seed_of(query.round_id, _pool(query), self._version),
            "budget": self._params.budget,
            "folds": asdict(self._params.folds),
        }

    async def run(self) -> None:
        """Search, one pool at a time, until cancelled."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._tasks:
                    with self._lock:
                        pool = next(iter(self._tasks))
                        task = self._tasks.pop(pool)
                        self._due_s[pool] = self._clock_s() + self._params.every_s
                    await self._search(pool, task)
        finally:
            self._loop = None

    async def _search(self, pool: _Pool, task: Mapping[str, Any]) -> None:
        try:
            async with asyncio.timeout(self._params.deadline_s):
                result = json.loads(await self._ask(json.dumps(task).encode()))
            settings = _checked(result["rule"]) if result["is_replaced"] is True else None
        except TimeoutError:
            _log.warning("the search for %s took longer than %g s and was ended", pool, self._params.deadline_s)
            return
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            _log.warning("the search for %s came to nothing: %s", pool, error)
            return
        if settings is None:
            _log.info("searched for %s: nothing is surely better", pool)
            return
        self._found = {**self._found, pool: settings}
        if self._path is not None:
            await asyncio.to_thread(_save, self._path, self._found)
        _log.info("searched for %s: from now on %s", pool, settings)

    async def _ask(self, task: bytes) -> bytes:
        """Return what a process of its own says; it does not outlive the wait for it. Raises OSError, ValueError."""
        process = await asyncio.create_subprocess_exec(
            *self._worker, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        try:
            said, _ = await process.communicate(task)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise ValueError(f"its process ended with {process.returncode}")
        return said


def _pool(query: RebalanceQuery) -> _Pool:
    return f"{query.chain_id}/{query.pair_address.lower()}"


def _checked(settings: Mapping[str, Any]) -> dict[str, float]:
    """Return settings that were searched for, each within its bounds. Raises ValueError on any others."""
    if set(settings) != set(AXES):
        raise ValueError("other settings than those searched for")
    found = {name: float(value) for name, value in settings.items()}
    outside = [n for n, axis in AXES.items() if not axis.low <= found[n] <= axis.high * _ROUNDING]
    if outside:
        raise ValueError(f"{outside[0]} = {found[outside[0]]:g} is out of bounds")
    try:
        BtrPlus(**found)
    except ConfigError as error:
        raise ValueError(error.message) from error
    return found


def _load(path: Path) -> dict[_Pool, dict[str, float]]:
    """Return what a file holds; nothing, with a warning, where it is spoilt."""
    try:
        value = json.loads(path.read_bytes())
        if value["version"] != _VERSION:
            raise ValueError(f"version {value['version']!r:.20}")
        return {str(pool): _checked(settings) for pool, settings in value["pools"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        _log.warning("starting with the settings given: %s: %s", path, error)
        return {}


def _save(path: Path, found: Mapping[_Pool, Mapping[str, float]]) -> None:
    try:
        replace_json(path, {"version": _VERSION, "pools": found})
    except OSError as error:
        _log.warning("what was found is not saved: %s", error)
