"""What a job runner needs of the world. The real things are wired in by `tideline`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from db.job import Job
from db.store import Store
from protocol.messages import RebalanceQuery
from protocol.units import Hotkey
from simulator.market import Market
from simulator.opening import Entrant, RoundOpening
from simulator.plan import Plan
from simulator.round import Ask
from validator.transport import Exchange, MinerEndpoint


class Miners(Protocol):
    """Asks miners over the wire."""

    async def ask_all(
        self, questions: Sequence[tuple[MinerEndpoint, RebalanceQuery]], *, deadline_s: float
    ) -> list[Exchange]: ...


class Roster(Protocol):
    """Knows who may take part now, and where each is reached."""

    async def entrants(self) -> list[tuple[Entrant, MinerEndpoint]]: ...


class Guard(Protocol):
    """Judges a live plan before it becomes an intent: None allows, a line of text refuses."""

    def __call__(self, opening: RoundOpening, ask: Ask, hotkey: Hotkey, plan: Plan) -> str | None: ...


class Gate(Protocol):
    """Judges whether a live round may open on a vault now: None allows, a line of text says why not."""

    async def __call__(self, store: Store, chain_id: int, vault: str) -> str | None: ...


class MarketSource(Protocol):
    """Opens the market of a job; a recorded one continues after block `resume_after`."""

    async def __call__(self, job: Job, resume_after: int | None) -> Market: ...
