"""`tideline devnet` as an operator meets it."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from simulator import records
from simulator.chain import npm
from simulator.chain.devnet import PlayedBlock
from simulator.chain.node import Node
from simulator.chain.playing import Difference
from simulator.chain.rpc import HttpRpc
from tideline.cli import OPERATOR, run
from tideline.commands.devnet import PROGRESS_S, Progress, devnet

PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class Running:
    """A devnet in a process of its own, what it said first, and the event of its anvil's end."""

    process: asyncio.subprocess.Process
    where: dict[str, Any]
    anvil_ended: asyncio.Event


@asynccontextmanager
async def running_devnet(*arguments: str) -> AsyncIterator[Running]:
    """Run `tideline devnet` until it says where everything is."""
    command = [sys.executable, "-P", "-m", "tideline", "devnet", "--port", "0", "--json", *arguments]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
    where = json.loads(line)
    watch, ended = os.pidfd_open(where["pid"]), asyncio.Event()
    asyncio.get_running_loop().add_reader(watch, ended.set)
    try:
        yield Running(process, where, ended)
    finally:
        asyncio.get_running_loop().remove_reader(watch)
        os.close(watch)
        if process.returncode is None:
            process.kill()
        await process.communicate()


def test_verify_prints_one_object_and_succeeds() -> None:
    result = CliRunner().invoke(devnet, ["verify", "--swaps", "50", "--json"])
    value = json.loads(result.stdout)
    engine = value.pop("engine")
    assert (value, result.exit_code, result.stderr) == ({"swaps": 50, "mismatches": 0}, 0, "")
    assert engine.startswith("anvil ")


def test_verify_says_it_in_words_too() -> None:
    result = CliRunner().invoke(devnet, ["verify", "--record", "wbtc-weth-03", "--swaps", "10"])
    assert result.exit_code == 0
    assert result.stdout.startswith("10 swaps of wbtc-weth-03 on anvil ")
    assert result.stdout.endswith(": every amount, price, tick and liquidity as recorded\n")


def test_a_planted_mismatch_fails(tmp_path: Path) -> None:
    with records.locate("usdc-weth-005") as source:
        lines = gzip.decompress(source.read_bytes()).decode().splitlines()
    at = next(index for index, line in enumerate(lines[50:], start=50) if line.startswith('["S"'))
    row = json.loads(lines[at])
    block, price = row[2], int(row[8])
    row[8] = str(price + 1)
    lines[at] = json.dumps(row)
    path = tmp_path / "planted.jsonl"
    path.write_text("\n".join(lines) + "\n")

    result = CliRunner().invoke(devnet, ["verify", "--record", str(path), "--swaps", "60", "--json"])

    value = json.loads(result.stdout)
    assert (result.exit_code, value["swaps"], value["mismatches"]) == (1, 60, 1)
    first = value["first_mismatch"]
    assert (first["block"], first["field"]) == (block, "sqrt_price_x96")
    assert (first["expected"], first["got"]) == (str(price + 1), str(price))

    result = CliRunner().invoke(devnet, ["verify", "--record", str(path), "--swaps", "60"])
    assert (result.exit_code, "1 events differ" in result.stdout) == (1, True)


async def test_it_plays_in_the_foreground_and_stops_when_told_to() -> None:
    async with running_devnet("--speed", "max") as net:
        assert net.where["rpc"].startswith("http://127.0.0.1:")
        assert net.where["websocket"] == net.where["rpc"].replace("http", "ws")
        opening, node = net.where["opening_block"], Node(HttpRpc(net.where["rpc"]))
        assert opening == records.load("usdc-weth-005").first_block
        async with asyncio.timeout(PATIENCE_S):
            while int(await node.ask("eth_blockNumber"), 16) < opening + 20:
                pass
        await node.close()
        net.process.send_signal(signal.SIGINT)
        _, complaints = await asyncio.wait_for(net.process.communicate(), PATIENCE_S)
        await asyncio.wait_for(net.anvil_ended.wait(), PATIENCE_S)
        assert net.process.returncode == 0
        assert b"0 differ from the record" in complaints


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel does not tell a child of its parent's death")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_no_anvil_outlives_it(number: signal.Signals) -> None:
    async with running_devnet("--block-time", "0.5", "--quiet") as net:
        net.process.send_signal(number)
        await asyncio.wait_for(net.anvil_ended.wait(), PATIENCE_S)
        code = await asyncio.wait_for(net.process.wait(), PATIENCE_S)
        assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)


async def test_an_anvil_killed_under_it_ends_it_with_one_line() -> None:
    async with running_devnet("--block-time", "0.05", "--quiet") as net:
        os.kill(net.where["pid"], signal.SIGKILL)
        _, complaints = await asyncio.wait_for(net.process.communicate(), PATIENCE_S)
        assert (net.process.returncode, complaints) == (1, b"tideline: anvil ended by itself (exit_code=-9)\n")


def test_a_taken_port_costs_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(["devnet", "--port", str(port)]) == OPERATOR
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"tideline: port {port} is in use; choose another, or 0 for any that is free\n")


def test_no_npm_costs_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(npm.importlib.util, "find_spec", lambda name: None)
    assert run(["devnet", "verify"]) == OPERATOR
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("tideline: there is no npm on PATH; install Node.js")
    assert told.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["--speed", "fast"], "speed"), (["--record", "none"], "no record named"), (["--block-time", "0"], "block-time")],
)
def test_what_cannot_be_meant_costs_one_line(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["devnet", *arguments]) == OPERATOR
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n"), word in told.err) == ("", 1, True)


def test_progress_comes_now_and_then_and_the_first_difference_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    progress = Progress(quiet=False, monotonic=lambda: now)
    progress.take(PlayedBlock(5, "0x", 60, (0, 1), ()))
    assert capsys.readouterr().err == ""
    difference = Difference(6, 1, "tick", 7, 8)
    progress.take(PlayedBlock(6, "0x", 72, (0,), (difference, difference)))
    assert "no longer as recorded: block 6, event 1: tick 8 instead of 7" in capsys.readouterr().err
    now = PROGRESS_S
    progress.take(PlayedBlock(7, "0x", 84, (), (difference,)))
    told = capsys.readouterr().err
    assert told == "devnet      block 7  3 swaps played, 3 differ from the record\n"
