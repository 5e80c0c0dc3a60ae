"""Families of vaults behind one port: what to read of a vault, and the transactions that carry out a plan on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from executor.guards import Refused
from executor.vault import ListedPosition, VaultCall
from executor.vault_abi import positions_hash, rebalance_data
from executor.vault_plan import PriceInterval, Ticket, make_call
from simulator.chain.abi import address_of, call_data, read_words, selector, signed, words
from simulator.chain.rpc import Request, Rpc
from simulator.chain.snapshot import VaultQuery
from simulator.fork import Fork
from simulator.plan import Desired, Plan, scale_to_owned
from simulator.portfolio import Range

_MINT = "mint(address,uint256,uint256,int24,int24,address,bytes)"
_BURN = "burn(address,uint256,bytes)"


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
    """One vault of some family."""

    async def listing(self, rpc: Rpc, block_hash: str, *, deadline_s: float) -> Listing:
        """Read what it holds at a block. Raises ChainError."""

    def steps(self, listing: Listing, order: Order) -> tuple[Step, ...] | Refused:
        """Return the transactions, to be sent in this order, or why there are none."""


@dataclass(frozen=True, slots=True)
class TidelineVault:
    """Our own vault: a plan is one transaction."""

    address: str

    async def listing(self, rpc: Rpc, block_hash: str, *, deadline_s: float) -> Listing:
        """Read the vault's list."""
        _, _, *fields = await _ask(rpc, block_hash, deadline_s, self.address, "positions()")
        rows = (fields[at : at + 3] for at in range(0, len(fields), 3))
        positions = tuple(ListedPosition(_range(lower, upper), liquidity) for lower, upper, liquidity in rows)
        return Listing(positions, VaultQuery(self.address, None, tuple(p.range for p in positions)))

    def steps(self, listing: Listing, order: Order) -> tuple[Step, ...] | Refused:
        """Return the one call."""
        call = make_call(*_parts(order), _ticket(listing, order))
        return call if isinstance(call, Refused) else (Step(self.address, rebalance_data(call)),)


@dataclass(frozen=True, slots=True)
class LiquidityManager:
    """A LiquidityManager of SN98, by its public interface, for one `ak` (the pool token by which it knows the pool).

    Each close and each open is a transaction of its own. It cannot swap, does not check prices, and pays fees to the
    receiver named when a position was opened: here always the same. Its tokens must be there for this `ak` alone.
    """

    address: str
    ak: str
    fee_receiver: str

    async def listing(self, rpc: Rpc, block_hash: str, *, deadline_s: float) -> Listing:
        """Read the NFTs that it holds."""

        async def ask(to: str, signature: str, *arguments: int) -> list[int]:
            return await _ask(rpc, block_hash, deadline_s, to, signature, *arguments)

        owner = int(self.address, 16)
        manager = address_of((await ask(self.address, "akAddressToPositionManager(address)", int(self.ak, 16)))[0])
        [count] = await ask(manager, "balanceOf(address)", owner)
        ids = [(await ask(manager, "tokenOfOwnerByIndex(address,uint256)", owner, n))[0] for n in range(count)]
        rows = [await ask(manager, "positions(uint256)", token_id) for token_id in ids]
        positions = tuple(ListedPosition(_range(row[5], row[6]), row[7]) for row in rows)
        return Listing(positions, VaultQuery(self.address, manager), tuple(ids))

    def steps(self, listing: Listing, order: Order) -> tuple[Step, ...] | Refused:
        """Return a burn for each close, then a mint for each open, sized so that it is covered at any allowed price."""
        if order.plan.swap is not None:
            return Refused("this vault cannot swap")
        if order.plan.collect:
            return Refused("this vault's fees go to their receiver, and the opens need them")
        call = make_call(*_parts(order), _ticket(listing, order), owns_fees=False)
        if isinstance(call, Refused):
            return call
        ids = {p.range: token_id for p, token_id in zip(listing.positions, listing.token_ids, strict=True)}
        burns = [self._burn(ids[c.range], c.amount0_min, c.amount1_min) for c in call.closes]
        return (*burns, *self._mints(call, _least_owned(order.fork, call)))

    def _burn(self, token_id: int, amount0_min: int, amount1_min: int) -> Step:
        data = words(int(self.ak, 16), token_id, 96, 64, amount0_min, amount1_min)
        return Step(self.address, selector(_BURN) + data)

    def _mints(self, call: VaultCall, owned: tuple[int, int]) -> list[Step]:
        offered = scale_to_owned([Desired(o.range, o.amount0, o.amount1) for o in call.opens], *owned)
        steps = []
        for o, d in zip(call.opens, offered, strict=True):
            head = (int(self.ak, 16), d.amount0, d.amount1, d.range.tick_lower, d.range.tick_upper)
            data = words(*head, int(self.fee_receiver, 16), 7 * 32, 64, o.amount0_min, o.amount1_min)
            steps.append(Step(self.address, selector(_MINT) + data))
        return steps


def _least_owned(fork: Fork, call: VaultCall) -> tuple[int, int]:
    """Return what is there for certain once the closes have been made."""
    owned0 = fork.idle0 + sum(c.amount0_min for c in call.closes)
    return owned0, fork.idle1 + sum(c.amount1_min for c in call.closes)


def _parts(order: Order) -> tuple[Fork, Plan, PriceInterval]:
    return order.fork, order.plan, order.interval


def _ticket(listing: Listing, order: Order) -> Ticket:
    return Ticket(order.plan_id, order.deadline_s, positions_hash(listing.positions))


def _range(tick_lower: int, tick_upper: int) -> Range:
    return Range(signed(tick_lower, 24), signed(tick_upper, 24))


async def _ask(rpc: Rpc, block_hash: str, deadline_s: float, to: str, signature: str, *arguments: int) -> list[int]:
    call: dict[str, Any] = {"to": to, "data": call_data(signature, *arguments)}
    at = {"blockHash": block_hash, "requireCanonical": True}
    return await rpc.ask(Request("eth_call", (call, at), read_words), deadline_s=deadline_s)
