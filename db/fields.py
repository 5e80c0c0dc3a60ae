"""Column types of our own."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tortoise import fields
from tortoise.fields.base import Field

from protocol.errors import StoreError

_LIMIT = 2**256


class Int256Field(Field[int], int):
    """A signed integer of up to 256 bits, exact: NUMERIC(78, 0) on PostgreSQL, decimal text on SQLite.

    Tortoise's DecimalField rounds to the 28 digits of the default decimal context, hence this one.
    """

    SQL_TYPE = "NUMERIC(78,0)"

    class _db_sqlite:
        SQL_TYPE = "TEXT"  # NUMERIC affinity would turn what exceeds 64 bits into a float

    def to_db_value(self, value: Any, instance: Any) -> Any:
        if value is None:
            return None
        if type(value) is not int:
            raise StoreError(f"{self.model_field_name} takes an int, got {type(value).__name__}")
        if not -_LIMIT < value < _LIMIT:
            raise StoreError(f"{self.model_field_name} exceeds 256 bits")
        # asyncpg takes a Decimal as it is; on SQLite Tortoise's adapter writes it as text. Making one never rounds.
        return Decimal(value)

    def to_python_value(self, value: Any) -> Any:
        return None if value is None else int(value)


def optional_int256() -> Field[int | None]:
    """Return an Int256Field that may be null."""
    field: Any = Int256Field(null=True)
    nullable: Field[int | None] = field
    return nullable


class SafeTextField(fields.TextField):
    """Text that may quote a peer: what a database cannot hold (NUL, lone surrogates) is replaced, never an error.

    One miner's strange words must not keep the other miners' results from being written.
    """

    def to_db_value(self, value: Any, instance: Any) -> Any:
        if isinstance(value, str):
            value = value.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\N{REPLACEMENT CHARACTER}")
        return super().to_db_value(value, instance)


def optional_text() -> Field[str | None]:
    """Return a SafeTextField that may be null."""
    field: Any = SafeTextField(null=True)
    nullable: Field[str | None] = field
    return nullable
