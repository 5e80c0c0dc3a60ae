"""The neutral format: what is read, and what every kind of damage is called."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ConfigError
from simulator.neutral import NeutralFile
from simulator.neutral_lines import EndLine, Line, LiquidityLine, PoolLine, Position, SwapLine
from simulator.snapshot import TickState

SAMPLE = Path(__file__).parent.parent / "data" / "three_young_pools.jsonl"

P = ["P", "0xa", 500, 10, str(2**96), 0, "7", {"-10": ["7", "7", "1", "2"], "10": [7, -7, 3, "4"]}, "5", "6"]
L = ["L", "0xa", 100, -10, 10, "7", "1", None]
S = ["S", "0xa", 101, 1, "5", None, "5", "-4", str(2**96 - 1), "7", -1]
E = ["E", "0xa", str(2**96), 0, "7", "5", "6", {}]


def write(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return path


def read(path: Path) -> list[Line]:
    return list(NeutralFile.open(path).lines())


def change(row: list[Any], index: int, value: object) -> list[Any]:
    return [*row[:index], value, *row[index + 1 :]]


def test_every_kind_of_line(tmp_path: Path) -> None:
    end = change(E, 7, {"10": ["1", "-1", "0", "0"]})
    path = write(tmp_path / "f.jsonl", {"source": "s"}, P, [*L, 1700, 4], [*S, 1712, 0], end)
    assert NeutralFile.open(path).header == {"source": "s"}
    assert read(path) == [
        PoolLine(
            line=2,
            pool="0xa",
            fee_pips=500,
            tick_spacing=10,
            sqrt_price_x96=2**96,
            tick=0,
            liquidity=7,
            ticks=((-10, TickState(7, 7, 1, 2)), (10, TickState(7, -7, 3, 4))),
            fee_growth_global_0_x128=5,
            fee_growth_global_1_x128=6,
        ),
        LiquidityLine("0xa", Position(3, 100, 1700, 4), -10, 10, 7, 1, None),
        SwapLine(
            pool="0xa",
            position=Position(4, 101, 1712, 0),
            zero_for_one=True,
            amount_specified=5,
            sqrt_price_limit_x96=None,
            amount0=5,
            amount1=-4,
            sqrt_price_x96=2**96 - 1,
            liquidity=7,
            tick=-1,
        ),
        EndLine(5, "0xa", 2**96, 0, 7, 5, 6, ((10, TickState(1, -1, 0, 0)),)),
    ]


def test_numbers_may_be_strings_or_json_numbers_and_lines_may_lack_time_and_log_index(tmp_path: Path) -> None:
    as_strings = write(tmp_path / "a.jsonl", {}, P, L, change(S, 3, "1"))
    as_numbers = write(
        tmp_path / "b.jsonl",
        {},
        change(P, 4, 2**96),
        change(change(L, 5, 7), 6, 1),
        ["S", "0xa", "101", True, 5, None, 5, -4, 2**96 - 1, 7, "-1"],
    )
    assert read(as_strings) == read(as_numbers)
    assert read(as_strings)[1] == LiquidityLine("0xa", Position(3, 100, None, None), -10, 10, 7, 1, None)


def test_ticks_without_gross_liquidity_are_not_initialised(tmp_path: Path) -> None:
    ticks = {"10": ["7", "-7", "0", "0"], "0": ["0", "0", "9", "9"], "-10": ["7", "7", "0", "0"]}
    (line,) = read(write(tmp_path / "f.jsonl", {}, change(P, 7, ticks)))
    assert isinstance(line, PoolLine)
    assert line.ticks == ((-10, TickState(7, 7, 0, 0)), (10, TickState(7, -7, 0, 0)))


def test_several_pools_blank_lines_and_gzip_whatever_the_name(tmp_path: Path) -> None:
    path = tmp_path / "renamed.txt"
    path.write_bytes(gzip.compress(b"\n" + SAMPLE.read_bytes().replace(b"\n", b"\r\n\r\n")))
    lines = read(path)
    kinds = Counter(type(line).__name__ for line in lines)
    assert kinds == {"PoolLine": 3, "LiquidityLine": 18, "SwapLine": 15, "EndLine": 3}
    assert len({line.pool for line in lines}) == 3


@pytest.mark.parametrize(
    ("rows", "line", "says"),
    [
        (["nonsense"], 1, "is not JSON"),
        ([[1, 2]], 1, "is not a header"),
        ([{}], 1, "without a P line"),
        ([{}, L], 2, "has no P line before this one"),
        ([{}, P, P], 3, "second P line"),
        ([{}, P, '["S","0xa",1'], 3, "cut short"),
        ([{}, P, {"a": 1}], 3, "expected a JSON array"),
        ([{}, P, []], 3, "expected a JSON array"),
        ([{}, P, change(L, 0, "X")], 3, "unknown kind 'X'"),
        ([{}, P, change(L, 0, ["L"])], 3, "unknown kind"),
        ([{}, P[:-1]], 2, "P has 9 fields, expected 10"),
        ([{}, P, [*L, 1]], 3, "L has 9 fields, expected 8 or 10"),
        ([{}, P, S[:-1]], 3, "S has 10 fields, expected 11 or 13"),
        ([{}, P, [*E, 1]], 3, "E has 9 fields, expected 8"),
        ([{}, P, change(L, 1, 5)], 3, "the pool's address"),
        ([{}, P, S, L], 4, "block 100 comes after block 101; sort"),
        ([{}, P, [*L, 9, 3], [*L, 9, 3]], 4, "log index 3 comes after 3; sort"),
        ([{}, P, [*L, 9, 3], [*L, 10, 4]], 4, "block 100 has time 10, block 100 has 9"),
        ([{}, P, [*L, 9, 3], [*S, 8, 0]], 4, "block 101 has time 8, block 100 has 9"),
        ([{}, change(P, 4, 1.5)], 2, "sqrt_price_x96 is 1.5, expected an integer"),
        ([{}, change(P, 4, True)], 2, "sqrt_price_x96 is True, expected an integer"),
        ([{}, change(P, 4, "1_0")], 2, "sqrt_price_x96 is '1_0', expected an integer"),
        ([{}, change(P, 4, "٣")], 2, "expected an integer"),
        ([{}, change(P, 2, 1_000_000)], 2, "fee_pips is 1000000, outside 0 to 999999"),
        ([{}, change(P, 6, str(2**128))], 2, "liquidity is"),
        ([{}, change(P, 7, [])], 2, "the ticks must be an object"),
        ([{}, change(P, 7, {"10": ["1"]})], 2, "tick 10: expected [gross"),
        ([{}, change(P, 7, {"10": [1, 1, 0, 0], "010": [1, 1, 0, 0]})], 2, "tick 10 stands twice"),
        ([{}, json.dumps(P).replace('"10":', '"-10":')], 2, "same key twice"),
        ([{}, P, change(L, 3, 10)], 3, "tick_lower 10 is not below tick_upper 10"),
        ([{}, P, change(L, 6, "-1")], 3, "amount0 is -1, outside 0"),
        ([{}, P, change(S, 3, 2)], 3, "zero_for_one is 2, outside 0 to 1"),
        ([{}, P, f'["L","0xa",{"1" * 5000},0,1,0,0,0]'], 3, "more digits than 256 bits"),
        ([{"lines_after_header": 2}, P], 2, "announces 2 lines"),
    ],
)
def test_damage_is_named_with_its_line(tmp_path: Path, rows: list[object], line: int, says: str) -> None:
    path = write(tmp_path / "bad.jsonl", *rows)
    with pytest.raises(ConfigError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path} line {line}")
    assert says in message
    assert "\n" not in message


def test_files_that_cannot_be_read_at_all(tmp_path: Path) -> None:
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_bytes(b"")
    binary.write_bytes(b"\x80\x81\x82")
    for path, says in (
        (tmp_path / "missing.jsonl", "No such file"),
        (tmp_path, "Is a directory"),
        (empty, "is empty"),
        (binary, "is not UTF-8"),
    ):
        with pytest.raises(ConfigError, match=says):
            read(path)


@given(data=st.data())
def test_a_cut_or_flipped_gzip_is_noticed_wherever_it_is_damaged(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = gzip.compress(SAMPLE.read_bytes(), mtime=0)
    cut = data.draw(st.integers(2, len(whole) - 1))
    at = data.draw(st.integers(10, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / "f.jsonl.gz"
    for damaged in (whole[:cut], bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(ConfigError):
            read(path)


@given(data=st.data())
def test_a_damaged_text_is_read_or_refused_but_never_breaks(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    damaged = bytearray(SAMPLE.read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=3)):
        damaged[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "f.jsonl"
    path.write_bytes(damaged)
    try:
        read(path)
    except ConfigError as error:
        assert str(error).startswith(str(path))
