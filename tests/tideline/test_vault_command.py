"""`tideline vault` on a real node: what is said beforehand is what happens, and without --live nothing does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.executor_desk import Office, office
from support.vault_anvil import GUARDIAN, KEEPER, OWNER, UNIT
from support.vault_shell import OWNER_KEY, Shell, exact, give_keys, invested, purse
from support.vault_world import LOOSE, MADE_WITH_A_PHANTOM, Patch, patched_vault

from executor.vault import limit_words
from executor.vault_abi import LIMITS, deployment_arguments, rebalance_data
from simulator.chain.abi import address_of, call_data, selector, words
from simulator.chain.artifacts import FACTORY
from tideline.commands import vault as vault_command

NOBODY = "0x" + "00" * 20
STRANGER = "0x" + "ab" * 20


@pytest.fixture
async def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Office]:
    give_keys(monkeypatch)
    async with office(f"sqlite:///{tmp_path}/jobs.sqlite3") as made:
        yield made


@pytest.fixture
def shell(here: Office, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(here, capsys)


async def test_status_tells_what_the_chain_says(here: Office, shell: Shell) -> None:
    await invested(here)
    found, fork = await shell.status(), await here.fork()
    nav = await here.made.chain.call(here.made.vault, "nav()")
    portfolio = fork.portfolio()
    assert {name: found[name] for name in ("idle0", "idle1", "holdings")} == portfolio.to_json()
    assert found["nav_token1"] == {"short_mean": str(nav[0]), "long_mean": str(nav[1])}
    assert (found["fees0"], found["fees1"]) == tuple(map(str, portfolio.fees)) > ("0", "0")
    assert (found["owner"], found["keeper"], found["guardian"]) == (OWNER, KEEPER, GUARDIAN)
    [lost] = await here.made.chain.call(here.made.vault, "daily_loss_x18()")
    assert (int(found["daily_loss_x18"]), int(found["loss_left_x18"])) == (lost, 50_000 * 10**12 - lost)
    assert (found["cooldown_left_s"], found["hindrance"]) == (30, "it rests for 30 s more")
    assert (found["is_paused"], found["has_our_code"], found["gifts"]) == (False, True, [])
    text = await shell("status", here.made.vault)
    assert "not now: it rests for 30 s more" in text and "-120..180" in text and "ours, as built here" in text
    assert "at the mean of 600 s" in text and "50,000 ppm more today" not in text


async def test_status_tells_how_far_the_mean_price_may_still_come(here: Office, shell: Shell) -> None:
    await invested(here)
    made, chain = here.made, here.made.chain
    assert (await shell.status())["drift_left"] == LOOSE.max_daily_drift
    await chain.swap(True, 700 * UNIT)
    await chain.mine()
    await made.rebalance(await made.plan())
    await here.pass_time(600)
    [came], [last] = [await chain.call(made.vault, f"{name}()") for name in ("drift", "last_rebalance")]
    found = await shell.status()
    left = LOOSE.max_daily_drift - came + (found["timestamp"] - last) * LOOSE.max_daily_drift // 86400
    assert came > 300 and (found["drift"], found["drift_left"], found["hindrance"]) == (0, left, None)

    tight = limit_words(replace(LOOSE, max_daily_drift=100))
    await made.cost(OWNER, "0x" + (selector(f"set_limits({LIMITS})") + words(*tight)).hex())
    await chain.swap(False, 300 * UNIT)
    await chain.mine()
    await here.pass_time(3600)
    found, text = await shell.status(), await shell("status", made.vault)
    assert found["drift"] > 100 >= found["drift_left"]
    assert f"the mean price came {found['drift']} ticks since the last plan" in found["hindrance"]
    assert f"now {found['drift']}" in text
    refused = await made.send(KEEPER, made.vault, "0x" + rebalance_data(await made.plan()).hex())
    assert refused["status"] == "0x0"
    await made.cost(OWNER, call_data("set_keeper(address,uint256)", int(KEEPER, 16), found["keeper_until"]))
    found = await shell.status()
    assert (found["drift"], found["drift_left"], found["hindrance"]) == (None, 100, None)
    await made.rebalance(await made.plan())


async def test_what_a_withdrawal_says_beforehand_is_what_comes(here: Office, shell: Shell) -> None:
    await invested(here)
    before, nonce = await purse(here), await here.made.chain.ask("eth_getTransactionCount", OWNER, "latest")
    said = await shell("withdraw", here.made.vault, "--key", "env:OWNER")
    assert said.splitlines()[-1].startswith("dry run") and "signed" not in said
    assert (await purse(here), await here.made.chain.ask("eth_getTransactionCount", OWNER, "latest")) == (before, nonce)
    done = await shell.live("withdraw", here.made.vault)
    gained = [after - old for after, old in zip(await purse(here), before, strict=True)]
    told = next(line for line in said.splitlines() if "you get" in line)
    assert told.split("you get ")[1] == " and ".join(f"{exact(amount)} WETH" for amount in gained)
    assert min(gained) > 990 * UNIT and "withdraw: mined in block" in done and done.endswith("withdraw: done\n")
    found = await shell.status()
    assert (found["idle0"], found["idle1"], found["holdings"]) == ("0", "0", [])


async def test_fees_are_claimed_and_the_positions_stay(here: Office, shell: Shell) -> None:
    await invested(here)
    before, fork = await purse(here), await here.fork()
    await shell.live("claim-fees", here.made.vault)
    assert [a - b for a, b in zip(await purse(here), before, strict=True)] == list(fork.portfolio().fees)
    assert (await here.fork()).ranges == fork.ranges


async def test_the_roles(here: Office, shell: Shell) -> None:
    vault = here.made.vault
    await shell.live("pause", vault, key="GUARDIAN")
    assert (await shell.status())["hindrance"] == "the vault is paused"
    assert "paused already" in await shell("pause", vault, "--key", "env:OWNER", code=2)
    assert "is not the owner" in await shell("unpause", vault, "--key", "env:GUARDIAN", code=2)
    assert "empty" in await shell(
        "withdraw", vault, "--key", "env:OWNER"
    )  # a pause is in nobody's way but the keeper's
    await shell.live("unpause", vault)
    await shell.live("revoke-keeper", vault, key="GUARDIAN")
    assert (await shell.status())["keeper"] is None
    await shell.live("set-keeper", vault, STRANGER, "--days", "90")
    found = await shell.status()
    assert (found["keeper"], found["hindrance"]) == (STRANGER, None)
    assert 89 * 86_400 < found["keeper_until"] - found["timestamp"] <= 90 * 86_400


async def test_a_vault_is_made_and_filled(here: Office, shell: Shell) -> None:
    chain = here.made.chain
    factory = address_of((await chain.call(chain.pool, "factory()"))[0])
    deploy = ("deploy", "--pool", chain.pool, "--guardian", GUARDIAN, "--max-loss-ppm", "1234")
    assert "no factory is known on chain 31337" in await shell(*deploy, "--key", "env:OWNER", code=2)
    wrong = await shell(*deploy, "--factory", chain.manager, "--key", "env:OWNER", code=2)
    assert "is no factory of Uniswap V3" in wrong
    other = await chain._deploy(FACTORY.creation_code)
    assert "did not make pool" in await shell(*deploy, "--factory", other, "--key", "env:OWNER", code=2)
    said = await shell.live(*deploy, "--factory", factory)
    elsewhere = ("deposit", here.made.vault, "--amount0", "1", "--factory", other, "--key", "env:OWNER")
    assert "did not make pool" in await shell(*elsewhere, code=2)
    vault = next(line for line in said.splitlines() if line.startswith("made")).split()[1]
    here.made.vault = vault
    found = await shell.status()
    assert (found["owner"], found["guardian"], found["keeper"], found["pool"]) == (OWNER, GUARDIAN, None, chain.pool)
    assert (found["limits"]["max_loss_ppm"], found["limits"]["min_width"], found["has_our_code"]) == (1234, 120, True)
    assert f"the vault is {vault}" in said
    for token in [address_of((await chain.call(chain.pool, f"{name}()"))[0]) for name in ("token0", "token1")]:
        await chain.send(token, call_data("transfer(address,uint256)", int(OWNER, 16), 500 * UNIT))
    await chain.mine()
    deposit = ("deposit", vault, "--amount0", str(5 * UNIT), "--amount1", str(7 * UNIT), "--factory", factory)
    dry = await shell(*deposit, "--key", "env:OWNER")
    assert dry.count("allow the vault") == 2 and "you give 5 WETH and 7 WETH" in dry
    assert "has only" in await shell(*deposit[:3], str(9000 * UNIT), *deposit[6:], "--key", "env:OWNER", code=2)
    assert (await shell.live(*deposit)).count(": done") == 3
    found = await shell.status()
    assert (found["idle0"], found["idle1"]) == (str(5 * UNIT), str(7 * UNIT))
    pair = (int(OWNER, 16), int(vault, 16))
    token0 = address_of((await chain.call(chain.pool, "token0()"))[0])
    assert await chain.call(token0, "allowance(address,address)", *pair) == [0]


async def test_tokens_are_not_put_into_a_look_alike(here: Office, shell: Shell) -> None:
    """It answers as our vault does, and a byte of its code is another."""
    vault = here.made.vault
    code = await here.made.chain.ask("eth_getCode", vault, "latest")
    word = b"too narrow".hex()
    assert code.count(word) == 1
    await here.made.chain.ask("anvil_setCode", vault, code.replace(word, b"too harrow".hex()))
    deposit = ("deposit", vault, "--amount0", "1", "--key", "env:OWNER", "--factory", here.made.chain.factory)
    assert "give it no tokens" in await shell(*deposit, code=2)
    assert (await shell.status())["has_our_code"] is False
    assert "another version, or a trap" in await shell("status", vault)


_BEFORE = "    self.owner = owner\n    self.guardian"
_CHECKED = "    self._check_bounds(limits, convert(tick_spacing, int256))\n    self.limits = limits\n"
HEIR = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"  # anvil's first account
MADE_WITH_AN_HEIR = ("vault_roles.vy", _BEFORE, f"    self.proposed_owner = {HEIR}\n{_BEFORE}")
MADE_WITHOUT_LIMITS = (
    "vault_limits.vy",
    _CHECKED,
    "    self.limits = limits\n    self.limits.max_loss_ppm = 1_000_000\n",
)


async def sounds(*_: object, **__: object) -> None:
    """Find nothing."""


async def test_tokens_are_not_put_into_a_vault_that_somebody_else_has_made(
    here: Office, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code is ours to the byte. Its constructor was another, and left somebody who may take it over, or a limit
    that limits nothing (`test_limits_that_limit_nothing` of the vault shows what that costs).
    """
    made, chain = here.made, here.made.chain
    token0 = address_of((await chain.call(chain.pool, "token0()"))[0])
    await chain.send(token0, call_data("transfer(address,uint256)", int(OWNER, 16), 10 * UNIT))
    await chain.mine()

    async def deposit(patch: Patch, code: int) -> str:
        forged = patched_vault(patch) + deployment_arguments(chain.pool, OWNER, GUARDIAN, LOOSE)
        made.vault = (await made.send(OWNER, None, "0x" + forged.hex()))["contractAddress"]
        words = ("deposit", made.vault, "--amount0", str(5 * UNIT), "--factory", chain.factory)
        return await shell.live(*words, code=code)

    with monkeypatch.context() as patch:  # what is asked beforehand has no argument to leave it out
        patch.setattr(vault_command, "require_sound", sounds)
        await deposit(MADE_WITH_AN_HEIR, 0)
        assert (await shell.status())["has_our_code"] is True
        before = await purse(here, HEIR)
        for verb in ("accept_ownership()", "withdraw_all()"):
            await made.cost(HEIR, call_data(verb))
        assert (await purse(here, HEIR))[0] - before[0] == 5 * UNIT
    owned = await purse(here)
    assert "may take" in await deposit(MADE_WITH_AN_HEIR, 2)
    assert "max_loss_ppm" in await deposit(MADE_WITHOUT_LIMITS, 2)
    assert "lists more than the pool has" in await deposit(MADE_WITH_A_PHANTOM, 2)
    assert await purse(here) == owned


async def test_a_safe_is_shown_the_call_that_it_is_to_make(here: Office, shell: Shell) -> None:
    said = await shell("withdraw", here.made.vault, "--as", OWNER)
    assert f"to {here.made.vault.lower()}, data {call_data('withdraw_all()')}" in said
    assert "--live needs --key" in await shell("withdraw", here.made.vault, "--as", OWNER, "--live", code=2)


async def test_what_it_does_not_begin(here: Office, shell: Shell) -> None:
    vault, pool = here.made.vault, here.made.chain.pool
    owner, factory = ("--key", "env:OWNER"), ("--factory", here.made.chain.factory)
    assert "there is no contract at 0xabab" in await shell("status", STRANGER, code=2)
    assert "is no vault of ours" in await shell("withdraw", pool, *owner, code=2)
    assert "is no address" in await shell("status", "0x12", code=2)
    assert "the node is on chain 31337, not 8453" in await shell("status", vault, "--chain-id", "8453", code=2)
    assert "say who acts" in await shell("withdraw", vault, code=2)
    assert "is not set" in await shell("withdraw", vault, "--key", "env:NO_SUCH", code=2)
    assert "a key itself is never taken" in await shell("withdraw", vault, "--key", OWNER_KEY, code=2)
    assert "is not the owner" in await shell("withdraw", vault, "--key", "env:KEEPER", code=2)
    assert "neither owner nor guardian" in await shell("pause", vault, "--key", "env:KEEPER", code=2)
    assert "an account of its own" in await shell("set-keeper", vault, GUARDIAN, *owner, code=2)
    assert "not in the range 1<=x<=90" in await shell("set-keeper", vault, STRANGER, "--days", "91", *owner, code=2)
    assert "say how much" in await shell("deposit", vault, *owner, *factory, code=2)
    assert "there is nothing to do" in await shell("unpause", vault, *owner, code=2)
    await here.made.chain.ask("eth_sendTransaction", {"from": OWNER, "to": STRANGER})
    assert "has a transaction on its way" in await shell("withdraw", vault, *owner, "--live", code=2)
    await here.made.chain.mine()
    await here.made.chain.ask("anvil_setBalance", OWNER, hex(10**9))
    assert "send it some" in await shell("withdraw", vault, *owner, "--live", code=2)
