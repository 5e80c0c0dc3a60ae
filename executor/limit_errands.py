"""A vault's limits as its owner changes them: the bounds that no owner can pass, what is tighter, what was announced.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from executor.errands import Errand, owners
from executor.vault import VaultLimits, limit_words
from executor.vault_abi import LIMITS
from executor.vault_facts import VaultFacts
from protocol.errors import ConfigError
from simulator.chain.abi import keccak256, words

LOOSENING_DELAY_S = 2 * 86_400  # vault_limits.vy


@dataclass(frozen=True, slots=True)
class Rule:
    """What the contract allows a limit to be, which way is tighter, and what its number means. Two spacings of the pool
    are the least where `least` is None.
    """

    least: int | None
    most: int
    means: str
    more_is_tighter: bool = False


RULES: Mapping[str, Rule] = {
    "twap_short_s": Rule(60, 600, "the price must agree with its mean over the last {} s", more_is_tighter=True),
    "twap_long_s": Rule(
        600,
        7200,
        "the price must agree with its mean over {} s, too; the pool must remember them",
        more_is_tighter=True,
    ),
    "max_deviation": Rule(1, 300, "no plan where the price is more than {} ticks from either mean"),
    "min_width": Rule(None, 20_000, "a new range is at least {} ticks wide", more_is_tighter=True),
    "max_distance": Rule(0, 20_000, "a new range begins at most {} ticks from the long mean"),
    "max_positions": Rule(1, 50, "at most {} positions"),
    "cooldown_s": Rule(60, 86_400, "at least {} s from plan to plan", more_is_tighter=True),
    "max_loss_ppm": Rule(0, 20_000, "one plan may lose at most {} millionths of the worth"),
    "max_daily_loss_ppm": Rule(0, 50_000, "the plans of a day may lose at most {} millionths of the worth"),
    "max_daily_drift": Rule(100, 20_000, "the long mean may come {} ticks at once, and as many a day, before you look"),
}


def limits_hash(limits: VaultLimits) -> int:
    """Return the hash by which a vault remembers limits. Source: executor/contracts/vault_limits.vy."""
    return int.from_bytes(keccak256(words(*limit_words(limits))), "big")


def hard_bounds(name: str, tick_spacing: int) -> tuple[int, int]:
    """Return the least and the most that a limit can be. Source: executor/contracts/vault_limits.vy."""
    rule = RULES[name]
    return (2 * tick_spacing if rule.least is None else rule.least), rule.most


def require_bounds(limits: VaultLimits, tick_spacing: int) -> None:
    """Raise ConfigError for the first limit that the contract would refuse."""
    for name in RULES:
        (least, most), value = hard_bounds(name, tick_spacing), getattr(limits, name)
        if not least <= value <= most:
            raise ConfigError(f"{name} {value} is beyond the hard bounds {least} .. {most}, which no owner can pass")


def change(old: VaultLimits, named: Mapping[str, int], tick_spacing: int) -> VaultLimits:
    """Return limits with some of them changed. Raises ConfigError beyond the bounds, or where nothing changes."""
    new = replace(old, **named)
    require_bounds(new, tick_spacing)
    if new == old:
        raise ConfigError("the limits are these already; name one that is to change, for example --max-loss-ppm 2000")
    return new


def differences(old: VaultLimits, new: VaultLimits) -> list[str]:
    """Return in words how each limit changes that does."""
    return [
        f"{name} {getattr(old, name)} -> {getattr(new, name)}, {'looser' if name in loosened(old, new) else 'tighter'}:"
        f" {rule.means.format(getattr(new, name))}"
        for name, rule in RULES.items()
        if getattr(old, name) != getattr(new, name)
    ]


def loosened(old: VaultLimits, new: VaultLimits) -> tuple[str, ...]:
    """Return the limits that hold the keeper less than before. Source: executor/contracts/vault_limits.vy."""
    grown = {name: getattr(new, name) - getattr(old, name) for name in RULES}
    return tuple(name for name, rule in RULES.items() if (grown[name] < 0 if rule.more_is_tighter else grown[name] > 0))


def announce_limits(facts: VaultFacts, sender: str, new: VaultLimits) -> Errand:
    """Return the beginning of the wait for looser limits.

    Parameters: new  within the bounds, another than the vault's
    Raises:     ConfigError where the sender is not the owner, or nothing has to wait
    Source:     executor/contracts/vault_limits.vy
    """
    if not loosened(facts.limits, new):
        raise ConfigError("none of these is looser, so nothing has to wait: set-limits with the same sets them at once")
    if facts.announced_hash == limits_hash(new):
        raise ConfigError("these are announced already; to announce them again would begin the wait anew")
    instead = ", in place of those announced before" if facts.announced_hash else ""
    will = f"announce these limits{instead}; the others stay as they are"
    after = "the old limits hold; in two days these can be set with: set-limits VAULT"
    return owners(facts, sender, _call("announce_limits"), limit_words(new), "announce limits", will, after)


def set_limits(facts: VaultFacts, sender: str, new: VaultLimits, *, now: int) -> Errand:
    """Return the setting of limits: tighter ones at once, looser ones as announced, when the wait is over.

    Parameters: new  within the bounds   ·   now  unix seconds of the chain
    Raises:     ConfigError where the sender is not the owner, or what is looser was not announced or has to wait
    Source:     executor/contracts/vault_limits.vy
    """
    looser = loosened(facts.limits, new)
    is_announced = facts.announced_hash == limits_hash(new)
    if looser and not is_announced:
        what = "what is announced is something else" if facts.announced_hash else "nothing is announced"
        raise ConfigError(f"{', '.join(looser)}: looser, and {what}; announce-limits with the same, and wait two days")
    left = facts.announced_at + LOOSENING_DELAY_S - now
    if looser and left > 0:
        raise ConfigError(f"{', '.join(looser)}: announced, but wait {span_text(left)} more")
    dropped = "; what is announced is dropped" if facts.announced_hash and not is_announced else ""
    will = f"set these limits{dropped}; the others stay as they are"
    after = "the keeper is held to them from the next plan on"
    return owners(facts, sender, _call("set_limits"), limit_words(new), "set limits", will, after)


def drop_announced(facts: VaultFacts, sender: str) -> Errand:
    """Return the end of a wait: the limits are set to what they are, and the vault forgets what was announced. Raises
    ConfigError where the sender is not the owner, or nothing is.
    """
    if not facts.announced_hash:
        raise ConfigError("nothing is announced; there is nothing to drop")
    will, after = "set the limits as they are, which drops what is announced", "the limits stay as they are"
    return owners(facts, sender, _call("set_limits"), limit_words(facts.limits), "drop announced", will, after)


def span_text(seconds: int) -> str:
    """Return a time in days, hours and minutes, rounded up to the minute."""
    minutes = -(-seconds // 60)
    parts = ((minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 min"


def _call(verb: str) -> str:
    return f"{verb}({LIMITS})"
