"""Small worlds for tests: a pool that plays the chain, and rounds opened on it."""

from __future__ import annotations

from dataclasses import replace

from protocol.units import Hotkey
from simulator.engine import pool_from_snapshot
from simulator.events import (
    Block,
    FeeProtocolEvent,
    FlashEvent,
    LiquidityEvent,
    PoolEvent,
    StakeEvent,
    SwapEvent,
)
from simulator.family import Family
from simulator.gas import GasTable
from simulator.ledger import GasPolicy
from simulator.market import MarketInfo, Token
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO, get_sqrt_ratio_at_tick
from simulator.opening import Entrant, RoundOpening, Schedule
from simulator.portfolio import VaultState
from simulator.slipstream_reward import Rewards
from simulator.slipstream_tick import StakeInfo
from simulator.snapshot import PoolSnapshot, TickState
from simulator.staking import Staking
from simulator.valuation import QuoteToken, Target

VALIDATOR = Hotkey("5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty")
PAIR = "0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640"
VAULT_ADDRESS = "0x0000000000000000000000000000000000000001"
MARKET = MarketInfo(
    chain_id=1,
    pair_address=PAIR,
    token0=Token("0x0000000000000000000000000000000000000002", "AAA", 18),
    token1=Token("0x0000000000000000000000000000000000000003", "BBB", 18),
    fee_pips=3000,
    tick_spacing=60,
    block_time_s=12,
)
FREE_GAS = GasPolicy(0, token_is_0=False, rate_numerator=1, rate_denominator=1, table=GasTable(0, 0, 0, 0, 0))
START_BLOCK = 1000
START_TIME = 1_700_000_000


def block_hash(number: int) -> str:
    """Return the hash this world gives to a block number."""
    return f"0x{number:064x}"


def make_snapshot(
    *,
    tick: int = 0,
    positions: tuple[tuple[int, int, int], ...] = ((-887220, 887220, 10**21),),
    sqrt_price_x96: int | None = None,
) -> PoolSnapshot:
    """Return a fee-0.3 % pool at a tick with foreign positions (tick_lower, tick_upper, liquidity)."""
    ticks: dict[int, tuple[int, int]] = {}
    for lower, upper, liquidity in positions:
        for edge, sign in ((lower, 1), (upper, -1)):
            gross, net = ticks.get(edge, (0, 0))
            ticks[edge] = (gross + liquidity, net + sign * liquidity)
    return PoolSnapshot(
        chain_id=1,
        pair_address=PAIR,
        block_number=START_BLOCK,
        block_hash=block_hash(START_BLOCK),
        timestamp=START_TIME,
        fee_pips=3000,
        tick_spacing=60,
        sqrt_price_x96=sqrt_price_x96 or get_sqrt_ratio_at_tick(tick),
        tick=tick,
        liquidity=sum(liquidity for lower, upper, liquidity in positions if lower <= tick < upper),
        fee_growth_global_0_x128=2**256 - 12345,
        fee_growth_global_1_x128=67890,
        fee_protocol=0,
        ticks=tuple((t, TickState(gross, net, 0, 0)) for t, (gross, net) in sorted(ticks.items())),
    )


def make_slipstream_snapshot(
    *,
    staked: tuple[tuple[int, int, int], ...] = ((-887220, 887220, 10**20),),
    unstaked_fee_pips: int = 100_000,
    positions: tuple[tuple[int, int, int], ...] = ((-887220, 887220, 10**21),),
) -> PoolSnapshot:
    """Return the same pool as Slipstream's contract would hold it, with some of its liquidity staked."""
    snapshot = make_snapshot(positions=positions)
    nets: dict[int, int] = {}
    for lower, upper, liquidity in staked:
        nets[lower] = nets.get(lower, 0) + liquidity
        nets[upper] = nets.get(upper, 0) - liquidity
    staking = Staking(
        staked_liquidity=sum(liquidity for lower, upper, liquidity in staked if lower <= snapshot.tick < upper),
        unstaked_fee_pips=unstaked_fee_pips,
        rewards=Rewards(2**130, 10**15, 10**20, START_TIME + 604_800, 5, START_TIME),
        ticks=tuple((tick, StakeInfo(net, 2**100 + tick)) for tick, net in sorted(nets.items())),
    )
    return replace(snapshot, family=Family.SLIPSTREAM, staking=staking)


class Chain:
    """A pool that plays the real chain: it turns calls into the events a node would report."""

    def __init__(self, snapshot: PoolSnapshot) -> None:
        self.pool = pool_from_snapshot(snapshot)
        self.number = snapshot.block_number
        self.timestamp = snapshot.timestamp
        self._events: list[PoolEvent] = []

    def swap(self, zero_for_one: bool, amount_specified: int, limit: int | None = None) -> SwapEvent:  # noqa: FBT001 - the contract's order
        """Swap as somebody else."""
        extreme = MIN_SQRT_RATIO + 1 if zero_for_one else MAX_SQRT_RATIO - 1
        amount0, amount1 = self.pool.swap(zero_for_one, amount_specified, extreme if limit is None else limit)
        event = SwapEvent(
            len(self._events), amount0, amount1, self.pool.sqrt_price_x96, self.pool.liquidity, self.pool.tick
        )
        self._events.append(event)
        return event

    def change_liquidity(self, tick_lower: int, tick_upper: int, delta: int) -> None:
        """Mint or burn as somebody else."""
        self.pool.apply_liquidity(tick_lower, tick_upper, delta)
        self._events.append(LiquidityEvent(len(self._events), tick_lower, tick_upper, delta, None, None))

    def stake(self, tick_lower: int, tick_upper: int, delta: int) -> None:
        """Stake as somebody else in a Slipstream pool."""
        self.pool.stake(delta, tick_lower, tick_upper, False)
        self._events.append(StakeEvent(len(self._events), tick_lower, tick_upper, delta))

    def flash(self, paid0: int, paid1: int) -> None:
        """Pay the active liquidity, as somebody else."""
        self.pool.flash(0, 0, paid0, paid1)
        self._events.append(FlashEvent(len(self._events), paid0, paid1))

    def set_fee_protocol(self, fee_protocol0: int, fee_protocol1: int) -> None:
        """Change the protocol's share, as its owner."""
        self.pool.set_fee_protocol(fee_protocol0, fee_protocol1)
        self._events.append(FeeProtocolEvent(len(self._events), fee_protocol0, fee_protocol1))

    def block(self) -> Block:
        """Close the block with the events since the last one."""
        self.number += 1
        self.timestamp += 12
        self.pool.timestamp = self.timestamp
        events, self._events = tuple(self._events), []
        return Block(self.number, block_hash(self.number), block_hash(self.number - 1), self.timestamp, events)


def make_opening(
    snapshot: PoolSnapshot,
    vault: VaultState,
    participants: tuple[str, ...] = ("a", "b"),
    *,
    length_blocks: int = 12,
    interval: int = 4,
    deadline_s: int = 12,
    target: Target = Target.MAX_VALUE,
    quote_token: QuoteToken = QuoteToken.TOKEN1,
    gas: GasPolicy = FREE_GAS,
) -> RoundOpening:
    """Return the opening of a short round: plans take effect two blocks after a checkpoint."""
    return RoundOpening(
        round_id="r-1",
        round_number=1,
        round_type="evaluation",
        job_id="job",
        vault_address=VAULT_ADDRESS,
        market=replace(MARKET, fee_pips=snapshot.fee_pips, tick_spacing=snapshot.tick_spacing),
        target=target,
        quote_token=quote_token,
        schedule=Schedule(length_blocks, interval, deadline_s, 12, restrike_s=60),
        gas=gas,
        max_pool_share_ppm=10_000,
        entrants=tuple(Entrant(Hotkey(h), i, 1) for i, h in enumerate(participants)),
        validator_hotkey=VALIDATOR,
        snapshot=snapshot,
        vault=vault,
    )
