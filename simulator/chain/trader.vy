# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title  Tideline's trader: repeats other people's calls on one pool of a devnet
@notice Calls the pool as the recorded calls did, owns the liquidity of everybody in the record, and pays what the pool
        asks for out of what it holds. For a devnet only: whoever deployed it disposes of it.
"""

interface Pool:
    def token0() -> address: view
    def token1() -> address: view
    def mint(recipient: address, tick_lower: int24, tick_upper: int24, amount: uint128, data: Bytes[1]) -> (
        uint256, uint256
    ): nonpayable
    def burn(tick_lower: int24, tick_upper: int24, amount: uint128) -> (uint256, uint256): nonpayable
    def swap(
        recipient: address,
        zero_for_one: bool,
        amount_specified: int256,
        sqrt_price_limit_x96: uint160,
        data: Bytes[1],
    ) -> (int256, int256): nonpayable

interface Token:
    def transfer(receiver: address, amount: uint256) -> bool: nonpayable

OWNER: immutable(address)
POOL: immutable(Pool)
TOKEN0: immutable(Token)
TOKEN1: immutable(Token)


@deploy
def __init__(pool: address):
    OWNER = msg.sender
    POOL = Pool(pool)
    TOKEN0 = Token(staticcall POOL.token0())
    TOKEN1 = Token(staticcall POOL.token1())


@external
def mint(tick_lower: int24, tick_upper: int24, amount: uint128):
    assert msg.sender == OWNER, "not the owner"
    extcall POOL.mint(self, tick_lower, tick_upper, amount, b"")


@external
def burn(tick_lower: int24, tick_upper: int24, amount: uint128):
    assert msg.sender == OWNER, "not the owner"
    extcall POOL.burn(tick_lower, tick_upper, amount)


@external
def swap(zero_for_one: bool, amount_specified: int256, sqrt_price_limit_x96: uint160):
    assert msg.sender == OWNER, "not the owner"
    extcall POOL.swap(self, zero_for_one, amount_specified, sqrt_price_limit_x96, b"")


@external
def uniswapV3MintCallback(amount0: uint256, amount1: uint256, data: Bytes[1]):
    self._pay(amount0, amount1)


@external
def uniswapV3SwapCallback(amount0: int256, amount1: int256, data: Bytes[1]):
    self._pay(convert(max(amount0, 0), uint256), convert(max(amount1, 0), uint256))


@internal
def _pay(amount0: uint256, amount1: uint256):
    assert msg.sender == POOL.address, "not the pool"
    if amount0 > 0:
        assert extcall TOKEN0.transfer(msg.sender, amount0)
    if amount1 > 0:
        assert extcall TOKEN1.transfer(msg.sender, amount1)
