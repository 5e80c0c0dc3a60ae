"""An in-memory chain behind the client's own seam: `bittensor.Client("local", substrate=InMemorySubtensor(...))`.

Everything above the transport is the real SDK; below it, instead of a websocket, stand the rules of
`tideline.embedded_chain`. This module is the one place outside the adapters that imports bittensor, and cannot
avoid it: the seam is written in the SDK's value types (`ExtrinsicResult`, `ChainError`, `Balance`), and whoever
implements it has to return and raise exactly those for callers to see the codes that a node would cause.

Differences from a node: blocks advance only when told; an extrinsic is included in the block at the head, at once;
an extrinsic that a node's pool would refuse is refused by dispatch, with the same semantic code; fees are 0.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from bittensor import Balance, ChainError, ErrorCode, ExtrinsicResult
from bittensor.sp_core import verify

from tideline import embedded_chain as rules
from tideline.embedded_chain import Refusal, Subnet, SubnetRules
from tideline.embedded_storage import BLOCK_TIME_MS, NotModelledError, call_runtime, read_item, read_map

HISTORY_KEPT = 4_096
SPEC_VERSION = 425
GENESIS_MS = 1_700_000_000_000


@dataclass(frozen=True, slots=True)
class ComposedCall:
    """A call as the SDK composed it; its three parts are what the SDK's own fee filter looks for."""

    module: str
    function: str
    params: dict[str, Any]

    def payload(self, nonce: int) -> bytes:
        """The bytes that the signer signs: this chain, this nonce, this call."""
        body = ["tideline-embedded", SPEC_VERSION, nonce, self.module, self.function, self.params]
        return json.dumps(body, sort_keys=True, default=_plain).encode()


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed extrinsic: who is said to have signed it, and the proof."""

    call: ComposedCall
    address: str
    crypto_type: int
    nonce: int
    signature: bytes = field(repr=False)


class InMemorySubtensor:
    """One subnet's chain, shared by any number of clients on one event loop."""

    def __init__(self, subnet_rules: SubnetRules, *, start_block: int = 1_000) -> None:
        if start_block < 1:
            raise ValueError("block 0 means 'never' to the chain's own rules")
        self.token_symbols: dict[int, str] = {}
        self._head = start_block
        self._history: list[tuple[int, Subnet]] = [
            (start_block, Subnet(subnet_rules, registered_at=start_block, last_epoch_block=start_block))
        ]
        self._nonces: dict[str, int] = {}
        self._extrinsics = 0
        self._advanced = asyncio.Event()

    # Set-up and time ----------------------------------------------------------

    @property
    def head(self) -> int:
        return self._head

    @property
    def subnet(self) -> Subnet:
        """The state at the head."""
        return self._history[-1][1]

    def advance_to(self, block: int) -> None:
        """Produce blocks up to `block`, running every epoch that falls due on the way."""
        if block < self._head:
            raise ValueError(f"the chain is at block {self._head} and cannot go back to {block}")
        while (due := rules.next_epoch_start_block(self.subnet)) is not None and max(due, self._head + 1) <= block:
            self._head = max(due, self._head + 1)
            self._store(rules.run_epoch(self.subnet, self._head))
            self._extrinsics = 0
        if block > self._head:
            self._head, self._extrinsics = block, 0
        self._advanced.set()
        self._advanced = asyncio.Event()

    def run_epoch(self) -> None:
        """Run an epoch in the block at the head, for set-up: who was just registered gets the permit it deserves."""
        self._store(rules.run_epoch(self.subnet, self._head))

    def trigger_epoch(self, at_block: int) -> None:
        """Schedule an epoch for `at_block`, as a subnet owner may."""
        self._store(replace(self.subnet, pending_epoch_at=at_block))

    def set_tempo(self, tempo: int) -> None:
        """Change the tempo as a subnet owner may: the cycle begins anew at the head."""
        self._store(rules.with_tempo(self.subnet, tempo, self._head))

    def set_rules(self, **changes: Any) -> None:
        """Change other hyperparameters, effective at the head."""
        self._store(replace(self.subnet, rules=replace(self.subnet.rules, **changes)))

    def register(self, hotkey: str, coldkey: str, *, stake: int = 0, uid: int | None = None) -> int:
        """Seat a hotkey without an extrinsic and return its uid; `uid` names the seat whose tenant it replaces."""
        subnet, seated = rules.register(self.subnet, self._head, hotkey=hotkey, coldkey=coldkey, stake=stake, uid=uid)
        self._store(subnet)
        return seated

    def fund(self, coldkey: str, balance_rao: int) -> None:
        """Give a coldkey a free balance."""
        self._store(replace(self.subnet, balances={**self.subnet.balances, coldkey: balance_rao}))

    def _store(self, subnet: Subnet) -> None:
        if self._history[-1][0] == self._head:
            self._history[-1] = (self._head, subnet)
            return
        self._history.append((self._head, subnet))
        del self._history[:-HISTORY_KEPT]

    def _at(self, block_hash: str | None) -> tuple[int, Subnet]:
        block = self._head if block_hash is None else _block_of(block_hash)
        if block > self._head:
            raise ChainError(f"block {block} has not been produced")
        index = bisect_right(self._history, block, key=lambda entry: entry[0]) - 1
        if index < 0:
            raise ChainError(f"State already discarded for block {block}")
        return block, self._history[index][1]

    # Lifecycle ----------------------------------------------------------------

    async def connect(self) -> None:
        """Nothing to open: the chain is here."""

    async def close(self) -> None:
        """Nothing to close: other clients may still be using the chain."""

    def balance(self, rao: int, netuid: int = 0) -> Balance:
        return Balance(int(rao), netuid, self.token_symbols.get(netuid) if netuid else None)

    # Reads --------------------------------------------------------------------

    async def block_hash(self, block: int | None = None) -> str:
        number = self._head if block is None else block
        if not 0 <= number <= self._head:
            raise ChainError(f"block {number} does not exist")
        return _hash_of(number)

    async def block_number(self) -> int:
        return self._head

    async def finalized_block_number(self) -> int:
        return self._head

    async def block_time(self) -> float:
        return BLOCK_TIME_MS / 1000

    async def spec_version(self) -> int:
        return SPEC_VERSION

    async def get_block(self, block_number: int | None = None, block_hash: str | None = None) -> dict[str, Any] | None:
        number = block_number if block_number is not None else self._at(block_hash)[0]
        return {"header": _header(number), "extrinsics": []} if 0 <= number <= self._head else None

    async def query(
        self, module: str, storage_function: str, params: list[Any] | None = None, block_hash: str | None = None
    ) -> Any:
        block, subnet = self._at(block_hash)
        if (module, storage_function) == ("Timestamp", "Now"):
            return GENESIS_MS + block * BLOCK_TIME_MS
        try:
            return read_item(subnet, block, module, storage_function, params or [])
        except NotModelledError as error:
            raise _not_modelled(str(error)) from None

    async def query_map(
        self, module: str, storage_function: str, params: list[Any] | None = None, block_hash: str | None = None
    ) -> list[tuple[Any, Any]]:
        # Token symbols are refused as well: the SDK would write an answer into the user's own cache file.
        try:
            return read_map(self._at(block_hash)[1], module, storage_function, params or [])
        except NotModelledError as error:
            raise _not_modelled(str(error)) from None

    async def map_has_entries(
        self, module: str, storage_function: str, params: list[Any], block_hash: str | None = None
    ) -> bool:
        return bool(await self.query_map(module, storage_function, params, block_hash))

    async def query_batch(
        self, module: str, storage_function: str, param_sets: list[list[Any]], block_hash: str | None = None
    ) -> list[Any]:
        return [await self.query(module, storage_function, params, block_hash) for params in param_sets]

    async def runtime_call(self, api: str, method: str, params: list[Any], block_hash: str | None = None) -> Any:
        block, subnet = self._at(block_hash)
        try:
            return call_runtime(subnet, block, api, method, params)
        except NotModelledError as error:
            raise _not_modelled(str(error)) from None

    async def constant(self, module: str, name: str) -> Any:
        if (module, name) == ("Aura", "SlotDuration"):
            return BLOCK_TIME_MS
        raise _not_modelled(f"{module}.{name}")

    async def blocks(self, *, finalized: bool = False) -> AsyncIterator[dict[str, Any]]:
        """Yield the head, then every block produced after it, in order and without gaps."""
        del finalized  # there is no other branch: the head is final
        number = self._head
        while True:
            while number <= self._head:
                yield {"header": _header(number)}
                number += 1
            await self._advanced.wait()

    async def events(self, block_hash: str | None = None) -> list[dict[str, Any]]:
        del block_hash
        return []

    async def decode_scale(self, type_string: str, data: Any) -> Any:
        del data
        raise _not_modelled(f"SCALE type {type_string}")

    # Writes -------------------------------------------------------------------

    async def compose(self, call: Sequence[Any]) -> ComposedCall:
        module, function, params = call
        return ComposedCall(module, function, dict(params))

    async def estimate_fee(self, call: Any, keypair: Any) -> Balance:
        del call, keypair
        return Balance.from_rao(0)

    async def estimate_weight(self, call: Any, keypair: Any) -> dict[str, int]:
        del call, keypair
        return {"ref_time": 0, "proof_size": 0}

    async def account_next_index(self, address: str) -> int:
        return self._nonces.get(address, 0)

    async def submit(
        self,
        call: ComposedCall,
        keypair: Any,
        *,
        nonce: int | None = None,
        period: int | None = None,
        wait_for_inclusion: bool = True,
        wait_for_finalization: bool = True,
    ) -> ExtrinsicResult:
        """Sign with the caller's key, then hand in the result like any stranger's extrinsic."""
        del period
        nonce = self._nonces.get(keypair.ss58_address, 0) if nonce is None else nonce
        signature = keypair.sign(call.payload(nonce))
        if inspect.isawaitable(signature):
            signature = await signature
        signed = Signed(call, keypair.ss58_address, keypair.crypto_type, nonce, bytes(signature))
        return await self.submit_signed(
            signed,
            keypair,
            wait_for_inclusion=wait_for_inclusion,
            wait_for_finalization=wait_for_finalization,
        )

    async def submit_signed(
        self,
        extrinsic: Signed,
        keypair: Any,
        *,
        wait_for_inclusion: bool = True,
        wait_for_finalization: bool = True,
    ) -> ExtrinsicResult:
        """Include a signed extrinsic in the block at the head if its signature is its sender's."""
        del keypair, wait_for_inclusion, wait_for_finalization  # inclusion is at once, and final
        call, address, expected = extrinsic.call, extrinsic.address, self._nonces.get(extrinsic.address, 0)
        if extrinsic.nonce != expected:
            if extrinsic.nonce < expected:
                return _rejected("Transaction is outdated", "Stale")
            return _rejected("Transaction will be valid in the future", "Future")
        if not verify(call.payload(extrinsic.nonce), extrinsic.signature, address, extrinsic.crypto_type):
            return _rejected("Transaction has a bad signature", "BadProof")
        self._nonces[address] = expected + 1
        block_hash, extrinsic_id = _hash_of(self._head), f"{self._head}-{self._extrinsics:04d}"
        self._extrinsics += 1
        try:
            self._store(self._dispatch(call, address))
        except Refusal as refusal:
            return _failed(refusal.name, block_hash=block_hash, extrinsic_id=extrinsic_id)
        fee = Balance.from_rao(0)
        return ExtrinsicResult(
            success=True, message="Success", block_hash=block_hash, extrinsic_id=extrinsic_id, fee=fee
        )

    def _dispatch(self, call: ComposedCall, signer: str) -> Subnet:
        if call.module != "SubtensorModule":
            raise Refusal("CallFiltered")
        subnet, params = self.subnet, dict(call.params)
        if params.pop("netuid", None) != subnet.rules.netuid:
            raise Refusal("SubnetNotExists")
        match call.function:
            case "burned_register":
                return rules.burned_register(subnet, self._head, signer=signer, hotkey=params["hotkey"])
            case "serve_axon":
                fields = {key: params[key] for key in ("version", "ip", "port", "ip_type", "protocol")}
                return rules.serve_axon(subnet, self._head, signer=signer, **fields)
            case "set_mechanism_weights":
                dests, values = tuple(params.pop("dests")), tuple(params.pop("weights"))
                return rules.set_weights(subnet, self._head, signer=signer, dests=dests, values=values, **params)
            case "commit_timelocked_mechanism_weights":
                fields = {key: params[key] for key in ("mecid", "commit", "reveal_round")}
                return rules.commit_weights(subnet, self._head, signer=signer, **fields)
        raise Refusal("CallFiltered")

    # The rest of the seam: nothing that a validator or a miner of this subnet uses ---------------

    async def mev_next_key(self) -> bytes | None:
        return None

    async def sign_extrinsic(self, call: Any, keypair: Any, *, nonce: int, period: int) -> tuple[bytes, str]:
        del call, keypair, nonce, period
        raise _not_modelled("shielded extrinsics")

    async def find_extrinsic(self, extrinsic_hash: str, block_hash: str) -> ExtrinsicResult | None:
        del extrinsic_hash, block_hash
        raise _not_modelled("shielded extrinsics")

    async def prepare(self, call: Any, **options: Any) -> NoReturn:
        del call, options
        raise _not_modelled("signing out of process")

    async def submit_signature(self, unsigned: Any, signature: Any, **options: Any) -> NoReturn:
        del unsigned, signature, options
        raise _not_modelled("signing out of process")

    def multisig_account(self, signatories: list[str], threshold: int) -> NoReturn:
        del signatories, threshold
        raise _not_modelled("multisig accounts")

    async def submit_multisig(self, call: Any, keypair: Any, multisig_account: Any, **options: Any) -> NoReturn:
        del call, keypair, multisig_account, options
        raise _not_modelled("multisig accounts")


def _not_modelled(what: str) -> ChainError:
    return ChainError(f"the embedded chain does not model {what}", code=ErrorCode.NOT_FOUND)


def _failed(name: str, *, block_hash: str, extrinsic_id: str) -> ExtrinsicResult:
    """Included, and refused by the call itself."""
    error = ChainError(name, name)
    return ExtrinsicResult(success=False, message=name, block_hash=block_hash, extrinsic_id=extrinsic_id, error=error)


def _rejected(message: str, name: str) -> ExtrinsicResult:
    """Refused before inclusion."""
    return ExtrinsicResult(success=False, message=message, error=ChainError(message, name))


def _hash_of(block: int) -> str:
    # The number is part of the hash, so that a hash finds its block without an index.
    return f"0x{block:016x}{hashlib.sha256(f'tideline-embedded/{block}'.encode()).hexdigest()[:48]}"


def _block_of(block_hash: str) -> int:
    try:
        block = int(block_hash[2:18], 16)
    except ValueError:
        raise ChainError(f"{block_hash} is not a block hash") from None
    if _hash_of(block) != block_hash:
        raise ChainError(f"no block has the hash {block_hash}")
    return block


def _header(block: int) -> dict[str, Any]:
    return {"number": block, "hash": _hash_of(block), "parentHash": _hash_of(max(block - 1, 0))}


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"a call parameter of type {type(value).__name__} cannot be signed")
