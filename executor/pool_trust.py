"""Whether a vault may believe a pool: it holds its tokens there and has no way to look behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from protocol.errors import ConfigError
from simulator.chain.abi import address_of, call_data, read_words, selector, words
from simulator.chain.blocks import Header
from simulator.chain.endpoints import Endpoints
from simulator.chain.families import recognise
from simulator.chain.rpc import Refused, Request
from simulator.family import Family
from simulator.market import MarketInfo

# Where Uniswap V3's own factory is: on Ethereum and on Base.
FACTORIES: Mapping[int, str] = MappingProxyType(
    {1: "0x1f98431c8ad98523631ae4a59f267346ea31f984", 8453: "0x33128a8fc17869897dce68ed026d694621f6fdfd"}
)


@dataclass(frozen=True, slots=True)
class PoolTrust:
    """A pool that its factory knows. `remembers` tells whether it can say its mean over the asked seconds by now."""

    factory: str
    remembers: bool


async def examine_pool(
    endpoints: Endpoints, header: Header, info: MarketInfo, *, factory: str | None, twap_s: int, deadline_s: float
) -> PoolTrust:
    """Return where a pool comes from. Raises ConfigError unless it is Uniswap V3's and the expected factory made it."""
    kind = await recognise(endpoints, info.pair_address, deadline_s=deadline_s)
    if kind.family is not Family.UNISWAP_V3:
        raise ConfigError(
            f"pool {info.pair_address} is of family {kind.family}; our vault is for Uniswap V3's own pools"
        )
    trusted = await require_factory(endpoints, header, info, factory=factory, deadline_s=deadline_s)
    observe = "0x" + (selector("observe(uint32[])") + words(32, 2, twap_s, 0)).hex()
    try:
        await _ask(endpoints, header, info.pair_address, observe, deadline_s)
    except Refused:
        return PoolTrust(trusted, remembers=False)
    return PoolTrust(trusted, remembers=True)


async def require_factory(
    endpoints: Endpoints, header: Header, info: MarketInfo, *, factory: str | None, deadline_s: float
) -> str:
    """Return the factory that made a pool, by its own word. Raises ConfigError unless that is the trusted one."""
    trusted = trusted_factory(endpoints.chain_id, factory)
    tokens = (int(info.token0.address, 16), int(info.token1.address, 16))
    lookup = call_data("getPool(address,address,uint24)", *tokens, info.fee_pips)
    try:
        known = address_of((await _ask(endpoints, header, trusted, lookup, deadline_s))[0])
    except (Refused, IndexError) as error:
        raise ConfigError(f"{trusted} is no factory of Uniswap V3 on chain {endpoints.chain_id}") from error
    if known != info.pair_address:
        raise ConfigError(f"factory {trusted} did not make pool {info.pair_address}; do not trust it with tokens")
    return trusted


def trusted_factory(chain_id: int, factory: str | None) -> str:
    """Return the factory that somebody trusts; None means Uniswap's own. Raises ConfigError where that is not known."""
    trusted = factory or FACTORIES.get(chain_id)
    if trusted is None:
        raise ConfigError(f"no factory is known on chain {chain_id}; name the one you trust: --factory ADDRESS")
    return trusted.lower()


async def _ask(endpoints: Endpoints, header: Header, to: str, data: str, deadline_s: float) -> list[int]:
    request = Request("eth_call", ({"to": to, "data": data}, header.pin()), read_words, is_decisive=True)
    return await endpoints.ask(request, deadline_s=deadline_s)
