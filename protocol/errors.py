"""Every error of Tideline, ordered by whose fault it is.

    TidelineError
    ├── RemoteError        a peer: scored or skipped, never fatal
    ├── SimulationError    our data or our arithmetic: the round stops, loudly
    ├── ChainError         the world: `retryable` says whether asking again can help
    ├── StoreError         a database
    └── ConfigError        the operator: one line that says what to change, exit code 2

Outcomes (refused, timed out, reverted by the pool's own rules) are values, not errors.
"""

from __future__ import annotations


class TidelineError(Exception):
    """An error with the place where it happened.

    `where` holds location fields (pool, block, log_index, hotkey, job_id ...), printed after the message.
    """

    def __init__(self, message: str, **where: object) -> None:
        super().__init__(message)
        self.message = message
        self.where = where

    def __reduce__(self) -> tuple[object, ...]:
        """Return how another process makes it again, whatever arguments a subclass takes."""
        return _revive, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        if not self.where:
            return self.message
        return f"{self.message} ({', '.join(f'{key}={value}' for key, value in self.where.items())})"


def _revive(kind: type[TidelineError], arguments: tuple[object, ...], fields: dict[str, object]) -> TidelineError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(fields)
    return error


class RemoteError(TidelineError):
    """A peer broke the protocol or could not be reached."""


class SimulationError(TidelineError):
    """Our data contradicts itself or the chain; nothing computed from it may be used."""


class ChainError(TidelineError):
    """A chain endpoint failed or answered something impossible."""

    def __init__(self, message: str, *, retryable: bool, **where: object) -> None:
        super().__init__(message, **where)
        self.retryable = retryable


class StoreError(TidelineError):
    """A database failed or holds what it must not hold."""


class ConfigError(TidelineError):
    """The operator can fix this; the message says how."""
