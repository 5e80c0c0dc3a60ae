"""Miners without a network: they really sign, and answer with functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from support.signed_rounds import MINER_KEYS, Decide, exchange, keep

from protocol.messages import RebalanceQuery
from protocol.units import Hotkey
from validator.roster import FixedRoster
from validator.transport import Exchange, ExchangeStatus, MinerEndpoint


class LocalMiners:
    """The `Miners` port over functions; it counts the asks and can play a broken host of ours."""

    def __init__(self, decides: Mapping[Hotkey, Decide] | None = None) -> None:
        self._decides = dict(decides or {})
        self._nonce = 1_700_000_000_000_000_000
        self.hotkeys = tuple(self._decides or MINER_KEYS)
        self.asked: list[RebalanceQuery] = []
        self.local_faults = 0

    async def ask_all(
        self, questions: Sequence[tuple[MinerEndpoint, RebalanceQuery]], *, deadline_s: float
    ) -> list[Exchange]:
        """Ask everybody at once."""
        exchanges = []
        for endpoint, query in questions:
            self._nonce += 1
            self.asked.append(query)
            exchanges.append(exchange(endpoint, query, self._decides.get(endpoint.hotkey, keep), self._nonce))
        if self.local_faults:
            self.local_faults -= 1
            exchanges[0] = replace(
                exchanges[0], status=ExchangeStatus.LOCAL_FAULT, response_body=None, response_signature=None
            )
        return exchanges


def roster(hotkeys: Iterable[Hotkey] = MINER_KEYS) -> FixedRoster:
    """Return miners that have keys, by default two."""
    return FixedRoster([MinerEndpoint(hotkey, "127.0.0.1", 1) for hotkey in hotkeys])
