"""Setting weights beside the rounds, with the real client, real keys and the in-memory chain."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.rows import make_finish, make_score, make_start
from support.services import Watch, recorded_job

from db.store import Store
from protocol.errors import ChainError, ConfigError, StoreError
from protocol.signing import keypair_from_uri
from protocol.subtensor import ChainEndpoint
from protocol.units import Hotkey
from tideline.embedded_chain import SubnetRules
from tideline.embedded_subtensor import InMemorySubtensor
from validator.progress import Trouble, WeightsWritten
from validator.reputation import advance
from validator.subtensor import ValidatorChain
from validator.weight_setter import WeightSetter, WeightSettings
from validator.weights_service import (
    CONFIRM_BLOCKS,
    REGISTRATION_BLOCKS,
    RETRY_MAX_BLOCKS,
    SCORING_VERSION,
    RegistrationWatch,
    WeightsService,
    repeat,
    run_beside,
    warn_at_start,
)

NETUID = 98
TAO = 10**9
KEYS = {name: keypair_from_uri(f"//{name}") for name in ("owner", "val", "miner", "thief", "cold")}
ADDRESS = {name: key.ss58_address for name, key in KEYS.items()}
SETTINGS = WeightSettings()


def make_chain(**rules: object) -> InMemorySubtensor:
    """uid 0 the owner, 1 a validator with a permit, 2 a miner."""
    settings = {"tempo": 50, "weights_rate_limit": 20, **rules}
    chain = InMemorySubtensor(SubnetRules(NETUID, ADDRESS["owner"], ADDRESS["cold"], **settings), start_block=1_000)
    for name in ("owner", "val", "miner"):
        chain.register(ADDRESS[name], ADDRESS["cold"], stake=100 * TAO if name == "val" else 0)
    chain.run_epoch()
    return chain


@dataclass
class ChainClock:
    """Lets the in-memory chain make the blocks that are waited for, until it has made enough."""

    chain: InMemorySubtensor
    until: int
    waits: list[int] = field(default_factory=list)
    at: dict[int, Callable[[], object]] = field(default_factory=dict)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_blocks(self, blocks: int) -> None:
        self.waits.append(blocks)
        target = self.chain.head + blocks
        for block in sorted(b for b in self.at if self.chain.head < b <= target):
            self.chain.advance_to(block)
            self.at.pop(block)()
        self.chain.advance_to(max(target, self.chain.head))
        if target >= self.until:
            self.reached.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)


async def rounds_until(*events: asyncio.Event) -> None:
    """Stand for rounds that end when one of these is set."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=30)
    for task in waiting:
        task.cancel()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A database in which the miner of uid 2 has won a round."""
    async with await Store.open(f"sqlite:///{tmp_path}/jobs.sqlite3", create=True) as opened:
        await opened.add_job(recorded_job("a"))
        start = make_start(1, "a")
        score = make_score(Hotkey(ADDRESS["miner"]), 10**15, uid=2, registered_at_block=1_000)
        await opened.start_round(start)
        await opened.finish_round(make_finish(start, score, winner_hotkey=score.hotkey), advance)
        yield opened


@dataclass
class Bench:
    """A weights service on a chain."""

    chain: InMemorySubtensor
    view: ValidatorChain
    store: Store
    watch: Watch = field(default_factory=Watch)

    def service(self, clock: ChainClock) -> WeightsService:
        setter = WeightSetter(self.view, SETTINGS)
        return WeightsService(setter, self.store, clock, self.watch, netuid=NETUID)


async def connected(chain: InMemorySubtensor, *, version_key: int = SCORING_VERSION) -> ValidatorChain:
    return await ValidatorChain.connect(
        ChainEndpoint("local", NETUID, substrate=chain), KEYS["val"], version_key=version_key
    )


@pytest.fixture
async def bench(store: Store) -> AsyncIterator[Bench]:
    chain = make_chain()
    view = await connected(chain)
    yield Bench(chain, view, store)
    await view.close()


async def test_weights_are_set_once_an_epoch_stored_and_told(bench: Bench) -> None:
    clock, stop = ChainClock(bench.chain, until=1_000 + 4 * 51), asyncio.Event()
    await bench.service(clock).run_beside(rounds_until(clock.reached, stop), stop)
    written = bench.watch.of(WeightsWritten)
    assert [(e.weights, e.is_confirmed) for e in written] == [({2: 1.0}, True)] * len(written)
    assert len(written) in (3, 4) and len({e.epoch_index for e in written}) == len(written)
    last = await bench.store.last_weight_set(NETUID, included_only=True)
    assert last is not None and (last.epoch_index, last.block) == (written[-1].epoch_index, written[-1].block)
    assert json.loads(last.weights) == {"2": 65535} and last.read_back_ok
    assert bench.watch.of(Trouble) == []


async def test_a_hotkey_that_loses_its_seat_stops_the_rounds_and_ends_the_validator(bench: Bench) -> None:
    clock, stop = ChainClock(bench.chain, until=10_000), asyncio.Event()
    clock.at[1_030] = lambda: bench.chain.register(ADDRESS["thief"], ADDRESS["cold"], uid=1)
    with pytest.raises(ConfigError, match="is not registered on subnet 98"):
        await bench.service(clock).run_beside(rounds_until(stop), stop)
    assert stop.is_set()
    [doubt] = bench.watch.of(Trouble)
    assert f"asked again in {CONFIRM_BLOCKS} blocks" in doubt.message


async def test_one_wrong_no_of_a_node_ends_nothing(bench: Bench) -> None:
    clock, stop = ChainClock(bench.chain, until=1_120), asyncio.Event()
    seats = bench.chain.subnet

    def lose() -> None:
        bench.chain.register(ADDRESS["thief"], ADDRESS["cold"], uid=1)

    clock.at[1_030] = lose
    clock.at[1_034] = lambda: bench.chain._store(seats)  # the node had lagged, or was on a fork
    await bench.service(clock).run_beside(rounds_until(clock.reached, stop), stop)
    assert not clock.at and len(bench.watch.of(Trouble)) <= 1


async def test_without_weights_the_seat_is_watched_all_the_same(bench: Bench) -> None:
    clock, stop = ChainClock(bench.chain, until=10_000), asyncio.Event()
    clock.at[1_060] = lambda: bench.chain.register(ADDRESS["thief"], ADDRESS["cold"], uid=1)
    watch = RegistrationWatch(bench.view, clock, bench.watch)
    with pytest.raises(ConfigError, match="is not registered"):
        await watch.run_beside(rounds_until(stop), stop)
    assert clock.waits[:2] == [REGISTRATION_BLOCKS] * 2 and clock.waits[-1] == CONFIRM_BLOCKS
    assert bench.watch.of(WeightsWritten) == []
    assert bench.chain.subnet.seats[1].weights == ()


async def test_the_rounds_ending_ends_the_weights(bench: Bench) -> None:
    stop = asyncio.Event()

    class Never:
        async def wait_blocks(self, blocks: int) -> None:
            await asyncio.Event().wait()

    done = asyncio.Event()
    done.set()
    service = WeightsService(WeightSetter(bench.view, SETTINGS), bench.store, Never(), bench.watch, netuid=NETUID)
    await asyncio.wait_for(service.run_beside(rounds_until(done), stop), 10)


async def test_an_error_of_the_rounds_is_the_one_that_is_raised(bench: Bench) -> None:
    async def fail() -> None:
        raise StoreError("the database is gone")

    with pytest.raises(StoreError, match="gone"):
        await run_beside(asyncio.Event().wait(), fail(), asyncio.Event())  # type: ignore[arg-type]  # never returns


@dataclass
class Script:
    """A step that answers by a list, over and over the last."""

    answers: list[int | Exception]
    taken: int = 0

    async def __call__(self) -> int:
        answer = self.answers[min(self.taken, len(self.answers) - 1)]
        self.taken += 1
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class CountingClock:
    """Notes the waits and ends the loop after so many."""

    most: int
    waits: list[int] = field(default_factory=list)

    async def wait_blocks(self, blocks: int) -> None:
        self.waits.append(blocks)
        if len(self.waits) == self.most:
            raise asyncio.CancelledError


async def waits_of(step: Callable[[], Awaitable[int]], most: int) -> tuple[list[int], list[str]]:
    clock, watch = CountingClock(most), Watch()
    with pytest.raises(asyncio.CancelledError):
        await repeat(step, clock, watch)
    return clock.waits, [event.message for event in watch.of(Trouble)]


async def test_a_chain_or_a_database_that_fails_is_tried_again_ever_more_slowly() -> None:
    down: list[int | Exception] = [ChainError("nobody answers", retryable=True), StoreError("locked")]
    waits, troubles = await waits_of(Script([7, *down * 4, 7, down[0]]), 11)
    assert waits == [7, 1, 2, 4, 8, 8, 8, 8, 8, 7, 1] and RETRY_MAX_BLOCKS == 8
    assert troubles[0] == "weights: nobody answers; tried again in 1 blocks" and len(troubles) == 9


async def test_an_operators_error_is_believed_the_second_time_in_a_row() -> None:
    lost = ConfigError("not registered")
    waits, troubles = await waits_of(Script([lost, 3, lost, 4]), 4)
    assert waits == [CONFIRM_BLOCKS, 3, CONFIRM_BLOCKS, 4] and len(troubles) == 2
    with pytest.raises(ConfigError, match="not registered"):
        await repeat(Script([lost, ChainError("silent", retryable=True), lost]), CountingClock(9), Watch())


async def told_at_start(chain: InMemorySubtensor, *, break_chain: bool = False) -> list[str]:
    view, watch = await connected(chain), Watch()
    if break_chain:

        async def refuse(*_: object, **__: object) -> None:
            raise ChainError("nobody answers", retryable=True)

        view.limits = refuse  # type: ignore[method-assign,assignment]
    await warn_at_start(view, ADDRESS["val"], SETTINGS, watch, netuid=NETUID)
    await view.close()
    return [event.message for event in watch.of(Trouble)]


async def test_at_the_start_it_says_what_will_keep_weights_from_being_set() -> None:
    lines = await told_at_start(make_chain(version_key=SCORING_VERSION + 1, min_allowed_weights=9))
    assert len(lines) == 2
    assert "fewer than 9 non-zero entries" in lines[0]
    assert f"demands weights version {SCORING_VERSION + 1} and ours is {SCORING_VERSION}" in lines[1]


async def test_at_the_start_a_missing_permit_is_named() -> None:
    chain = make_chain(min_allowed_weights=0)
    assert await told_at_start(chain) == []
    poor = InMemorySubtensor(chain.subnet.rules, start_block=1_000)
    for name in ("owner", "val", "miner"):
        poor.register(ADDRESS[name], ADDRESS["cold"])
    assert "has no validator permit on subnet 98" in (await told_at_start(poor))[-1]


async def test_at_the_start_a_silent_chain_ends_nothing() -> None:
    [line] = await told_at_start(make_chain(), break_chain=True)
    assert line == "the subnet's rules could not be read: nobody answers"
