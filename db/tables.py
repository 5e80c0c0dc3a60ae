"""The tables as each database sees them.

Tortoise keeps a model's SQL dialect in its class, so each dialect has classes of its own: this is what allows an SQLite
and a PostgreSQL store to be open in one process.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from tortoise.models import Model, ModelMeta

from db.models import (
    APP,
    ExecutorControlRow,
    ExecutorKeyRow,
    JobRow,
    LiveExecutionRow,
    MinerParticipationRow,
    MinerScoreRow,
    PredictionRow,
    RoundEvidenceRow,
    RoundRow,
    RoundScoreRow,
    TransactionAttemptRow,
    TransactionRow,
    WeightSetRow,
)
from db.url import Dialect

_Row = TypeVar("_Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Tables:
    """The concrete tables of one dialect."""

    jobs: type[JobRow]
    rounds: type[RoundRow]
    round_evidence: type[RoundEvidenceRow]
    predictions: type[PredictionRow]
    round_scores: type[RoundScoreRow]
    miner_scores: type[MinerScoreRow]
    miner_participation: type[MinerParticipationRow]
    live_executions: type[LiveExecutionRow]
    weight_sets: type[WeightSetRow]
    transactions: type[TransactionRow]
    transaction_attempts: type[TransactionAttemptRow]
    executor_keys: type[ExecutorKeyRow]
    executor_control: type[ExecutorControlRow]

    def models(self) -> list[type[Model]]:
        return [getattr(self, field.name) for field in fields(self)]


def _concrete(row: type[_Row], table: str) -> type[_Row]:
    meta: Any = type("Meta", (row.Meta,), {"abstract": False, "table": table})
    # Copies: a foreign key remembers the class that it points to.
    columns = {name: copy(field) for name, field in row._meta.fields_map.items()}
    names = {"Meta": meta, "__module__": __name__, "__annotations__": {}}
    model: Any = ModelMeta(row.__name__.removesuffix("Row"), (row,), {**columns, **names})
    concrete: type[_Row] = model
    return concrete


def _tables() -> Tables:
    return Tables(
        jobs=_concrete(JobRow, "jobs"),
        rounds=_concrete(RoundRow, "rounds"),
        round_evidence=_concrete(RoundEvidenceRow, "round_evidence"),
        predictions=_concrete(PredictionRow, "predictions"),
        round_scores=_concrete(RoundScoreRow, "round_scores"),
        miner_scores=_concrete(MinerScoreRow, "miner_scores"),
        miner_participation=_concrete(MinerParticipationRow, "miner_participation"),
        live_executions=_concrete(LiveExecutionRow, "live_executions"),
        weight_sets=_concrete(WeightSetRow, "weight_sets"),
        transactions=_concrete(TransactionRow, "executor_transactions"),
        transaction_attempts=_concrete(TransactionAttemptRow, "executor_attempts"),
        executor_keys=_concrete(ExecutorKeyRow, "executor_keys"),
        executor_control=_concrete(ExecutorControlRow, "executor_control"),
    )


TABLES: dict[Dialect, Tables] = {"sqlite": _tables(), "postgres": _tables()}

# For `tortoise -c db.tables.TORTOISE_ORM makemigrations`; the store does not use it.
TORTOISE_ORM: dict[str, Any] = {
    "connections": {"default": "sqlite://:memory:"},
    "apps": {APP: {"models": ["db.tables_sqlite"], "default_connection": "default", "migrations": "db.migrations"}},
}
