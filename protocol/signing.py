"""Hotkey signatures over requests, responses, evidence and intents.

Requests follow btauth/1 of the Bittensor SDK. It leaves responses unsigned, so they are signed here with the same
payload: METHOD is `RESPONSE`, the path ends in the sha256 of the request's body and the nonce is the request's.
A response signature therefore serves one question from one validator and nothing else.

The SDK is imported on first use: loading it takes more than half a second, which `--help` should not cost.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from protocol.errors import ConfigError, RemoteError
from protocol.intent import Intent
from protocol.units import Hotkey
from protocol.wire import ALLOWED_SKEW_S, MAX_AGE_S

HEADER_VERSION = "X-Bittensor-Version"
HEADER_HOTKEY = "X-Bittensor-Hotkey"
HEADER_RECEIVER = "X-Bittensor-Receiver"
HEADER_NONCE = "X-Bittensor-Nonce"
HEADER_CRYPTO = "X-Bittensor-Crypto"
HEADER_SIGNATURE = "X-Bittensor-Signature"

ED25519 = 0
SR25519 = 1
_SCHEMES = {ED25519: "ed25519", SR25519: "sr25519"}
_CRYPTO_TYPES = {name: number for number, name in _SCHEMES.items()}
_CANONICAL = {
    name.lower(): name
    for name in (HEADER_VERSION, HEADER_HOTKEY, HEADER_RECEIVER, HEADER_NONCE, HEADER_CRYPTO, HEADER_SIGNATURE)
}
# In front of a digest, so that one signature never passes for another: no two are alike, none begins as a request
# does, and what a hotkey signs for the chain is either 32 bytes or ends in the hash of a block, not in hex digits.
_EVIDENCE_DOMAIN = "tideline-evidence/1"
_INTENT_DOMAIN = "tideline-intent/1"

# Stricter than the SDK's own parser, which would let int() read a nonce of any script and encode() meet surrogates.
_HOTKEY = re.compile(r"[1-9A-HJ-NP-Za-km-z]{46,48}")
_NONCE = re.compile(r"[1-9][0-9]{0,19}")
_SIGNATURE = re.compile(r"0x[0-9a-f]{128}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Signer(Protocol):
    """A hotkey that can sign: an SDK keypair, a wallet's signer, a remote signing box."""

    @property
    def ss58_address(self) -> str: ...

    @property
    def public_key(self) -> bytes: ...

    @property
    def crypto_type(self) -> int: ...

    def sign(self, payload: bytes) -> bytes: ...


class NonceStore(Protocol):
    """Remembers accepted (hotkey, nonce) pairs; True the first time a pair is seen."""

    def check_and_store(self, hotkey_ss58: str, nonce_ns: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, proven."""

    hotkey: Hotkey
    nonce_ns: int
    crypto_type: int


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature with its scheme, as it travels in headers and lies in evidence (0x and 128 hex digits)."""

    signature: str
    crypto_type: int

    def headers(self) -> dict[str, str]:
        """Return the headers that carry it; the scheme is named only when it is not sr25519."""
        headers = {HEADER_SIGNATURE: self.signature}
        if self.crypto_type != SR25519:
            headers[HEADER_CRYPTO] = _SCHEMES[self.crypto_type]
        return headers

    def to_text(self) -> str:
        """Return it as it lies in the database; `from_text` reads it back."""
        return json.dumps([self.signature, self.crypto_type])

    @classmethod
    def from_text(cls, text: str) -> Signature:
        """Read what `to_text` wrote. Raises RemoteError on anything else."""
        try:
            value: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RemoteError("the stored signature is no JSON") from error
        match value:
            case [str(signature), int(crypto_type)] if _SIGNATURE.fullmatch(signature) and crypto_type in _SCHEMES:
                return cls(signature, crypto_type)
        raise RemoteError("the stored signature is malformed")


def read_auth_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the authentication headers by their canonical names. Raises RemoteError if one comes twice.

    Were a repeated header let through, one reader could check the first and another the last: a stranger could
    pass for a permitted hotkey at the door and prove his own inside.
    """
    found: dict[str, str] = {}
    for name, value in headers.items():
        canonical = _CANONICAL.get(name.lower())
        if canonical is None:
            continue
        if canonical in found:
            raise RemoteError(f"{canonical} is repeated")
        found[canonical] = value
    return found


def read_signature(headers: Mapping[str, str]) -> Signature:
    """Take the signature out of headers. Raises RemoteError if there is no proper one."""
    found = read_auth_headers(headers)
    signature = found.get(HEADER_SIGNATURE)
    if signature is None:
        raise RemoteError("unsigned: no signature header")
    if not _SIGNATURE.fullmatch(signature):
        raise RemoteError("signature header is malformed")
    crypto_type = _CRYPTO_TYPES.get(found.get(HEADER_CRYPTO, _SCHEMES[SR25519]))
    if crypto_type is None:
        raise RemoteError("signature scheme is unknown")
    return Signature(signature, crypto_type)


def read_claimed_hotkey(headers: Mapping[str, str]) -> Hotkey:
    """Return the hotkey a request claims, unproven, from headers of the right shape. Raises RemoteError otherwise."""
    found = read_auth_headers(headers)
    if found.get(HEADER_VERSION) != "1":
        raise RemoteError(f"missing or unsupported {HEADER_VERSION}")
    for name, shape in ((HEADER_HOTKEY, _HOTKEY), (HEADER_RECEIVER, _HOTKEY), (HEADER_NONCE, _NONCE)):
        if not shape.fullmatch(found.get(name, "")):
            raise RemoteError(f"missing or malformed {name}")
    read_signature(found)
    return Hotkey(found[HEADER_HOTKEY])


def sign_request(signer: Signer, *, path: str, body: bytes, receiver: Hotkey, nonce_ns: int) -> dict[str, str]:
    """Return the btauth/1 headers of a POST. A retry needs a fresh nonce."""
    payload = _payload("POST", path, body, nonce_ns, signer.crypto_type, signer.ss58_address, receiver)
    return {
        HEADER_VERSION: "1",
        HEADER_HOTKEY: signer.ss58_address,
        HEADER_RECEIVER: receiver,
        HEADER_NONCE: str(nonce_ns),
        **_sign(signer, payload).headers(),
    }


def verify_request(
    headers: Mapping[str, str],
    body: bytes,
    *,
    path: str,
    self_hotkey: Hotkey,
    nonce_store: NonceStore,
    now_ns: int | None = None,
) -> Caller:
    """Prove who sent a POST, to us, just now and for the first time. Raises RemoteError with the reason otherwise.

    The store is written only once the signature has verified, so strangers cannot fill it.
    """
    from bittensor import http_auth

    read_claimed_hotkey(headers)
    try:
        caller = http_auth.verify(
            read_auth_headers(headers),
            body,
            method="POST",
            path=path,
            self_hotkey_ss58=self_hotkey,
            max_age=MAX_AGE_S,
            allowed_skew=ALLOWED_SKEW_S,
            nonce_store=nonce_store,
            now_ns=now_ns,
        )
    except http_auth.AuthError as error:
        raise RemoteError(str(error)) from error
    return Caller(Hotkey(caller.hotkey_ss58), caller.nonce_ns, caller.crypto_type)


def verify_request_evidence(
    signature: Signature, body: bytes, *, path: str, sender: Hotkey, receiver: Hotkey, nonce_ns: int
) -> None:
    """Check a stored request's signature, whatever its age. Raises RemoteError if it does not hold."""
    _verify(signature, _payload("POST", path, body, nonce_ns, signature.crypto_type, sender, receiver), sender)


def sign_response(
    signer: Signer, *, path: str, request_body: bytes, body: bytes, nonce_ns: int, receiver: Hotkey
) -> dict[str, str]:
    """Return the headers that make `body` this signer's answer to one request of one validator."""
    place = _response_path(path, request_body)
    payload = _payload("RESPONSE", place, body, nonce_ns, signer.crypto_type, signer.ss58_address, receiver)
    return _sign(signer, payload).headers()


def verify_response(
    signature: Signature,
    body: bytes,
    *,
    path: str,
    request_body: bytes,
    nonce_ns: int,
    miner: Hotkey,
    receiver: Hotkey,
) -> None:
    """Check that `body` is the miner's answer to exactly this request. Raises RemoteError if it is not."""
    place = _response_path(path, request_body)
    _verify(signature, _payload("RESPONSE", place, body, nonce_ns, signature.crypto_type, miner, receiver), miner)


def sign_digest(signer: Signer, digest: str) -> Signature:
    """Sign a lowercase hex sha256 as evidence; the domain in front keeps it from meaning anything else."""
    return _sign(signer, _digest_payload(_EVIDENCE_DOMAIN, digest))


def verify_digest(signature: Signature, digest: str, *, signer: Hotkey) -> None:
    """Check an evidence signature. Raises RemoteError if it does not hold."""
    _verify(signature, _digest_payload(_EVIDENCE_DOMAIN, digest), signer)


def sign_intent(signer: Signer, intent: Intent) -> Signature:
    """Sign an intent, to be carried out as it is. Raises ConfigError where it names another validator."""
    if signer.ss58_address != intent.validator:
        raise ConfigError("an intent is signed by the validator that it names", hotkey=signer.ss58_address)
    return _sign(signer, _digest_payload(_INTENT_DOMAIN, intent.digest()))


def verify_intent(signature: Signature, intent: Intent) -> None:
    """Check that the validator that an intent names has signed it. Raises RemoteError if it has not."""
    _verify(signature, _digest_payload(_INTENT_DOMAIN, intent.digest()), intent.validator)


def new_nonce_store(retention_s: float) -> NonceStore:
    """Return a nonce memory for one process. A nonce must outlive the freshness window."""
    from bittensor import http_auth

    if retention_s < MAX_AGE_S + ALLOWED_SKEW_S:
        raise ConfigError(f"nonces must be kept for at least {MAX_AGE_S + ALLOWED_SKEW_S:g} s")
    return http_auth.InMemoryNonceStore(retention_s)


def parse_hotkey(text: str) -> Hotkey:
    """Return a hotkey that an operator typed. Raises ConfigError if it is no ss58 address."""
    from bittensor import sp_core

    try:
        sp_core.ss58_decode(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a hotkey: {error}") from error
    return Hotkey(text)


def keypair_from_uri(uri: str) -> Signer:
    """Return a development key such as `//Alice`. Everybody knows its secret: for offline use only."""
    from bittensor.keyfiles import Keypair

    if not uri.startswith("//"):  # the SDK reads an empty URI as a key everybody knows, a phrase as a real one
        raise ConfigError(f"{uri!r} is not a development key; try //Alice")
    try:
        keypair: Signer = Keypair.create_from_uri(uri)
    except ValueError as error:
        raise ConfigError(f"{uri!r} is not a development key; try //Alice") from error
    return keypair


def load_hotkey(name: str, hotkey: str, path: str, *, password: str | None = None) -> Signer:
    """Return the hotkey of a wallet on disk. Neither the coldkey nor its public half is touched; nobody is prompted."""
    from bittensor import Wallet
    from bittensor.keyfiles import KeyfileError

    keyfile = Wallet(name, hotkey, path).hotkey_file
    try:
        if keyfile.is_encrypted() and not password:
            raise ConfigError("the hotkey is encrypted: set BT_WALLET_PASSWORD or BT_WALLET_PASSWORD_FILE", wallet=name)
        signer: Signer = keyfile.get_keypair(password)
    except FileNotFoundError as error:
        raise ConfigError(
            "there is no such hotkey: set wallet.name, wallet.hotkey and wallet.path to an existing one",
            keyfile=keyfile.path,
        ) from error
    except (OSError, KeyfileError, ValueError) as error:
        raise ConfigError(f"the hotkey cannot be read: {error}", keyfile=keyfile.path) from error
    return signer


def _payload(method: str, path: str, body: bytes, nonce_ns: int, crypto_type: int, sender: str, receiver: str) -> bytes:
    from bittensor import http_auth

    return http_auth.build_payload(
        scheme=_SCHEMES[crypto_type],
        method=method,
        path=path,
        body=body,
        nonce_ns=nonce_ns,
        sender_ss58=sender,
        receiver_ss58=receiver,
    )


def _response_path(path: str, request_body: bytes) -> str:
    return f"{path}/{hashlib.sha256(request_body).hexdigest()}"


def _digest_payload(domain: str, digest: str) -> bytes:
    if not _DIGEST.fullmatch(digest):
        raise ValueError("a digest is 64 lowercase hex digits")
    return f"{domain}\n{digest}".encode("ascii")


def _sign(signer: Signer, payload: bytes) -> Signature:
    if signer.crypto_type not in _SCHEMES:
        raise ConfigError(f"cannot sign with crypto type {signer.crypto_type}; use an sr25519 or ed25519 hotkey")
    signature = bytes(signer.sign(payload))
    if len(signature) != 64:
        raise ConfigError(f"the signer returned {len(signature)} bytes; a plain hotkey signature has 64")
    return Signature("0x" + signature.hex(), signer.crypto_type)


def _verify(signature: Signature, payload: bytes, signer: str) -> None:
    from bittensor import sp_core

    try:
        valid = sp_core.verify(
            payload, bytes.fromhex(signature.signature.removeprefix("0x")), signer, signature.crypto_type
        )
    except ValueError as error:
        raise RemoteError("signature or hotkey is malformed") from error
    if not valid:
        raise RemoteError("signature does not verify")
