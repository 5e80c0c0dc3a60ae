"""One round of one job: a pure state machine from an opening, blocks and answers to scores.

    STREAMING --block n--> STREAMING          plans due at n, restrike, events, tripwire
    STREAMING --checkpoint block--> ASKING    every active participant is shown its own portfolio
    ASKING --answers--> STREAMING             answers become plans, due at the effective block
    STREAMING --end block--> FINISHED
    STREAMING --tripwire--> raises Divergence; the round is inconclusive and nobody is touched

The service that runs a round, the verification of evidence and a miner's back-test all drive this one class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from protocol.errors import SimulationError
from protocol.units import Hotkey
from simulator.answers import Answer, Malformed, NoAnswer, Positions, Refusal
from simulator.base_fork import BaseFork, Divergence
from simulator.engine import Engine
from simulator.events import Block
from simulator.fork import Fork
from simulator.ledger import Account, Ledger
from simulator.opening import RoundOpening
from simulator.participant import AnswerNote, Checkpoint, Noted, Outcome, Participant, PoolView
from simulator.pool import PoolRevert
from simulator.recovery import Happening
from simulator.scoring import SCORE_UNIT, score_round
from simulator.settlement import Settlement, check_nav
from simulator.timetable import Due, Timetable
from simulator.valuation import Prices

Ask: TypeAlias = Checkpoint[Hotkey]


@dataclass(frozen=True, slots=True)
class ParticipantResult:
    """A participant's round: `score_e18` and `ledger` are None when it was not part of it."""

    hotkey: Hotkey
    outcome: Outcome
    score_e18: int | None
    ledger: Ledger | None
    is_over_share: bool

    @property
    def is_scored(self) -> bool:
        """Whether the participant was part of the round."""
        return self.score_e18 is not None

    @property
    def can_win(self) -> bool:
        """Whether the participant may win the round."""
        return self.is_scored and self.outcome is not Outcome.INVALID


@dataclass(frozen=True, slots=True)
class RoundResult:
    """A finished round, participants in the order of the opening."""

    participants: tuple[ParticipantResult, ...]
    benchmark: Ledger
    end_block: int
    end_timestamp: int
    swaps: int
    liquidity_changes: int


class _Stage(Enum):
    STREAMING = auto()
    ASKING = auto()
    FINISHED = auto()


class Round:
    """Drives one base fork, one benchmark fork and a fork per participant through the same blocks.

    The result does not depend on the engine.
    """

    def __init__(self, opening: RoundOpening, *, engine: Engine = "python") -> None:
        opening.snapshot.check()
        self.opening = opening
        snapshot = opening.snapshot
        template = Fork.from_opening(snapshot, opening.vault, engine=engine)
        self._numeraire = opening.numeraire(template.portfolio().total)
        prices = self._numeraire.prices(snapshot.sqrt_price_x96)
        self._base = BaseFork(snapshot, engine=engine)
        self._benchmark = self._account(template.copy(), prices)
        self._participants = {
            hotkey: Participant(self._account(template.copy(), prices), is_on_chain=opening.is_on_chain)
            for hotkey in opening.participants
        }
        self._block_number = snapshot.block_number
        self._block_hash = snapshot.block_hash
        self._timestamp = snapshot.timestamp
        self._times = Timetable(opening.schedule, snapshot.block_number, snapshot.timestamp)
        self._stage = _Stage.STREAMING
        self._is_settled = False
        self._acted: set[int] = set()  # blocks in which the real vault did something
        self._enter_checkpoint()

    def _account(self, fork: Fork, prices: Prices) -> Account:
        return Account(fork, self.opening.gas, prices, self.opening.snapshot.timestamp)

    @property
    def is_finished(self) -> bool:
        """Whether the end block has been applied."""
        return self._stage is _Stage.FINISHED

    @property
    def block_number(self) -> int:
        """The last block applied."""
        return self._block_number

    @property
    def pool(self) -> PoolView:
        """The real pool as it stands on the base fork."""
        return PoolView.of(self._base.pool)

    def values_against_benchmark(self) -> dict[Hotkey, int]:
        """Return what each participant's portfolio is worth now less the benchmark's, in 1e-18 of the benchmark: for
        display.
        """
        prices = self._prices()
        benchmark = self._benchmark.value(prices)
        return {
            hotkey: (p.account.value(prices) - benchmark) * SCORE_UNIT // benchmark
            for hotkey, p in self._participants.items()
            if not p.is_out
        }

    def pending_ask(self) -> Ask | None:
        """Return the checkpoint that waits for answers, or None while blocks are wanted."""
        if self._stage is not _Stage.ASKING or self._times.effective_block is None:
            return None
        shown = {
            hotkey: participant.shown() for hotkey, participant in self._participants.items() if participant.is_asked
        }
        return Checkpoint(
            index=self._times.checkpoints - 1,
            block_number=self._block_number,
            block_hash=self._block_hash,
            timestamp=self._timestamp,
            effective_block=self._times.effective_block,
            pool=self.pool,
            shown=shown,
        )

    def answer(self, answers: Mapping[Hotkey, Answer]) -> dict[Hotkey, AnswerNote]:
        """Take the answers to the pending ask; a participant without one has timed out. Returns the verdict on each."""
        if self._stage is not _Stage.ASKING:
            raise SimulationError("no checkpoint is waiting for answers", block=self._block_number)
        is_first = self._times.checkpoints == 1
        notes = {
            hotkey: self._note(participant, answers.get(hotkey, NoAnswer("no answer")), is_first=is_first)
            for hotkey, participant in self._participants.items()
            if participant.is_asked
        }
        self._stage = _Stage.STREAMING
        return notes

    def _note(self, participant: Participant, answer: Answer, *, is_first: bool) -> AnswerNote:
        match answer:
            case Positions(desired):
                return participant.desire(desired)
            case Malformed(reason):
                participant.outcome = Outcome.INVALID
                return AnswerNote(Noted.INVALID, reason)
            case Refusal(reason):
                participant.is_asked = False
                participant.is_out = is_first
                participant.outcome = Outcome.REFUSED if is_first else participant.outcome
                return AnswerNote(Noted.REFUSED, reason)
            case NoAnswer(reason):
                participant.is_asked = not is_first
                participant.is_out = is_first
                participant.outcome = Outcome.TIMEOUT if is_first else participant.outcome
                return AnswerNote(Noted.TIMEOUT, reason)

    def advance(self, block: Block) -> None:
        """Apply the next block. Raises SimulationError when it is not the next, Divergence when the tripwire fires."""
        self._check_block(block)
        for account in (self._benchmark, *(p.account for p in self._in_round())):
            account.tick_clock(block.timestamp)
        self._timestamp = block.timestamp
        is_going_on = False  # what the vault does in one go has one mark, before it
        self._mark_if_due(block)
        for event in block.events:
            is_own, begins = block.is_own(event), not is_going_on
            if is_own and self.opening.is_on_chain and begins:
                self._mark()
            is_going_on = is_own
            happening = self._base.apply(block, event)
            if is_own:  # the forks hold what the opening portfolio and the plans became instead (design §4.3)
                self._follow(happening, block, begins=begins)
                continue
            try:
                self._benchmark.fork.apply_foreign(happening, block.timestamp)
            except PoolRevert as revert:
                where = {"block": block.number, "log_index": event.log_index, "reason": revert.reason}
                raise Divergence("impossible_beside_the_vault", **where) from revert
            for participant in self._in_round():
                if not participant.is_withdrawn:
                    participant.live_through(happening, block.timestamp, self._prices)
        self._block_number, self._block_hash = block.number, block.block_hash
        if block.number == self._times.end_block:
            self._stage = _Stage.FINISHED
        else:
            self._enter_checkpoint()

    def _follow(self, happening: Happening, block: Block, *, begins: bool) -> None:
        """On chain, let what the real vault did happen on the fork that is the real vault."""
        self._acted.add(block.number)
        for participant in self._in_round() if self.opening.is_on_chain else ():
            participant.account.fork.pool.timestamp = block.timestamp
            participant.account.follow(happening, begins=begins)
            if PoolView.of(participant.account.fork.pool) != self.pool:
                raise Divergence("vault_apart", pool=self.opening.snapshot.pair_address, block=block.number)

    def _check_block(self, block: Block) -> None:
        where = {"pool": self.opening.snapshot.pair_address, "block": block.number}
        if self._stage is not _Stage.STREAMING:
            raise SimulationError(f"a block arrived while the round is {self._stage.name.lower()}", **where)
        if block.number != self._block_number + 1:
            raise Divergence("missed_block", expected=self._block_number + 1, **where)
        if block.parent_hash != self._block_hash:
            raise Divergence("reorg", expected_parent=self._block_hash, parent=block.parent_hash, **where)
        if block.timestamp < self._timestamp:
            raise Divergence("clock_went_back", **where)

    def _mark_if_due(self, block: Block) -> None:
        """Before a block's events: plans that become effective here, and the restrike that all accounts share."""
        due = self._times.enter(block.number, block.timestamp)
        if due is not Due.NOTHING:
            self._mark(is_effective=due is Due.PLANS)

    def _mark(self, *, is_effective: bool = False) -> None:
        prices = self._prices()
        self._benchmark.mark(prices)
        for participant in self._in_round():
            participant.settle(prices, is_effective=is_effective)

    def _in_round(self) -> list[Participant]:
        return [p for p in self._participants.values() if not p.is_out]

    def _prices(self) -> Prices:
        return self._numeraire.prices(self._base.pool.sqrt_price_x96)

    def _enter_checkpoint(self) -> None:
        """Enter ASKING when the block just applied is a checkpoint and somebody is to be asked."""
        if self._times.leave(self._block_number) and any(p.is_asked for p in self._participants.values()):
            self._stage = _Stage.ASKING

    def settle(self, settlement: Settlement) -> None:
        """Take what the chain says of a finished round on chain, once: what the vault holds, and what gas cost.

        Raises SimulationError when the vault holds less than the round has seen it come to, or did something that is
        no plan of this round: its owner's act, or a plan of the round before that came late.
        """
        if self._stage is not _Stage.FINISHED or not self.opening.is_on_chain or self._is_settled:
            raise SimulationError("only a finished round on chain is settled, once", block=self._block_number)
        self._is_settled = True
        strange = self._acted - {paid.block_number for paid in settlement.paid}
        if strange:
            raise SimulationError("the vault did what is no plan of this round", block=min(strange))
        for participant in self._in_round():
            check_nav(participant.account.fork, settlement.vault, self._base.pool)
            for paid in settlement.paid:
                participant.account.charge_paid(paid.gas_used, paid.fee_wei)

    def result(self) -> RoundResult:
        """Close every account and return the scores. Raises SimulationError unless the round is finished."""
        if self._stage is not _Stage.FINISHED or self.opening.is_on_chain != self._is_settled:
            raise SimulationError("the round is not finished", block=self._block_number)
        prices = self._prices()
        benchmark = self._benchmark.close(prices)
        return RoundResult(
            participants=tuple(
                self._participant_result(h, p, prices, benchmark) for h, p in self._participants.items()
            ),
            benchmark=benchmark,
            end_block=self._block_number,
            end_timestamp=self._timestamp,
            swaps=self._base.swaps,
            liquidity_changes=self._base.liquidity_changes,
        )

    def _participant_result(
        self, hotkey: Hotkey, participant: Participant, prices: Prices, benchmark: Ledger
    ) -> ParticipantResult:
        if participant.is_out:
            return ParticipantResult(hotkey, participant.outcome, None, None, is_over_share=False)
        ledger = participant.account.close(prices)
        over = ledger.max_share_ppm > self.opening.max_pool_share_ppm
        return ParticipantResult(
            hotkey, participant.outcome, score_round(ledger, benchmark), ledger, is_over_share=over
        )
