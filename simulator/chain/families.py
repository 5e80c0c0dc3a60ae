"""Which family a pool belongs to, as its contract shows it; and where in its answers a snapshot's fields stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from protocol.errors import ConfigError
from simulator.chain.abi import address_of, call_data, read_words
from simulator.chain.rpc import Refused, Request, Rpc
from simulator.family import Family

_NOBODY = "0x" + "00" * 20


@dataclass(frozen=True, slots=True)
class Layout:
    """How a family's getters answer: words of `slot0` and of `ticks`, and where in a tick each field stands."""

    slot0_words: int
    tick_words: int
    tick_fields: tuple[int, ...]  # gross, net, both fee growths; then, where there are stakes, their net and rewards
    fee_protocol_bits: int

    @property
    def has_stakes(self) -> bool:
        """Whether liquidity can be staked."""
        return len(self.tick_fields) > 4


LAYOUTS: Mapping[Family, Layout] = MappingProxyType(
    {
        Family.UNISWAP_V3: Layout(7, 8, (0, 1, 2, 3), fee_protocol_bits=8),
        Family.PANCAKE_V3: Layout(7, 8, (0, 1, 2, 3), fee_protocol_bits=32),
        Family.SLIPSTREAM: Layout(6, 10, (0, 1, 3, 4, 2, 5), fee_protocol_bits=0),
    }
)


@dataclass(frozen=True, slots=True)
class PoolKind:
    """What a pool is. The last two are a Slipstream pool's, None while it has no gauge.

    `manager` is the position manager whose positions its `gauge` takes.
    """

    family: Family = Family.UNISWAP_V3
    gauge: str | None = None
    manager: str | None = None


async def recognise(rpc: Rpc, pair_address: str, *, deadline_s: float) -> PoolKind:
    """Return what kind of pool lives at an address, by what its contract answers. Raises ConfigError when it is none.

    A price of six words and staked liquidity is Slipstream's, one of seven words and an `lmPool` PancakeSwap's, one of
    seven and neither Uniswap's.
    """

    async def getter(name: str) -> list[int] | None:
        request = Request(
            "eth_call", ({"to": pair_address, "data": call_data(name)}, "latest"), _read_or_none, is_decisive=True
        )
        try:
            return await rpc.ask(request, deadline_s=deadline_s)
        except Refused:
            return None

    slot0, factory, staked, lm_pool = [
        await getter(name) for name in ("slot0()", "factory()", "stakedLiquidity()", "lmPool()")
    ]
    family = family_of(
        0 if slot0 is None else len(slot0), has_stakes=staked is not None, has_lm_pool=lm_pool is not None
    )
    if family is None or factory is None:
        raise ConfigError(f"{pair_address} is no pool of a family that is known here; check the address of the pool")
    if family is not Family.SLIPSTREAM:
        return PoolKind(family)
    gauge, manager = [await getter(name) for name in ("gauge()", "nft()")]
    return PoolKind(family, _address(gauge), _address(manager))


def family_of(slot0_words: int, *, has_stakes: bool, has_lm_pool: bool) -> Family | None:
    """Return the family with these marks, None where no family has exactly these."""
    marks = {
        (7, False, False): Family.UNISWAP_V3,
        (7, False, True): Family.PANCAKE_V3,
        (6, True, False): Family.SLIPSTREAM,
    }
    return marks.get((slot0_words, has_stakes, has_lm_pool))


def _read_or_none(value: Any) -> list[int] | None:
    """Return a getter's words; None where nothing answers, as an address without code does."""
    return None if value == "0x" else read_words(value)


def _address(words: list[int] | None) -> str | None:
    address = address_of(words[0]) if words else _NOBODY
    return None if address == _NOBODY else address
