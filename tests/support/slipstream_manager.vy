# pragma version ==0.4.3
"""
@title A stand-in for Slipstream's position manager, and for a gauge: positions that a test puts there, logs that it asks for
"""

struct Position:
    nonce: uint96
    operator: address
    token0: address
    token1: address
    tickSpacing: int24
    tickLower: int24
    tickUpper: int24
    liquidity: uint128
    feeGrowthInside0LastX128: uint256
    feeGrowthInside1LastX128: uint256
    tokensOwed0: uint128
    tokensOwed1: uint128

stakedLength: public(HashMap[address, uint256])
balanceOf: public(HashMap[address, uint256])
owned: HashMap[address, HashMap[uint256, uint256]]
held: HashMap[uint256, Position]


@external
@view
def positions(token_id: uint256) -> Position:
    position: Position = self.held[token_id]
    assert position.tickSpacing != 0, "ID"
    return position


@external
@view
def tokenOfOwnerByIndex(owner: address, index: uint256) -> uint256:
    assert index < self.balanceOf[owner]
    return self.owned[owner][index]


@external
def give(owner: address, token_id: uint256, position: Position):
    self.owned[owner][self.balanceOf[owner]] = token_id
    self.balanceOf[owner] += 1
    self.held[token_id] = position


@external
def putStaked(owner: address, count: uint256):
    self.stakedLength[owner] = count


@external
def burn(token_id: uint256):
    self.held[token_id] = empty(Position)


@external
def logFour(first: bytes32, second: bytes32, third: bytes32, fourth: bytes32, data: Bytes[320]):
    raw_log([first, second, third, fourth], data)
