"""What networks and providers do to a node's answers, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from support.faulty_proxy import Fault, Response

from simulator.chain.abi import topic

Json = dict[str, Any]


def only(method: str, change: Fault) -> Fault:
    return lambda question, answer: change(question, answer) if question["method"] == method else answer


def result(change: Any) -> Fault:
    return lambda question, answer: {**answer, "result": change(answer["result"])}


def each_log(change: Json) -> Fault:
    return only("eth_getLogs", result(lambda logs: [{**log, **change} for log in logs]))


def latest(change: Any) -> Fault:
    def fault(question: Json, answer: Json) -> Any:
        is_latest = question["method"] == "eth_getBlockByNumber" and question["params"][0] == "latest"
        return {**answer, "result": change(answer["result"])} if is_latest else answer

    return fault


def stale_by_two(question: Json, answer: Json) -> Any:
    """A node that is behind: what it has not got does not exist, and its latest block is an old one."""
    if question["method"] != "eth_getBlockByNumber" or answer["result"] is None:
        return answer
    return {**answer, "result": None}


SILENT = asyncio.Event()  # nobody sets it: a socket that is open and dead

FAULTS: dict[str, Fault] = {
    "half-open socket": lambda q, a: Response(delay=SILENT),
    "cut off": lambda q, a: Response(is_cut=True),
    "no JSON": lambda q, a: Response(b"<html>moved</html>"),
    "half a JSON": lambda q, a: Response(b'{"jsonrpc": "2.0", "id": 1, "resu'),
    "bad gateway": lambda q, a: Response(b"", 502),
    "rate limit, with a time": lambda q, a: Response(b"", 429, {"Retry-After": "3600"}),
    "rate limit, in JSON": lambda q, a: {
        "jsonrpc": "2.0",
        "id": q["id"],
        "error": {"code": 429, "message": "slow down"},
    },
    "the answer to another question": lambda q, a: {**a, "id": a["id"] + 1, "result": []},
    "logs given twice": only("eth_getLogs", result(lambda logs: logs + logs)),
    "logs taken back": each_log({"removed": True, "data": "0x" + "00" * 160}),
    "logs of another block": each_log({"blockHash": "0x" + "ab" * 32, "data": "0x" + "00" * 160}),
    "logs cut short": each_log({"data": "0x00"}),
    "no logs at all": only("eth_getLogs", result(lambda logs: None)),
    "latest far ahead": latest(lambda block: {**block, "number": hex(int(block["number"], 16) + 1000)}),
    "nothing new": stale_by_two,
}


def last_of(kind: str, change: Callable[[Json], list[Json]], *, after: int = 0) -> Fault:
    """Change the last log of a kind in the first block (above a number) that has one."""
    is_done = False

    def fault(question: Json, answer: Json) -> Any:
        nonlocal is_done
        logs = answer.get("result")
        if question["method"] != "eth_getLogs" or is_done:
            return answer
        at = next((i for i in reversed(range(len(logs))) if logs[i]["topics"][0] == topic(kind)), None)
        at = None if at is not None and int(logs[at]["blockNumber"], 16) <= after else at
        if at is None:
            return answer
        is_done = True
        return {**answer, "result": [*logs[:at], *change(logs[at]), *logs[at + 1 :]]}

    return fault


def doubled(log: Json) -> list[Json]:
    """The log, and the same again where the pool has none: next comes a transfer of tokens."""
    return [log, {**log, "logIndex": hex(int(log["logIndex"], 16) + 1)}]
