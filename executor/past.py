"""What a vault's plans have done lately, as the database remembers it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from db.records import Execution
from executor.live_guards import Used

DAY_S = 86_400
MOST_IN_A_DAY = 10_000  # intents, of all vaults


@dataclass(frozen=True, slots=True)
class Past:
    """A vault's last day, and the plan's own round. `last_at` is in unix seconds, 0 where no plan of the day was ever
    submitted; `due_block` the one at which the round's plan before this one took effect, None where there was none.
    """

    day: Used
    round: Used
    last_at: int
    due_block: int | None = None


def read_amounts(amounts: str | None) -> dict[str, Any]:
    """Return what an execution says of itself; nothing where nothing was written."""
    values = json.loads(amounts) if amounts else {}
    return values if isinstance(values, dict) else {}


def day_of(executions: Iterable[Execution], chain_id: int, vault: str, *, now: int) -> list[Execution]:
    """Return the plans of a vault that were written in the day before `now` and ever submitted.

    Parameters: executions  of any vaults   ·   now  unix seconds, of the clock that stamps `created_at`
    Returns:    those under way and undone included
    Source:     ours
    """
    return [
        e
        for e in executions
        if (e.chain_id, e.vault.lower()) == (chain_id, vault.lower()) and e.created_at >= now - DAY_S and e.amounts
    ]


def used_by(executions: Iterable[Execution]) -> Used:
    """Return what plans come to together.

    Parameters: executions  those never submitted come to nothing
    Returns:    sums of what was predicted
    Source:     ours
    """
    used = Used()
    for execution in executions:
        amounts = read_amounts(execution.amounts)
        used += Used(int(amounts.get("turnover_ppm", 0)), int(amounts.get("loss_ppm", 0)))
    return used


def past_of(executions: Iterable[Execution], intent: Execution, *, now: int) -> Past:
    """Return what the other plans of an intent's vault came to in the day before `now`, in unix seconds.

    Parameters: executions  of any vaults   ·   intent  the plan that is to be judged
    Returns:    sums of what was predicted, those under way and undone included; its round's however long that lasts
    Source:     ours
    """
    others = [e for e in executions if e.execution_id != intent.execution_id]
    day = day_of(others, intent.chain_id, intent.vault, now=now)
    own = [e for e in others if e.round_id == intent.round_id and e.amounts]
    last_at = max((e.updated_at for e in day), default=0)
    return Past(used_by(day), used_by(own), last_at, max((e.effective_block for e in own), default=None))
