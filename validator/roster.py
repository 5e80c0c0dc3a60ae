"""Who takes part: read from the subnet's metagraph, and refused when it looks wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from protocol.errors import ChainError
from protocol.units import Hotkey
from simulator.opening import Entrant
from validator.metagraph import Metagraph, is_implausible_update, miners
from validator.transport import MinerEndpoint

_log = logging.getLogger(__name__)

Seats = list[tuple[Entrant, MinerEndpoint]]

RETRY_S = 30.0  # after a failed or an implausible read
BELIEVED_AFTER = 4  # such reads in a row: a subnet may really have lost its miners, and that must need no restart


class MetagraphSource(Protocol):
    """Reads the subnet."""

    async def metagraph(self) -> Metagraph: ...


class MetagraphRoster:
    """The subnet's miners, read every `refresh_s` seconds; an implausible or failed read keeps the last good one."""

    def __init__(
        self, source: MetagraphSource, hotkey: Hotkey, *, refresh_s: float, monotonic: Callable[[], float]
    ) -> None:
        self._source = source
        self._hotkey = hotkey
        self._refresh_s = refresh_s
        self._monotonic = monotonic
        self._graph: Metagraph | None = None
        self._read_again_at = monotonic()
        self._implausible = 0  # reads in a row
        self._reading = asyncio.Lock()  # jobs open rounds at the same time; one read serves them all

    async def entrants(self) -> Seats:
        """Return everybody who publishes an endpoint. Raises ChainError when the subnet has never been read."""
        graph = await self.metagraph()
        return [
            (
                Entrant(neuron.hotkey, neuron.uid, neuron.registered_at_block),
                MinerEndpoint(neuron.hotkey, neuron.axon.ip, neuron.axon.port),
            )
            for neuron in miners(graph, self._hotkey)
            if neuron.axon is not None
        ]

    async def metagraph(self) -> Metagraph:
        """Return the subnet as last read."""
        async with self._reading:
            if self._graph is None:
                self._graph = await self._source.metagraph()
                self._read_again_at = self._monotonic() + self._refresh_s
            elif self._monotonic() >= self._read_again_at:
                self._graph = await self._refreshed(self._graph)
            return self._graph

    async def _refreshed(self, known: Metagraph) -> Metagraph:
        """Read again; return what was known where the answer cannot be believed."""
        self._read_again_at = self._monotonic() + min(RETRY_S, self._refresh_s)
        try:
            fresh = await self._source.metagraph()
        except ChainError as error:
            _log.warning("the metagraph could not be read, keeping that of block %s: %s", known.block, error)
            return known
        if is_implausible_update(known, fresh) and self._implausible + 1 < BELIEVED_AFTER:
            self._implausible += 1
            _log.error("the metagraph lost too many hotkeys at once, keeping that of block %s", known.block)
            return known
        self._implausible = 0
        self._read_again_at = self._monotonic() + self._refresh_s
        return fresh


class FixedRoster:
    """A list of miners given by hand, for use without a chain."""

    def __init__(self, endpoints: Sequence[MinerEndpoint]) -> None:
        self._seats = [(Entrant(e.hotkey, index, 0), e) for index, e in enumerate(endpoints)]

    async def entrants(self) -> Seats:
        """Return the miners given."""
        return list(self._seats)
