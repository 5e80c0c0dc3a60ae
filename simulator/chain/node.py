"""A development node as its owner uses it: any account's transactions, and blocks when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from protocol.errors import ChainError
from simulator.chain.abi import call_data, read_quantity, read_words
from simulator.chain.rpc import Request, Rpc

_DEADLINE_S = 120.0
_BATCH = 100  # transactions in one request: the node refuses bodies above 2 MB
_MAX_FEE_WEI = 10**13  # far above what full blocks bring the base fee to while a pool is set up
_WEALTH_WEI = 2**200


@dataclass(frozen=True, slots=True)
class Transaction:
    """A call, or a deployment where `to` is None."""

    to: str | None
    data: str
    gas: int
    value: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a transaction."""

    transaction_hash: str
    block_number: int
    is_success: bool
    gas_used: int
    logs: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Mined:
    """A block that was just made, and the receipts in it, by transaction hash."""

    number: int
    block_hash: str
    timestamp: int
    receipts: dict[str, Receipt]


class Node:
    """One node, driven by us alone; others may send it transactions, which go into the blocks that we ask for."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._nonces: dict[str, int] = {}

    async def ask(self, method: str, *params: Any) -> Any:
        """Return what the node answers. Raises ChainError."""
        return await self._rpc.ask(Request(method, params, _as_is), deadline_s=_DEADLINE_S)

    async def control(self, account: str) -> None:
        """Let us send as an account, which has never sent before and can now pay for anything."""
        await self.ask("anvil_impersonateAccount", account)
        await self.ask("anvil_setBalance", account, hex(_WEALTH_WEI))
        self._nonces[account] = 0

    async def send(self, account: str, transactions: Sequence[Transaction]) -> list[str]:
        """Put transactions of a controlled account into the pool, in this order; returns their hashes."""
        hashes: list[str] = []
        for start in range(0, len(transactions), _BATCH):
            requests = []
            for transaction in transactions[start : start + _BATCH]:
                # The node works on a batch's requests at the same time: the order has to be in the nonces.
                requests.append(self._request(account, transaction, self._nonces[account]))
                self._nonces[account] += 1
            hashes += await self._rpc.ask_all(requests, deadline_s=_DEADLINE_S)
        return hashes

    async def mine(self, timestamp: int) -> Mined:
        """Make one block at this time of what the pool holds, and return it."""
        await self.ask("evm_mine", {"timestamp": timestamp})
        block = await self.ask("eth_getBlockByNumber", "latest", False)  # noqa: FBT003 JSON-RPC goes by position
        receipts = await self.ask("eth_getBlockReceipts", block["number"]) if block["transactions"] else []
        mined = Mined(
            read_quantity(block["number"]),
            str(block["hash"]),
            read_quantity(block["timestamp"]),
            {str(receipt["transactionHash"]): _receipt(receipt) for receipt in receipts},
        )
        if mined.timestamp != timestamp:
            raise ChainError(
                f"the node gave block {mined.number} the time {mined.timestamp}, not {timestamp}", retryable=False
            )
        return mined

    async def call(self, to: str, signature: str, *arguments: int) -> list[int]:
        """Return the words that a contract answers at the latest block."""
        return read_words(await self.ask("eth_call", {"to": to, "data": call_data(signature, *arguments)}, "latest"))

    async def call_all(self, to: str, signature: str, arguments: Sequence[int]) -> list[list[int]]:
        """Return the words that a function of one argument answers for each."""
        answers: list[list[int]] = []
        for start in range(0, len(arguments), _BATCH):
            requests = [
                Request("eth_call", ({"to": to, "data": call_data(signature, argument)}, "latest"), read_words)
                for argument in arguments[start : start + _BATCH]
            ]
            answers += await self._rpc.ask_all(requests, deadline_s=_DEADLINE_S)
        return answers

    async def close(self) -> None:
        """Release the connections. Idempotent."""
        await self._rpc.close()

    def _request(self, account: str, transaction: Transaction, nonce: int) -> Request[str]:
        fields = {
            "from": account,
            "nonce": hex(nonce),
            "gas": hex(transaction.gas),
            "value": hex(transaction.value),
            "data": transaction.data,
            "maxFeePerGas": hex(_MAX_FEE_WEI),
            "maxPriorityFeePerGas": "0x0",
        }
        if transaction.to is not None:
            fields["to"] = transaction.to
        return Request("eth_sendTransaction", (fields,), str)


def _as_is(value: Any) -> Any:
    return value


def _receipt(value: dict[str, Any]) -> Receipt:
    return Receipt(
        str(value["transactionHash"]),
        read_quantity(value["blockNumber"]),
        value["status"] == "0x1",
        read_quantity(value["gasUsed"]),
        tuple(value["logs"]),
    )
