"""The miner's life: publish, refresh who may ask, answer until told to stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from miner.server import MinerServer
from protocol.errors import ChainError

_log = logging.getLogger(__name__)
_DONE = frozenset({"published", "unchanged"})


class Served(Protocol):
    """What became of publishing an endpoint."""

    @property
    def outcome(self) -> str: ...

    @property
    def message(self) -> str: ...


class Chain(Protocol):
    """What a running miner needs of Bittensor."""

    async def uid(self) -> object: ...

    async def refresh(self) -> object: ...

    async def serve_axon(self, ip: str, port: int) -> Served: ...


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """Where validators reach us from outside."""

    ip: str
    port: int


async def run(
    server: MinerServer,
    stop: asyncio.Event,
    *,
    chain: Chain | None,
    address: PublicAddress | None,
    beside: Sequence[Callable[[], Coroutine[object, object, None]]] = (),
    refresh_s: float = 300.0,
    retry_s: float = 12.0,
) -> None:
    """Serve until `stop` is set. What runs `beside` is ended with it; should it end before, the miner goes on without.

    Raises ConfigError if the port cannot be had, or if the chain says that the hotkey has no seat on the subnet.
    """
    helpers = [asyncio.create_task(work()) for work in beside]
    for helper in helpers:
        helper.add_done_callback(_tell_end)
    tasks: list[asyncio.Task[Literal[True]]] = [asyncio.create_task(stop.wait())]
    if chain is not None:
        tasks.append(asyncio.create_task(_follow(chain, address, refresh_s=refresh_s, retry_s=retry_s)))
    try:
        await server.start()
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for running in (*tasks, *helpers):
            running.cancel()
        await asyncio.gather(*tasks, *helpers, return_exceptions=True)
        await server.stop()


def _tell_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("the miner goes on without one of its helpers", exc_info=error)


async def _follow(chain: Chain, address: PublicAddress | None, *, refresh_s: float, retry_s: float) -> Literal[True]:
    """Keep the permits fresh and the endpoint published; what the chain said last stays in force while it is silent."""
    is_registered, is_published = False, address is None
    while True:
        wait_s = refresh_s
        try:
            if not is_registered:
                await chain.uid()
                is_registered = True
            await chain.refresh()
            if address is not None and not is_published:
                is_published = await _publish(chain, address)
        except ChainError as error:
            if not (error.retryable or is_registered):
                raise
            _log.warning("chain: %s; asking again in %g s", error, retry_s)
            wait_s = retry_s
        await asyncio.sleep(wait_s)


async def _publish(chain: Chain, address: PublicAddress) -> bool:
    served = await chain.serve_axon(address.ip, address.port)
    is_done = served.outcome in _DONE
    level = logging.INFO if is_done else logging.WARNING
    _log.log(level, "endpoint %s:%s %s %s", address.ip, address.port, served.outcome, served.message)
    return is_done
