from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from Crypto.Hash import keccak

from protocol.errors import ConfigError
from simulator.chain import artifacts, npm
from simulator.chain.npm import NpmPackage

# keccak256 of the pool's creation code: the init code hash from which every pool's address on mainnet and Base follows.
POOL_INIT_CODE_HASH = "e34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54"


def test_the_pool_is_the_one_that_mainnet_runs() -> None:
    assert keccak.new(digest_bits=256, data=artifacts.POOL.creation_code).hexdigest() == POOL_INIT_CODE_HASH


@pytest.mark.parametrize(
    ("contract", "function"),
    [
        (artifacts.FACTORY, "createPool"),
        (artifacts.POOL, "swap"),
        (artifacts.POSITION_MANAGER, "mint"),
        (artifacts.SWAP_ROUTER, "exactInputSingle"),
        (artifacts.TICK_LENS, "getPopulatedTicksInWord"),
        (artifacts.QUOTER, "quoteExactInputSingle"),
        (artifacts.WETH9, "deposit"),
    ],
)
def test_every_contract_has_code_and_interface(contract: artifacts.Contract, function: str) -> None:
    assert len(contract.creation_code) > 500
    assert function in {entry.get("name") for entry in contract.abi}


def test_the_cache_follows_the_xdg_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert npm.cache_directory() == tmp_path / ".cache" / "tideline"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert npm.cache_directory() == tmp_path / "xdg" / "tideline"


def test_a_damaged_archive_is_fetched_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "tideline" / "npm" / artifacts.CANONICAL_WETH.filename
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not an archive")
    npm.archive(artifacts.CANONICAL_WETH)
    assert len(hashlib.sha512(path.read_bytes()).digest()) == 64
    assert b"WETH9" in npm.read(artifacts.CANONICAL_WETH, "contracts/WETH9.sol")


def test_another_archive_than_the_pinned_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"^npm fetched another canonical-weth@1\.4\.0 than the pinned one"):
        npm.archive(NpmPackage("canonical-weth", "1.4.0", "AAAA"))


def test_a_file_that_a_package_does_not_have_is_said_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^cannot read contracts/None\.sol of canonical-weth@1\.4\.0 in "):
        npm.read(artifacts.CANONICAL_WETH, "contracts/None.sol")


def test_no_npm_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(npm.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"^there is no npm on PATH; install Node\.js"):
        npm.archive(artifacts.CANONICAL_WETH)


def test_why_npm_cannot_fetch_is_its_own_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    with pytest.raises(
        ConfigError, match=r"^npm cannot fetch canonical-weth@1\.4\.0: .*127\.0\.0\.1:9.*failed"
    ) as said:
        npm.archive(artifacts.CANONICAL_WETH)
    assert "\n" not in str(said.value)


def test_the_npm_client_may_come_from_pypi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert npm.npm_command()[1].endswith("npm-cli.js")
    assert npm.archive(artifacts.CANONICAL_WETH).is_file()
