"""A vault as its owner sees it: one value, as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from executor.limit_errands import LOOSENING_DELAY_S
from executor.reading import VaultReading
from executor.vault_facts import VaultFacts
from simulator.chain.blocks import Header
from simulator.market import MarketInfo, Token
from simulator.portfolio import Range

_NOBODY = "0x" + "00" * 20
_PPM_X18 = 10**12


@dataclass(frozen=True, slots=True)
class VaultReport:
    """A vault at a block. `nav` is its worth in token1 at the short and the long mean, without fees owed; None where
    the pool does not remember so far. `left_owed` is what the pool owes in ranges that are listed and empty, as after
    the withdrawal of one token.
    """

    header: Header
    info: MarketInfo
    facts: VaultFacts
    reading: VaultReading
    nav: tuple[int, int] | None
    has_our_code: bool
    left_owed: Mapping[Range, tuple[int, int]]

    @property
    def has_keeper(self) -> bool:
        """Whether there is a keeper whose term has not run out."""
        return self.facts.keeper != _NOBODY and self.header.timestamp <= self.facts.keeper_until

    @property
    def hindrance(self) -> str | None:
        """Why no plan could be carried out now, or None."""
        left = self.facts.cooldown_left_s(self.header.timestamp)
        if not self.has_keeper:
            return "there is no keeper, or his term has run out"
        if self.facts.is_paused:
            return "the vault is paused"
        if self.nav is None:
            return f"the pool does not remember {self.facts.limits.twap_long_s} s: give it slots, and time"
        if left:
            return f"it rests for {left} s more"
        if self.drift is not None and self.drift > self.drift_left:
            return f"the mean price came {self.drift} ticks since the last plan: wait, or appoint the keeper again"
        return None

    @property
    def drift(self) -> int | None:
        """How many ticks the mean price is from where the last plan found it; None where that does not count."""
        tick, mean = self.facts.drift_tick, self.reading.mean_tick
        return None if tick is None or mean is None else abs(mean - tick)

    @property
    def drift_left(self) -> int:
        """How many ticks that may be."""
        return self.facts.drift_left(self.header.timestamp)


def report_json(report: VaultReport) -> dict[str, Any]:
    """Return a report as JSON-ready values: amounts, raw units and shares of 1e-18 are decimal strings."""
    header, facts, fork, nav = report.header, report.facts, report.reading.fork, report.nav
    portfolio = fork.portfolio()
    return {
        "vault": facts.address,
        "chain_id": report.info.chain_id,
        "block": header.number,
        "block_hash": header.block_hash,
        "timestamp": header.timestamp,
        "pool": facts.pool,
        "token0": asdict(report.info.token0),
        "token1": asdict(report.info.token1),
        "has_our_code": report.has_our_code,
        "owner": facts.owner,
        "proposed_owner": None if facts.proposed_owner == _NOBODY else facts.proposed_owner,
        "keeper": facts.keeper if facts.keeper != _NOBODY else None,
        "keeper_until": facts.keeper_until,
        "guardian": facts.guardian,
        "is_paused": facts.is_paused,
        "hindrance": report.hindrance,
        "cooldown_left_s": facts.cooldown_left_s(header.timestamp),
        "tick": fork.pool.tick,
        "sqrt_price_x96": str(fork.pool.sqrt_price_x96),
        "mean_tick": report.reading.mean_tick,
        "nav_token1": None if nav is None else {"short_mean": str(nav[0]), "long_mean": str(nav[1])},
        **portfolio.to_json(),
        "fees0": str(portfolio.fees[0]),
        "fees1": str(portfolio.fees[1]),
        "left_owed": [[r.tick_lower, r.tick_upper, str(a), str(b)] for r, (a, b) in report.left_owed.items()],
        "gifts": [[r.tick_lower, r.tick_upper, str(liquidity)] for r, liquidity in report.reading.gifts],
        "daily_loss_x18": str(facts.daily_loss_x18),
        "loss_left_x18": str(facts.loss_left_x18),
        "drift": report.drift,
        "drift_left": report.drift_left,
        "limits": asdict(facts.limits),
        "limits_settable_from": facts.announced_at + LOOSENING_DELAY_S if facts.announced_hash else None,
    }


def report_text(report: VaultReport) -> str:
    """Return a report as lines for a terminal."""
    facts, info, fork = report.facts, report.info, report.reading.fork
    portfolio = fork.portfolio()
    rows = [
        ("vault", f"{facts.address} on chain {info.chain_id}, block {report.header.number}"),
        ("pool", f"{facts.pool} ({info.token0.symbol}/{info.token1.symbol}, fee {info.fee_pips / 10_000:g} %)"),
        (
            "code",
            "ours, as built here" if report.has_our_code else "NOT what is built here: another version, or a trap",
        ),
        ("owner", facts.owner + _proposed(facts)),
        ("guardian", facts.guardian),
        ("keeper", _keeper(report)),
        ("keeping", "possible now" if report.hindrance is None else f"not now: {report.hindrance}"),
        (
            "price",
            f"tick {fork.pool.tick}, mean of {facts.limits.twap_long_s} s tick {_or_unknown(report.reading.mean_tick)}",
        ),
        ("idle", tokens_text(info, portfolio.idle0, portfolio.idle1)),
        *(
            (
                f"{h.range.tick_lower}..{h.range.tick_upper}",
                f"{tokens_text(info, h.amount0, h.amount1)}; owed {tokens_text(info, h.fees0, h.fees1)}",
            )
            for h in portfolio.holdings
        ),
        *(
            (
                f"{r.tick_lower}..{r.tick_upper}",
                f"emptied; the pool still owes {tokens_text(info, *owed)}: see withdraw",
            )
            for r, owed in report.left_owed.items()
        ),
        ("fees owed", tokens_text(info, *portfolio.fees)),
        ("worth", _worth(report)),
        ("lost today", f"{_ppm(facts.daily_loss_x18)} ppm"),
        ("may lose", f"{_ppm(facts.loss_left_x18)} ppm more today, at most {facts.limits.max_loss_ppm} ppm a plan"),
        (
            "may drift",
            f"{report.drift_left} ticks from where the last plan found the mean price; now {_or_unknown(report.drift)}",
        ),
    ]
    if facts.announced_hash:
        when = time_text(facts.announced_at + LOOSENING_DELAY_S)
        rows.append(("announced", f"other limits, which the owner can set from {when} on: see tideline vault limits"))
    if report.reading.gifts:
        rows.append(
            ("gifts", f"others added liquidity to {len(report.reading.gifts)} of these ranges: it is yours once closed")
        )
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)


def token_text(amount: int, token: Token) -> str:
    """Return an amount of a token, exact."""
    whole, rest = divmod(amount, 10**token.decimals)
    fraction = f".{rest:0{token.decimals}d}".rstrip("0").rstrip(".") if token.decimals else ""
    return f"{whole:,}{fraction} {token.symbol}"


def tokens_text(info: MarketInfo, amount0: int, amount1: int) -> str:
    """Return amounts of both tokens, none below 0, exact."""
    return f"{token_text(amount0, info.token0)} and {token_text(amount1, info.token1)}"


def time_text(seconds: int) -> str:
    """Return a time of the chain; whatever a strange contract calls one."""
    return f"{datetime.fromtimestamp(min(seconds, 2**37), UTC):%Y-%m-%d %H:%M:%S} UTC"


def _proposed(facts: VaultFacts) -> str:
    return "" if facts.proposed_owner == _NOBODY else f" ({facts.proposed_owner} may take over)"


def _keeper(report: VaultReport) -> str:
    facts = report.facts
    if facts.keeper == _NOBODY:
        return "nobody"
    return f"{facts.keeper} until {time_text(facts.keeper_until)}" + ("" if report.has_keeper else ": over")


def _worth(report: VaultReport) -> str:
    if report.nav is None:
        return "unknown: the pool does not remember its mean price"
    token1 = report.info.token1
    short, long = (token_text(nav, token1) for nav in report.nav)
    limits = report.facts.limits
    return (
        f"{long} at the mean of {limits.twap_long_s} s, {short} at that of {limits.twap_short_s} s, without fees owed"
    )


def _or_unknown(number: int | None) -> str:
    return "unknown" if number is None else str(number)


def _ppm(share_x18: int) -> str:
    return f"{share_x18 / _PPM_X18:,.1f}"
