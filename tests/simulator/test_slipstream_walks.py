"""Random lives of Slipstream pools: stakes add up at every moment, nobody is owed what is not there, all can leave."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from protocol.units import MAX_UINT128, Q128
from simulator.pool import PoolRevert
from simulator.slipstream import CLPool, DynamicFee

T0 = 1_700_000_000
SPACING = 50


class Life:
    """One pool, and what its stakers have been given."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        dynamic = DynamicFee(10**7, 30_000, seconds_ago=60) if seed % 2 else None
        self.pool = CLPool(SPACING, 500, dynamic_fee=dynamic)
        self.pool.timestamp = T0
        self.pool.initialize(2**96)
        self.pool.increase_observation_cardinality_next(40)
        self.pool.update_rewards_growth_global()
        self.emitted = self.given = 0
        self.checkpoints: dict[tuple[int, int], int] = {}
        self.seen: Counter[str] = Counter()

    def _range(self) -> tuple[int, int]:
        lower = self.random.randint(-12, 10) * SPACING
        return lower, lower + self.random.choice([1, 2, 5, 20]) * SPACING

    def _known(self, owner: str) -> tuple[int, int]:
        held = [(a, b) for (o, a, b), info in self.pool.positions.items() if o == owner and info.liquidity]
        return self.random.choice(held) if held else self._range()

    def step(self) -> None:
        """Do one thing; a revert is one too."""
        self.pool.timestamp += self.random.choice([0, 2, 2, 60])
        verb = self.random.choice(
            ["mint", "swap", "swap", "swap", "stake", "stake", "unstake", "burn", "sync", "flash"]
        )
        try:
            getattr(self, f"_{verb}")()
            self.seen[verb] += 1
        except PoolRevert as revert:
            self.seen[revert.reason] += 1

    def _mint(self) -> None:
        self.pool.mint("nft", *self._range(), int(10 ** self.random.uniform(3, 20)))

    def _swap(self) -> None:
        size = int(10 ** self.random.uniform(0, 20)) * self.random.choice([1, -1])
        down = self.random.random() < 0.5
        self.pool.swap(down, size, 2**95 if down else 2**97)

    def _flash(self) -> None:
        self.pool.flash(0, 0, self.random.randrange(10**9), self.random.randrange(10**9))

    def _stake(self) -> None:
        where = self._known("nft")
        liquidity = self.pool.positions[("nft", *where)].liquidity
        self._settle(where)
        self.pool.stake(self.random.choice([liquidity, liquidity // 3, liquidity + 1]), *where)

    def _unstake(self) -> None:
        where = self._known("gauge")
        liquidity = self.pool.positions[("gauge", *where)].liquidity
        self._settle(where)
        self.pool.stake(-self.random.choice([liquidity, liquidity // 2, liquidity + 1]), *where)

    def _burn(self) -> None:
        where = self._known("nft")
        self.pool.burn("nft", *where, self.random.choice([0, self.pool.positions[("nft", *where)].liquidity]))
        self.pool.collect("nft", *where, MAX_UINT128, MAX_UINT128)

    def _sync(self) -> None:
        pool = self.pool
        pool.update_rewards_growth_global()
        reserve = pool.reward_reserve + pool.rollover + 10**20
        self.emitted += 10**20
        pool.sync_reward(self.random.randrange(10**18), reserve, pool.timestamp + 604_800)

    def _settle(self, where: tuple[int, int]) -> None:
        """Give the stakers of a range what they have earned, as a gauge does before their liquidity changes."""
        self.pool.update_rewards_growth_global()
        inside = self.pool.get_reward_growth_inside(*where)
        liquidity = self.pool.positions[("gauge", *where)].liquidity
        earned = (inside - self.checkpoints.get(where, inside)) % 2**256 * liquidity // Q128
        self.given += earned if liquidity else 0
        self.checkpoints[where] = inside

    def leave(self) -> None:
        """Everyone unstakes, burns and collects, then the gauge collects."""
        for owner, lower, upper in list(self.pool.positions):
            staked = self.pool.positions[("gauge", lower, upper)].liquidity
            if owner == "gauge" and staked:
                self._settle((lower, upper))
                self.pool.stake(-staked, lower, upper)
        for _, lower, upper in [key for key in self.pool.positions if key[0] == "nft"]:
            self.pool.burn("nft", lower, upper, self.pool.positions[("nft", lower, upper)].liquidity)
            self.pool.collect("nft", lower, upper, MAX_UINT128, MAX_UINT128)
        self.pool.collect_fees()


def staked_as_held(pool: CLPool) -> tuple[int, dict[int, int]]:
    """Return (staked liquidity at the price, staked net by tick), summed over what the gauge holds."""
    staked, nets = 0, dict.fromkeys(pool.ticks, 0)
    for (owner, lower, upper), info in pool.positions.items():
        if owner == "gauge" and info.liquidity:
            staked += info.liquidity if lower <= pool.tick < upper else 0
            nets[lower] += info.liquidity
            nets[upper] -= info.liquidity
    return staked, nets


@pytest.mark.parametrize("chunk", range(4))
def test_stakes_add_up_and_everyone_can_leave(chunk: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(chunk, 48, 4):
        life = Life(seed)
        for _ in range(150):
            life.step()
            pool = life.pool
            nets = {tick: info.staked_liquidity_net for tick, info in pool.ticks.items()}
            assert (pool.staked_liquidity, nets) == staked_as_held(pool)
            assert pool.staked_liquidity <= pool.liquidity
        poke_empty(life)
        life.leave()
        assert_left(life.pool)
        pool = life.pool
        assert life.given + pool.reward_reserve + pool.rollover <= life.emitted
        seen += life.seen
        seen["earned"] += life.given > 10**18
    assert seen["earned"] > 6
    assert min(seen[verb] for verb in ("mint", "swap", "stake", "unstake", "burn", "sync", "flash", "LS")) > 20


def poke_empty(life: Life) -> None:
    """Forget the manager's positions that hold nothing: burning 0 of them would revert."""
    pool = life.pool
    for key, info in list(pool.positions.items()):
        if key[0] == "nft" and not info.liquidity:
            pool.collect(*key, MAX_UINT128, MAX_UINT128)
            if not pool.positions[("gauge", key[1], key[2])].liquidity:
                del pool.positions[key]


def assert_left(pool: CLPool) -> None:
    left: list[Any] = [pool.liquidity, pool.staked_liquidity, dict(pool.ticks), dict(pool.tick_bitmap)]
    assert left == [0, 0, {}, {}]
    assert 0 <= pool.balance0 < 10**7 and 0 <= pool.balance1 < 10**7
