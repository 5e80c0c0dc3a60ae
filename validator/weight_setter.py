"""When weights are set, and for whom: decided by values alone; the chain itself is behind a port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from protocol.errors import ConfigError
from protocol.units import BlockNumber, Uid
from validator.metagraph import Identity, Metagraph
from validator.weight_vector import Weight, WeightLimits, too_few_entries, weights_by_uid


@dataclass(frozen=True, slots=True)
class Epoch:
    """Where the subnet stands in its cycle at `block`, as the chain itself computes it."""

    block: BlockNumber
    index: int
    tempo: int
    last_epoch_block: BlockNumber
    next_epoch_start_block: BlockNumber
    blocks_remaining: int


@dataclass(frozen=True, slots=True)
class WeightSettings:
    """When to act: inside the last `window_blocks` of an epoch, but not in its last `margin_blocks`.

    Failures wait `backoff_blocks`, doubled each time, at most `backoff_max_blocks`. However far off the window is, the
    schedule is read again after `recheck_blocks`: a subnet owner may change the tempo or pull an epoch forward.
    """

    window_blocks: int = 20
    margin_blocks: int = 2
    backoff_blocks: int = 2
    backoff_max_blocks: int = 16
    recheck_blocks: int = 20

    def __post_init__(self) -> None:
        if not 1 <= self.margin_blocks < self.window_blocks:
            raise ConfigError(
                "weights.window_blocks must be larger than weights.margin_blocks, which must be at least 1",
                window_blocks=self.window_blocks,
                margin_blocks=self.margin_blocks,
            )
        if not 1 <= self.backoff_blocks <= self.backoff_max_blocks:
            raise ConfigError(
                "weights.backoff_blocks must lie between 1 and weights.backoff_max_blocks",
                backoff_blocks=self.backoff_blocks,
                backoff_max_blocks=self.backoff_max_blocks,
            )
        if self.recheck_blocks < 1:
            raise ConfigError("weights.recheck_blocks must be at least 1", recheck_blocks=self.recheck_blocks)


class WaitReason(StrEnum):
    ALREADY_SET = "already set in this epoch"
    BEFORE_WINDOW = "the window at the end of the epoch has not opened"
    EPOCH_CLOSING = "too late to be included before the epoch runs"
    RATE_LIMITED = "the chain's rate limit has not passed"
    BACKING_OFF = "backing off after a failure"
    NOTHING_TO_SET = "no registered miner has a positive weight; the weights on chain stay as they are"


@dataclass(frozen=True, slots=True)
class Set:
    """Set weights now, as part of epoch `epoch_index`."""

    epoch_index: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing; unless the subnet's schedule changes, asking again is pointless for `blocks` blocks."""

    reason: WaitReason
    blocks: int


@dataclass(frozen=True, slots=True)
class Attempts:
    """Failures within one epoch."""

    epoch_index: int = -1
    count: int = 0
    last_block: int = -1


NO_ATTEMPTS = Attempts()


class WeightsOutcome(StrEnum):
    """What became of a submission. UNKNOWN: it may or may not have reached the chain."""

    INCLUDED = "included"
    COMMITTED = "committed"
    NOTHING_TO_SET = "nothing_to_set"
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class WeightsResult:
    """One submission: what was sent (uid, u16), at which block it was included, and whether the chain holds it.

    `code` is the chain's semantic error code, empty on success; `reveal_round` is set for a timelocked commit.
    """

    outcome: WeightsOutcome
    block: BlockNumber
    sent: tuple[tuple[Uid, int], ...]
    read_back_ok: bool
    code: str
    message: str
    reveal_round: int | None = None

    @property
    def included(self) -> bool:
        return self.outcome in (WeightsOutcome.INCLUDED, WeightsOutcome.COMMITTED)


@dataclass(frozen=True, slots=True)
class WeightSet:
    """One submission as it is stored."""

    block: BlockNumber
    epoch_index: int
    uids: tuple[Uid, ...]
    weights: tuple[int, ...]
    included: bool
    read_back_ok: bool
    message: str


def should_set(
    epoch: Epoch,
    *,
    blocks_since_last_update: int | None,
    rate_limit: int,
    last_set_epoch: int | None,
    settings: WeightSettings,
    attempts: Attempts = NO_ATTEMPTS,
) -> Set | Wait:
    """Return whether weights are due now: once an epoch, near its end, never against the chain's own rules.

    Parameters: epoch  the chain's view, never `block // tempo`   ·   blocks_since_last_update  None = no entry
                rate_limit  blocks   ·   last_set_epoch  index of the epoch last set in, None = never
                attempts  failures so far, of any epoch
    Returns:    Set, or Wait with the reason and the number of blocks for which the answer cannot change by itself
    Rounding:   none
    Raises:     nothing
    Source:     network reference §6 (rate limit against LastUpdate, stateful epochs) and §7 (cadence)
    """
    remaining = epoch.blocks_remaining
    # Equality, not order: a restarted chain or another network begins its epochs anew and must not silence us.
    if last_set_epoch == epoch.index:
        return Wait(WaitReason.ALREADY_SET, max(1, remaining))
    if remaining > settings.window_blocks:
        return Wait(WaitReason.BEFORE_WINDOW, remaining - settings.window_blocks)
    # The epoch runs at the start of its block, before any extrinsic in it.
    if remaining < settings.margin_blocks:
        return Wait(WaitReason.EPOCH_CLOSING, max(1, remaining))
    if blocks_since_last_update is not None and blocks_since_last_update < rate_limit:
        return Wait(WaitReason.RATE_LIMITED, rate_limit - blocks_since_last_update)
    pause = backoff(attempts, settings) if attempts.epoch_index == epoch.index else 0
    if epoch.block < attempts.last_block + pause:
        return Wait(WaitReason.BACKING_OFF, attempts.last_block + pause - epoch.block)
    return Set(epoch.index)


def backoff(attempts: Attempts, settings: WeightSettings) -> int:
    """Return how many blocks to wait after the last failure.

    Parameters: attempts  failures within one epoch   ·   settings  blocks
    Returns:    backoff_blocks · 2^(count − 1), at most backoff_max_blocks; 0 without a failure
    Rounding:   none
    Raises:     nothing
    Source:     network reference §7
    """
    if attempts.count == 0:
        return 0
    # The shift is bounded first: a long outage must not build a huge integer.
    return min(settings.backoff_blocks << min(attempts.count - 1, 32), settings.backoff_max_blocks)


def after_failure(attempts: Attempts, epoch: Epoch) -> Attempts:
    """Return the count with one more failure; a new epoch starts counting anew.

    Parameters: attempts  so far   ·   epoch  in which the failure happened
    Returns:    attempts of that epoch
    Rounding:   none
    Raises:     nothing
    Source:     network reference §7
    """
    count = attempts.count if attempts.epoch_index == epoch.index else 0
    return Attempts(epoch.index, count + 1, epoch.block)


def start_up_warnings(
    limits: WeightLimits, epoch: Epoch, settings: WeightSettings, *, miners: int, version_key: int, netuid: int
) -> tuple[str, ...]:
    """Return what will keep weights from being set, or set in time, as lines that say what to change.

    Parameters: limits, epoch  the subnet's, now   ·   miners  how many could earn a weight   ·   version_key  ours
    Returns:    no line where all is well. Warnings, not errors: miners register and owners change rules while we run
    Rounding:   none
    Raises:     nothing
    Source:     network reference §6
    """
    lines = [too_few_entries(limits, positive=miners, netuid=netuid)]
    if limits.version_key > version_key:
        lines.append(
            f"subnet {netuid} demands weights version {limits.version_key} and ours is {version_key}: update Tideline"
        )
    if limits.rate_limit > epoch.tempo:
        lines.append(
            f"subnet {netuid} allows weights every {limits.rate_limit} blocks and its epochs last {epoch.tempo}: some "
            "epochs will pass without new weights"
        )
    if settings.margin_blocks >= epoch.tempo:
        lines.append(
            f"weights.margin_blocks ({settings.margin_blocks}) covers the whole epoch of {epoch.tempo} blocks: lower it"
        )
    return tuple(line for line in lines if line is not None)


def to_record(result: WeightsResult, epoch: Epoch) -> WeightSet:
    """Return a submission as it is stored.

    Parameters: result  of the submission   ·   epoch  in which it was decided
    Returns:    the record; `block` is that of inclusion, or of the decision where nothing was included
    Rounding:   none
    Raises:     nothing
    Source:     network reference §7 (confirmation)
    """
    return WeightSet(
        block=result.block,
        epoch_index=epoch.index,
        uids=tuple(uid for uid, _ in result.sent),
        weights=tuple(value for _, value in result.sent),
        included=result.included,
        read_back_ok=result.read_back_ok,
        message=result.message,
    )


class WeightsChain(Protocol):
    """What the setter needs of a chain."""

    async def epoch(self) -> Epoch: ...

    async def limits(self) -> WeightLimits: ...

    async def blocks_since_last_update(self) -> int | None: ...

    async def metagraph(self) -> Metagraph: ...

    async def set_weights(self, weights: Mapping[Uid, int]) -> WeightsResult: ...


class WeightSetter:
    """Remembers what was set, and takes one step whenever it is called."""

    def __init__(self, chain: WeightsChain, settings: WeightSettings, *, last_set_epoch: int | None = None) -> None:
        self._chain = chain
        self._settings = settings
        self._last_set_epoch = last_set_epoch
        self._attempts = NO_ATTEMPTS

    @property
    def last_set_epoch(self) -> int | None:
        return self._last_set_epoch

    async def step(self, weights: Mapping[Identity, Weight]) -> WeightSet | Wait:
        """Set weights if they are due and return the record; a chain that fails counts as an attempt and is raised."""
        epoch = await self._chain.epoch()
        limits = await self._chain.limits()
        since = await self._chain.blocks_since_last_update()
        if self._has_arrived(epoch, since):
            self._last_set_epoch, self._attempts = epoch.index, NO_ATTEMPTS
        decision = should_set(
            epoch,
            blocks_since_last_update=since,
            rate_limit=limits.rate_limit,
            last_set_epoch=self._last_set_epoch,
            settings=self._settings,
            attempts=self._attempts,
        )
        if isinstance(decision, Wait):
            return replace(decision, blocks=min(decision.blocks, self._settings.recheck_blocks))
        # The seats are read after the decision, as close to the submission as they can be.
        by_uid = weights_by_uid(weights, await self._chain.metagraph())
        if not by_uid:
            return Wait(WaitReason.NOTHING_TO_SET, 1)
        # Counted before the call: whatever interrupts it, the next attempt backs off.
        self._attempts = after_failure(self._attempts, epoch)
        result = await self._chain.set_weights(by_uid)
        if result.included:
            self._last_set_epoch, self._attempts = epoch.index, NO_ATTEMPTS
        return to_record(result, epoch)

    def _has_arrived(self, epoch: Epoch, since: int | None) -> bool:
        """Whether an attempt of unknown outcome was included after all: only our own hotkey moves LastUpdate."""
        if self._attempts.epoch_index != epoch.index or since is None:
            return False
        return epoch.block - since >= self._attempts.last_block
