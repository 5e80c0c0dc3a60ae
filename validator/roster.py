"""Who takes part: read from the subnet's metagraph, and refused when it looks wrong."""

from __future__ import annotations

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
        self._read_at = 0.0

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
        now = self._monotonic()
        if self._graph is not None and now - self._read_at < self._refresh_s:
            return self._graph
        try:
            fresh = await self._source.metagraph()
        except ChainError as error:
            if self._graph is None:
                raise
            _log.warning("the metagraph could not be read, keeping the last one: %s", error)
            return self._graph
        if self._graph is not None and is_implausible_update(self._graph, fresh):
            _log.error("the metagraph lost too many hotkeys at once, keeping the last one")
            return self._graph
        self._graph, self._read_at = fresh, now
        return fresh


class FixedRoster:
    """A list of miners given by hand, for use without a chain."""

    def __init__(self, endpoints: Sequence[MinerEndpoint]) -> None:
        self._seats = [(Entrant(e.hotkey, index, 0), e) for index, e in enumerate(endpoints)]

    async def entrants(self) -> Seats:
        """Return the miners given."""
        return list(self._seats)
