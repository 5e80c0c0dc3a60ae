"""The neutral format of a recorded market: what happened to a pool, one JSON array a line after a header object.

    ["P", pool, fee_pips, tick_spacing, sqrt_price_x96, tick, liquidity, TICKS, global0, global1]     a start
    ["L", pool, block, tick_lower, tick_upper, liquidity_delta, amount0, amount1]     amounts may be null: unknown
    ["S", pool, block, zero_for_one, amount_specified, limit or null, amount0, amount1, sqrt_price_x96, liquidity, tick]
    ["E", pool, sqrt_price_x96, tick, liquidity, global0, global1, TICKS]     an expected end

TICKS is {tick: [gross, net, fee_growth_outside_0_x128, fee_growth_outside_1_x128]}. L and S lines may end with two more
fields, the block's timestamp and the log index. Integers are decimal strings or JSON numbers. Lines are in chain order,
plain or gzipped. Whatever is wrong with a file is the operator's to mend: everything raises ConfigError with the file,
the line and what to change.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.errors import ConfigError
from simulator.neutral_lines import BadLine, EndLine, Line, PoolLine, Position, parse_line

_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class NeutralFile:
    """A neutral file, opened by its header; `lines` reads it once from the start, checking as it goes."""

    path: Path
    header: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> NeutralFile:
        """Read the header. Raises ConfigError when there is none."""
        for number, text in _read_text_lines(path):
            value = _parse_json(path, number, text)
            if not isinstance(value, dict):
                raise ConfigError(
                    f"{path} line {number} is not a header; put a JSON object such as {{}} on the first line"
                )
            return cls(path, value)
        raise ConfigError(f"{path} is empty; give a file of the neutral format (a header line, then P, L, S, E lines)")

    def lines(self) -> Iterator[Line]:
        """Yield every line after the header in file order. Raises ConfigError at the first thing that is wrong."""
        order = _Order()
        texts = _read_text_lines(self.path)
        next(texts, None)  # the header
        for number, text in texts:
            value = _parse_json(self.path, number, text)
            try:
                line = parse_line(number, value)
                order.check(line)
            except BadLine as error:
                raise ConfigError(f"{self.path} line {number}: {error}") from error
            yield line
        expected = self.header.get("lines_after_header", order.lines)
        if expected != order.lines:
            raise ConfigError(
                f"{self.path} line {order.lines + 1} is the last, but the header announces {expected!r:.20} lines "
                "after itself; fetch the file again"
            )
        if not order.pools:
            raise ConfigError(
                f"{self.path} line {order.lines + 1}: the file ends without a P line; add each pool's state"
            )


class _Order:
    """What must hold between lines: pools first introduced, blocks, times and log indices ascending."""

    def __init__(self) -> None:
        self.lines = 0
        self.pools: set[str] = set()
        self._last: Position | None = None

    def check(self, line: Line) -> None:
        self.lines += 1
        if isinstance(line, PoolLine):
            if line.pool in self.pools:
                raise BadLine(f"pool {line.pool} has a second P line; keep one per pool and file")
            self.pools.add(line.pool)
            return
        if line.pool not in self.pools:
            raise BadLine(f"pool {line.pool} has no P line before this one; put its state before its first event")
        if isinstance(line, EndLine):
            return
        if self._last is not None:
            _check_order(self._last, line.position)
        self._last = line.position


def _check_order(before: Position, here: Position) -> None:
    is_same_block = here.block == before.block
    if here.block < before.block:
        raise BadLine(f"block {here.block} comes after block {before.block}; sort the lines into chain order")
    if (
        is_same_block
        and before.log_index is not None
        and here.log_index is not None
        and here.log_index <= before.log_index
    ):
        raise BadLine(f"log index {here.log_index} comes after {before.log_index}; sort the lines into chain order")
    if before.timestamp is None or here.timestamp is None:
        return
    if here.timestamp < before.timestamp or (is_same_block and here.timestamp != before.timestamp):
        raise BadLine(
            f"block {here.block} has time {here.timestamp}, block {before.block} has {before.timestamp}; correct one"
        )


def _read_text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, text) of the lines that are not blank."""
    number = 0
    try:
        with path.open("rb") as raw:
            is_gzip = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            stream: Iterable[bytes] = gzip.GzipFile(fileobj=raw) if is_gzip else raw
            for number, line in enumerate(stream, start=1):
                text = line.decode("utf-8").strip()
                if text:
                    yield number, text
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ConfigError(
            f"{path} is cut short or damaged after line {number} ({error}); fetch the file again"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} line {number} is not UTF-8 text; give a .jsonl or .jsonl.gz file") from error
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror or error}; give the path of a .jsonl or .jsonl.gz file"
        ) from error


def _parse_json(path: Path, number: int, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique_keys, parse_int=_parse_digits)
    except (BadLine, RecursionError) as error:
        raise ConfigError(f"{path} line {number}: {error}") from error
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{path} line {number} is not JSON at column {error.colno} ({error.msg}); "
            "the file may be cut short, fetch it again"
        ) from error


def _parse_digits(digits: str) -> int:
    if len(digits) > 79:
        raise BadLine("a number has more digits than 256 bits hold")
    return int(digits)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise BadLine("an object has the same key twice; keep one")
    return value
