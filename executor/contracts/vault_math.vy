# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title  The arithmetic of Tideline's vault: Uniswap's, to the wei, and worth at a price
@notice The same functions as simulator/math, by the same names; the tests hold one against the other.
"""

Q96: constant(uint256) = 2**96
MAX_TICK: constant(int256) = 887272
MAX_UINT128: constant(uint256) = 2**128 - 1

# sqrt(1.0001)**-(2**i) as Q128: what a set bit i of |tick| multiplies the ratio by.
RATIO_AT_BIT_X128: constant(bytes16[20]) = [
    0xFFFCB933BD6FAD37AA2D162D1A594001,
    0xFFF97272373D413259A46990580E213A,
    0xFFF2E50F5F656932EF12357CF3C7FDCC,
    0xFFE5CACA7E10E4E61C3624EAA0941CD0,
    0xFFCB9843D60F6159C9DB58835C926644,
    0xFF973B41FA98C081472E6896DFB254C0,
    0xFF2EA16466C96A3843EC78B326B52861,
    0xFE5DEE046A99A2A811C461F1969C3053,
    0xFCBE86C7900A88AEDCFFC83B479AA3A4,
    0xF987A7253AC413176F2B074CF7815E54,
    0xF3392B0822B70005940C7A398E4B70F3,
    0xE7159475A2C29B7443B29C7FA6E889D9,
    0xD097F3BDFD2022B8845AD8F792AA5825,
    0xA9F746462D870FDF8A65DC1F90E061E5,
    0x70D869A156D2A1B890BB3DF62BAF32F7,
    0x31BE135F97D08FD981231505542FCFA6,
    0x09AA508B5B7A84E1C677DE54F3E99BC9,
    0x005D6AF8DEDB81196699C329225EE604,
    0x00002216E584F5FA1EA926041BEDFE98,
    0x00000000048A170391F7DC42444E8FA2,
]


@internal
@pure
def mul_div(a: uint256, b: uint256, denominator: uint256) -> uint256:
    """@return floor(a * b / denominator); reverts when that is no uint256"""
    # The product is high * 2**256 + low: low modulo 2**256, and both together modulo 2**256 - 1.
    folded: uint256 = uint256_mulmod(a, b, max_value(uint256))
    low: uint256 = unsafe_mul(a, b)
    high: uint256 = unsafe_sub(unsafe_sub(folded, low), convert(folded < low, uint256))
    if high == 0:
        return low // denominator
    assert denominator > high, "quotient too large"
    remainder: uint256 = uint256_mulmod(a, b, denominator)
    high = unsafe_sub(high, convert(remainder > low, uint256))
    low = unsafe_sub(low, remainder)
    # Now the division leaves nothing over: take the powers of two out, multiply by the inverse of the odd rest.
    twos: uint256 = denominator & unsafe_sub(0, denominator)
    odd: uint256 = unsafe_div(denominator, twos)
    low = unsafe_div(low, twos) | unsafe_mul(high, unsafe_add(unsafe_div(unsafe_sub(0, twos), twos), 1))
    inverse: uint256 = unsafe_mul(3, odd) ^ 2  # right in 4 bits, and in twice as many after each step
    for _: uint256 in range(6):
        inverse = unsafe_mul(inverse, unsafe_sub(2, unsafe_mul(odd, inverse)))
    return unsafe_mul(low, inverse)


@internal
@pure
def mul_div_rounding_up(a: uint256, b: uint256, denominator: uint256) -> uint256:
    """@return ceil(a * b / denominator)"""
    return self.mul_div(a, b, denominator) + convert(uint256_mulmod(a, b, denominator) > 0, uint256)


@internal
@pure
def get_sqrt_ratio_at_tick(tick: int256) -> uint256:
    """@return the square root of the price at a tick, Q64.96, rounded up"""
    assert abs(tick) <= MAX_TICK, "T"
    rest: uint256 = convert(abs(tick), uint256)
    ratio: uint256 = 2**128
    for factor: bytes16 in RATIO_AT_BIT_X128:
        if rest & 1 == 1:
            ratio = unsafe_mul(ratio, convert(factor, uint256)) >> 128
        rest = rest >> 1
    if tick > 0:
        ratio = max_value(uint256) // ratio
    return unsafe_add(ratio, 2**32 - 1) >> 32


@internal
@pure
def get_amounts_for_liquidity(sqrt_price: uint256, lower: uint256, upper: uint256, liquidity: uint256) -> (
    uint256, uint256
):
    """@return what burning the liquidity of a range would return at a price, both floored as the pool does"""
    price: uint256 = min(max(sqrt_price, lower), upper)
    return (
        self.mul_div(liquidity << 96, upper - price, upper) // price,
        self.mul_div(liquidity, price - lower, Q96),
    )


@internal
@pure
def get_liquidity_for_amounts(
    sqrt_price: uint256, lower: uint256, upper: uint256, amount0: uint256, amount1: uint256
) -> uint256:
    """@return the most liquidity that both amounts buy, by the position manager's rule"""
    if sqrt_price <= lower:
        return self._liquidity_for_amount0(lower, upper, amount0)
    if sqrt_price < upper:
        return min(
            self._liquidity_for_amount0(sqrt_price, upper, amount0),
            self._liquidity_for_amount1(lower, sqrt_price, amount1),
        )
    return self._liquidity_for_amount1(lower, upper, amount1)


@internal
@pure
def _liquidity_for_amount0(lower: uint256, upper: uint256, amount0: uint256) -> uint256:
    liquidity: uint256 = self.mul_div(amount0, self.mul_div(lower, upper, Q96), upper - lower)
    assert liquidity <= MAX_UINT128, "liquidity too large"
    return liquidity


@internal
@pure
def _liquidity_for_amount1(lower: uint256, upper: uint256, amount1: uint256) -> uint256:
    liquidity: uint256 = self.mul_div(amount1, Q96, upper - lower)
    assert liquidity <= MAX_UINT128, "liquidity too large"
    return liquidity


@internal
@pure
def mean_tick(cumulative_before: int256, cumulative_now: int256, seconds: int256) -> int256:
    """@return the time-weighted mean tick, rounded toward minus infinity as a tick is"""
    ticks: int256 = cumulative_now - cumulative_before
    mean: int256 = ticks // seconds  # Vyper rounds toward zero
    if ticks < 0 and ticks % seconds != 0:
        mean -= 1
    return mean


@internal
@pure
def worth(sqrt_price: uint256, amount0: uint256, amount1: uint256) -> uint256:
    """
    @notice Worth in the pool's middle unit, token0 * sqrt(P) + token1 / sqrt(P), times 2**32: whichever token has the
            larger raw units, nothing is lost to rounding. Times sqrt(P) it is worth in token1.
    """
    return self.mul_div(amount0, sqrt_price, 2**64) + self.mul_div(amount1, 2**128, sqrt_price)
