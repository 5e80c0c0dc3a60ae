"""The limits of `tideline executor`: each option reaches its limit, and without any the limits are the defaults."""

from __future__ import annotations

from typing import Any

import click
import pytest

from executor.fees import FeePolicy
from executor.guards import Limits
from executor.live_guards import LiveLimits
from executor.preparation import Bounds
from executor.steps import Patience
from executor.transactor import Settings
from protocol.errors import ConfigError
from tideline.cli import run
from tideline.executor_options import ExecutorOptions, PriceOptions, executor_options, read_options

VAULT, RECEIVER = "0x" + "ab" * 20, "0x" + "cd" * 20
ALICE, BOB = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY", "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty"
LEAST = ("--rpc", "http://127.0.0.1:1", "--key", "env:K", "--allow", VAULT)


def read(*words: str) -> ExecutorOptions:
    """Return what the command would make of its arguments."""
    found: list[ExecutorOptions] = []

    @click.command()
    @executor_options
    def probe(**given: Any) -> None:
        found.append(read_options(given, "sqlite:///x"))

    probe.main([*LEAST, *words], standalone_mode=False)
    return found[0]


def test_without_options_the_limits_are_the_defaults() -> None:
    assert read() == ExecutorOptions(
        urls=("http://127.0.0.1:1",),
        quorum=1,
        database_url="sqlite:///x",
        validators=None,
        bounds=Bounds(LiveLimits(frozenset({VAULT}))),
        settings=Settings(FeePolicy(max_fee_wei=20 * 10**9)),
        receivers={},
        factory=None,
        prices=None,
        is_live=False,
        is_once=False,
    )


def test_every_limit_has_an_option() -> None:
    live = LiveLimits(frozenset({VAULT}), 1, 2, 3, 4, 5, 6, 7)
    plan = Limits(8, 9, 10, 11)
    words = [f"--{name.replace('_', '-')}={getattr(live, name)}" for name in LiveLimits.__slots__ if name != "vaults"]
    words += [f"--{name.replace('_', '-')}={getattr(plan, name)}" for name in Limits.__slots__]
    words += ["--slack-ticks=12", "--deadline-s=13", "--confirmations=14", "--settled=safe", "--max-fee-gwei=15"]
    words += [
        "--max-cost=0.002",
        f"--fee-receiver={VAULT}={RECEIVER}",
        f"--factory={RECEIVER}",
        "--live",
        "--once",
        "--rpc-quorum=1",
        f"--validator={ALICE}",
        f"--validator={BOB}",
    ]
    words += ["--price-url=http://x/{pool}", "--price-max-age-s=16", "--without-price=ignore"]
    assert read(*words) == ExecutorOptions(
        urls=("http://127.0.0.1:1",),
        quorum=1,
        database_url="sqlite:///x",
        validators=frozenset({ALICE, BOB}),
        bounds=Bounds(live, plan, slack_ticks=12, deadline_s=13),
        settings=Settings(
            FeePolicy(max_fee_wei=15 * 10**9, max_cost_wei=2 * 10**15), Patience(confirmations=14, settled="safe")
        ),
        receivers={VAULT: RECEIVER},
        factory=RECEIVER,
        prices=PriceOptions("http://x/{pool}", 16, is_waited_for=False),
        is_live=True,
        is_once=True,
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--max-cost", "much"), "is no amount of ETH"),
        (("--max-cost", "-1"), "is no amount of ETH"),
        (("--max-cost", "nan"), "is no amount of ETH"),
        (("--fee-receiver", VAULT), "wants VAULT=ADDRESS"),
        (("--fee-receiver", f"{RECEIVER}={RECEIVER}"), "with a vault of --allow"),
        (("--fee-receiver", f"{VAULT}=0x12"), "is no address"),
        (("--live",), r"name the validator whose plans are carried out, by its hotkey: --validator SS58"),
        (("--validator", "5Grw"), "'5Grw' is not a hotkey"),
    ],
)
def test_what_is_no_limit(words: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read(*words)


def test_the_help_shows_the_limits_and_their_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["executor", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--max-daily-loss-ppm INTEGER RANGE Of the worth, in a day; half in a round. [default: 5000; x>=0]" in shown
