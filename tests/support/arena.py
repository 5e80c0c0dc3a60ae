"""An arena for attacks inside a round: a scripted market, an honest miner, and whoever attacks.

Blocks are numbered from 1, checkpoints come every `INTERVAL` blocks from block 0, and a plan takes effect two blocks
after its checkpoint: the deadline is one block long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from support.worlds import Chain, make_opening, make_snapshot

from protocol.units import Hotkey
from simulator.answers import Answer, Positions
from simulator.fork import Inventory, virtual_vault
from simulator.gas import GasTable
from simulator.ledger import GasPolicy, Ledger
from simulator.opening import RoundOpening
from simulator.plan import Desired
from simulator.portfolio import Range
from simulator.round import Ask, ParticipantResult, Round, RoundResult
from simulator.valuation import QuoteToken, Target
from validator.winner import pick_round_winner

UNIT = 10**18
INTERVAL = 6
LENGTH = 4 * INTERVAL
HONEST, ATTACKER = Hotkey("honest"), Hotkey("attacker")
TABLE = GasTable(base=21_000, open=245_000, close=158_000, collect=127_000, swap=82_000)
GAS = GasPolicy(10**10, token_is_0=False, rate_numerator=1, rate_denominator=1, table=TABLE)
EVEN = Inventory(20 * UNIT, 20 * UNIT)

Strategy = Callable[[Ask, Hotkey], Answer]
Script = Callable[[Chain, int], None]


def calm(chain: Chain, block: int) -> None:
    """A brisk trade there and back, some 60 ticks wide: who is in range earns."""
    chain.swap(block % 2 == 0, 300 * UNIT)


def rising(chain: Chain, block: int) -> None:
    """Token0 gains about 0.6 % a block: who provides liquidity sells it too cheaply."""
    chain.swap(False, 300 * UNIT)


@dataclass(frozen=True, slots=True)
class Arena:
    """A market and what every participant starts with."""

    script: Script = calm
    inventory: Inventory = EVEN
    gas: GasPolicy = GAS
    tick: int = 0
    foreign: tuple[tuple[int, int, int], ...] = ((-887220, 887220, 10**23),)
    target: Target = Target.MAX_VALUE
    quote_token: QuoteToken = QuoteToken.TOKEN1

    def opening(self, *hotkeys: Hotkey) -> RoundOpening:
        """Return the opening of a round between these."""
        snapshot = make_snapshot(tick=self.tick, positions=self.foreign)
        vault = virtual_vault(snapshot, self.inventory)
        return make_opening(
            snapshot,
            vault,
            hotkeys,
            length_blocks=LENGTH,
            interval=INTERVAL,
            target=self.target,
            quote_token=self.quote_token,
            gas=self.gas,
        )

    def play(self, strategies: Mapping[Hotkey, Strategy]) -> Contest:
        """Play a whole round."""
        opening = self.opening(*strategies)
        chain, engine = Chain(opening.snapshot), Round(opening)
        while not engine.is_finished:
            ask = engine.pending_ask()
            if ask is not None:
                engine.answer({hotkey: strategies[hotkey](ask, hotkey) for hotkey in ask.shown})
                continue
            self.script(chain, chain.number + 1 - opening.snapshot.block_number)
            engine.advance(chain.block())
        return Contest(opening, engine.result())


@dataclass(frozen=True, slots=True)
class Contest:
    """A finished round."""

    opening: RoundOpening
    result: RoundResult

    def of(self, hotkey: Hotkey) -> ParticipantResult:
        """Return a participant's result."""
        return next(p for p in self.result.participants if p.hotkey == hotkey)

    def score(self, hotkey: Hotkey) -> int:
        """Return the score of somebody who was scored."""
        score = self.of(hotkey).score_e18
        assert score is not None
        return score

    def ledger(self, hotkey: Hotkey) -> Ledger:
        """Return the ledger of somebody who was scored."""
        ledger = self.of(hotkey).ledger
        assert ledger is not None
        return ledger

    def winner(self, combined_before: Mapping[Hotkey, int] | None = None) -> Hotkey | None:
        """Return who won the round."""
        return pick_round_winner(self.opening, self.result, combined_before or {})


def keep(ask: Ask, me: Hotkey) -> Positions:
    """Repeat what is shown."""
    return Positions(tuple(shown(ask, me)))


def shown(ask: Ask, me: Hotkey) -> list[Desired]:
    """Return the positions held, as they must be repeated to be kept."""
    return [Desired(h.range, h.amount0, h.amount1) for h in ask.shown[me].portfolio.holdings]


def once(*desired: Desired, then: Strategy = keep) -> Strategy:
    """Return the strategy that asks for these at the first checkpoint."""

    def decide(ask: Ask, me: Hotkey) -> Answer:
        return Positions(desired) if ask.index == 0 else then(ask, me)

    return decide


def in_turn(*strategies: Strategy) -> Strategy:
    """Return the strategy that follows these, checkpoint by checkpoint, and the last one from there on."""

    def decide(ask: Ask, me: Hotkey) -> Answer:
        return strategies[min(ask.index, len(strategies) - 1)](ask, me)

    return decide


def always(answer: Answer) -> Strategy:
    """Return the strategy that knows one answer."""
    return lambda _ask, _me: answer


honest_band = once(Desired(Range(-600, 600), 18 * UNIT, 18 * UNIT))


def defended(arena: Arena, attack: Strategy, honest: Strategy = honest_band) -> Contest:
    """Play with every defence in place, and show that the honest miner's result is the same as without the attacker."""
    alone = arena.play({HONEST: honest})
    together = arena.play({HONEST: honest, ATTACKER: attack})
    assert together.of(HONEST) == alone.of(HONEST)
    assert together.result.benchmark == alone.result.benchmark
    return together


def undefended(arena: Arena, attack: Strategy, honest: Strategy = honest_band) -> Contest:
    """Play while a defence is taken away."""
    return arena.play({HONEST: honest, ATTACKER: attack})
