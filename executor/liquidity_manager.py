"""SN98's LiquidityManager as a family of vaults, by its public interface."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from executor.guards import Refused
from executor.vault import ListedPosition, VaultCall
from executor.vault_adapter import Listing, Order, Step, ask_words, parts, range_of, ticket
from executor.vault_plan import Ticket, make_call
from protocol.errors import ConfigError
from protocol.units import MAX_UINT128
from simulator.chain import rpc
from simulator.chain.abi import address_of, selector, words
from simulator.chain.blocks import Header
from simulator.chain.snapshot import VaultQuery
from simulator.fork import VAULT, Fork
from simulator.market import MarketInfo
from simulator.plan import Desired, execute_plan, scale_to_owned

_MINT = "mint(address,uint256,uint256,int24,int24,address,bytes)"
_BURN = "burn(address,uint256,bytes)"
_MAX_TOKENS = 128  # of its NFTs, in any pool: what one reading can hold
_NOBODY = "0x" + "00" * 20


@dataclass(frozen=True, slots=True)
class LiquidityManager:
    """A LiquidityManager for one `ak`, the pool token by which it knows the pool.

    Each close and each open is a transaction of its own. It cannot swap, does not check prices, and pays fees to the
    receiver named when a position was opened: here always the same. Its tokens must be there for this `ak` alone.
    """

    address: str
    ak: str
    position_manager: str
    fee_receiver: str
    info: MarketInfo
    guards_itself: ClassVar[bool] = False

    @classmethod
    async def connect(
        cls, node: rpc.Rpc, header: Header, address: str, info: MarketInfo, fee_receiver: str, *, deadline_s: float
    ) -> LiquidityManager:
        """Return the adapter of the contract at an address. Raises ConfigError when it is none, or not of this pool."""

        async def ask(to: str, signature: str, *arguments: int) -> str:
            return address_of((await ask_words(node, header.block_hash, deadline_s, to, signature, *arguments))[0])

        tokens = (info.token0.address, info.token1.address)
        try:
            managers = [await ask(address, "akAddressToPositionManager(address)", int(t, 16)) for t in tokens]
            known = [(t, m) for t, m in zip(tokens, managers, strict=True) if m != _NOBODY]
            if len(known) != 1:
                raise ConfigError(f"{address} knows {len(known)} of the pool's tokens as its ak, and must know one")
            [(ak, manager)] = known
            if await ask(manager, "factory()") != await ask(info.pair_address, "factory()"):
                raise ConfigError(f"{address} keeps its positions with {manager}, which is of another factory")
        except (rpc.Refused, rpc.BadAnswer, IndexError) as error:
            raise ConfigError(f"{address} is no LiquidityManager") from error
        return cls(address, ak, manager, fee_receiver, info)

    async def listing(self, node: rpc.Rpc, block_hash: str, *, deadline_s: float) -> Listing:
        """Read the NFTs that it holds in the pool. Raises ConfigError where they are too many to be told."""

        async def ask(signature: str, *arguments: int) -> list[int]:
            return await ask_words(node, block_hash, deadline_s, self.position_manager, signature, *arguments)

        owner = int(self.address, 16)
        [count] = await ask("balanceOf(address)", owner)
        if count > _MAX_TOKENS:
            raise ConfigError(f"{self.address} holds {count} positions; at most {_MAX_TOKENS} can be read")
        ids = [(await ask("tokenOfOwnerByIndex(address,uint256)", owner, index))[0] for index in range(count)]
        pool = (int(self.info.token0.address, 16), int(self.info.token1.address, 16), self.info.fee_pips)
        rows = [(token_id, await ask("positions(uint256)", token_id)) for token_id in ids]
        ours = [(token_id, row) for token_id, row in rows if tuple(row[2:5]) == pool and row[7] > 0]
        positions = tuple(ListedPosition(range_of(row[5], row[6]), row[7]) for _, row in ours)
        query = VaultQuery(self.address, self.position_manager)
        return Listing(positions, query, tuple(token_id for token_id, _ in ours))

    def fit(self, order: Order) -> Order | Refused:
        """Return the order without a claim on fees, its opens scaled to what is there for certain.

        Its mints offer fixed amounts, known before the burns are made: more than these might not be there.
        """
        if order.plan.swap is not None:
            return Refused("this vault cannot swap")
        if order.plan.collect:
            return Refused("this vault's fees go to their receiver, and the opens need them")
        fork = _without_fees(order)
        call = make_call(
            fork, order.plan, order.interval, Ticket(order.plan_id, order.deadline_s, b""), owns_fees=False
        )
        if isinstance(call, Refused):
            return call
        opens = scale_to_owned(order.plan.open, *_least_owned(fork, call))
        plan = replace(order.plan, open=opens)
        idle = set(execute_plan(fork.copy(), plan).not_opened)  # a mint that buys nothing would be undone
        fitting = replace(plan, open=tuple(d for d in opens if d.range not in idle))
        if fitting.is_keep:
            return Refused("nothing of the plan is left that this vault can do")
        return replace(order, fork=fork, plan=fitting)

    def steps(self, listing: Listing, order: Order) -> tuple[Step, ...] | Refused:
        """Return a burn for each close, then a mint for each open."""
        call = make_call(*parts(order), ticket(listing, order), owns_fees=False)
        if isinstance(call, Refused):
            return call
        ids = {p.range: token_id for p, token_id in zip(listing.positions, listing.token_ids, strict=True)}
        burns = [self._burn(ids[c.range], c.amount0_min, c.amount1_min) for c in call.closes]
        mints = [self._mint(Desired(o.range, o.amount0, o.amount1), o.amount0_min, o.amount1_min) for o in call.opens]
        return (*burns, *mints)

    def _burn(self, token_id: int, amount0_min: int, amount1_min: int) -> Step:
        data = words(int(self.ak, 16), token_id, 96, 64, amount0_min, amount1_min)
        return Step(self.address, selector(_BURN) + data)

    def _mint(self, offered: Desired, amount0_min: int, amount1_min: int) -> Step:
        ticks = (offered.range.tick_lower, offered.range.tick_upper)
        head = (int(self.ak, 16), offered.amount0, offered.amount1, *ticks, int(self.fee_receiver, 16), 7 * 32)
        return Step(self.address, selector(_MINT) + words(*head, 64, amount0_min, amount1_min))


def _without_fees(order: Order) -> Fork:
    """Return the order's fork as it is once the fees of what it closes have gone to their receiver."""
    fork = order.fork.copy()
    for r in order.plan.close:
        key = (VAULT, r.tick_lower, r.tick_upper)
        fork.pool.burn(*key, 0)
        fork.pool.collect(*key, MAX_UINT128, MAX_UINT128)
    return fork


def _least_owned(fork: Fork, call: VaultCall) -> tuple[int, int]:
    """Return what is there for certain once the closes have been made."""
    owned0 = fork.idle0 + sum(c.amount0_min for c in call.closes)
    return owned0, fork.idle1 + sum(c.amount1_min for c in call.closes)
