"""Attacks by contracts that are not what they say, on whoever fills a vault and on the executor: first with the one
defence taken away, where tokens are gone, then with it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.executor_attacks import Losses, bounds, carry, tokens_of
from support.executor_desk import WIDE, Office, office
from support.vault_anvil import OWNER, UNIT
from support.vault_world import Patch, patched_vault

from executor import reading
from executor.service import Refusal
from protocol.addresses import to_checksum_address
from protocol.units import JobId
from simulator.chain.abi import call_data, words
from simulator.chain.compiler import compiled
from simulator.chain.rpc import Refused
from simulator.plan import Desired

THIEF = to_checksum_address("0x" + "ee" * 20)
CONTRACTS = Path(__file__).parents[1] / "support" / "contracts"
WITHDRAW = call_data("withdraw_all()")
WISH = Desired(WIDE, 300 * UNIT, 300 * UNIT)
# Whoever calls has code only while a node rehearses the call: then nothing is missing afterwards.
_ENTRY = "    roles.only_keeper()\n"
_THEFT = f"    if msg.sender.codesize == 0:\n        pool.send(pool.TOKEN0, {THIEF}, {700 * UNIT})\n"
TRAP: Patch = ("vault.vy", _ENTRY, _ENTRY + _THEFT)


@pytest.fixture
def losses(tmp_path: Path) -> Losses:
    return Losses(tmp_path)


async def test_a_vault_that_only_looks_like_ours(losses: Losses, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers and rehearses as ours does, to the wei, and pays somebody else when the keeper himself calls."""
    facts: list[object] = []

    async def invests(here: Office) -> None:
        await here.want(WISH)
        await carry(here)
        facts.extend(here.facts)

    code = patched_vault(TRAP)
    with monkeypatch.context() as patch:  # the check is a function of its own, without an argument to turn it off
        patch.setattr(reading, "is_our_code", lambda *_: True)
        assert await losses(invests, code=code) > 700 * UNIT
    facts.clear()
    assert await losses(invests, code=code) == 0
    [fact] = facts
    assert isinstance(fact, Refusal) and "only answers like one" in fact.reason


async def move_to_a_false_pool(here: Office) -> None:
    """Let the owner deploy our own vault on a pool that lies, and fill it; the job follows."""
    made, chain = here.made, here.made.chain
    tokens = await tokens_of(here)
    code = compiled("false_pool", CONTRACTS).creation_code + words(int(chain.pool, 16), int(THIEF, 16))
    chain.pool = (await made.send(OWNER, None, "0x" + code.hex()))["contractAddress"]
    for token in tokens:
        await chain.send(token, call_data("transfer(address,uint256)", int(OWNER, 16), 1000 * UNIT))
    await chain.mine()
    await made.found({})
    moved = {"pair_address": chain.pool, "sn_liquidity_manager_address": made.vault}
    await here.store.update_job(JobId("weth-usdc"), moved)
    here.bounds = bounds(here, vaults=frozenset({made.vault.lower()}))


async def test_a_pool_that_no_factory_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells what a real pool tells, its factory included; what is minted there belongs to somebody else."""
    async with office(f"sqlite:///{tmp_path}/jobs.sqlite3") as here:
        await move_to_a_false_pool(here)
        with monkeypatch.context() as patch:  # as above
            patch.setattr(reading, "require_factory", trusting)
            await here.want(WISH)
            await carry(here)
        assert await idle(here) < 1410 * UNIT
        with pytest.raises(Refused):
            await here.made.chain.ask("eth_call", {"from": OWNER, "to": here.made.vault, "data": WITHDRAW}, "latest")

    async with office(f"sqlite:///{tmp_path}/other.sqlite3") as here:
        await move_to_a_false_pool(here)
        await here.want(WISH)
        await carry(here)
        [fact] = here.facts
        assert isinstance(fact, Refusal) and "did not make pool" in fact.reason
        assert await idle(here) == 2000 * UNIT


async def idle(here: Office) -> int:
    """Return how many tokens lie in the vault."""
    owner = int(here.made.vault, 16)
    return sum([(await here.made.chain.call(t, "balanceOf(address)", owner))[0] for t in await tokens_of(here)])


async def trusting(*_: object, **__: object) -> str:
    return ""
