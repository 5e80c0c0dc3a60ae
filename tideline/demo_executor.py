"""The live demonstration's executor: a process of its own, with a throwaway key, that dies with this one."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable

from eth_account import Account

from db.url import DATABASE_ENV
from protocol.errors import ChainError
from protocol.units import Hotkey
from simulator.chain import launcher

_KEY_ENV = "TIDELINE_DEMO_KEEPER_KEY"
_START_S = 120


class DemoExecutor:
    """Runs `tideline executor` for one vault and one validator, at one node at a time, and passes on what it says.

    Its key is made here and held in memory only: good for a devnet that ends with its run, and gone however that ends.
    """

    def __init__(self, vault: str, validator: Hotkey, database_url: str, tell: Callable[[str], None]) -> None:
        self._account = Account.create()
        self._vault = vault
        self._validator = validator
        self._database_url = database_url
        self._tell = tell
        self._process: asyncio.subprocess.Process | None = None
        self._telling: asyncio.Task[None] | None = None
        self._has_spoken = asyncio.Event()

    @property
    def keeper(self) -> str:
        """The address of its key."""
        address: str = self._account.address
        return address

    @property
    def exit_code(self) -> int | None:
        """With what it ended; None while it runs."""
        return None if self._process is None else self._process.returncode

    async def start(self, url: str, factory: str) -> None:
        """Run it at this node, and no longer at the last one; return once it works, or has ended.

        Raises ChainError when it does neither: a slow machine takes half a minute to begin, not two.
        """
        await self.end()
        self._has_spoken.clear()
        command = [sys.executable, "-P", "-m", "tideline", "executor", "--live", "--rpc", url]
        command += ["--allow", self._vault, "--factory", factory, "--validator", self._validator]
        command += ["--key", f"env:{_KEY_ENV}"]
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), *command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, _KEY_ENV: self._account.key.hex(), DATABASE_ENV: self._database_url},
            start_new_session=True,  # Ctrl-C reaches us first, and we stop it in order
        )
        self._telling = asyncio.create_task(self._pass_on(self._process))
        try:
            async with asyncio.timeout(_START_S):
                await self._has_spoken.wait()
        except TimeoutError as error:
            raise ChainError(f"the executor said nothing for {_START_S} s", retryable=False) from error

    async def end(self) -> None:
        """End it in order. Idempotent."""
        if self._process is None or self._telling is None:
            return
        if self._process.returncode is None:
            self._process.terminate()
        await self._telling
        await self._process.wait()

    async def _pass_on(self, process: asyncio.subprocess.Process) -> None:
        if process.stderr is not None:
            async for line in process.stderr:
                self._has_spoken.set()
                self._tell(line.decode(errors="replace").rstrip().removeprefix("executor "))
        self._has_spoken.set()
