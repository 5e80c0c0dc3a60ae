"""Running a strategy within a time budget and turning what comes of it into an answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from dataclasses import dataclass

from pydantic import ValidationError

from miner.strategy import Keep, Positions, Refuse, Strategy, check_decision
from protocol.json_gate import one_line
from protocol.messages import MinerMetadata, Position, RebalanceQuery, RebalanceResponse
from protocol.wire import MAX_METADATA_CHARS, MAX_REASON_CHARS, PROTOCOL_VERSION

_log = logging.getLogger(__name__)
_KEPT = ": kept, "


@dataclass(frozen=True, slots=True)
class _Failed:
    """The strategy raised."""

    reason: str


def complaint_in(response: RebalanceResponse) -> str:
    """Return why a decider replaced its strategy's answer; empty where it did not."""
    said = response.miner_metadata.model_info if response.miner_metadata is not None else ""
    return said.partition(_KEPT)[2]


class Decider:
    """Asks one strategy, each time in a thread of its own.

    A strategy that is late, raises or answers nonsense costs its miner the move, not the answer: the current positions
    are kept and the reason is said. Python cannot stop a thread, so one that hangs keeps its slot until it ends; the
    threads are daemons, so it never keeps the process from ending.
    """

    def __init__(self, strategy: Strategy, *, version: str, max_decisions: int) -> None:
        self._strategy = strategy
        self._version = version
        self._free = max_decisions

    @property
    def is_busy(self) -> bool:
        """Whether no thread is left to think in."""
        return self._free <= 0

    async def answer(self, query: RebalanceQuery, *, budget_s: float) -> RebalanceResponse:
        """Return the strategy's answer, or one that keeps the current positions, within the budget."""
        if budget_s <= 0:
            return self._keep(query, "no time left to decide")
        if self.is_busy:
            return self._keep(query, "busy with other decisions")
        outcome = self._start(query)
        try:
            async with asyncio.timeout(budget_s):
                decision = await outcome
        except TimeoutError:
            _log.warning("strategy %s is late for %s", self._strategy.name, query.request_id)
            return self._keep(query, _late(budget_s))
        return self._respond(query, decision)

    def answer_here(self, query: RebalanceQuery, *, budget_s: float) -> RebalanceResponse:
        """Return the same answer without a thread: one that was late is found to be so when it has come."""
        started_s = time.monotonic()
        outcome = self._think(query)
        if time.monotonic() - started_s > budget_s:
            return self._keep(query, _late(budget_s))
        return self._respond(query, outcome)

    def _think(self, query: RebalanceQuery) -> object:
        try:
            return self._strategy.decide(query)
        except (Exception, SystemExit) as error:  # the miner's one broad except: somebody else's code
            _log.exception("strategy %s failed on %s", self._strategy.name, query.request_id)
            return _Failed(f"the strategy raised {type(error).__name__}: {error}")

    def _start(self, query: RebalanceQuery) -> asyncio.Future[object]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()

        def deliver(outcome: object) -> None:
            self._free += 1
            if not future.done():
                future.set_result(outcome)

        def think() -> None:
            outcome: object = _Failed("the strategy left without an answer")
            try:
                outcome = self._think(query)
            finally:
                with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
                    loop.call_soon_threadsafe(deliver, outcome)

        self._free -= 1
        threading.Thread(target=think, name=f"strategy-{query.request_id}", daemon=True).start()
        return future

    def _respond(self, query: RebalanceQuery, outcome: object) -> RebalanceResponse:
        match outcome:
            case Keep():
                return self._keep(query, "")
            case Refuse(reason):
                text = one_line(reason, MAX_REASON_CHARS)
                return self._response(query, accepted=False, refusal_reason=text, desired=None, note="")
            case Positions():
                return self._positions(query, outcome)
            case _Failed(reason):
                return self._keep(query, reason)
            case _:  # the annotation of somebody else's code is a promise, not a fact
                return self._keep(query, f"the strategy returned {type(outcome).__name__}, which is no decision")

    def _positions(self, query: RebalanceQuery, decision: Positions) -> RebalanceResponse:
        desired: tuple[Position, ...] = ()
        try:
            problem = check_decision(query, decision)
            desired = tuple(
                Position(
                    tick_lower=d.range.tick_lower,
                    tick_upper=d.range.tick_upper,
                    allocation0=d.amount0,
                    allocation1=d.amount1,
                )
                for d in (decision.desired if problem is None else ())
            )
        except (ValidationError, TypeError, AttributeError) as error:
            problem = f"the strategy's positions are malformed: {type(error).__name__}"
        if problem is not None:
            _log.error("strategy %s on %s: %s", self._strategy.name, query.request_id, problem)
            return self._keep(query, problem)
        return self._response(query, accepted=True, refusal_reason=None, desired=desired, note="")

    def _keep(self, query: RebalanceQuery, note: str) -> RebalanceResponse:
        desired = tuple(
            Position(
                tick_lower=p.tick_lower,
                tick_upper=p.tick_upper,
                allocation0=p.allocation0,
                allocation1=p.allocation1,
            )
            for p in query.current_positions
        )
        return self._response(query, accepted=True, refusal_reason=None, desired=desired, note=note)

    def _response(
        self,
        query: RebalanceQuery,
        *,
        accepted: bool,
        refusal_reason: str | None,
        desired: tuple[Position, ...] | None,
        note: str,
    ) -> RebalanceResponse:
        info = f"{self._strategy.name}{_KEPT}{note}" if note else self._strategy.name
        return RebalanceResponse(
            protocol_version=PROTOCOL_VERSION,
            request_id=query.request_id,
            accepted=accepted,
            refusal_reason=refusal_reason,
            desired_positions=desired,
            miner_metadata=MinerMetadata(version=self._version, model_info=one_line(info, MAX_METADATA_CHARS)),
        )


def _late(budget_s: float) -> str:
    return f"the strategy took longer than {budget_s:.3g} s"
