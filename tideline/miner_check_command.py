"""What `tideline miner check` does with its arguments: which rounds, and how what became of them is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from db.store import Store
from protocol.errors import ConfigError
from protocol.signing import Signer
from simulator.engine import Engine
from tideline import miner_check
from tideline.backtest_result import print_result, result_json
from tideline.demo import demo_jobs
from tideline.miner_check import Checked, Script
from validator import verification
from validator.transport import MinerClient, check_address
from validator.verification import SignedEvidence


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask, and what where no rounds are named."""

    address: str
    hotkey: str | None
    job_id: str
    rounds: int


def check(
    names: Sequence[str], target: Target, signer: Signer, *, engine: Engine, database_url: str, as_json: bool
) -> int:
    """Replay the rounds, tell of each, and return the exit code."""
    host, port = _address(target.address)
    scripts = _named(names, database_url) if names else _recorded(target)

    async def play() -> list[Checked]:
        miner = await miner_check.find(host, port, target.hotkey)
        checked = []
        async with MinerClient(signer, allow_private=True) as client:
            async for script in scripts:
                checked.append(await miner_check.play(script, client, signer, miner, engine))
                _tell(checked[-1], signer, as_json=as_json)
        return checked

    checked = asyncio.run(play())
    if len(checked) > 1 and not as_json:
        click.echo(f"all {len(checked)} rounds")
        print_result([replace(c.played, played=c.played.played[:1]) for c in checked])
    return 0 if all(c.is_sound for c in checked) else 1


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    number = int(port) if port.isascii() and port.isdecimal() else 0
    problem = check_address(host, number, allow_private=True)
    if problem is not None:
        raise ConfigError(f"--miner {text!r:.80}: {problem}; use IP:PORT, for example 127.0.0.1:8091")
    return host, number


async def _recorded(target: Target) -> AsyncIterator[Script]:
    job = next((job for job in demo_jobs() if job.job_id == target.job_id), None)
    if job is None:
        raise ConfigError(f"--job {target.job_id!r:.80} is none of {', '.join(job.job_id for job in demo_jobs())}")
    async for script in miner_check.of_record(job, target.rounds):
        yield script


async def _named(names: Sequence[str], database_url: str) -> AsyncIterator[Script]:
    for name in names:
        signed = _of_file(Path(name))
        if signed is None:
            async with await Store.open(database_url, create=False) as store:
                signed = await verification.load(store, name)
        yield miner_check.of_evidence(signed.evidence)


def _of_file(path: Path) -> SignedEvidence | None:
    try:
        return SignedEvidence.decode(path.read_bytes()) if path.is_file() else None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def _tell(checked: Checked, signer: Signer, *, as_json: bool) -> None:
    played = checked.played
    mine = played.played[0]
    if as_json:
        value = {"round_id": checked.round_id, **result_json([played]), "answers": miner_check.answers_json(checked)}
        click.echo(json.dumps(value))
        return
    click.echo(f"{checked.round_id}: blocks {played.start_block} to {played.end_block}, {played.swaps} swaps")
    for a in checked.answers:
        why = "; ".join(text for text in (a.detail, a.said) if text)
        click.echo(f"  checkpoint {a.checkpoint} at block {a.block}: {a.verdict} in {a.elapsed_ms} ms  {why}".rstrip())
    if any("HTTP 403" in a.detail for a in checked.answers):
        click.echo(f"  it does not answer {signer.ss58_address}; start it with --allow-validator {signer.ss58_address}")
    score = "no score" if mine.score_e18 is None else f"score {mine.score_e18} (1e-18 of the opening value)"
    click.echo(f"  {mine.outcome}, {score}")
    print_result([played])
