# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title  What a call of the keeper's would leave behind
@notice Never deployed and never paid for: a node runs this as the keeper's own code, by state override, within one
        eth_call at one block hash, and forgets it. The vault is called in the keeper's name, then looked at.
"""

MAX_POSITIONS: constant(uint256) = 50
MAX_DATA: constant(uint256) = 24_576

struct Position:
    tick_lower: int24
    tick_upper: int24
    liquidity: uint128

interface Vault:
    def positions() -> DynArray[Position, MAX_POSITIONS]: view

interface Token:
    def balanceOf(owner: address) -> uint256: view

interface Pool:
    def slot0() -> (uint160, int24, uint16, uint16, uint16, uint8, bool): view


@external
def rehearse(vault: address, pool: address, token0: address, token1: address, data: Bytes[MAX_DATA]) -> (
    uint256, uint256, uint160, DynArray[Position, MAX_POSITIONS]
):
    """@return what is idle of both tokens, the pool's price, and the vault's positions afterwards"""
    raw_call(vault, data)
    return (
        staticcall Token(token0).balanceOf(vault),
        staticcall Token(token1).balanceOf(vault),
        (staticcall Pool(pool).slot0())[0],
        staticcall Vault(vault).positions(),
    )
