"""A round on chain follows the real vault: whatever it does, its ledger adds up and comes to what the vault holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.worlds import FREE_GAS, START_BLOCK, Chain, make_opening, make_snapshot

from protocol.errors import SimulationError
from protocol.units import MAX_UINT128, Hotkey
from simulator.answers import Positions
from simulator.engine import Engine, default_engine
from simulator.events import Block, LiquidityEvent
from simulator.opening import RoundOpening
from simulator.plan import Desired
from simulator.pool import PositionInfo
from simulator.portfolio import Range, VaultPosition, VaultState
from simulator.round import ParticipantResult, Round, RoundResult
from simulator.settlement import Paid, Settlement

UNIT = 10**18
A = Hotkey("a")
OWNED = Range(-1200, 1200)
RANGES = (OWNED, Range(-300, 60), Range(60, 600), Range(-60000, 60000))
SEED = 5 * 10**20


class VaultChain(Chain):
    """A chain with a vault of ours in its pool; it tells which events are the vault's."""

    def __init__(self) -> None:
        self.snapshot = make_snapshot(positions=((-887220, 887220, 10**22), (*_ticks(OWNED), SEED)))
        super().__init__(self.snapshot)
        growth = (self.snapshot.fee_growth_global_0_x128, self.snapshot.fee_growth_global_1_x128)
        self.pool.positions[("real", *_ticks(OWNED))] = PositionInfo(SEED, *growth, 0, 0)
        self.idle = [50 * UNIT, 50 * UNIT]
        self.open = {OWNED}
        self._own: list[int] = []

    def vault_mints(self, r: Range, liquidity: int) -> None:
        amounts = self.pool.mint("real", *_ticks(r), liquidity)
        self._pay(*amounts)
        self.open.add(r)
        self._note(LiquidityEvent(len(self._events), *_ticks(r), liquidity, *amounts))

    def vault_burns(self, r: Range, share: int) -> None:
        """Burn so many tenths of a position and collect all; of nothing: fees alone."""
        if r not in self.open:
            return
        held = self.pool.positions[("real", *_ticks(r))].liquidity
        amounts = self.pool.burn("real", *_ticks(r), held * share // 10)
        got = self.pool.collect("real", *_ticks(r), MAX_UINT128, MAX_UINT128)
        self._pay(-got[0], -got[1])
        if share == 10:
            self.open.discard(r)
        self._note(LiquidityEvent(len(self._events), *_ticks(r), -(held * share // 10), *amounts))

    def vault_swaps(self, zero_for_one: bool, amount: int) -> None:  # noqa: FBT001 - the contract's order
        event = self.swap(zero_for_one, amount)
        self._own.append(event.log_index)
        self._pay(event.amount0, event.amount1)

    def block(self) -> Block:
        own, self._own = tuple(self._own), []
        return replace(super().block(), own=own)

    def vault(self) -> VaultState:
        held = ((r, self.pool.positions[("real", *_ticks(r))]) for r in sorted(self.open))
        return VaultState(*self.idle, tuple(_position(r, p) for r, p in held), in_pool=True)

    def _pay(self, amount0: int, amount1: int) -> None:
        self.idle[0] -= amount0
        self.idle[1] -= amount1

    def _note(self, event: LiquidityEvent) -> None:
        self._own.append(event.log_index)
        self._events.append(event)


def _ticks(r: Range) -> tuple[int, int]:
    return r.tick_lower, r.tick_upper


def _position(r: Range, p: PositionInfo) -> VaultPosition:
    growth = (p.fee_growth_inside_0_last_x128, p.fee_growth_inside_1_last_x128)
    return VaultPosition(r, p.liquidity, *growth, p.tokens_owed_0, p.tokens_owed_1)


def opening_of(chain: VaultChain, *, length_blocks: int = 12) -> RoundOpening:
    gas = replace(FREE_GAS, rate_numerator=3)  # one wei is worth three raw units
    opened = make_opening(chain.snapshot, chain.vault(), (A,), length_blocks=length_blocks, gas=gas)
    return replace(opened, is_on_chain=True, round_type="live")


def follow(chain: VaultChain, engine: Round, acts: list[list[tuple[Any, ...]]]) -> None:
    """Play blocks of acts; every question is answered with what is shown."""
    for block in acts:
        ask = engine.pending_ask()
        if ask is not None:
            held = ask.shown[A].portfolio.holdings
            engine.answer({A: Positions(tuple(Desired(h.range, h.amount0, h.amount1) for h in held))})
        for name, *arguments in block:
            getattr(chain, name)(*arguments)
        engine.advance(chain.block())


def settled(chain: VaultChain, engine: Round, *paid: Paid) -> tuple[ParticipantResult, RoundResult]:
    """Settle with a receipt for every block, without cost but for those given."""
    costs = {p.block_number: p for p in paid}
    every = (costs.get(n, Paid("0x0", n, 0, 0)) for n in range(START_BLOCK + 1, chain.number + 1))
    engine.settle(Settlement(chain.vault(), tuple(every)))
    result = engine.result()
    return result.participants[0], result


ACT = st.one_of(
    st.tuples(st.just("swap"), st.booleans(), st.integers(1, 60 * UNIT)),
    st.tuples(st.just("change_liquidity"), st.just(-300), st.just(60), st.integers(1, 10**20)),
    st.tuples(st.just("vault_mints"), st.sampled_from(RANGES), st.integers(1, 10**20)),
    st.tuples(st.just("vault_burns"), st.sampled_from(RANGES), st.sampled_from((0, 3, 10))),
    st.tuples(st.just("vault_swaps"), st.booleans(), st.integers(-5 * UNIT, 5 * UNIT).filter(bool)),
)


@settings(max_examples=25)
@given(st.lists(st.lists(ACT, max_size=5), min_size=12, max_size=12), st.sampled_from(["python", default_engine()]))
def test_whatever_the_vault_does_is_followed_to_the_wei_and_booked_without_a_rest(
    acts: list[list[tuple[Any, ...]]], engine: Engine
) -> None:
    chain = VaultChain()
    chain.idle = [10_000 * UNIT, 10_000 * UNIT]  # more than all acts could spend
    played = Round(opening_of(chain), engine=engine)
    follow(chain, played, acts)
    mine, result = settled(chain, played, Paid("0x1", 1003, 100, 7 * 10**9))
    assert mine.ledger is not None and mine.ledger.residual_x192 == result.benchmark.residual_x192 == 0
    state = chain.vault()
    closing = mine.ledger.closing
    assert (closing.idle0, closing.idle1) == (state.idle0, state.idle1)
    assert [(h.range, h.liquidity) for h in closing.holdings] == [(p.range, p.liquidity) for p in state.positions]
    assert (mine.ledger.gas, mine.ledger.gas_x192 // 2**192) == (100, 21 * 10**9)
    assert [h.range for h in result.benchmark.closing.holdings] == [OWNED] and result.benchmark.rebalances == 0


def test_what_the_vault_does_in_one_go_is_one_rebalance_and_one_mark() -> None:
    chain = VaultChain()
    played = Round(opening_of(chain))
    go = [("vault_burns", OWNED, 10), ("vault_swaps", True, UNIT), ("vault_mints", RANGES[1], 10**20)]
    follow(chain, played, [[("swap", True, UNIT)], [*go, ("swap", False, UNIT), *go[2:]], *[[]] * 10])
    mine, _ = settled(chain, played)
    assert mine.ledger is not None and mine.ledger.rebalances == 2
    assert mine.ledger.swap_cost_x192 > 0 and mine.ledger.turnover_x192 > 0


def test_a_vault_that_is_left_alone_scores_exactly_nothing() -> None:
    chain = VaultChain()
    played = Round(opening_of(chain))
    follow(chain, played, [[("swap", n % 2 == 0, 40 * UNIT)] for n in range(12)])
    mine, result = settled(chain, played)
    assert mine.score_e18 == 0 and mine.ledger == result.benchmark


@pytest.mark.parametrize(("missing", "says"), [(0, None), (5 * 10**13, None), (10**14, "token1 have left the vault")])
def test_a_vault_that_holds_less_than_was_followed_is_no_score(missing: int, says: str | None) -> None:
    """More than a millionth; what is there beyond is a gift and counts for nothing."""
    chain = VaultChain()
    played = Round(opening_of(chain))
    follow(chain, played, [[("swap", True, UNIT)], *[[]] * 11])
    chain.idle[0] += UNIT
    chain.idle[1] -= missing
    if says is not None:
        with pytest.raises(SimulationError, match=says):
            settled(chain, played)
        return
    mine, result = settled(chain, played)
    assert mine.score_e18 == 0 and mine.ledger == result.benchmark


def test_what_the_vault_did_by_no_plan_of_the_round_is_no_score() -> None:
    """Its owner's act, or the plan of a round before that was carried out late, is not this miner's."""
    chain = VaultChain()
    played = Round(opening_of(chain))
    follow(chain, played, [[], [("vault_burns", OWNED, 0)], [], [("vault_swaps", True, UNIT)], *[[]] * 8])
    with pytest.raises(SimulationError, match=r"did what is no plan of this round \(block=1004\)"):
        played.settle(Settlement(chain.vault(), (Paid("0x1", 1002, 0, 0),)))


def test_a_round_on_chain_wants_its_settlement_and_no_other_does() -> None:
    chain = VaultChain()
    played = Round(opening_of(chain))
    with pytest.raises(SimulationError, match="only a finished round on chain is settled"):
        played.settle(Settlement(chain.vault(), ()))
    follow(chain, played, [[]] * 12)
    with pytest.raises(SimulationError, match="the round is not finished"):
        played.result()
    settled(chain, played)
    with pytest.raises(SimulationError, match="only a finished round on chain is settled, once"):
        played.settle(Settlement(chain.vault(), ()))
    opening = opening_of(VaultChain())
    for wrong in ({"entrants": ()}, {"vault": replace(opening.vault, in_pool=False)}):
        with pytest.raises(SimulationError, match="a round on chain is one miner's, with a real vault"):
            replace(opening, **wrong)
    assert RoundOpening.from_json(opening.to_json()) == opening
    value = Settlement(chain.vault(), (Paid("0x1", 3, 2**70, 2**80),))
    assert Settlement.from_json(value.to_json()) == value


def test_a_miner_is_shown_the_real_vault_and_judged_on_it() -> None:
    """What gifts have paid for is not owed: idle tokens below nothing are shown, and judged, as none."""
    chain = VaultChain()
    chain.idle = [0, 50 * UNIT]
    played = Round(opening_of(chain))
    chain.idle[0] = UNIT  # a gift, put to work by the vault
    follow(chain, played, [[("vault_mints", RANGES[2], 10**18)], [], [], []])
    ask = played.pending_ask()
    assert ask is not None
    shown = ask.shown[A]
    assert (shown.portfolio.idle0, [h.range for h in shown.portfolio.holdings]) == (0, [OWNED, RANGES[2]])
    assert shown.rebalances == 1
    whole = [Desired(h.range, h.amount0, h.amount1) for h in shown.portfolio.holdings]
    assert played.answer({A: Positions((*whole, Desired(RANGES[1], 0, UNIT)))})[A].plan is not None
    follow(chain, played, [[], [], [], []])
    later = played.pending_ask()
    assert later is not None
    assert later.shown[A].portfolio == shown.portfolio, "the plan is the executor's to carry out"
