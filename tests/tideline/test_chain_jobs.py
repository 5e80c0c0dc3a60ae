"""`tideline validator` on a chain, as an operator runs it: devnet, miners and validator are processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.processes import TIDELINE, Background, environment, miner, start, tideline

from db.store import Store
from protocol.errors import ConfigError
from protocol.signing import keypair_from_uri
from tideline.chains import ChainAccess, chain_accesses
from tideline.demo import demo_jobs
from tideline.markets import open_market
from validator.verification import check, load

ALICE, BOB, CHARLIE = (keypair_from_uri(uri).ss58_address for uri in ("//Alice", "//Bob", "//Charlie"))
DB = ("--db", "sqlite:///jobs.sqlite3")
MANAGER = "0x" + "0c" * 20


@contextlib.contextmanager
def devnet(folder: Path, *options: str) -> Iterator[dict[str, Any]]:
    """Run `tideline devnet` for the length of the block; yield where everything is."""
    command = [*TIDELINE, "devnet", "--json", "--quiet", *options]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def add_job(folder: Path, where: dict[str, Any]) -> None:
    job = demo_jobs()[0].to_mapping()
    options = {
        "--vault": job["sn_liquidity_manager_address"],
        "--pair": where["pool"],
        "--chain-id": str(where["chain_id"]),
        "--target": job["target"],
        "--quote-token": job["quote_token"],
        "--round-duration-seconds": "360",
        "--checkpoint-interval-blocks": "10",
        "--miner-deadline-seconds": "24",
        "--opening": json.dumps(job["opening"]),
    }
    done = tideline(folder, "jobs", "add", "mine", *(part for pair in options.items() for part in pair), *DB)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def named_miners(tmp_path: Path) -> Iterator[list[str]]:
    band = ("--strategy", "band", "--set", "half_width=8", "--set", "edge=2")
    with (
        miner(tmp_path, "//Bob", ALICE, "--strategy", "hold") as (_, bob),
        miner(tmp_path, "//Charlie", ALICE, *band) as (_, charlie),
    ):
        yield ["--miner", f"{BOB}@{bob}", "--miner", f"{CHARLIE}@{charlie}"]


def validate(folder: Path, *options: str, **env: str) -> Background:
    common = ("--dev-key", "//Alice", "--allow-private", "--block-time", "31337=12")
    return start(folder, "validator", *common, *options, *DB, env=env)


async def recomputed(folder: Path) -> list[tuple[str, str, int]]:
    """Return the rounds, oldest first; each that was scored has been recomputed from its evidence."""
    async with await Store.open(f"sqlite:///{folder}/jobs.sqlite3", create=False) as store:
        rounds = list(reversed(await store.round_history("mine")))
        for row in rounds:
            if row.status == "completed":
                assert {p.hotkey for p in check(await load(store, row.round_id)).participants} == {BOB, CHARLIE}
        return [(row.round_id, row.status, row.start_block) for row in rounds]


def test_a_chain_named_by_url_is_played_at_its_head_and_may_die_and_come_back(
    tmp_path: Path, named_miners: list[str], free_port: int
) -> None:
    options = ("--port", str(free_port), "--block-time", "0.05")
    url = f"http://127.0.0.1:{free_port}"
    with contextlib.ExitStack() as stack:
        with devnet(tmp_path, *options) as where:
            add_job(tmp_path, where)
            rpcs = {"TIDELINE_RPC": f"31337={url} 31337={url}/"}
            wanted = ("--rounds", "2", "--rpc-quorum", "2")
            validator = stack.enter_context(validate(tmp_path, *named_miners, *wanted, **rpcs))
            validator.until("evaluation round 1 of")
            validator.until("evaluation round 2 opens")
            os.killpg(where["pid"], signal.SIGKILL)
            validator.until("is inconclusive, nobody is scored: no endpoint answers")
        stack.enter_context(devnet(tmp_path, *options))
        assert validator.end() == 0, validator.lines
    rounds = asyncio.run(recomputed(tmp_path))
    assert [status for _, status, _ in rounds] == ["completed", "inconclusive", "completed"]
    assert rounds[0][2] > where["opening_block"], "the chain had gone on while the validator started"


async def test_a_chain_that_nobody_named_is_the_operators_to_name() -> None:
    job = replace(demo_jobs()[0], feed="chain", record=None, chain_id=8453)
    with pytest.raises(ConfigError, match="is on chain 8453, of which no node is known; give --rpc 8453=URL"):
        await open_market(job, None, None, {1: ChainAccess(("http://x",), 1, 12, None)})


def test_access_to_chains_is_put_together_from_options() -> None:
    rpcs = ["8453=https://a", "1=https://e", "8453=https://b", "8453=wss://c", "8453=https://a", "5=http://x:1/k"]
    assert chain_accesses(rpcs, None, ["5=3"], [f"5={MANAGER}"]) == {
        8453: ChainAccess(("https://a", "https://b", "wss://c"), 2, 2, "0x03a520b32C04BF3bEEf7BEb72E919cf822Ed34f1"),
        1: ChainAccess(("https://e",), 1, 12, "0xC36442b4a4522E871399CD717aBDD847Ab11FE88"),
        5: ChainAccess(("http://x:1/k",), 1, 3, MANAGER),
    }
    assert chain_accesses(["5=http://x"], 1, ["5=3"], [])[5].manager is None


@pytest.mark.parametrize(
    ("rpcs", "quorum", "block_times", "managers", "says"),
    [
        (["https://a"], None, [], [], "--rpc wants CHAIN_ID=VALUE"),
        (["8453="], None, [], [], "--rpc wants CHAIN_ID=VALUE"),
        (["-1=https://a"], None, [], [], "--rpc wants CHAIN_ID=VALUE"),
        (["8453=ftp://SECRET"], None, [], [], "--rpc of chain 8453 wants a URL of http, https, ws or wss"),
        (["8453=https://"], None, [], [], "--rpc of chain 8453 wants a URL of http, https, ws or wss"),
        (["8453=https://a:x"], None, [], [], "--rpc of chain 8453 wants a URL of http, https, ws or wss"),
        (["8453=https://a", "8453=https://a"], 2, [], [], "--rpc-quorum 2 needs as many nodes of chain 8453"),
        (["5=https://a"], None, [], [], "the block time of chain 5 is not known; give --block-time 5=SECONDS"),
        (["5=https://a"], None, ["5=0"], [], "--block-time of chain 5 wants whole seconds"),
        (["5=https://a"], None, ["5=0.5"], [], "--block-time of chain 5 wants whole seconds"),
        (["8453=https://a"], None, [], ["8453=0x12"], "--position-manager of chain 8453 wants an address"),
    ],
)
def test_bad_access_is_said_in_one_line_without_the_url(
    rpcs: list[str], quorum: int | None, block_times: list[str], managers: list[str], says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        chain_accesses(rpcs, quorum, block_times, managers)
    assert "SECRET" not in str(caught.value) and "\n" not in str(caught.value)
