"""What the tests of attacks on the vault share: a world with a weaker vault, what was taken, and how it was refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from support.vault_world import LOOSE, Patch, Reverted, VaultWorld, patched_vault

from executor.vault import VaultLimits
from protocol.units import Q96
from simulator.portfolio import Range

HOME, WIDE, WIDE_TICKS = Q96, Range(-6000, 6000), (-6000, 6000)


def world_with(*patches: Patch, limits: VaultLimits = LOOSE, **options: object) -> VaultWorld:
    """Return a world whose vault has these changes in its source, or none."""
    return VaultWorld(limits=limits, code=patched_vault(*patches) if patches else b"", **options)  # type: ignore[arg-type] # tests name its fields


def share_taken(world: VaultWorld, before: tuple[int, int]) -> float:
    """Return which share of what the owner had is gone, everything counted at the fair price 1."""
    world.push_to(HOME)
    return 1 - sum(world.owned_if_closed()) / sum(before)


def refused(world: VaultWorld, reason: str, attack: Callable[[VaultWorld], object]) -> None:
    """Check that an attack ends in this refusal and costs the owner nothing."""
    before = world.owned_if_closed()
    with world.undone():
        with refuses(reason):
            attack(world)
        assert share_taken(world, before) < 1e-12


@contextmanager
def refuses(*reasons: str) -> Iterator[None]:
    """Expect a revert for one of these reasons."""
    with pytest.raises(Reverted) as caught:
        yield
    assert str(caught.value) in reasons
