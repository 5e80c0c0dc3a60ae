"""Records for store tests, with every field that does not matter filled in."""

from __future__ import annotations

from typing import Any

from db.job import Job, validate_job
from db.records import (
    Evidence,
    Execution,
    Prediction,
    Reputation,
    RoundFinish,
    RoundScore,
    RoundStart,
    RoundType,
    WeightSet,
)
from db.store import Store
from protocol.units import Hotkey, JobId, RoundId, Uid

VAULT = "0x52908400098527886E0F7030069857D2E4169EE7"
PAIR = "0xd0b53D9277642d899DF5C87A3966A349A798F224"
DAY = 86_400
CHAIN_TIME = 1_700_000_000  # 2023-11-14 22:13:20 UTC

SETTINGS: dict[str, Any] = {
    "job_id": "weth-usdc",
    "sn_liquidity_manager_address": VAULT,
    "pair_address": PAIR,
    "target": "max_value",
    "quote_token": "token1",
}
OPENING = {
    "amount0": "1000000000000000000",
    "amount1": "5",
    "positions": [{"tick_lower": -200, "tick_upper": 200, "amount0": "7", "amount1": "0"}],
}
RECORDED = {**SETTINGS, "feed": "recorded", "record": "weth-usdc-005", "opening": OPENING}


def make_job(job_id: str = "weth-usdc", **changes: Any) -> Job:
    return validate_job({**SETTINGS, "job_id": job_id, **changes})


def make_start(number: int, job_id: str = "weth-usdc", **changes: Any) -> RoundStart:
    round_type: RoundType = changes.get("round_type", "evaluation")
    values: dict[str, Any] = {
        "round_id": RoundId(f"{job_id}_{round_type}_{number}"),
        "job_id": JobId(job_id),
        "round_number": number,
        "round_type": round_type,
        "mode": "recorded",
        "start_block": 1_000 * number,
        "start_timestamp": CHAIN_TIME,
        "block_hash": "0x" + "ab" * 32,
        "snapshot_digest": "cd" * 32,
        "code_version": "0.1.0",
    }
    return RoundStart(**{**values, **changes})


def make_score(hotkey: str, score_e18: int, **changes: Any) -> RoundScore:
    values: dict[str, Any] = {
        "hotkey": Hotkey(hotkey),
        "uid": Uid(7),
        "outcome": "accepted",
        "scored": True,
        "can_win": True,
        "score_e18": score_e18,
        "registered_at_block": 100,
    }
    return RoundScore(**{**values, **changes})


def make_finish(start: RoundStart, *scores: RoundScore, **changes: Any) -> RoundFinish:
    values: dict[str, Any] = {
        "round_id": start.round_id,
        "end_block": start.start_block + 450,
        "end_timestamp": start.start_timestamp + 900,
        "scores": scores,
        "winner_hotkey": None,
        "evidence": Evidence(opening=b"opening \x00\xff", blocks=b"blocks"),
        "evidence_digest": "ef" * 32,
        "evidence_signature": "0x00",
    }
    return RoundFinish(**{**values, **changes})


def make_prediction(start: RoundStart, checkpoint_index: int, hotkey: str, **changes: Any) -> Prediction:
    values: dict[str, Any] = {
        "round_id": start.round_id,
        "checkpoint_index": checkpoint_index,
        "hotkey": Hotkey(hotkey),
        "uid": Uid(7),
        "outcome": "accepted",
        "detail": "",
        "request_body": b'{"job_id":"weth-usdc"}',
        "response_body": b"\x00\xff{}",
        "request_headers": '{"X-Bittensor-Version":"1"}',
        "nonce_ns": 1_700_000_000_000_000_000,
        "request_signature": "0xaa",
        "response_signature": "0xbb",
        "crypto_type": 1,
        "elapsed_ms": 12,
    }
    return Prediction(**{**values, **changes})


def make_execution(start: RoundStart, checkpoint_index: int = 0, **changes: Any) -> Execution:
    values: dict[str, Any] = {
        "execution_id": f"{start.round_id}_{checkpoint_index}",
        "chain_id": 8453,
        "vault": VAULT,
        "job_id": start.job_id,
        "round_id": start.round_id,
        "checkpoint_index": checkpoint_index,
        "hotkey": Hotkey("alice"),
        "mode": "paper",
        "status": "paper",
        "guard": "allowed",
        "plan": "{}",
        "payload_digest": "11" * 32,
        "effective_block": 1_031,
    }
    return Execution(**{**values, **changes})


def make_weight_set(epoch_index: int, **changes: Any) -> WeightSet:
    values: dict[str, Any] = {
        "netuid": 98,
        "block": 5_000_000,
        "epoch_index": epoch_index,
        "weights": '{"7":1}',
        "included": True,
        "read_back_ok": True,
        "message": "",
    }
    return WeightSet(**{**values, **changes})


def add_up(old: Reputation, score_e18: int, round_type: RoundType) -> Reputation:
    """An advance in which the order of rounds does not matter, so that none can be lost or counted twice unseen."""
    if round_type == "evaluation":
        return Reputation(old.evaluation_e18 + score_e18, old.live_e18)
    return Reputation(old.evaluation_e18, old.live_e18 + score_e18)


async def open_round(store: Store, number: int, job_id: str = "weth-usdc", **changes: Any) -> RoundStart:
    """Start a round, of a job made for it if need be."""
    if await store.get_job(job_id) is None:
        await store.add_job(make_job(job_id))
    start = make_start(number, job_id, **changes)
    await store.start_round(start)
    return start
