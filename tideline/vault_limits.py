"""`tideline vault`: how far the keeper may go, and how its owner changes that."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import click

from executor import limit_errands
from executor.announcement import read_announced
from executor.errands import Errand
from executor.limit_errands import LOOSENING_DELAY_S, RULES, differences, hard_bounds, span_text
from executor.vault import VaultLimits
from executor.vault_facts import VaultFacts, read_facts
from protocol.errors import ConfigError
from tideline.vault_access import DEADLINE_S, Scene, access_options, play
from tideline.vault_commands import Wish, address_argument, errand_command
from tideline.vault_report import time_text

F = TypeVar("F", bound=Callable[..., Any])


def limit_options(defaults: Mapping[str, int | str] | None = None) -> Callable[[F], F]:
    """Add an option for each limit. Its help tells the default, where there is one, else which way is tighter."""

    def add(command: F) -> F:
        for name, rule in reversed([*RULES.items()]):
            tighter = f" {'More' if rule.more_is_tighter else 'Less'} is tighter."
            rest = f"  [default: {defaults[name]}]" if defaults else tighter
            text = f"{rule.means[0].upper()}{rule.means[1:].format('N')}.{rest}"
            command = click.option(f"--{name.replace('_', '-')}", type=int, metavar="N", help=text)(command)
        return command

    return add


def named(options: Mapping[str, Any]) -> dict[str, int]:
    """Return the limits that were given."""
    return {name: options[name] for name in RULES if options[name] is not None}


@click.command("limits", short_help="How far the keeper may go, and what is announced.")
@address_argument("vault")
@access_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def limits_command(*, vault: str, as_json: bool, **options: Any) -> None:
    """Print a vault's limits, the hard bounds that no owner can pass, and looser limits that are announced.

    \b
    Examples:
      tideline vault limits $VAULT --rpc $RPC
      tideline vault limits $VAULT --rpc $RPC --json
    """

    async def look(scene: Scene) -> str:
        facts = await read_facts(scene.endpoints, scene.header, vault, deadline_s=DEADLINE_S)
        announced = await _announced(scene, facts)
        return (_json if as_json else _text)(scene, facts, announced)

    click.echo(play(options, look))


@errand_command("set-limits", "Tighten limits now, or set what was announced.")
@limit_options()
@click.option("--drop-announced", is_flag=True, help="Leave the limits as they are and drop what is announced.")
async def set_limits_command(wish: Wish) -> Sequence[Errand]:
    """Change the limits that are named, and no others. Tighter ones hold at once; looser ones must have been announced
    two days before. Without any, what was announced is set. Any change drops what is announced.

    \b
    Examples:
      tideline vault set-limits $VAULT --max-loss-ppm 2000 --max-daily-drift 2500 --rpc $RPC --key keystore:owner.json
      tideline vault set-limits $VAULT --rpc $RPC --key keystore:owner.json --live
    """
    facts, sender, wanted = wish.facts, wish.actor.address, named(wish.options)
    if wish.options["drop_announced"]:
        if wanted:
            raise ConfigError("--drop-announced leaves the limits as they are; name none with it")
        return [limit_errands.drop_announced(facts, sender)]
    new = limit_errands.change(facts.limits, wanted, facts.tick_spacing) if wanted else await _waiting(wish)
    errand = limit_errands.set_limits(facts, sender, new, now=wish.scene.header.timestamp)
    _say_change(facts.limits, new)
    return [errand]


@errand_command("announce-limits", "Begin the two days that looser limits take.")
@limit_options()
async def announce_limits_command(wish: Wish) -> Sequence[Errand]:
    """Announce limits of which some are looser. The ones that are not named stay as they are. Two days later set-limits
    sets them; until then, and if nobody does, nothing changes. One announcement at a time.

    \b
    Example:
      tideline vault announce-limits $VAULT --max-loss-ppm 5000 --rpc $RPC --key keystore:owner.json --live
    """
    facts = wish.facts
    new = limit_errands.change(facts.limits, named(wish.options), facts.tick_spacing)
    errand = limit_errands.announce_limits(facts, wish.actor.address, new)
    _say_change(facts.limits, new)
    return [errand]


async def _announced(scene: Scene, facts: VaultFacts) -> VaultLimits | None:
    return await read_announced(scene.endpoints, scene.header, facts, deadline_s=DEADLINE_S)


async def _waiting(wish: Wish) -> VaultLimits:
    if not wish.facts.announced_hash:
        raise ConfigError("name a limit to change, for example --max-loss-ppm 2000; nothing is announced")
    announced = await _announced(wish.scene, wish.facts)
    if announced is None:
        raise ConfigError("the node has forgotten what was announced; name the same limits as then")
    return announced


def _say_change(old: VaultLimits, new: VaultLimits) -> None:
    for line in differences(old, new):
        click.echo(f"change   {line}")


def _text(scene: Scene, facts: VaultFacts, announced: VaultLimits | None) -> str:
    rows = [("limit", "now", "hard bounds", "it means")]
    for name, rule in RULES.items():
        least, most = hard_bounds(name, facts.tick_spacing)
        value = getattr(facts.limits, name)
        rows.append((name, str(value), f"{least} .. {most}", rule.means.format(value)))
    wide = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"vault  {facts.address} on chain {scene.endpoints.chain_id}, block {scene.header.number}"]
    lines += [f"{name:<{wide[0]}}  {now:>{wide[1]}}  {bounds:<{wide[2]}}  {means}" for name, now, bounds, means in rows]
    return "\n".join([*lines, *_announced_lines(facts, announced, scene.header.timestamp)])


def _announced_lines(facts: VaultFacts, announced: VaultLimits | None, now: int) -> list[str]:
    if not facts.announced_hash:
        return ["nothing is announced; what is tighter can be set at once"]
    settable = facts.announced_at + LOOSENING_DELAY_S
    left = settable - now
    when = f"wait {span_text(left)} more, until {time_text(settable)}" if left > 0 else "can be set now"
    changes = ["the node has forgotten which limits"]
    if announced is not None:
        changes = differences(facts.limits, announced) or ["the limits as they are"]
    return [f"announced {time_text(facts.announced_at)}; {when}:", *(f"  {line}" for line in changes)]


def _json(scene: Scene, facts: VaultFacts, announced: VaultLimits | None) -> str:
    waiting = {
        "hash": f"{facts.announced_hash:064x}",
        "at": facts.announced_at,
        "settable_from": facts.announced_at + LOOSENING_DELAY_S,
        "limits": None if announced is None else asdict(announced),
    }
    return json.dumps(
        {
            "vault": facts.address,
            "chain_id": scene.endpoints.chain_id,
            "block": scene.header.number,
            "timestamp": scene.header.timestamp,
            "limits": asdict(facts.limits),
            "hard_bounds": {name: hard_bounds(name, facts.tick_spacing) for name in RULES},
            "loosening_delay_s": LOOSENING_DELAY_S,
            "announced": waiting if facts.announced_hash else None,
        }
    )
