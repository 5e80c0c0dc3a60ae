"""What other parties do to a pool after a snapshot, as calls that can be repeated on any fork.

A flow is what a what-if is evaluated on: recovered once from a market's blocks, or put together from pieces of
recorded flow, then replayed on as many forks as wanted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from protocol.errors import SimulationError
from simulator.base_fork import BaseFork
from simulator.engine import Engine
from simulator.events import Block
from simulator.recovery import Happening
from simulator.snapshot import PoolSnapshot


@dataclass(frozen=True, slots=True)
class FlowBlock:
    """What happens in one block, in order. `timestamp` is in seconds."""

    number: int
    timestamp: int
    happenings: tuple[Happening, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """A snapshot and every block after it up to the last, numbered without a gap; most have nothing in them."""

    snapshot: PoolSnapshot
    blocks: tuple[FlowBlock, ...]

    def __post_init__(self) -> None:
        number, timestamp = self.snapshot.block_number, self.snapshot.timestamp
        for block in self.blocks:
            if block.number != number + 1 or block.timestamp < timestamp:
                raise SimulationError("a flow's blocks follow each other in number and time", block=block.number)
            number, timestamp = block.number, block.timestamp

    @classmethod
    def recover(cls, snapshot: PoolSnapshot, blocks: Iterable[Block], *, engine: Engine = "python") -> Flow:
        """Return the calls behind a market's blocks.

        Parameters: blocks  the ones that follow the snapshot's, in order
        Returns:    a flow that ends with the last of them, without what the vault itself did
        Rounding:   none: every call reproduces its log exactly
        Raises:     Divergence where the blocks are not this pool's, SimulationError where one is missing
        Source:     design §4.3
        """
        base = BaseFork(snapshot, engine=engine)
        found = []
        for block in blocks:
            applied = [(event, base.apply(block, event)) for event in block.events]
            happenings = tuple(happening for event, happening in applied if not block.is_own(event))
            found.append(FlowBlock(block.number, block.timestamp, happenings))
        return cls(snapshot, tuple(found))
