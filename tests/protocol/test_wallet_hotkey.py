"""A wallet's hotkey, read from disk as the SDK writes it."""

from __future__ import annotations

from pathlib import Path

import bittensor as bt
import pytest

from protocol.errors import ConfigError
from protocol.signing import load_hotkey


def make_wallet(path: Path, *, password: str | None = None) -> bt.Wallet:
    wallet = bt.Wallet("cold", "hot", str(path))
    return wallet.create_new_hotkey(suppress=True, use_password=password is not None, hotkey_password=password)


def test_the_hotkey_is_loaded_without_a_coldkey(tmp_path: Path) -> None:
    created = make_wallet(tmp_path)
    signer = load_hotkey("cold", "hot", str(tmp_path))
    assert (signer.ss58_address, sorted(p.name for p in (tmp_path / "cold").iterdir())) == (
        created.hotkey.ss58_address,
        ["hotkeys"],
    )


def test_an_encrypted_hotkey_takes_a_password_and_never_asks_for_it(tmp_path: Path) -> None:
    created = make_wallet(tmp_path, password="correct horse battery")
    with pytest.raises(ConfigError, match="BT_WALLET_PASSWORD"):
        load_hotkey("cold", "hot", str(tmp_path))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_hotkey("cold", "hot", str(tmp_path), password="wrong")
    opened = load_hotkey("cold", "hot", str(tmp_path), password="correct horse battery")
    assert opened.ss58_address == created.hotkey.ss58_address


def test_a_missing_or_broken_hotkey_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such hotkey") as caught:
        load_hotkey("cold", "hot", str(tmp_path))
    assert str(tmp_path / "cold" / "hotkeys" / "hot") in str(caught.value)
    keyfile = tmp_path / "cold" / "hotkeys" / "hot"
    keyfile.parent.mkdir(parents=True)
    keyfile.write_text("{not a key}")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_hotkey("cold", "hot", str(tmp_path))
