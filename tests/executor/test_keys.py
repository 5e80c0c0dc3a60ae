"""The executor's key is named and never shown: not in settings, errors, representations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from eth_account import Account

from executor.keys import LocalSigner, load_signer
from protocol.errors import ConfigError

SECRET = "0x" + "4c" * 31 + "4d"
ADDRESS = Account.from_key(SECRET).address


@pytest.fixture(scope="session")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "executor.json"
    path.write_text(json.dumps(Account.encrypt(SECRET, "right", kdf="pbkdf2", iterations=2)))
    return path


def test_a_keystore_opens_with_its_password(keystore: Path, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("right\n")
    reference = f"keystore:{keystore}"
    assert load_signer(reference, {"TIDELINE_EXECUTOR_PASSWORD": "right"}).address == ADDRESS
    assert load_signer(reference, {"TIDELINE_EXECUTOR_PASSWORD_FILE": str(tmp_path / "password")}).address == ADDRESS


@pytest.mark.parametrize("value", [SECRET, SECRET[2:], f" {SECRET}\n"])
def test_a_variable_holds_a_key(value: str) -> None:
    assert load_signer("env:KEY", {"KEY": value}).address == ADDRESS


async def test_what_is_signed_is_the_addresss_own_and_the_hash_is_ours() -> None:
    signer = LocalSigner(Account.from_key(SECRET))
    fields = {"chainId": 1, "nonce": 7, "gas": 21_000, "maxFeePerGas": 9, "maxPriorityFeePerGas": 1, "value": 0}
    signed = await signer.sign({**fields, "to": ADDRESS, "data": "0x"})
    assert Account.recover_transaction(signed.signed_bytes) == ADDRESS
    assert signed == await signer.sign({**fields, "to": ADDRESS, "data": "0x"})


@pytest.mark.parametrize(
    ("reference", "environment", "says"),
    [
        (SECRET, {}, "never taken"),
        (SECRET[2:], {}, "never taken"),
        (f"raw:{SECRET}", {}, "never taken"),
        ("keystore:", {}, "never taken"),
        ("env:KEY", {}, "is not set"),
        ("env:KEY", {"KEY": SECRET[:-1]}, "no key of 32 bytes"),
        ("env:KEY", {"KEY": "zz" + SECRET[4:]}, "no key of 32 bytes"),
        ("keystore:{folder}/none", {"TIDELINE_EXECUTOR_PASSWORD": "right"}, "cannot be read"),
        ("keystore:{folder}/text", {"TIDELINE_EXECUTOR_PASSWORD": "right"}, "is no JSON"),
        ("keystore:{folder}/other", {"TIDELINE_EXECUTOR_PASSWORD": "right"}, "cannot be opened"),
        ("keystore:{keystore}", {"TIDELINE_EXECUTOR_PASSWORD": "wrong"}, "cannot be opened"),
        ("keystore:{keystore}", {"TIDELINE_EXECUTOR_PASSWORD_FILE": "none"}, "cannot be read"),
        ("keystore:{keystore}", {}, "set TIDELINE_EXECUTOR_PASSWORD"),
    ],
)
def test_a_wrong_reference_takes_one_line_without_a_secret(
    reference: str, environment: dict[str, str], says: str, keystore: Path, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text(SECRET)
    (tmp_path / "other").write_text(json.dumps({"key": SECRET}))
    with pytest.raises(ConfigError, match=says) as caught:
        load_signer(reference.format(folder=tmp_path, keystore=keystore), environment)
    shown = f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    assert "\n" not in str(caught.value) and SECRET[2:12] not in shown and "right" not in shown
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_signer_shows_its_address_only() -> None:
    signer = LocalSigner(Account.from_key(SECRET))
    assert repr(signer) == f"LocalSigner({ADDRESS})" and SECRET[2:12] not in f"{vars(signer)}"
