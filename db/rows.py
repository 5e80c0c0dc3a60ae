"""Between rows and records."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from tortoise.models import Model
from tortoise.queryset import QuerySet

_Record = TypeVar("_Record")
_Row = TypeVar("_Row", bound=Model)


def names(record: type[Any]) -> tuple[str, ...]:
    """Return the field names of a record class, which are the columns it is read from."""
    return tuple(field.name for field in fields(record))


def to_record(record: type[_Record], row: Model, **changes: Any) -> _Record:
    """Build a record from the columns of its names; `changes` replace what the row says."""
    values = {name: getattr(row, name) for name in names(record) if name not in changes}
    return record(**values, **changes)


def to_values(record: Any) -> dict[str, Any]:
    """Return a record's fields, ready to become a row."""
    return {name: getattr(record, name) for name in names(type(record))}


def locked(rows: QuerySet[_Row]) -> QuerySet[_Row]:
    """Lock these rows until the transaction ends. On SQLite the transaction already holds the only write lock.

    `no_key`: rows that merely refer to them may still be written meanwhile.
    """
    return rows.select_for_update(no_key=True)
