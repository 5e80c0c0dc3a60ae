"""A job's settings and the one door through which they come in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Literal, get_args

from protocol.addresses import is_valid_address, to_checksum_address
from protocol.errors import ConfigError
from protocol.units import MAX_TICK, MAX_UINT256, MIN_TICK

Target = Literal["pol", "max_value"]
TokenSide = Literal["token0", "token1"]
Feed = Literal["chain", "recorded"]
LiveMode = Literal["paper", "chain"]

MAX_POSITIONS = 50
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGITS = re.compile(r"[0-9]{1,78}")
_SIGNED_DIGITS = re.compile(r"-?[0-9]{1,18}")
_WEIGHT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_MAX_SAFE = 2**53 - 1  # also travels as a JSON number
_ZERO_ADDRESS = "0x" + "0" * 40


@dataclass(frozen=True, slots=True)
class OpeningPosition:
    """A position that a virtual vault mints whenever a round opens. Raw units."""

    tick_lower: int
    tick_upper: int
    amount0: int
    amount1: int


@dataclass(frozen=True, slots=True)
class Opening:
    """The inventory of a virtual vault, which no chain knows. `amount0` and `amount1` are idle tokens, raw units."""

    amount0: int
    amount1: int
    positions: tuple[OpeningPosition, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One vault on one pool with a target (design §9)."""

    job_id: str
    sn_liquidity_manager_address: str
    pair_address: str
    target: Target
    quote_token: TokenSide
    chain_id: int = 8453
    round_duration_seconds: int = 900
    is_active: bool = True
    checkpoint_interval_blocks: int = 150
    miner_deadline_seconds: int = 60
    weight: Decimal = Decimal(1)
    max_pool_share: int = 10_000  # parts per million of the in-range liquidity
    feed: Feed = "chain"
    record: str | None = None
    opening: Opening | None = None
    gas_price_wei: int = 0
    native_token: TokenSide | None = None
    native_rate_num: int | None = None  # raw units of the quote token, for native_rate_den wei
    native_rate_den: int | None = None
    live_mode: LiveMode = "paper"  # whether an executor carries out the plans of live rounds on the vault
    live_confidence_ppm: int = 0  # how sure it must be that the winner beats the benchmark
    revision: int = 0  # kept by the store
    created_at: int = 0  # unix seconds, kept by the store
    updated_at: int = 0

    def to_mapping(self) -> dict[str, Any]:
        """Return JSON-ready values; every integer that can exceed 2**53 is a decimal string."""
        value = {field.name: getattr(self, field.name) for field in fields(self)}
        value["weight"] = str(self.weight)
        value["opening"] = None if self.opening is None else opening_to_mapping(self.opening)
        for name in ("gas_price_wei", "native_rate_num", "native_rate_den"):
            value[name] = None if value[name] is None else str(value[name])
        return value


KEPT_BY_STORE = frozenset({"revision", "created_at", "updated_at"})
SETTINGS = tuple(field.name for field in fields(Job) if field.name not in KEPT_BY_STORE)
_REQUIRED = ("job_id", "sn_liquidity_manager_address", "pair_address", "target", "quote_token")


def validate_job(mapping: Mapping[str, Any]) -> Job:
    """Return the job that these settings describe.

    Parameters: mapping  any of SETTINGS; integers may come as decimal text; absent or None optional ones take defaults
    Returns:    Job with checksummed addresses and a normalised weight
    Raises:     ConfigError, one line naming the setting and what it must be
    Source:     design §9
    """
    unknown = sorted(set(mapping) - set(SETTINGS))
    if unknown:
        raise ConfigError(f"unknown job setting {unknown[0]!r}; known: {', '.join(SETTINGS)}")
    missing = [name for name in _REQUIRED if mapping.get(name) is None]
    if missing:
        raise ConfigError(f"a job needs {missing[0]}")
    given = {name: value for name, value in mapping.items() if value is not None}
    feed: Feed = _choice(given, "feed", get_args(Feed), "chain")
    is_virtual = feed == "recorded" or "opening" in given
    job = Job(
        job_id=_job_id(given["job_id"]),
        sn_liquidity_manager_address=_address(given, "sn_liquidity_manager_address", zero_allowed=is_virtual),
        pair_address=_address(given, "pair_address", zero_allowed=False),
        target=_choice(given, "target", get_args(Target), None),
        quote_token=_choice(given, "quote_token", get_args(TokenSide), None),
        chain_id=_integer(given, "chain_id", 1, _MAX_SAFE, 8453),
        round_duration_seconds=_integer(given, "round_duration_seconds", 1, 604_800, 900),
        is_active=_boolean(given, "is_active", default=True),
        checkpoint_interval_blocks=_integer(given, "checkpoint_interval_blocks", 1, 10_000_000, 150),
        miner_deadline_seconds=_integer(given, "miner_deadline_seconds", 1, 60, 60),
        weight=_weight(given.get("weight", "1")),
        max_pool_share=_integer(given, "max_pool_share", 1, 1_000_000, 10_000),
        feed=feed,
        record=_record(given.get("record")),
        opening=None if "opening" not in given else parse_opening(given["opening"]),
        gas_price_wei=_integer(given, "gas_price_wei", 0, MAX_UINT256, 0),
        native_token=_choice(given, "native_token", get_args(TokenSide), None),
        native_rate_num=_optional(given, "native_rate_num"),
        native_rate_den=_optional(given, "native_rate_den"),
        live_mode=_choice(given, "live_mode", get_args(LiveMode), "paper"),
        live_confidence_ppm=_integer(given, "live_confidence_ppm", 0, 999_999, 0),
    )
    _check_feed(job)
    _check_gas(job)
    return job


def parse_opening(value: object) -> Opening:
    """Return the opening inventory in a mapping or its JSON text.

    Parameters: value  {"amount0", "amount1", "positions": [{"tick_lower", "tick_upper", "amount0", "amount1"}]}, raw
    Returns:    Opening
    Raises:     ConfigError on anything missing, negative, out of range, doubled or wholly empty
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ConfigError("opening is not valid JSON") from error
    if not isinstance(value, Mapping) or not set(value) <= {"amount0", "amount1", "positions"}:
        raise ConfigError("opening must be an object with amount0, amount1 and positions")
    positions = value.get("positions", [])
    if not isinstance(positions, list | tuple) or len(positions) > MAX_POSITIONS:
        raise ConfigError(f"opening positions must be a list of at most {MAX_POSITIONS}")
    opening = Opening(
        amount0=_integer(value, "amount0", 0, MAX_UINT256, 0, place="opening "),
        amount1=_integer(value, "amount1", 0, MAX_UINT256, 0, place="opening "),
        positions=tuple(_position(position) for position in positions),
    )
    ranges = {(position.tick_lower, position.tick_upper) for position in opening.positions}
    if len(ranges) < len(opening.positions):
        raise ConfigError("opening has two positions with the same ticks")
    if opening.amount0 == 0 and opening.amount1 == 0 and not opening.positions:
        raise ConfigError("opening is empty: a vault without tokens cannot be scored")
    return opening


def opening_to_mapping(opening: Opening) -> dict[str, Any]:
    """Return JSON-ready values that `parse_opening` reads back to an equal Opening."""
    return {
        "amount0": str(opening.amount0),
        "amount1": str(opening.amount1),
        "positions": [
            {
                "tick_lower": position.tick_lower,
                "tick_upper": position.tick_upper,
                "amount0": str(position.amount0),
                "amount1": str(position.amount1),
            }
            for position in opening.positions
        ],
    }


def _position(value: object) -> OpeningPosition:
    if not isinstance(value, Mapping) or not set(value) <= {"tick_lower", "tick_upper", "amount0", "amount1"}:
        raise ConfigError("an opening position must be an object with tick_lower, tick_upper, amount0 and amount1")
    for name in ("tick_lower", "tick_upper"):
        if value.get(name) is None:
            raise ConfigError(f"an opening position needs {name}")
    position = OpeningPosition(
        tick_lower=_integer(value, "tick_lower", MIN_TICK, MAX_TICK, 0, place="opening position "),
        tick_upper=_integer(value, "tick_upper", MIN_TICK, MAX_TICK, 0, place="opening position "),
        amount0=_integer(value, "amount0", 0, MAX_UINT256, 0, place="opening position "),
        amount1=_integer(value, "amount1", 0, MAX_UINT256, 0, place="opening position "),
    )
    if position.tick_lower >= position.tick_upper:
        raise ConfigError("an opening position needs tick_lower < tick_upper")
    if position.amount0 == 0 and position.amount1 == 0:
        raise ConfigError("an opening position needs an amount")
    return position


def _check_feed(job: Job) -> None:
    if job.feed == "recorded":
        if job.record is None:
            raise ConfigError("a job on a recorded feed needs record, the name of the recorded market")
        if job.opening is None:
            raise ConfigError("a job on a recorded feed needs opening, the inventory of its virtual vault")
    elif job.record is not None:
        raise ConfigError("record belongs to a recorded feed; a chain job reads its pool on chain")
    if job.live_mode == "chain" and job.opening is not None:
        raise ConfigError("live_mode chain needs a real vault; leave opening out and name the vault")


def _check_gas(job: Job) -> None:
    if (job.native_rate_num is None) != (job.native_rate_den is None):
        raise ConfigError("native_rate_num and native_rate_den go together")
    if job.native_token is not None and job.native_rate_num is not None:
        raise ConfigError("give native_token or native_rate_num/native_rate_den, not both")
    if job.gas_price_wei > 0 and job.native_token is None and job.native_rate_num is None:
        raise ConfigError("a gas price needs native_token, or native_rate_num and native_rate_den, to be converted")


def _job_id(value: object) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ConfigError("job_id must be 1 to 64 letters, digits, dots, dashes or underscores")
    return value


def _record(value: object) -> str | None:
    if value is not None and (not isinstance(value, str) or not _ID.fullmatch(value)):
        raise ConfigError("record must be the name of a recorded market")
    return value


def _address(values: Mapping[str, Any], name: str, *, zero_allowed: bool) -> str:
    value = values[name]
    try:
        checksummed = to_checksum_address(value) if isinstance(value, str) else ""
    except ValueError:
        checksummed = ""
    if not checksummed:
        raise ConfigError(f"{name} must be 0x and 40 hex digits")
    if not is_valid_address(value):
        raise ConfigError(f"{name} has a wrong checksum; if its digits are right it is {checksummed}")
    if checksummed == _ZERO_ADDRESS and not zero_allowed:
        raise ConfigError(f"{name} is the zero address")
    return checksummed


def _choice(values: Mapping[str, Any], name: str, allowed: tuple[str, ...], default: str | None) -> Any:
    value = values.get(name, default)
    if value is not None and value not in allowed:
        raise ConfigError(f"{name} must be {' or '.join(allowed)}")
    return value


def _boolean(values: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = values.get(name, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be true or false")
    return value


def _integer(values: Mapping[str, Any], name: str, minimum: int, maximum: int, default: int, *, place: str = "") -> int:
    value = values.get(name, default)
    if isinstance(value, str) and (_DIGITS.fullmatch(value) or _SIGNED_DIGITS.fullmatch(value)):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{place}{name} must be a whole number")
    if not minimum <= value <= maximum:
        limit = "2**256 - 1" if maximum == MAX_UINT256 else str(maximum)
        raise ConfigError(f"{place}{name} must be {minimum} to {limit}")
    return value


def _optional(values: Mapping[str, Any], name: str) -> int | None:
    return _integer(values, name, 1, MAX_UINT256, 1) if name in values else None


def _weight(value: object) -> Decimal:
    text = str(value) if isinstance(value, str | Decimal) or type(value) is int else ""
    if not _WEIGHT.fullmatch(text):
        raise ConfigError("weight must be a number from 0 to 999999999 with at most 6 decimals")
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    return Decimal(f"{int(whole)}.{fraction}" if fraction else str(int(whole)))
