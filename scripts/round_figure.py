"""Draw one stored round as an SVG: the price with one miner's ranges, and every miner's value against the benchmark.

Example:
    python scripts/round_figure.py usdc-weth-evaluation-6 --out docs/round.svg
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from db.store import Store
from db.url import DEFAULT_DATABASE_URL
from protocol.signing import keypair_from_uri
from protocol.units import Hotkey
from simulator.answers import read_answer
from simulator.evidence import Evidence
from simulator.query import build_query
from simulator.round import Round
from tideline.console import format_price
from tideline.demo import DEMO_MINERS
from validator.verification import load

WIDTH, TOP, BOTTOM, LEFT, RIGHT = 860, 230, 190, 70, 150
COLOURS = ("#6b7280", "#0f766e", "#2563eb", "#d97706", "#be185d", "#7c3aed")


@dataclass(frozen=True, slots=True)
class Sample:
    """One block of the round."""

    block: int
    tick: int
    sqrt_price_x96: int
    values: dict[Hotkey, int]


def samples(evidence: Evidence) -> Iterator[Sample]:
    """Replay a round and yield what it looks like after each block."""
    engine, asks = Round(evidence.opening), iter(evidence.answers)

    def answer() -> None:
        ask = engine.pending_ask()
        if ask is not None:
            engine.answer(
                {
                    r.hotkey: read_answer(
                        build_query(evidence.opening, ask, r.hotkey),
                        None if r.response_body is None else r.response_body.encode("latin-1"),
                        r.detail,
                    )
                    for r in next(asks)
                }
            )

    answer()
    for block in evidence.blocks:
        engine.advance(block)
        view = engine.pool
        yield Sample(block.number, view.tick, view.sqrt_price_x96, engine.values_against_benchmark())
        answer()


def polyline(points: Sequence[tuple[float, float]], colour: str) -> str:
    """Return an SVG line."""
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{text}" fill="none" stroke="{colour}" stroke-width="1.6"/>'


def label(x: float, y: float, text: str, colour: str = "#374151", anchor: str = "start") -> str:
    """Return an SVG text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">{text}</text>'


def panel(values: Sequence[Sequence[float]], top: float, height: float) -> list[list[tuple[float, float]]]:
    """Scale several series into one panel."""
    low, high = min(min(v) for v in values), max(max(v) for v in values)
    span = (high - low) or 1.0
    step = (WIDTH - LEFT - RIGHT) / max(len(values[0]) - 1, 1)
    return [[(LEFT + i * step, top + height - (y - low) / span * height) for i, y in enumerate(v)] for v in values]


def draw(evidence: Evidence, names: dict[str, str]) -> str:
    """Return the whole figure."""
    found = list(samples(evidence))
    market = evidence.opening.market
    prices = [-float(s.tick) if market.token0.decimals < market.token1.decimals else float(s.tick) for s in found]
    hotkeys = list(found[-1].values)
    series = [[s.values[h] / 1e14 for s in found] for h in hotkeys]
    out = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {TOP + BOTTOM + 90}" '
            'font-family="sans-serif" font-size="12">'
        ),
        f'<rect width="{WIDTH}" height="{TOP + BOTTOM + 90}" fill="#ffffff"/>',
        label(LEFT, 20, f"{evidence.opening.round_id}: price of {market.token1.symbol} and {market.token0.symbol}"),
        polyline(panel([prices], 30, TOP - 40)[0], "#111827"),
        label(
            LEFT - 6, 40, format_price(market, found[prices.index(max(prices))].sqrt_price_x96).split()[0], anchor="end"
        ),
        label(
            LEFT - 6,
            TOP - 6,
            format_price(market, found[prices.index(min(prices))].sqrt_price_x96).split()[0],
            anchor="end",
        ),
        label(
            LEFT, TOP + 30, "value against the benchmark, basis points (direction included; the score leaves it out)"
        ),
    ]
    scaled = panel([*series, [0.0] * len(found)], TOP + 40, BOTTOM)
    out.append(polyline(scaled[-1], "#d1d5db"))
    ends = sorted(range(len(hotkeys)), key=lambda i: scaled[i][-1][1])
    last_y = 0.0
    results = {p["hotkey"]: p for p in evidence.results["participants"]}
    for i in ends:
        colour = COLOURS[i % len(COLOURS)]
        out.append(polyline(scaled[i], colour))
        last_y = max(scaled[i][-1][1] + 4, last_y + 14)
        score = results[hotkeys[i]]["score_e18"]
        text = f"{names.get(hotkeys[i], hotkeys[i][:8])} {'' if score is None else f'{int(score) / 1e14:+.2f} bp'}"
        out.append(label(WIDTH - RIGHT + 8, last_y, text, colour))
    high, low = max(max(s) for s in series), min(0.0, *(min(s) for s in series))
    out.append(label(LEFT - 6, TOP + 50, f"{high:+.2f}", anchor="end"))
    out.append(label(LEFT - 6, TOP + 40 + BOTTOM, f"{low:+.2f}", anchor="end"))
    blocks = f"block {found[0].block}"
    out.append(label(LEFT, TOP + BOTTOM + 62, blocks))
    out.append(label(WIDTH - RIGHT, TOP + BOTTOM + 62, f"{found[-1].block}", anchor="end"))
    return "\n".join([*out, "</svg>", ""])


async def read(database_url: str, round_id: str) -> Evidence:
    """Load a round's evidence."""
    async with await Store.open(database_url, create=False) as store:
        return (await load(store, round_id)).evidence


@click.command()
@click.argument("round_id")
@click.option("--db", "database_url", default=DEFAULT_DATABASE_URL, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
def main(round_id: str, database_url: str, out: Path) -> None:
    """Draw ROUND_ID as an SVG."""
    names = {keypair_from_uri(miner.key_uri).ss58_address: miner.name for miner in DEMO_MINERS}
    out.write_text(draw(asyncio.run(read(database_url, round_id)), names))


if __name__ == "__main__":
    main()
