# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title  Tideline's vault and its pool
@notice The one pool, its two tokens, and the calls that move them. Tokens leave to the pool, in a call that the vault
        itself is making, up to what it allowed for that call; and to the owner.
"""

interface Pool:
    def token0() -> address: view
    def token1() -> address: view
    def tickSpacing() -> int24: view
    def slot0() -> (uint160, int24, uint16, uint16, uint16, uint8, bool): view
    def positions(key: bytes32) -> (uint128, uint256, uint256, uint128, uint128): view
    def observe(seconds_agos: DynArray[uint32, 3]) -> (DynArray[int56, 3], DynArray[uint160, 3]): view
    def mint(recipient: address, tick_lower: int24, tick_upper: int24, amount: uint128, data: Bytes[1]) -> (
        uint256, uint256
    ): nonpayable
    def burn(tick_lower: int24, tick_upper: int24, amount: uint128) -> (uint256, uint256): nonpayable
    def collect(
        recipient: address, tick_lower: int24, tick_upper: int24, amount0_requested: uint128, amount1_requested: uint128
    ) -> (uint128, uint128): nonpayable
    def swap(
        recipient: address,
        zero_for_one: bool,
        amount_specified: int256,
        sqrt_price_limit_x96: uint160,
        data: Bytes[1],
    ) -> (int256, int256): nonpayable

interface Token:
    def balanceOf(owner: address) -> uint256: view
    def transfer(receiver: address, amount: uint256) -> bool: nonpayable
    def transferFrom(sender: address, receiver: address, amount: uint256) -> bool: nonpayable

POOL: public(immutable(address))
TOKEN0: public(immutable(address))
TOKEN1: public(immutable(address))

# What the pool may ask for in the call that is being made; nothing between calls.
is_paying: transient(bool)
pay0_max: transient(uint256)
pay1_max: transient(uint256)


@deploy
def __init__(pool: address):
    POOL = pool
    TOKEN0 = staticcall Pool(pool).token0()
    TOKEN1 = staticcall Pool(pool).token1()


@external
@reentrant
def uniswapV3MintCallback(amount0: uint256, amount1: uint256, data: Bytes[1]):
    self._pay(amount0, amount1)


@external
@reentrant
def uniswapV3SwapCallback(amount0: int256, amount1: int256, data: Bytes[1]):
    self._pay(convert(max(amount0, 0), uint256), convert(max(amount1, 0), uint256))


@internal
def _pay(amount0: uint256, amount1: uint256):
    assert msg.sender == POOL, "not the pool"
    assert self.is_paying, "no call in progress"
    self.is_paying = False
    assert amount0 <= self.pay0_max and amount1 <= self.pay1_max, "costs too much"
    self.send(TOKEN0, msg.sender, amount0)
    self.send(TOKEN1, msg.sender, amount1)


@internal
def _allow(amount0_max: uint256, amount1_max: uint256):
    self.is_paying = True
    self.pay0_max = amount0_max
    self.pay1_max = amount1_max


@internal
def mint(tick_lower: int24, tick_upper: int24, liquidity: uint128, amount0_max: uint256, amount1_max: uint256) -> (
    uint256, uint256
):
    self._allow(amount0_max, amount1_max)
    return extcall Pool(POOL).mint(self, tick_lower, tick_upper, liquidity, b"")


@internal
def swap(zero_for_one: bool, amount_out: uint256, amount_in_max: uint256, sqrt_price_limit_x96: uint160) -> (
    int256, int256
):
    """@notice Buy exactly so much for no more than that"""
    self._allow(amount_in_max if zero_for_one else 0, 0 if zero_for_one else amount_in_max)
    wanted: int256 = -convert(amount_out, int256)
    amount0: int256 = 0
    amount1: int256 = 0
    amount0, amount1 = extcall Pool(POOL).swap(self, zero_for_one, wanted, sqrt_price_limit_x96, b"")
    # The pool stops at the limit without a word.
    assert wanted == (amount1 if zero_for_one else amount0), "swap not filled"
    return amount0, amount1


@internal
def burn(tick_lower: int24, tick_upper: int24, liquidity: uint128) -> (uint256, uint256):
    return extcall Pool(POOL).burn(tick_lower, tick_upper, liquidity)


@internal
def take(tick_lower: int24, tick_upper: int24, takes0: bool, takes1: bool) -> (uint256, uint256):
    """@notice Burn whatever a range holds in the vault's name and collect what is owed of the tokens asked for"""
    liquidity: uint128 = self._liquidity_in_pool(tick_lower, tick_upper)
    if liquidity > 0:
        self.burn(tick_lower, tick_upper, liquidity)
    return self._collect(tick_lower, tick_upper, takes0, takes1)


@internal
def collect_fees(tick_lower: int24, tick_upper: int24) -> (uint256, uint256):
    if self._liquidity_in_pool(tick_lower, tick_upper) > 0:
        self.burn(tick_lower, tick_upper, 0)
    return self._collect(tick_lower, tick_upper, True, True)


@internal
def _collect(tick_lower: int24, tick_upper: int24, takes0: bool, takes1: bool) -> (uint256, uint256):
    requested0: uint128 = max_value(uint128) if takes0 else 0
    requested1: uint128 = max_value(uint128) if takes1 else 0
    amount0: uint128 = 0
    amount1: uint128 = 0
    amount0, amount1 = extcall Pool(POOL).collect(self, tick_lower, tick_upper, requested0, requested1)
    return convert(amount0, uint256), convert(amount1, uint256)


@internal
@view
def _liquidity_in_pool(tick_lower: int24, tick_upper: int24) -> uint128:
    key: bytes32 = keccak256(concat(convert(self, bytes20), convert(tick_lower, bytes3), convert(tick_upper, bytes3)))
    return (staticcall Pool(POOL).positions(key))[0]


@internal
@view
def tick_spacing() -> int24:
    return staticcall Pool(POOL).tickSpacing()


@internal
@view
def sqrt_price() -> uint256:
    return convert((staticcall Pool(POOL).slot0())[0], uint256)


@internal
@view
def tick() -> int256:
    return convert((staticcall Pool(POOL).slot0())[1], int256)


@internal
@view
def tick_cumulatives(long_s: uint256, short_s: uint256) -> (int256, int256, int256):
    """@return as of each time ago and now; reverts when the pool's memory does not reach back that far"""
    answer: DynArray[int56, 3] = (
        staticcall Pool(POOL).observe([convert(long_s, uint32), convert(short_s, uint32), empty(uint32)])
    )[0]
    return convert(answer[0], int256), convert(answer[1], int256), convert(answer[2], int256)


@internal
@view
def idle(token: address) -> uint256:
    return staticcall Token(token).balanceOf(self)


@internal
def send(token: address, receiver: address, amount: uint256):
    if amount > 0:
        # Some tokens answer nothing, some False instead of a revert.
        assert extcall Token(token).transfer(receiver, amount, default_return_value=True), "transfer"


@internal
def pull(token: address, sender: address, amount: uint256):
    if amount > 0:
        assert extcall Token(token).transferFrom(sender, self, amount, default_return_value=True), "transfer"
