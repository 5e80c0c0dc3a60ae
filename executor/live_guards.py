"""What an intent must pass on the chain as it is now, beyond the limits of its plan. Pure: see `executor.guards`."""

from __future__ import annotations

from dataclasses import dataclass

from executor.guards import Allowed, Refused, Verdict
from executor.vault import VaultLimits

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """An operator's bounds. Shares are parts per million of the vault's worth; `vaults` are in lower case. `cooldown_s`
    is for vaults that set their keeper none.
    """

    vaults: frozenset[str]
    max_age_blocks: int = 30
    twap_s: int = 600
    max_deviation_ticks: int = 100
    max_external_ppm: int = 10_000
    max_daily_turnover_ppm: int = 3_000_000
    max_daily_loss_ppm: int = 5_000
    cooldown_s: int = 120


@dataclass(frozen=True, slots=True)
class Used:
    """What plans turn over and lose, in parts per million of their vault's worth."""

    turnover_ppm: int = 0
    loss_ppm: int = 0

    def __add__(self, other: Used) -> Used:
        return Used(self.turnover_ppm + other.turnover_ppm, self.loss_ppm + other.loss_ppm)


@dataclass(frozen=True, slots=True)
class Situation:
    """An intent and its chain. `age_blocks` counts from the block at which the plan takes effect. `plan` is what this
    plan comes to, `round` and `day` what was before it: in its round, and in the last day, its round included.
    `vault_limits` are those that the vault sets itself; `since_due_s` is how long after the round's plan before it this
    one was due, where there was one; `external_price_x96` is a square root, where the operator has a second source of
    prices.
    """

    vault: str
    age_blocks: int
    tick: int
    mean_tick: int | None
    sqrt_price_x96: int
    plan: Used
    round: Used
    day: Used
    vault_limits: VaultLimits | None = None
    since_due_s: int | None = None
    external_price_x96: int | None = None


def check_vault(vault: str, limits: LiveLimits) -> Verdict:
    """Judge whether a vault is one of those that may be touched at all.

    Parameters: vault  an address
    Returns:    Allowed, or Refused for now: it may be another executor's
    Source:     ours
    """
    if vault.lower() in limits.vaults:
        return Allowed()
    return Refused(f"vault {vault} is not on the list of --allow", is_passing=True)


def check_age(age_blocks: int, limits: LiveLimits) -> Verdict:
    """Judge the age of a decision.

    Parameters: age_blocks  since the block at which it takes effect
    Returns:    Allowed, or Refused naming the limit
    Source:     design §4.5
    """
    if age_blocks <= limits.max_age_blocks:
        return Allowed()
    return Refused(f"the decision is {age_blocks} blocks old, at most {limits.max_age_blocks}")


def check_rest(rested_s: int, limits: LiveLimits) -> Verdict:
    """Judge whether a vault has rested since its last plan.

    Parameters: rested_s  since then
    Returns:    Allowed, or Refused for now
    Source:     execution reference §12: a vault without a cooldown of its own
    """
    if rested_s >= limits.cooldown_s:
        return Allowed()
    return Refused(f"the vault rests for {limits.cooldown_s - rested_s} s more", is_passing=True)


def check_opening(day: Used, limits: LiveLimits) -> Verdict:
    """Judge whether a live round may open: half of each of the day's budgets must be left for it alone.

    Parameters: day  what the vault's plans of the last day came to
    Returns:    Allowed, or Refused for now. Within that half no plan of the round can meet the end of the day's budget
    Rounding:   the half is floored
    Source:     ADR 7
    """
    for name, value, most in (
        ("turnover", day.turnover_ppm, limits.max_daily_turnover_ppm // 2),
        ("loss", day.loss_ppm, limits.max_daily_loss_ppm // 2),
    ):
        if value > most:
            return Refused(f"{value} ppm of {name} in the last day, at most {most} before a round", is_passing=True)
    return Allowed()


def check_situation(situation: Situation, limits: LiveLimits) -> Verdict:
    """Judge an intent on the chain as it is.

    Parameters: situation  at one block   ·   limits  see `LiveLimits`
    Returns:    Allowed, or Refused naming the first limit that is exceeded and by what. The plan is at fault for its
                own cost and for what its round comes to with it, never for what others have used
    Rounding:   the share by which two prices differ and the half of a day's budget are floored
    Source:     execution reference §10, ADR 7
    """
    s = situation
    for verdict in (check_vault(s.vault, limits), check_age(s.age_blocks, limits)):
        if isinstance(verdict, Refused):
            return verdict
    if s.mean_tick is None:
        return Refused(f"the pool does not remember its price of {limits.twap_s} s ago")
    in_round, in_day = s.round + s.plan, s.day + s.plan
    hurry_s = 0
    plan_loss_ppm, daily_loss_ppm = _MILLION, limits.max_daily_loss_ppm
    if s.vault_limits is not None:
        plan_loss_ppm = s.vault_limits.max_loss_ppm
        hurry_s = 0 if s.since_due_s is None else s.vault_limits.cooldown_s - s.since_due_s
        daily_loss_ppm = min(daily_loss_ppm, s.vault_limits.max_daily_loss_ppm)
    for name, value, most, is_plans in (
        ("ticks between price and mean", abs(s.tick - s.mean_tick), limits.max_deviation_ticks, False),
        ("ppm between price and external price", _apart_ppm(s), limits.max_external_ppm, False),
        ("seconds of rest left from its round's last plan", hurry_s, 0, True),
        ("ppm of loss in one plan", s.plan.loss_ppm, plan_loss_ppm, True),
        ("ppm of turnover in a round", in_round.turnover_ppm, limits.max_daily_turnover_ppm // 2, True),
        ("ppm of loss in a round", in_round.loss_ppm, daily_loss_ppm // 2, True),
        ("ppm of turnover in a day", in_day.turnover_ppm, limits.max_daily_turnover_ppm, False),
        ("ppm of loss in a day", in_day.loss_ppm, limits.max_daily_loss_ppm, False),
    ):
        if value > most:
            return Refused(f"{value} {name}, at most {most}", is_plans)
    return Allowed()


def _apart_ppm(situation: Situation) -> int:
    if situation.external_price_x96 is None:
        return 0
    ours, theirs = situation.sqrt_price_x96**2, situation.external_price_x96**2
    return abs(ours - theirs) * _MILLION // min(ours, theirs)
