"""What a miner is told to listen to is opened, heard, remembered and closed; the query path never waits for it."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from pathlib import Path

import pytest
from support.doors import client, hotkey
from support.processes import Background, miner
from support.queries import make_query

from db.pool_events.records import Batch, BlockRow, EventRow
from db.pool_events.store import PoolEventsStore
from miner.feeds import PoolRef
from protocol.errors import ConfigError
from protocol.messages import RebalanceQuery
from simulator import records
from simulator.events import SwapEvent
from tideline.cli import run
from tideline.miner_feeds import FeedChoice, open_feeds
from tideline.pool_events import IndexedEvents
from validator.transport import ExchangeStatus, MinerEndpoint

RECORD = records.load("usdc-weth-005")
INFO = RECORD.info
FIRST, LAST = RECORD.first_block + 1, RECORD.first_block + 1500
POOL = INFO.pair_address.lower()
NAMES = '[mints]\ntable = "m"\n[burns]\ntable = "b"\n'


def question(block: int = LAST) -> RebalanceQuery:
    """Return a question about the record's pool at a block."""
    base = make_query()
    price = next(
        e.sqrt_price_x96
        for b in reversed(RECORD.blocks)
        for e in reversed(b.events)
        if b.number <= block and isinstance(e, SwapEvent)
    )
    tokens = {
        f"token{n}": t.model_copy(update={"symbol": s.symbol, "decimals": s.decimals})
        for n, (t, s) in enumerate(
            ((base.context.token0, INFO.token0), (base.context.token1, INFO.token1)),
        )
    }
    context = base.context.model_copy(
        update={
            "sqrt_price_x96": price,
            "tick": 199_150,
            "timestamp": RECORD.timestamp_at(block),
            "fee_pips": INFO.fee_pips,
            **tokens,
        }
    )
    return base.model_copy(
        update={"pair_address": POOL, "chain_id": INFO.chain_id, "block_number": block, "context": context}
    )


async def index(url: str) -> None:
    """Write the record's first swaps as an index has them."""
    events: list[EventRow] = []
    for block in RECORD.blocks:
        for event in block.events if block.number <= LAST else ():
            if isinstance(event, SwapEvent):
                fields: dict[str, int | str] = {
                    "sender": POOL,
                    "recipient": POOL,
                    "amount0": event.amount0,
                    "amount1": event.amount1,
                    "sqrt_price_x96": event.sqrt_price_x96,
                    "liquidity": event.liquidity,
                    "tick": event.tick,
                }
                name = f"0x{block.number:064x}"
                events.append(EventRow("swaps", block.number, name, event.log_index, name, 0, fields))
    blocks = tuple(
        BlockRow(n, f"0x{n:064x}", f"0x{n - 1:064x}", RECORD.timestamp_at(n)) for n in range(FIRST, LAST + 1)
    )
    async with await PoolEventsStore.create(url, chain_id=INFO.chain_id) as store:
        await store.add(POOL, Batch(blocks, tuple(events)))


def external(path: Path) -> None:
    """Write the same swaps under the public system's names, and what mints and burns must have."""
    place = "evt_block_number, evt_index, evt_block_time, pool"
    with sqlite3.connect(path) as file:
        file.execute(f"CREATE TABLE base_poocl_swaps_v2 ({place}, amount0, amount1, sqrt_price_x96, liquidity, tick)")
        for table in ("m", "b"):
            file.execute(f"CREATE TABLE {table} ({place}, tick_lower, tick_upper, amount, amount0, amount1)")
        for block in RECORD.blocks:
            for e in block.events if block.number <= LAST + 10 else ():
                if isinstance(e, SwapEvent):
                    row = (block.number, e.log_index, block.timestamp, POOL[2:], *map(str, (e.amount0, e.amount1)))
                    values = (*row, str(e.sqrt_price_x96), str(e.liquidity), e.tick)
                    file.execute(f"INSERT INTO base_poocl_swaps_v2 VALUES ({', '.join('?' * 9)})", values)
    file.close()


async def test_the_index_and_an_external_database_tell_the_same_candles_read_only(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/events.sqlite3"
    await index(url)
    external(tmp_path / "theirs.sqlite3")
    (tmp_path / "names.toml").write_text(NAMES)
    before = contents(tmp_path)
    ours, theirs = await open_feeds(
        FeedChoice(url, f"sqlite:///{tmp_path}/theirs.sqlite3", tmp_path / "names.toml", (), None)
    )
    pool = PoolRef.of(question())
    told = list(await ours.candles(pool, 0))
    assert len(told) == 19
    # Blocks without a swap have interpolated times there, and the first of all cannot be told.
    others = {bar[0]: bar for bar in await theirs.candles(pool, 0)}
    assert [bar[:5] for bar in told if bar[0] in others] == [others[bar[0]][:5] for bar in told if bar[0] in others]
    assert len(others) >= 18
    for feed in (ours, theirs):
        await feed.close()
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.sqlite3")}


async def test_a_running_miner_has_what_the_index_tells_by_its_next_question(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/events.sqlite3"
    await index(url)
    options = ("--memory", "m.json", "--events", url)
    bars: list[int] = []
    with miner(tmp_path, "//Honest", hotkey("Validator"), *options) as (process, address):
        host, _, port = address.rpartition(":")
        endpoint = MinerEndpoint(hotkey("Honest"), host, int(port))
        async with client() as miners:
            for _ in range(2):
                exchange = await miners.ask(endpoint, question(), deadline_s=20)
                assert exchange.status is ExchangeStatus.ANSWERED
                bars.append(remembered(tmp_path / "m.json"))
                if len(bars) == 1:
                    await asyncio.to_thread(process.until, "feed events knows 19 bars of")
        assert bars[0] == 1, "the first question was not kept waiting"
        assert bars[1] in (19, 20), "all the index tells, and the present bar if that is another"
        end(process)


def remembered(path: Path) -> int:
    [memory] = list(json.loads(path.read_bytes())["jobs"].values())
    return len(memory["bars"])


def end(process: Background) -> None:
    process.signal(signal.SIGINT)
    assert process.end() == 0, process.lines


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--events", "sqlite:///none.sqlite3"), "none.sqlite3"),
        (("--external-events", "sqlite:///none.sqlite3"), "--external-events needs --external-names"),
        (("--rpc", "here"), "--rpc wants CHAIN_ID=VALUE"),
        (("--rpc", "1=ftp://x"), "--rpc of chain 1 wants a URL"),
        (("--exchange", "nowhere"), "ccxt"),
        (("--strategy", "wide", "--rpc", "1=http://127.0.0.1:1"), "strategy wide decides by the query alone"),
        (("--strategy", "charm", "--tune"), "--tune knows the settings of btr_plus alone"),
    ],
)
def test_what_cannot_be_listened_to_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["miner", "--dev-key", "//Bob", "--allow-validator", hotkey("Alice"), "--port", "0", *arguments]) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tideline: ")]
    assert says in line
    assert list(tmp_path.iterdir()) == []


async def test_what_was_opened_is_closed_where_the_rest_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/events.sqlite3"
    await index(url)
    closed: list[IndexedEvents] = []
    close = IndexedEvents.close

    async def closing(events: IndexedEvents) -> None:
        closed.append(events)
        await close(events)

    monkeypatch.setattr(IndexedEvents, "close", closing)
    with pytest.raises(ConfigError, match="needs --external-names"):
        await open_feeds(FeedChoice(url, "sqlite:///none", None, (), None))
    assert len(closed) == 1
