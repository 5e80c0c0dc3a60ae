"""What the executor asks of a chain about its own transactions; by quorum where there is one: money depends on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from db.transaction import Attempt, Call, Receipt
from executor.send_errors import SendVerdict, classify
from executor.steps import Patience, Sight
from protocol.errors import ChainError
from simulator.chain.abi import keccak256, read_quantity, read_words, selector, words
from simulator.chain.rpc import BadAnswer, Refused, Request

T = TypeVar("T")

_HASHES_ONLY = False  # of a block's transactions
_GAS_PRICE_ORACLE = "0x420000000000000000000000000000000000000f"  # what rollups of the OP stack put there
_L1_FEE = "getL1Fee(bytes)"
# Of several nodes' verdicts the first of these counts: what one has taken is taken, and only all can refuse for good.
_BEST_FIRST = (
    SendVerdict.ACCEPTED,
    SendVerdict.BUMP,
    SendVerdict.NONCE,
    SendVerdict.FUNDS,
    SendVerdict.UNKNOWN,
    SendVerdict.FATAL,
)
_ENVELOPE_BYTES = 160  # of a transaction beside its data, signature included; as random as a signature


@dataclass(frozen=True, slots=True)
class Prices:
    """What gas costs now, in wei: the latest block's base fee, and the tip that a node suggests."""

    base_fee_wei: int
    tip_wei: int


@dataclass(frozen=True, slots=True)
class Simulated:
    """A call that a node carried out at a block."""

    block_number: int
    gas: int


@dataclass(frozen=True, slots=True)
class Reverted:
    """A call that would fail, in the node's words."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Head:
    number: int
    timestamp: int
    base_fee_wei: int


class Nodes(Protocol):
    """The nodes of a chain: what one or a quorum says, and what each says to the same."""

    async def ask(self, request: Request[T], *, deadline_s: float) -> T:
        """Return the answer of one, or of a quorum where the request is decisive."""

    async def ask_each(self, request: Request[T], *, deadline_s: float) -> list[T | ChainError]:
        """Return what every one answers, at least one answer. Raises a retryable ChainError where none may be asked."""


class TransactionChain:
    """One chain behind its nodes; every call ends within the deadline or raises a retryable ChainError."""

    def __init__(self, rpc: Nodes, *, deadline_s: float = 10.0) -> None:
        self._rpc = rpc
        self._deadline_s = deadline_s

    async def see(self, sender: str, attempts: Sequence[Attempt], patience: Patience) -> Sight:
        """Return the chain as far as these attempts are concerned, all of it below one head."""
        head = await self._head()
        deep = max(head.number - patience.confirmations + 1, 0)
        settled_block = deep
        if patience.settled != "latest":
            settled_block = min(deep, await self._tagged(patience.settled))
        # By depth alone: few nodes still have the state of a block that is final on a rollup.
        settled = await self._ask("eth_getTransactionCount", sender, hex(deep), read=read_quantity)
        receipts, pending = {}, set()
        for attempt in attempts:
            receipt = await self._ask("eth_getTransactionReceipt", attempt.tx_hash, read=_read_receipt)
            if receipt is not None and await self._is_canonical(receipt):
                receipts[attempt.tx_hash] = receipt
            elif await self._ask_one("eth_getTransactionByHash", attempt.tx_hash, read=_read_presence):
                pending.add(attempt.tx_hash)
        return Sight(head.number, head.timestamp, settled_block, settled, receipts, frozenset(pending))

    async def prices(self) -> Prices:
        """Return what gas costs at the head."""
        head = await self._head()
        tip = await self._ask_one("eth_maxPriorityFeePerGas", read=read_quantity)
        return Prices(head.base_fee_wei, tip)

    async def nonce(self, sender: str, *, block: str = "latest") -> int:
        """Return how many transactions of an address the head has seen; with `pending`, those on their way as well, as
        far as one node knows.
        """
        ask = self._ask_one if block == "pending" else self._ask
        found: int = await ask("eth_getTransactionCount", sender, block, read=read_quantity)
        return found

    async def balance(self, account: str) -> int:
        """Return what an account can pay for gas with, in wei."""
        found: int = await self._ask("eth_getBalance", account, "latest", read=read_quantity)
        return found

    async def data_fee(self, data: str) -> int:
        """Return what a rollup asks, in wei, for writing a transaction with this call data to its base chain; 0 on a
        chain that is none. What surrounds the data is taken as incompressible: never less than the real one.
        """
        envelope = b"".join(keccak256(bytes([n])) for n in range(_ENVELOPE_BYTES // 32))
        content = envelope + bytes.fromhex(data.removeprefix("0x"))
        padded = content.ljust(-(-len(content) // 32) * 32, b"\0")
        form = {"to": _GAS_PRICE_ORACLE, "data": "0x" + (selector(_L1_FEE) + words(32, len(content)) + padded).hex()}
        try:
            answer: list[int] = await self._ask("eth_call", form, "latest", read=read_words)
        except Refused as refusal:
            raise ChainError(
                f"the fee for the base chain cannot be read: {refusal.message}", retryable=True
            ) from refusal
        return answer[0] if answer else 0  # nothing answers where there is no such contract

    async def simulate(self, call: Call) -> Simulated | Reverted:
        """Carry a call out at the head, on a node and nowhere else."""
        head = await self._head()
        form = {"from": call.sender, "data": call.data} | ({"to": call.to} if call.to else {})
        try:
            await self._ask("eth_call", form, hex(head.number), read=_read_text)
            gas = await self._ask_one("eth_estimateGas", form, hex(head.number), read=read_quantity)
        except Refused as refusal:
            return Reverted(refusal.message)
        return Simulated(head.number, gas)

    async def send(self, attempt: Attempt) -> tuple[SendVerdict, str]:
        """Give an attempt's bytes to all nodes at once; return what became of it, and the words of a refusal.

        One node that takes them is enough, and they are refused for good only where every node says so. The answer of
        a node that took them and was cut off is unknown, not failed.
        """
        request = Request("eth_sendRawTransaction", (attempt.signed_bytes,), _read_text)
        answers = await self._rpc.ask_each(request, deadline_s=self._deadline_s)
        verdicts = [_verdict(answer, attempt) for answer in answers]
        return min(verdicts, key=lambda verdict: _BEST_FIRST.index(verdict[0]))

    async def _head(self) -> _Head:
        head: _Head = await self._ask("eth_getBlockByNumber", "latest", _HASHES_ONLY, read=_read_head)
        return head

    async def _is_canonical(self, receipt: Receipt) -> bool:
        """Whether the receipt's block still is the block of its number: a node may answer from a branch it has left."""
        found = await self._ask("eth_getBlockByNumber", hex(receipt.block_number), _HASHES_ONLY, read=_read_hash)
        return bool(found == receipt.block_hash)

    async def _tagged(self, tag: str) -> int:
        """Return the number of the block that the chain calls `safe` or `finalized`; 0 where it calls none so."""
        number: int = await self._ask("eth_getBlockByNumber", tag, _HASHES_ONLY, read=_read_number)
        return number

    async def _ask(self, method: str, *params: Any, read: Any) -> Any:
        return await self._rpc.ask(Request(method, params, read, is_decisive=True), deadline_s=self._deadline_s)

    async def _ask_one(self, method: str, *params: Any, read: Any) -> Any:
        """Ask what is one node's own opinion, on which no two need agree."""
        return await self._rpc.ask(Request(method, params, read), deadline_s=self._deadline_s)


def _verdict(answer: Any, attempt: Attempt) -> tuple[SendVerdict, str]:
    """Return what one node's answer to a broadcast means."""
    match answer:
        case Refused():
            return classify(answer.message), answer.message
        case ChainError():
            return SendVerdict.UNKNOWN, answer.message
        case attempt.tx_hash:
            return SendVerdict.ACCEPTED, ""
        case _:
            return SendVerdict.UNKNOWN, f"the node calls it {answer}"


def _read_number(value: Any) -> int:
    if value is None:
        return 0
    if not isinstance(value, dict):
        raise BadAnswer("a block that is not an object")
    return read_quantity(value.get("number"))


def _read_head(value: Any) -> _Head:
    try:
        fields = (read_quantity(value[name]) for name in ("number", "timestamp", "baseFeePerGas"))
        return _Head(*fields)
    except (KeyError, TypeError) as error:
        raise BadAnswer("the latest block is malformed") from error


def _read_hash(value: Any) -> str | None:
    return None if value is None else _read_text(value.get("hash") if isinstance(value, dict) else None)


def _read_text(value: Any) -> str:
    if not isinstance(value, str):
        raise BadAnswer(f"{value!r:.80} is no text")
    return value


def _read_presence(value: Any) -> bool:
    return value is not None


def _read_receipt(value: Any) -> Receipt | None:
    if value is None:
        return None
    try:
        gas = read_quantity(value["gasUsed"])
        l1_fee = read_quantity(value["l1Fee"]) if value.get("l1Fee") is not None else 0
        return Receipt(
            tx_hash=_read_text(value["transactionHash"]),
            block_number=read_quantity(value["blockNumber"]),
            block_hash=_read_text(value["blockHash"]),
            succeeded=read_quantity(value["status"]) == 1,
            gas_used=gas,
            fee_wei=gas * read_quantity(value["effectiveGasPrice"]) + l1_fee,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise BadAnswer("the receipt is malformed") from error
