"""Records: the ones in the box, any neutral file, and what makes a file no record."""

from __future__ import annotations

import gzip
import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import ConfigError, SimulationError
from simulator import records
from simulator.events import LiquidityEvent, SwapEvent
from simulator.market import MarketInfo, Token
from simulator.records import Record, RecordedBlock
from simulator.recovery import RecoveredCall

DATA = Path(__file__).parent.parent / "data"
SAMPLE = DATA / "three_young_pools.jsonl"
WETH = Token("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", "WETH", 18)

P = ["P", "0xa", 500, 10, str(2**96), 0, "7", {"-10": [7, 7, 0, 0], "10": [7, -7, 0, 0]}, 0, 0]
L = ["L", "0xa", 100, -10, 10, "7", "1", None]
S = ["S", "0xa", 104, 1, "5", None, "5", "-4", str(2**96 - 1), "7", -1]


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_day_of_usdc_weth() -> None:
    record = records.load("usdc-weth-005")
    assert record.info == MarketInfo(
        chain_id=1,
        pair_address="0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640",
        token0=Token("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "USDC", 6),
        token1=WETH,
        fee_pips=500,
        tick_spacing=10,
        block_time_s=12,
    )
    assert (record.first_block, record.last_block, record.length_blocks) == (18937381, 18944480, 7100)
    assert record.duration_s == 86_400
    assert (record.opening.timestamp, record.blocks[-1].timestamp) == (1704412811, 1704499199)
    events = [event for block in record.blocks for event in block.events]
    assert sum(isinstance(event, SwapEvent) for event in events) == 6045
    assert sum(isinstance(event, LiquidityEvent) for event in events) == 109
    assert "demeter-fetch" in record.provenance
    record.opening.check()


def test_the_days_of_wbtc_weth_with_the_assumed_times() -> None:
    record = records.load("wbtc-weth-03")
    assert record.info == MarketInfo(
        chain_id=1,
        pair_address="0xCBCdF9626bC03E24f779434178A73a0B4bad62eD",
        token0=Token("0x2260FAC5E5542a773Aa44fBCfeDf7C193bc2C599", "WBTC", 8),
        token1=WETH,
        fee_pips=3000,
        tick_spacing=60,
        block_time_s=12,
    )
    assert (record.first_block, record.last_block, record.length_blocks) == (16731552, 16763087, 31536)
    assert record.duration_s == 31536 * 12
    assert all(block.timestamp == 1677628800 + 12 * (block.number - 16731552) for block in record.blocks)
    assert all([e.log_index for e in block.events] == list(range(len(block.events))) for block in record.blocks)
    assert len(record.opening.ticks) == 603 - 242
    record.opening.check()


def test_names_and_an_unknown_one() -> None:
    assert records.names() == ("usdc-weth-005", "wbtc-weth-03")
    for name in ("weth", "", "../usdc-weth-005", "usdc-weth-005.jsonl.gz"):
        with pytest.raises(
            ConfigError, match=r"there is no record named .*; choose one of usdc-weth-005, wbtc-weth-03"
        ):
            records.load(name)


def test_records_are_small() -> None:
    sizes = [entry.stat().st_size for entry in Path(str(resources.files(records))).glob("*.gz")]
    assert len(sizes) == 2
    assert max(sizes) < 300_000


@pytest.mark.parametrize("name", ["usdc-weth-005", "wbtc-weth-03"])
def test_a_record_that_lost_its_end_or_one_line_is_refused(name: str, tmp_path: Path) -> None:
    with records.locate(name) as path:
        whole = path.read_bytes()
    half = tmp_path / "half.jsonl.gz"
    half.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match=r"half\.jsonl\.gz is cut short or damaged after line \d+"):
        records.load_file(half)
    shorter = tmp_path / "shorter.jsonl"
    shorter.write_bytes(gzip.decompress(whole).rstrip(b"\n").rpartition(b"\n")[0])
    with pytest.raises(ConfigError, match=r"the header announces \d+ lines after itself; fetch the file again"):
        records.load_file(shorter)


def test_any_neutral_file_is_a_record_with_stated_defaults(tmp_path: Path) -> None:
    record = records.load_file(write(tmp_path / "f.jsonl", {}, P, L, [*L[:2], 100, *L[3:]], S))
    zero = "0x" + "0" * 40
    assert record.info == MarketInfo(1, "0xa", Token(zero, "token0", 18), Token(zero, "token1", 18), 500, 10, 12)
    assert (record.name, record.source, record.provenance) == ("f.jsonl", "", "")
    mint = LiquidityEvent(0, -10, 10, 7, 1, None)
    assert record.opening_block == RecordedBlock(99, 99 * 12, (), ())
    assert record.blocks == (
        RecordedBlock(100, 1200, (mint, LiquidityEvent(1, -10, 10, 7, 1, None)), (None, None)),
        RecordedBlock(104, 1248, (SwapEvent(0, 5, -4, 2**96 - 1, 7, -1),), (RecoveredCall(True, 5, None),)),
    )
    assert record.opening.block_hash == records.block_hash(record.digest, lap=0, number=99)


def test_a_header_gives_what_lines_cannot(tmp_path: Path) -> None:
    header = {
        "chain_id": 8453,
        "pair_address": "0xPair",
        "token0": {"symbol": "A", "decimals": 6, "address": "0xA"},
        "block_time_s": 2,
        "opening_block": 90,
        "opening_timestamp": 5000,
        "source": "s",
        "provenance": "p",
    }
    record = records.load_file(write(tmp_path / "f.jsonl", header, P, L, S))
    assert (record.info.chain_id, record.info.pair_address, record.info.token0) == (
        8453,
        "0xPair",
        Token("0xA", "A", 6),
    )
    assert (record.first_block, record.duration_s, record.source, record.provenance) == (90, 30, "s", "p")
    assert [block.timestamp for block in record.blocks] == [5020, 5028]


def test_times_between_known_ones_are_interpolated_and_strictly_ascend(tmp_path: Path) -> None:
    later = ["L", "0xa", 110, -10, 10, "0", "0", "0", 2011, 5]
    record = records.load_file(write(tmp_path / "f.jsonl", {}, P, [*L, 2000, 3], S, later, [*S[:2], 112, *S[3:]]))
    times = [record.timestamp_at(number) for number in range(record.first_block, record.last_block + 1)]
    assert times == [1988, 2000, *range(2001, 2010), 2011, 2023, 2035]
    with pytest.raises(SimulationError, match="block 113 is outside the record"):
        record.timestamp_at(113)


def test_times_of_a_real_day_are_the_recorded_ones_and_strictly_ascend() -> None:
    record = records.load("usdc-weth-005")
    times = {number: record.timestamp_at(number) for number in range(record.first_block, record.last_block + 1)}
    assert all(times[block.number] == block.timestamp for block in record.blocks)
    assert all(times[number] < times[number + 1] for number in range(record.first_block, record.last_block))


@pytest.mark.parametrize(
    ("header", "rows", "says"),
    [
        ({}, [P], "has no event of pool 0xa"),
        ({"chain_id": "1"}, [P, L], "line 1: chain_id must be a whole number of at least 1"),
        ({"chain_id": True}, [P, L], "line 1: chain_id must be a whole number"),
        ({"block_time_s": 0}, [P, L], "line 1: block_time_s must be a whole number of at least 1"),
        ({"opening_block": 100}, [P, L], "opening_block 100 must lie before the first event's block"),
        ({"opening_timestamp": 2000}, [P, [*L, 2000, 1]], "less than a second a block"),
        ({"pair_address": 5}, [P, L], "pair_address must be a text"),
        ({"token0": "USDC"}, [P, L], "token0 must be an object with address, symbol and decimals"),
        ({"token1": {"decimals": "six"}}, [P, L], "decimals must be a whole number"),
        ({}, [P, [*L, 2000, 1], [*S, 2003, 1]], "less than a second a block"),
        ({}, [[*P[:6], "8", *P[7:]], L], "line 2: .*the P line must hold every tick"),
        ({}, [P, ["P", "0xb", *P[2:]], L], "holds 2 pools; say which one, for example 0xa"),
    ],
)
def test_what_a_record_needs_is_asked_for(
    tmp_path: Path, header: dict[str, Any], rows: list[object], says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        records.load_file(write(tmp_path / "f.jsonl", header, *rows))
    assert "\n" not in str(caught.value)


def test_one_pool_of_several_is_chosen_by_address() -> None:
    pool = "0x695b30d636e4f232d443af6a93df95afd2ff485c"
    record = records.load_file(SAMPLE, pool=pool.upper().replace("0X", "0x"))
    assert record.info.pair_address == pool
    assert sum(len(block.events) for block in record.blocks) == 11
    with pytest.raises(ConfigError, match="holds no pool 0xdead; it has for example 0x7bea"):
        records.load_file(SAMPLE, pool="0xdead")


def test_the_digest_covers_everything_but_the_name_and_the_packing(tmp_path: Path) -> None:
    def digest(*rows: object, name: str = "f.jsonl") -> str:
        return records.load_file(write(tmp_path / name, *rows)).digest

    base = digest({}, P, L, S)
    assert digest({"source": "elsewhere"}, P, L, S, name="g.jsonl") == base
    packed = tmp_path / "h.gz"
    packed.write_bytes(gzip.compress((tmp_path / "f.jsonl").read_bytes()))
    assert records.load_file(packed).digest == base
    others = {
        digest({"chain_id": 2}, P, L, S),
        digest({"opening_timestamp": 1}, P, L, S),
        digest({}, [*P[:8], 1, 0], L, S),
        digest({}, P, [*L[:6], "2", None], S),
        digest({}, P, L, [*S[:4], "6", *S[5:]]),
        digest({}, P, L, [*S[:-1], 0]),
    }
    assert len(others | {base}) == 7


def test_a_record_is_frozen() -> None:
    record: Record = records.load("wbtc-weth-03")
    with pytest.raises(AttributeError):
        record.name = "another"  # type: ignore[misc]  # that it cannot be done is what is tested
