"""A pool, and a vault in it, at one block hash: through our lens in one call, or plainly in a few batches.

Both ways ask only at the hash, so that a node without that block errs instead of telling of another, and both give
equal readings (tests/chain/test_snapshot_anvil.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from protocol.errors import ConfigError, SimulationError
from simulator.chain.abi import (
    address_of,
    call_data,
    position_key,
    read_words,
    selector,
    signed,
    unsigned,
    words,
)
from simulator.chain.blocks import Header
from simulator.chain.rpc import BadAnswer, Refused, Request, Rpc
from simulator.fee_policy import UNISWAP_V3
from simulator.market import MarketInfo
from simulator.math.tick_math import max_usable_tick, min_usable_tick
from simulator.pool_snapshot import check_snapshot
from simulator.portfolio import Range, VaultPosition, VaultState
from simulator.snapshot import PoolSnapshot, TickState

_LENS = "0x000000000000000000000000000000000071de11"  # nobody's address: it has code for one call only
_LOOK = "look(address,int256,int256,address,address,bytes32[])"
_HEAD, _PER_TICK, _PER_POSITION = 16, 5, 7
_MAX_LENS_CALLS = 32
_BATCH = 100
_NOBODY = "0x" + "00" * 20
_MAX_POSITIONS = 128


@dataclass(frozen=True, slots=True)
class VaultQuery:
    """Whose positions to read: those that a position manager holds for the owner, and the owner's own in the pool.

    `ranges` are the owner's in the pool: a pool does not tell them.
    """

    owner: str
    manager: str | None = None
    ranges: tuple[Range, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """A pool and a vault at one block; `vault` is None where none was asked for."""

    snapshot: PoolSnapshot
    vault: VaultState | None


@dataclass(frozen=True, slots=True)
class _Scalars:
    """Raw words, in the order in which both ways read them."""

    token0: int
    token1: int
    fee: int
    spacing: int
    sqrt_price_x96: int
    tick: int
    fee_protocol: int
    liquidity: int
    growth0_x128: int
    growth1_x128: int
    idle0: int
    idle1: int


@dataclass(frozen=True, slots=True)
class _State:
    """What both ways read: ticks in ascending order, positions as found."""

    scalars: _Scalars
    ticks: tuple[tuple[int, TickState], ...]
    positions: tuple[VaultPosition, ...]


async def read_snapshot(
    rpc: Rpc, info: MarketInfo, header: Header, *, vault: VaultQuery | None, lens: str | None, deadline_s: float
) -> Reading:
    """Return the pool and the vault at a block.

    Where `lens` is None, or a node does not run code that is not there, the plain way is taken. Raises ChainError when
    it cannot be read, SimulationError when what was read contradicts itself.
    """
    state: _State | None = None
    if lens is not None:
        try:
            state = await _through_lens(rpc, info, header, vault, lens, deadline_s)
        except Refused:
            state = None  # no state override here, or no pool: the plain way tells which
    if state is None:
        state = await _plainly(rpc, info, header, vault, deadline_s)
    return _reading(state, info, header, vault)


def _reading(state: _State, info: MarketInfo, header: Header, vault: VaultQuery | None) -> Reading:
    """Put a reading together and check it (design §4.1)."""
    raw = state.scalars
    found = (address_of(raw.token0), address_of(raw.token1), raw.fee, signed(raw.spacing, 24))
    expected = (info.token0.address.lower(), info.token1.address.lower(), info.fee_pips, info.tick_spacing)
    where = {"pool": info.pair_address, "block": header.number}
    if found != expected:
        raise SimulationError(f"(tokens, fee, spacing) are {found}, expected {expected}", **where)
    if raw.sqrt_price_x96 == 0:
        raise SimulationError("the pool has no price: it was never initialised", **where)
    snapshot = PoolSnapshot(
        chain_id=info.chain_id,
        pair_address=info.pair_address,
        block_number=header.number,
        block_hash=header.block_hash,
        timestamp=header.timestamp,
        fee_pips=info.fee_pips,
        tick_spacing=info.tick_spacing,
        sqrt_price_x96=unsigned(raw.sqrt_price_x96, 160),
        tick=signed(raw.tick, 24),
        liquidity=unsigned(raw.liquidity, 128),
        fee_growth_global_0_x128=raw.growth0_x128,
        fee_growth_global_1_x128=raw.growth1_x128,
        fee_protocol=unsigned(raw.fee_protocol, 8),
        ticks=state.ticks,
    )
    check_snapshot(snapshot, UNISWAP_V3)
    if vault is None:
        return Reading(snapshot, None)
    # A position without liquidity earns nothing and cannot be closed; what it is still owed stays out of the round.
    held = tuple(sorted((p for p in state.positions if p.liquidity), key=lambda p: p.range))
    vault_state = VaultState(raw.idle0, raw.idle1, held, in_pool=True)
    vault_state.check(snapshot.tick_spacing)
    return Reading(snapshot, vault_state)


def bitmap_words(tick_spacing: int) -> range:
    """Return the words of a pool's tick bitmap that can hold a tick."""
    first = min_usable_tick(tick_spacing) // tick_spacing >> 8
    last = max_usable_tick(tick_spacing) // tick_spacing >> 8
    return range(first, last + 1)


def _tick_state(gross: int, net: int, outside0: int, outside1: int) -> TickState:
    return TickState(unsigned(gross, 128), signed(net, 128), outside0, outside1)


def _position(lower: int, upper: int, rest: Sequence[int]) -> VaultPosition:
    liquidity, inside0, inside1, owed0, owed1 = rest
    owed = (unsigned(owed0, 128), unsigned(owed1, 128))
    return VaultPosition(Range(lower, upper), unsigned(liquidity, 128), inside0, inside1, *owed)


# ---- through the lens


async def _through_lens(
    rpc: Rpc, info: MarketInfo, header: Header, vault: VaultQuery | None, lens: str, deadline_s: float
) -> _State | None:
    """Return the state in as many calls as the node's gas cap makes necessary; None where that is no way."""
    bitmap = bitmap_words(info.tick_spacing)
    at, ticks, first = bitmap.start, list[tuple[int, TickState]](), None
    for _ in range(_MAX_LENS_CALLS):
        query = vault if first is None else None  # the vault is read once
        data = _look_data(info.pair_address, at, bitmap.stop, query)
        read = partial(_read_look, info=info, header=header, vault=query)
        parameters = ({"to": _LENS, "data": data}, header.pin(), {_LENS: {"code": lens}})
        look = await rpc.ask(Request("eth_call", parameters, read, is_decisive=True), deadline_s=deadline_s)
        if look is None:
            return None
        first = look if first is None else first
        ticks += look.state.ticks
        at = look.next_word
        if at == bitmap.stop:
            return replace(first.state, ticks=tuple(ticks))
    return None  # so little gas a call that plain batches are fewer


@dataclass(frozen=True, slots=True)
class _Look:
    state: _State
    next_word: int


def _look_data(pair_address: str, first: int, end: int, vault: VaultQuery | None) -> str:
    owner = _NOBODY if vault is None else vault.owner
    manager = _NOBODY if vault is None or vault.manager is None else vault.manager
    keys = [] if vault is None else [position_key(owner, r.tick_lower, r.tick_upper) for r in vault.ranges]
    head = words(int(pair_address, 16), first, end, int(owner, 16), int(manager, 16), 6 * 32)
    return "0x" + (selector(_LOOK) + head + words(len(keys), *keys)).hex()


def _read_look(value: Any, *, info: MarketInfo, header: Header, vault: VaultQuery | None) -> _Look | None:
    """Return what the lens saw; None: the node called an empty address, so it ignored the override."""
    if value == "0x":
        return None
    answer = read_words(value)
    if answer[:1] != [32] or len(answer) != 2 + answer[1] or answer[1] < _HEAD:
        raise BadAnswer("not the lens's answer", words=len(answer))
    head, body = answer[2 : 2 + _HEAD], answer[2 + _HEAD :]
    if (head[0], head[1]) != (header.number, info.chain_id):
        raise BadAnswer("the lens saw another block", saw=head[0], asked=header.number)
    count = head[15] * _PER_TICK
    if len(body) < count or (len(body) - count) % _PER_POSITION:
        raise BadAnswer("the lens's answer is cut off", words=len(answer))
    rows = [body[i : i + _PER_TICK] for i in range(0, count, _PER_TICK)]
    held = [body[i : i + _PER_POSITION] for i in range(count, len(body), _PER_POSITION)]
    by_key = () if vault is None else vault.ranges
    bounds = [(signed(row[0], 24), signed(row[1], 24)) for row in held[: len(held) - len(by_key)]]
    bounds += [(r.tick_lower, r.tick_upper) for r in by_key]
    state = _State(
        scalars=_Scalars(*head[2:14]),
        ticks=tuple((signed(row[0], 24), _tick_state(*row[1:])) for row in rows),
        positions=tuple(_position(*b, row[2:]) for b, row in zip(bounds, held, strict=True)),
    )
    return _Look(state, signed(head[14], 24))


# ---- plainly


async def _plainly(rpc: Rpc, info: MarketInfo, header: Header, vault: VaultQuery | None, deadline_s: float) -> _State:
    """Return the state by the contracts' own getters, in batches."""

    async def getters(to: str, data: Sequence[str], counts: int) -> list[list[int]]:
        requests = [
            Request(
                "eth_call", ({"to": to, "data": d}, header.pin()), partial(_read_getter, count=counts), is_decisive=True
            )
            for d in data
        ]
        answers: list[list[int]] = []
        for start in range(0, len(requests), _BATCH):
            answers += await rpc.ask_all(requests[start : start + _BATCH], deadline_s=deadline_s)
        return answers

    pool, bitmap = info.pair_address, bitmap_words(info.tick_spacing)
    [slot0] = await getters(pool, [call_data("slot0()")], 7)
    names = [f"{name}()" for name in ("token0", "token1", "fee", "tickSpacing", "liquidity")]
    names += ["feeGrowthGlobal0X128()", "feeGrowthGlobal1X128()"]
    scalars = [answer[0] for answer in await getters(pool, [call_data(name) for name in names], 1)]
    maps = await getters(pool, [call_data("tickBitmap(int16)", word) for word in bitmap], 1)
    numbers = [
        (word * 256 + bit) * info.tick_spacing
        for word, [mask] in zip(bitmap, maps, strict=True)
        for bit in range(256)
        if mask >> bit & 1
    ]
    states = await getters(pool, [call_data("ticks(int24)", number) for number in numbers], 8)
    idle, positions = [0, 0], list[VaultPosition]()
    if vault is not None:
        owner = int(vault.owner, 16)
        tokens = [address_of(scalars[0]), address_of(scalars[1])]
        idle = [(await getters(token, [call_data("balanceOf(address)", owner)], 1))[0][0] for token in tokens]
        if vault.manager is not None:
            positions += await _managed(getters, vault.manager, owner, (scalars[0], scalars[1], scalars[2]))
        keys = [position_key(vault.owner, r.tick_lower, r.tick_upper) for r in vault.ranges]
        rows = await getters(pool, [call_data("positions(bytes32)", key) for key in keys], 5)
        positions += [_position(r.tick_lower, r.tick_upper, row) for r, row in zip(vault.ranges, rows, strict=True)]
    return _State(
        scalars=_Scalars(*[*scalars[:4], slot0[0], slot0[1], slot0[5], *scalars[4:], *idle]),
        ticks=tuple((number, _tick_state(*row[:4])) for number, row in zip(numbers, states, strict=True)),
        positions=tuple(positions),
    )


async def _managed(getters: Any, manager: str, owner: int, pool: tuple[int, int, int]) -> list[VaultPosition]:
    """Return the positions in a pool that a position manager holds for an owner."""
    [[count]] = await getters(manager, [call_data("balanceOf(address)", owner)], 1)
    if count > _MAX_POSITIONS:
        raise ConfigError(f"the vault owns {count} positions; at most {_MAX_POSITIONS} can be read")
    at = [call_data("tokenOfOwnerByIndex(address,uint256)", owner, index) for index in range(count)]
    ids = [answer[0] for answer in await getters(manager, at, 1)]
    rows = await getters(manager, [call_data("positions(uint256)", token_id) for token_id in ids], 12)
    return [_position(signed(row[5], 24), signed(row[6], 24), row[7:]) for row in rows if tuple(row[2:5]) == pool]


def _read_getter(value: Any, *, count: int) -> list[int]:
    if value == "0x":
        raise BadAnswer("there is no contract where one was asked")
    answer = read_words(value)
    if len(answer) != count:
        raise BadAnswer(f"{len(answer)} words from a getter of {count}")
    return answer
