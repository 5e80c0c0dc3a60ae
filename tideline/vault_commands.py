"""What all commands on a vault are made of: a plan of errands, the vault as its argument, and who acts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from executor.errands import Errand
from executor.vault_facts import VaultFacts, read_facts
from tideline.vault_access import DEADLINE_S, READING, Actor, Scene, actor_of, address_of_option, errand_options, play
from tideline.vault_errands import describe, perform

NOT_DONE = 1  # exit code: it was sent, and the chain did not do it


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants of a vault: where, of which, in whose name, and what he has typed."""

    scene: Scene
    facts: VaultFacts
    actor: Actor
    options: Mapping[str, Any]


Plan = Callable[[Wish], Awaitable[Sequence[Errand]]]


class SectionedGroup(click.Group):
    """A group whose help lists its commands under headings."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._sections: dict[str, list[str]] = {}

    def add_section(self, heading: str, commands: Iterable[click.Command]) -> None:
        """Add commands under a heading."""
        names = self._sections.setdefault(heading, [])
        for command in commands:
            self.add_command(command)
            names.append(str(command.name))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the headings."""
        return [name for names in self._sections.values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by heading."""
        width = max(map(len, self.commands))
        for heading, names in self._sections.items():
            with formatter.section(heading):
                formatter.write_dl([(f"{name:<{width}}", self.commands[name].get_short_help_str(90)) for name in names])


def address_argument(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add an argument that is an address. A wrong one is a ConfigError."""
    return click.argument(name, callback=_read_address)


def _read_address(_context: click.Context, parameter: click.Parameter, text: str) -> str:
    return address_of_option(str(parameter.name).upper(), text)


def errand_command(
    name: str, short_help: str, *, moves_tokens: bool = False, settings: Mapping[str, Any] | None = None
) -> Callable[[Plan], click.Command]:
    """Make a command of a plan; its docstring is the help. Where tokens move, what comes of it is rehearsed."""

    def make(plan: Plan) -> click.Command:
        @click.pass_context
        @wraps(plan)
        def command(context: click.Context, /, **options: Any) -> None:
            actor, address = actor_of(options), options["vault"]

            async def act(scene: Scene) -> bool:
                facts = await read_facts(scene.endpoints, scene.header, address, deadline_s=DEADLINE_S)
                info = await describe(scene.endpoints, facts, READING)
                click.echo(f"vault    {address} on chain {scene.endpoints.chain_id}, block {scene.header.number}")
                errands = await plan(Wish(scene, facts, actor, options))
                return await perform(scene, actor, errands, stage=(address, info) if moves_tokens else None)

            context.exit(0 if play(options, act) else NOT_DONE)

        own = reversed(command.__dict__.pop("__click_params__", []))  # these come first in the help
        params = [click.Argument(["vault"], callback=_read_address), *own]
        context_settings = dict(settings or {})
        made = click.command(name, short_help=short_help, params=params, context_settings=context_settings)
        return made(errand_options(command))

    return make
