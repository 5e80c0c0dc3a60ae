"""A round whose chain took blocks back: built again from what it has kept, up to the common ancestor."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.base_fork import Divergence
from validator.round_run import RoundRun


@dataclass(frozen=True, slots=True)
class Rewound:
    """The round as it stood at the ancestor.

    `last_checkpoint` is the last ask whose answers still count, -1 where there is none. What was stored for later ones
    (answers, intents) was about blocks that do not exist and must go: those checkpoints will be asked again.
    """

    run: RoundRun
    last_checkpoint: int


def rewind(run: RoundRun, ancestor_number: int, ancestor_hash: str) -> Rewound:
    """Return a round as it stood right after a block of its own, without changing the one given.

    Parameters: ancestor_number, ancestor_hash  the last block that the old and the new chain share
    Returns:    the same opening, the blocks up to the ancestor and the answers to the checkpoints among them. An answer
                counts while the block it was asked about exists, however late it came
    Rounding:   none of its own
    Raises:     Divergence (reorg_too_deep) when the ancestor is neither the opening's block nor one applied since: the
                snapshot itself no longer holds, and the round is inconclusive
    Source:     issue 4, point 3; design §4.4
    """
    snapshot = run.opening.snapshot
    kept = tuple(block for block in run.blocks if block.number <= ancestor_number)
    shared = (kept[-1].number, kept[-1].block_hash) if kept else (snapshot.block_number, snapshot.block_hash)
    if shared != (ancestor_number, ancestor_hash):
        raise Divergence("reorg_too_deep", pool=snapshot.pair_address, block=ancestor_number)
    again, last_checkpoint = run.at_opening(), -1
    answers, blocks = iter(run.answers), iter(kept)
    while True:
        ask = again.engine.pending_ask()
        records = next(answers, None) if ask is not None else None
        if ask is not None and records is not None:
            again.take_again(ask, records)
            last_checkpoint = ask.index
        block = next(blocks, None)
        if block is None:
            return Rewound(again, last_checkpoint)
        again.advance(block)
