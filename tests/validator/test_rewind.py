"""A round that is rewound equals one that never saw the blocks taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.signed_rounds import (
    MINER_KEYS,
    UNIT,
    VALIDATOR_KEY,
    Decide,
    exchange,
    keep,
    narrow,
    signed_opening,
)
from support.worlds import Chain

from simulator.base_fork import Divergence
from simulator.events import Block
from validator.rewind import rewind
from validator.round_run import RoundRun
from validator.transport import MinerEndpoint
from validator.winner import pick_round_winner

DECIDES: tuple[Decide, ...] = (narrow, keep)
NONCE = 1_700_000_000_000_000_000


def start() -> RoundRun:
    endpoints = {hotkey: MinerEndpoint(hotkey, "127.0.0.1", 1) for hotkey in MINER_KEYS}
    return RoundRun(signed_opening(), endpoints, "test")


def answer_pending(run: RoundRun, decides: tuple[Decide, ...] = DECIDES) -> None:
    ask = run.engine.pending_ask()
    if ask is None:
        return
    questions = run.questions(ask)
    by_hotkey = dict(zip(MINER_KEYS, decides, strict=True))
    nonce = NONCE + 1000 * ask.index
    run.take(ask, questions, [exchange(e, q, by_hotkey[e.hotkey], nonce + i) for i, (e, q) in enumerate(questions)])


def chain_of(run: RoundRun, count: int, *, fork_at: int | None = None) -> list[Block]:
    """Return blocks with a swap each; those from `fork_at` on trade otherwise and carry other hashes."""
    chain = Chain(run.opening.snapshot)
    blocks: list[Block] = []
    for step in range(count):
        is_other = fork_at is not None and step >= fork_at
        chain.swap(step % 2 == 0, (5 if is_other else 3) * UNIT)
        block = chain.block()
        if is_other:
            block = replace(
                block,
                block_hash="0xf" + block.block_hash[3:],
                parent_hash="0xf" + block.parent_hash[3:] if step != fork_at else block.parent_hash,
            )
        blocks.append(block)
    return blocks


def feed(run: RoundRun, blocks: list[Block]) -> None:
    answer_pending(run)
    for block in blocks:
        run.advance(block)
        answer_pending(run)


@pytest.mark.parametrize("ancestor", range(8))
@pytest.mark.parametrize("seen", [8, 12])
def test_rewound_round_equals_one_that_saw_only_the_new_chain(ancestor: int, seen: int) -> None:
    run, length = start(), start().opening.schedule.length_blocks
    old, new = chain_of(run, seen), chain_of(run, length, fork_at=ancestor)
    assert old[:ancestor] == new[:ancestor] and old[ancestor : ancestor + 1] != new[ancestor : ancestor + 1]
    feed(run, old)
    before = (run.blocks, run.answers, run.engine.block_number)
    shared = old[ancestor - 1] if ancestor else None
    number = run.opening.snapshot.block_number if shared is None else shared.number
    rewound = rewind(run, number, run.opening.snapshot.block_hash if shared is None else shared.block_hash)
    assert (run.blocks, run.answers, run.engine.block_number) == before, "the round given is not changed"
    assert rewound.run.engine.block_number == number
    feed(rewound.run, new[ancestor:])
    untouched = start()
    feed(untouched, new)
    assert rewound.run.engine.result() == untouched.engine.result()
    finished = [
        r.finish(VALIDATOR_KEY, pick_round_winner, dict.fromkeys(MINER_KEYS, 0)) for r in (rewound.run, untouched)
    ]
    assert finished[0].record.evidence == finished[1].record.evidence, "its evidence, too, byte for byte"


def test_answers_to_blocks_that_are_gone_are_dropped() -> None:
    run = start()
    feed(run, chain_of(run, 8))  # checkpoints at 0, 4 and 8
    at_opening = rewind(run, 1000, run.opening.snapshot.block_hash)
    at_5 = rewind(run, 1005, run.blocks[4].block_hash)
    assert len(run.answers) == 3
    assert (len(at_opening.run.answers), at_opening.last_checkpoint) == (1, 0)
    assert (len(at_5.run.answers), at_5.last_checkpoint) == (2, 1)
    assert at_5.run.engine.pending_ask() is None


def test_ancestor_that_is_a_checkpoint_still_waiting_is_asked_again() -> None:
    run = start()
    feed(run, chain_of(run, 3))
    run.advance(chain_of(run, 4)[3])
    rewound = rewind(run, 1004, run.blocks[3].block_hash)
    ask = rewound.run.engine.pending_ask()
    assert ask is not None and (ask.index, rewound.last_checkpoint) == (1, 0)


def test_nothing_counts_where_nothing_was_answered() -> None:
    rewound = rewind(start(), 1000, start().opening.snapshot.block_hash)
    assert (rewound.run.answers, rewound.last_checkpoint) == ((), -1)


@pytest.mark.parametrize(("number", "block_hash"), [(999, "0x00"), (1000, "0xff"), (1002, "0xff"), (1009, "0x00")])
def test_ancestor_that_the_round_never_saw_makes_it_inconclusive(number: int, block_hash: str) -> None:
    run = start()
    feed(run, chain_of(run, 6))
    with pytest.raises(Divergence) as raised:
        rewind(run, number, block_hash)
    assert raised.value.kind == "reorg_too_deep"
