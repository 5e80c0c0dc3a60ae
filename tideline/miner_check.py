"""Recorded rounds once more, asked of a running miner: the validator's own run, over its own transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from db.job import Job
from miner.backtest import Played, PlayedRound, played_round
from miner.decider import complaint_in
from protocol.errors import ConfigError, RemoteError
from protocol.messages import parse_response
from protocol.signing import Signer, parse_hotkey
from protocol.units import Hotkey
from protocol.wire import HEALTH_PATH
from simulator import records
from simulator.engine import Engine
from simulator.events import Block
from simulator.evidence import Evidence
from simulator.opening import Entrant, RoundOpening
from simulator.recorded import RecordedMarket
from tideline.wiring import code_version
from validator import job_settings
from validator.round_run import RoundRun
from validator.transport import MinerClient, MinerEndpoint

_HEALTH_S = 5.0


@dataclass(frozen=True, slots=True)
class Script:
    """A round as it was: how it opened, what happened, and what those who played it were given."""

    opening: RoundOpening
    blocks: tuple[Block, ...]
    stored: tuple[Played, ...] = ()


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one question: the round's verdict, and what the miner said of itself."""

    checkpoint: int
    block: int
    verdict: str
    detail: str
    elapsed_ms: int
    said: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A round played again: this miner first, then those who played it, with the scores that were stored."""

    round_id: str
    answers: tuple[Answered, ...]
    played: PlayedRound

    @property
    def is_sound(self) -> bool:
        """Whether every answer counted: in time, signed, and within the rules."""
        return all(answer.verdict not in ("timeout", "invalid") for answer in self.answers)


def of_evidence(evidence: Evidence) -> Script:
    """Return the round that evidence tells of. Whether it is genuine, `tideline evidence verify` says."""
    stored = tuple(
        Played(
            label=p["hotkey"],
            outcome=p["outcome"],
            score_e18=None if p["score_e18"] is None else int(p["score_e18"]),
            ledger=p["ledger"],
            is_over_share=p["is_over_share"],
            complaints=(),
        )
        for p in evidence.results["participants"]
    )
    return Script(evidence.opening, evidence.blocks, stored)


async def of_record(job: Job, rounds: int) -> AsyncIterator[Script]:
    """Yield a recorded job's first rounds, as a validator opens them on its record."""
    if job.record is None:
        raise ConfigError(f"job {job.job_id} is not recorded")
    market = RecordedMarket(records.load(job.record))
    length = job_settings.schedule(job, market.info).length_blocks
    for number in range(1, rounds + 1):
        snapshot = await market.open_round(length)
        opening = job_settings.round_opening(
            job,
            market.info,
            snapshot,
            job_settings.vault(job, snapshot, market.vault),
            (),
            round_type="evaluation",
            number=number,
            validator_hotkey=Hotkey(""),
        )
        yield Script(opening, tuple([await market.next_block() for _ in range(length)]))


async def find(host: str, port: int, hotkey: str | None) -> MinerEndpoint:
    """Return a running miner; its hotkey is what it says, unless one is given. Raises ConfigError where none is."""
    if hotkey is not None:
        return MinerEndpoint(parse_hotkey(hotkey), host, port)
    name = f"[{host}]" if ":" in host else host
    try:
        timeout = aiohttp.ClientTimeout(total=_HEALTH_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"http://{name}:{port}{HEALTH_PATH}", allow_redirects=False) as answer,
        ):
            said: Any = await answer.json()
            return MinerEndpoint(parse_hotkey(said["hotkey"]), host, port)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise ConfigError(f"no miner answers at {host}:{port}; start one with: tideline miner --help") from error
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"what answers at {host}:{port} does not say which miner it is; give --hotkey") from error


async def play(script: Script, client: MinerClient, signer: Signer, miner: MinerEndpoint, engine: Engine) -> Checked:
    """Play a round with this one miner. Raises what the round, the transport and the engine raise."""
    before = {entrant.hotkey: entrant for entrant in script.opening.entrants}
    opening = replace(
        script.opening,
        entrants=(before.get(miner.hotkey, Entrant(miner.hotkey, 0, 0)),),
        validator_hotkey=Hotkey(signer.ss58_address),
    )
    run = RoundRun(opening, {miner.hotkey: miner}, code_version(), pool_engine=engine)
    answers = await _ask(run, client)
    for block in script.blocks:
        run.advance(block)
        answers += await _ask(run, client)
    complaints: dict[str, list[str]] = {miner.hotkey: [a.said for a in answers if a.said]}
    played = played_round(opening, run.engine, complaints)
    return Checked(opening.round_id, tuple(answers), _beside(played, f"{miner.host}:{miner.port}", script.stored))


async def _ask(run: RoundRun, client: MinerClient) -> list[Answered]:
    ask = run.engine.pending_ask()
    if ask is None:
        return []
    questions = run.questions(ask)
    exchanges = await client.ask_all(questions, deadline_s=float(run.opening.schedule.deadline_s))
    notes, _ = run.take(ask, questions, exchanges)
    return [
        Answered(
            checkpoint=ask.index,
            block=ask.block_number,
            verdict=str(notes[exchange.hotkey].noted),
            detail=notes[exchange.hotkey].detail,
            elapsed_ms=exchange.elapsed_ms,
            said=_complaint(exchange.response_body),
        )
        for exchange in exchanges
    ]


def _complaint(body: bytes | None) -> str:
    try:
        return "" if body is None else complaint_in(parse_response(body))
    except RemoteError:
        return ""  # the verdict says what is wrong with it


def _beside(played: PlayedRound, label: str, stored: Sequence[Played]) -> PlayedRound:
    [mine] = played.played
    return replace(played, played=(replace(mine, label=label), *stored))


def answers_json(checked: Checked) -> list[Mapping[str, Any]]:
    """Return the verdicts, JSON-ready."""
    return [
        {
            "checkpoint": a.checkpoint,
            "block": a.block,
            "verdict": a.verdict,
            "detail": a.detail,
            "elapsed_ms": a.elapsed_ms,
            "complaint": a.said,
        }
        for a in checked.answers
    ]
