"""A job's rounds on a chain that takes blocks back, and its live rounds, without a node: scripted markets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from support.local_miners import LocalMiners, roster
from support.rows import VAULT
from support.services import recorded_job
from support.signed_rounds import MINER_KEYS, VALIDATOR_KEY, keep

from db.job import Job
from db.records import MinerScore
from db.store import Store
from protocol.errors import ChainError, ConfigError
from protocol.messages import RebalanceQuery
from protocol.units import Hotkey, JobId, RoundId, Uid
from simulator import records
from simulator.events import Block
from simulator.market import MarketInfo, Reorg
from simulator.portfolio import VaultState
from simulator.recorded import RecordedMarket
from simulator.snapshot import PoolSnapshot
from tideline.guard import guard
from validator import job_runner
from validator.job_runner import MOST_REWINDS, JobRunner, RunnerContext
from validator.progress import ProgressEvent, RoundClosed, RoundOpened, RoundRewound, RoundVoided, Trouble
from validator.transport import Exchange, MinerEndpoint
from validator.verification import check, load

JOB = JobId("job")
HELD = VaultState(10**8, 14 * 10**18, (), in_pool=True)
FIRST, SECOND = MINER_KEYS
ON_CHAIN = {
    "live_mode": "chain",
    "feed": "chain",
    "record": None,
    "opening": None,
    "sn_liquidity_manager_address": VAULT,
}
EVALUATION = f"{JOB}-evaluation-1"


@dataclass
class Watched(LocalMiners):
    """Miners that keep; they note how many blocks had been read when they were asked, and for how long."""

    market: Scripted

    def __post_init__(self) -> None:
        LocalMiners.__init__(self, dict.fromkeys(MINER_KEYS, keep))
        self.when: list[tuple[int, float]] = []

    async def ask_all(
        self, questions: Sequence[tuple[MinerEndpoint, RebalanceQuery]], *, deadline_s: float
    ) -> list[Exchange]:
        self.when.append((self.market.number, deadline_s))
        return await super().ask_all(questions, deadline_s=deadline_s)


@dataclass
class Scripted:
    """A recorded market whose n-th wish for a block takes so many blocks back; then it brings them anew."""

    takes_back: dict[int, int] = field(default_factory=dict)
    takes_back_at_end: list[int] = field(default_factory=list)
    vault: VaultState | None = None
    refusals: list[ChainError | None] = field(default_factory=list)
    loses_vault: bool = False
    inner: RecordedMarket = field(default_factory=lambda: RecordedMarket(records.load("wbtc-weth-03")))
    wishes: int = 0
    settled: int = 0
    _seen: list[Block] = field(default_factory=list)
    _again: list[Block] = field(default_factory=list)
    _opening: tuple[int, str] = (0, "")

    @property
    def info(self) -> MarketInfo:
        return self.inner.info

    @property
    def number(self) -> int:
        """How many blocks of the round have been read and stand."""
        return len(self._seen)

    async def open_round(self, length_blocks: int) -> PoolSnapshot:
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise refusal
        snapshot = await self.inner.open_round(length_blocks)
        self._seen, self._again, self._opening = [], [], (snapshot.block_number, snapshot.block_hash)
        return snapshot

    def _take_back(self, depth: int) -> Reorg:
        self._again = self._seen[-depth:] + self._again
        self._seen = self._seen[:-depth]
        number, block_hash = (self._seen[-1].number, self._seen[-1].block_hash) if self._seen else self._opening
        return Reorg(number, block_hash, depth)

    async def next_block(self) -> Block:
        self.wishes += 1
        if self.wishes in self.takes_back:
            raise self._take_back(self.takes_back[self.wishes])
        self._seen.append(self._again.pop(0) if self._again else await self.inner.next_block())
        return self._seen[-1]

    async def settle(self) -> None:
        self.settled += 1
        self.vault = None if self.loses_vault else self.vault
        if self.takes_back_at_end:
            raise self._take_back(self.takes_back_at_end.pop())

    async def close(self) -> None:
        await self.inner.close()


@dataclass
class Played:
    """What a runner did."""

    store: Store
    market: Scripted
    events: list[ProgressEvent]
    miners: Watched

    def of(self, *kinds: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]


async def shut_never(_store: Store, _chain_id: int, _vault: str) -> str | None:
    return None


async def second(_store: Store, _job: Job, _combined_e18: dict[Hotkey, int], _today: date) -> Hotkey:
    return SECOND


async def play(store: Store, market: Scripted, *, rounds: int = 1, gate: Any = shut_never) -> Played:
    events: list[ProgressEvent] = []
    miners = Watched(market)
    context = RunnerContext(store, miners, roster(), guard, gate, VALIDATOR_KEY, events.append, "test", retry_s=0.0)
    await JobRunner(JOB, market, context, max_rounds=rounds).run()
    return Played(store, market, events, miners)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(f"sqlite:///{tmp_path}/jobs.sqlite3", create=True) as opened:
        await opened.add_job(recorded_job(JOB))  # 100 blocks, checkpoints at 0 and 50
        yield opened


async def test_every_ask_comes_before_the_next_block_is_read_and_has_the_jobs_deadline(store: Store) -> None:
    await store.update_job(JOB, {"miner_deadline_seconds": 24})
    played = await play(store, Scripted())
    assert played.miners.when == [(0, 24.0), (50, 24.0)]
    assert played.market.settled == 1, "the last block stands before anything is scored"


@pytest.mark.parametrize(
    ("takes_back", "at_end", "asked", "rewound"),
    [
        ({49: 3}, [], [0, 50], [45]),  # before the second checkpoint: nothing was asked about what is gone
        ({53: 2}, [], [0, 50], [50]),  # after it
        ({53: 3}, [], [0, 50, 50], [49]),  # the checkpoint itself
        ({3: 2}, [], [0, 50], [0]),  # down to the opening, whose answers stand
        ({}, [1, 60], [0, 50, 50], [40, 99]),
    ],
)
async def test_a_round_on_a_chain_that_takes_blocks_back_is_the_same_round(
    store: Store, takes_back: dict[int, int], at_end: list[int], asked: list[int], rewound: list[int]
) -> None:
    """The chain brings the same blocks again: what was said of those that are gone is asked anew, and nothing else."""
    played = await play(store, Scripted(takes_back, list(at_end)))
    start = played.of(RoundOpened)[0].start_block
    assert [event.block - start for event in played.of(RoundRewound)] == rewound
    assert [block for block, _ in played.miners.when] == asked
    assert [event.round_id for event in played.of(RoundClosed, RoundVoided)] == [EVALUATION]
    check(await load(store, EVALUATION))


@pytest.mark.parametrize(
    ("reorgs", "ends"), [(MOST_REWINDS, [RoundClosed]), (MOST_REWINDS + 1, [RoundVoided, RoundClosed])]
)
async def test_a_chain_that_never_rests_settles_nothing(store: Store, reorgs: int, ends: list[type]) -> None:
    """The reorgs follow upon each other: one block is read between any two."""
    played = await play(store, Scripted({2 * n: 1 for n in range(1, reorgs + 1)}))
    assert [type(event) for event in played.of(RoundClosed, RoundVoided)] == ends


async def test_a_new_registration_starts_without_the_reputation_of_the_old(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[dict[Hotkey, int]] = []

    async def nobody(_store: Store, _job: Job, combined_e18: dict[Hotkey, int], _today: date) -> None:
        known.append(dict(combined_e18))

    async def reputations(_store: Store, job_id: JobId) -> list[MinerScore]:
        one = MinerScore(job_id, FIRST, Uid(0), 3, 8, 5, 1, 1, 0, RoundId("r"), registered_at_block=0)
        return [one, replace(one, hotkey=SECOND, registered_at_block=7)]

    monkeypatch.setattr(job_runner, "live_candidate", nobody)
    monkeypatch.setattr(Store, "reputations", reputations)
    await play(store, Scripted())
    assert known == [{FIRST: 5, SECOND: 0}], "both are registered since block 0"


async def test_why_no_round_can_open_is_told_once_until_one_could(store: Store) -> None:
    away = ChainError("nobody answers", retryable=True)
    played = await play(store, Scripted(refusals=[away, away, None, away]), rounds=2)
    assert [type(event) for event in played.of(Trouble, RoundClosed)] == [Trouble, RoundClosed, Trouble, RoundClosed]


async def test_what_no_waiting_mends_ends_the_job(store: Store) -> None:
    with pytest.raises(ConfigError, match="cannot be played: no such pool"):
        await play(store, Scripted(refusals=[ChainError("no such pool", retryable=False)]))


async def test_a_live_round_that_cannot_be_settled_leaves_the_evaluation_beside_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_runner, "live_candidate", second)
    await store.update_job(JOB, ON_CHAIN)
    played = await play(store, Scripted(vault=HELD, loses_vault=True))
    ended = [(type(event), event.round_id) for event in played.of(RoundClosed, RoundVoided)]
    assert ended == [(RoundClosed, EVALUATION), (RoundVoided, f"{JOB}-live-1")]


async def test_a_live_round_on_chain_opens_only_while_the_gate_is_open(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = iter(("too much", "too much", None, "too much", None))
    asked: list[tuple[int, str]] = []

    async def gate(_store: Store, chain_id: int, vault: str) -> str | None:
        asked.append((chain_id, vault))
        return next(why)

    monkeypatch.setattr(job_runner, "live_candidate", second)
    played = await play(store, Scripted(vault=HELD), gate=gate)
    assert [event.round_type for event in played.of(RoundOpened)] == ["evaluation", "live"], "on paper nobody asks"
    assert asked == []
    await store.update_job(JOB, ON_CHAIN)
    played = await play(store, Scripted(vault=HELD), rounds=5, gate=gate)
    kinds = [event.round_type for event in played.of(RoundOpened)]
    assert kinds == ["evaluation"] * 2 + ["evaluation", "live"] + ["evaluation"] + ["evaluation", "live"]
    told = [event.message for event in played.of(Trouble)]
    assert told == [f"job {JOB} plays evaluations alone for now: too much"] * 2
    assert asked == [(1, VAULT)] * 5
    live = [event for event in played.of(RoundClosed) if event.round_type == "live"]
    assert [list(event.scores) for event in live] == [[SECOND]] * 2
    for event in live:
        stored = await store.get_round(event.round_id)
        assert stored is not None and (stored.mode, stored.round_number) == ("chain", 2 + live.index(event))
