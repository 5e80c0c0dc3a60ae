"""Many back-tests at once: units that depend on nothing but themselves, over processes or machines."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from miner.backtest import Played
from miner.whole_file import replace_json
from protocol.errors import ConfigError
from simulator.engine import Engine
from tideline.backtest_play import Contest, play
from tideline.backtest_result import part_bp

_IDLE_S = 30
_ANSWER_S = 10.0  # a scheduler has this long to say that it is there

Unit: TypeAlias = Contest  # of one strategy


@dataclass(frozen=True, slots=True)
class Row:
    """What one round came to for one strategy, in bp of the opening value; no score where it was not scored."""

    score_bp: float | None
    fees_bp: float = 0.0
    lvr_bp: float = 0.0
    costs_bp: float = 0.0
    rebalances: int = 0
    in_range_s: int = 0
    duration_s: int = 0


Rows: TypeAlias = tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Workers:
    """Who plays: processes of this machine, or those behind a scheduler."""

    backend: Literal["loky", "dask", "ray"] = "loky"
    count: int | None = None  # None: all there are
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if (self.backend == "loky") != (self.scheduler is None):
            raise ConfigError("--backend dask and ray need --scheduler, and nothing else does")


def play_units(
    units: Sequence[Unit], folder: Path | None, workers: Workers, tell: Callable[[int], None], *, engine: Engine
) -> list[Rows]:
    """Return what every unit came to, in their order.

    What is in the folder already is not played again, and each unit is put there as it ends: so whoever is killed goes
    on. `tell` hears of each how many are done. Raises ConfigError, and what playing raises.
    """
    paths = [None if folder is None else folder / f"{_digest(unit)}.json" for unit in units]
    done = {index: rows for index, path in enumerate(paths) if path and (rows := _read(path)) is not None}
    tell(len(done))
    missing = [(index, unit) for index, unit in enumerate(units) if index not in done]
    for index, rows in _spread(missing, workers, engine):
        path = paths[index]
        if path is not None:
            _keep(path, rows)
        done[index] = rows
        tell(len(done))
    return [done[index] for index in range(len(units))]


def _spread(units: Sequence[tuple[int, Unit]], workers: Workers, engine: Engine) -> Iterator[tuple[int, Rows]]:
    """Yield units as they end, in any order."""
    if not units:
        return
    if workers.backend == "loky" and (workers.count == 1 or len(units) == 1):
        yield from (_played(index, unit, engine) for index, unit in units)
        return
    import joblib  # type: ignore[import-untyped]  # it ships no types; only this needs it

    with ExitStack() as stack:
        _connect(workers, stack)
        # Workers of a process that was killed end when they have been idle for so long.
        local = {"idle_worker_timeout": _IDLE_S} if workers.backend == "loky" else {}
        stack.enter_context(joblib.parallel_config(backend=workers.backend, n_jobs=workers.count or -1, **local))
        # Ray's backend cannot return one by one: then nothing is kept until all have ended.
        how = "list" if workers.backend == "ray" else "generator_unordered"
        yield from joblib.Parallel(return_as=how)(joblib.delayed(_played)(i, unit, engine) for i, unit in units)


def _connect(workers: Workers, stack: ExitStack) -> None:
    """Make the scheduler known to joblib for as long as the stack lasts. Raises ConfigError where there is none."""
    try:
        if workers.backend == "dask":
            import distributed  # type: ignore[import-not-found, import-untyped, unused-ignore]  # an extra

            client: Any = distributed.Client
            stack.enter_context(client(workers.scheduler, timeout=_ANSWER_S, set_as_default=True))
        elif workers.backend == "ray":
            import ray  # type: ignore[import-not-found, import-untyped, unused-ignore]  # an extra
            from ray.util.joblib import register_ray  # type: ignore[import-not-found, import-untyped, unused-ignore]

            ray.init(address=workers.scheduler)
            stack.callback(ray.shutdown)
            register_ray()
    except ImportError as error:
        extra = f"tideline[{workers.backend}]"
        raise ConfigError(f"--backend {workers.backend} needs more packages; install {extra}") from error
    except (OSError, ConnectionError) as error:
        raise ConfigError(f"no {workers.backend} scheduler answers at {workers.scheduler}") from error


def _played(index: int, unit: Unit, engine: Engine) -> tuple[int, Rows]:
    played = asyncio.run(play(unit, None, lambda _round: None, engine=engine))
    return index, tuple(row_of(entry.played[0]) for entry in played)


def row_of(played: Played) -> Row:
    """Return what remains of a round where there are too many to keep their ledgers."""
    ledger = played.ledger
    if ledger is None or played.score_e18 is None:
        return Row(None)
    return Row(
        played.score_e18 / 1e14,
        part_bp(ledger, "fees"),
        part_bp(ledger, "lvr"),
        part_bp(ledger, "swap_cost") + part_bp(ledger, "gas") + part_bp(ledger, "dust"),
        ledger["rebalances"],
        ledger["in_range_s"],
        ledger["duration_s"],
    )


def _digest(unit: Unit) -> str:
    key: list[Any] = [unit.key(), unit.rounds]
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> Rows | None:
    """Return what a unit came to; None where it has not been played. Raises ConfigError for a file that is damaged."""
    try:
        return tuple(Row(*row) for row in json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}; remove it") from error


def _keep(path: Path, rows: Rows) -> None:
    try:
        replace_json(path, [astuple(row) for row in rows])
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; choose another folder") from error
