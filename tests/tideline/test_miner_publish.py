"""A running miner publishes what it is shown, a follower elsewhere computes the hedge, and answers come first."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from pydantic import ValidationError
from support.doors import client, hotkey
from support.inventories import held, inventory
from support.processes import environment, start
from support.queries import Shape, make_query, shapes, shown

from miner.inventory import inventory_of
from miner.strategy import owned
from protocol.inventory import Books, Following
from protocol.inventory_socket import Addresses, follow
from protocol.messages import RebalanceQuery
from scripts import follow_inventory
from simulator.hedge import token0_to_short
from tideline.cli import run
from validator.transport import ExchangeStatus, MinerEndpoint

SCRIPT = Path(__file__).parents[2] / "scripts" / "follow_inventory.py"
PUBLISH = ("--publish", "tcp://127.0.0.1:*", "tcp://127.0.0.1:*")
VALIDATOR = hotkey("Validator")


def question(seconds: int = 0, *, live: bool = True, idle0: int = 10**19) -> RebalanceQuery:
    shape = Shape(timestamp=1_700_000_000 + seconds, idle0=idle0, positions=(shown(-196_800, -195_600, 10**17, 10**8),))
    return make_query(shape).model_copy(update={"round_type": "live" if live else "evaluation"})


def test_an_inventory_is_all_that_a_question_shows() -> None:
    query = question()
    told = inventory_of(query, VALIDATOR)
    assert told.total == owned(query)
    assert (told.kind, told.place.block_number, told.pair_address) == ("live", query.block_number, query.pair_address)
    assert inventory_of(question(live=False), VALIDATOR).book != told.book
    assert inventory_of(query, hotkey("Other")).book != told.book


def test_the_longest_names_make_a_book() -> None:
    query = question().model_copy(update={"job_id": "j" * 128, "chain_id": 2**53 - 1})
    assert len(inventory_of(query, VALIDATOR).book) <= 256


@given(shapes(), shapes())
def test_whatever_is_shown_can_be_told_or_is_refused_by_its_size_alone(first: Shape, second: Shape) -> None:
    """An answer must not be lost to what is published of its question."""
    books = Books("p", most=9)
    for shape in (first, second):
        told = inventory_of(make_query(shape), VALIDATOR)
        try:
            books.tell(told)
        except ValidationError:
            assert max(*told.total, *inventory_of(make_query(first), VALIDATOR).total) >= 2**256 - 1


@contextlib.contextmanager
def publishing_miner(folder: Path) -> Iterator[tuple[MinerEndpoint, Addresses]]:
    command = ("miner", "--dev-key", "//Honest", "--allow-validator", VALIDATOR, "--port", "0", "--strategy", "hold")
    with start(folder, *command, *PUBLISH) as process:
        told = process.until("publishing the inventory at ").split("inventory at ")[1]
        updates, snapshots = told.strip().split(", snapshots at ")
        host, _, port = process.until("listening on ").split("listening on ")[1].split()[0].rpartition(":")
        yield MinerEndpoint(hotkey("Honest"), host, int(port)), Addresses(updates, snapshots)


async def test_what_a_miner_is_shown_is_followed_and_hedged_elsewhere(tmp_path: Path) -> None:
    with publishing_miner(tmp_path) as (endpoint, addresses):
        async with client() as miners:
            for query in (question(), question(live=False), question(300, idle0=7 * 10**18)):
                assert (await miners.ask(endpoint, query, deadline_s=20)).status is ExchangeStatus.ANSWERED
        known = await anext(follow(addresses))
        live = inventory_of(question(300, idle0=7 * 10**18), VALIDATOR)
        assert known.books == {
            live.book: live,
            inventory_of(question(), VALIDATOR).book.replace("/live", "/evaluation"): inventory_of(
                question(live=False), VALIDATOR
            ),
        }
        line = await asyncio.to_thread(first_line_of_the_example, addresses)
    assert Decimal(line["short"]).scaleb(18) == Decimal(line["change"]).scaleb(18) == token0_to_short(live)
    assert line["token0"] == live.token0.address


def first_line_of_the_example(addresses: Addresses) -> dict[str, str]:
    """Run the example as it is documented until it says something."""
    command = [sys.executable, str(SCRIPT), "--updates", addresses.updates, "--snapshots", addresses.snapshots]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=SCRIPT.parents[1], env=environment(PYTHONPATH=".")
    ) as process:
        assert process.stdout is not None
        line: dict[str, str] = json.loads(process.stdout.readline())
        process.kill()
    return line


def test_the_hedge_follows_what_moves_enough_and_forgets_no_book() -> None:
    known = Following(needs_snapshot=False, sequence=1, held={"a": inventory("a", idle0=100), "b": paper(10**6)})
    key = (8453, inventory().token0.address, 18)
    told, short = follow_inventory.lines(known, ("live",), {}, Decimal("0.1"))
    assert short == {key: 100} and json.loads(told[0])["change"] == "0.000000000000000100"
    known.held["a"] = inventory("a", idle0=105)
    assert follow_inventory.lines(known, ("live",), short, Decimal("0.1")) == ([], short)
    known.held["c"] = inventory("c", idle0=45)
    told, short = follow_inventory.lines(known, ("live",), short, Decimal("0.1"))
    assert short == {key: 150} and json.loads(told[0])["change"] == "0.000000000000000050"
    huge = Following(needs_snapshot=False, held={"a": inventory("a", idle0=2**255)})
    told, _ = follow_inventory.lines(huge, ("live",), {}, Decimal(0))
    assert int(json.loads(told[0])["short"].replace(".", "")) == 2**255, "no digit is lost"
    del known.held["a"], known.held["c"]
    told, short = follow_inventory.lines(known, ("live",), short, Decimal("0.1"))
    assert short == {key: 0} and json.loads(told[0])["change"] == "-0.000000000000000150"


def paper(idle0: int) -> object:
    return inventory("b", held(0), idle0=idle0, kind="evaluation")


def test_without_the_option_zmq_is_not_even_loaded(tmp_path: Path) -> None:
    code = "import sys; from tideline.miner_serving import serve; assert 'zmq' not in sys.modules"
    subprocess.run([sys.executable, "-P", "-c", code], check=True, cwd=tmp_path, env=environment())


def test_an_address_that_cannot_be_had_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["miner", "--dev-key", "//Bob", "--allow-validator", VALIDATOR, "--port", "0"]
    assert run([*command, "--publish", "nonsense", "tcp://127.0.0.1:*"]) == 2
    assert "cannot publish at nonsense" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "protocol.inventory_socket", None)
    assert run([*command, *PUBLISH]) == 2
    assert "--publish needs pyzmq; install it with: uv sync --inexact --extra publish" in capsys.readouterr().err
