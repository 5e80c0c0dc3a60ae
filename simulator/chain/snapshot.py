"""A pool, and a vault in it, at one block hash: through our lens in one call, or plainly in a few batches.

Both ways ask only at the hash, so that a node without that block errs instead of telling of another, and both give
equal readings (tests/chain/test_snapshot_anvil.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

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
from simulator.chain.families import LAYOUTS, Layout
from simulator.chain.rpc import BadAnswer, Refused, Request, Rpc
from simulator.family import Family
from simulator.market import MarketInfo
from simulator.math.tick_math import max_usable_tick, min_usable_tick
from simulator.pool_snapshot import check_snapshot
from simulator.portfolio import Range, VaultPosition, VaultState
from simulator.slipstream_reward import Rewards
from simulator.slipstream_tick import EMPTY_STAKE, StakeInfo
from simulator.snapshot import PoolSnapshot, TickState
from simulator.staking import Staking

_LENS = "0x000000000000000000000000000000000071de11"  # nobody's address: it has code for one call only
_LOOK = "look(address,int256,int256,address,address,bool,bytes32[])"
_HEAD, _PER_POSITION = 24, 7
_SCALARS = (
    "token0()",
    "token1()",
    "fee()",
    "tickSpacing()",
    "liquidity()",
    "feeGrowthGlobal0X128()",
    "feeGrowthGlobal1X128()",
)
_STAKING = (
    "stakedLiquidity()",
    "unstakedFee()",
    "rewardGrowthGlobalX128()",
    "rewardRate()",
    "rewardReserve()",
    "periodFinish()",
    "rollover()",
    "lastUpdated()",
)
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


# Whose positions to read, or how to find that out at a block: which ranges a vault of ours has, it alone can say.
VaultSource: TypeAlias = VaultQuery | Callable[[Rpc, Header], Awaitable[VaultQuery]]


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
    """What both ways read: `staking` as _STAKING names it, ticks in ascending order, positions as found."""

    scalars: _Scalars
    staking: tuple[int, ...]
    ticks: tuple[tuple[int, TickState, StakeInfo], ...]
    positions: tuple[VaultPosition, ...]


async def read_snapshot(
    rpc: Rpc,
    info: MarketInfo,
    header: Header,
    *,
    vault: VaultQuery | None,
    lens: str | None,
    deadline_s: float,
    family: Family = Family.UNISWAP_V3,
) -> Reading:
    """Return the pool and the vault at a block.

    Where `lens` is None, or a node does not run code that is not there, the plain way is taken. Raises ChainError when
    it cannot be read, SimulationError when what was read contradicts itself.
    """
    state: _State | None = None
    if lens is not None:
        try:
            state = await _through_lens(rpc, info, header, vault, lens, LAYOUTS[family], deadline_s)
        except Refused:
            state = None  # no state override here, or no pool: the plain way tells which
    if state is None:
        state = await _plainly(rpc, info, header, vault, LAYOUTS[family], deadline_s)
    snapshot = _snapshot(state, info, header, family)
    check_snapshot(snapshot)
    if vault is None:
        return Reading(snapshot, None)
    # A position without liquidity earns nothing and cannot be closed; what it is still owed stays out of the round.
    held = tuple(sorted((p for p in state.positions if p.liquidity), key=lambda p: p.range))
    vault_state = VaultState(state.scalars.idle0, state.scalars.idle1, held, in_pool=True)
    vault_state.check(snapshot.tick_spacing)
    return Reading(snapshot, vault_state)


def _snapshot(state: _State, info: MarketInfo, header: Header, family: Family) -> PoolSnapshot:
    """Put a snapshot together. Raises SimulationError when it is not of the pool that was meant."""
    raw, layout = state.scalars, LAYOUTS[family]
    fee_pips = info.fee_pips if family.max_fee_pips is None else unsigned(raw.fee, 24)
    found = (address_of(raw.token0), address_of(raw.token1), raw.fee, signed(raw.spacing, 24))
    expected = (info.token0.address.lower(), info.token1.address.lower(), fee_pips, info.tick_spacing)
    where = {"pool": info.pair_address, "block": header.number}
    if found != expected:
        raise SimulationError(f"(tokens, fee, spacing) are {found}, expected {expected}", **where)
    if raw.sqrt_price_x96 == 0:
        raise SimulationError("the pool has no price: it was never initialised", **where)
    return PoolSnapshot(
        chain_id=info.chain_id,
        pair_address=info.pair_address,
        block_number=header.number,
        block_hash=header.block_hash,
        timestamp=header.timestamp,
        fee_pips=fee_pips,
        tick_spacing=info.tick_spacing,
        sqrt_price_x96=unsigned(raw.sqrt_price_x96, 160),
        tick=signed(raw.tick, 24),
        liquidity=unsigned(raw.liquidity, 128),
        fee_growth_global_0_x128=raw.growth0_x128,
        fee_growth_global_1_x128=raw.growth1_x128,
        fee_protocol=unsigned(raw.fee_protocol, layout.fee_protocol_bits),
        ticks=tuple((number, tick) for number, tick, _ in state.ticks),
        family=family,
        staking=_staking(state) if layout.has_stakes else None,
    )


def _staking(state: _State) -> Staking:
    staked_liquidity, unstaked_fee_pips, *rewards = state.staking
    return Staking(
        unsigned(staked_liquidity, 128),
        unsigned(unstaked_fee_pips, 24),
        Rewards(*rewards),
        tuple((number, stake) for number, _, stake in state.ticks if stake != EMPTY_STAKE),
    )


def bitmap_words(tick_spacing: int) -> range:
    """Return the words of a pool's tick bitmap that can hold a tick."""
    first = min_usable_tick(tick_spacing) // tick_spacing >> 8
    last = max_usable_tick(tick_spacing) // tick_spacing >> 8
    return range(first, last + 1)


def _tick(number: int, fields: Sequence[int]) -> tuple[int, TickState, StakeInfo]:
    """Return a tick of its words, in the order of a layout's `tick_fields`."""
    gross, net, outside0, outside1, *stake = fields
    state = TickState(unsigned(gross, 128), signed(net, 128), outside0, outside1)
    return number, state, StakeInfo(signed(stake[0], 128), stake[1]) if stake else EMPTY_STAKE


def _position(lower: int, upper: int, rest: Sequence[int]) -> VaultPosition:
    liquidity, inside0, inside1, owed0, owed1 = rest
    owed = (unsigned(owed0, 128), unsigned(owed1, 128))
    return VaultPosition(Range(lower, upper), unsigned(liquidity, 128), inside0, inside1, *owed)


# ---- through the lens


async def _through_lens(
    rpc: Rpc, info: MarketInfo, header: Header, vault: VaultQuery | None, lens: str, layout: Layout, deadline_s: float
) -> _State | None:
    """Return the state in as many calls as the node's gas cap makes necessary; None where that is no way."""
    bitmap = bitmap_words(info.tick_spacing)
    at, ticks, first = bitmap.start, list[tuple[int, TickState, StakeInfo]](), None
    for _ in range(_MAX_LENS_CALLS):
        query = vault if first is None else None  # the vault is read once
        data = _look_data(info.pair_address, at, bitmap.stop, query, layout)
        read = partial(_read_look, info=info, header=header, vault=query, layout=layout)
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


def _look_data(pair_address: str, first: int, end: int, vault: VaultQuery | None, layout: Layout) -> str:
    owner = _NOBODY if vault is None else vault.owner
    manager = _NOBODY if vault is None or vault.manager is None else vault.manager
    keys = [] if vault is None else [position_key(owner, r.tick_lower, r.tick_upper) for r in vault.ranges]
    head = words(int(pair_address, 16), first, end, int(owner, 16), int(manager, 16), layout.has_stakes, 7 * 32)
    return "0x" + (selector(_LOOK) + head + words(len(keys), *keys)).hex()


def _read_look(
    value: Any, *, info: MarketInfo, header: Header, vault: VaultQuery | None, layout: Layout
) -> _Look | None:
    """Return what the lens saw; None: the node called an empty address, so it ignored the override."""
    if value == "0x":
        return None
    answer = read_words(value)
    if answer[:1] != [32] or len(answer) != 2 + answer[1] or answer[1] < _HEAD:
        raise BadAnswer("not the lens's answer", words=len(answer))
    head, body = answer[2 : 2 + _HEAD], answer[2 + _HEAD :]
    if (head[0], head[1]) != (header.number, info.chain_id):
        raise BadAnswer("the lens saw another block", saw=head[0], asked=header.number)
    per_tick = 1 + len(layout.tick_fields)
    count = head[-1] * per_tick
    if len(body) < count or (len(body) - count) % _PER_POSITION:
        raise BadAnswer("the lens's answer is cut off", words=len(answer))
    rows = [body[i : i + per_tick] for i in range(0, count, per_tick)]
    held = [body[i : i + _PER_POSITION] for i in range(count, len(body), _PER_POSITION)]
    by_key = () if vault is None else vault.ranges
    bounds = [(signed(row[0], 24), signed(row[1], 24)) for row in held[: len(held) - len(by_key)]]
    bounds += [(r.tick_lower, r.tick_upper) for r in by_key]
    state = _State(
        scalars=_Scalars(*head[2:14]),
        staking=tuple(head[14:22]) if layout.has_stakes else (),
        ticks=tuple(_tick(signed(row[0], 24), row[1:]) for row in rows),
        positions=tuple(_position(*b, row[2:]) for b, row in zip(bounds, held, strict=True)),
    )
    return _Look(state, signed(head[-2], 24))


# ---- plainly


async def _plainly(
    rpc: Rpc, info: MarketInfo, header: Header, vault: VaultQuery | None, layout: Layout, deadline_s: float
) -> _State:
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
    [slot0] = await getters(pool, [call_data("slot0()")], layout.slot0_words)
    names = [*_SCALARS, *(_STAKING if layout.has_stakes else ())]
    scalars = [answer[0] for answer in await getters(pool, [call_data(name) for name in names], 1)]
    maps = await getters(pool, [call_data("tickBitmap(int16)", word) for word in bitmap], 1)
    numbers = [
        (word * 256 + bit) * info.tick_spacing
        for word, [mask] in zip(bitmap, maps, strict=True)
        for bit in range(256)
        if mask >> bit & 1
    ]
    states = await getters(pool, [call_data("ticks(int24)", number) for number in numbers], layout.tick_words)
    idle, positions = [0, 0], list[VaultPosition]()
    if vault is not None:
        owner = int(vault.owner, 16)
        tokens = [address_of(scalars[0]), address_of(scalars[1])]
        idle = [(await getters(token, [call_data("balanceOf(address)", owner)], 1))[0][0] for token in tokens]
        if vault.manager is not None:
            key = scalars[3] if layout.has_stakes else scalars[2]  # positions name their pool by its spacing or its fee
            positions += await _managed(getters, vault.manager, owner, (scalars[0], scalars[1], key))
        keys = [position_key(vault.owner, r.tick_lower, r.tick_upper) for r in vault.ranges]
        rows = await getters(pool, [call_data("positions(bytes32)", key) for key in keys], 5)
        positions += [_position(r.tick_lower, r.tick_upper, row) for r, row in zip(vault.ranges, rows, strict=True)]
    fee_protocol = slot0[5] if layout.fee_protocol_bits else 0
    return _State(
        scalars=_Scalars(*[*scalars[:4], *slot0[:2], fee_protocol, *scalars[4:7], *idle]),
        staking=tuple(scalars[7:]),
        ticks=tuple(
            _tick(number, [row[at] for at in layout.tick_fields]) for number, row in zip(numbers, states, strict=True)
        ),
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
