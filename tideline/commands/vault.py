"""`tideline vault`: what a vault's owner does with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from executor import errands
from executor.chain import TransactionChain
from executor.errands import Errand
from executor.limit_errands import require_bounds
from executor.pool_trust import examine_pool, require_factory
from executor.reading import VaultReader, VaultReading
from executor.vault import VaultLimits
from executor.vault_facts import VaultFacts, is_our_code, read_code, read_facts, require_sound
from protocol.errors import ConfigError, SimulationError
from simulator.chain.market import read_info
from simulator.chain.rpc import Refused
from tideline.vault_access import (
    DEADLINE_S,
    READING,
    Scene,
    access_options,
    actor_of,
    address_of_option,
    errand_options,
    factory_option,
    head,
    optional_address,
    play,
)
from tideline.vault_commands import NOT_DONE, SectionedGroup, Wish, address_argument, errand_command
from tideline.vault_errands import perform, purse
from tideline.vault_limits import announce_limits_command, limit_options, limits_command, named, set_limits_command
from tideline.vault_money import claim_command, owed_in_range, release_command, sweep_command, withdraw_command
from tideline.vault_report import VaultReport, report_json, report_text, tokens_text
from tideline.vault_roles import (
    accept_ownership_command,
    pause_command,
    propose_owner_command,
    revoke_keeper_command,
    set_guardian_command,
    set_keeper_command,
    unpause_command,
)


@click.group(cls=SectionedGroup)
def vault() -> None:
    """Deploy a vault, look at it, put tokens in, take them out, say who keeps it and how far he may go.

    Every command that changes something first says in plain words what it will do, what that costs and what will be
    so then; only with --live it signs and sends. Owners whose account is a Safe take the call that a dry run with --as
    shows.

    \b
    Examples:
      tideline vault status $VAULT --rpc $RPC
      tideline vault withdraw $VAULT --rpc $RPC --key keystore:owner.json
      tideline vault withdraw $VAULT --rpc $RPC --key keystore:owner.json --live
      tideline vault pause $VAULT --rpc $RPC --as $SAFE
      tideline vault set-limits $VAULT --max-loss-ppm 2000 --rpc $RPC --as $SAFE
    """


@click.command("status", short_help="What it holds, earned, may lose, and who may what.")
@address_argument("vault")
@access_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status_command(*, vault: str, as_json: bool, **options: Any) -> None:
    """Print a vault's positions, fees owed, worth at the means, budgets left, and its roles, all at one block.

    \b
    Example:
      tideline vault status $VAULT --rpc $RPC --json
    """
    report = play(options, lambda scene: _report(scene, vault))
    click.echo(json.dumps(report_json(report)) if as_json else report_text(report))


async def _report(scene: Scene, address: str) -> VaultReport:
    endpoints, header = scene.endpoints, scene.header
    facts = await read_facts(endpoints, header, address, deadline_s=DEADLINE_S)
    reader, reading = await _look(scene, facts)
    code = await read_code(endpoints, header, address, deadline_s=DEADLINE_S)
    nav: tuple[int, int] | None = None
    try:
        short, long = await scene.words(address, "nav()")
        nav = short, long
    except Refused:
        pass  # the pool does not remember so far: the report says so
    emptied = [position.range for position in reading.listing.positions if position.liquidity == 0]
    owed = {at: await owed_in_range(scene, facts, at) for at in emptied}
    return VaultReport(header, reader.info, facts, reading, nav, is_our_code(code, reader.info), owed)


async def _look(scene: Scene, facts: VaultFacts) -> tuple[VaultReader, VaultReading]:
    """Read a vault's positions in its pool. Raises SimulationError where it lists more than the pool has."""
    reader = await VaultReader.look(scene.endpoints, facts.pool, facts.address, READING)
    return reader, await reader.read(scene.header, twap_s=facts.limits.twap_long_s)


@click.command("deploy", short_help="Make a vault.")
@click.option("--pool", required=True, metavar="ADDRESS", help="The Uniswap V3 pool; it cannot be changed later.")
@click.option("--owner", metavar="ADDRESS", help="Whose vault it is.  [default: the account that signs]")
@click.option("--guardian", required=True, metavar="ADDRESS", help="Who may stop the keeper, and nothing else.")
@factory_option
@limit_options({**asdict(VaultLimits()), "min_width": "20 or two spacings, the wider"})
@errand_options
@click.pass_context
def deploy_command(context: click.Context, /, **options: Any) -> None:
    """Make a vault on a pool. It has no keeper and no tokens then: see set-keeper and deposit.

    The limits are what the keeper is held to; docs/vault.md says what each bounds. Looser ones take two days later.

    \b
    Examples:
      tideline vault deploy --pool $POOL --guardian $GUARDIAN --rpc $RPC --key keystore:owner.json
      tideline vault deploy --pool $POOL --guardian $GUARDIAN --rpc $RPC --key keystore:owner.json --live
    """
    actor = actor_of(options)
    pool, guardian = (address_of_option(f"--{name}", options[name]) for name in ("pool", "guardian"))
    owner, factory = (optional_address(f"--{name}", options[name]) for name in ("owner", "factory"))

    async def make(scene: Scene) -> bool:
        info = await read_info(scene.endpoints, pool, READING)
        limits = _limits(options, info.tick_spacing)
        trust = await examine_pool(
            scene.endpoints, scene.header, info, factory=factory, twap_s=limits.twap_long_s, deadline_s=DEADLINE_S
        )
        nonce = await TransactionChain(scene.endpoints).nonce(actor.address)
        whose = (owner or actor.address, guardian)
        errand, address = errands.deploy(pool, *whose, limits, sender=actor.address, nonce=nonce)
        pair = f"{info.token0.symbol}/{info.token1.symbol}, fee {info.fee_pips / 10_000:g} %"
        click.echo(f"pool     {pair}, made by factory {trust.factory}")
        click.echo(f"limits   {', '.join(f'{name} {getattr(limits, name)}' for name in VaultLimits.__slots__)}")
        if not trust.remembers:
            click.echo(
                f"beware   the pool does not remember {limits.twap_long_s} s: until then no plan (docs/vault.md)"
            )
        if not await perform(scene, actor, [errand], stage=None):
            return False
        if actor.is_live:
            await read_facts(scene.endpoints, await head(scene.endpoints), address, deadline_s=DEADLINE_S)
            click.echo(f"made     {address}")
        return True

    context.exit(0 if play(options, make) else NOT_DONE)


def _limits(options: dict[str, Any], tick_spacing: int) -> VaultLimits:
    """Return the limits asked for. Raises ConfigError beyond the hard bounds."""
    width = max(VaultLimits().min_width, 2 * tick_spacing)
    limits = VaultLimits(**{"min_width": width, **named(options)})
    require_bounds(limits, tick_spacing)
    return limits


@errand_command("deposit", "Put tokens in.", moves_tokens=True)
@click.option("--amount0", type=click.IntRange(min=0), default=0, help="Of token0, in raw units.")
@click.option("--amount1", type=click.IntRange(min=0), default=0, help="Of token1, in raw units.")
@factory_option
async def deposit_command(wish: Wish) -> Sequence[Errand]:
    """Allow the vault exactly these amounts and let it take them: up to five transactions, one after the other.

    \b
    Example:
      tideline vault deposit $VAULT --amount0 1000000000000000000 --rpc $RPC --key keystore:owner.json
    """
    scene, facts, actor = wish.scene, wish.facts, wish.actor
    info = await read_info(scene.endpoints, facts.pool, READING)
    factory = optional_address("--factory", wish.options["factory"])
    await require_factory(scene.endpoints, scene.header, info, factory=factory, deadline_s=DEADLINE_S)
    code = await read_code(scene.endpoints, scene.header, facts.address, deadline_s=DEADLINE_S)
    if not is_our_code(code, info):
        raise ConfigError(f"the code at {facts.address} is not our vault's as built here; give it no tokens")
    await require_sound(scene.endpoints, scene.header, facts, deadline_s=DEADLINE_S)
    try:
        await _look(scene, facts)
    except SimulationError as error:  # what it lists counts as its worth, and so allows for larger losses
        raise ConfigError(f"{error}; give {facts.address} no tokens") from error
    pair = (int(actor.address, 16), int(facts.address, 16))
    tokens = (facts.token0, facts.token1)
    [allowed0], [allowed1] = [await scene.words(t, "allowance(address,address)", *pair) for t in tokens]
    amounts = (wish.options["amount0"], wish.options["amount1"])
    planned = errands.deposit(facts, actor.address, amounts, (allowed0, allowed1))
    owned = await purse(scene.endpoints, scene.header, info, actor.address)
    if owned[0] < amounts[0] or owned[1] < amounts[1]:
        raise ConfigError(f"{actor.address} has only {tokens_text(info, *owned)}")
    return planned


vault.add_section("Make it and look at it", (deploy_command, status_command, limits_command))
vault.add_section("Put tokens in and take them out", (deposit_command, withdraw_command, claim_command))
vault.add_section("Take tokens out in trouble", (release_command, sweep_command))
vault.add_section(
    "Keeper and guardian",
    (set_keeper_command, revoke_keeper_command, pause_command, unpause_command, set_guardian_command),
)
vault.add_section("Limits", (set_limits_command, announce_limits_command))
vault.add_section("Ownership", (propose_owner_command, accept_ownership_command))
