"""Every command of the guides can be given, every option of a miner is in them, and what they say of defaults is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from miner.config import MinerConfig
from miner.feeds import Past
from protocol.inventory import parse
from protocol.inventory_socket import TOPIC, Addresses, InventoryPublisher
from protocol.messages import encode
from scripts import follow_inventory, publish_vault
from tideline.cli import group

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("miner-guide.md", "inventory.md")


def commands() -> list[list[str]]:
    found = []
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.S):
            found += [shlex.split(line[2:]) for line in block.splitlines() if line.startswith("$ ")]
    return found


def parsed(command: click.Command, words: list[str]) -> None:
    """Parse a command line to its last word, without doing anything."""
    context = command.make_context(command.name, words, resilient_parsing=False)
    if isinstance(command, click.Group) and context._protected_args:
        name, below, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert name is not None and below is not None
        parsed(below, rest)


def test_every_command_can_be_given() -> None:
    scripts = {"scripts/follow_inventory.py": follow_inventory.main, "scripts/publish_vault.py": publish_vault.main}
    ran = []
    for words in commands():
        if words[0] == "tideline":
            parsed(group, words[1:])
        elif words[0] == "python":
            parsed(scripts[words[1]], words[2:])
        else:
            assert words == ["pytest", "test_my_strategy.py"]
        ran.append(words[0])
    assert (ran.count("tideline"), ran.count("python")) == (8, 3)


def test_a_wrong_option_would_be_noticed() -> None:
    with pytest.raises(click.UsageError):
        parsed(group, ["miner", "check", "--no-such-option"])


def test_the_feeds_and_figures_are_those_of_the_code() -> None:
    guide = (DOCS / "miner-guide.md").read_text(encoding="utf-8")
    miner = group.get_command(click.Context(group), "miner")
    assert isinstance(miner, click.Group)
    for option in ("--events", "--external-events", "--external-names", "--rpc", "--exchange", "--tune", "--publish"):
        assert option in guide and any(option in parameter.opts for parameter in miner.params)
    config = MinerConfig()
    assert f"{config.max_decisions} at once" in guide and f"a margin ({config.margin_s:g} s" in guide
    assert "every five minutes" in guide and Past([])._every_s == 300


def test_the_page_says_what_is_on_the_wire() -> None:
    page = (DOCS / "inventory.md").read_text(encoding="utf-8")
    assert f'"{TOPIC.decode()}"' in page
    publisher = InventoryPublisher(Addresses("", ""), "p")
    assert "every 5 s" in page and publisher._heartbeat_s == 5
    for message in (publisher._books.heartbeat(), publisher._books.snapshot()):
        assert f"`{parse(encode(message)).type}`" in page
    publisher.close()


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", (DOCS / page).read_text(encoding="utf-8")):
            assert (DOCS / target).exists(), target
