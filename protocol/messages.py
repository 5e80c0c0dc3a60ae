"""The two messages of the protocol, as strict as their readers need them.

256-bit numbers travel as decimal strings and are plain integers once read. Nothing is coerced: a boolean is no
integer, a float is no tick, a name the model does not know is an error. What a message alone cannot show (tick
spacing, coverage of the amounts offered) is judged by `simulator`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from protocol.addresses import is_valid_address
from protocol.errors import RemoteError
from protocol.json_gate import check_json, is_one_line, one_line
from protocol.units import MAX_TICK, MAX_UINT128, MAX_UINT256, MIN_TICK
from protocol.wire import (
    MAX_DEADLINE_S,
    MAX_DECIMAL_DIGITS,
    MAX_ID_CHARS,
    MAX_METADATA_CHARS,
    MAX_POSITIONS,
    MAX_REASON_CHARS,
    PROTOCOL_VERSION,
)

_MAX_SAFE_INT = 2**53 - 1  # what every JSON reader in every language keeps exact


@dataclass(frozen=True, slots=True)
class DecimalString:
    """An integer in [low, high]: `int` in Python, canonical decimal string in JSON (no sign unless low < 0)."""

    low: int
    high: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                str, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    def _read(self, value: object, info: core_schema.ValidationInfo) -> int:
        if info.mode == "json":
            number = _from_decimal(value)
        elif type(value) is int:  # not a subclass: a boolean is no amount
            number = value
        else:
            raise PydanticCustomError("decimal_string", "expected an integer")
        if not self.low <= number <= self.high:
            raise PydanticCustomError("decimal_string", "integer is out of range")
        return number


def _from_decimal(value: object) -> int:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_DECIMAL_DIGITS + 1:
        raise PydanticCustomError("decimal_string", "expected a string of 1 to 78 digits")
    try:
        number = int(value)
    except ValueError:
        raise PydanticCustomError("decimal_string", "expected a string of 1 to 78 digits") from None
    if str(number) != value:  # a sign, a leading zero, a space, an underscore, a digit of another script
        raise PydanticCustomError("decimal_string", "decimal string is not canonical")
    return number


def _check_address(value: str) -> str:
    if not is_valid_address(value):
        raise PydanticCustomError("address", "address must be all lowercase or carry its EIP-55 checksum")
    return value


def _check_line(value: str) -> str:
    if not is_one_line(value):
        raise PydanticCustomError("line", "text must be one visible line")
    return value


Uint256 = Annotated[int, DecimalString(0, MAX_UINT256)]
Uint160 = Annotated[int, DecimalString(0, 2**160 - 1)]
Uint128 = Annotated[int, DecimalString(0, MAX_UINT128)]
Tick = Annotated[int, Field(ge=MIN_TICK, le=MAX_TICK)]
Count = Annotated[int, Field(ge=0, le=_MAX_SAFE_INT)]
Version = Annotated[int, Field(ge=PROTOCOL_VERSION, le=PROTOCOL_VERSION)]  # Literal[1] would let true and 1.0 pass
Finite = Annotated[float, Field(allow_inf_nan=False)]
Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$"), AfterValidator(_check_address)]
BlockHash = Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARS), AfterValidator(_check_line)]
Word = Annotated[str, Field(min_length=1, max_length=32), AfterValidator(_check_line)]
Reason = Annotated[str, Field(max_length=MAX_REASON_CHARS), AfterValidator(_check_line)]
Text = Annotated[str, Field(max_length=MAX_METADATA_CHARS), AfterValidator(_check_line)]


class _Message(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class TokenAmounts(_Message):
    """Raw units of both tokens."""

    amount0: Uint256
    amount1: Uint256


class Token(_Message):
    address: Address
    symbol: Word
    decimals: Annotated[int, Field(ge=0, le=255)]


class Position(_Message):
    """A range wanted, and the raw amounts offered to it."""

    tick_lower: Tick
    tick_upper: Tick
    allocation0: Uint256
    allocation1: Uint256
    confidence: Annotated[Finite, Field(ge=0, le=1)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Position:
        _check_order(self.tick_lower, self.tick_upper)
        return self


class ShownPosition(_Message):
    """A range held. Allocations are what burning it would return (floored); fees are uncollected."""

    tick_lower: Tick
    tick_upper: Tick
    allocation0: Uint256
    allocation1: Uint256
    liquidity: Uint128
    fees0: Uint256
    fees1: Uint256

    @model_validator(mode="after")
    def _check(self) -> ShownPosition:
        _check_order(self.tick_lower, self.tick_upper)
        return self


class Limits(_Message):
    """What an answer may hold. `min_width` in ticks."""

    max_positions: Annotated[int, Field(ge=1, le=MAX_POSITIONS)]
    min_width: Annotated[int, Field(ge=1, le=MAX_TICK - MIN_TICK)]


class QueryContext(_Message):
    """The pool and the round, exactly: everything a decision is later computed with."""

    block_hash: BlockHash
    timestamp: Count
    sqrt_price_x96: Uint160
    tick: Tick
    liquidity: Uint128
    tick_spacing: Annotated[int, Field(ge=1, le=16384)]
    fee_pips: Annotated[int, Field(ge=0, le=1_000_000)]
    dex: Word
    token0: Token
    token1: Token
    checkpoint_index: Count
    checkpoint_block: Count
    effective_block: Count
    end_block: Count
    deadline_s: Annotated[Finite, Field(gt=0, le=MAX_DEADLINE_S)]
    fees_owed: TokenAmounts
    target: Literal["pol", "max_value"]
    quote_token: Literal["token0", "token1"]
    opening_inventory: TokenAmounts
    limits: Limits
    snapshot_hash: Digest


class RebalanceQuery(_Message):
    """A validator's question: one checkpoint of one round, with this miner's own portfolio."""

    protocol_version: Version
    request_id: Id
    job_id: Id
    round_id: Id
    sn_liquidity_manager_address: Address
    pair_address: Address
    chain_id: Annotated[int, Field(ge=1, le=_MAX_SAFE_INT)]
    round_type: Literal["evaluation", "live"]
    block_number: Count
    current_price: Annotated[Finite, Field(ge=0)]  # raw token1 per token0, for display only
    current_positions: Annotated[tuple[ShownPosition, ...], Field(max_length=MAX_POSITIONS)]
    inventory_remaining: TokenAmounts  # idle tokens only
    rebalances_so_far: Count
    context: QueryContext

    @model_validator(mode="after")
    def _check(self) -> RebalanceQuery:
        _check_distinct(self.current_positions)
        return self


class MinerMetadata(_Message):
    """What a miner says about itself: stored, never scored."""

    version: Text
    model_info: Text


class RebalanceResponse(_Message):
    """A miner's answer. `desired_positions` null is no answer, [] withdraws all, the current ones keep."""

    protocol_version: Version
    request_id: Id
    accepted: bool
    refusal_reason: Reason | None = None
    desired_positions: Annotated[tuple[Position, ...], Field(max_length=MAX_POSITIONS)] | None = None
    miner_metadata: MinerMetadata | None = None

    @model_validator(mode="after")
    def _check(self) -> RebalanceResponse:
        if self.accepted and self.refusal_reason is not None:
            raise PydanticCustomError("contradiction", "refusal_reason in an accepted answer")
        if not self.accepted and self.desired_positions is not None:
            raise PydanticCustomError("contradiction", "desired_positions in a refusal")
        _check_distinct(self.desired_positions or ())
        return self


def encode(message: BaseModel) -> bytes:
    """Return the canonical JSON of a message: sorted keys, no spaces, UTF-8."""
    value = message.model_dump(mode="json")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def parse_query(body: bytes) -> RebalanceQuery:
    """Read a query. Raises RemoteError, and nothing else, on anything that is not one."""
    return _parse(RebalanceQuery, body)


def parse_response(body: bytes, *, request_id: str | None = None) -> RebalanceResponse:
    """Read an answer, to `request_id` if given. Raises RemoteError, and nothing else, on anything that is not one."""
    response = _parse(RebalanceResponse, body)
    if request_id is not None and response.request_id != request_id:
        raise RemoteError("answer echoes another request_id")
    return response


_M = TypeVar("_M", bound=BaseModel)


def _parse(model: type[_M], body: bytes) -> _M:
    check_json(body)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "message"
        raise RemoteError(one_line(f"{place}: {first['msg']}")) from None


def _check_order(tick_lower: int, tick_upper: int) -> None:
    if tick_lower >= tick_upper:
        raise PydanticCustomError("inverted", "tick_lower must be below tick_upper")


def _check_distinct(positions: tuple[Position | ShownPosition, ...]) -> None:
    if len({(p.tick_lower, p.tick_upper) for p in positions}) != len(positions):
        raise PydanticCustomError("duplicate", "two positions have the same range")
