"""An executor in a process of its own that brings one call to its end, or is killed at a chosen point of it.

python executor_process.py RPC DATABASE DEADLINE [POINT] [--send-first | --afresh] [--steps=N]

POINT is "before NAME" or "after NAME"; NAME is a write (planned, simulated, signed, sent, mined, confirmed, reconciled)
or "send", the broadcast itself; "NAME@N" is its Nth time. `--send-first` and `--afresh` are executors without a
defence: one sends what it has not stored, the other forgets which steps of its intent are done.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import Any

from support.counter_chain import CHAIN_ID, COUNTER, SIGNER

from db.store import Store
from db.transaction import Attempt, Purpose, Transaction
from executor.chain import TransactionChain
from executor.fees import FeePolicy
from executor.send_errors import SendVerdict
from executor.steps import Patience
from executor.transactor import Objector, Ordered, Settings, Transactor
from simulator.chain.endpoints import Endpoints
from simulator.recorded import RealClock

SETTINGS = Settings(FeePolicy(max_fee_wei=10**12), Patience(confirmations=3), poll_s=0.02, lease_s=0)
_NAMES = {"plan": "planned", "settled": "mined"}


class Deadly:
    """Ends the process, as a power cut would, at one point."""

    def __init__(self, point: str) -> None:
        self._point, _, times = point.partition("@")
        self._times = int(times or 1)

    def at(self, when: str, name: str) -> None:
        self._times -= self._point == f"{when} {name}"
        if self._times == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class DeadlyStore(Store):
    """Dies before or after a write."""

    deadly: Deadly

    async def _write(self, operation: Any, *arguments: Any, **named: Any) -> Any:
        name = arguments[1] if operation.__name__ == "finished" else operation.__name__
        name = _NAMES.get(name, name)
        self.deadly.at("before", name)
        result = await super()._write(operation, *arguments, **named)
        self.deadly.at("after", name)
        return result


class DeadlyChain(TransactionChain):
    """Dies before or after the broadcast."""

    deadly: Deadly

    async def send(self, attempt: Attempt) -> tuple[SendVerdict, str]:
        self.deadly.at("before", "send")
        answer = await super().send(attempt)
        self.deadly.at("after", "send")
        return answer


class SendsFirst(Transactor):
    """Sends what it has signed, then stores it."""

    async def _sign(self, transaction: Transaction, purpose: Purpose, objects: Objector) -> Transaction:
        add = self._store.add_attempt

        async def send_and_add(execution_id: str, attempt: Attempt, **where: Any) -> Transaction:
            await self._chain.send(attempt)
            return await add(execution_id, attempt, **where)

        self._store.add_attempt = send_and_add  # type: ignore[method-assign]
        return await super()._sign(transaction, purpose, objects)


async def reconciled(transaction: Transaction) -> str:
    return "{}"


async def main(url: str, database: str, deadline: int, point: str, options: list[str]) -> None:
    kind = SendsFirst if "--send-first" in options else Transactor
    steps = next((int(word.removeprefix("--steps=")) for word in options if word.startswith("--steps=")), 1)
    intent = f"e{os.getpid()}" if "--afresh" in options else "e1"
    deadly, nodes = Deadly(point), Endpoints.over_http([url], chain_id=CHAIN_ID)
    store = await DeadlyStore.open(database, create=True)
    chain = DeadlyChain(nodes)
    store.deadly = chain.deadly = deadly
    transactor = await kind.open(store, chain, SIGNER, chain_id=CHAIN_ID, holder=f"{os.getpid()}", settings=SETTINGS)
    await transactor.submit(intent, [Ordered(COUNTER, "0x", deadline)] * steps)
    for transaction in await transactor.unfinished():
        transactor._vouched[transaction.call.execution_id] = transaction.call  # here nobody else writes
        await transactor.run(transaction.call.execution_id, reconciled, now=lambda: int(time.time()), clock=RealClock())
    await store.close()
    await nodes.close()


if __name__ == "__main__":
    rest = [word for word in sys.argv[4:] if not word.startswith("--")]
    flags = [word for word in sys.argv[4:] if word.startswith("--")]
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), rest[0] if rest else "", flags))
