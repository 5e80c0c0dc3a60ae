"""`tideline vault` for what an owner does seldom, and in trouble: single tokens and ranges, strays, limits, roles."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from support.chain_faults import only, result
from support.executor_desk import NARROW, WIDE, Office, office
from support.faulty_proxy import faulty_proxy
from support.vault_anvil import GUARDIAN, KEEPER, OWNER, UNIT
from support.vault_functions import vault_functions
from support.vault_shell import Shell, exact, give_keys, invested, purse
from support.vault_world import LOOSE

from executor.limit_errands import RULES
from executor.vault import VaultLimits
from executor.vault_abi import LIMITS, limit_words
from simulator.chain.abi import address_of, call_data, selector, words
from simulator.chain.artifacts import WETH9
from simulator.chain.market import ChainSettings
from tideline import vault_commands, vault_errands, vault_money

HEIR = "0x15d34aaf54267db7d7c367839aaf71a00a2c6a65"  # anvil's fifth account, and its key, which everybody knows
HEIR_KEY = "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a"
NOBODY = "0x" + "00" * 20
STRANGER = "0x" + "ab" * 20
REVERTS = "0x5f5ffd"  # code that refuses everything
FIVE_BYTES = "0x60056000f3"  # code that answers so many to everything
TWO_DAYS_S = 172_800
OWNER_S = ("--key", "env:OWNER")


@pytest.fixture
async def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Office]:
    give_keys(monkeypatch)
    monkeypatch.setenv("HEIR", HEIR_KEY)
    async with office(f"sqlite:///{tmp_path}/jobs.sqlite3") as made:
        yield made


@pytest.fixture
def shell(here: Office, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(here, capsys)


async def tokens(here: Office) -> list[str]:
    chain = here.made.chain
    return [address_of((await chain.call(chain.pool, f"{name}()"))[0]) for name in ("token0", "token1")]


async def gain(here: Office, before: list[int]) -> list[int]:
    return [after - old for after, old in zip(await purse(here), before, strict=True)]


async def test_there_is_a_command_for_everything_that_owner_and_guardian_may_do(here: Office, shell: Shell) -> None:
    """Each function of the contract that changes something, but the keeper's and those that the pool calls back."""
    await invested(here)
    made, vault, found = here.made, here.made.vault, set()

    async def call_of(*typed: str, account: str = OWNER) -> None:
        said = await shell(typed[0], vault, *typed[1:], "--as", account)
        found.update(line.split("data ")[1][:10] for line in said.splitlines() if f"to {vault.lower()}, data" in line)

    token0, _ = await tokens(here)
    await made.chain.send(token0, call_data("transfer(address,uint256)", int(OWNER, 16), 1))
    await made.chain.mine()
    await call_of("deposit", "--amount0", "1", "--factory", made.chain.factory)
    for typed in (["withdraw"], ["withdraw", "--only", "token1"], ["claim-fees"], ["sweep", token0], ["pause"]):
        await call_of(*typed)
    await call_of("release", *map(str, (WIDE.tick_lower, WIDE.tick_upper)))
    await call_of("set-keeper", STRANGER)
    await call_of("set-guardian", STRANGER)
    await call_of("revoke-keeper", account=GUARDIAN)
    await call_of("propose-owner", HEIR)
    await call_of("set-limits", "--max-positions", "7")
    await made.cost(OWNER, "0x" + limits_data("set_limits", replace(LOOSE, max_positions=7)))
    await call_of("announce-limits", "--max-positions", "8")
    for verb, arguments in (("pause()", ()), ("propose_owner(address)", (int(HEIR, 16),))):
        await made.cost(OWNER, call_data(verb, *arguments))
    await call_of("unpause")
    await call_of("accept-ownership", account=HEIR)
    others = ("rebalance(", "uniswapV3")
    theirs = [s for s, kind in vault_functions().items() if kind == "nonpayable" and not s.startswith(others)]
    assert found == {"0x" + selector(signature).hex() for signature in theirs}


def limits_data(verb: str, limits: VaultLimits) -> str:
    return (selector(f"{verb}({LIMITS})") + words(*limit_words(limits))).hex()


async def test_one_token_comes_out_where_the_other_is_dead(here: Office, shell: Shell) -> None:
    await invested(here)
    vault, chain, before = here.made.vault, here.made.chain, await purse(here)
    token0, token1 = await tokens(here)
    alive = await chain.ask("eth_getCode", token1, "latest")
    worth = (await here.fork()).portfolio()
    await chain.ask("anvil_setCode", token1, REVERTS)
    said = await shell("withdraw", vault, *OWNER_S, code=2)
    assert "the chain would undo it: " in said
    assert "token0 can be taken alone: tideline vault withdraw VAULT --only token0\n" in said
    done = await shell.live("withdraw", vault, "--only", "token0")
    assert f"all of token {token0} alone to the owner {OWNER}" in done and done.endswith("withdraw: done\n")
    assert "token0 can be taken alone" in await shell("withdraw", vault, "--only", "token1", *OWNER_S, code=2)
    await chain.ask("anvil_setCode", token1, alive)
    found = await shell.status()
    owed = [int(number) for row in found["left_owed"] for number in row[2:]]
    assert [row[:2] for row in found["left_owed"]] == [[r.tick_lower, r.tick_upper] for r in (WIDE, NARROW)]
    assert owed[::2] == [0, 0] and 0 <= sum(owed) - worth.principal[1] - worth.fees[1] <= 2
    assert f"emptied; the pool still owes 0 WETH and {exact(owed[1])} WETH" in await shell("status", vault)
    came = await gain(here, before)
    assert 0 <= came[0] - (worth.idle0 + worth.principal[0] + worth.fees[0]) <= 2 and came[1] == 0
    said = await shell.live("withdraw", vault)
    came = await gain(here, before)
    assert f"you get 0 WETH and {exact(came[1])} WETH" in said and came[1] > 990 * UNIT
    assert came[1] == worth.idle1 + sum(owed)
    found = await shell.status()
    assert (found["holdings"], found["left_owed"]) == ([], [])

    for token in (token0, token1):
        await chain.send(token, call_data("transfer(address,uint256)", int(vault, 16), 1))
        await chain.mine()
        await chain.ask("anvil_setCode", token, REVERTS)
    said = await shell("withdraw", vault, *OWNER_S, code=2)
    assert "nor can one token be taken alone; try single ranges: tideline vault release VAULT" in said


async def test_a_token_that_answers_nonsense_is_in_nobodys_way(
    here: Office, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (vault_commands, vault_errands, vault_money):  # a node that talks nonsense is asked again until then
        for name, value in (("DEADLINE_S", 1.0), ("READING", ChainSettings(block_time_s=1, deadline_s=1.0))):
            monkeypatch.setattr(module, name, value, raising=False)
    before, [token0, _] = await purse(here), await tokens(here)
    alive = await here.made.chain.ask("eth_getCode", token0, "latest")
    await here.made.chain.ask("anvil_setCode", token0, FIVE_BYTES)
    said = await shell("withdraw", here.made.vault, *OWNER_S, code=2)
    assert "token1 can be taken alone" in said
    assert "withdraw: done" in await shell.live("withdraw", here.made.vault, "--only", "token1")
    await here.made.chain.ask("anvil_setCode", token0, alive)
    assert await gain(here, before) == [0, 1000 * UNIT]


async def test_single_ranges_are_closed_into_the_vault(here: Office, shell: Shell) -> None:
    await invested(here)
    made, vault = here.made, here.made.vault
    ticks = [str(tick) for r in (WIDE, NARROW) for tick in (r.tick_lower, r.tick_upper)]
    for typed, says in (
        (ticks[:1], "ticks come in pairs, LOWER UPPER; 1 given"),
        (
            ["-600", "600"],
            f"the vault holds nothing in -600..600; it holds {'..'.join(ticks[:2])}, {'..'.join(ticks[2:])}",
        ),
        (["-9999999", "600"], "the vault holds nothing in -9999999..600"),
        (["600", "x"], "'x' is not a valid integer"),
        (["--lvie", *ticks[:2]], "'--lvie' is not a valid integer"),
    ):
        assert says in await shell("release", vault, *typed, *OWNER_S, code=2)
    assert "is not the owner" in await shell("release", vault, *ticks[:2], "--as", KEEPER, code=2)
    gift = words_of_mint(vault, -600, 600, 10**18)
    await made.chain.send(made.chain.payer, gift)
    await made.chain.mine()
    said = await shell("release", vault, *ticks, *ticks[:2], "-600", "600", *OWNER_S)
    assert said.count("will     close the range") == 3  # once each
    assert "release: done" in await shell.live("release", vault, "-600", "600")
    assert [r.tick_lower for r in (await here.fork()).ranges] == [WIDE.tick_lower, NARROW.tick_lower]
    said = await shell("release", vault, *ticks, *OWNER_S)
    partly = await shell("release", vault, "-600", "600", *ticks, *OWNER_S)  # the first was closed before
    assert "nothing  is held in -600..600\n" in partly and partly.splitlines()[2:] == said.splitlines()[1:]
    assert (await shell.live("release", vault, *ticks)).count(": done") == 2
    found = await shell.status()
    idle = [exact(int(found[name])) for name in ("idle0", "idle1")]
    assert f"the vault then has 0 positions and, idle, {idle[0]} WETH and {idle[1]} WETH" in said
    assert "it holds no range" in await shell("release", vault, *ticks, *OWNER_S, code=2)


def words_of_mint(owner: str, lower: int, upper: int, liquidity: int) -> str:
    signature = "mint(address,int24,int24,uint128,bytes)"
    return "0x" + (selector(signature) + words(int(owner, 16), lower, upper, liquidity, 5 * 32, 0)).hex()


async def test_stray_tokens_are_swept(here: Office, shell: Shell) -> None:
    made, vault, chain = here.made, here.made.vault, here.made.chain
    stray = (await chain._deploy(WETH9.creation_code)).lower()
    odd = "0x" + "0a" * 20
    await chain.ask("anvil_setCode", odd, FIVE_BYTES)
    for word in ("token", STRANGER, chain.pool, odd):
        says = "is no address" if word == "token" else "is no ERC-20 token"
        assert says in await shell("sweep", vault, word, *OWNER_S, code=2)
    assert "there is nothing to sweep" in await shell("sweep", vault, stray, *OWNER_S, code=2)
    await chain.send(stray, call_data("deposit()"), value=1000)
    await chain.send(stray, call_data("transfer(address,uint256)", int(vault, 16), 1000))
    await chain.managed_mint(-60, 60, 10**6, 10**6)
    await chain.send(
        chain.manager, call_data("transferFrom(address,address,uint256)", int(chain.owner, 16), int(vault, 16), 1)
    )
    await chain.mine()
    for amount, says in (("1001", "has only 1000 of"), ("0", "x>=1")):
        assert says in await shell("sweep", vault, stray, "--amount", amount, *OWNER_S, code=2)
    assert "is not the owner" in await shell("sweep", vault, stray, "--key", "env:GUARDIAN", code=2)
    assert "does not let itself be sent" in await shell("sweep", vault, chain.manager, *OWNER_S, code=2)  # an NFT

    for typed, left in ((("--amount", "300"), 700), ((), 0)):
        assert "sweep: done" in await shell.live("sweep", vault, stray, *typed)
        held = [(await chain.call(stray, "balanceOf(address)", int(a, 16)))[0] for a in (vault, OWNER)]
        assert held == [left, 1000 - left]
    before = await purse(here)
    said = await shell.live("sweep", vault, (await tokens(here))[0])
    assert await gain(here, before) == [1000 * UNIT, 0] and "you get 1,000 WETH and 0 WETH" in said
    await made.chain.ask("anvil_setCode", stray, REVERTS)
    assert "is no ERC-20 token" in await shell("sweep", vault, stray, *OWNER_S, code=2)


async def limits_of(here: Office, shell: Shell) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await shell("limits", here.made.vault, "--json"))
    return found


async def test_limits_tighten_at_once_and_loosen_when_announced(here: Office, shell: Shell) -> None:
    vault = here.made.vault
    found = await limits_of(here, shell)
    assert (found["limits"], found["announced"]) == (asdict(LOOSE), None)
    assert found["hard_bounds"]["min_width"] == [120, 20_000]
    text = await shell("limits", vault)
    assert all(rule.means.format(getattr(LOOSE, name)) in text for name, rule in RULES.items())
    assert "nothing is announced" in text

    tight = ("--max-loss-ppm", "2000", "--max-daily-drift", "2500")
    said = await shell.live("set-limits", vault, *tight)
    assert (
        "change   max_loss_ppm 20000 -> 2000, tighter: one plan may lose at most 2000 millionths of the worth" in said
    )
    assert "change   max_daily_drift 20000 -> 2500, tighter" in said and said.count("change") == 2
    tightened = replace(LOOSE, max_loss_ppm=2000, max_daily_drift=2500)
    assert (await limits_of(here, shell))["limits"] == asdict(tightened)

    looser = ("--max-loss-ppm", "5000", "--max-positions", "40")
    assert "max_loss_ppm: looser, and nothing is announced" in await shell(
        "set-limits", vault, *looser, *OWNER_S, code=2
    )
    said = await shell.live("announce-limits", vault, *looser)
    assert "change   max_loss_ppm 2000 -> 5000, looser" in said and "change   max_positions 50 -> 40, tighter" in said
    wanted = replace(tightened, max_loss_ppm=5000, max_positions=40)
    found = await limits_of(here, shell)
    waiting = found["announced"]
    assert (found["limits"], waiting["limits"]) == (asdict(tightened), asdict(wanted))
    assert waiting["settable_from"] - waiting["at"] == TWO_DAYS_S
    text = await shell("limits", vault)
    assert (await shell.status())["limits_settable_from"] == waiting["settable_from"]
    assert "other limits, which the owner can set from 20" in await shell("status", vault)
    assert "wait 2 d more, until 20" in text and "max_loss_ppm 2000 -> 5000, looser" in text

    await here.pass_time(waiting["settable_from"] - found["timestamp"] - 61)
    for typed in ((), looser):
        assert "announced, but wait 2 min more" in await shell("set-limits", vault, *typed, *OWNER_S, code=2)
    other = ("--max-loss-ppm", "5001")
    assert "what is announced is something else" in await shell("set-limits", vault, *other, *OWNER_S, code=2)
    await here.pass_time(61)
    assert "can be set now" in await shell("limits", vault)
    assert "set limits: done" in await shell.live("set-limits", vault)
    found = await limits_of(here, shell)
    assert (found["limits"], found["announced"]) == (asdict(wanted), None)


async def test_what_is_announced_is_dropped_by_any_change(here: Office, shell: Shell) -> None:
    vault = here.made.vault
    await shell.live("set-limits", vault, "--max-loss-ppm", "2000")
    assert "there is nothing to drop" in await shell("set-limits", vault, "--drop-announced", *OWNER_S, code=2)
    for typed in (("--cooldown-s", "70"), ("--drop-announced",)):
        await shell.live("announce-limits", vault, "--max-loss-ppm", "5000")
        assert "what is announced is dropped" in (await shell("set-limits", vault, "--cooldown-s", "80", *OWNER_S))
        assert "which drops what is announced" in (await shell("set-limits", vault, "--drop-announced", *OWNER_S))
        assert "in place of those announced before" in (
            await shell("announce-limits", vault, "--max-loss-ppm", "6000", *OWNER_S)
        )
        await shell.live("set-limits", vault, *typed)
        assert (await limits_of(here, shell))["announced"] is None
    assert (await limits_of(here, shell))["limits"] == asdict(replace(LOOSE, max_loss_ppm=2000, cooldown_s=70))


async def test_what_is_announced_is_found_among_blocks_of_one_second_or_named_again(here: Office, shell: Shell) -> None:
    """The vault keeps a hash. Which limits it is of, an event of the same second says, to whom has it still."""
    vault, chain = here.made.vault, here.made.chain
    await shell.live("set-limits", vault, "--max-loss-ppm", "2000")
    await chain.ask("anvil_setBlockTimestampInterval", 0)
    for _ in range(3):
        await chain.mine()
    await shell.live("announce-limits", vault, "--max-loss-ppm", "5000")
    for _ in range(3):
        await chain.mine()
    [at_s] = await chain.call(vault, "announced_at()")
    head = await chain.head()
    same = [
        int((await chain.ask("eth_getBlockByNumber", hex(head.number - n), False))["timestamp"], 16) for n in range(7)
    ]
    assert same == [at_s] * 7
    await chain.ask("anvil_setBlockTimestampInterval", 2)
    assert (await limits_of(here, shell))["announced"]["limits"] == asdict(replace(LOOSE, max_loss_ppm=5000))

    async with faulty_proxy(shell.url) as proxy:
        proxy.fault, shell.url = only("eth_getLogs", result(lambda logs: [])), proxy.url
        found = (await limits_of(here, shell))["announced"]
        assert (found["at"], found["limits"]) == (at_s, None)
        assert "the node has forgotten which limits" in await shell("limits", vault)
        await here.pass_time(TWO_DAYS_S)
        assert "name the same limits as then" in await shell("set-limits", vault, *OWNER_S, code=2)
        assert "max_loss_ppm 2000 -> 5000" in await shell("set-limits", vault, "--max-loss-ppm", "5000", *OWNER_S)


async def test_what_limits_are_refused(here: Office, shell: Shell) -> None:
    """In one line, before anything is asked of the contract."""
    vault = here.made.vault
    await shell.live("set-limits", vault, "--max-loss-ppm", "2000")
    await shell.live("announce-limits", vault, "--max-loss-ppm", "3000")
    for command, typed, says in (
        ("set-limits", ("--max-loss-ppm", "20001"), "max_loss_ppm 20001 is beyond the hard bounds 0 .. 20000"),
        ("announce-limits", ("--max-loss-ppm", "20001"), "max_loss_ppm 20001 is beyond the hard bounds"),
        ("set-limits", ("--min-width", "119"), "min_width 119 is beyond the hard bounds 120 .. 20000"),
        ("set-limits", ("--max-distance", "-1"), "max_distance -1 is beyond the hard bounds 0 .. 20000"),
        ("set-limits", ("--max-los-ppm", "1"), "No such option '--max-los-ppm'"),
        ("set-limits", ("--max-loss-ppm", "x"), "'x' is not a valid integer"),
        ("set-limits", ("--max-loss-ppm", "2000"), "the limits are these already"),
        ("set-limits", ("--max-loss-ppm", "1", "--drop-announced"), "name none with it"),
        ("announce-limits", (), "the limits are these already"),
        ("announce-limits", ("--max-loss-ppm", "1999"), "none of these is looser"),
        ("announce-limits", ("--max-loss-ppm", "3000"), "these are announced already"),
    ):
        assert says in await shell(command, vault, *typed, *OWNER_S, code=2), (command, typed)
    for command in ("set-limits", "announce-limits"):
        typed = ("--max-loss-ppm", "1999" if command == "set-limits" else "3001")
        assert "is not the owner" in await shell(command, vault, *typed, "--key", "env:GUARDIAN", code=2)
    pool = here.made.chain.pool
    guardian = ("--guardian", GUARDIAN, "--factory", here.made.chain.factory)
    said = await shell("deploy", "--pool", pool, *guardian, "--max-deviation", "301", *OWNER_S, code=2)
    assert "max_deviation 301 is beyond the hard bounds 1 .. 300" in said


async def test_the_guardian_is_an_account_of_its_own(here: Office, shell: Shell) -> None:
    vault = here.made.vault
    for account, says in (
        (KEEPER, "is the keeper: owner, keeper and guardian are three different accounts"),
        (OWNER, "is the owner: owner, keeper and guardian are three different accounts"),
        (GUARDIAN, "is the guardian already"),
        (NOBODY, "cannot be the zero address"),
        ("0x12", "is no address"),
    ):
        assert says in await shell("set-guardian", vault, account, *OWNER_S, code=2)
    assert "is not the owner" in await shell("set-guardian", vault, STRANGER, "--key", "env:GUARDIAN", code=2)
    said = await shell.live("set-guardian", vault, STRANGER)
    assert f"owner {OWNER}, keeper {KEEPER}, guardian {STRANGER}: three different accounts" in said
    assert (await shell.status())["guardian"] == STRANGER
    assert "neither owner nor guardian" in await shell("pause", vault, "--key", "env:GUARDIAN", code=2)


async def test_a_vault_goes_to_another_owner_who_accepts(here: Office, shell: Shell) -> None:
    vault = here.made.vault
    for account, says in (
        (KEEPER, "is the keeper: owner, keeper and guardian are three"),
        (GUARDIAN, "is the guardian: owner, keeper and guardian are three"),
        (OWNER, "is the owner"),
        (NOBODY, "cannot be the zero address"),
        ("nobody", "nobody is proposed as owner; there is nothing to do"),
        ("someone", "is no address"),
    ):
        assert says in await shell("propose-owner", vault, account, *OWNER_S, code=2), account
    assert "but to nobody" in await shell("accept-ownership", vault, "--as", HEIR, code=2)
    said = await shell.live("propose-owner", vault, HEIR)
    assert f"then owner {HEIR}, keeper {KEEPER}, guardian {GUARDIAN}: three different accounts" in said
    assert "is proposed already" in await shell("propose-owner", vault, HEIR, *OWNER_S, code=2)
    assert f"and {HEIR} no more" in await shell("propose-owner", vault, STRANGER, *OWNER_S)
    assert f"but to {HEIR}" in await shell("accept-ownership", vault, *OWNER_S, code=2)
    assert "is the proposed owner" in await shell("set-guardian", vault, HEIR, *OWNER_S, code=2)
    assert "propose owner: done" in await shell.live("propose-owner", vault, "nobody")
    assert (await shell.status())["proposed_owner"] is None

    await shell.live("propose-owner", vault, HEIR)
    await here.made.cost(OWNER, call_data("set_guardian(address)", int(HEIR, 16)))  # by hand: the command refuses
    assert "is the guardian" in await shell("accept-ownership", vault, "--as", HEIR, code=2)
    await here.made.cost(OWNER, call_data("set_guardian(address)", int(GUARDIAN, 16)))
    said = await shell.live("accept-ownership", vault, key="HEIR")
    assert f"take the vault over from {OWNER}, with everything in it" in said
    assert f"owner {HEIR}, keeper {KEEPER}, guardian {GUARDIAN}: three different accounts" in said
    found = await shell.status()
    assert (found["owner"], found["proposed_owner"]) == (HEIR, None)
    assert "is not the owner" in await shell("withdraw", vault, *OWNER_S, code=2)
    before = await purse(here, HEIR)
    await shell.live("withdraw", vault, key="HEIR")
    assert [a - b for a, b in zip(await purse(here, HEIR), before, strict=True)] == [1000 * UNIT] * 2
