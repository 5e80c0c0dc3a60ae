# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title  What calls of somebody's would leave behind
@notice Never deployed and never paid for: a node runs this as the caller's own code, by state override, within one
        eth_call at one block hash, and forgets it. The calls are made in the caller's name, then the vault is looked at.
"""

MAX_POSITIONS: constant(uint256) = 50
MAX_TOKENS: constant(uint256) = 128  # of a position manager's, in any pool
MAX_CALLS: constant(uint256) = 104
MAX_DATA: constant(uint256) = 24_576

struct Call:
    to: address
    data: Bytes[MAX_DATA]

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
    def fee() -> uint24: view

interface Manager:
    def balanceOf(owner: address) -> uint256: view
    def tokenOfOwnerByIndex(owner: address, index: uint256) -> uint256: view
    def positions(token_id: uint256) -> (
        uint96, address, address, address, uint24, int24, int24, uint128, uint256, uint256, uint128, uint128
    ): view


@external
def rehearse(
    vault: address, pool: address, token0: address, token1: address, manager: address, calls: DynArray[Call, MAX_CALLS]
) -> (uint256, uint256, uint256, uint256, uint160, DynArray[Position, MAX_POSITIONS]):
    """
    @param  manager of the vault's NFTs; nobody where the vault itself lists its positions
    @return what is then idle in the vault and what the caller has of both tokens, the pool's price, the positions
    """
    for call: Call in calls:
        raw_call(call.to, call.data)
    positions: DynArray[Position, MAX_POSITIONS] = []
    if manager == empty(address):
        positions = staticcall Vault(vault).positions()
    else:
        positions = self._managed(vault, manager, token0, token1, staticcall Pool(pool).fee())
    return (
        staticcall Token(token0).balanceOf(vault),
        staticcall Token(token1).balanceOf(vault),
        staticcall Token(token0).balanceOf(self),
        staticcall Token(token1).balanceOf(self),
        (staticcall Pool(pool).slot0())[0],
        positions,
    )


@internal
@view
def _managed(
    vault: address, manager: address, token0: address, token1: address, fee: uint24
) -> DynArray[Position, MAX_POSITIONS]:
    """@return the vault's NFTs that hold liquidity in the pool"""
    answer: DynArray[Position, MAX_POSITIONS] = []
    count: uint256 = staticcall Manager(manager).balanceOf(vault)
    for index: uint256 in range(count, bound=MAX_TOKENS):
        found: (
            uint96, address, address, address, uint24, int24, int24, uint128, uint256, uint256, uint128, uint128
        ) = staticcall Manager(manager).positions(staticcall Manager(manager).tokenOfOwnerByIndex(vault, index))
        if found[2] == token0 and found[3] == token1 and found[4] == fee and found[7] > 0:
            answer.append(Position(tick_lower=found[5], tick_upper=found[6], liquidity=found[7]))
    return answer
