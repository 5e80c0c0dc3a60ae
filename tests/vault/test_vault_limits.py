"""What an owner may do with limits: the errand refuses exactly what the contract would undo."""

from __future__ import annotations

import re
from dataclasses import astuple, replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.vault_attacks import refuses
from support.vault_world import LOOSE, OWNER, SPACING, VaultWorld

from executor.limit_errands import LOOSENING_DELAY_S, RULES, announce_limits, change, limits_hash, set_limits
from executor.vault import VaultLimits
from executor.vault_abi import LIMITS
from executor.vault_facts import VaultFacts
from protocol.errors import ConfigError
from simulator.chain.abi import selector, words

MIDDLE = VaultLimits(300, 3600, 100, 600, 1000, 10, 600, 5000, 10_000, 2000)
NOBODY = "0x" + "00" * 20


@cache
def world() -> VaultWorld:
    """A vault with limits that can go both ways; what a test does in it is undone."""
    return VaultWorld(limits=MIDDLE)


def tell(verb: str, limits: VaultLimits) -> None:
    world().send(OWNER, world().vault, selector(f"{verb}({LIMITS})") + words(*astuple(limits)))


def facts() -> VaultFacts:
    """Return the vault as it stands, where it matters here."""
    [digest], [at_s] = (world().ask(f"{name}()") for name in ("announced_hash", "announced_at"))
    roles = {"owner": OWNER, "proposed_owner": NOBODY, "keeper": NOBODY, "keeper_until": 0, "guardian": NOBODY}
    state = {"is_paused": False, "last_rebalance": 0, "daily_loss_x18": 0, "drift": 0, "drift_tick": None}
    place = {"address": world().vault, "pool": NOBODY, "token0": NOBODY, "token1": NOBODY, "tick_spacing": SPACING}
    waiting = {"limits": MIDDLE, "announced_hash": digest, "announced_at": at_s}
    return VaultFacts(**place, **roles, **state, **waiting)  # type: ignore[arg-type] # as named


def changed() -> st.SearchStrategy[VaultLimits]:
    """The limits with one to three of them a step away."""
    names = st.lists(st.sampled_from(list(RULES)), min_size=1, max_size=3, unique=True)
    steps = {name: st.sampled_from([getattr(MIDDLE, name) + step for step in (-1, 1)]) for name in RULES}
    wanted = names.flatmap(lambda chosen: st.fixed_dictionaries({name: steps[name] for name in chosen}))
    return wanted.map(lambda found: replace(MIDDLE, **found))


@settings(max_examples=80)
@given(later=st.none() | changed(), new=changed(), is_same=st.booleans(), waited=st.sampled_from([-1, 0, 10**6]))
def test_an_errand_sets_what_the_contract_takes_and_nothing_else(
    *, later: VaultLimits | None, new: VaultLimits, is_same: bool, waited: int
) -> None:
    with world().undone():
        if later is not None:
            tell("announce_limits", later)
            world().pass_time(LOOSENING_DELAY_S + waited)
            new = later if is_same else new
        try:
            errand = set_limits(facts(), OWNER, new, now=world().now)
        except ConfigError:
            with refuses("not announced", "too early"):
                tell("set_limits", new)
        else:
            world().send(OWNER, world().vault, errand.step.data)
            assert world().ask("limits()") == [*astuple(new)] and world().ask("announced_hash()") == [0]


@settings(max_examples=20)
@given(new=changed())
def test_only_what_must_wait_is_announced(new: VaultLimits) -> None:
    with world().undone():
        try:
            errand = announce_limits(facts(), OWNER, new)
        except ConfigError:
            tell("set_limits", new)
        else:
            world().send(OWNER, world().vault, errand.step.data)
            assert world().ask("announced_hash()") == [limits_hash(new)]
            with refuses("not announced", "too early"):
                tell("set_limits", new)


def test_only_the_named_limits_change() -> None:
    new = change(LOOSE, {"max_loss_ppm": 2000, "max_daily_drift": 2500}, SPACING)
    assert new == replace(LOOSE, max_loss_ppm=2000, max_daily_drift=2500)
    for named, says in (
        ({"max_loss_ppm": 20_001}, "max_loss_ppm 20001 is beyond the hard bounds 0 .. 20000"),
        ({"min_width": 2 * SPACING - 1}, f"min_width {2 * SPACING - 1} is beyond the hard bounds {2 * SPACING} .. "),
        ({"max_distance": -1}, "max_distance -1 is beyond the hard bounds 0 .. "),
        ({"max_loss_ppm": LOOSE.max_loss_ppm}, "the limits are these already"),
        ({}, "the limits are these already"),
    ):
        with pytest.raises(ConfigError, match=says):
            change(LOOSE, named, SPACING)


def test_the_guide_tells_each_limit() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "vault.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)`[^|]*\| ([\d,]*\d)[^|]*\| ([^|]+) \| (\w+) \|$", guide, re.M)
    told = {name: (default, bounds, tighter in ("more", "longer")) for name, default, bounds, tighter in rows}
    assert told == {
        name: (_number(default), f"{_number(rule.least)} .. {_number(rule.most)}", rule.more_is_tighter)
        for (name, rule), default in zip(RULES.items(), astuple(VaultLimits()), strict=True)
    }


def _number(value: int | None) -> str:
    return "2 spacings" if value is None else f"{value:,}" if value >= 10_000 else str(value)
