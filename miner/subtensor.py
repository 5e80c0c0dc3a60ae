"""The miner's side of Bittensor: the only module of this package that imports the SDK.

It answers two questions, who may query us and whether our endpoint is published, and holds one connection for both.
"""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass
from enum import StrEnum

import bittensor as bt
from bittensor.error_map import ErrorCode
from bittensor.intents.serving import ServeAxon

from protocol.errors import ConfigError
from protocol.signing import Signer
from protocol.subtensor import ChainEndpoint
from protocol.units import BlockNumber, Hotkey, Uid

storage = bt.storage.SubtensorModule


class ServeOutcome(StrEnum):
    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ServeResult:
    """What became of publishing an endpoint; `retry_at_block` is set where waiting helps."""

    outcome: ServeOutcome
    message: str = ""
    retry_at_block: BlockNumber | None = None


@dataclass(frozen=True, slots=True)
class Permits:
    """Who may query us, as of one block."""

    block: BlockNumber
    hotkeys: frozenset[Hotkey]


class MinerChain:
    """One miner on one subnet. Made by `connect`; `is_permitted` knows nobody before the first `refresh`."""

    def __init__(self, endpoint: ChainEndpoint, signer: Signer, *, permit_required: bool, min_stake: int) -> None:
        self._endpoint = endpoint
        self._signer = signer
        self._permit_required = permit_required
        self._min_stake = min_stake
        self._permits = Permits(BlockNumber(0), frozenset())
        self._line = endpoint.connection()

    @classmethod
    async def connect(
        cls, endpoint: ChainEndpoint, signer: Signer, *, permit_required: bool = True, min_stake: int = 0
    ) -> MinerChain:
        """Open the connection. `min_stake` is in rao of the subnet's alpha."""
        chain = cls(endpoint, signer, permit_required=permit_required, min_stake=min_stake)
        await chain._line.open()
        return chain

    async def close(self) -> None:
        """Close the connection. Idempotent; a later call opens it again."""
        await self._line.close()

    @property
    def hotkey(self) -> Hotkey:
        return Hotkey(self._signer.ss58_address)

    @property
    def permits(self) -> Permits:
        """The last good answer; its block tells how old it is."""
        return self._permits

    def is_permitted(self, hotkey: str) -> bool:
        """Whether this registered hotkey may query us, from the last refresh: no network, safe on the request path."""
        return hotkey in self._permits.hotkeys

    async def refresh(self) -> Permits:
        """Read the permits anew. When the chain cannot be asked, ChainError is raised and the last answer stays."""
        self._permits = await self._line.call("the metagraph", self._read_permits)
        return self._permits

    async def uid(self) -> Uid:
        """Our seat; ConfigError when the chain confirms that there is none, ChainError when it cannot be asked."""
        netuid = self._endpoint.netuid
        found = await self._line.call(
            "our uid", lambda client: client.read("uid", hotkey_ss58=self.hotkey, netuid=netuid)
        )
        if found is None:
            raise ConfigError(
                f"hotkey {self.hotkey} is not registered on subnet {netuid} of {self._endpoint.network}: register it "
                f"with `btcli subnets register --netuid {netuid}`, or set wallet.name and wallet.hotkey to one that is"
            )
        return Uid(found)

    async def serve_axon(self, ip: str, port: int) -> ServeResult:
        """Publish where we listen, unless the chain already says so or would refuse a second change so soon."""
        try:
            address = ipaddress.ip_address(ip)
        except ValueError as error:
            raise ConfigError(f"axon.external_ip is not an IP address: {ip!r}") from error
        if not 1 <= port <= 65535:
            raise ConfigError(f"axon.external_port must lie between 1 and 65535, not {port}")
        served, head, limit = await self._line.call("our endpoint", self._read_served)
        if served == (int(address), address.version, port):
            return ServeResult(ServeOutcome.UNCHANGED)
        if head < limit:
            wait = f"the chain takes another endpoint from block {limit} on"
            return ServeResult(ServeOutcome.RATE_LIMITED, wait, limit)
        return await self._publish(str(address), port)

    async def _publish(self, ip: str, port: int) -> ServeResult:
        intent = ServeAxon(netuid=self._endpoint.netuid, ip=ip, port=port)
        try:
            receipt = await self._line.call(
                "publishing our endpoint",
                lambda client: client.execute(
                    intent, self._signer, wait_for_inclusion=True, wait_for_finalization=False, retries=2
                ),
                deadline_s=self._endpoint.submit_deadline_s,
                refusals=(bt.PolicyError,),
            )
        except bt.PolicyError as error:
            return ServeResult(ServeOutcome.REFUSED, str(error))
        if receipt.success:
            return ServeResult(ServeOutcome.PUBLISHED)
        is_limited = receipt.error is not None and receipt.error.code is ErrorCode.RATE_LIMITED
        return ServeResult(ServeOutcome.RATE_LIMITED if is_limited else ServeOutcome.REFUSED, receipt.message)

    async def _read_permits(self, client: bt.Client) -> Permits:
        graph = await client.subnets.metagraph(self._endpoint.netuid, commitments=False)
        if graph is None:
            raise ConfigError(
                f"subnet {self._endpoint.netuid} does not exist on {self._endpoint.network}: check netuid"
            )
        # The subnet's owner may validate without a permit: the chain's own rule.
        return Permits(
            BlockNumber(graph.block),
            frozenset(
                Hotkey(neuron.hotkey)
                for neuron in graph.neurons
                if neuron.hotkey != self.hotkey
                and neuron.total_stake.rao >= self._min_stake
                and (neuron.validator_permit or not self._permit_required or neuron.hotkey == graph.owner_hotkey)
            ),
        )

    async def _read_served(self, client: bt.Client) -> tuple[tuple[int, int, int] | None, int, BlockNumber]:
        """Our published (ip, ip version, port), the head, and the block from which it may be changed."""
        view = await client.at()
        axon, limit = await asyncio.gather(
            view.query(storage.Axons, [self._endpoint.netuid, self.hotkey]),
            view.query(storage.ServingRateLimit, [self._endpoint.netuid]),
        )
        if axon is None or not int(axon["block"]):
            return None, view.block, BlockNumber(0)
        served = int(axon["ip"]), int(axon["ip_type"]), int(axon["port"])
        return served, view.block, BlockNumber(int(axon["block"]) + int(limit or 0))
