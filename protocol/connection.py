"""One client at a time, opened when needed, replaced after a loss, and never waited for without a deadline."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, Protocol, TypeVar

from protocol.errors import ChainError

T = TypeVar("T")
ErrorTypes = tuple[type[Exception], ...]

# A connection that is gone, whatever library it was made with.
_GONE: ErrorTypes = (OSError, TimeoutError)
# What decoding raises when an endpoint answers something that its own types cannot hold.
_NONSENSE: ErrorTypes = (KeyError, TypeError, ValueError, IndexError)


class Client(Protocol):
    """What a library's client must offer."""

    async def connect(self) -> object: ...

    async def close(self) -> None: ...


C = TypeVar("C", bound=Client)


class Connection(Generic[C]):
    """Calls through a client made by `make`. `lost` are the library's errors after which the client is useless;
    `failed` its other errors, after which it is not. `where` is printed with every error."""

    def __init__(
        self,
        make: Callable[[], C],
        *,
        lost: ErrorTypes,
        failed: ErrorTypes,
        deadline_s: float,
        where: Mapping[str, object],
    ) -> None:
        self._make = make
        self._lost = (*lost, *_GONE)
        self._failed = failed
        self._deadline_s = deadline_s
        self._where = dict(where)
        self._client: C | None = None
        self._stale: C | None = None
        self._opening = asyncio.Lock()
        # Connections given up before they were open: who waits for each, and what is waited for.
        self._abandoned: dict[asyncio.Task[None], asyncio.Future[object]] = {}

    async def open(self) -> C:
        """Return the client, connecting if there is none. Raises a retryable ChainError where nobody answers."""
        async with self._opening:
            if self._client is not None:
                return self._client
            await self._discard_stale()
            client = self._make()
            connecting: asyncio.Future[object] = asyncio.ensure_future(client.connect())
            try:
                async with asyncio.timeout(self._deadline_s):
                    await asyncio.shield(connecting)
                self._client = client
            except (*self._lost, *self._failed) as error:
                raise ChainError(f"cannot connect: {_detail(error)}", retryable=True, **self._where) from error
            finally:
                if self._client is None:
                    self._abandon(client, connecting)
            return client

    async def close(self) -> None:
        """Close what is open. Idempotent; a later call opens anew."""
        async with self._opening:
            self._stale, self._client = self._client or self._stale, None
            await self._discard_stale()
            for connecting in self._abandoned.values():
                connecting.cancel()
            await asyncio.gather(*self._abandoned)

    async def call(
        self,
        what: str,
        operation: Callable[[C], Awaitable[T]],
        *,
        deadline_s: float | None = None,
        refusals: ErrorTypes = (),
    ) -> T:
        """Run one operation under its deadline. `refusals` pass through, every other failure becomes a ChainError."""
        client = await self.open()
        try:
            async with asyncio.timeout(self._deadline_s if deadline_s is None else deadline_s):
                return await operation(client)
        except refusals:
            raise
        except self._lost as error:
            # A late failure on a client that has been replaced must not condemn its successor.
            if client is self._client:
                self._client, self._stale = None, client
            raise ChainError(f"asking for {what}: {_detail(error)}", retryable=True, **self._where) from error
        except self._failed as error:
            raise ChainError(f"asking for {what}: {error}", retryable=True, **self._where) from error
        except _NONSENSE as error:
            detail = f"an impossible answer for {what}: {error!r}"
            raise ChainError(detail, retryable=False, **self._where) from error

    def _abandon(self, client: C, connecting: asyncio.Future[object]) -> None:
        """Leave a client that did not open to be closed: at once if it has failed, else when it has made up its mind.

        A client cancelled in the middle of connecting may keep a task and a socket that its `close` knows nothing of.
        """
        if connecting.done():
            self._stale = client
            return
        waiter = asyncio.create_task(self._see_off(client, connecting), name="connection-abandoned")
        self._abandoned[waiter] = connecting
        waiter.add_done_callback(self._abandoned.pop)

    async def _see_off(self, client: C, connecting: asyncio.Future[object]) -> None:
        await asyncio.wait([connecting])
        if not connecting.cancelled():
            connecting.exception()  # looked at, so that nobody logs it as forgotten
        await self._close_client(client)

    async def _discard_stale(self) -> None:
        stale, self._stale = self._stale, None
        if stale is not None:
            await self._close_client(stale)

    async def _close_client(self, client: C) -> None:
        # It is being thrown away: how it dies is of no interest, only that it does so in time.
        with contextlib.suppress(*self._lost, *self._failed):
            async with asyncio.timeout(self._deadline_s):
                await client.close()


def _detail(error: Exception) -> str:
    return str(error) or "no answer before the deadline"
