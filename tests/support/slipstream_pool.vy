# pragma version ==0.4.3
"""
@title A stand-in for a Slipstream CLPool: its getters, with their names and layouts, over state that a test puts there.
       It computes nothing. What it holds and logs is decided by `simulator.slipstream.CLPool`, which the recorded
       operations of the real bytecode have proven (tests/simulator/test_slipstream_vectors.py).
"""

struct Slot0:
    sqrtPriceX96: uint160
    tick: int24
    observationIndex: uint16
    observationCardinality: uint16
    observationCardinalityNext: uint16
    unlocked: bool

struct Tick:
    liquidityGross: uint128
    liquidityNet: int128
    stakedLiquidityNet: int128
    feeGrowthOutside0X128: uint256
    feeGrowthOutside1X128: uint256
    rewardGrowthOutsideX128: uint256
    tickCumulativeOutside: int56
    secondsPerLiquidityOutsideX128: uint160
    secondsOutside: uint32
    initialized: bool

struct Position:
    liquidity: uint128
    feeGrowthInside0LastX128: uint256
    feeGrowthInside1LastX128: uint256
    tokensOwed0: uint128
    tokensOwed1: uint128

factory: public(address)
gauge: public(address)
nft: public(address)
token0: public(address)
token1: public(address)
tickSpacing: public(int24)
slot0: public(Slot0)
fee: public(uint24)
unstakedFee: public(uint24)
liquidity: public(uint128)
stakedLiquidity: public(uint128)
feeGrowthGlobal0X128: public(uint256)
feeGrowthGlobal1X128: public(uint256)
rewardGrowthGlobalX128: public(uint256)
rewardRate: public(uint256)
rewardReserve: public(uint256)
periodFinish: public(uint256)
rollover: public(uint256)
lastUpdated: public(uint32)
tickBitmap: public(HashMap[int16, uint256])
ticks: public(HashMap[int24, Tick])
positions: public(HashMap[bytes32, Position])


@deploy
def __init__(token0: address, token1: address, spacing: int24):
    self.factory = msg.sender
    self.token0 = token0
    self.token1 = token1
    self.tickSpacing = spacing


@external
def putOwners(gauge: address, nft: address):
    self.gauge = gauge
    self.nft = nft


@external
def putState(
    slot0: Slot0, fee: uint24, unstaked_fee: uint24, liquidity: uint128, staked: uint128, growth0: uint256, growth1: uint256
):
    self.slot0 = slot0
    self.fee = fee
    self.unstakedFee = unstaked_fee
    self.liquidity = liquidity
    self.stakedLiquidity = staked
    self.feeGrowthGlobal0X128 = growth0
    self.feeGrowthGlobal1X128 = growth1


@external
def putRewards(growth: uint256, rate: uint256, reserve: uint256, finish: uint256, rollover: uint256, updated: uint32):
    self.rewardGrowthGlobalX128 = growth
    self.rewardRate = rate
    self.rewardReserve = reserve
    self.periodFinish = finish
    self.rollover = rollover
    self.lastUpdated = updated


@external
def putTick(number: int24, tick: Tick):
    self.ticks[number] = tick


@external
def putWord(number: int16, word: uint256):
    self.tickBitmap[number] = word


@external
def putPosition(key: bytes32, position: Position):
    self.positions[key] = position


@external
def logThree(first: bytes32, second: bytes32, third: bytes32, data: Bytes[320]):
    raw_log([first, second, third], data)


@external
def logFour(first: bytes32, second: bytes32, third: bytes32, fourth: bytes32, data: Bytes[320]):
    raw_log([first, second, third, fourth], data)
