"""The PostgreSQL tables, named as a module because Tortoise finds models by module."""

from __future__ import annotations

from db.tables import TABLES

__models__ = TABLES["postgres"].models()
