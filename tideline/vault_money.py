"""`tideline vault`: what takes tokens out, in the order in which an owner in trouble would try it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from executor import errands
from executor.chain import Reverted, TransactionChain
from executor.errands import Errand
from executor.standing import read_positions
from executor.vault_facts import VaultFacts
from protocol.errors import ConfigError
from protocol.units import MAX_TICK
from simulator.chain.abi import call_data, position_key, read_words
from simulator.chain.rpc import BadAnswer, Refused, Request
from simulator.portfolio import Range
from tideline.vault_access import DEADLINE_S, Scene
from tideline.vault_commands import Wish, address_argument, errand_command
from tideline.vault_errands import attempt

_SHOWN = 10  # ranges that one line can name
_NEGATIVE_NUMBERS = {"ignore_unknown_options": True}  # without it a tick below 0 would be an option
_TOKENS = ("token0", "token1")


@errand_command("withdraw", "Take everything out, or one token of everything.", moves_tokens=True)
@click.option("--only", type=click.Choice(_TOKENS), help="One token, where the other cannot be moved.")
async def withdraw_command(wish: Wish) -> Sequence[Errand]:
    """Close every position and send everything to the owner. No pause, price, keeper or limit is in the way.

    With --only one token is taken out of everything: what there was of the other stays owed by the pool, for a later
    withdrawal.

    \b
    Examples:
      tideline vault withdraw $VAULT --rpc $RPC --key keystore:owner.json
      tideline vault withdraw $VAULT --rpc $RPC --key keystore:owner.json --live
      tideline vault withdraw $VAULT --only token0 --rpc $RPC --key keystore:owner.json --live
    """
    facts, sender, only = wish.facts, wish.actor.address, wish.options["only"]
    alone = {name: errands.withdraw_token(facts, sender, of_token0=name == "token0") for name in _TOKENS}
    wanted = errands.withdraw(facts, sender) if only is None else alone[only]
    reason = await _refusal(wish, wanted)
    if reason is not None:
        free = [name for name, errand in alone.items() if await _refusal(wish, errand) is None]
        raise ConfigError(f"the chain would undo it: {reason}; {_instead(free)}")
    return [wanted]


def _instead(free: Sequence[str]) -> str:
    if not free:
        return "nor can one token be taken alone; try single ranges: tideline vault release VAULT LOWER UPPER"
    ways = " and ".join(f"tideline vault withdraw VAULT --only {name}" for name in free)
    return f"{' and '.join(free)} can be taken alone: {ways}"


async def _refusal(wish: Wish, errand: Errand) -> str | None:
    endpoints = wish.scene.endpoints
    found = await attempt(TransactionChain(endpoints), errand, wish.actor.address, endpoints.chain_id)
    return found.reason if isinstance(found, Reverted) else None


@errand_command("claim-fees", "Take what the positions have earned.", moves_tokens=True)
async def claim_command(wish: Wish) -> Sequence[Errand]:
    """Send the fees earned to the owner; the positions stay.

    \b
    Example:
      tideline vault claim-fees $VAULT --rpc $RPC --key keystore:owner.json --live
    """
    return [errands.claim_fees(wish.facts, wish.actor.address)]


@errand_command("release", "Close single ranges into the vault.", moves_tokens=True, settings=_NEGATIVE_NUMBERS)
@click.argument("ticks", nargs=-1, type=int, required=True, metavar="LOWER UPPER [LOWER UPPER]...")
async def release_command(wish: Wish) -> Sequence[Errand]:
    """Close one range after the other, each a transaction, where closing all at once takes too much. What they held
    lies idle in the vault then: withdraw takes it, or sweep. A range that somebody else opened in the vault's name
    goes, too.

    \b
    Example:
      tideline vault release $VAULT -1200 1200 --rpc $RPC --key keystore:owner.json --live
    """
    ticks = wish.options["ticks"]
    if len(ticks) % 2:
        raise ConfigError(f"ticks come in pairs, LOWER UPPER; {len(ticks)} given")
    ranges = dict.fromkeys(Range(*pair) for pair in zip(ticks[::2], ticks[1::2], strict=True))
    listed = [r for r, _ in read_positions((await wish.scene.words(wish.facts.address, "positions()"))[2:])]
    held = [at for at in ranges if at in listed or await _is_in_pool(wish, at)]
    if not held:
        others = ", ".join(map(_text, listed[:_SHOWN])) or "no range"
        more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
        raise ConfigError(f"the vault holds nothing in {', '.join(map(_text, ranges))}; it holds {others}{more}")
    for at in ranges:
        if at not in held:  # as where the same command was cut off before
            click.echo(f"nothing  is held in {_text(at)}")
    return [errands.release(wish.facts, wish.actor.address, at) for at in held]


def _text(at: Range) -> str:
    return f"{at.tick_lower}..{at.tick_upper}"


async def _is_in_pool(wish: Wish, at: Range) -> bool:
    if not -MAX_TICK <= at.tick_lower < at.tick_upper <= MAX_TICK:
        return False
    return any(await _in_pool(wish.scene, wish.facts, at))


async def owed_in_range(scene: Scene, facts: VaultFacts, at: Range) -> tuple[int, int]:
    """Return what the pool owes the vault in a range, without what its liquidity earned since it was last touched."""
    _, owed0, owed1 = await _in_pool(scene, facts, at)
    return owed0, owed1


async def _in_pool(scene: Scene, facts: VaultFacts, at: Range) -> tuple[int, int, int]:
    key = position_key(facts.address, at.tick_lower, at.tick_upper)
    answer = await scene.words(facts.pool, "positions(bytes32)", key)
    if len(answer) != 5:
        raise BadAnswer("not a position", pool=facts.pool)
    return answer[0], answer[3], answer[4]


@errand_command("sweep", "Take idle tokens of one kind, stray ones too.", moves_tokens=True)
@address_argument("token")
@click.option("--amount", type=click.IntRange(min=1), help="In raw units.  [default: all there is]")
async def sweep_command(wish: Wish) -> Sequence[Errand]:
    """Send idle tokens to the owner: what somebody sent there by mistake, or what lies idle of the pool's own.

    \b
    Examples:
      tideline vault sweep $VAULT $TOKEN --rpc $RPC --key keystore:owner.json --live
      tideline vault sweep $VAULT $TOKEN --amount 1000000 --rpc $RPC --key keystore:owner.json --live
    """
    facts, token = wish.facts, wish.options["token"]
    idle = await _balance(wish.scene, token, facts.address)
    if idle is None:
        raise ConfigError(f"{token} is no ERC-20 token: it does not say what the vault has of it")
    errand = errands.sweep(facts, wish.actor.address, token, idle=idle, amount=wish.options["amount"])
    reason = await _refusal(wish, errand)
    if reason is not None:
        raise ConfigError(f"{token} does not let itself be sent: {reason}; it is blocked, or no ERC-20 token")
    return [errand]


async def _balance(scene: Scene, token: str, account: str) -> int | None:
    """Return what an account has of a token; None where the contract is none and answers as it likes."""

    def read(value: Any) -> int | None:
        try:
            [amount] = read_words(value)
        except (BadAnswer, ValueError):
            return None
        return amount

    call = {"to": token, "data": call_data("balanceOf(address)", int(account, 16))}
    request = Request("eth_call", (call, scene.header.pin()), read, is_decisive=True)
    try:
        return await scene.endpoints.ask(request, deadline_s=DEADLINE_S)
    except Refused:
        return None
