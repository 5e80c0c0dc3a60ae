"""The live demonstration's executor: a process of its own, with a throwaway key, that dies with this one."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from eth_account import Account

from executor.keys import PASSWORD_FILE_ENV
from simulator.chain import launcher


@dataclass(frozen=True, slots=True)
class Keeper:
    """The executor's key: in an encrypted keystore, its password in a file beside it."""

    address: str
    keystore: Path
    password: Path

    @classmethod
    def make(cls, folder: Path) -> Keeper:
        """Make a throwaway key in a folder that is nobody else's. It is good for a devnet that ends with its run."""
        account, password = Account.create(), secrets.token_urlsafe(16)
        keeper = cls(account.address, folder / "keeper.json", folder / "password")
        keeper.keystore.write_text(json.dumps(Account.encrypt(account.key, password, iterations=2**14)))
        keeper.password.write_text(password)
        return keeper


class DemoExecutor:
    """Runs `tideline executor` for one vault, at one node at a time, and passes on what it says."""

    def __init__(self, keeper: Keeper, vault: str, database_url: str, tell: Callable[[str], None]) -> None:
        self._keeper = keeper
        self._vault = vault
        self._database_url = database_url
        self._tell = tell
        self._process: asyncio.subprocess.Process | None = None
        self._telling: asyncio.Task[None] | None = None

    @property
    def exit_code(self) -> int | None:
        """With what it ended; None while it runs."""
        return None if self._process is None else self._process.returncode

    async def start(self, url: str) -> None:
        """Run it at this node, and no longer at the last one."""
        await self.end()
        command = [sys.executable, "-P", "-m", "tideline", "executor", "--live", "--rpc", url, "--allow", self._vault]
        command += ["--key", f"keystore:{self._keeper.keystore}", "--db", self._database_url]
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), *command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, PASSWORD_FILE_ENV: str(self._keeper.password)},
            start_new_session=True,  # Ctrl-C reaches us first, and we stop it in order
        )
        self._telling = asyncio.create_task(self._pass_on(self._process))

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
                self._tell(line.decode(errors="replace").rstrip())
