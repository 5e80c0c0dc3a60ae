from collections.abc import Sequence
from typing import Self

from simulator.fee_policy import ProtocolFeePolicy

EVENT_BYTES: int
WEIGHT_BYTES: int

def pack(events: Sequence[tuple[object, ...]], /) -> bytes: ...
def pack_weights(weights: list[tuple[int, int]], /) -> bytes: ...
def run(
    forks: list[Core],
    events: bytes,
    watched: list[tuple[int, list[tuple[int, int, tuple[int, int, int, int, int]]]]] | None,
    weights: bytes | None,
    fates: bytearray | memoryview,
    amounts: bytearray | memoryview | None,
    /,
) -> list[
    tuple[
        int,
        str | None,
        int,
        list[tuple[int, int, int, int, int, int]] | tuple[int, tuple[int, int, int, int, int, int], int, int, int, int],
    ]
]: ...
def get_sqrt_ratio_at_tick(tick: int, /) -> int: ...
def get_tick_at_sqrt_ratio(sqrt_price_x96: int, /) -> int: ...

class Core:
    sqrt_price_x96: int
    tick: int
    liquidity: int
    timestamp: int
    fee_growth_global_0_x128: int
    fee_growth_global_1_x128: int
    protocol_fees_0: int
    protocol_fees_1: int
    fee_pips: int
    fee_protocol: int
    balance0: int
    balance1: int
    knows_balances: bool
    @property
    def observation_index(self) -> int: ...
    @property
    def observation_cardinality(self) -> int: ...
    @property
    def observation_cardinality_next(self) -> int: ...
    @property
    def tick_spacing(self) -> int: ...
    @property
    def max_liquidity_per_tick(self) -> int: ...
    def __new__(cls, fee_pips: int, tick_spacing: int, fee_policy: ProtocolFeePolicy = ...) -> Self: ...
    def _copy(self) -> Self: ...
    def initialize(self, sqrt_price_x96: int, /) -> None: ...
    def swap(
        self, zero_for_one: bool, amount_specified: int, sqrt_price_limit_x96: int | None, /
    ) -> tuple[int, int]: ...
    def _quote(
        self, zero_for_one: bool, amount_specified: int, sqrt_price_limit_x96: int | None, /
    ) -> tuple[int, int, int, int, int]: ...
    def _change_liquidity(
        self,
        tick_lower: int,
        tick_upper: int,
        liquidity_delta: int,
        position: tuple[int, int, int, int, int] | None,
        settles: bool,
        /,
    ) -> tuple[int, int, tuple[int, int, int, int, int] | None]: ...
    def fee_growth_inside(self, tick_lower: int, tick_upper: int, /) -> tuple[int, int]: ...
    def _tick(self, tick: int, /) -> tuple[int, int, int, int, int, int, int, bool] | None: ...
    def _tick_numbers(self) -> list[int]: ...
    def _set_ticks(self, ticks: list[tuple[int, int, int, int, int, int, int, int]], /) -> None: ...
    def _set_oracle(
        self, index: int, cardinality: int, cardinality_next: int, slots: list[tuple[int, int, int, bool]], /
    ) -> None: ...
    def _observations(self) -> list[tuple[int, int, int, bool]]: ...
    def _grow(self, cardinality_next: int, /) -> None: ...
    def __sizeof__(self) -> int: ...
