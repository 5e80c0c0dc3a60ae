"""Every word that a pool's contract keeps, read by its getters at one block, as the engines keep it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from simulator.chain.abi import call_data, read_words, signed
from simulator.chain.rpc import HttpRpc, Request
from simulator.engine import V3Pool, default_engine, pool_from_json
from simulator.math.oracle import Observation
from simulator.math.tick import TickInfo
from simulator.pool_record import ORACLE, record_of

_BATCH = 200
_DEADLINE_S = 20.0
_SLOT0 = ("sqrt_price_x96", "tick", *ORACLE, "fee_protocol")
_OTHERS = {
    "liquidity": "liquidity()",
    "fee_growth_global_0_x128": "feeGrowthGlobal0X128()",
    "fee_growth_global_1_x128": "feeGrowthGlobal1X128()",
}


@dataclass(frozen=True, slots=True)
class WholePool:
    """A pool's scalars, slots of its oracle, and ticks with all of their eight words."""

    scalars: dict[str, int]
    slots: dict[int, Observation]
    ticks: dict[int, TickInfo]

    @classmethod
    def of(cls, pool: V3Pool, slots: Iterable[int]) -> WholePool:
        """Return one of our pools in the same words."""
        observations = pool.observations
        return cls(
            {name: getattr(pool, name) for name in (*_SLOT0, *_OTHERS)},
            {slot: observations[slot] for slot in slots},
            dict(sorted(pool.ticks.items())),
        )


async def read_whole(
    rpc: HttpRpc, pool: str, block_hash: str, *, ticks: Iterable[int], slots: Iterable[int]
) -> WholePool:
    """Read a pool at a block: these slots of its oracle, and those of these ticks that are initialised."""
    ticks, slots = sorted(ticks), sorted(slots)
    calls = [
        *(call_data(name) for name in ("slot0()", *_OTHERS.values())),
        *(call_data("observations(uint256)", slot) for slot in slots),
        *(call_data("ticks(int24)", tick) for tick in ticks),
    ]
    pin = {"blockHash": block_hash, "requireCanonical": True}
    asked = [Request("eth_call", ({"to": pool, "data": data}, pin), read_words) for data in calls]
    found: list[list[int]] = []
    for at in range(0, len(asked), _BATCH):
        found += await rpc.ask_all(asked[at : at + _BATCH], deadline_s=_DEADLINE_S)
    first, rest = 1 + len(_OTHERS), 1 + len(_OTHERS) + len(slots)
    slot0 = dict(zip(_SLOT0, [found[0][0], signed(found[0][1], 24), *found[0][2:6]], strict=True))
    read = zip(ticks, map(_tick, found[rest:]), strict=True)
    return WholePool(
        slot0 | {name: words[0] for name, words in zip(_OTHERS, found[1:first], strict=True)},
        dict(zip(slots, map(_slot, found[first:rest]), strict=True)),
        {tick: info for tick, info in read if info.initialized},
    )


def with_memory(pool: V3Pool, chain: WholePool) -> V3Pool:
    """Return a pool that remembers what a snapshot leaves out: the oracle, and what ticks know of it."""
    record = replace(
        record_of(pool),
        scalars=record_of(pool).scalars | {name: chain.scalars[name] for name in ORACLE},
        observations=tuple(chain.slots[slot] for slot in range(chain.scalars["observation_cardinality_next"])),
        ticks=tuple(
            (tick, TickInfo._make((*info[:4], *chain.ticks[tick][4:]))) for tick, info in sorted(pool.ticks.items())
        ),
    )
    return pool_from_json(record.to_json(), engine=default_engine())


def _slot(words: list[int]) -> Observation:
    return Observation(words[0], signed(words[1], 56), words[2], bool(words[3]))


def _tick(words: list[int]) -> TickInfo:
    gross, net, growth0, growth1, cumulative, seconds_per_liquidity, seconds, is_initialized = words
    return TickInfo(
        gross,
        signed(net, 128),
        growth0,
        growth1,
        signed(cumulative, 56),
        seconds_per_liquidity,
        seconds,
        bool(is_initialized),
    )
