"""Several nodes of one chain as one: failover, back-off, and agreement on the reads that decide money."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from protocol.errors import ChainError, ConfigError
from simulator.chain.abi import read_quantity
from simulator.chain.bell import Bell
from simulator.chain.blocks import Header, header_request
from simulator.chain.health import (
    Answered,
    ChainSeen,
    Failed,
    HeadSeen,
    Health,
    Limited,
    Sight,
    State,
    advance,
)
from simulator.chain.rpc import Absent, BadAnswer, HttpRpc, RateLimited, Refused, Request, Rpc, Unreachable
from simulator.chain.websocket import WebSocketRpc
from simulator.recorded import Clock, RealClock

T = TypeVar("T")
_Query = Callable[[Rpc, float], Awaitable[T]]

_BETWEEN_PASSES_S = 0.25


@dataclass(slots=True)
class _Endpoint:
    name: str
    rpc: Rpc
    health: Health


@dataclass(frozen=True, slots=True)
class _Vote:
    """What one endpoint said: a value, or the error instead."""

    endpoint: _Endpoint
    value: Any = None
    error: ChainError | None = None


class Endpoints:
    """Asks the healthiest endpoint, and the next one where it fails; for a decisive read, until `quorum` of them agree.

    Every wait ends at the caller's deadline. When nobody answers by then it raises a retryable ChainError: nobody's
    score may suffer from it.
    """

    def __init__(
        self,
        rpcs: Mapping[str, Rpc],
        *,
        chain_id: int,
        quorum: int = 1,
        attempt_s: float = 5.0,
        clock: Clock | None = None,
        bell: Bell | None = None,
    ) -> None:
        if not 1 <= quorum <= len(rpcs):
            raise ConfigError(f"a quorum of {quorum} needs as many RPC URLs; {len(rpcs)} given")
        self.chain_id = chain_id
        self.bell = Bell() if bell is None else bell  # rung by those that are subscribed to new heads
        self._quorum = quorum
        self._attempt_s = attempt_s
        self._clock: Clock = RealClock() if clock is None else clock
        self._endpoints = [_Endpoint(name, rpc, Health()) for name, rpc in rpcs.items()]

    @classmethod
    def over_http(cls, urls: Sequence[str], *, chain_id: int, quorum: int = 1, attempt_s: float = 5.0) -> Endpoints:
        """Return the endpoints behind URLs, named without the keys that these may hold; ws:// and wss:// as well."""
        bell = Bell()
        rpcs: list[HttpRpc | WebSocketRpc] = [
            WebSocketRpc(url, bell=bell) if url.lower().startswith(("ws:", "wss:")) else HttpRpc(url) for url in urls
        ]
        named: dict[str, Rpc] = {f"{index} {rpc.name}": rpc for index, rpc in enumerate(rpcs)}
        return cls(named, chain_id=chain_id, quorum=quorum, attempt_s=attempt_s, bell=bell)

    def health(self) -> dict[str, Health]:
        """Return how every endpoint stands, for display."""
        return {endpoint.name: endpoint.health for endpoint in self._endpoints}

    async def ask(self, request: Request[T], *, deadline_s: float) -> T:
        """Return the answer of one endpoint, or that of a quorum where the request is decisive."""

        async def query(rpc: Rpc, seconds: float) -> T:
            return await rpc.ask(request, deadline_s=seconds)

        return await self._query(query, request.method, deadline_s, is_decisive=request.is_decisive)

    async def ask_all(self, requests: Sequence[Request[T]], *, deadline_s: float) -> list[T]:
        """Return the answers of one endpoint to all questions, or those of a quorum where one is decisive."""
        if not requests:
            return []

        async def query(rpc: Rpc, seconds: float) -> list[T]:
            return await rpc.ask_all(requests, deadline_s=seconds)

        is_decisive = any(request.is_decisive for request in requests)
        return await self._query(query, requests[0].method, deadline_s, is_decisive=is_decisive)

    async def ask_each(self, request: Request[T], *, deadline_s: float) -> list[T | ChainError]:
        """Return what every endpoint that may be asked answers, at least one; raise a retryable ChainError where none
        may be. For what is told to all, as a transaction is.
        """

        async def query(rpc: Rpc, seconds: float) -> T:
            return await rpc.ask(request, deadline_s=seconds)

        until = self._clock.monotonic() + deadline_s
        while not (ready := self._ready()):
            await self._between_passes(until, request.method, None)
        votes = await self._poll(ready, query, self._seconds_left(until))
        return [v.value if v.error is None else v.error for v in votes]

    async def head(self, *, deadline_s: float) -> int:
        """Return the highest block that as many endpoints as the quorum have, and note who lags behind it.

        An endpoint that claims a head which it cannot show has failed.
        """
        until = self._clock.monotonic() + deadline_s
        while True:
            votes = await self._poll(self._ready(), _read_head, self._seconds_left(until))
            heads = sorted((v.value[0] for v in votes if v.error is None), reverse=True)
            if len(heads) >= self._quorum:
                break
            await self._between_passes(until, "head", _why_unsettled(votes, "head"))
        believed: int = heads[self._quorum - 1]
        for vote in votes:
            if vote.error is None:
                number, is_syncing = vote.value
                self._note(vote.endpoint, HeadSeen(believed - number, is_syncing))
        return believed

    async def close(self) -> None:
        """Close every endpoint."""
        for endpoint in self._endpoints:
            await endpoint.rpc.close()

    async def _query(self, query: _Query[T], method: str, deadline_s: float, *, is_decisive: bool) -> T:
        """Make passes over the endpoints until one of them ends with an answer."""
        until = self._clock.monotonic() + deadline_s
        while True:
            needed = self._quorum if is_decisive else 1
            votes: list[_Vote] = []
            for group in _groups(self._ready(), needed):
                votes += await self._poll(group, query, self._seconds_left(until))
                winner = _winner(votes, needed)
                if winner is not None:
                    self._note_dissent(votes, winner)
                    value: T = winner.value
                    return value
            refused = next((v.error for v in votes if isinstance(v.error, Refused)), None)
            if refused is not None:
                raise refused  # nobody knew better, and asking again changes nothing
            unsettled = _not_yet(votes)
            if unsettled is not None:
                nothing: T = unsettled.value
                return nothing
            await self._between_passes(until, method, _why_unsettled(votes, method))

    def _ready(self) -> list[_Endpoint]:
        """Return the endpoints that may be asked now, the best first."""
        now = self._clock.monotonic()
        ready = [e for e in self._endpoints if e.health.may_be_asked(now)]
        return sorted(ready, key=lambda e: e.health.rank())

    async def _poll(self, endpoints: Sequence[_Endpoint], query: _Query[Any], seconds: float) -> list[_Vote]:
        return list(await asyncio.gather(*(self._vote(endpoint, query, seconds) for endpoint in endpoints)))

    async def _vote(self, endpoint: _Endpoint, query: _Query[Any], seconds: float) -> _Vote:
        """Ask one endpoint and note how it did."""
        try:
            if not endpoint.health.is_proven:
                await self._prove(endpoint, min(seconds, self._attempt_s))
            value = await query(endpoint.rpc, min(seconds, self._attempt_s))
        except RateLimited as error:
            self._note(endpoint, Limited(error.retry_after_s))
            return _Vote(endpoint, error=error)
        except (Unreachable, BadAnswer) as error:
            if endpoint.health.state is not State.WRONG_CHAIN:
                self._note(endpoint, Failed())
            return _Vote(endpoint, error=error)
        except (Absent, Refused) as error:
            self._note(endpoint, Answered())
            return _Vote(endpoint, error=error)
        self._note(endpoint, Answered())
        return _Vote(endpoint, value)

    async def _prove(self, endpoint: _Endpoint, seconds: float) -> None:
        """Raise BadAnswer unless the endpoint's chain id is ours."""
        chain_id = await endpoint.rpc.ask(Request("eth_chainId", (), read_quantity), deadline_s=seconds)
        self._note(endpoint, ChainSeen(chain_id == self.chain_id))
        if chain_id != self.chain_id:
            raise BadAnswer(f"chain id {chain_id}, not {self.chain_id}", endpoint=endpoint.name)

    def _note(self, endpoint: _Endpoint, fact: Sight) -> None:
        endpoint.health = advance(endpoint.health, fact, self._clock.monotonic())

    def _note_dissent(self, votes: Sequence[_Vote], winner: _Vote) -> None:
        """Beside an answer that counts, an endpoint that says something else or refuses has failed; one that has
        nothing yet has not.
        """
        for vote in votes:
            is_other = vote.error is None and vote.value is not None and vote.value != winner.value
            if is_other or isinstance(vote.error, Refused):
                self._note(vote.endpoint, Failed())

    def _seconds_left(self, until: float) -> float:
        return max(until - self._clock.monotonic(), 0.001)

    async def _between_passes(self, until: float, method: str, last: ChainError | None) -> None:
        """Wait until an endpoint may be asked again. Raises a retryable ChainError when that is past the deadline."""
        now = self._clock.monotonic()
        soonest = max(min(e.health.not_before for e in self._endpoints), now + _BETWEEN_PASSES_S)
        if soonest >= until:
            states = ", ".join(f"{e.name}: {e.health.state.name.lower()}" for e in self._endpoints)
            why = "they may not be asked yet" if last is None else str(last)
            raise ChainError(f"no endpoint answers ({states}); {why}", retryable=True, method=method) from last
        await self._clock.sleep(soonest - now)


def _groups(endpoints: Sequence[_Endpoint], needed: int) -> list[Sequence[_Endpoint]]:
    """Return whom to ask at once, then whom one by one while it is not settled."""
    if len(endpoints) < needed:
        return []  # a quorum that cannot be had is not worth a question
    return [endpoints[:needed], *([endpoint] for endpoint in endpoints[needed:])]


def _winner(votes: Sequence[_Vote], needed: int) -> _Vote | None:
    """Return a vote for the value that enough endpoints gave, if any."""
    valid = [v for v in votes if v.error is None]
    return next((v for v in valid if sum(w.value == v.value for w in valid) >= needed), None)


def _not_yet(votes: Sequence[_Vote]) -> _Vote | None:
    """Return a vote for "not there yet" where that is all that stands between the endpoints and agreement."""
    valid = [v for v in votes if v.error is None]
    without = next((v for v in valid if v.value is None), None)
    values = [v.value for v in valid if v.value is not None]
    return without if all(value == values[0] for value in values) else None


def _why_unsettled(votes: Sequence[_Vote], method: str) -> ChainError | None:
    """Return the last error, or that the endpoints disagree; None where nobody was asked."""
    errors = [v.error for v in votes if v.error is not None]
    if errors or not votes:
        return errors[-1] if errors else None
    return ChainError("the endpoints disagree", retryable=True, method=method)


async def _read_head(rpc: Rpc, seconds: float) -> tuple[int, bool]:
    """Return an endpoint's head and whether it is syncing. Raises BadAnswer when it has not got the head it claims."""
    latest: Header | None = await rpc.ask(header_request(None), deadline_s=seconds)
    if latest is None:
        raise BadAnswer("no latest block")
    shown = await rpc.ask(header_request(latest.number), deadline_s=seconds)
    if shown is None:
        raise BadAnswer("it has not got its latest block", block=latest.number)
    syncing = await rpc.ask(Request("eth_syncing", (), lambda value: value is not False), deadline_s=seconds)
    return latest.number, syncing


if TYPE_CHECKING:
    _is_an_rpc: type[Rpc] = Endpoints  # mypy proves the port
