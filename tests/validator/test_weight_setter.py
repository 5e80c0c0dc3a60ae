from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ChainError, ConfigError, SimulationError
from protocol.units import BlockNumber, Hotkey, Uid
from validator.metagraph import Identity, Metagraph, Neuron
from validator.weight_setter import (
    Attempts,
    Epoch,
    Set,
    Wait,
    WaitReason,
    WeightSet,
    WeightSetter,
    WeightSettings,
    WeightsOutcome,
    WeightsResult,
    after_failure,
    backoff,
    should_set,
    start_up_warnings,
    to_record,
)
from validator.weight_vector import U16_MAX, WeightLimits

SETTINGS = WeightSettings(window_blocks=20, margin_blocks=2, backoff_blocks=2, backoff_max_blocks=16)
LIMITS = WeightLimits(min_allowed=1, max_weight_limit=U16_MAX, rate_limit=25, version_key=0, commit_reveal=False)


def epoch_at(block: int, *, last: int = 1_000, tempo: int = 50, index: int = 7) -> Epoch:
    return Epoch(
        block=BlockNumber(block),
        index=index,
        tempo=tempo,
        last_epoch_block=BlockNumber(last),
        next_epoch_start_block=BlockNumber(last + tempo),
        blocks_remaining=max(0, last + tempo - block),
    )


def identity(hotkey: str, block: int = 10) -> Identity:
    return Identity(Hotkey(hotkey), BlockNumber(block))


def graph(*tenants: Identity) -> Metagraph:
    neurons = tuple(
        Neuron(
            uid=Uid(uid),
            hotkey=tenant.hotkey,
            coldkey="cold",
            stake=0,
            validator_permit=False,
            registered_at_block=tenant.registered_at_block,
            axon=None,
            last_update=tenant.registered_at_block,
        )
        for uid, tenant in enumerate(tenants)
    )
    return Metagraph(98, BlockNumber(1_000), neurons, Hotkey("owner"))


def decide(epoch: Epoch, **changes: object) -> Set | Wait:
    arguments = {"blocks_since_last_update": 60, "rate_limit": 25, "last_set_epoch": 6, "settings": SETTINGS}
    return should_set(epoch, **{**arguments, **changes})


@pytest.mark.parametrize(
    ("block", "changes", "expected"),
    [
        (1_000, {}, Wait(WaitReason.BEFORE_WINDOW, 30)),
        (1_029, {}, Wait(WaitReason.BEFORE_WINDOW, 1)),
        (1_030, {}, Set(7)),
        (1_048, {}, Set(7)),  # missed for most of the window: still in time
        (1_049, {}, Wait(WaitReason.EPOCH_CLOSING, 1)),
        (1_052, {}, Wait(WaitReason.EPOCH_CLOSING, 1)),  # the epoch is overdue and deferred
        (1_030, {"last_set_epoch": 7}, Wait(WaitReason.ALREADY_SET, 20)),
        (1_030, {"last_set_epoch": None}, Set(7)),
        (1_030, {"last_set_epoch": 900}, Set(7)),  # another chain's counter must not silence us
        (1_030, {"blocks_since_last_update": 24}, Wait(WaitReason.RATE_LIMITED, 1)),
        (1_030, {"blocks_since_last_update": 25}, Set(7)),
        (1_030, {"blocks_since_last_update": None}, Set(7)),
        (1_031, {"attempts": Attempts(7, 1, 1_030)}, Wait(WaitReason.BACKING_OFF, 1)),
        (1_032, {"attempts": Attempts(7, 1, 1_030)}, Set(7)),
        (1_035, {"attempts": Attempts(7, 3, 1_034)}, Wait(WaitReason.BACKING_OFF, 7)),
        (1_035, {"attempts": Attempts(6, 9, 1_034)}, Set(7)),  # the failures of an earlier epoch are forgotten
    ],
)
def test_when_weights_are_due(block: int, changes: dict[str, object], expected: Set | Wait) -> None:
    assert decide(epoch_at(block), **changes) == expected


def test_a_tempo_change_moves_the_window() -> None:
    longer = epoch_at(1_040, last=1_030, tempo=100)  # changed at 1 030: the cycle began anew
    shorter = epoch_at(1_040, last=1_030, tempo=20)
    assert (decide(longer), decide(shorter)) == (Wait(WaitReason.BEFORE_WINDOW, 70), Set(7))


@given(
    tempo=st.integers(3, 400),
    rate_limit=st.integers(0, 500),
    window=st.integers(2, 60),
    failing=st.sets(st.integers(0, 900)),
)
def test_a_validator_that_polls_every_block_sets_once_an_epoch_and_never_too_fast(
    tempo: int, rate_limit: int, window: int, failing: set[int]
) -> None:
    settings = replace(SETTINGS, window_blocks=window, margin_blocks=1)
    last_set_epoch, last_update, attempts, blocks = None, 0, Attempts(), []
    epochs = 900 // tempo
    for block in range(1, epochs * tempo):
        epoch = epoch_at(block, last=block - block % tempo, tempo=tempo, index=block // tempo)
        decision = should_set(
            epoch,
            blocks_since_last_update=block - last_update,
            rate_limit=rate_limit,
            last_set_epoch=last_set_epoch,
            settings=settings,
            attempts=attempts,
        )
        if isinstance(decision, Set):
            assert 1 <= epoch.blocks_remaining <= window
            if block in failing:
                attempts = after_failure(attempts, epoch)
                continue
            last_set_epoch, last_update = decision.epoch_index, block
            blocks.append(block)
    assert len({block // tempo for block in blocks}) == len(blocks)
    assert all(later - earlier >= rate_limit for earlier, later in zip([0, *blocks], blocks, strict=False))
    if not failing and rate_limit <= 1:
        assert len(blocks) == epochs


def test_backoff_doubles_up_to_its_limit_and_starts_anew_with_the_epoch() -> None:
    pauses, attempts = [], Attempts()
    for _ in range(6):
        attempts = after_failure(attempts, epoch_at(1_030))
        pauses.append(backoff(attempts, SETTINGS))
    assert pauses == [2, 4, 8, 16, 16, 16]
    assert backoff(Attempts(7, 10**9, 1_000), SETTINGS) == 16
    assert after_failure(attempts, epoch_at(1_080, index=8)) == Attempts(8, 1, 1_080)


@pytest.mark.parametrize(
    "wrong",
    [
        {"margin_blocks": 0},
        {"margin_blocks": 20},
        {"backoff_blocks": 0},
        {"backoff_max_blocks": 1},
        {"recheck_blocks": 0},
    ],
)
def test_settings_that_could_never_work_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="weights"):
        replace(SETTINGS, **wrong)


def test_start_up_names_what_will_keep_weights_from_being_set() -> None:
    def warn(limits: WeightLimits, **changes: int) -> list[str]:
        arguments = {"miners": 4, "version_key": 0, "netuid": 98, **changes}
        return [line.split(": ")[-1] for line in start_up_warnings(limits, epoch_at(1_000), SETTINGS, **arguments)]

    assert warn(LIMITS) == []
    assert warn(replace(LIMITS, version_key=3), version_key=3) == []
    assert warn(replace(LIMITS, min_allowed=8, version_key=3, rate_limit=51)) == [
        "the subnet owner can lower min_allowed_weights, or more miners must earn a weight",
        "update Tideline",
        "some epochs will pass without new weights",
    ]
    short = start_up_warnings(LIMITS, epoch_at(1_000, tempo=2), SETTINGS, miners=4, version_key=0, netuid=98)
    assert [line.split(" ")[0] for line in short] == ["subnet", "weights.margin_blocks"]


class ScriptedChain:
    """The port with its answers written down; the block is moved by the test."""

    def __init__(self, seats: Metagraph) -> None:
        self.block, self.last_update, self.seats = 1_000, 900, seats
        self.sent: list[tuple[int, dict[Uid, int]]] = []
        self.refusals: list[WeightsOutcome | ChainError] = []

    async def epoch(self) -> Epoch:
        number = (self.block - 1_000) // 50
        return epoch_at(self.block, last=1_000 + 50 * number, index=number)

    async def limits(self) -> WeightLimits:
        return LIMITS

    async def blocks_since_last_update(self) -> int | None:
        return self.block - self.last_update

    async def metagraph(self) -> Metagraph:
        return self.seats

    async def set_weights(self, weights: Mapping[Uid, int]) -> WeightsResult:
        self.sent.append((self.block, dict(weights)))
        outcome = self.refusals.pop(0) if self.refusals else WeightsOutcome.INCLUDED
        if isinstance(outcome, ChainError):
            raise outcome
        included = outcome is WeightsOutcome.INCLUDED
        self.last_update = self.block if included else self.last_update
        sent = tuple(weights.items())
        return WeightsResult(outcome, BlockNumber(self.block), sent, read_back_ok=included, code="", message="")


async def run(setter: WeightSetter, chain: ScriptedChain, weights: Mapping[Identity, float], blocks: range) -> None:
    for block in blocks:
        chain.block = block
        try:
            await setter.step(weights)
        except ChainError as error:
            assert error.retryable


async def test_one_step_a_block_sets_once_an_epoch() -> None:
    chain = ScriptedChain(graph(identity("a"), identity("b")))
    setter = WeightSetter(chain, SETTINGS)
    await run(setter, chain, {identity("a"): 2, identity("b"): 1}, range(1_000, 1_200))
    assert chain.sent == [(block, {0: 65535, 1: 32768}) for block in (1_030, 1_080, 1_130, 1_180)]
    assert setter.last_set_epoch == 3


async def test_failures_back_off_inside_the_epoch_and_end_with_it() -> None:
    chain = ScriptedChain(graph(identity("a")))
    chain.refusals = [
        WeightsOutcome.REFUSED,
        ChainError("lost", retryable=True),
        WeightsOutcome.UNKNOWN,
        WeightsOutcome.REFUSED,
    ]
    setter = WeightSetter(chain, SETTINGS)
    await run(setter, chain, {identity("a"): 1}, range(1_000, 1_100))
    assert [block for block, _ in chain.sent] == [1_030, 1_032, 1_036, 1_044, 1_080]


async def test_an_attempt_that_arrives_late_is_not_made_again() -> None:
    chain = ScriptedChain(graph(identity("a")))
    chain.refusals = [WeightsOutcome.UNKNOWN]
    setter = WeightSetter(chain, SETTINGS)
    await run(setter, chain, {identity("a"): 1}, range(1_030, 1_031))
    chain.last_update = 1_031  # included one block after we had given up
    await run(setter, chain, {identity("a"): 1}, range(1_031, 1_050))
    assert ([block for block, _ in chain.sent], setter.last_set_epoch) == ([1_030], 0)


async def test_a_restarted_setter_does_not_set_again_in_the_same_epoch() -> None:
    chain = ScriptedChain(graph(identity("a")))
    chain.block = 1_030
    first = await WeightSetter(chain, SETTINGS).step({identity("a"): 1})
    chain.block = 1_040
    remembered = await WeightSetter(chain, SETTINGS, last_set_epoch=0).step({identity("a"): 1})
    forgotten = await WeightSetter(chain, SETTINGS).step({identity("a"): 1})
    assert isinstance(first, WeightSet) and len(chain.sent) == 1
    assert (remembered, forgotten) == (Wait(WaitReason.ALREADY_SET, 10), Wait(WaitReason.RATE_LIMITED, 15))


async def test_the_schedule_is_read_again_long_before_a_far_window() -> None:
    chain = ScriptedChain(graph(identity("a")))
    setter = WeightSetter(chain, replace(SETTINGS, recheck_blocks=7))
    assert await setter.step({identity("a"): 1}) == Wait(WaitReason.BEFORE_WINDOW, 7)


async def test_all_zero_keeps_what_is_on_chain() -> None:
    chain = ScriptedChain(graph(identity("a"), identity("b")))
    setter = WeightSetter(chain, SETTINGS)
    chain.block = 1_030
    assert await setter.step({identity("a"): 0, identity("gone"): 5}) == Wait(WaitReason.NOTHING_TO_SET, 1)
    assert (chain.sent, setter.last_set_epoch) == ([], None)


async def test_our_own_failed_arithmetic_sends_nothing() -> None:
    chain = ScriptedChain(graph(identity("a"), identity("b")))
    chain.block = 1_030
    with pytest.raises(SimulationError):
        await WeightSetter(chain, SETTINGS).step({identity("a"): math.nan, identity("b"): 1})
    assert chain.sent == []


def test_the_record_holds_the_whole_submission() -> None:
    sent = ((Uid(1), 65535), (Uid(4), 7))
    result = WeightsResult(WeightsOutcome.INCLUDED, BlockNumber(1_031), sent, read_back_ok=True, code="", message="")
    assert to_record(result, epoch_at(1_030)) == WeightSet(
        block=BlockNumber(1_031),
        epoch_index=7,
        uids=(Uid(1), Uid(4)),
        weights=(65535, 7),
        included=True,
        read_back_ok=True,
        message="",
    )
