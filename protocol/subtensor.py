"""Which Bittensor chain a process talks to, and how: the same for both sides."""

from __future__ import annotations

from dataclasses import dataclass

import bittensor as bt

from protocol.connection import Connection
from protocol.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ChainEndpoint:
    """Which chain, and how patiently. An empty pool pins the client to its one endpoint; None takes the SDK's own.

    `substrate` replaces the network by anything that implements the SDK's `Substrate` seam.
    """

    network: str
    netuid: int
    fallback_endpoints: tuple[str, ...] | None = None
    archive_endpoints: tuple[str, ...] | None = None
    substrate: bt.Substrate | None = None
    deadline_s: float = 30.0
    submit_deadline_s: float = 120.0

    def client(self) -> bt.Client:
        try:
            return bt.Client(
                self.network,
                # Neither side spends anything, and each acts on one subnet: anything else is refused unsigned.
                policy=bt.Policy(max_spend_tao=0, allowed_netuids=[self.netuid]),
                fallback_endpoints=None if self.fallback_endpoints is None else list(self.fallback_endpoints),
                archive_endpoints=None if self.archive_endpoints is None else list(self.archive_endpoints),
                substrate=self.substrate,
            )
        except ValueError as error:
            raise ConfigError(f"set subtensor.network to a known network or a ws(s) URL: {error}") from error

    def connection(self) -> Connection[bt.Client]:
        return Connection(
            self.client,
            lost=(bt.RpcConnectionError, bt.ConnectionNotReady),
            failed=(bt.BittensorError,),
            deadline_s=self.deadline_s,
            where={"network": self.network, "netuid": self.netuid},
        )
