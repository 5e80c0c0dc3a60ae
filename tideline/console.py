"""What a running validator looks like on a terminal: one line a fact, on stderr, so that stdout stays for results."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TextIO

from protocol.units import Hotkey
from simulator.market import MarketInfo
from simulator.scoring import SCORE_UNIT
from validator.progress import (
    Asked,
    IntentStored,
    PlanExecuted,
    ProgressEvent,
    RoundClosed,
    RoundOpened,
    RoundRewound,
    RoundVoided,
    Trouble,
    VaultScored,
    WeightsWritten,
)

BASIS_POINT_E18 = 10**14


@dataclass(slots=True)
class Tally:
    """What has happened so far, for the last line."""

    rounds: int = 0
    live_rounds: int = 0
    voided: int = 0
    scores: int = 0
    weights_set: int = 0
    intents: int = 0
    live_executions: int = 0  # on chain; on paper there are none
    started_s: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started_s


class Console:
    """Writes progress. `names` puts a short name on a hotkey, `markets` says how to print a price of a job."""

    def __init__(
        self,
        names: Mapping[str, str],
        markets: Mapping[str, MarketInfo],
        *,
        detail: bool,
        out: TextIO | None = None,
    ) -> None:
        self._names = names
        self._markets = markets
        self._detail = detail
        self._out = sys.stderr if out is None else out
        self.tally = Tally()

    def __call__(self, event: ProgressEvent) -> None:
        """Take one fact."""
        match event:
            case RoundOpened():
                self._opened(event)
            case Asked():
                self._asked(event)
            case RoundClosed():
                self._closed(event)
            case RoundVoided(job_id, round_id, reason):
                self.tally.voided += 1
                self._line(job_id, f"{round_id} is inconclusive, nobody is scored: {reason}")
            case RoundRewound(job_id, round_id, block, depth):
                self._line(job_id, f"{round_id} goes on from block {block}: the chain took back {depth} blocks")
            case IntentStored():
                self.tally.intents += 1
                verdict = "allowed" if event.is_allowed else f"refused: {event.reason}"
                name = self._name(event.hotkey)
                where = f"{event.effective_block} ({'chain' if event.is_on_chain else 'paper'})"
                self._line(event.job_id, f"live intent of {name} for block {where}: {verdict}")
            case PlanExecuted():
                self._executed(event)
            case VaultScored():
                self._scored(event)
            case WeightsWritten():
                self._weights(event)
            case Trouble(message):
                self._line("validator", message)

    def note(self, subject: str, text: str) -> None:
        """Say something that is no fact of a round."""
        self._line(subject, text)

    def _opened(self, event: RoundOpened) -> None:
        if self._detail:
            when = datetime.fromtimestamp(event.timestamp, UTC)
            self._line(
                event.job_id,
                f"{event.round_type} round {_number(event.round_id)} opens at block {event.start_block} "
                f"({when:%Y-%m-%d %H:%M} UTC), ends at {event.end_block}, {event.participants} miners",
            )

    def _asked(self, event: Asked) -> None:
        if self._detail:
            verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(event.verdicts.items()))
            self._line(
                event.job_id,
                f"block {event.block}/{event.end_block}  price {self._price(event.job_id, event.sqrt_price_x96)}  "
                f"{verdicts}  |  {self._table(event.standings)}",
            )

    def _closed(self, event: RoundClosed) -> None:
        if event.round_type == "live":
            self.tally.live_rounds += 1
        else:
            self.tally.rounds += 1
        self.tally.scores += len(event.scores)
        when = datetime.fromtimestamp(event.timestamp, UTC)
        winner = "nobody" if event.winner is None else self._name(event.winner)
        self._line(
            event.job_id,
            f"{event.round_type} round {_number(event.round_id)} of {when:%Y-%m-%d %H:%M}  "
            f"price {self._price(event.job_id, event.sqrt_price_x96)}  {event.swaps} swaps  "
            f"winner {winner}  |  {self._table(event.scores)}",
        )

    def _executed(self, event: PlanExecuted) -> None:
        self.tally.live_executions += 1
        held = ", ".join(f"{lower}..{upper} ({liquidity})" for lower, upper, liquidity in event.positions) or "nothing"
        error = "unread" if event.error_in_token1 is None else f"{event.error_in_token1} raw token1"
        self._line(
            event.job_id,
            f"ON CHAIN: {event.tx_hash} in block {event.block}, gas {event.gas_used} for {event.fee_wei / 1e18:.8f} "
            f"native, loss in NAV {event.loss_ppm} ppm, off the prediction by {error}",
        )
        self._line(event.job_id, f"the vault now holds {held}")

    def _scored(self, event: VaultScored) -> None:
        mine, hold = event.ledger, event.benchmark
        parts = {
            "fees earned": mine.fees_x192 - hold.fees_x192,
            "LVR": hold.lvr_x192 - mine.lvr_x192,
            "swap cost": -mine.swap_cost_x192,
            "gas": -mine.gas_x192,
            "rounding": -mine.dust_x192,
            "NAV against holding": mine.w_close_x192 - hold.w_close_x192,
        }
        share = {name: value * SCORE_UNIT // hold.w_open_x192 / BASIS_POINT_E18 for name, value in parts.items()}
        said = "  ".join(f"{name} {value:+.4f} bp" for name, value in share.items())
        score = event.score_e18 / BASIS_POINT_E18
        self._line(event.job_id, f"live score of {self._name(event.hotkey)} {score:+.4f} bp of the vault's NAV: {said}")

    def _weights(self, event: WeightsWritten) -> None:
        self.tally.weights_set += event.is_confirmed
        shares = ", ".join(f"uid {uid} {weight:.1%}" for uid, weight in sorted(event.weights.items()))
        state = "set and read back" if event.is_confirmed else f"NOT confirmed ({event.message})"
        self._line("subtensor", f"weights of epoch {event.epoch_index} {state} at block {event.block}: {shares}")

    def _table(self, values: Mapping[Hotkey, int]) -> str:
        """Return each miner's value in basis points, best first."""
        ranked = sorted(values.items(), key=lambda item: -item[1])
        return "  ".join(f"{self._name(hotkey)} {value / BASIS_POINT_E18:+.3f} bp" for hotkey, value in ranked)

    def _price(self, job_id: str, sqrt_price_x96: int) -> str:
        market = self._markets.get(job_id)
        return "?" if market is None else format_price(market, sqrt_price_x96)

    def _name(self, hotkey: str) -> str:
        return self._names.get(hotkey, hotkey[:8])

    def _line(self, subject: str, text: str) -> None:
        self._out.write(f"{subject:<14} {text}\n")
        self._out.flush()


def format_price(market: MarketInfo, sqrt_price_x96: int) -> str:
    """Return a pool's price as people quote it: the dearer token in the other, for display only."""
    price = (sqrt_price_x96 / 2**96) ** 2 * 10.0 ** (market.token0.decimals - market.token1.decimals)
    if price < 1:
        return f"{1 / price:,.2f} {market.token0.symbol}/{market.token1.symbol}"
    return f"{price:,.4f} {market.token1.symbol}/{market.token0.symbol}"


def _number(round_id: str) -> str:
    return round_id.rsplit("-", 1)[-1]
