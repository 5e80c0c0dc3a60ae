"""What the contract does when it refuses: revert with a reason, and leave no trace."""

from __future__ import annotations

from protocol.errors import TidelineError


class PoolRevert(TidelineError):
    """The contract would have reverted. `reason` is its own string, "" where it gives none.

    It stands beside SimulationError, not below it: a revert is the pool's answer to a call, and whoever made the call
    says what it means. It is a TidelineError so that one nobody expected is still reported with its place.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(f"reverted: {reason}" if reason else "reverted without a reason")
        self.reason = reason

    def __reduce__(self) -> tuple[type[PoolRevert], tuple[str]]:
        # The message is not the constructor's argument, so the default would rebuild another error in another process.
        return PoolRevert, (self.reason,)


def require(condition: object, reason: str = "") -> None:
    """Revert with `reason` unless `condition` holds."""
    if not condition:
        raise PoolRevert(reason)
