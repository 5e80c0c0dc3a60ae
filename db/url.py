"""Where the jobs database is, as people write it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from protocol.errors import ConfigError

Dialect = Literal["sqlite", "postgres"]

DEFAULT_DATABASE_URL = "sqlite:///.tideline/jobs.sqlite3"
DATABASE_ENV = "TIDELINE_DB"

_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")  # libpq's words
_FORMS = "sqlite:///relative/path, sqlite:////absolute/path or postgres://user:password@host:port/database"


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A parsed database address. `path` is for SQLite, the rest for PostgreSQL; the password is never shown."""

    dialect: Dialect
    path: str = ""
    host: str | None = None
    port: int = 5432
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str = ""
    pool_size: int = 5
    sslmode: str = "prefer"

    @property
    def shown(self) -> str:
        """The address without its password, for messages."""
        if self.dialect == "sqlite":
            return self.path
        return f"{self.host or 'local socket'}:{self.port}/{self.database}"


def parse_database_url(url: str) -> DatabaseUrl:
    """Read a database address. `sqlite:///x` is relative to the working directory, `sqlite:////x` absolute."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise ConfigError(f"the database address has no scheme; write {_FORMS}")
    if scheme == "sqlite":
        return _sqlite(rest)
    if scheme in ("postgres", "postgresql"):
        return _postgres(url)
    raise ConfigError(f"unknown database scheme {scheme!r}; write {_FORMS}")


def _sqlite(rest: str) -> DatabaseUrl:
    path = rest.removeprefix("/")
    if "?" in path:
        raise ConfigError("a sqlite address takes no ?options")
    if not path:
        raise ConfigError(f"the sqlite address names no file; write {_FORMS}")
    if "\x00" in path:
        raise ConfigError("the sqlite address contains a NUL character")
    return DatabaseUrl(dialect="sqlite", path=path)


def _postgres(url: str) -> DatabaseUrl:
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError as error:
        raise ConfigError("the postgres address has a bad host or port") from error
    options = dict(parse_qsl(parts.query))
    host = options.pop("host", None) or parts.hostname
    pool_size = options.pop("pool_size", "5")
    sslmode = options.pop("sslmode", "prefer")
    if options:
        raise ConfigError(f"unknown option {min(options)!r} in the postgres address; known: host, pool_size, sslmode")
    if sslmode not in _SSL_MODES:
        raise ConfigError(f"sslmode in the postgres address must be one of {', '.join(_SSL_MODES)}")
    if not pool_size.isdecimal() or not 1 <= int(pool_size) <= 100:
        raise ConfigError("pool_size in the postgres address must be 1 to 100")
    database = unquote(parts.path.removeprefix("/"))
    if not database:
        raise ConfigError("the postgres address names no database")
    return DatabaseUrl(
        dialect="postgres",
        host=host,
        port=port,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        database=database,
        pool_size=int(pool_size),
        sslmode=sslmode,
    )
