"""Several strategies, weighed by what each would have earned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from miner.memory import Expert, Memory
from miner.span import Span
from miner.strategies.avellaneda_stoikov import AvellanedaStoikov
from miner.strategies.btr_plus import BtrPlus
from miner.strategies.charm import Charm
from miner.strategies.edge import is_due
from miner.strategies.glft import Glft
from miner.strategies.kappa import Kappa
from miner.strategies.paper import YEAR_S, Costs, Holding, follow, hedged_return, view_of
from miner.strategies.predictable_loss import PredictableLoss
from miner.strategies.settings import above_zero, within
from miner.strategies.static import Static
from miner.strategies.three_force.sums import clamp, total
from miner.view import Rule, View

_LEAST_WEIGHT = 1e-300  # so that their sum is never 0


def reweigh(weights: Sequence[float], returns: Sequence[float], eta: float, alpha: float) -> list[float]:
    """Return the weights after one more result of each expert.

    Parameters: weights  above 0, adding up to 1   ·   returns  one each   ·   eta  learning rate
                alpha  share given back evenly, so that an expert who was wrong for long can return
    Returns:    (1 − α)·w·e^(ηr)/Σ + α/K, adding up to 1
    Rounding:   floats, relative to the best so that nothing overflows
    Raises:     nothing
    Source:     Herbster, Warmuth 1998 (fixed share); strategy reference C1 P13
    """
    best = max(returns)
    grown = [
        max(weight, _LEAST_WEIGHT) * math.exp(eta * (r - best)) for weight, r in zip(weights, returns, strict=True)
    ]
    whole = total(grown)
    return [(1 - alpha) * weight / whole + alpha / len(grown) for weight in grown]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Follow the weighted majority of experts; each carries a paper portfolio, and what that nets sets its weight.

    Idea:    Nobody knows beforehand which width suits a market; what each would have earned here is known soon.
    Formula: r = fees − LVR − moves of the expert's paper span, in units of `reach` times the loss σ²/8·dt of a full
             range, clipped to ±1; fixed-share exponential weights with η = √(8·ln K/T), α = 1/T. All experts are asked
             about the portfolio really held; if those with more than half of the weight would move it, it moves to the
             weighted mean of their spans, if that is far enough.
    Units:   reach a concentration: 100 is about that of a range of ±2 %; T `memory_steps` questions.
    Source:  Bar-On, Mansour 2023 (intervals as experts); strategy reference C1 P13.
    """

    memory_steps: float = 500.0
    reach: float = 100.0
    shift: float = 0.5

    def __post_init__(self) -> None:
        above_zero(reach=self.reach, shift=self.shift)
        within(2, 1e9, memory_steps=self.memory_steps)

    @property
    def name(self) -> str:
        return "ensemble"

    @property
    def experts(self) -> dict[str, Rule]:
        """The experts by name."""
        return {
            "wide": Static(w=0.4),
            "static": Static(w=0.1),
            "charm": Charm(w=0.05),
            "narrow": Charm(w=0.015),
            "avellaneda_stoikov": AvellanedaStoikov(),
            "glft": Glft(),
            "predictable_loss": PredictableLoss(),
            "kappa": Kappa(),
            "btr_plus": BtrPlus(),
        }

    def learn(self, view: View, before: Memory, memory: Memory) -> Memory:
        """Return the memory with every expert's paper portfolio and weight brought up to this moment."""
        known = {expert.name: expert for expert in before.experts}
        names, seconds, costs = list(self.experts), float(memory.seen_s - before.seen_s), Costs()
        held: dict[str, Holding | None] = {}
        returns: list[float] = []
        for name, rule in self.experts.items():
            paper = _paper(known.get(name), memory.seen_s)
            earned = 0.0
            if paper is not None and seconds > 0:
                earned = hedged_return(paper.span, before.tick, view.x, view.fee_rate, seconds)
            paper = follow(paper, view.x, memory.seen_s)
            span = rule.wish(view_of(view, paper, memory.seen_s))
            if span is not None:
                paper = follow(Holding(span, memory.seen_s), view.x, memory.seen_s)
                earned -= costs.move if seconds > 0 else 0.0
            held[name] = paper
            returns.append(earned)
        weights = self.weights(before)
        if seconds > 0:
            unit = self.reach * view.sigma**2 / 8 * seconds / YEAR_S
            eta = math.sqrt(8 * math.log(len(names)) / self.memory_steps)
            weights = reweigh(weights, [clamp(r / unit, -1, 1) for r in returns], eta, 1 / self.memory_steps)
        return replace(memory, experts=_remember(names, weights, held))

    def weights(self, memory: Memory) -> list[float]:
        """Return what each expert counts for; evenly much where nothing is remembered of exactly these."""
        logs = {expert.name: expert.log_weight for expert in memory.experts}
        if set(logs) != set(self.experts):
            return [1 / len(self.experts)] * len(self.experts)
        best = max(logs.values())
        grown = [math.exp(logs[name] - best) for name in self.experts]
        return [weight / total(grown) for weight in grown]

    def wish_of(self, view: View, memory: Memory) -> Span | None:
        """Return where the weighted majority wants to be, None to keep."""
        wishes = [
            (weight, span)
            for weight, rule in zip(self.weights(memory), self.experts.values(), strict=True)
            if (span := rule.wish(view)) is not None
        ]
        support = total(weight for weight, _ in wishes)
        if support <= 0.5:
            return None
        lower = total(weight * span.lower for weight, span in wishes) / support
        upper = total(weight * span.upper for weight, span in wishes) / support
        target = Span(lower, upper)
        return target if is_due(view, target, shift=self.shift) else None


def _paper(expert: Expert | None, now_s: int) -> Holding | None:
    if expert is None or expert.span is None:
        return None
    return Holding(expert.span, min(expert.placed_s, now_s), expert.out_since_s)


def _remember(names: Sequence[str], weights: Sequence[float], held: dict[str, Holding | None]) -> tuple[Expert, ...]:
    """Return the experts as they are kept. One that holds nothing keeps its weight and an empty stretch."""
    experts = []
    for name, weight in zip(names, weights, strict=True):
        holding = held[name]
        log_weight = math.log(max(weight, _LEAST_WEIGHT))
        if holding is None:
            experts.append(Expert(name, log_weight, 0.0, 0.0, 0))
        else:
            lower, upper = holding.span.lower, holding.span.upper
            experts.append(Expert(name, log_weight, lower, upper, holding.placed_s, holding.out_since_s))
    return tuple(experts)
