"""`tideline vault`: what a vault's owner does with it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import click

from executor import errands
from executor.chain import TransactionChain
from executor.errands import Errand
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
    Actor,
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
from tideline.vault_errands import describe, perform, purse
from tideline.vault_report import VaultReport, report_json, report_text, tokens_text

F = TypeVar("F", bound=Callable[..., Any])
_Plan = Callable[[Scene, VaultFacts, Actor], Awaitable[Sequence[Errand]]]

_NOT_DONE = 1  # exit code: it was sent, and the chain did not do it


@click.group()
def vault() -> None:
    """Deploy a vault, look at it, put tokens in, take everything out, and say who keeps it.

    Every command that changes something first says in plain words what it will do, what that costs and what will be
    so then; only with --live it signs and sends. Owners whose account is a Safe take the call that a dry run with --as
    shows.

    \b
    Examples:
      tideline vault status $VAULT --rpc $RPC
      tideline vault withdraw $VAULT --rpc $RPC --key keystore:owner.json
      tideline vault withdraw $VAULT --rpc $RPC --key keystore:owner.json --live
      tideline vault pause $VAULT --rpc $RPC --as $SAFE
    """


def _errand(name: str, short_help: str) -> Callable[[F], click.Command]:
    """Make a command with a vault as its argument and everything that an errand needs."""

    def make(function: F) -> click.Command:
        decorated = click.argument("address", metavar="VAULT")(errand_options(click.pass_context(function)))
        return vault.command(name, short_help=short_help)(decorated)

    return make


def _run(context: click.Context, options: dict[str, Any], plan: _Plan) -> None:
    """Carry a plan of errands out on the vault, or say what it would be."""
    actor, address = actor_of(options), address_of_option("VAULT", options["address"])

    async def act(scene: Scene) -> bool:
        facts = await read_facts(scene.endpoints, scene.header, address, deadline_s=DEADLINE_S)
        info = await describe(scene.endpoints, facts, READING)
        click.echo(f"vault    {address} on chain {scene.endpoints.chain_id}, block {scene.header.number}")
        return await perform(scene, actor, await plan(scene, facts, actor), stage=(address, info))

    context.exit(0 if play(options, act) else _NOT_DONE)


@vault.command("status", short_help="What it holds, earned, may lose, and who may what.")
@click.argument("address", metavar="VAULT")
@access_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status_command(*, address: str, as_json: bool, **options: Any) -> None:
    """Print a vault's positions, fees owed, worth at the means, budgets left, and its roles, all at one block.

    \b
    Example:
      tideline vault status $VAULT --rpc $RPC --json
    """
    place = address_of_option("VAULT", address)
    report = play(options, lambda scene: _report(scene, place))
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
    return VaultReport(header, reader.info, facts, reading, nav, is_our_code(code, reader.info))


async def _look(scene: Scene, facts: VaultFacts) -> tuple[VaultReader, VaultReading]:
    """Read a vault's positions in its pool. Raises SimulationError where it lists more than the pool has."""
    reader = await VaultReader.look(scene.endpoints, facts.pool, facts.address, READING)
    return reader, await reader.read(scene.header, twap_s=facts.limits.twap_long_s)


@vault.command("deploy", short_help="Make a vault.")
@click.option("--pool", required=True, metavar="ADDRESS", help="The Uniswap V3 pool; it cannot be changed later.")
@click.option("--owner", metavar="ADDRESS", help="Whose vault it is.  [default: the account that signs]")
@click.option("--guardian", required=True, metavar="ADDRESS", help="Who may stop the keeper, and nothing else.")
@factory_option
@click.option("--min-width", type=int, help="Narrowest range in ticks.  [default: 20 or two spacings, the wider]")
@click.option("--max-distance", type=int, default=VaultLimits().max_distance, show_default=True, help="In ticks.")
@click.option("--max-positions", type=int, default=VaultLimits().max_positions, show_default=True)
@click.option("--max-deviation", type=int, default=VaultLimits().max_deviation, show_default=True, help="In ticks.")
@click.option("--twap-short-s", type=int, default=VaultLimits().twap_short_s, show_default=True)
@click.option("--twap-long-s", type=int, default=VaultLimits().twap_long_s, show_default=True)
@click.option("--cooldown-s", type=int, default=VaultLimits().cooldown_s, show_default=True, help="Rest between plans.")
@click.option("--max-loss-ppm", type=int, default=VaultLimits().max_loss_ppm, show_default=True, help="Of a plan.")
@click.option("--max-daily-loss-ppm", type=int, default=VaultLimits().max_daily_loss_ppm, show_default=True)
@click.option("--max-daily-drift", type=int, default=VaultLimits().max_daily_drift, show_default=True, help="In ticks.")
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

    context.exit(0 if play(options, make) else _NOT_DONE)


def _limits(options: dict[str, Any], tick_spacing: int) -> VaultLimits:
    """Return the limits asked for; the contract refuses those out of its bounds."""
    named = {name: options[name] for name in VaultLimits.__slots__}
    if named["min_width"] is None:
        named["min_width"] = max(VaultLimits().min_width, 2 * tick_spacing)
    return VaultLimits(**named)


@_errand("deposit", "Put tokens in.")
@click.option("--amount0", type=click.IntRange(min=0), default=0, help="Of token0, in raw units.")
@click.option("--amount1", type=click.IntRange(min=0), default=0, help="Of token1, in raw units.")
@factory_option
def deposit_command(context: click.Context, /, **options: Any) -> None:
    """Allow the vault exactly these amounts and let it take them: up to five transactions, one after the other.

    \b
    Example:
      tideline vault deposit $VAULT --amount0 1000000000000000000 --rpc $RPC --key keystore:owner.json
    """

    factory = optional_address("--factory", options["factory"])

    async def plan(scene: Scene, facts: VaultFacts, actor: Actor) -> Sequence[Errand]:
        info = await describe(scene.endpoints, facts, READING)
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
        amounts = (options["amount0"], options["amount1"])
        planned = errands.deposit(facts, actor.address, amounts, (allowed0, allowed1))
        owned = await purse(scene.endpoints, scene.header, info, actor.address)
        if owned[0] < amounts[0] or owned[1] < amounts[1]:
            raise ConfigError(f"{actor.address} has only {tokens_text(info, *owned)}")
        return planned

    _run(context, options, plan)


@_errand("withdraw", "Take everything out.")
@click.option("--only", type=click.Choice(["token0", "token1"]), help="One token, where the other cannot be moved.")
def withdraw_command(context: click.Context, /, **options: Any) -> None:
    """Close every position and send everything to the owner. No pause, price, keeper or limit is in the way.

    \b
    Examples:
      tideline vault withdraw $VAULT --rpc $RPC --key keystore:owner.json
      tideline vault withdraw $VAULT --rpc $RPC --key keystore:owner.json --live
    """

    async def plan(_scene: Scene, facts: VaultFacts, actor: Actor) -> Sequence[Errand]:
        if options["only"] is None:
            return [errands.withdraw(facts, actor.address)]
        return [errands.withdraw_token(facts, actor.address, of_token0=options["only"] == "token0")]

    _run(context, options, plan)


@_errand("claim-fees", "Take what the positions have earned.")
def claim_command(context: click.Context, /, **options: Any) -> None:
    """Send the fees earned to the owner; the positions stay.

    \b
    Example:
      tideline vault claim-fees $VAULT --rpc $RPC --key keystore:owner.json --live
    """

    async def plan(_scene: Scene, facts: VaultFacts, actor: Actor) -> Sequence[Errand]:
        return [errands.claim_fees(facts, actor.address)]

    _run(context, options, plan)


@_errand("pause", "Stop the keeper (owner or guardian).")
def pause_command(context: click.Context, /, **options: Any) -> None:
    """Stop the keeper. Withdrawals go on as before.

    \b
    Example:
      tideline vault pause $VAULT --rpc $RPC --key keystore:guardian.json --live
    """

    async def plan(_scene: Scene, facts: VaultFacts, actor: Actor) -> Sequence[Errand]:
        return [errands.pause(facts, actor.address)]

    _run(context, options, plan)


@_errand("unpause", "Let the keeper work again (owner).")
def unpause_command(context: click.Context, /, **options: Any) -> None:
    """Let the keeper work again.

    \b
    Example:
      tideline vault unpause $VAULT --rpc $RPC --key keystore:owner.json --live
    """

    async def plan(_scene: Scene, facts: VaultFacts, actor: Actor) -> Sequence[Errand]:
        return [errands.unpause(facts, actor.address)]

    _run(context, options, plan)


@_errand("set-keeper", "Appoint a keeper for some days.")
@click.argument("keeper")
@click.option(
    "--days", type=click.IntRange(1, errands.MAX_KEEPER_DAYS), default=30, show_default=True, help="How long he may."
)
def set_keeper_command(context: click.Context, /, **options: Any) -> None:
    """Appoint the account of an executor as keeper, from now on and for some days.

    \b
    Example:
      tideline vault set-keeper $VAULT $KEEPER --days 30 --rpc $RPC --key keystore:owner.json
    """
    keeper = address_of_option("KEEPER", options["keeper"])

    async def plan(scene: Scene, facts: VaultFacts, actor: Actor) -> Sequence[Errand]:
        now = scene.header.timestamp
        return [errands.set_keeper(facts, actor.address, keeper, days=options["days"], now=now)]

    _run(context, options, plan)


@_errand("revoke-keeper", "Dismiss the keeper (owner or guardian).")
def revoke_keeper_command(context: click.Context, /, **options: Any) -> None:
    """Dismiss the keeper; nobody can carry out plans then.

    \b
    Example:
      tideline vault revoke-keeper $VAULT --rpc $RPC --key keystore:guardian.json --live
    """

    async def plan(_scene: Scene, facts: VaultFacts, actor: Actor) -> Sequence[Errand]:
        return [errands.revoke_keeper(facts, actor.address)]

    _run(context, options, plan)
