"""`tideline vault` in this process, on a node with a vault of ours, and who owns, keeps and guards it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from support.executor_desk import KEEPER_KEY, NARROW, WIDE, Office
from support.vault_anvil import KEEPER, OWNER, UNIT
from support.vault_world import opening

from executor.vault_abi import rebalance_data
from simulator.chain.abi import address_of
from tideline.cli import run

# Anvil's second and fourth account, which everybody knows.
OWNER_KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
GUARDIAN_KEY = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"


def give_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the keys where the commands look for them."""
    for name, key in (("OWNER", OWNER_KEY), ("GUARDIAN", GUARDIAN_KEY), ("KEEPER", KEEPER_KEY)):
        monkeypatch.setenv(name, key)


class Shell:
    """The command line, in this process."""

    def __init__(self, here: Office, capsys: pytest.CaptureFixture[str]) -> None:
        self._here, self._capsys = here, capsys
        self.url = here.made.chain.anvil.url

    async def __call__(self, *words: str, code: int = 0) -> str:
        """Run a command and return what it says; where it must fail, its one line."""
        self._capsys.readouterr()
        arguments = ["vault", *words, "--rpc", self.url]
        found = await asyncio.to_thread(run, arguments)
        said = self._capsys.readouterr()
        assert found == code, said
        if code == 2:
            assert (said.out.count("nothing was sent"), said.err.count("\n")) == (0, 1), said
        return said.err if code == 2 else said.out

    async def live(self, *words: str, key: str = "OWNER", code: int = 0) -> str:
        """Sign and send, on a node that mines what it is given."""
        await self._here.made.chain.ask("evm_setAutomine", True)
        said = await self(*words, "--key", f"env:{key}", "--live", "--confirmations", "1", code=code)
        await self._here.made.chain.ask("evm_setAutomine", False)
        return said

    async def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self("status", self._here.made.vault, "--json"))
        return found


async def invested(here: Office) -> None:
    """Put the tokens into two ranges, and let them earn."""
    made = here.made
    opens = [opening(r.tick_lower, r.tick_upper, 300 * UNIT, 300 * UNIT) for r in (WIDE, NARROW)]
    await made.cost(KEEPER, "0x" + rebalance_data(await made.plan(opens=opens)).hex())
    await made.chain.swap(True, 300 * UNIT)
    await made.chain.swap(False, 299 * UNIT)
    await here.pass_time(30)


async def purse(here: Office, account: str = OWNER) -> list[int]:
    chain = here.made.chain
    tokens = [address_of((await chain.call(chain.pool, f"{name}()"))[0]) for name in ("token0", "token1")]
    return [(await chain.call(token, "balanceOf(address)", int(account, 16)))[0] for token in tokens]


def exact(amount: int) -> str:
    whole, rest = divmod(amount, UNIT)
    return f"{whole:,}.{rest:018d}".rstrip("0").rstrip(".")
