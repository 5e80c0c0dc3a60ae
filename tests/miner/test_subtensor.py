"""The miner's adapter with the real client, real keys and the in-memory chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import bittensor as bt
import pytest

from miner.subtensor import MinerChain, Permits, ServeOutcome, ServeResult
from protocol.errors import ChainError, ConfigError
from protocol.signing import keypair_from_uri
from protocol.subtensor import ChainEndpoint
from tideline.embedded_chain import SubnetRules
from tideline.embedded_subtensor import InMemorySubtensor

NETUID = 98
START = 1_000
TAO = 10**9
KEYS = {name: keypair_from_uri(f"//{name}") for name in ("owner", "val", "small", "miner", "rival", "cold")}
ADDRESS = {name: key.ss58_address for name, key in KEYS.items()}


class DroppableChain(InMemorySubtensor):
    """The same chain over a line that can be cut (`error`) or go silent (`silent`)."""

    error: Exception | None = None
    silent = False

    async def _line(self) -> None:
        if self.silent:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error

    async def runtime_call(self, *args: Any, **kwargs: Any) -> Any:
        await self._line()
        return await super().runtime_call(*args, **kwargs)

    async def submit(self, *args: Any, **kwargs: Any) -> bt.ExtrinsicResult:
        await self._line()
        return await super().submit(*args, **kwargs)


@pytest.fixture
def chain() -> DroppableChain:
    """uid 0 the owner, 1 and 2 validators of different stake, 3 and 4 miners; only 1 gets a permit."""
    subnet = DroppableChain(
        SubnetRules(NETUID, ADDRESS["owner"], ADDRESS["cold"], tempo=50, max_validators=1), start_block=START
    )
    for name, stake in (("owner", 0), ("val", 200 * TAO), ("small", 5 * TAO), ("miner", 0), ("rival", 0)):
        subnet.register(ADDRESS[name], ADDRESS["cold"], stake=stake)
    subnet.run_epoch()
    return subnet


@pytest.fixture
def endpoint(chain: DroppableChain) -> ChainEndpoint:
    return ChainEndpoint("local", NETUID, substrate=chain, deadline_s=0.2, submit_deadline_s=0.2)


@pytest.fixture
async def miner(endpoint: ChainEndpoint) -> AsyncIterator[MinerChain]:
    connected = await MinerChain.connect(endpoint, KEYS["miner"])
    yield connected
    await connected.close()


def names(permits: Permits) -> set[str]:
    return {name for name, address in ADDRESS.items() if address in permits.hotkeys}


async def test_nobody_is_permitted_before_the_first_refresh(miner: MinerChain) -> None:
    assert not any(miner.is_permitted(address) for address in ADDRESS.values())
    await miner.refresh()
    assert {name for name, address in ADDRESS.items() if miner.is_permitted(address)} == {"owner", "val"}
    assert not miner.is_permitted("no such hotkey")


@pytest.mark.parametrize(
    ("rule", "permitted"),
    [
        ({"permit_required": True, "min_stake": 0}, {"owner", "val"}),
        ({"permit_required": True, "min_stake": TAO}, {"val"}),
        ({"permit_required": False, "min_stake": TAO}, {"val", "small"}),
        ({"permit_required": False, "min_stake": 0}, {"owner", "val", "small", "rival"}),
        ({"permit_required": True, "min_stake": 201 * TAO}, set()),
    ],
)
async def test_who_may_query(endpoint: ChainEndpoint, rule: dict[str, Any], permitted: set[str]) -> None:
    miner = await MinerChain.connect(endpoint, KEYS["miner"], **rule)
    assert names(await miner.refresh()) == permitted


async def test_a_deregistered_validator_loses_access_at_the_next_refresh(
    miner: MinerChain, chain: DroppableChain
) -> None:
    await miner.refresh()
    newcomer = keypair_from_uri("//newcomer").ss58_address
    chain.register(newcomer, ADDRESS["cold"], stake=900 * TAO, uid=1)
    assert miner.is_permitted(ADDRESS["val"])
    await miner.refresh()
    assert not miner.is_permitted(ADDRESS["val"])
    assert not miner.is_permitted(newcomer)  # the seat's permit went with its tenant
    chain.advance_to(START + 50)
    await miner.refresh()
    assert miner.is_permitted(newcomer)


async def test_a_failed_refresh_keeps_the_last_answer(miner: MinerChain, chain: DroppableChain) -> None:
    known = await miner.refresh()
    chain.advance_to(START + 9)
    for error in (bt.RpcConnectionError("gone"), OSError("no route"), bt.ChainError("node is syncing")):
        chain.error = error
        with pytest.raises(ChainError) as caught:
            await miner.refresh()
        assert caught.value.retryable and miner.permits == known
    chain.error, chain.silent = None, True
    with pytest.raises(ChainError, match="deadline"):
        await miner.refresh()
    assert miner.is_permitted(ADDRESS["val"])
    chain.silent = False
    assert (await miner.refresh()).block == START + 9


async def test_our_seat(miner: MinerChain, endpoint: ChainEndpoint) -> None:
    assert (await miner.uid(), miner.hotkey) == (3, ADDRESS["miner"])
    stranger = await MinerChain.connect(endpoint, KEYS["cold"])
    with pytest.raises(ConfigError, match="btcli subnets register --netuid 98"):
        await stranger.uid()
    nowhere = await MinerChain.connect(replace(endpoint, netuid=5), KEYS["miner"])
    with pytest.raises(ConfigError, match="check netuid"):
        await nowhere.refresh()


async def test_an_endpoint_is_published_once_and_changed_when_the_chain_allows_it(
    miner: MinerChain, chain: DroppableChain
) -> None:
    outcomes = []
    for block, ip, port in (
        (START, "127.0.0.1", 8091),
        (START + 1, "127.0.0.1", 8091),  # the same again, as after a restart
        (START + 2, "127.0.0.1", 8092),
        (START + 49, "2001:db8::1", 8092),
        (START + 50, "2001:db8::1", 8092),
        (START + 99, "2001:0db8:0::1", 8092),  # the same address in other words
    ):
        chain.advance_to(block)
        outcomes.append(await miner.serve_axon(ip, port))
    later = ServeResult(ServeOutcome.RATE_LIMITED, "the chain takes another endpoint from block 1050 on", START + 50)  # type: ignore[arg-type]  # a block
    assert outcomes == [
        ServeResult(ServeOutcome.PUBLISHED),
        ServeResult(ServeOutcome.UNCHANGED),
        later,
        later,
        ServeResult(ServeOutcome.PUBLISHED),
        ServeResult(ServeOutcome.UNCHANGED),
    ]
    async with bt.Client("local", substrate=chain) as client:
        graph = await client.subnets.metagraph(NETUID)
    assert graph is not None and graph.neurons[3].axon == "[2001:db8::1]:8092"


async def test_what_the_chain_refuses_to_publish(
    miner: MinerChain, endpoint: ChainEndpoint, chain: DroppableChain
) -> None:
    chain.set_rules(loopback_endpoints=False)
    result = await miner.serve_axon("127.0.0.1", 8091)
    assert (result.outcome, result.message) == (ServeOutcome.REFUSED, "InvalidIpAddress")
    stranger = await MinerChain.connect(endpoint, KEYS["cold"])
    assert (await stranger.serve_axon("10.0.0.1", 8091)).outcome is ServeOutcome.REFUSED


@pytest.mark.parametrize(("ip", "port"), [("example.org", 80), ("", 80), ("10.0.0.1", 0), ("10.0.0.1", 65536)])
async def test_an_endpoint_that_is_none_is_the_operators_to_fix(miner: MinerChain, ip: str, port: int) -> None:
    with pytest.raises(ConfigError, match=r"axon\.external"):
        await miner.serve_axon(ip, port)


async def test_publishing_over_a_dead_line_can_be_repeated(miner: MinerChain, chain: DroppableChain) -> None:
    chain.silent = True
    with pytest.raises(ChainError, match="publishing") as caught:
        await miner.serve_axon("10.0.0.1", 8091)
    assert caught.value.retryable
    chain.silent = False
    assert (await miner.serve_axon("10.0.0.1", 8091)).outcome is ServeOutcome.PUBLISHED


def test_an_unknown_network_is_the_operators_to_fix() -> None:
    with pytest.raises(ConfigError, match=r"subtensor\.network"):
        ChainEndpoint("fynney", NETUID).client()
