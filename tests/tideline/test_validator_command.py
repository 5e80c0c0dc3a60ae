"""`tideline validator` as an operator runs it: real processes, a real database, real keys."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import Background, miner, start, tideline

from db.records import Prediction, Round
from db.store import Store
from protocol.signing import keypair_from_uri
from tideline.demo import demo_jobs

ALICE, BOB, CHARLIE = (keypair_from_uri(uri).ss58_address for uri in ("//Alice", "//Bob", "//Charlie"))


def add_job(folder: Path, job_id: str, like: str = "usdc-weth") -> None:
    """Add a recorded job as an operator would."""
    job = next(job for job in demo_jobs() if job.job_id == like).to_mapping()
    options = {
        "--vault": job["sn_liquidity_manager_address"],
        "--pair": job["pair_address"],
        "--target": job["target"],
        "--quote-token": job["quote_token"],
        "--chain-id": str(job["chain_id"]),
        "--round-duration-seconds": "900",
        "--checkpoint-interval-blocks": "20",
        "--feed": "recorded",
        "--record": job["record"],
        "--opening": json.dumps(job["opening"]),
    }
    flat = [part for pair in options.items() for part in pair]
    done = tideline(folder, "jobs", "add", job_id, *flat, "--db", "sqlite:///jobs.sqlite3")
    assert done.returncode == 0, done.stderr


def validate(folder: Path, *options: str, speed: str = "max") -> Background:
    """Start a validator under Alice's key."""
    common = ("--dev-key", "//Alice", "--allow-private", "--speed", speed, "--db", "sqlite:///jobs.sqlite3")
    return start(folder, "validator", *common, *options)


@pytest.fixture
def two_miners(tmp_path: Path) -> Iterator[tuple[Background, list[str]]]:
    """Bob holds, Charlie rebalances; Charlie's process, and the options that name both."""
    with (
        miner(tmp_path, "//Bob", ALICE, "--strategy", "hold") as (_, bob),
        miner(tmp_path, "//Charlie", ALICE, "--strategy", "band", "--set", "half_width=8", "--set", "edge=2") as (
            charlie_process,
            charlie,
        ),
    ):
        yield charlie_process, ["--miner", f"{BOB}@{bob}", "--miner", f"{CHARLIE}@{charlie}"]


def rounds_of(folder: Path, job_id: str) -> list[tuple[Round, list[Prediction], dict[str, bool]]]:
    """Return a job's rounds, oldest first, with what was asked and who was scored."""

    async def read() -> list[tuple[Round, list[Prediction], dict[str, bool]]]:
        async with await Store.open(f"sqlite:///{folder}/jobs.sqlite3", create=False) as store:
            return [
                (
                    row,
                    await store.predictions_of_round(row.round_id),
                    {score.hotkey: score.scored for score in await store.scores_of_round(row.round_id)},
                )
                for row in reversed(await store.round_history(job_id))
            ]

    return asyncio.run(read())


def test_a_standalone_run_scores_ranks_and_can_be_verified(
    tmp_path: Path, two_miners: tuple[Background, list[str]]
) -> None:
    add_job(tmp_path, "mine")
    with validate(tmp_path, *two_miners[1], "--rounds", "2") as validator:
        assert validator.end() == 0, validator.lines
    played = rounds_of(tmp_path, "mine")
    assert [(row.round_id, row.status) for row, _, _ in played] == [
        ("mine-evaluation-1", "completed"),
        ("mine-evaluation-2", "completed"),
    ]
    for row, predictions, scored in played:
        assert scored == {BOB: True, CHARLIE: True}
        assert {p.outcome for p in predictions} <= {"planned", "kept"}
        verified = tideline(tmp_path, "evidence", "verify", row.round_id, "--db", "sqlite:///jobs.sqlite3")
        assert verified.returncode == 0 and "bit for bit" in verified.stdout, verified.stderr
    board = tideline(tmp_path, "leaderboard", "--db", "sqlite:///jobs.sqlite3")
    assert board.returncode == 0 and BOB[:8] in board.stdout and CHARLIE[:8] in board.stdout
    ranked = json.loads(tideline(tmp_path, "leaderboard", "--json", "--db", "sqlite:///jobs.sqlite3").stdout)
    scores = {row["hotkey"]: row["evaluation_e18"] for row in ranked[0]["miners"]}
    assert scores[BOB] == "0" and scores[CHARLIE] != "0"


def test_a_miner_killed_in_the_middle_misses_its_own_answers_and_nothing_else(
    tmp_path: Path, two_miners: tuple[Background, list[str]]
) -> None:
    charlie, named = two_miners
    add_job(tmp_path, "mine")
    with validate(tmp_path, *named, "--rounds", "2", speed="450x") as validator:
        validator.until("1 planned")  # the answers of the first checkpoint, in which Charlie moved
        charlie.signal(signal.SIGKILL)
        assert validator.end() == 0, validator.lines
    first, second = rounds_of(tmp_path, "mine")
    outcomes = {
        hotkey: [p.outcome for _, asked, _ in (first, second) for p in asked if p.hotkey == hotkey]
        for hotkey in (BOB, CHARLIE)
    }
    assert set(outcomes[BOB]) == {"kept"}, "the other miner never missed one"
    died_at = outcomes[CHARLIE].index("timeout")
    assert died_at >= 1 and set(outcomes[CHARLIE][died_at:]) == {"timeout"}
    assert [row.status for row, _, _ in (first, second)] == ["completed", "completed"]
    assert first[2] == {BOB: True, CHARLIE: True}, "it had moved, so it is scored to the end of that round"
    assert second[2] == {BOB: True, CHARLIE: False}, "silent at the first ask: left alone"
    for row, _, _ in (first, second):
        assert tideline(tmp_path, "evidence", "verify", row.round_id, "--db", "sqlite:///jobs.sqlite3").returncode == 0


def test_a_validator_killed_in_the_middle_voids_its_round_and_goes_on_at_once(
    tmp_path: Path, two_miners: tuple[Background, list[str]]
) -> None:
    add_job(tmp_path, "mine")
    with validate(tmp_path, *two_miners[1], speed="100x") as validator:
        validator.until("block ")
        validator.signal(signal.SIGKILL)
        validator.end()
    with validate(tmp_path, *two_miners[1], "--rounds", "1") as validator:
        assert validator.end() == 0, validator.lines
    assert not [line for line in validator.lines if "another validator" in line], "it inherited its own lease"
    (voided, _, scored), (played, _, _) = rounds_of(tmp_path, "mine")
    assert (voided.status, scored, played.status) == ("inconclusive", {}, "completed")
    assert voided.reason == "the validator was restarted while the round was running"
    assert played.start_block == voided.start_block


def test_two_validators_share_the_jobs_of_one_database(
    tmp_path: Path, two_miners: tuple[Background, list[str]]
) -> None:
    for name in ("one", "two"):
        add_job(tmp_path, name)
    alone = ("--max-jobs", "1")
    with (
        validate(tmp_path, *two_miners[1], *alone, speed="300x") as first,
        validate(tmp_path, *two_miners[1], *alone, speed="300x") as second,
    ):
        said = [process.until("evaluation round 1 of ") for process in (first, second)]
        assert sorted(line.split()[0] for line in said) == ["one", "two"]
        for process in (first, second):
            process.signal(signal.SIGTERM)
        assert [process.end() for process in (first, second)] == [0, 0]
    for name in ("one", "two"):
        statuses = [row.status for row, _, _ in rounds_of(tmp_path, name)]
        assert statuses[0] == "completed" and set(statuses[1:-1]) <= {"completed"}


def test_a_job_on_a_chain_feed_is_told_once_and_the_others_are_played(
    tmp_path: Path, two_miners: tuple[Background, list[str]]
) -> None:
    add_job(tmp_path, "mine")
    chain_job = ("--vault", "0x52908400098527886E0F7030069857D2E4169EE7", "--pair", demo_jobs()[0].pair_address)
    rest = ("--target", "pol", "--quote-token", "token0", "--db", "sqlite:///jobs.sqlite3")
    assert tideline(tmp_path, "jobs", "add", "chained", *chain_job, *rest).returncode == 0
    with validate(tmp_path, *two_miners[1], "--rounds", "2") as validator:
        assert validator.end() == 0, validator.lines
    told = [line for line in validator.lines if "chained" in line]
    assert len(told) == 1 and "is not played until it is changed" in told[0]
    assert len(rounds_of(tmp_path, "mine")) == 2 and rounds_of(tmp_path, "chained") == []


def test_it_stops_at_a_signal_with_its_round_voided(tmp_path: Path, two_miners: tuple[Background, list[str]]) -> None:
    add_job(tmp_path, "mine")
    with validate(tmp_path, *two_miners[1], speed="50x") as validator:
        validator.until("block ")
        validator.signal(signal.SIGINT)
        assert validator.end() == 0, validator.lines
    [(row, _, scored)] = rounds_of(tmp_path, "mine")
    assert (row.status, row.reason, scored) == (
        "inconclusive",
        "the validator was stopped while the round was running",
        {},
    )


def test_changes_of_the_jobs_reach_a_running_validator(
    tmp_path: Path, two_miners: tuple[Background, list[str]]
) -> None:
    database = ("--db", "sqlite:///jobs.sqlite3")
    asyncio.run(make_database(tmp_path))
    with validate(tmp_path, *two_miners[1], speed="max") as validator:
        validator.until("no job is active")
        add_job(tmp_path, "mine")
        validator.until("mine           evaluation round 1 of ")
        changed = tideline(tmp_path, "jobs", "update", "mine", "--round-duration-seconds", "600", *database)
        assert changed.returncode == 0
        assert tideline(tmp_path, "jobs", "pause", "mine", *database).returncode == 0
        validator.signal(signal.SIGTERM)
        assert validator.end() == 0
    lengths = [row.end_block - row.start_block for row, _, _ in rounds_of(tmp_path, "mine") if row.end_block]
    assert lengths == sorted(lengths, reverse=True) and set(lengths) <= {75, 50}


# The wallet


def make_wallet(folder: Path, password: str | None) -> None:
    """Write a hotkey file as btcli does."""
    from bittensor.keyfiles import Keypair, encrypt_keyfile_data, serialized_keypair_to_keyfile_data

    data = serialized_keypair_to_keyfile_data(Keypair.create_from_uri("//Alice"))
    path = folder / "wallets" / "my" / "hotkeys" / "validator"
    path.parent.mkdir(parents=True)
    path.write_bytes(data if password is None else encrypt_keyfile_data(data, password))


WALLET = ("--netuid", "98", "--wallet.path", "wallets", "--wallet.name", "my", "--wallet.hotkey", "validator")
NOWHERE = ("--subtensor.network", "ws://127.0.0.1:9", "--db", "sqlite:///jobs.sqlite3")


async def make_database(folder: Path) -> None:
    await (await Store.open(f"sqlite:///{folder}/jobs.sqlite3", create=True)).close()


@pytest.mark.parametrize(
    ("password", "env", "code", "says"),
    [
        ("secret", {}, 2, "set BT_WALLET_PASSWORD or BT_WALLET_PASSWORD_FILE"),
        ("secret", {"BT_WALLET_PASSWORD": "wrong"}, 2, "the hotkey cannot be read"),
        ("secret", {"BT_WALLET_PASSWORD_FILE": "missing"}, 2, "BT_WALLET_PASSWORD_FILE cannot be read"),
        ("secret", {"BT_WALLET_PASSWORD": "secret"}, 1, "ws://127.0.0.1:9"),
        ("secret", {"BT_WALLET_PASSWORD_FILE": "password"}, 1, "ws://127.0.0.1:9"),
        (None, {}, 1, "ws://127.0.0.1:9"),
    ],
)
def test_the_password_of_a_hotkey_comes_from_the_environment(
    tmp_path: Path, password: str | None, env: dict[str, str], code: int, says: str
) -> None:
    """With the right password it gets as far as the chain, which nobody serves here."""
    make_wallet(tmp_path, password)
    (tmp_path / "password").write_text("secret\n")
    asyncio.run(make_database(tmp_path))
    # No other chain may be tried: this one is on this machine.
    done = tideline(tmp_path, "validator", *WALLET, *NOWHERE, env={"BT_FALLBACK_ENDPOINTS": "", **env})
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr
    assert done.stderr.count("\n") == 1 and "secret" not in done.stderr
