"""Families of vaults behind one port: what to read of a vault, and the transactions that carry out a plan on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from executor.guards import Refused
from executor.vault import ListedPosition
from executor.vault_abi import positions_hash, rebalance_data
from executor.vault_plan import PriceInterval, Ticket, make_call
from simulator.chain.abi import call_data, read_words, signed
from simulator.chain.rpc import Request, Rpc
from simulator.chain.snapshot import VaultQuery
from simulator.fork import Fork
from simulator.plan import Plan
from simulator.portfolio import Range


@dataclass(frozen=True, slots=True)
class Listing:
    """A vault's positions at a block, how to read all that it owns there, and, where it has NFTs, their numbers."""

    positions: tuple[ListedPosition, ...]
    query: VaultQuery
    token_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """A plan that is to be carried out: on which state, at which prices, under which id (32 bytes), until when."""

    fork: Fork
    plan: Plan
    interval: PriceInterval
    plan_id: bytes
    deadline_s: int


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction of the keeper."""

    to: str
    data: bytes


class VaultAdapter(Protocol):
    """One vault of some family.

    `guards_itself` says whether the vault holds the keeper to a rest between plans and a day's loss, and tells them.
    """

    @property
    def address(self) -> str: ...

    @property
    def guards_itself(self) -> bool: ...

    async def listing(self, rpc: Rpc, block_hash: str, *, deadline_s: float) -> Listing:
        """Read what it holds at a block. Raises ChainError."""

    def fit(self, order: Order) -> Order | Refused:
        """Return the order as this family can carry it out: what becomes of its fork by its plan is what is to come."""

    def steps(self, listing: Listing, order: Order) -> tuple[Step, ...] | Refused:
        """Return the transactions of an order that fits, to be sent in this order, or why there are none."""


@dataclass(frozen=True, slots=True)
class TidelineVault:
    """Our own vault: a plan is one transaction."""

    address: str
    guards_itself: ClassVar[bool] = True

    async def listing(self, rpc: Rpc, block_hash: str, *, deadline_s: float) -> Listing:
        """Read the vault's list."""
        _, _, *fields = await ask_words(rpc, block_hash, deadline_s, self.address, "positions()")
        rows = (fields[at : at + 3] for at in range(0, len(fields), 3))
        positions = tuple(ListedPosition(range_of(lower, upper), liquidity) for lower, upper, liquidity in rows)
        return Listing(positions, VaultQuery(self.address, None, tuple(p.range for p in positions)))

    def fit(self, order: Order) -> Order:
        """Return the order as it is: the contract does what the simulator does."""
        return order

    def steps(self, listing: Listing, order: Order) -> tuple[Step, ...] | Refused:
        """Return the one call."""
        call = make_call(*parts(order), ticket(listing, order))
        return call if isinstance(call, Refused) else (Step(self.address, rebalance_data(call)),)


def parts(order: Order) -> tuple[Fork, Plan, PriceInterval]:
    """Return what `make_call` takes of an order."""
    return order.fork, order.plan, order.interval


def ticket(listing: Listing, order: Order) -> Ticket:
    """Return what makes one call of an order, on the positions listed."""
    return Ticket(order.plan_id, order.deadline_s, positions_hash(listing.positions))


def range_of(tick_lower: int, tick_upper: int) -> Range:
    """Return a range out of two words."""
    return Range(signed(tick_lower, 24), signed(tick_upper, 24))


async def ask_words(
    rpc: Rpc, block_hash: str, deadline_s: float, to: str, signature: str, *arguments: int
) -> list[int]:
    """Return what a getter answers at a block."""
    call: dict[str, Any] = {"to": to, "data": call_data(signature, *arguments)}
    at = {"blockHash": block_hash, "requireCanonical": True}
    return await rpc.ask(Request("eth_call", (call, at), read_words, is_decisive=True), deadline_s=deadline_s)
