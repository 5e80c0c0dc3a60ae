"""Markets on which rounds and replays are held against each other, and wishes that both can be told."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from support.worlds import START_BLOCK, Chain, make_opening, make_snapshot

from protocol.units import Hotkey
from simulator import records
from simulator.answers import Positions
from simulator.engine import Engine
from simulator.events import Block
from simulator.flow import Flow
from simulator.fork import Fork, Inventory, virtual_vault
from simulator.gas import DEFAULT_GAS_TABLE
from simulator.ledger import GasPolicy
from simulator.math.liquidity_amounts import get_amount0_for_liquidity
from simulator.math.tick_math import get_sqrt_ratio_at_tick
from simulator.native import is_built
from simulator.opening import Entrant, RoundOpening, Schedule
from simulator.participant import Checkpoint, Shown
from simulator.plan import Desired
from simulator.pool import Pool, PoolRevert
from simulator.portfolio import Range, VaultPosition, VaultState
from simulator.recorded import RecordedMarket
from simulator.replay import Candidate, Replay, Terms, replay
from simulator.round import Round, RoundResult
from simulator.snapshot import PoolSnapshot
from simulator.valuation import QuoteToken, Target

UNIT = 10**18
GAS = GasPolicy(10**6, token_is_0=False, rate_numerator=1, rate_denominator=1, table=DEFAULT_GAS_TABLE)
FAR = Range(887160, 887220)
FULL_RANGE = (-887220, 887220)
HOW: list[tuple[Engine, int]] = [("python", 1), ("native", 1), ("native", 2)] if is_built() else [("python", 1)]
FILLER = 0  # the participant that fills a tick in random worlds


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A round's opening and blocks, the same as a flow, and a seed for what everybody wishes."""

    opening: RoundOpening
    blocks: tuple[Block, ...]
    flow: Flow
    seed: int
    fills_a_tick: bool = False

    @property
    def terms(self) -> Terms:
        """What the round is measured by."""
        vault = Fork.from_opening(self.opening.snapshot, self.opening.vault)
        return Terms(self.opening.numeraire(vault.portfolio().total), self.opening.gas, self.opening.schedule)

    def wish(self, index: int, who: int, shown: Shown, tick: int) -> tuple[Desired, ...] | None:
        """Return what a participant wishes at a checkpoint, None for no change; the same wherever it is asked."""
        if self.fills_a_tick and who == FILLER:
            return filling(shown, self.opening) if index == 0 else repeated(shown)
        rng = random.Random(f"{self.seed}/{index}/{who}")
        return random_wish(rng, shown, tick, self.opening.market.tick_spacing)

    def in_a_round(self, engine: Engine = "python") -> RoundResult:
        """Play the round."""
        going, blocks = Round(self.opening, engine=engine), iter(self.blocks)
        while not going.is_finished:
            ask = going.pending_ask()
            if ask is None:
                going.advance(next(blocks))
                continue
            answers = {}
            for who, hotkey in enumerate(self.opening.participants):
                if hotkey in ask.shown:
                    shown = ask.shown[hotkey]
                    desired = self.wish(ask.index, who, shown, ask.pool.tick)
                    answers[hotkey] = Positions(repeated(shown) if desired is None else desired)
            going.answer(answers)
        return going.result()

    def replayed(self, *, engine: Engine = "python", threads: int = 1, sharing: bool = True) -> Replay:
        """Replay the participants, and before them a fork that is left alone."""

        def decide(asked: Checkpoint[int]) -> Mapping[int, Sequence[Desired]]:
            wishes = {i: self.wish(asked.index, i - 1, s, asked.pool.tick) for i, s in asked.shown.items() if i}
            return {i: desired for i, desired in wishes.items() if desired is not None}

        candidates = [Candidate(self.opening.vault)] * (1 + len(self.opening.entrants))
        return replay(self.flow, candidates, self.terms, decide=decide, engine=engine, threads=threads, sharing=sharing)


def assert_same(replayed: Replay, result: RoundResult) -> None:
    """Every ledger, outcome and score is the round's."""
    assert replayed.ledgers == (result.benchmark, *(p.ledger for p in result.participants))
    assert replayed.outcomes[1:] == tuple(p.outcome for p in result.participants)
    assert replayed.scores()[1:] == tuple(p.score_e18 for p in result.participants)


def repeated(shown: Shown) -> tuple[Desired, ...]:
    """Return the positions shown, as they must be repeated to be kept."""
    return tuple(Desired(h.range, h.amount0, h.amount1) for h in shown.portfolio.holdings)


def random_wish(rng: random.Random, shown: Shown, tick: int, spacing: int) -> tuple[Desired, ...] | None:
    """Return no change, nothing at all, too much, or some ranges: around the price, beside it, far from it;
    now and then more of one token than is owned, which a swap must buy.
    """
    kind = rng.random()
    if kind < 0.3:
        return None
    if kind < 0.45:
        return () if kind < 0.4 else (Desired(Range(-spacing, spacing), 10**37, 10**37),)
    kept = repeated(shown) if rng.random() < 0.4 else ()
    offered = (shown.portfolio.idle0, shown.portfolio.idle1) if kept else shown.portfolio.total
    count, short = rng.randint(1, 3), rng.choice((None, None, 0, 1))
    opens = []
    for _ in range(count):
        found = random_range(rng, tick, spacing)
        percent = [rng.randint(0, 100) if short is None else 107 if token == short else 40 for token in (0, 1)]
        amounts = [amount * part // (100 * count) for amount, part in zip(offered, percent, strict=True)]
        if any(amounts) and found not in {d.range for d in (*kept, *opens)}:
            opens.append(Desired(found, *amounts))
    return (*kept, *opens)


def random_range(rng: random.Random, tick: int, spacing: int) -> Range:
    """Return a range that holds the tick, or lies a little or far above or below it."""
    middle, width = tick // spacing, rng.randint(1, 12)
    low = middle + rng.choice((-rng.randint(0, width - 1), rng.randint(1, 6), -width - rng.randint(0, 6), 300, -300))
    return Range(low * spacing, (low + width) * spacing)


def filling(shown: Shown, opening: RoundOpening) -> tuple[Desired, ...]:
    """Take all the liquidity that a far tick can hold, for dust, beside a position that trades."""
    room = Chain(opening.snapshot).pool.max_liquidity_per_tick - 10**21
    dust = get_amount0_for_liquidity(*map(get_sqrt_ratio_at_tick, (FAR.tick_lower, FAR.tick_upper)), room)
    return (*repeated(shown), Desired(Range(-180, 180), UNIT // 2, UNIT // 2), Desired(FAR, dust, 0))


async def recorded(name: str, *, length_blocks: int, miners: int, seed: int) -> WhatIf:
    """Return a round on a recorded market."""
    market = RecordedMarket(records.load(name))
    snapshot = await market.open_round(length_blocks)
    blocks = tuple([await market.next_block() for _ in range(length_blocks)])
    spacing = snapshot.tick_spacing
    middle = snapshot.tick // spacing * spacing
    price = snapshot.sqrt_price_x96**2 / 2**192
    amount0, amount1 = int(10**16 / price**0.5), int(10**16 * price**0.5)
    opened = (Range(middle - 8 * spacing, middle + 9 * spacing), amount0 // 2, amount1 // 2)
    vault = virtual_vault(snapshot, Inventory(amount0, amount1, (opened,)))
    opening = replace(
        make_opening(snapshot, vault, tuple("abcdefgh"[:miners]), target=Target.POL, gas=GAS),
        market=market.info,
        schedule=Schedule(length_blocks, 150, 60, market.info.block_time_s),
    )
    return WhatIf(opening, blocks, Flow.recover(snapshot, blocks), seed)


def random_world(seed: int) -> WhatIf:
    """Return a round on a small pool on which everything happens that can happen to one."""
    rng = random.Random(seed)
    own = [(low := 60 * rng.randint(-30, 25), low + 60 * rng.randint(1, 30), 10**21) for _ in range(6)]
    snapshot = make_snapshot(positions=((*FULL_RANGE, 10**20), *own), tick=rng.randint(-600, 600))
    chain, fills = Chain(snapshot), rng.random() < 0.5
    length_blocks, restrike_s = rng.choice(((12, 60), (25, 60), (40, 36), (100, 12)))
    blocks = tuple(random_block(rng, chain, fills=fills) for _ in range(length_blocks))
    vault = virtual_vault(snapshot, random_inventory(rng, snapshot.tick))
    if rng.random() < 0.2:
        vault = real_vault(snapshot, own[0])
    miners = tuple("abcde"[: rng.randint(2, 5)])
    opening = make_opening(
        snapshot,
        vault,
        miners,
        length_blocks=length_blocks,
        interval=rng.randint(2, 6),
        target=rng.choice(list(Target)),
        quote_token=rng.choice(list(QuoteToken)),
        gas=GAS,
    )
    entrants = tuple(Entrant(Hotkey(name), i, 1) for i, name in enumerate(miners))
    schedule = replace(opening.schedule, restrike_s=restrike_s)
    opening = replace(opening, entrants=entrants, schedule=schedule)
    return WhatIf(opening, blocks, Flow.recover(snapshot, blocks), seed, fills_a_tick=fills)


def random_inventory(rng: random.Random, tick: int) -> Inventory:
    """Return tokens, in up to two positions or idle."""
    ranges = {random_range(rng, tick, 60) for _ in range(rng.randint(0, 2))}
    return Inventory(9 * UNIT, 9 * UNIT, tuple((r, 4 * UNIT, 4 * UNIT) for r in sorted(ranges)))


def real_vault(snapshot: PoolSnapshot, position: tuple[int, int, int]) -> VaultState:
    """Return a vault that owns a third of a position of the snapshot, and has not collected all its fees."""
    low, high, liquidity = position
    inside = Pool.from_snapshot(snapshot).fee_growth_inside(low, high)
    held = VaultPosition(Range(low, high), liquidity // 3, *inside, 10**15, 7)
    return VaultState(9 * UNIT, 9 * UNIT, (held,), in_pool=True)


def random_block(rng: random.Random, chain: Chain, *, fills: bool) -> Block:
    """Let up to four things happen and close the block."""
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        kind = rng.random()
        if kind < 0.75:
            random_swap(rng, chain)
        elif kind < 0.9:
            low = 60 * rng.randint(-30, 25)
            chain.change_liquidity(low, low + 60 * rng.randint(1, 10), rng.randint(1, 10**21))
        elif kind < 0.95:
            chain.flash(rng.randint(0, UNIT), rng.randint(0, UNIT))
        else:
            chain.set_fee_protocol(rng.choice((0, 4, 10)), rng.choice((0, 5)))
    if fills and chain.number == START_BLOCK + 9:
        chain.change_liquidity(FAR.tick_lower, FAR.tick_upper, 10**22)  # no room where somebody filled the tick
    return chain.block()


def random_swap(rng: random.Random, chain: Chain) -> None:
    """Swap a little or across many ticks, for an amount in or out, now and then to a limit that is a tick's price."""
    zero_for_one = rng.random() < 0.5 + chain.pool.tick / 4000  # the price comes back
    size = int(UNIT * 10 ** rng.uniform(-3, 1.6))
    limit = None
    if rng.random() < 0.2:
        steps = rng.randint(1, 4) * (-1 if zero_for_one else 1)
        limit = get_sqrt_ratio_at_tick((chain.pool.tick // 60 + steps) * 60)
    try:
        chain.swap(zero_for_one, size if rng.random() < 0.7 else -size, limit)
    except PoolRevert as revert:
        if revert.reason != "SPL":  # the price stands at that very tick
            raise
