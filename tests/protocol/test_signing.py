import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from multidict import CIMultiDict

from protocol.errors import ConfigError, RemoteError
from protocol.intent import Intent
from protocol.signing import (
    ED25519,
    HEADER_CRYPTO,
    HEADER_HOTKEY,
    HEADER_NONCE,
    HEADER_RECEIVER,
    HEADER_SIGNATURE,
    HEADER_VERSION,
    SR25519,
    Caller,
    Signature,
    Signer,
    keypair_from_uri,
    new_nonce_store,
    read_claimed_hotkey,
    read_signature,
    sign_digest,
    sign_intent,
    sign_request,
    sign_response,
    verify_digest,
    verify_intent,
    verify_request,
    verify_request_evidence,
    verify_response,
)
from protocol.units import Hotkey

ALICE = Hotkey("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY")
BOB = Hotkey("5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty")
PATH = "/v1/rebalance"
BODY = b'{"job_id":"j1"}'
NOW_NS = 1_700_000_000_000_000_000


@pytest.fixture(scope="module")
def alice() -> Signer:
    return keypair_from_uri("//Alice")


@pytest.fixture(scope="module")
def bob() -> Signer:
    return keypair_from_uri("//Bob")


def request_headers(signer: Signer, **changes: Any) -> dict[str, str]:
    given: dict[str, Any] = {"path": PATH, "body": BODY, "receiver": BOB, "nonce_ns": NOW_NS}
    return sign_request(signer, **(given | changes))


def check(headers: Any, body: bytes = BODY, path: str = PATH, now_ns: int = NOW_NS, store: Any = None) -> Caller:
    store = store or new_nonce_store(60)
    return verify_request(headers, body, path=path, self_hotkey=BOB, nonce_store=store, now_ns=now_ns)


def test_the_golden_vector_of_btauth_verifies() -> None:
    assert hashlib.sha256(BODY).hexdigest().startswith("082e87ab")
    golden = Signature(
        "0x2e8110212c2a55385a9ae74a4fa1c6af98e9bb502313d971d7218dfc11acbd21"
        "989749db8ea1095ae6625b3016d7edab98dcb3e3e080c630da7cf4b28e97df82",
        SR25519,
    )
    verify_request_evidence(golden, BODY, path=PATH, sender=ALICE, receiver=BOB, nonce_ns=NOW_NS)
    headers = {
        HEADER_VERSION: "1",
        HEADER_HOTKEY: ALICE,
        HEADER_RECEIVER: BOB,
        HEADER_NONCE: str(NOW_NS),
        HEADER_SIGNATURE: golden.signature,
    }
    assert check(headers) == Caller(ALICE, NOW_NS, SR25519)


def test_the_sdk_verifies_what_we_sign_and_we_verify_what_it_signs(alice: Signer) -> None:
    from bittensor import http_auth

    ours = request_headers(alice)
    caller = http_auth.verify(ours, BODY, method="POST", path=PATH, self_hotkey_ss58=BOB, now_ns=NOW_NS)
    assert caller.hotkey_ss58 == ALICE
    theirs = http_auth.sign(alice, method="POST", path=PATH, body=BODY, receiver_ss58=BOB, nonce_ns=NOW_NS)
    assert check(theirs) == Caller(ALICE, NOW_NS, SR25519)


def test_ed25519_hotkeys_work_and_name_their_scheme(bob: Signer) -> None:
    from bittensor.keyfiles import Keypair

    signer: Signer = Keypair.create_from_uri("//Alice", ED25519)
    headers = request_headers(signer)
    assert headers[HEADER_CRYPTO] == "ed25519"
    assert check(headers) == Caller(Hotkey(signer.ss58_address), NOW_NS, ED25519)


@pytest.mark.parametrize(
    ("headers", "arguments", "reason"),
    [
        ({}, {"body": BODY + b" "}, "signature does not verify against the claimed hotkey"),
        ({}, {"path": PATH + "?x"}, "signature does not verify against the claimed hotkey"),
        ({HEADER_HOTKEY: BOB}, {}, "signature does not verify against the claimed hotkey"),
        ({HEADER_RECEIVER: ALICE}, {}, "request was signed for a different receiving hotkey"),
        ({}, {"now_ns": NOW_NS + 10_000_000_001}, "nonce is older than the 10s freshness window"),
        ({}, {"now_ns": NOW_NS - 2_000_000_001}, "nonce is more than 2s in the future"),
        ({HEADER_VERSION: "2"}, {}, "missing or unsupported X-Bittensor-Version"),
        ({HEADER_NONCE: "1" * 5000}, {}, "missing or malformed X-Bittensor-Nonce"),
        ({HEADER_NONCE: "１７"}, {}, "missing or malformed X-Bittensor-Nonce"),
        ({HEADER_HOTKEY: "\udcff" * 48}, {}, "missing or malformed X-Bittensor-Hotkey"),
        ({HEADER_HOTKEY: "1" * 48}, {}, "invalid hotkey address or signature encoding"),
        ({HEADER_SIGNATURE: "0x00"}, {}, "signature header is malformed"),
        ({HEADER_SIGNATURE: "0x" + "0" * 128}, {}, "signature does not verify against the claimed hotkey"),
        ({HEADER_CRYPTO: "secp256k1"}, {}, "signature scheme is unknown"),
        ({HEADER_CRYPTO: "ed25519"}, {}, "signature does not verify against the claimed hotkey"),
    ],
)
def test_what_a_request_must_not_be(
    alice: Signer, headers: dict[str, str], arguments: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RemoteError) as caught:
        check(request_headers(alice) | headers, **arguments)
    assert caught.value.message == reason


@pytest.mark.parametrize("missing", [HEADER_VERSION, HEADER_HOTKEY, HEADER_RECEIVER, HEADER_NONCE, HEADER_SIGNATURE])
def test_no_header_may_be_missing(alice: Signer, missing: str) -> None:
    headers = request_headers(alice)
    del headers[missing]
    with pytest.raises(RemoteError):
        check(headers)


def test_a_repeated_header_is_refused(alice: Signer) -> None:
    headers = CIMultiDict(request_headers(alice))
    headers.add(HEADER_HOTKEY.lower(), BOB)
    with pytest.raises(RemoteError, match="X-Bittensor-Hotkey is repeated"):
        read_claimed_hotkey(headers)


def test_a_request_counts_once(alice: Signer) -> None:
    store = new_nonce_store(60)
    headers = request_headers(alice)
    check(headers, store=store)
    with pytest.raises(RemoteError, match="already accepted"):
        check(headers, store=store)


def test_a_forged_request_does_not_use_up_the_nonce_of_the_real_one(alice: Signer) -> None:
    store = new_nonce_store(60)
    headers = request_headers(alice)
    with pytest.raises(RemoteError):
        check(headers | {HEADER_SIGNATURE: "0x" + "1" * 128}, store=store)
    assert check(headers, store=store).hotkey == ALICE


def test_nonces_must_outlive_the_window() -> None:
    with pytest.raises(ConfigError, match="at least 12 s"):
        new_nonce_store(11.9)


ANSWER: dict[str, Any] = {"path": PATH, "request_body": BODY, "nonce_ns": NOW_NS, "receiver": ALICE}


def signed_answer(signer: Signer, body: bytes = b"{}") -> Signature:
    return read_signature(sign_response(signer, body=body, **ANSWER))


def test_a_response_holds_for_its_request(bob: Signer) -> None:
    verify_response(signed_answer(bob), b"{}", miner=BOB, **ANSWER)


@pytest.mark.parametrize(
    "change",
    [
        {"request_body": BODY + b" "},
        {"nonce_ns": NOW_NS + 1},
        {"receiver": BOB},
        {"miner": ALICE},
        {"path": "/v1/other"},
        {"body": b"{ }"},
    ],
)
def test_a_response_holds_for_nothing_else(bob: Signer, change: dict[str, Any]) -> None:
    with pytest.raises(RemoteError, match="signature does not verify"):
        verify_response(signed_answer(bob), **({"body": b"{}", "miner": BOB} | ANSWER | change))


def test_a_request_signature_is_no_response_signature(alice: Signer) -> None:
    signature = read_signature(request_headers(alice))
    with pytest.raises(RemoteError):
        verify_response(signature, BODY, miner=ALICE, **(ANSWER | {"receiver": BOB}))


@pytest.mark.parametrize("text", [None, "", "0x", "00" * 64, "0x" + "0" * 127, "0x" + "G" * 128, "0x" + "0" * 130])
def test_a_signature_header_has_one_shape(text: str | None) -> None:
    with pytest.raises(RemoteError):
        read_signature({} if text is None else {HEADER_SIGNATURE: text})


def test_evidence_is_signed_as_evidence(alice: Signer) -> None:
    digest = hashlib.sha256(b"evidence").hexdigest()
    signature = sign_digest(alice, digest)
    verify_digest(signature, digest, signer=ALICE)
    for other, signer in ((hashlib.sha256(b"").hexdigest(), ALICE), (digest, BOB)):
        with pytest.raises(RemoteError):
            verify_digest(signature, other, signer=signer)
    bare = Signature("0x" + alice.sign(digest.encode()).hex(), SR25519)
    with pytest.raises(RemoteError):
        verify_digest(bare, digest, signer=ALICE)
    with pytest.raises(ValueError, match="64 lowercase hex"):
        sign_digest(alice, digest.upper())


INTENT = Intent(
    execution_id="j1-live-1-0",
    chain_id=8453,
    vault="0x" + "aA" * 20,
    job_id="j1",
    round_id="j1-live-1",
    checkpoint_index=0,
    pool="0x" + "bB" * 20,
    validator=ALICE,
    miner=BOB,
    plan='{"close":[]}',
    decided_block=100,
    decided_hash="0x" + "cc" * 32,
    effective_block=131,
)


def test_an_intent_is_signed_as_an_intent_and_evidence_as_evidence(alice: Signer, bob: Signer) -> None:
    signature, digest = sign_intent(alice, INTENT), INTENT.digest()
    verify_intent(signature, INTENT)
    assert Signature.from_text(signature.to_text()) == signature
    others = (sign_digest(alice, digest), Signature("0x" + alice.sign(digest.encode()).hex(), SR25519))
    for other in (*others, sign_intent(bob, replace(INTENT, validator=BOB))):
        with pytest.raises(RemoteError, match="does not verify"):
            verify_intent(other, INTENT)
    with pytest.raises(RemoteError, match="does not verify"):
        verify_digest(signature, digest, signer=ALICE)
    with pytest.raises(ConfigError, match="signed by the validator that it names"):
        sign_intent(bob, INTENT)


def test_an_intents_digest_can_be_computed_elsewhere() -> None:
    """From the page docs/protocol.md alone, with addresses in lower case."""
    text = (
        '{"chain_id":8453,"checkpoint_index":0,"decided_block":100,"decided_hash":"0x' + "cc" * 32 + '",'
        '"effective_block":131,"execution_id":"j1-live-1-0","job_id":"j1",'
        f'"miner":"{BOB}","plan":"{{\\"close\\":[]}}","pool":"0x{"bb" * 20}","round_id":"j1-live-1",'
        f'"validator":"{ALICE}","vault":"0x{"aa" * 20}"}}'
    )
    assert INTENT.digest() == hashlib.sha256(text.encode()).hexdigest()
    keypair = keypair_from_uri("//Alice")
    bare = Signature("0x" + keypair.sign(f"tideline-intent/1\n{INTENT.digest()}".encode()).hex(), SR25519)
    verify_intent(bare, INTENT)


@pytest.mark.parametrize("uri", ["", "//", "Alice", "word " * 12])
def test_only_development_keys_come_from_uris(uri: str) -> None:
    with pytest.raises(ConfigError, match="is not a development key; try //Alice"):
        keypair_from_uri(uri)


def test_a_signer_of_another_curve_is_the_operators_error(alice: Signer) -> None:
    class Secp:
        ss58_address = ALICE
        public_key = b""
        crypto_type = 2
        sign: Callable[[bytes], bytes] = alice.sign

    with pytest.raises(ConfigError, match="crypto type 2"):
        sign_digest(Secp(), "0" * 64)


def test_a_signer_that_adds_a_prefix_is_the_operators_error(alice: Signer) -> None:
    class Hardware:
        ss58_address = ALICE
        public_key = b""
        crypto_type = SR25519

        def sign(self, payload: bytes) -> bytes:
            return b"\x01" + alice.sign(payload)

    with pytest.raises(ConfigError, match="returned 65 bytes"):
        request_headers(Hardware())
