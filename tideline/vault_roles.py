"""`tideline vault`: who keeps, who guards, who owns. Three different accounts, each command says so before it sends."""

from __future__ import annotations

from collections.abc import Sequence

import click

from executor import errands
from executor.errands import Errand
from tideline.vault_access import address_of_option
from tideline.vault_commands import Wish, address_argument, errand_command

_NOBODY = "nobody"


@errand_command("pause", "Stop the keeper (owner or guardian).")
async def pause_command(wish: Wish) -> Sequence[Errand]:
    """Stop the keeper. Withdrawals go on as before.

    \b
    Example:
      tideline vault pause $VAULT --rpc $RPC --key keystore:guardian.json --live
    """
    return [errands.pause(wish.facts, wish.actor.address)]


@errand_command("unpause", "Let the keeper work again (owner).")
async def unpause_command(wish: Wish) -> Sequence[Errand]:
    """Let the keeper work again.

    \b
    Example:
      tideline vault unpause $VAULT --rpc $RPC --key keystore:owner.json --live
    """
    return [errands.unpause(wish.facts, wish.actor.address)]


@errand_command("set-keeper", "Appoint a keeper for some days.")
@address_argument("keeper")
@click.option(
    "--days", type=click.IntRange(1, errands.MAX_KEEPER_DAYS), default=30, show_default=True, help="How long he may."
)
async def set_keeper_command(wish: Wish) -> Sequence[Errand]:
    """Appoint the account of an executor as keeper, from now on and for some days.

    \b
    Example:
      tideline vault set-keeper $VAULT $KEEPER --days 30 --rpc $RPC --key keystore:owner.json
    """
    keeper, days, now = wish.options["keeper"], wish.options["days"], wish.scene.header.timestamp
    return [errands.set_keeper(wish.facts, wish.actor.address, keeper, days=days, now=now)]


@errand_command("revoke-keeper", "Dismiss the keeper (owner or guardian).")
async def revoke_keeper_command(wish: Wish) -> Sequence[Errand]:
    """Dismiss the keeper; nobody can carry out plans then.

    \b
    Example:
      tideline vault revoke-keeper $VAULT --rpc $RPC --key keystore:guardian.json --live
    """
    return [errands.revoke_keeper(wish.facts, wish.actor.address)]


@errand_command("set-guardian", "Say who may stop the keeper, and nothing else.")
@address_argument("guardian")
async def set_guardian_command(wish: Wish) -> Sequence[Errand]:
    """Appoint a guardian in place of the present one: neither the owner nor the keeper.

    \b
    Example:
      tideline vault set-guardian $VAULT $GUARDIAN --rpc $RPC --key keystore:owner.json --live
    """
    return [errands.set_guardian(wish.facts, wish.actor.address, wish.options["guardian"])]


@errand_command("propose-owner", "Offer the vault to another account, which must accept.")
@click.argument("heir", metavar="ADDRESS|nobody")
async def propose_owner_command(wish: Wish) -> Sequence[Errand]:
    """Offer the vault, with everything in it, to another account: neither its keeper nor its guardian. Nothing changes
    until that account accepts; `nobody` takes the offer back.

    \b
    Examples:
      tideline vault propose-owner $VAULT $SAFE --rpc $RPC --key keystore:owner.json --live
      tideline vault propose-owner $VAULT nobody --rpc $RPC --key keystore:owner.json --live
    """
    text = wish.options["heir"]
    heir = None if text == _NOBODY else address_of_option("the new owner", text)
    return [errands.propose_owner(wish.facts, wish.actor.address, heir)]


@errand_command("accept-ownership", "Take over a vault that was offered.")
async def accept_ownership_command(wish: Wish) -> Sequence[Errand]:
    """Become the owner of a vault that its owner has offered to this account; keeper, guardian and limits stay.

    \b
    Examples:
      tideline vault accept-ownership $VAULT --rpc $RPC --as $SAFE
      tideline vault accept-ownership $VAULT --rpc $RPC --key keystore:new.json --live
    """
    return [errands.accept_ownership(wish.facts, wish.actor.address)]
