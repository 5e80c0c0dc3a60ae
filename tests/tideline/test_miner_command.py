import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from miner.strategies import NAMES
from protocol.errors import ConfigError
from tideline.commands.miner import miner

ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
OFFLINE = ["--dev-key", "//Bob", "--allow-validator", ALICE]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ["--strategy", "best"],
            f"no strategy is named 'best'; choose one of {', '.join(NAMES)}, file.py or module:Class",
        ),
        (["--set", "half_width"], "--set 'half_width' is not KEY=VALUE"),
        (["--set", "=3"], "--set '=3' is not KEY=VALUE"),
        (["--strategy", "band", "--set", "half_width=wide"], "setting half_width='wide' is not an integer"),
        (["--dev-key", "Bob"], "'Bob' is not a development key; try //Alice"),
        (["--netuid", "98"], "give either --netuid or --allow-validator, not both"),
        (["--allow-validator", "5Grw"], "'5Grw' is not a hotkey: invalid ss58 address: Length is bad"),
    ],
)
def test_one_line_says_what_to_change(arguments: list[str], reason: str) -> None:
    result = CliRunner().invoke(miner, [*OFFLINE, *arguments])
    assert isinstance(result.exception, ConfigError)
    assert result.exception.message == reason


def test_somebody_must_be_allowed_to_ask() -> None:
    result = CliRunner().invoke(miner, ["--dev-key", "//Bob"], env={"NETUID": None})
    assert isinstance(result.exception, ConfigError)
    assert result.exception.message.startswith("nobody may ask: give --netuid")


def test_a_wallet_that_is_not_there(tmp_path: Path) -> None:
    arguments = ["--allow-validator", ALICE, "--wallet.path", str(tmp_path), "--wallet.name", "none"]
    result = CliRunner().invoke(miner, arguments)
    assert isinstance(result.exception, ConfigError)
    assert "wallet.name" in result.exception.message


def test_a_password_file_that_is_not_there(tmp_path: Path) -> None:
    environment = {"BT_WALLET_PASSWORD_FILE": str(tmp_path / "none")}
    result = CliRunner().invoke(miner, ["--allow-validator", ALICE], env=environment)
    assert isinstance(result.exception, ConfigError)
    assert result.exception.message.startswith("BT_WALLET_PASSWORD_FILE cannot be read")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_interrupted_and_exits_with_0(number: signal.Signals) -> None:
    code = "from tideline.commands.miner import miner; miner()"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code, *OFFLINE, "--port", "0", "--strategy", "wide"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "listening on 127.0.0.1:" in line
        address = line.split("listening on ")[1].split()[0]
        with urllib.request.urlopen(f"http://{address}/health", timeout=5) as answer:
            assert json.load(answer)["strategy"] == "wide"
        started = time.monotonic()
        process.send_signal(number)
        assert process.wait(10) == 0
        assert time.monotonic() - started < 5
    finally:
        process.kill()
        process.communicate()
