"""The executor's key: read once, kept in one object, shown to nobody.

A key is named, never given: `keystore:FILE` is an encrypted Ethereum keystore, whose password stands in
TIDELINE_EXECUTOR_PASSWORD or in the file that TIDELINE_EXECUTOR_PASSWORD_FILE names; `env:NAME` is an environment
variable that holds the key. A key management service or a Safe would be another `Signer`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from eth_account import Account
from eth_account.signers.local import LocalAccount

from protocol.errors import ConfigError

PASSWORD_ENV = "TIDELINE_EXECUTOR_PASSWORD"  # the name of a variable
PASSWORD_FILE_ENV = "TIDELINE_EXECUTOR_PASSWORD_FILE"
_KEY = re.compile(r"(0x)?[0-9a-fA-F]{64}")
_FORMS = "keystore:FILE or env:NAME"


@dataclass(frozen=True, slots=True)
class Signed:
    """A transaction ready to be sent: its bytes and its hash, in hex with 0x."""

    signed_bytes: str
    tx_hash: str


class Signer(Protocol):
    """Signs for one address."""

    @property
    def address(self) -> str:
        """Return the checksummed address."""

    async def sign(self, fields: Mapping[str, Any]) -> Signed:
        """Sign a type-2 transaction given by the fields of EIP-1559, as eth_account names them."""


class LocalSigner:
    """A key in this process's memory."""

    def __init__(self, account: LocalAccount) -> None:
        self._account = account

    def __repr__(self) -> str:
        return f"LocalSigner({self.address})"

    @property
    def address(self) -> str:
        """Return the checksummed address."""
        return str(self._account.address)

    async def sign(self, fields: Mapping[str, Any]) -> Signed:
        """Sign a transaction."""
        to = bytes.fromhex(fields["to"].removeprefix("0x"))  # as text only checksummed ones are taken
        signed = self._account.sign_transaction({"type": 2, **fields, "to": to})
        return Signed(signed.raw_transaction.to_0x_hex(), signed.hash.to_0x_hex())


def load_signer(reference: str, environment: Mapping[str, str]) -> LocalSigner:
    """Return the signer that a reference names. Raises ConfigError, which never repeats what might be a secret."""
    kind, separator, name = reference.partition(":")
    if separator and name and kind == "keystore":
        return LocalSigner(_from_keystore(Path(name), environment))
    if separator and name and kind == "env":
        return LocalSigner(_from_variable(name, environment))
    raise ConfigError(f"name the key as {_FORMS}; a key itself is never taken from settings or arguments")


def _from_keystore(path: Path, environment: Mapping[str, str]) -> LocalAccount:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the keystore {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"the keystore {path} is no JSON; make one with any Ethereum wallet") from None
    try:
        key = Account.decrypt(stored, _password(environment))
    except (ValueError, KeyError, TypeError):  # the library's own words may quote the content
        raise ConfigError(f"the keystore {path} cannot be opened with this password") from None
    account: LocalAccount = Account.from_key(key)
    return account


def _password(environment: Mapping[str, str]) -> str:
    if PASSWORD_FILE_ENV in environment:
        try:
            return Path(environment[PASSWORD_FILE_ENV]).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError):
            raise ConfigError(f"{PASSWORD_FILE_ENV} names a file that cannot be read") from None
    if PASSWORD_ENV in environment:
        return environment[PASSWORD_ENV]
    raise ConfigError(f"set {PASSWORD_FILE_ENV} or {PASSWORD_ENV} to open the keystore")


def _from_variable(name: str, environment: Mapping[str, str]) -> LocalAccount:
    if name not in environment:
        raise ConfigError(f"the environment variable of the key is not set; {_FORMS}")
    text = environment[name].strip()
    try:
        if _KEY.fullmatch(text) is None:
            raise ValueError
        account: LocalAccount = Account.from_key(text)
    except ValueError:
        raise ConfigError("the environment variable of the key holds no key of 32 bytes in hex") from None
    return account
