"""What an intent must pass on the chain as it is now, beyond the limits of its plan. Pure: see `executor.guards`."""

from __future__ import annotations

from dataclasses import dataclass

from executor.guards import Allowed, Refused, Verdict

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
class Situation:
    """An intent and its chain. `age_blocks` counts from the block at which the plan takes effect; `turnover_ppm` and
    `loss_ppm` are this plan's, the daily ones what was before it. `external_price_x96` is a square root, where the
    operator has a second source of prices.
    """

    vault: str
    age_blocks: int
    tick: int
    mean_tick: int | None
    sqrt_price_x96: int
    turnover_ppm: int
    daily_turnover_ppm: int
    loss_ppm: int
    daily_loss_ppm: int
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


def check_situation(situation: Situation, limits: LiveLimits) -> Verdict:
    """Judge an intent on the chain as it is.

    Parameters: situation  at one block   ·   limits  see `LiveLimits`
    Returns:    Allowed, or Refused naming the first limit that is exceeded and by what
    Rounding:   the share by which two prices differ is floored
    Source:     execution reference §10
    """
    s = situation
    for verdict in (check_vault(s.vault, limits), check_age(s.age_blocks, limits)):
        if isinstance(verdict, Refused):
            return verdict
    if s.mean_tick is None:
        return Refused(f"the pool does not remember its price of {limits.twap_s} s ago")
    turnover, loss = s.daily_turnover_ppm + s.turnover_ppm, s.daily_loss_ppm + s.loss_ppm
    for name, value, most, is_plans in (
        ("ticks between price and mean", abs(s.tick - s.mean_tick), limits.max_deviation_ticks, False),
        ("ppm between price and external price", _apart_ppm(s), limits.max_external_ppm, False),
        ("ppm of turnover in a day", turnover, limits.max_daily_turnover_ppm, True),
        ("ppm of loss in a day", loss, limits.max_daily_loss_ppm, True),
    ):
        if value > most:
            return Refused(f"{value} {name}, at most {most}", is_plans)
    return Allowed()


def _apart_ppm(situation: Situation) -> int:
    if situation.external_price_x96 is None:
        return 0
    ours, theirs = situation.sqrt_price_x96**2, situation.external_price_x96**2
    return abs(ours - theirs) * _MILLION // min(ours, theirs)
