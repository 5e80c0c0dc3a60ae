"""What the tests of attacks on the executor share: a vault in a deep pool whose price is fair, and what an attack took.

A defence is a bound, an argument or a line: the tests take exactly one away, and measure at the fair price, which is 1.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from support.executor_desk import Office, office
from support.vault_anvil import UNIT

from executor.preparation import Bounds
from protocol.units import Q192
from simulator.chain.abi import address_of
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.plan import Desired
from simulator.portfolio import Range

DEPTH = 10**6 * UNIT
DEAR = Range(240, 900)
BUYS = (Desired(DEAR, 1500 * UNIT, 0),)  # with 1000 of each: 500 of token0 are bought first
FEE = 3 * UNIT // 2  # what these cost at the fair price: 0.3 % of 500

Attack = Callable[[Office], Awaitable[object]]


@dataclass(slots=True)
class Losses:
    """Makes each attack on a vault of its own."""

    folder: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    async def __call__(self, attack: Attack, *, depth: int = DEPTH, fair_tick: int = 0, **options: Any) -> int:
        """Return what the vault has lost by an attack once the pool is at the fair price, in units of token1."""
        async with office(f"sqlite:///{self.folder}/{next(self.numbers)}.sqlite3", **options) as here:
            await here.made.chain.mint(-1200, 1200, depth)
            await here.made.chain.mine()
            before = (await here.fork()).portfolio().total
            await attack(here)
            await push(here, fair_tick)
            after = (await here.fork()).portfolio().total
            price = get_sqrt_ratio_at_tick(fair_tick)
            return (before[0] - after[0]) * price**2 // Q192 + before[1] - after[1]


def write(here: Office, statement: str, *values: object) -> None:
    """Write in the database behind everybody's back."""
    with closing(sqlite3.connect(here.url.removeprefix("sqlite:///"))) as raw, raw:
        assert raw.execute(statement, values).rowcount == 1


async def push(here: Office, tick: int) -> None:
    """Trade as others do until the pool has a price."""
    chain = here.made.chain
    limit, [price, *_] = get_sqrt_ratio_at_tick(tick), await chain.call(chain.pool, "slot0()")
    if price != limit:
        await chain.swap(limit < price, 2**119, limit)
        await chain.mine()


async def carry(here: Office, **changes: Any) -> None:
    """Let an executor do all that it will."""
    await here.service(await here.transactor(), **changes).drain()


def bounds(here: Office, **live: Any) -> Bounds:
    """Return the operator's bounds with some live ones changed."""
    return replace(here.bounds, live=replace(here.bounds.live, **live))


async def tokens_of(here: Office) -> tuple[str, str]:
    """Return both tokens' addresses."""
    chain = here.made.chain
    token0, token1 = [address_of((await chain.call(chain.pool, f"{name}()"))[0]) for name in ("token0", "token1")]
    return token0, token1
