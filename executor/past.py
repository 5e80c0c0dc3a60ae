"""What a vault's plans have done lately, as the database remembers it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from db.records import Execution
from executor.reconcile import read_amounts

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Past:
    """A vault's last day. Shares are parts per million of its worth; `last_at` is in unix seconds, 0 where no plan of
    the day was ever submitted.
    """

    turnover_ppm: int = 0
    loss_ppm: int = 0
    last_at: int = 0


def past_of(executions: Iterable[Execution], intent: Execution, *, now: int) -> Past:
    """Return what the other plans of an intent's vault came to in the day before `now`, in unix seconds.

    Parameters: executions  of any vaults   ·   intent  the plan that is to be judged
    Returns:    sums of what was predicted, those under way and undone included
    Source:     ours
    """
    turnover_ppm = loss_ppm = last_at = 0
    for other in executions:
        is_other = _vault_of(other) == _vault_of(intent) and other.execution_id != intent.execution_id
        amounts = read_amounts(other.amounts) if is_other and other.created_at >= now - _DAY_S else {}
        if amounts:
            turnover_ppm += int(amounts.get("turnover_ppm", 0))
            loss_ppm += int(amounts.get("loss_ppm", 0))
            last_at = max(last_at, other.updated_at)
    return Past(turnover_ppm, loss_ppm, last_at)


def _vault_of(execution: Execution) -> tuple[int, str]:
    return execution.chain_id, execution.vault.lower()
